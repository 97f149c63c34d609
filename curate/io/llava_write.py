"""A LLaVA training set: `llava.json`, the same rows as `llava.jsonl`, and `images/<shard>/<key>.jpg`.

`image` is relative to the output's folder, which is what trainers call the image folder.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from curate.errors import RunError
from curate.export import llava, pictures, shard
from curate.export.forms import Admit, unseen
from curate.io import card
from curate.io.payload import Payload
from curate.io.picture_write import PictureWrite
from curate.io.sink import Shard
from curate.stage import Map, Op, Out

_OPTIONAL = frozenset({"messages", "language", "image_width", "image_height"})
_RESIZED = frozenset({"image_target_width", "image_target_height"})
_FRAGMENTS = "rows"  # a shard's rows, until `finish` has them all in one file


class AdmitLlava(Admit):
    """Which samples LLaVA's format can hold."""

    seed: int
    optional: tuple[str, ...]

    def reads(self) -> frozenset[str]:
        return frozenset({"layout", "sample_id", "text_body", *self.optional})

    def reasons(self) -> frozenset[str]:
        turns = {"bad_roles", "late_image", "no_text", "reserved_token"}
        return frozenset({*turns, "no_image", "not_a_pair", "extreme_ratio", "image_too_small"})

    def open(self) -> Op:
        seed = self.seed

        def admit(table: pa.Table) -> Out:
            return Out(drop=pa.array([_refusal(row, seed) for row in table.to_pylist()], pa.string()))

        return admit


def _refusal(row: Mapping[str, Any], seed: int) -> str | None:
    images = row["layout"].count("i")
    messages = row.get("messages")
    # text-only conversations are rows too, but an image a turn speaks of must be there
    if images == 0 and (not messages or any(m["images"] for m in messages)):
        return "no_image"
    texts = row["text_body"]
    if images > 1 or (not messages and len(texts) > 1):
        return "not_a_pair"
    found = llava.refusal(llava.turns(_sample(row), seed))
    if found is None and messages and any(m["images"] for m in messages[1:]):
        return "late_image"  # the one marker stands in the first turn
    return found or _size_refusal(row)


def _size_refusal(row: Mapping[str, Any]) -> str | None:
    sides = []
    for side in ("width", "height"):
        own = row.get(f"image_{side}") or []
        targets = row.get(f"image_target_{side}") or [None] * len(own)  # what is written, where it is resized
        sides += [n for n in (target or size for size, target in zip(own, targets, strict=True)) if n]
    if not sides:
        return None
    if min(sides) < llava.MIN_SIDE:
        return "image_too_small"
    return "extreme_ratio" if max(sides) > llava.MAX_RATIO * min(sides) else None


def _sample(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the record as `curate.export.llava` wants it."""
    return {**row, "text": row["text_body"][0] if row["text_body"] else ""}


class WriteLlava(PictureWrite):
    """LLaVA conversations with their images, for supervised fine-tuning."""

    stage: Literal["write_llava"] = "write_llava"
    images: Literal["jpeg", "resized"] = Field(default="jpeg", description="As in `write_webdataset`.")

    kind: ClassVar[str] = "LLaVA conversations (llava.json, llava.jsonl) and images"

    def admission(self, offered: frozenset[str] = frozenset()) -> Map:
        names = _OPTIONAL | (_RESIZED if self.images == "resized" else frozenset())
        return AdmitLlava(seed=self.seed, optional=tuple(sorted(names & offered)), verify=unseen(offered))

    def write_shard(
        self, rows: pa.Table, payload: Payload, folder: Path, name: str, schema: pa.Schema
    ) -> Shard:
        """`images/<name>/*.jpg`, `<name>.parquet`, and `rows/<name>.jsonl` for `finish`."""
        choice = self.choice()
        live = pictures.rows(choice, shard.living(rows, schema))
        schema = pictures.schema(choice, schema)
        (folder / "images" / name).mkdir(parents=True, exist_ok=True)
        files = [f"{_FRAGMENTS}/{name}.jsonl", f"{name}.parquet"]
        for file in files:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
        left = pictures.pictures(live, payload, choice)
        images = 0
        with (folder / files[0]).open("w", encoding="utf-8", newline="\n") as out:
            for found in self._samples(live):
                if "i" in found["layout"]:
                    picture = next(left)
                    found["image"] = f"images/{name}/{found['key']}.{picture.ending}"
                    (folder / found["image"]).write_bytes(picture.data)
                    files.append(found["image"])
                    images += 1
                out.write(llava.dumps(llava.row(found, self.seed)) + "\n")
        shard.write_index(
            shard.index(live, shard.columns_out(schema), scalar=True), folder / f"{name}.parquet"
        )
        return Shard(live.table.num_rows, images, files)

    def _samples(self, live: shard.Rows) -> Iterator[dict[str, Any]]:
        wanted = {"sample_id", "layout", "text_body", "messages", "language"}
        table = live.table.select(sorted(wanted & set(live.table.column_names)))
        for key, row in zip(live.keys, table.to_pylist(), strict=True):
            yield {**_sample(row), "key": key}

    def finish(self, folder: Path, shards: Sequence[Shard]) -> list[str]:
        """All rows as one array and as lines. May be called again after it was cut off."""
        whole = ["llava.json", "llava.jsonl"]
        fragments = [folder / f for s in shards for f in s.files if f.startswith(f"{_FRAGMENTS}/")]
        # fragments go only when both files are complete
        if all(f.exists() for f in fragments):
            for name in whole:
                part = folder / f".{name}.part"
                with part.open("w", encoding="utf-8", newline="\n") as out:
                    out.writelines(_joined(fragments, array=name == "llava.json"))
                os.replace(part, folder / name)
        elif not all((folder / name).exists() for name in whole):
            raise RunError(f"{folder.name}: rows of some shards are missing; remove the folder and run again")
        for fragment in fragments:
            fragment.unlink(missing_ok=True)
        rest = folder / _FRAGMENTS
        if rest.is_dir() and not any(path.is_file() for path in rest.rglob("*")):
            shutil.rmtree(rest)
        return whole

    def card(self, facts: Mapping[str, Any]) -> str:
        choice = self.choice()
        return card.llava_card(self.kind, pictures.facts(choice, facts), choice)


def _joined(fragments: Sequence[Path], array: bool) -> Iterator[str]:
    """Lines of the fragments, as they are or as the elements of one JSON array."""
    if array:
        yield "["
    before = "\n"
    for fragment in fragments:
        with fragment.open(encoding="utf-8") as lines:
            for line in lines:
                if array:
                    yield before + line.removesuffix("\n")
                    before = ",\n"
                else:
                    yield line
    if array:
        yield "\n]\n"
