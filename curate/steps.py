"""What a plan is made of: columns, ops, segments, and the steps between them. Data only."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import pyarrow as pa

from curate.io.sink import Write
from curate.io.source import Read
from curate.recipe import Recipe
from curate.sample import Level, level_of
from curate.stage import Expand, Group, Map


@dataclass(frozen=True)
class Column:
    """A column as the plan knows it. `type` is that of one item."""

    type: pa.DataType
    node: str
    fingerprint: str
    # Its values may depend on what was dropped before, so the fingerprint alone does not vouch for them.
    volatile: bool = False


Columns: TypeAlias = dict[str, Column]


@dataclass(frozen=True)
class Op:
    """One Map at one level, in a segment."""

    node: str
    stage: Map
    level: Level
    fingerprint: str
    reads: tuple[str, ...]  # stored columns it is shown
    transient: tuple[str, ...]  # engine-made columns it is shown (bytes, pixels)
    volatile: bool

    @property
    def kept(self) -> bool:
        return type(self.stage).kept

    @cached_property
    def cells(self) -> pa.Schema:
        """What the stage gives back: a value for each item it sees, or a list of one for each living item
        of the samples it sees."""
        return pa.schema(
            [
                f if self.level == level_of(f.name) else pa.field(f.name, pa.list_(f.type))
                for f in self.stage.writes()
            ]
        )

    def name(self, kind: str) -> str:
        """Name of an engine column of this op at its level: `verdict` or `inputs`."""
        prefix = "" if self.level == "sample" else f"{self.level}_"
        return f"{prefix}{kind}.{self.node}"


@dataclass(frozen=True)
class Segment:
    """A chain of ops over parts; `id` is that of its first node."""

    id: str
    nodes: tuple[str, ...]
    inputs: tuple[str, ...] = ()  # segments
    source: Read | None = None
    expand: Expand | None = None
    decisions: str = ""  # the Group whose decisions are applied first
    measured: str = ""  # the node that waits for quantiles of what comes in
    thresholds: str = ""  # a fingerprint of those, once they are filled in
    ops: tuple[Op, ...] = ()
    columns: Columns = field(default_factory=dict, compare=False)
    outputs: tuple[str, ...] = ()  # ids of the Writes it leads to

    @property
    def stores_all(self) -> bool:
        """Whether its parts hold all columns; else only its own, beside those of the segment before."""
        return self.source is not None or self.expand is not None or len(self.inputs) > 1

    @property
    def own(self) -> tuple[str, ...]:
        """Columns that its nodes write."""
        return tuple(n for n, c in self.columns.items() if c.node in self.nodes)

    def schema(self) -> pa.Schema:
        """All columns at its end, as stored, engine columns included."""
        fields = [stored_field(name, c.type) for name, c in self.columns.items()]
        for op in self.ops:
            if op.kept:
                fields.append(stored_field(op.name("verdict"), pa.string()))
                if op.volatile:
                    fields.append(stored_field(op.name("inputs"), pa.string()))
        return pa.schema(fields)

    def fingerprints(self) -> dict[str, str]:
        """What a rerun may reuse: for each op that keeps its results, its fingerprint."""
        return {op.name("verdict"): op.fingerprint for op in self.ops if op.kept}


@dataclass(frozen=True)
class GroupStep:
    """A Group over the survivors of one segment."""

    id: str
    stage: Group
    input: str
    level: Level
    reads: tuple[str, ...]
    fingerprint: str


@dataclass(frozen=True)
class MeasureStep:
    """Quantiles and counts over the survivors of one segment, for the stage that the next one begins with."""

    id: str
    stage: Map
    input: str


@dataclass(frozen=True)
class WriteStep:
    """An output of the survivors of one segment."""

    id: str
    stage: Write
    input: str
    schema: pa.Schema
    totals: tuple[str, ...] = ()  # columns whose sums over the output run.json tells
    tallies: tuple[str, ...] = ()  # and those whose values are counted


Step: TypeAlias = Segment | GroupStep | MeasureStep | WriteStep


@dataclass(frozen=True)
class Plan:
    """Steps in an order in which they can run."""

    recipe: Recipe
    steps: tuple[Step, ...]

    def segment(self, id: str) -> Segment:
        return next(s for s in self.steps if isinstance(s, Segment) and s.id == id)

    def group(self, id: str) -> GroupStep:
        return next(s for s in self.steps if isinstance(s, GroupStep) and s.id == id)

    def measure(self, id: str) -> MeasureStep:
        return next(s for s in self.steps if isinstance(s, MeasureStep) and s.id == id)

    def write(self, id: str) -> WriteStep:
        return next(s for s in self.writes() if s.id == id)

    def segments(self) -> list[Segment]:
        return [s for s in self.steps if isinstance(s, Segment)]

    def writes(self) -> list[WriteStep]:
        return [s for s in self.steps if isinstance(s, WriteStep)]

    def reads(self) -> dict[str, Read]:
        """Data set name -> its source."""
        return {s.source.dataset(): s.source for s in self.segments() if s.source is not None}

    def ancestors(self, id: str) -> list[str]:
        """A segment and every segment before it."""
        found = [id]
        for input in self.segment(id).inputs:
            found += self.ancestors(input)
        return found


def stored_field(name: str, type: pa.DataType) -> pa.Field:
    return pa.field(name, type if level_of(name) == "sample" else pa.list_(type))


def stored_schema(columns: Columns) -> pa.Schema:
    return pa.schema([stored_field(name, c.type) for name, c in columns.items()])
