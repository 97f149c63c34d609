"""The members of equal keys in their order, in pieces of bounded size: an election in bounded memory, however
many share a key.

What is too much for one piece is sorted outside of memory: a sample of the rows gives bounds, every file's
rows go to the ranges between them, and the ranges follow one another.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate import exchange, sample
from curate.ranking import ranked
from curate.sample import Ints
from curate.steps import GroupStep

PIECE = 200_000  # members of an election, about: what one task holds in memory
_SAMPLED = 64  # rows for each range, from which its bounds are taken
_UNIT, _BOUND = "unit", "_bound"
# What elect() is told of the whole component of each member.
TOLD = ("size", "place", "total", "before", "first")


class Carried(NamedTuple):
    """What came before a piece, of the component that goes on in it."""

    component: int = -1
    members: int = 0
    units: int = 0
    first: str = ""


_NOTHING = Carried()


def pieces(step: GroupStep, files: Sequence[Path], bucket: int, spill: Path) -> Iterator[pa.Table]:
    """The rows of a bucket of keys sorted by component and rank, with the columns of `TOLD`.

    All at once where they are few, or where the stage wants components whole.
    """
    held: list[pa.Table] = []  # what was read, while it is few enough for one piece

    def read() -> Iterator[pa.Table]:
        count = 0
        for path in files:
            table = exchange.one(path, bucket)
            count += table.num_rows
            if count <= 2 * PIECE or not step.stage.streams:
                held.append(table)
            else:
                held.clear()
            yield table

    totals = totals_of(read())
    if len(held) == len(files):
        whole = pa.concat_tables(held).combine_chunks()
        held.clear()
        yield told(ranked(step, _numbered(whole, totals)), totals)[0]
        return
    count = int(pc.sum(totals["size"]).as_py())
    bounds = _bounds(step, files, bucket, totals, -(-count // PIECE))
    ranges = bounds.num_rows + 1
    shutil.rmtree(spill, ignore_errors=True)
    spill.mkdir(parents=True)
    for number, path in enumerate(files):
        rows, place = _divided(step, _numbered(exchange.one(path, bucket), totals), bounds)
        exchange.write(spill, f"{number:06d}", rows, place, ranges)
    carried = _NOTHING
    for number in range(ranges):
        piece, carried = told(ranked(step, exchange.read(spill, number)), totals, carried)
        yield piece
    shutil.rmtree(spill)


def told(rows: pa.Table, totals: pa.Table, carried: Carried = _NOTHING) -> tuple[pa.Table, Carried]:
    """A piece with what is known of the components of its rows, and what the next one has to know."""
    component: Ints = rows["component"].to_numpy()
    if not len(component):
        ids, none = rows["sample_id"], pa.array([], pa.int64())
        return _appended(rows, {**dict.fromkeys(TOLD, none), "first": ids}), carried
    begin = np.flatnonzero(np.diff(component, prepend=-1))
    lengths = np.diff(begin, append=len(component))
    unit: Ints = rows[_UNIT].to_numpy()
    sums = np.cumsum(unit) - unit  # of all rows before
    place = np.arange(len(component)) - np.repeat(begin, lengths)
    before = sums - np.repeat(sums[begin], lengths)
    ids = sample.single(rows["sample_id"])
    first = ids.take(pa.array(begin))
    if component[0] == carried.component:
        place[: lengths[0]] += carried.members
        before[: lengths[0]] += carried.units
        first = pa.concat_arrays([pa.array([carried.first], first.type), first[1:]])
    columns = {
        "size": totals["size"].take(pa.array(component)),
        "place": pa.array(place),
        "total": totals["total"].take(pa.array(component)),
        "before": pa.array(before),
        "first": first.take(pa.array(np.repeat(np.arange(len(begin)), lengths))),
    }
    left = Carried(int(component[-1]), int(place[-1]) + 1, int(before[-1]) + int(unit[-1]), first[-1].as_py())
    return _appended(rows, columns), left


def _appended(rows: pa.Table, columns: dict[str, Any]) -> pa.Table:
    for name in TOLD:
        rows = sample.set_column(rows, name, sample.single(columns[name]))
    return rows


def totals_of(tables: Iterable[pa.Table]) -> pa.Table:
    """`key`, `size` and `total` of each component, sorted by key: its row is the component's number."""
    found = [_summed(table.select(["key", _UNIT]).append_column("n", _ones(table))) for table in tables]
    return _summed(pa.concat_tables(found)).rename_columns({_UNIT: "total", "n": "size"}).combine_chunks()


def _summed(rows: pa.Table) -> pa.Table:
    sums = rows.group_by("key").aggregate([(_UNIT, "sum"), ("n", "sum")])
    return sums.rename_columns({f"{_UNIT}_sum": _UNIT, "n_sum": "n"}).sort_by("key")


def _ones(table: pa.Table) -> pa.Array:
    return pa.array(np.ones(table.num_rows, dtype=np.int64))


def _numbered(rows: pa.Table, totals: pa.Table) -> pa.Table:
    """With the number of each row's component: by the order of the keys, not of their arrival."""
    number = pc.index_in(sample.single(rows["key"]), value_set=sample.single(totals["key"]))
    return rows.append_column("component", number.cast(pa.int64()))


def _bounds(step: GroupStep, files: Sequence[Path], bucket: int, totals: pa.Table, ranges: int) -> pa.Table:
    """Rows that cut all of them into about equal ranges."""
    step_width = max(1, int(pc.sum(totals["size"]).as_py()) // (ranges * _SAMPLED))
    sampled = []
    for path in files:
        rows = exchange.one(path, bucket)
        some = rows.take(pa.array(np.arange(0, rows.num_rows, step_width)))
        sampled.append(_numbered(some, totals))
    ordered = ranked(step, pa.concat_tables(sampled).combine_chunks())
    cuts = np.arange(1, ranges) * ordered.num_rows // ranges
    return ordered.take(pa.array(cuts))


def _divided(step: GroupStep, rows: pa.Table, bounds: pa.Table) -> tuple[pa.Table, npt.NDArray[np.int64]]:
    """The rows, sorted, and the range that each belongs to."""
    mark = np.r_[np.zeros(rows.num_rows, dtype=np.int8), np.ones(bounds.num_rows, dtype=np.int8)]
    both = pa.concat_tables([rows, bounds.select(rows.column_names)]).append_column(_BOUND, pa.array(mark))
    both = ranked(step, both.combine_chunks())
    bound = both[_BOUND].to_numpy() > 0
    place = np.cumsum(bound)[~bound]
    return both.filter(pa.array(~bound)).drop_columns([_BOUND]), place
