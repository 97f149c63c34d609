"""Reading documents of other formats in tests: all rows of some files, with the laws of a source checked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from curate import sample
from curate.io.source import Read
from curate.io.storage import LocalStorage

R = TypeVar("R", bound=Read)
Row = dict[str, Any]

# Any JSON there is, and some that is near to what the formats hold.
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["https://h/a.png", "a.png", "../a", '[{"a": 1}]', "\ud800", "data:,x"])
)
ANY_JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def node(cls: type[R], **config: Any) -> R:
    return cls.model_validate({"path": "x", "id": "read", "name": "ds", **config})


def lines(path: Path, records: Iterable[Any]) -> Path:
    """JSON Lines; a record given as bytes is written as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [r if isinstance(r, bytes) else json.dumps(r).encode() for r in records]
    path.write_bytes(b"".join(row + b"\n" for row in rows))
    return path


def parquet(path: Path, columns: Mapping[str, Any], **options: Any) -> Path:
    pq.write_table(pa.table(columns), path, **options)
    return path


def read(folder: Path, source: Read, pattern: str = "x.*") -> list[Row]:
    """Every row, through split and rows."""
    storage = LocalStorage(folder)
    files = storage.find(pattern)
    assert files
    parts = [p for group in source.group(files) for p in source.split(storage, group)]
    assert len({p.id for p in parts}) == len(parts)
    tables = [source.rows(storage, part) for part in parts]
    assert [t.num_rows for t in tables] == [p.stop - p.start for p in parts]
    empty = pa.unify_schemas([sample.BASE, source.writes()]).empty_table()
    table = pa.concat_tables([empty, *tables]).combine_chunks()
    sample.check(table)
    reasons = set(table["drop"].to_pylist())
    for level in ("image_drop", "text_drop"):
        reasons |= {reason for row in table[level].to_pylist() for reason in row}
    assert reasons - {None} <= {f"{source.id}:{r}" for r in source.reasons()}
    return table.to_pylist()


def spans(row: Row) -> list[str]:
    """A row in reading order: the URL (or file name) of each image, and each text."""
    names = [url or name for url, name in zip(row["image_url"], row["image_name"], strict=True)]
    images, texts = iter(names), iter(row["text_body"])
    return [next(images if span == "i" else texts) for span in row["layout"]]


def fates(row: Row) -> list[str]:
    """What was said of each span in reading order, without the node: "" where it lives."""
    images, texts = iter(row["image_drop"]), iter(row["text_drop"])
    found = [next(images if span == "i" else texts) for span in row["layout"]]
    return [(reason or "").rpartition(":")[2] for reason in found]


def drop(row: Row) -> str:
    return (row["drop"] or "").rpartition(":")[2]
