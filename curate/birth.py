"""Rows at the beginning of a segment: children of an Expand, rows of a source as it first gave them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate import sample
from curate.stage import Born


def children(node: str, parents: pa.Table, born: Born, rows: pa.Array) -> pa.Table:
    table = born.children
    parent = sample.single(parents["sample_id"]).take(rows)
    ordinal = sample.single(born.ordinal).cast(pa.string())
    own = {
        "sample_id": pc.binary_join_element_wise(parent, ordinal, "#"),
        "parent": parent,
        "kind": pa.array([node] * table.num_rows, pa.string()),
        "dataset": sample.single(parents["dataset"]).take(rows),
        "source": sample.single(parents["source"]).take(rows),
        "shape": pa.array([sample.PAIR] * table.num_rows, pa.string()),
        "drop": pa.nulls(table.num_rows, pa.string()),
    }
    for name, values in own.items():
        if name not in table.column_names or name not in ("kind", "shape"):
            table = sample.set_column(table, name, values)
    for level in sample.ITEM_LEVELS:
        counts = pc.count_substring(table["layout"], sample.SPAN[level]).to_numpy().astype(np.int64)
        none = pa.nulls(int(counts.sum()), pa.string())
        table = sample.set_column(table, f"{level}_drop", sample.wrap(none, counts))
    return table


def only_from(table: pa.Table, name: str, node: str) -> pa.Table:
    """A drop column with only the tombstones of one node left."""
    items = name != "drop"
    values = sample.flat(table[name]) if items else sample.single(table[name])
    kept = pc.if_else(
        pc.fill_null(pc.starts_with(values, f"{node}:"), False), values, pa.scalar(None, pa.string())
    )
    if items:
        kept = sample.wrap(kept, pc.list_value_length(table[name]).to_numpy().astype(np.int64))
    return sample.set_column(table, name, kept)
