"""What Parquet sources share: a footer read, files cut along row groups, values as Python has them.

A file is written by others: its footer may lie, its pages may be damaged, its strings may not be UTF-8.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as types

from curate.io.storage import SourceFile, Storage

_BATCH = 64  # rows decoded at once: images of a whole row group may be gigabytes
_BUFFER = 1 << 20  # bytes of a column chunk read at once
_ROWS_A_BYTE = 1000  # a footer that claims more than that is damaged
# Python values that Arrow's own could not be made into: a nanosecond too many, an unknown time zone.
_INCONVERTIBLE = (pa.ArrowException, ValueError, OverflowError, LookupError)


class Damaged(Exception):
    """The file, or one of its row groups, cannot be read."""


class Slice(NamedTuple):
    """Neighbouring rows of one row group, from `row` on. No batch where they cannot be read."""

    group: int
    row: int
    rows: int
    batch: pa.RecordBatch | None


def is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if types.is_dictionary(kind) else kind
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def is_bytes(kind: pa.DataType) -> bool:
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind))


def as_python(values: pa.Array) -> list[Any]:
    """The column as Python values, null where one cannot be converted; strings made UTF-8."""
    if is_text(values.type):
        return [v if v is None else v.decode("utf-8", "replace") for v in raw_text(values)]
    if types.is_timestamp(values.type):
        values = values.cast(pa.timestamp(values.type.unit))  # UTC: no time zone data needed
    try:
        # as Arrow spells them: Python's own types depend on whether pandas is installed
        found = (values.cast(pa.string()) if types.is_temporal(values.type) else values).to_pylist()
    except _INCONVERTIBLE:
        found = [_one(v) for v in values]
    return [_without_bytes(v) for v in found] if types.is_nested(values.type) else found


def raw_text(values: pa.Array) -> list[bytes | None]:
    """A text column as bytes: Parquet promises UTF-8, nobody checks it, and `as_py` would raise."""
    if types.is_dictionary(values.type):
        values = values.dictionary.cast(pa.large_binary()).take(values.indices)
    return values.cast(pa.large_binary()).to_pylist()  # type: ignore[no-any-return]


def _one(value: pa.Scalar) -> Any:
    try:
        return value.as_py()
    except _INCONVERTIBLE:
        return None


def _without_bytes(value: Any) -> Any:
    """A value with binary parts left out: what JSON can hold."""
    if isinstance(value, dict):
        return {k: _without_bytes(v) for k, v in value.items() if not isinstance(v, bytes)}
    if isinstance(value, (list, tuple)):
        return [_without_bytes(v) for v in value if not isinstance(v, bytes)]
    return value


def opened(file: BinaryIO) -> pq.ParquetFile:
    """The file with its footer read. Raises Damaged."""
    try:
        found = pq.ParquetFile(file, buffer_size=_BUFFER)
        found.schema_arrow.names  # noqa: B018 - names that are not UTF-8 raise only when looked at
    except OSError as problem:
        raise _damage(problem) from problem
    except (pa.ArrowException, ValueError) as problem:
        raise Damaged(str(problem)) from problem
    return found


def cuts(
    storage: Storage, source: SourceFile, rows: int, fits: Callable[[pa.Schema], bool]
) -> list[tuple[int, int, str]]:
    """(first row, last row + 1, hint) of parts of `rows` at most: small row groups together, large sliced.

    A hint is `<row group>/<row in it>` of the first row; else a reason for the file as one row, where it is
    damaged or its schema does not fit.
    """
    try:
        with storage.open(source.path) as file:
            found = opened(file)
            sizes = [found.metadata.row_group(g).num_rows for g in range(found.num_row_groups)]
            if not fits(found.schema_arrow):
                return [(0, 1, "missing_column")]
    except Damaged:
        return [(0, 1, "unreadable_file")]
    if min(sizes, default=0) < 0 or sum(sizes) > max(source.size, 1) * _ROWS_A_BYTE:
        return [(0, 1, "unreadable_file")]
    made: list[tuple[int, int, str]] = []
    first = 0
    for group, size in enumerate(sizes):
        if made and first + size - made[-1][0] <= rows:
            made[-1] = (made[-1][0], first + size, made[-1][2])
        else:
            for row in range(0, size, rows):
                stop = min(size, row + rows)
                made.append((first + row, first + stop, f"{group}/{row}"))
        first += size
    return made


def slices(file: BinaryIO, hint: str, count: int, wanted: Callable[[pa.Field], bool]) -> Iterator[Slice]:
    """`count` rows from a cut's hint on, of the columns wanted. A cut changes nothing about a row."""
    group, row = (int(n) for n in hint.split("/"))
    found = opened(file)
    names = [f.name for f in found.schema_arrow if wanted(f)]
    while count > 0:
        size = found.metadata.row_group(group).num_rows
        stop = min(size, row + count)
        read = 0  # batches are judged from the row group's own beginning
        try:
            for batch in _batches(found, group, names):
                start, end = max(row, read), min(read + batch.num_rows, stop)
                if end > start:
                    yield Slice(group, start, end - start, batch.slice(start - read, end - start))
                read += batch.num_rows
                if read >= stop:
                    break
        except Damaged:
            pass
        if stop > max(row, read):
            yield Slice(group, max(row, read), stop - max(row, read), None)
        count -= stop - row
        group, row = group + 1, 0


def _batches(found: pq.ParquetFile, group: int, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Batches of one row group. Raises Damaged where its pages cannot be read."""
    try:
        yield from found.iter_batches(_BATCH, row_groups=[group], columns=names, use_threads=False)
    except OSError as problem:
        raise _damage(problem) from problem
    except (pa.ArrowException, ValueError) as problem:
        raise Damaged(str(problem)) from problem


def _damage(problem: OSError) -> Exception:
    """Arrow raises OSError for damaged files too, but only an error of the storage has a number."""
    return Damaged(str(problem)) if problem.errno is None else problem
