"""What a Linked keeps of each item: a file of signatures for each part, read at random.

The files are Arrow without compression, so that a few rows of one cost a few pages of it. They are also the
index that later runs compare their items with (`curate.index`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate import sample
from curate.commit import read_arrow, read_json, write_atomic, write_json
from curate.linked import Linked
from curate.parts import survivors
from curate.ranking import TIES, resolved
from curate.sample import Ints, Mask
from curate.steps import GroupStep
from curate.work import Context

_OPEN = 256  # files held open
# An item is (number of its part << 32) + row in the part's file.
_ROW_BITS = 32


def reads_of(step: GroupStep) -> set[str]:
    """Stored columns that a Group is shown, with those that name and rank its items."""
    return {*step.reads, "sample_id", "dataset", "source", "shape"}


def living(context: Context, step: GroupStep, part: str) -> pa.Table:
    """Living items of a part, with their `index` in the sample and their `slot` in the part."""
    reads = reads_of(step)
    table = survivors(context, (step.input, part), frozenset(reads | {"layout"}))
    seen = sample.view(table, step.level, reads)
    found = seen.table.select(sorted(reads)).append_column("index", pa.array(seen.items))
    return found.append_column("slot", pa.array(seen.slots))


def shown(step: GroupStep) -> tuple[str, ...]:
    """Columns of an item's row that an election needs."""
    ranks = [column for column, _, _ in step.stage.rank()]
    more = sorted(step.stage.shown()) if isinstance(step.stage, Linked) else []
    return tuple(dict.fromkeys([*TIES, "shape", *ranks, *more, "twin"]))


def item_rows(step: GroupStep, table: pa.Table, signature: pa.Table) -> pa.Table:
    """Rows of the items file, without the keys."""
    both = resolved(step, table)
    for name in signature.column_names:
        both = sample.set_column(both, name, sample.single(signature[name]))
    names = dict.fromkeys([*shown(step), "index", *signature.column_names])
    return both.select(list(names))


def write_items(path: Path, table: pa.Table) -> None:
    """A table that is read at random: in one piece and uncompressed, so that no more is read than is used."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    write_atomic(path, sink.getvalue())


def name_files(folder: Path, files: Sequence[Path], own: int) -> None:
    """Say which file holds the items of which number; those from `own` on are of earlier runs."""
    write_json(folder / "items.json", {"files": [str(f) for f in files], "own": own})


class Items:
    """The items of all parts of a Group, and those of the runs that it knows."""

    def __init__(self, files: Sequence[Path], own: int) -> None:
        self._files = files
        self.own = own
        self._open: dict[int, pa.Table] = {}

    @staticmethod
    def of(step: GroupStep, folder: Path) -> Items:
        """As `name_files` has said."""
        found = read_json(folder / "items.json")
        assert found is not None, f"the items of {step.id} are not prepared"
        return Items([folder / f for f in found["files"]], int(found["own"]))

    @cached_property
    def _first(self) -> pa.Table:
        return self._table(0)

    def _table(self, number: int) -> pa.Table:
        if number not in self._open:
            if len(self._open) >= _OPEN:
                self._open.pop(next(iter(self._open)))
            self._open[number] = read_arrow(self._files[number])
        return self._open[number]

    def take(self, items: Ints, columns: Sequence[str]) -> pa.Table:
        """Rows of items, which are sorted and unique."""
        number = items >> _ROW_BITS
        row = items & ((1 << _ROW_BITS) - 1)
        cuts = np.flatnonzero(np.diff(number)) + 1
        pieces = [self._first.select(columns).slice(0, 0)] if not len(items) else []
        for rows, numbers in zip(np.split(row, cuts), np.split(number, cuts), strict=True):
            if len(rows):
                pieces.append(self._table(int(numbers[0])).select(columns).take(pa.array(rows)))
        return pa.concat_tables(pieces).combine_chunks()

    def known(self, items: Ints) -> Mask:
        """Which are of earlier runs."""
        found: Mask = (items >> _ROW_BITS) >= self.own
        return found


def rows_of(step: GroupStep, items: Items, wanted: Ints) -> pa.Table:
    """What an election needs of items, with `part` (own ones only), `known` and `item`."""
    table = items.take(wanted, shown(step))
    table = table.append_column("item", pa.array(wanted))
    table = table.append_column("part", pa.array(wanted >> _ROW_BITS))
    return table.append_column("known", pc.cast(pa.array(items.known(wanted)), pa.int8()))
