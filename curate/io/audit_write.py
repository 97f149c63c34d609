"""See `WriteAudit`."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from curate import sample
from curate.export import shard
from curate.export.audit import Figures, findings, marks
from curate.export.llava import dumps
from curate.io.payload import Payload
from curate.io.sink import Shard, Write

FINDINGS, SUMMARY = "findings.jsonl", "summary.json"
_FRAGMENTS = "parts"  # of each shard, until `finish` has them all in one file
_BATCH = 1024  # rows as Python objects at once
# What the index does without: the source has it.
_LEFT_OUT = frozenset({"text_body", "messages", "meta", "row_fault_text"})
_USED = frozenset(
    {
        *("row_id", "row_faults", "image_faults", "text_faults", "text_body", "text_language", "text_role"),
        *("text_script", "text_junk", "image_width", "image_height", "image_aspect", "image_format"),
    }
)
_CARD = """\
# {title}

{kind}.

- {rows:,} rows that could be read, with {images:,} images
- made by `{recipe}`

`findings.jsonl` has one finding a line: which row (`source` is the file and the row in it, `row_id` its own
id), where in it (`level`, and `index` among the row's images or texts, else -1), what it is (`code`,
`detail`) and what trainers do about it (`consequence`). It is empty where nothing was found.

`summary.json` has the number of findings of each code, and of the rows that have them; quantiles of lengths
(in characters) and image sizes, to three digits; languages, roles and formats; and the number of duplicates.

`<shard>.parquet` has one row a row, in the order of the source, with all that was found out about it.

Rows that could not be read, or whose image could not be, are in the run's ledger; `curate report` tells of
them as well.
"""


class WriteAudit(Write):
    """What is wrong with a set: findings with their rows, an index, and figures of the whole; no images.

    `findings.jsonl` has one finding a line: `dataset`, `source` (file and row), `row_id`, `sample_id`,
    `level`, `index` (of the image or text among the row's own, else -1), `code`, `detail`, `of` (the sample
    that a duplicate repeats) and `consequence` (what trainers do). They come from whatever of these columns
    there is: `row_faults` of `read_llava` and `read_messages` (with `faults: keep`), `image_faults` and
    `text_faults` of `check_format`, `text_junk` of `text_stats` (where rows are no conversations), the marks
    of `exact` with `action: mark`, and items that a document has lost. Nothing is demanded.

    `summary.json` counts them and has quantiles of lengths and sizes (to three digits), languages, roles and
    formats. `<shard>.parquet` has one row a row, with its `source` and all that was found out but the texts.
    Rows that died on the way are in the ledger: `curate report` tells of both.
    """

    stage: Literal["write_audit"] = "write_audit"
    order: Literal["hashed", "source"] = Field(
        default="source", description="`source`: as read; `hashed`: by seeded hash of sample_id."
    )

    kind: ClassVar[str] = "Findings (JSON Lines), an index of rows (Parquet) and a summary (JSON)"

    def write_shard(
        self, rows: pa.Table, payload: Payload, folder: Path, name: str, schema: pa.Schema
    ) -> Shard:
        """`<name>.parquet`, and `parts/<name>.jsonl` and `.json` for `finish`."""
        live = shard.living(rows, schema)
        (folder / _FRAGMENTS).mkdir(parents=True, exist_ok=True)
        files = [f"{name}.parquet", f"{_FRAGMENTS}/{name}.jsonl", f"{_FRAGMENTS}/{name}.json"]
        fields = [f for f in shard.columns_out(schema) if f.name not in _LEFT_OUT]
        index = shard.index(live, fields, scalar=False).drop_columns(["text_body"])
        for column in ("dataset", "source"):
            index = index.append_column(column, sample.single(live.table[column]))
        shard.write_index(index, folder / files[0])
        figures = Figures()
        with (folder / files[1]).open("w", encoding="utf-8", newline="\n") as out:
            for row in _rows(live):
                found = list(findings(row))
                figures.row(row, found)
                place = {n: row.get(n) for n in ("dataset", "source", "row_id", "sample_id")}
                out.writelines(dumps({**place, **one}) + "\n" for one in found)
        _write_json(folder / files[2], figures.counts)
        images = len(sample.flat(live.table["image_ref"]))
        return Shard(live.table.num_rows, images, files)

    def finish(self, folder: Path, shards: Sequence[Shard]) -> list[str]:
        """All findings as one file, and the summary. May be called again after it was cut off."""
        fragments = [folder / f for s in shards for f in s.files if f.startswith(f"{_FRAGMENTS}/")]
        if all(f.exists() for f in fragments) or not (folder / SUMMARY).exists():
            figures = Figures()
            part = folder / f".{FINDINGS}.part"
            with part.open("wb") as out:
                for fragment in fragments:
                    if fragment.suffix == ".json":
                        figures.add(Figures(json.loads(fragment.read_bytes())))
                        continue
                    with fragment.open("rb") as lines:
                        shutil.copyfileobj(lines, out)
            os.replace(part, folder / FINDINGS)
            _write_json(folder / SUMMARY, figures.summary(), indent=1)  # written last: it vouches for both
        for fragment in fragments:
            fragment.unlink(missing_ok=True)
        if (folder / _FRAGMENTS).is_dir() and not any((folder / _FRAGMENTS).iterdir()):
            (folder / _FRAGMENTS).rmdir()
        return [FINDINGS, SUMMARY]

    def card(self, facts: Mapping[str, Any]) -> str:
        return _CARD.format(
            title=facts.get("output", "audit"),
            kind=self.kind,
            rows=int(facts.get("samples", 0)),
            images=int(facts.get("images", 0)),
            recipe=facts.get("recipe", "a recipe"),
        )


def _rows(live: shard.Rows) -> Iterator[dict[str, Any]]:
    """The rows as `findings` wants them, some at a time."""
    there = set(live.table.column_names)
    wanted = {"dataset", "source", "sample_id", "text_body", "image_index", "text_index"} | (_USED & there)
    for mark in marks(there):
        wanted |= {mark, f"{mark.removesuffix('duplicate')}survivor"} & there
    table = live.table.select(sorted(wanted))
    for start in range(0, table.num_rows, _BATCH):
        stop = start + _BATCH
        drops = zip(live.image_drop[start:stop], live.text_drop[start:stop], strict=True)
        for row, (images, texts) in zip(table.slice(start, _BATCH).to_pylist(), drops, strict=True):
            yield {**row, "image_drop": images, "text_drop": texts}


def _write_json(path: Path, value: Any, indent: int | None = None) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=indent, sort_keys=indent is None)
    part = path.with_name(f".{path.name}.part")
    part.write_text(f"{text}\n", encoding="utf-8")
    os.replace(part, path)
