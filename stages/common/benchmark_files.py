"""Rows of benchmark files: VLMEvalKit's TSV, Parquet of the Hub, JSON, and images as they lie."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from curate.errors import RecipeError
from stages.common.benchmark_rows import Faults, columns_known

IMAGES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
_LONGEST_LINE = 256 << 20  # characters
_LARGEST_JSON = 1 << 30  # bytes of one document that is read whole
_AT_ONCE = 16  # rows of Parquet

Row = Mapping[str, Any]


def rows(path: Path, faults: Faults) -> Iterator[Row]:
    """Every row of a table that can be read; what cannot is counted."""
    try:
        yield from _TABLES[path.suffix.lower()](path, faults)
    except (OSError, pa.ArrowException):
        faults["unreadable_rest"] += 1  # of a file whose beginning was sound


def is_table(path: Path) -> bool:
    return path.suffix.lower() in _TABLES


def asks(path: Path, field: str) -> bool:
    """Whether a table has anything to compare with; RecipeError where it cannot be read at all."""
    return columns_known(_columns(path, field))


def check(path: Path, field: str) -> None:
    """RecipeError where a table has nothing to compare with."""
    names = _columns(path, field)
    if not columns_known(names):
        told = ", ".join(names[:12]) or "no row"
        wanted = "a question, an image or image_path, or answers are wanted"
        raise RecipeError(field, f"{path} is no benchmark that could be compared: it has {told}", wanted)


def _columns(path: Path, field: str) -> list[str]:
    """Of the first row."""
    try:
        if path.suffix.lower() == ".parquet":
            return [str(name) for name in pq.read_schema(path).names]
        return [str(name) for name in next(_TABLES[path.suffix.lower()](path, Faults()), ())]
    except (OSError, pa.ArrowException) as error:
        raise RecipeError(field, f"{path} cannot be read: {error}") from error


def _tsv(path: Path, faults: Faults) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        delimiter = "," if path.suffix.lower() == ".csv" else "\t"
        table = csv.reader(_lines(file, faults), delimiter=delimiter)
        header: list[str] | None = None
        while True:
            # the limit is the process's, and others read tables in it
            usual = csv.field_size_limit(_LONGEST_LINE)
            try:
                cells = next(table)
            except StopIteration:
                return
            except csv.Error:
                faults["bad_row"] += 1
                continue
            finally:
                csv.field_size_limit(usual)
            if header is None:
                header = cells
            elif len(cells) == len(header):
                yield dict(zip(header, cells, strict=True))
            elif cells:
                faults["bad_row"] += 1


def _lines(file: IO[str], faults: Faults) -> Iterator[str]:
    """Lines of bounded length; a longer one is left out."""
    while line := file.readline(_LONGEST_LINE):
        if len(line) < _LONGEST_LINE or line.endswith("\n"):
            yield line
            continue
        faults["oversized"] += 1
        while (line := file.readline(_LONGEST_LINE)) and not line.endswith("\n"):
            pass


def _jsonl(path: Path, faults: Faults) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for line in _lines(file, faults):
            if line.strip():
                yield from _parsed(line, faults)


def _json(path: Path, faults: Faults) -> Iterator[Row]:
    """A list of rows, or rows by their id (ScienceQA's problems.json)."""
    if path.stat().st_size > _LARGEST_JSON:
        faults["oversized"] += 1
        return
    yield from _parsed(path.read_text(encoding="utf-8-sig", errors="replace"), faults)


def _parsed(text: str, faults: Faults) -> Iterator[Row]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        faults["bad_row"] += 1
        return
    if isinstance(found, dict) and found and all(isinstance(value, dict) for value in found.values()):
        found = [{"id": name, **row} for name, row in found.items()]
    for row in found if isinstance(found, list) else [found]:
        if isinstance(row, dict):
            yield row
        else:
            faults["bad_row"] += 1


def _parquet(path: Path, faults: Faults) -> Iterator[Row]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_AT_ONCE):
            yield from batch.to_pylist()


_TABLES: Mapping[str, Callable[[Path, Faults], Iterator[Row]]] = {
    ".tsv": _tsv,
    ".csv": _tsv,
    ".jsonl": _jsonl,
    ".json": _json,
    ".parquet": _parquet,
}
FORMS = "TSV, CSV, JSON, JSON Lines, Parquet, and images"
