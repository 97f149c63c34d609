"""The order in which the members of a component are elected: total, and the same however the work is cut."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from curate import sample
from curate.steps import GroupStep

# Columns of every item beside the ones a Group reads. `part` and `slot` say where its decision belongs.
TIES = ("sample_id", "dataset", "source", "slot")
LOT = "lot"  # the stage's own order before ties, where it has one


def resolved(step: GroupStep, items: pa.Table) -> pa.Table:
    """Rank columns of another item level (the captions of an image) as one value each: the best of them."""
    for name, direction, first in step.stage.rank():
        if name not in items.column_names:
            continue
        values = sample.single(items[name])
        if not pa.types.is_list(values.type):
            continue
        flat = values.flatten()
        wanted = pa.array(first, pa.string())
        place = pc.fill_null(pc.index_in(flat.cast(pa.string()), value_set=wanted), len(first))
        found = pa.table({"row": pc.list_parent_indices(values), "value": flat, "place": place})
        found = found.take(pc.sort_indices(found, sort_keys=[("place", "ascending"), ("value", direction)]))
        found = found.group_by("row", use_threads=False).aggregate([("value", "first")])
        found = found.rename_columns({"value_first": "value"}).sort_by("row")
        filled = sample.scatter(sample.single(found["value"]), found["row"].to_numpy(), items.num_rows)
        items = sample.set_column(items, name, filled)
    return items


def ranked(step: GroupStep, table: pa.Table) -> pa.Table:
    """Sorted by component and, within one, from best to worst; what earlier runs kept comes first."""
    order = [("component", "ascending"), ("known", "descending")]
    for number, (name, direction, first) in enumerate(step.stage.rank()):
        if first:
            column = sample.single(table[name]).cast(pa.string())
            place = pc.fill_null(pc.index_in(column, value_set=pa.array(first)), len(first))
            table = table.append_column(f"_first{number}", place)
            order.append((f"_first{number}", "ascending"))
        order.append((name, direction))
    if LOT in table.column_names:
        order.append((LOT, "ascending"))
    # of a column named twice the first mention counts
    keys = list(dict(reversed([*order, *((name, "ascending") for name in TIES)])).items())[::-1]
    sort_keys = [(name, direction, "at_end") for name, direction in keys]
    sorted_ = table.take(pc.sort_indices(table, sort_keys=sort_keys)).combine_chunks()
    return sorted_.select([n for n in sorted_.column_names if not n.startswith("_first")])
