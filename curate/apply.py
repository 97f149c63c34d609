"""Run the ops of a segment on a table: what is known is taken over, the rest is computed.

Micro-batches and the bisecting of bad rows are here, so that no author of a stage thinks of them. Holds one
of the two broad `except`s of the repository.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate import sample
from curate.declared import check_lists, checked
from curate.errors import BUGS, CurateError, StageBug
from curate.frames import Frames
from curate.prior import Prior
from curate.sample import Ints, Mask, View
from curate.stage import DECODE_REASONS, PAYLOAD_REASONS, Heavy, Model, Store
from curate.stage import Op as Opened
from curate.steps import Op

T = TypeVar("T")
KEPT = ""  # verdict of an item that an op has seen and let pass
KILLED = "error.Killed"  # of one that ended the process


@dataclass
class NodeStats:
    """What one node did to a part. Rows are samples; computed, reused and dropped count items."""

    rows_in: int = 0
    rows_out: int = 0
    computed: int = 0
    reused: int = 0
    errors: int = 0
    seconds: float = 0.0
    dropped: Counter[str] = field(default_factory=Counter)

    def add(self, other: NodeStats) -> None:
        """Add the figures of other rows."""
        self.rows_in += other.rows_in
        self.rows_out += other.rows_out
        self.computed += other.computed
        self.reused += other.reused
        self.errors += other.errors
        self.seconds += other.seconds
        self.dropped.update(other.dropped)

    def as_dict(self) -> dict[str, Any]:
        return {**self.__dict__, "dropped": dict(sorted(self.dropped.items()))}


class Chain:
    """The opened ops of a segment on this worker."""

    def __init__(
        self,
        ops: Sequence[Op],
        frames: Callable[[int], Frames],
        store: Callable[[str], Store],
        model: Callable[[Heavy], Model],
    ) -> None:
        self._ops = tuple(ops)
        self._frames = frames
        self._store = store
        self._model = model
        self._opened: dict[int, Opened] = {}
        # a node that works on several levels has an op for each; its rows are counted once
        self._first = {op.node: op for op in reversed(self._ops)}
        self._last = {op.node: op for op in self._ops}
        # Where set, each op's name is written there before it runs, for the post-mortem of a killed worker.
        self.breadcrumb: str | None = None
        # Nodes that are known to kill the worker on the rows at hand: not run, their items get KILLED.
        self.spared: Set[str] = frozenset()

    def replay(
        self, table: pa.Table, prior: Prior, stats: Mapping[str, NodeStats]
    ) -> tuple[pa.Table, Ints, Ints]:
        """Go as far as what is known alone allows, computing nothing.

        Returns the rows that got through, their positions, and the positions of rows that miss a cell.
        """
        places = np.arange(table.num_rows)
        first = next((op for op in self._ops if op.kept), None)
        if first is not None and not prior.knows(first):
            return table.slice(0, 0), places[:0], places
        found = {node: NodeStats() for node in stats}
        result, done, late = self._try(table, prior, found)
        if len(late):
            # rows that wait have left traces in the figures, and are counted again when they are computed
            found = {node: NodeStats() for node in stats}
            result, _, none = self._try(table.take(pa.array(done)), prior.at(done), found)
            assert len(none) == 0, "a row that got through once does not get through again"
        for node, figures in found.items():
            stats[node].add(figures)
        return result, done, late

    def lacking(self, table: pa.Table, prior: Prior) -> dict[str, int]:
        """For each node, how many living items of these rows have no known result."""
        found = dict.fromkeys((op.node for op in self._ops if op.kept), 0)
        for op in self._ops:
            if op.kept:
                covered, _ = self._covered(op, self._see(op, table), table, prior)
                found[op.node] += int((~covered).sum())
        return found

    def _try(
        self, table: pa.Table, prior: Prior, stats: Mapping[str, NodeStats]
    ) -> tuple[pa.Table, Ints, Ints]:
        places = np.arange(table.num_rows)
        waiting = [places[:0]]
        for op in self._ops:
            seen = self._see(op, table)
            if op.kept:
                covered, _ = self._covered(op, seen, table, prior)
                lacking = np.unique(seen.rows[~covered])
                if len(lacking):
                    waiting.append(places[lacking])
                    stay = np.setdiff1d(np.arange(len(places)), lacking)
                    places, prior = places[stay], prior.at(stay)
                    table = table.take(pa.array(stay))
                    seen = self._see(op, table)
            table = self._step(op, table, seen, prior, None, stats[op.node])
        return table, places, np.sort(np.concatenate(waiting))

    def compute(self, table: pa.Table, prior: Prior, stats: Mapping[str, NodeStats]) -> pa.Table:
        """Run all ops on a micro-batch, computing what is not known."""
        frames = self._frames(int(sample.lengths(table, "image").sum()))
        for op in self._ops:
            table = self._step(op, table, self._see(op, table), prior, frames, stats[op.node])
        return table

    def _see(self, op: Op, table: pa.Table) -> View:
        sources = ("dataset", "image_ref") if op.transient else ()
        return sample.view(table, op.level, {*op.reads, *op.stage.rewrites(), *sources, "sample_id"})

    def _covered(self, op: Op, seen: View, table: pa.Table, prior: Prior) -> tuple[Mask, Ints]:
        """Which of the living items are known, and where they are stored."""
        nothing = np.zeros(len(seen.slots), dtype=bool)
        if not op.kept or not prior.knows(op):
            return nothing, np.full(len(seen.slots), -1)
        slots = prior.slots(table, op.level)[seen.slots]
        verdict = prior.column(op.name("verdict"), slots)
        # what was put off is asked again
        settled = pc.and_(
            pc.is_valid(verdict), pc.invert(pc.starts_with(pc.fill_null(verdict, ""), "deferred"))
        )
        covered: Mask = settled.to_numpy(zero_copy_only=False)
        if op.volatile and covered.any():
            same = pc.equal(prior.column(op.name("inputs"), slots), pa.array(inputs_hash(op, seen)))
            covered = covered & pc.fill_null(same, False).to_numpy(zero_copy_only=False)
        return covered, slots

    def _step(
        self, op: Op, table: pa.Table, seen: View, prior: Prior, frames: Frames | None, stats: NodeStats
    ) -> pa.Table:
        """One op on all living items of a table, and what that does to their samples."""
        started = time.perf_counter()
        before = int(sample.alive_rows(table).sum())
        covered, slots = self._covered(op, seen, table, prior)
        writes = op.cells
        todo = np.flatnonzero(~covered)
        if len(todo) == len(seen.slots):
            columns, verdict = self._run(op, seen, frames)
        else:
            known = np.flatnonzero(covered)
            columns = {f.name: prior.column(f.name, slots[known]) for f in writes}
            verdict = prior.column(op.name("verdict"), slots[known])
            if len(todo):
                fresh, fresh_verdict = self._run(op, seen.take(todo), frames)
                order = pa.array(np.argsort(np.concatenate([known, todo]), kind="stable"))
                columns = {n: pa.concat_arrays([columns[n], fresh[n]]).take(order) for n in columns}
                verdict = pa.concat_arrays([verdict, fresh_verdict]).take(order)
        drop = pc.if_else(pc.equal(verdict, KEPT), pa.scalar(None, pa.string()), verdict)
        for name in op.stage.rewrites():
            columns[name] = pc.if_else(pc.is_null(drop), columns[name], sample.single(seen.table[name]))
        if op.kept:
            columns[op.name("verdict")] = verdict
            if op.volatile:
                columns[op.name("inputs")] = pa.array(inputs_hash(op, seen), pa.string())
        check_lists(op, table, seen, columns)
        table = sample.settle(sample.put(table, seen, columns, drop, op.node), op.node)
        if op is self._first[op.node]:
            stats.rows_in += before
        if op is self._last[op.node]:
            stats.rows_out += int(sample.alive_rows(table).sum())
        if op.kept:
            stats.computed += len(todo)
            stats.reused += len(seen.slots) - len(todo)
        reasons = Counter(drop.drop_null().to_pylist())
        stats.errors += sum(n for reason, n in reasons.items() if reason.startswith("error."))
        stats.dropped.update(reasons)
        stats.seconds += time.perf_counter() - started
        return table

    def _run(self, op: Op, seen: View, frames: Frames | None) -> tuple[dict[str, pa.Array], pa.Array]:
        """Compute all items of a view: columns and verdicts, a value an item."""
        writes, n = op.cells, len(seen.slots)
        if op.node in self.spared:
            return {f.name: pa.nulls(n, f.type) for f in writes}, pa.array([KILLED] * n, pa.string())
        self._leave_breadcrumb(op)
        size = min(op.stage.batch, Frames.BATCH) if op.transient else op.stage.batch
        pieces: list[tuple[dict[str, pa.Array], pa.Array]] = []
        for start in range(0, n, size):
            part = seen.take(np.arange(start, min(start + size, n)))
            pieces.append(self._run_batch(op, part, frames))
        if not pieces:
            return {f.name: pa.nulls(0, f.type) for f in writes}, pa.nulls(0, pa.string())
        if len(pieces) == 1:
            return pieces[0]
        return (
            {f.name: pa.concat_arrays([c[f.name] for c, _ in pieces]) for f in writes},
            pa.concat_arrays([v for _, v in pieces]),
        )

    def _run_batch(self, op: Op, part: View, frames: Frames | None) -> tuple[dict[str, pa.Array], pa.Array]:
        n = len(part.slots)
        verdict = np.full(n, KEPT, dtype=object)
        table = part.table.select(list(op.reads))
        if op.transient:
            assert frames is not None, "an op that needs images was run without them"
            for name in op.transient:
                for i, reason in frames.reasons(name, part):
                    verdict[i] = verdict[i] or reason
            whole = np.flatnonzero(verdict == KEPT)
            good = part.take(whole)
            table = good.table.select(list(op.reads))
            for name in op.transient:
                table = table.append_column(name, frames.column(name, good))
        else:
            whole = np.arange(n)
        ids = part.table["sample_id"].take(pa.array(whole))
        columns, drop = self._call(op, table, ids)
        verdict[whole] = pc.fill_null(drop, KEPT).to_pylist()
        if len(whole) < n:
            columns = {name: sample.scatter(values, whole, n) for name, values in columns.items()}
        return columns, pa.array(verdict, pa.string())

    def _call(self, op: Op, table: pa.Table, ids: pa.ChunkedArray) -> tuple[dict[str, pa.Array], pa.Array]:
        """The stage's own function; rows on which it raises are found by bisection."""
        if id(op) not in self._opened:
            self._opened[id(op)] = self._open(op)
        writes = op.cells
        if table.num_rows == 0:
            return {f.name: pa.nulls(0, f.type) for f in writes}, pa.nulls(0, pa.string())
        opened = self._opened[id(op)]

        def failed(reason: str) -> tuple[dict[str, pa.Array], pa.Array]:
            return {f.name: pa.nulls(1, f.type) for f in writes}, pa.array([reason], pa.string())

        allowed = op.stage.reasons() | PAYLOAD_REASONS | DECODE_REASONS

        def work(some: pa.Table, ids: pa.ChunkedArray) -> tuple[dict[str, pa.Array], pa.Array]:
            return checked(op.node, writes, allowed, opened(some), some.num_rows, ids)

        pieces = guarded(op.node, ids, table, work, failed)
        if len(pieces) == 1:
            return pieces[0]
        columns = {f.name: pa.concat_arrays([c[f.name] for c, _ in pieces]) for f in writes}
        return columns, pa.concat_arrays([drop for _, drop in pieces])

    def _open(self, op: Op) -> Opened:
        stage = op.stage
        if stage.stores:
            return stage.open_with(self._store(op.node))
        return stage.open_around(self._model(stage)) if isinstance(stage, Heavy) else stage.open()

    def _leave_breadcrumb(self, op: Op) -> None:
        if self.breadcrumb is not None:
            with open(self.breadcrumb, "w") as file:
                file.write(op.node)
                file.flush()
                os.fsync(file.fileno())


def guarded(
    node: str,
    ids: pa.ChunkedArray,
    table: pa.Table,
    work: Callable[[pa.Table, pa.ChunkedArray], T],
    failed: Callable[[str], T] | None,
) -> list[T]:
    """`work` on all rows at once; where it raises, on halves, down to the guilty rows, which get `failed`.

    Bugs are no property of a row: they stop the run. So does any exception where `failed` is None: of work
    that needs all its rows at once (a Group's) no row can be blamed.
    """
    try:
        return [work(table, ids)]
    except CurateError:
        raise
    except BUGS as error:
        at = f"{type(error).__name__}: {error}{_where(error)}"
        raise StageBug(node, at, ids.to_pylist()) from error
    except Exception as error:  # a stage may raise anything on bad data; it costs that row
        if failed is None:
            at = f"{type(error).__name__}: {error}{_where(error)}"
            raise StageBug(node, at, ids.to_pylist()) from error
        if table.num_rows <= 1:
            return [failed(f"error.{type(error).__name__}")]
        half = table.num_rows // 2
        first = guarded(node, ids.slice(0, half), table.slice(0, half), work, failed)
        return first + guarded(node, ids.slice(half), table.slice(half), work, failed)


def inputs_hash(op: Op, seen: View) -> list[str]:
    """A hash of the values an op sees, one for each item: 16 hex digits."""
    names = sorted({*op.reads, *(("image_ref",) if op.transient else ())})
    rows = zip(*(_values(seen.table[name]) for name in names), strict=True)
    return [hashlib.sha256(repr(row).encode("utf-8", "surrogatepass")).hexdigest()[:16] for row in rows]


def _values(column: pa.ChunkedArray) -> list[Any]:
    """Python values of a column; a vector is its bytes, for as numbers it takes a hundred times as long."""
    values = sample.single(column)
    if not pa.types.is_fixed_size_list(values.type) or values.null_count:
        return list(values.to_pylist())
    numbers = values.flatten().to_numpy(zero_copy_only=False)
    return [row.tobytes() for row in numbers.reshape(len(values), -1)]


def _where(error: BaseException) -> str:
    """File and line of the innermost frame, so that the author finds the place."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f" ({trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})"
