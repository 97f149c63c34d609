"""Tombstones to ledger rows, and the law of conservation.

    entered + born + repeated == written + dropped + errors + deferred + expanded

for samples and for image occurrences, for every output along its ancestors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate import sample
from curate.errors import RunError
from curate.sample import level_of
from curate.stage import EXPANDED
from curate.steps import Columns

ABSENT = "absent"  # drop of a row that is only kept for reuse: it did not reach this segment now
FATES = ("dropped", "errors", "deferred", "expanded")

_BASE = pa.schema(
    [
        ("sample_id", pa.string()),
        ("dataset", pa.string()),
        ("source", pa.string()),
        ("output", pa.string()),
        ("level", pa.string()),
        ("index", pa.int32()),
        ("node", pa.string()),
        ("reason", pa.string()),
    ]
)
# Of the record itself, only what helps to recognise a sample.
_NOT_SCORES = {*sample.BASE.names} - {"text_body", "image_ref", "layout", "shape"}


def fate_of(reason: str) -> str:
    """Which term of the law a reason counts in."""
    if reason == EXPANDED:
        return "expanded"
    if reason.startswith("error."):
        return "errors"
    return "deferred" if reason.startswith("deferred") else "dropped"


def split_drop(drop: str) -> tuple[str, str]:
    """`<node>:<reason>` apart."""
    node, _, reason = drop.partition(":")
    return node, reason


def schema(columns: Iterable[Columns]) -> pa.Schema:
    """The ledger's schema, one for the whole run: base and every scalar column any segment has."""
    fields: dict[str, pa.Field] = {}
    for known in columns:
        for name, column in known.items():
            simple = not pa.types.is_nested(column.type)
            if name not in _NOT_SCORES and name not in _BASE.names and simple:
                fields.setdefault(name, pa.field(name, column.type))
    return pa.schema([*_BASE, *(fields[n] for n in sorted(fields))])


def rows(table: pa.Table, nodes: Sequence[str], outputs: Sequence[str], full: pa.Schema) -> pa.Table:
    """Ledger rows of a segment's part, one for each sample, image or text that died in it and output.

    `nodes` are the segment's: an item that died in an earlier one is in that one's ledger already.

    A pair's row shows the scores of its one image and one text beside its own; a document's items have rows
    of their own. A living image of a dead sample is dropped as `sample` (or `expanded` with it).
    """
    pieces = [
        _of_samples(table, full),
        *(_of_items(table, level, nodes, full) for level in sample.ITEM_LEVELS),
    ]
    one = pa.concat_tables(pieces)
    place = one.schema.get_field_index("output")
    copies = [
        one.set_column(place, "output", pa.array([output] * one.num_rows, pa.string()))
        for output in (outputs or ("",))
    ]
    # rows of one death side by side: they compress to almost nothing
    order = np.arange(one.num_rows * len(copies)).reshape(len(copies), -1).T.ravel()
    return pa.concat_tables(copies).take(pa.array(order))


def _of_samples(table: pa.Table, full: pa.Schema) -> pa.Table:
    dead = table.filter(pc.is_valid(table["drop"]))
    columns = _split(sample.single(dead["drop"]))
    columns |= {"level": _same("sample", dead.num_rows), "index": pa.array([-1] * dead.num_rows, pa.int32())}
    for field in full:
        if field.name in columns or field.name not in dead.column_names:
            continue
        level = level_of(field.name)
        values = sample.single(dead[field.name])
        if level != "sample":
            counts = sample.lengths(dead, level)
            first = np.cumsum(counts) - counts
            only = pa.array(first, mask=counts != 1)
            values = values.flatten().take(only)
        columns[field.name] = values
    return _table(columns, dead.num_rows, full)


def _of_items(table: pa.Table, level: Any, nodes: Sequence[str], full: pa.Schema) -> pa.Table:
    counts = sample.lengths(table, level)
    row_of = np.repeat(np.arange(table.num_rows), counts)
    item_of = np.arange(len(row_of)) - (np.cumsum(counts) - counts)[row_of]
    own = sample.flat(table[f"{level}_drop"])
    drop = own if level == "text" else pc.coalesce(own, _with_sample(table).take(pa.array(row_of)))
    here = pc.is_in(_node(drop), value_set=pa.array(nodes, pa.string()))
    dead = np.flatnonzero(pc.and_(pc.is_valid(drop), here).to_numpy(zero_copy_only=False))
    places = pa.array(dead)
    columns = _split(drop.take(places))
    columns |= {"level": _same(level, len(dead)), "index": pa.array(item_of[dead].astype(np.int32))}
    for field in full:
        if field.name in columns or field.name not in table.column_names:
            continue
        if level_of(field.name) == level:
            columns[field.name] = sample.flat(table[field.name]).take(places)
        elif level_of(field.name) == "sample":
            columns[field.name] = sample.single(table[field.name]).take(pa.array(row_of[dead]))
    return _table(columns, len(dead), full)


def _node(drop: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(drop, pattern=":.*$", replacement="")


def _with_sample(table: pa.Table) -> pa.Array:
    """What becomes of the living images of each sample: null while it lives."""
    fate = sample.single(table["drop"])
    expanded = pc.ends_with(fate, f":{EXPANDED}")
    reason = pc.if_else(expanded, pa.scalar(EXPANDED), pa.scalar("sample"))
    return pc.binary_join_element_wise(_node(fate), reason, ":")


def _split(drop: pa.Array) -> dict[str, pa.Array]:
    pairs = [split_drop(d) for d in drop.to_pylist()]
    return {
        "node": pa.array([p[0] for p in pairs], pa.string()),
        "reason": pa.array([p[1] for p in pairs], pa.string()),
    }


def _same(value: str, n: int) -> pa.Array:
    return pa.array([value] * n, pa.string())


def _table(columns: Mapping[str, pa.Array], n: int, full: pa.Schema) -> pa.Table:
    return pa.table(
        {f.name: columns[f.name].cast(f.type) if f.name in columns else pa.nulls(n, f.type) for f in full},
        schema=full,
    )


def tally(dead: pa.Table, n_outputs: int) -> dict[str, dict[str, int]]:
    """Counts of ledger rows by fate for `samples` and `images` of one output."""
    found = {"samples": dict.fromkeys(FATES, 0), "images": dict.fromkeys(FATES, 0)}
    grouped = dead.group_by(["level", "reason"]).aggregate([([], "count_all")])
    for row in grouped.to_pylist():
        if row["level"] in ("sample", "image"):
            found[row["level"] + "s"][fate_of(row["reason"])] += row["count_all"] // max(n_outputs, 1)
    return found


def add(into: dict[str, Counter[str]], counts: Mapping[str, Mapping[str, int]]) -> None:
    for level, terms in counts.items():
        into.setdefault(level, Counter()).update(terms)


def prove(output: str, counts: Mapping[str, Mapping[str, int]]) -> None:
    """Raise RunError where the law does not hold for an output."""
    for level, terms in counts.items():
        came = sum(terms.get(t, 0) for t in ("entered", "born", "repeated"))
        went = sum(terms.get(t, 0) for t in ("written", *FATES))
        if came != went:
            told = ", ".join(f"{k} {v}" for k, v in terms.items())
            raise RunError(
                f"output `{output}`: {came} {level} came in and {went} are accounted for ({told}). "
                "This is a defect of the engine; nothing of this run should be trusted."
            )
