"""Cells of an earlier run, lined up with the rows of a table of this one.

Rows are matched by sample_id, which covers the bytes a sample was made of; a cell counts only where the op's
fingerprint is the same and, for ops that see volatile columns, where their values were the same.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate import sample
from curate.sample import Ints, Level
from curate.steps import Op


class Prior:
    """Access to earlier results by the flat positions of the current table."""

    def __init__(self, stored: pa.Table | None, prints: Mapping[str, str], table: pa.Table) -> None:
        self._stored = stored
        self._prints = prints
        rows = np.full(table.num_rows, -1, dtype=np.int64)
        if stored is not None:
            found = pc.index_in(
                sample.single(table["sample_id"]), value_set=sample.single(stored["sample_id"])
            )
            rows = pc.fill_null(found, -1).to_numpy(zero_copy_only=False).astype(np.int64)
            # the same sample cut into other items is another row
            for level in sample.ITEM_LEVELS:
                known = rows >= 0
                same = sample.lengths(table, level)[known] == sample.lengths(stored, level)[rows[known]]
                rows[np.flatnonzero(known)[~same]] = -1
        self._rows = rows

    def at(self, rows: Ints) -> Prior:
        """The same for some rows of the table."""
        other = object.__new__(Prior)
        other._stored, other._prints, other._rows = self._stored, self._prints, self._rows[rows]
        return other

    def knows(self, op: Op) -> bool:
        """Whether any result of the op may be taken over."""
        return self._stored is not None and self._prints.get(op.name("verdict")) == op.fingerprint

    @property
    def rows(self) -> Ints:
        """Row of the stored table for each row of the current one, -1 where there is none."""
        return self._rows

    def slots(self, table: pa.Table, level: Level) -> Ints:
        """Flat position in the stored table for each flat position of `table`, -1 where there is none."""
        if level == "sample" or self._stored is None:
            return self._rows
        counts = sample.lengths(table, level)
        row_of = np.repeat(np.arange(table.num_rows), counts)
        item_of = np.arange(len(row_of)) - (np.cumsum(counts) - counts)[row_of]
        stored = sample.lengths(self._stored, level)
        first = np.cumsum(stored) - stored
        rows = self._rows[row_of]
        return np.where(rows < 0, -1, first[rows] + item_of) if len(first) else np.full(len(rows), -1)

    def column(self, name: str, slots: Ints) -> pa.Array:
        """Stored values at flat positions; null where the position is -1."""
        assert self._stored is not None
        column = self._stored[name]
        values = sample.single(column) if sample.level_of(name) == "sample" else sample.flat(column)
        return values.take(pa.array(slots, mask=slots < 0))


def carry_over(table: pa.Table, prior: Prior, ops: tuple[Op, ...]) -> pa.Table:
    """Fill what this run did not need with what an earlier one had found, so that no result is lost."""
    for op in ops:
        if not op.kept or not prior.knows(op):
            continue
        slots = prior.slots(table, op.level)
        names = [op.name("verdict"), *op.stage.writes().names, *([op.name("inputs")] if op.volatile else [])]
        own = table[names[0]]
        fresh = sample.single(own) if op.level == "sample" else sample.flat(own)
        empty = pc.is_null(fresh)
        if not pc.any(empty).as_py():
            continue
        for name in names:
            values = sample.single(table[name]) if op.level == "sample" else sample.flat(table[name])
            merged = pc.if_else(empty, prior.column(name, slots), values)
            whole = merged if op.level == "sample" else sample.wrap(merged, sample.lengths(table, op.level))
            table = sample.set_column(table, name, whole)
    return table
