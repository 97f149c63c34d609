"""What all writers share: living rows, keys, columns that go out, images streamed, the index."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate import sample
from curate.errors import RunError
from curate.io.payload import Payload
from curate.stage import TRANSIENT, canonical

BUDGET = 64 << 20  # bytes of images asked for at once
GUESS = 256 << 10  # of an image whose reference does not tell its length

# Written in a form of their own, or not at all: where a sample lay (`dataset`, `source`, `image_ref`) would
# make the bytes of an output depend on how its input was cut into shards.
_NOT_COLUMNS = frozenset({*sample.BASE.names, *TRANSIENT, "twin", "copy"}) - {"meta"}
_ENGINE = re.compile(r"(image_|text_)?(verdict|inputs)\.")
_LENGTH = re.compile(r"#bytes=\d+\+(\d+)$")


def goes_out(name: str) -> bool:
    """Whether a column leaves with a sample as it is."""
    return name not in _NOT_COLUMNS and not _ENGINE.match(name)


def columns_out(schema: pa.Schema, taken: Collection[str] = ()) -> list[pa.Field]:
    """The columns that leave with a sample, item columns still lists.

    `taken`: names that the format uses itself.
    """
    found = [f for f in schema if goes_out(f.name)]
    for field in found:
        if field.name in taken or field.name in ("sample_id", "key"):
            raise RunError(
                f"the column `{field.name}` cannot be written: the format has its own of that name"
            )
    return found


class Rows(NamedTuple):
    """The living rows of a shard: `table` thinned (see `sample.thin`), drops as they were."""

    table: pa.Table
    keys: list[str]
    image_drop: list[list[str | None]]
    text_drop: list[list[str | None]]


def living(rows: pa.Table, schema: pa.Schema) -> Rows:
    """What of `rows` is written: living samples, living items, `columns_out`, and what writing needs."""
    rows = rows.filter(pc.is_null(rows["drop"]))
    names = [*sample.BASE.names, *(f.name for f in columns_out(schema))]
    full = sample.align(rows, pa.unify_schemas([schema, sample.BASE]))
    table = sample.thin(full, {*names, "image_index", "text_index"} - {"image_drop", "text_drop"})
    return Rows(table, keys(rows), rows["image_drop"].to_pylist(), rows["text_drop"].to_pylist())


def keys(rows: pa.Table) -> list[str]:
    """A name for each row that no other row of the output has: safe in file names, without a dot.

    `#` becomes `-`. Twins (rows of one id) get `_2`, `_3`: not `-2`, which is the second child. A column
    `twin` (how many rows of that id come before, in the whole output) settles it across shards; without it
    the rows are counted here. What is written several times gets `_r2`, `_r3`: a column `copy` counts.
    """
    ids = rows["sample_id"].to_pylist()
    if "twin" in rows.column_names:
        numbers = rows["twin"].to_pylist()
    else:
        seen: Counter[str] = Counter()
        numbers = []
        for id in ids:
            numbers.append(seen[id])
            seen[id] += 1
    copies = rows["copy"].to_pylist() if "copy" in rows.column_names else [0] * len(ids)
    return [
        id.replace("#", "-") + (f"_{number + 1}" if number else "") + (f"_r{copy + 1}" if copy else "")
        for id, number, copy in zip(ids, numbers, copies, strict=True)
    ]


def images(table: pa.Table, payload: Payload, budget: int = BUDGET) -> Iterator[bytes]:
    """The bytes of all images of a thinned table, in its order; a bounded number of them at a time."""
    references = sample.flat(table["image_ref"]).to_pylist()
    counts = pc.list_value_length(sample.single(table["image_ref"])).to_numpy(zero_copy_only=False)
    row_of = np.repeat(np.arange(table.num_rows), counts)
    datasets = table["dataset"].take(pa.array(row_of)).to_pylist()
    start = 0
    while start < len(references):
        stop, size = start, 0
        while stop < len(references) and (stop == start or size < budget):
            size += expected_bytes(references[stop])
            stop += 1
        found = payload.fetch(datasets[start:stop], references[start:stop])
        for offset in range(stop - start):
            data, found[offset] = found[offset], ""  # let go of what is written
            if isinstance(data, str):
                place = start + offset
                id = table["sample_id"][int(row_of[place])].as_py()
                raise RunError(
                    f"{datasets[place]}: {references[place]}: the image of sample {id} is {data} now, "
                    "though it was there when the run read it\n  the source must not change during a run"
                )
            yield data
        start = stop


def expected_bytes(reference: str | None) -> int:
    """Bytes of an image as its reference tells them, else a guess."""
    match = _LENGTH.search(reference or "")
    return int(match[1]) if match else GUESS


def broken_image(key: str, error: Exception) -> RunError:
    """An image that no stage has looked at and that cannot be written."""
    return RunError(f"sample {key}: its image cannot be written: {error}. Was the source changed since?")


def first_item(column: pa.ChunkedArray) -> pa.Array:
    """Of each list its first item, null for an empty list: an item column where there is one item a row."""
    array = sample.single(column)
    counts = pc.list_value_length(array).to_numpy(zero_copy_only=False)
    starts = np.cumsum(counts) - counts
    return array.flatten().take(pa.array(starts, mask=counts == 0))


def index(rows: Rows, fields: Sequence[pa.Field], scalar: bool) -> pa.Table:
    """The table beside a shard: one row a written sample. `scalar`: item columns are no lists."""
    table = rows.table
    names = ["sample_id", "key", "layout", "text_body", *(f.name for f in fields)]
    columns = []
    for name in names:
        if name == "key":
            columns.append(pa.array(rows.keys, pa.string()))
        elif scalar and sample.level_of(name) != "sample":
            columns.append(first_item(table[name]))
        else:
            columns.append(sample.single(table[name]))
    return pa.table(columns, names=names)


def write_index(table: pa.Table, path: Path) -> None:
    """Parquet whose bytes follow from the values alone: `index` gave one chunk a column."""
    pq.write_table(table.replace_schema_metadata(None), path, compression="zstd")


def plain(value: Any, type: pa.DataType) -> Any:
    """A Python value as strict JSON can hold it: no NaN, and float32 with the digits it has."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        if pa.types.is_float32(type) or pa.types.is_float16(type):
            return float(str(np.float32(value)))
        return value
    if isinstance(value, int):
        return value
    if isinstance(value, list):
        return [plain(v, type.value_type) for v in value]
    if isinstance(value, dict):
        return {name: plain(v, type.field(name).type) for name, v in value.items()}
    return str(value)  # times, decimals


def in_json(type: pa.DataType) -> bool:
    """False for what has no place in JSON: bytes, and vectors (they are in the index)."""
    if pa.types.is_list(type) or pa.types.is_large_list(type):
        return in_json(type.value_type)
    return not (
        pa.types.is_binary(type)
        or pa.types.is_large_binary(type)
        or pa.types.is_fixed_size_binary(type)
        or pa.types.is_fixed_size_list(type)
    )


def constant(value: Any, type: pa.DataType) -> tuple[Any, bool]:
    """A value of one JSON type a column whatever the row, and whether it stands for a null.

    `datasets` takes the type of a JSON field from the first five samples: a null there, or a list that is
    empty there, fixes a type that later samples break. So null is written as "", -1, -1.0 or false, and what
    is nested, or too large for int64, as text.
    """
    value = plain(value, type)
    missing = value is None
    if pa.types.is_boolean(type):
        return bool(value), missing
    if pa.types.is_floating(type):
        return -1.0 if missing else value, missing
    if pa.types.is_integer(type) and not pa.types.is_uint64(type):
        return -1 if missing else value, missing
    if missing:
        return "", True
    return value if isinstance(value, str) else canonical(value), False


def constants(column: pa.Array | pa.ChunkedArray, type: pa.DataType) -> tuple[list[Any], list[int]]:
    """`constant` of each value of a column, and the rows where it stands for a null."""
    whole = pa.types.is_signed_integer(type)  # -1 has no place in the others
    if whole or pa.types.is_string(type) or pa.types.is_boolean(type):
        # nothing in these needs a look at the single value
        missing = np.flatnonzero(pc.is_null(sample.single(column)).to_numpy(zero_copy_only=False)).tolist()
        nothing = -1 if whole else "" if pa.types.is_string(type) else False
        return pc.fill_null(column, pa.scalar(nothing, type)).to_pylist(), missing
    pairs = [constant(value, type) for value in column.to_pylist()]
    return [value for value, _ in pairs], [row for row, (_, missing) in enumerate(pairs) if missing]


def constant_type(type: pa.DataType) -> pa.DataType:
    """The type that readers infer for what `constant` writes."""
    if pa.types.is_boolean(type):
        return pa.bool_()
    if pa.types.is_floating(type):
        return pa.float64()
    if pa.types.is_integer(type) and not pa.types.is_uint64(type):
        return pa.int64()
    return pa.string()
