"""Groups of samples that are alike in some columns: what quotas and mixtures are told for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import RecipeError
from curate.sample import scatter, single

Ints = npt.NDArray[np.int64]


def first_values(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """One value a sample: of a column of items that of the first item that is alive and has one."""
    values = single(column)
    if not pa.types.is_list(values.type):
        return values
    flat, owner = values.flatten(), pc.list_parent_indices(values)
    there = pc.is_valid(flat)
    flat, owner = flat.filter(there), owner.filter(there).to_numpy()
    rows, first = np.unique(owner, return_index=True)
    return scatter(flat.take(pa.array(first)), rows.astype(np.int64), len(values))


def summed(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """One number a sample: of a column of items their sum, exact for integers. Null and NaN count nothing."""
    values = single(column)
    if not pa.types.is_list(values.type):
        return _counted(values)
    rows = pa.table({"row": pc.list_parent_indices(values), "value": _counted(values.flatten())})
    found = rows.group_by("row", use_threads=False).aggregate([("value", "sum")])
    return pc.fill_null(scatter(single(found["value_sum"]), found["row"].to_numpy(), len(values)), 0)


def _counted(values: pa.Array) -> pa.Array:
    if pa.types.is_floating(values.type):
        values = values.cast(pa.float64())
        values = pc.if_else(pc.is_finite(values), values, 0.0)
    else:
        values = values.cast(pa.int64())
    return pc.fill_null(values, 0)


def labels(table: pa.Table, columns: Sequence[str], missing: str | None = None) -> pa.Array:
    """Name of each sample's group: the values of its columns with `/` between them; null where one is and
    `missing` does not stand for it."""
    if not columns:
        return pa.array(np.full(table.num_rows, "all", dtype=object), pa.string())
    values = [single(pc.cast(first_values(table[name]), pa.string())) for name in columns]
    if missing is not None:
        values = [single(pc.fill_null(v, missing)) for v in values]
    return single(pc.binary_join_element_wise(*values, "/")) if len(values) > 1 else values[0]


def as_keys(names: pa.Array) -> pa.Array:
    """list<string>: each label as the one key of its sample, none where it is null."""
    there = pc.is_valid(names).to_numpy(zero_copy_only=False)
    offsets = np.zeros(len(names) + 1, dtype=np.int32)
    np.cumsum(there, out=offsets[1:])
    return pa.ListArray.from_arrays(pa.array(offsets), names.filter(pa.array(there)))


def components(members: pa.Table) -> tuple[Ints, Ints, Ints]:
    """First row and size of each component of a table that is sorted by them, and the place of each row's
    component among these."""
    component: Ints = single(members["component"]).to_numpy()
    rows = len(component)
    first = np.flatnonzero(np.diff(component, prepend=-1)) if rows else np.zeros(0, dtype=np.int64)
    sizes = np.diff(first, append=rows)
    return first, sizes, np.repeat(np.arange(len(first)), sizes)


def check_groupable(columns: pa.Schema, names: Sequence[str], place: str) -> None:
    """RecipeError where a column cannot tell groups apart: lists, structures, numbers with fractions."""
    for name in names:
        kind = columns.field(name).type if name in columns.names else pa.string()
        plain = pa.types.is_string(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)
        if not plain:
            raise RecipeError(
                place,
                f"`{name}` holds {kind}, which tells no groups apart",
                "use text, integers or bools",
            )


def check_number(columns: pa.Schema, name: str, place: str) -> None:
    """RecipeError where a column holds no numbers."""
    kind = columns.field(name).type if name in columns.names else pa.int64()
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise RecipeError(place, f"needs numbers, and `{name}` holds {kind}")
