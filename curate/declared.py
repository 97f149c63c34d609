"""Hold a stage to what it declared: its columns, its types, its reasons, one of each a row."""

from __future__ import annotations

from collections.abc import Mapping, Set

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate import sample
from curate.errors import StageBug
from curate.sample import View
from curate.stage import Born, Out
from curate.steps import Op


def checked(
    node: str, writes: pa.Schema, allowed: Set[str], out: Out, n: int, ids: pa.ChunkedArray
) -> tuple[dict[str, pa.Array], pa.Array]:
    """Hold a stage to what it declared: its columns and its reasons, one of each a row."""
    problem = ""
    if set(out.columns) != set(writes.names):
        problem = f"returned the columns {sorted(out.columns)}, but declares {sorted(writes.names)}"
    columns = {}
    for f in writes if not problem else []:
        values = sample.single(out.columns[f.name])
        if len(values) != n:
            problem = f"returned {len(values)} values of `{f.name}` for {n} rows"
        elif values.type != f.type:
            problem = f"returned `{f.name}` as {values.type}, but declares {f.type}"
        columns[f.name] = values
    drop = pa.nulls(n, pa.string()) if out.drop is None else sample.single(out.drop)
    problem = problem or _wrong_reasons(drop, n, allowed)
    if problem:
        raise StageBug(node, problem, ids.to_pylist())
    return columns, drop


def _wrong_reasons(drop: pa.Array, n: int, allowed: Set[str]) -> str:
    if len(drop) != n or not pa.types.is_string(drop.type):
        return f"returned {len(drop)} reasons of type {drop.type} for {n} rows"
    given = set(pc.unique(drop).drop_null().to_pylist())
    return "" if given <= allowed else f"gave the reasons {sorted(given - allowed)}, not declared"


def checked_born(
    node: str, columns: pa.Schema, allowed: Set[str], born: Born, n: int, ids: pa.ChunkedArray
) -> Born:
    """The same for what an Expand gives back. `columns`: all that its children may have, as stored."""
    children, drop = born.children, sample.single(born.drop)
    problem = _wrong_reasons(drop, n, allowed)
    parent, ordinal = (sample.single(a).to_numpy(zero_copy_only=False) for a in (born.parent, born.ordinal))
    if not len(parent) == len(ordinal) == children.num_rows:
        problem = problem or f"{children.num_rows} children, {len(parent)} parents, {len(ordinal)} ordinals"
    elif len(parent):
        if parent.min() < 0 or parent.max() >= n:
            problem = problem or f"names parents beyond the {n} it was given"
        elif len(np.unique(np.stack([parent, ordinal]), axis=1).T) < len(parent):
            problem = problem or "gives two children of one parent the same ordinal"
        for name in children.column_names:
            field = columns.field(name) if name in columns.names else None
            if field is None or field.type != children[name].type:
                declared = "nothing of the kind" if field is None else field.type
                problem = problem or f"returned `{name}` as {children[name].type}, but declares {declared}"
    if not problem and not np.array_equal(np.bincount(parent, minlength=n) == 0, pc.is_valid(drop)):
        problem = "must give a reason for each parent without children, and for no other"
    if problem:
        raise StageBug(node, problem, ids.to_pylist())
    return born


def check_lists(op: Op, table: pa.Table, seen: View, columns: Mapping[str, pa.Array]) -> None:
    """Hold a stage that sees samples and writes of their items to one value for each living item."""
    for level in sample.ITEM_LEVELS:
        names = [n for n in columns if sample.level_of(n) == level != op.level]
        if not names:
            continue
        alive = sample.alive_items(table, level)
        row_of = np.repeat(np.arange(table.num_rows), sample.lengths(table, level))
        living = np.bincount(row_of[alive], minlength=table.num_rows)[seen.rows]
        for name in names:
            found = pc.fill_null(pc.list_value_length(columns[name]), -1).to_numpy(zero_copy_only=False)
            wrong = np.flatnonzero(found != living)
            if len(wrong):
                problem = (
                    f"returned {found[wrong[0]]} values of `{name}` for {living[wrong[0]]} living {level}s"
                )
                raise StageBug(op.node, problem, seen.table["sample_id"].take(pa.array(wrong)).to_pylist())
