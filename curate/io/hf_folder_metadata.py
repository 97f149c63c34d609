"""Records of an imagefolder's metadata: `metadata.csv`, `metadata.jsonl` or `metadata.parquet`."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from curate.io import hf_folder_csv, json_lines
from curate.io.json_lines import parse
from curate.io.parquet_file import Damaged, as_python, cuts, is_bytes, opened, slices
from curate.io.source import Part
from curate.io.storage import SourceFile, Storage
from curate.stage import canonical

NAMES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
REASONS = frozenset({"unreadable_file", "bad_json", "bad_csv", "line_too_large", "not_an_object"})


class Raw(NamedTuple):
    """A record as it stands in its file; None: what is there is none, for the reason."""

    source: str
    record: dict[str, Any] | None
    body: bytes  # what stands for it in an id
    reason: str = ""


def is_metadata(path: str) -> bool:
    return posixpath.basename(path) in NAMES


def metadata_cuts(storage: Storage, file: SourceFile, rows: int) -> Sequence[tuple[int, int, str]]:
    """(first record, last + 1, hint) of parts; a hint without a `/` is the reason for the file as one row."""
    if file.path.endswith(".parquet"):
        return cuts(storage, file, rows, lambda schema: True)
    if file.path.endswith(".csv"):
        return hf_folder_csv.cuts(storage, file.path, rows)
    return json_lines.cuts(storage, file.path, rows)


def metadata_records(storage: Storage, path: str, part: Part) -> Iterator[Raw]:
    """The records of a part, in order."""
    if "/" not in part.hint:
        yield Raw(path, None, path.encode("utf-8", "surrogateescape"), part.hint)
    elif path.endswith(".parquet"):
        yield from _parquet(storage, path, part)
    elif path.endswith(".csv"):
        for line, cells in hf_folder_csv.records(storage, path, part):
            source = f"{path}#{line.number}"
            yield Raw(source, None if line.problem else dict(cells), line.body, line.problem)
    else:
        for line in json_lines.lines(storage, path, part):
            value = None if line.problem else parse(line.body)
            reason = line.problem or ("bad_json" if value is None else "")
            if not reason and not isinstance(value, dict):
                value, reason = None, "not_an_object"
            yield Raw(f"{path}#{line.number}", value, line.body, reason)


def fields_of(storage: Storage, path: str) -> list[str] | None:
    """The fields of a file's first record; None where that is for the run to say."""
    if path.endswith(".parquet"):
        try:
            with storage.open(path) as file:
                return list(opened(file).schema_arrow.names)
        except Damaged:
            return None
    if path.endswith(".csv"):
        return hf_folder_csv.header(storage, path) or None
    found = json_lines.lines(storage, path, json_lines.FIRST)
    value = next((parse(line.body) for line in found if not line.problem), None)
    return list(value) if isinstance(value, dict) else None


def _parquet(storage: Storage, path: str, part: Part) -> Iterator[Raw]:
    with storage.open(path) as file:
        for piece in slices(file, part.hint, part.stop - part.start, lambda field: not is_bytes(field.type)):
            sources = [f"{path}#{piece.group}/{piece.row + i}" for i in range(piece.rows)]
            if piece.batch is None:
                yield from (Raw(source, None, b"", "unreadable_file") for source in sources)
                continue
            batch = piece.batch
            columns = {name: as_python(batch.column(i)) for i, name in enumerate(batch.schema.names)}
            for i, source in enumerate(sources):
                record = {name: values[i] for name, values in columns.items() if values[i] is not None}
                yield Raw(source, record, canonical(record).encode("utf-8", "surrogatepass"))
