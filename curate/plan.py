"""Recipe to Plan: pure and printable. The DAG is cut into segments at every Group, Expand, fork and merge,
and before a stage that waits for quantiles.

A segment is a chain of Maps that runs part by part. It is born from a source (Read), from parents (Expand),
or goes on with the survivors of other segments, after a Group's decisions where one lies between.
"""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from curate import sample
from curate.errors import RecipeError, nearest
from curate.io.sink import Write
from curate.io.source import Read
from curate.linked import Linked
from curate.pixels import Decode
from curate.recipe import Recipe
from curate.sample import Level, level_of
from curate.stage import CANONICAL, FULL, TRANSIENT, Expand, Group, Map, Stage, fingerprint
from curate.steps import (
    Column,
    Columns,
    GroupStep,
    MeasureStep,
    Op,
    Plan,
    Segment,
    Step,
    WriteStep,
    stored_schema,
)

# Folders of a run that are not outputs.
_RESERVED = frozenset({"state", "ledger", "samples", "report", "index"})
# Columns whose values are counted for every output: its data card tells of them.
_CARD = frozenset({"dataset", "language", "licence", "text_language"})
_INDEXES = {"image_index": pa.int32(), "text_index": pa.int32()}


def _decode_print(decode: Decode, transient: tuple[str, ...]) -> dict[str, int] | None:
    """What of the canonical decode decides an op's results: nothing where it reads bytes alone."""
    if CANONICAL in transient:
        return decode.model_dump()
    return {"max_pixels": decode.max_pixels} if FULL in transient else None


def make(recipe: Recipe) -> Plan:
    """Check the DAG and every column, and cut it. Raises RecipeError."""
    return _Planner(recipe).plan()


class _Planner:
    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.nodes: dict[str, Stage] = {n.id: n for n in recipe.nodes}
        self.place = {n.id: f"nodes.{i} ({n.id})" for i, n in enumerate(recipe.nodes)}
        self.inputs = self._edges()
        self.order = self._sorted()
        self.consumers = {id: [n for n in self.order if id in self.inputs[n]] for id in self.order}
        self.columns: dict[str, Columns] = {}  # after each node
        self.segment_of: dict[str, str] = {}
        self.segments: dict[str, Segment] = {}
        self.steps: list[str | GroupStep | MeasureStep | WriteStep] = []

    def _edges(self) -> dict[str, tuple[str, ...]]:
        edges: dict[str, tuple[str, ...]] = {}
        before: Stage | None = None
        for node in self.recipe.nodes:
            place = self.place[node.id]
            for name in node.from_:
                if name not in self.nodes:
                    raise RecipeError(f"{place}.from", f"no node `{name}`", nearest(name, self.nodes))
                if isinstance(self.nodes[name], Write):
                    raise RecipeError(f"{place}.from", f"`{name}` is an output; nothing comes after it")
            if isinstance(node, Read):
                if node.from_:
                    raise RecipeError(f"{place}.from", "a source reads no other node")
                edges[node.id] = ()
            elif node.from_:
                if len(set(node.from_)) < len(node.from_):
                    raise RecipeError(f"{place}.from", "names a node twice")
                edges[node.id] = node.from_
            elif before is None or isinstance(before, Write):
                after = "it comes first" if before is None else f"`{before.id}` before it is an output"
                raise RecipeError(place, f"has no input: {after}; say which with `from:`")
            else:
                edges[node.id] = (before.id,)
            before = node
        return edges

    def _sorted(self) -> list[str]:
        done: list[str] = []
        path: list[str] = []

        def visit(id: str) -> None:
            if id in done:
                return
            if id in path:
                loop = " -> ".join([*path[path.index(id) :], id])
                raise RecipeError(f"{self.place[id]}.from", f"the nodes form a cycle: {loop}")
            path.append(id)
            for input in self.inputs[id]:
                visit(input)
            path.pop()
            done.append(id)

        for id in self.nodes:
            visit(id)
        return done

    def plan(self) -> Plan:
        names: set[str] = set()
        for node in self.nodes.values():
            if isinstance(node, Read) and node.dataset() in names:
                raise RecipeError(f"{self.place[node.id]}.name", f"two sources are called `{node.dataset()}`")
            if isinstance(node, Read):
                names.add(node.dataset())
        if not names:
            raise RecipeError("nodes", "there is no source to read")
        for id in self.order:
            self._add(id)
        steps: list[Step] = [self._with_outputs(s) if isinstance(s, str) else s for s in self.steps]
        return Plan(self.recipe, tuple(steps))

    def _with_outputs(self, id: str) -> Segment:
        members = set(self.segments[id].nodes)
        frontier, seen = list(members), set(members)
        while frontier:
            for consumer in self.consumers[frontier.pop()]:
                if consumer not in seen:
                    seen.add(consumer)
                    frontier.append(consumer)
        outputs = tuple(n for n in self.order if n in seen and isinstance(self.nodes[n], Write))
        return replace(self.segments[id], outputs=outputs)

    def _add(self, id: str) -> None:
        node, place = self.nodes[id], self.place[id]
        before = self._merged(id)
        if isinstance(node, Read):
            print_ = fingerprint(node.identity(), node.dataset())
            self.columns[id] = {
                f.name: Column(f.type if level_of(f.name) == "sample" else f.type.value_type, id, print_)
                for f in pa.unify_schemas([sample.BASE, node.writes()])
            }
            self._open(Segment(id, (id,), source=node, columns=self.columns[id]))
        elif isinstance(node, Expand):
            self.columns[id] = self._expanded(node, before, place)
            upstream = self._upstream(id)
            self._open(Segment(id, (id,), (upstream,), expand=node, columns=self.columns[id]))
        elif isinstance(node, Group):
            upstream = self._upstream(id)
            own = set(node.signature().names) if isinstance(node, Linked) else set()
            ranks = {rank.column for rank in node.rank()} - own
            reads = self._reads(place, node, {*node.reads(), *ranks}, before, "sample")
            self._checked(node, before, place)
            print_ = fingerprint(node.identity(), [(r, before[r].fingerprint) for r in reads])
            self.steps.append(GroupStep(id, node, upstream, node.level_(), reads, print_))
            self.columns[id] = {**before, **self._written(place, node.writes(), before, id, print_, True)}
            self._open(Segment(id, (id,), (upstream,), decisions=id, columns=self.columns[id]))
        elif isinstance(node, Map) and (node.quantiles() or node.counts()):
            assert not node.kept, "its results depend on more than its fingerprint tells"
            upstream = self._upstream(id)
            ops, self.columns[id] = self._ops(node, before, place)
            self.steps.append(MeasureStep(id, node, upstream))
            self._open(Segment(id, (id,), (upstream,), measured=id, ops=ops, columns=self.columns[id]))
        elif isinstance(node, Map):
            segment = self._continued(id, before, apart=bool(node.rewrites()) or node.stores)
            ops, after = self._ops(node, before, place)
            self.columns[id] = after
            self._grow(segment, id, ops, after)
        elif isinstance(node, Write):
            if id in _RESERVED:
                raise RecipeError(
                    f"{place}.id", f"RUN/{id}/ holds something else; give the output another id"
                )
            self._checked(node, before, place)
            segment = self._continued(id, before)
            admission = node.admission(frozenset(before))
            ops = () if admission is None else self._ops(admission, before, place, id)[0]
            self.columns[id] = before
            self._grow(segment, id, ops, before)
            told = [self.nodes[n] for n in self._lineage(id)]
            totals = sorted({c for stage in told for c in stage.totals()} & set(before))
            tallies = sorted({*_CARD, *(c for stage in told for c in stage.tallies())} & set(before))
            schema = stored_schema(before)
            self.steps.append(WriteStep(id, node, segment, schema, tuple(totals), tuple(tallies)))
        else:
            raise RecipeError(place, f"`{type(node).__name__}` is none of Read, Map, Expand, Group, Write")

    def _merged(self, id: str) -> Columns:
        """Columns before a node. Where several inputs meet, those that are not everywhere are null."""
        inputs = self.inputs[id]
        if len(inputs) > 1:
            seen: dict[str, str] = {}
            for input in inputs:
                for ancestor in self._lineage(input):
                    if ancestor in seen:
                        raise RecipeError(
                            f"{self.place[id]}.from",
                            f"samples of `{ancestor}` would come twice, by `{seen[ancestor]}` and `{input}`",
                        )
                    seen[ancestor] = input
        merged: Columns = {}
        for input in inputs:
            for name, column in self.columns[input].items():
                other = merged.setdefault(name, column)
                if other.type != column.type:
                    raise RecipeError(
                        f"{self.place[id]}.from",
                        f"`{name}` is {other.type} in `{other.node}` and {column.type} in `{column.node}`",
                    )
                if other.fingerprint != column.fingerprint:
                    both = fingerprint("merge", sorted([other.fingerprint, column.fingerprint]))
                    merged[name] = replace(other, fingerprint=both, volatile=True)
        return merged

    def _lineage(self, id: str) -> set[str]:
        return {id}.union(*(self._lineage(i) for i in self.inputs[id]))

    def _upstream(self, id: str) -> str:
        """The one segment a Group or Expand reads; a merge gets a segment of its own."""
        inputs = self.inputs[id]
        if len(inputs) == 1:
            return self.segment_of[inputs[0]]
        merge = f"{id}-inputs"
        upstream = tuple(self.segment_of[i] for i in inputs)
        self.segments[merge] = Segment(merge, (), upstream, columns=self._merged(id))
        self.steps.append(merge)
        return merge

    def _open(self, segment: Segment) -> None:
        self.segments[segment.id] = segment
        self.segment_of[segment.nodes[0]] = segment.id
        self.steps.append(segment.id)

    def _continued(self, id: str, before: Columns, apart: bool = False) -> str:
        """The segment a Map or Write goes on in: its input's, unless the DAG forks or merges here.

        `apart`: the node begins a new one. What it rewrites stays as it was in the segment before, where a
        rerun finds it. Behind a stage that stores one is cut too, so that it is handed a part at a time and
        not the few images that fit into memory decoded.
        """
        inputs = self.inputs[id]
        last = self.nodes[inputs[0]]
        apart = apart or (isinstance(last, Map) and last.stores)
        if len(inputs) == 1 and len(self.consumers[inputs[0]]) == 1 and not apart:
            return self.segment_of[inputs[0]]
        upstream = tuple(self.segment_of[i] for i in inputs)
        self.segments[id] = Segment(id, (), upstream, columns=before)
        self.steps.append(id)
        return id

    def _grow(self, segment: str, id: str, ops: tuple[Op, ...], columns: Columns) -> None:
        old = self.segments[segment]
        nodes = old.nodes if id in old.nodes else (*old.nodes, id)
        self.segments[segment] = replace(old, nodes=nodes, ops=(*old.ops, *ops), columns=columns)
        self.segment_of[id] = segment

    def _ops(
        self, node: Map, before: Columns, place: str, id: str | None = None
    ) -> tuple[tuple[Op, ...], Columns]:
        id = id or node.id
        after = dict(before)
        ops = []
        for level, stage in node.by_level():
            reads = self._reads(place, stage, stage.reads(), after, level)
            self._checked(stage, after, place)
            transient = tuple(r for r in reads if r in TRANSIENT)
            self._large_enough(stage, transient, place)
            stored = tuple(r for r in reads if r not in TRANSIENT)
            # bytes and pixels follow from where the image lies
            sources = sorted({*stored, *(("image_ref", "dataset") if transient else ())})
            prints = [(r, after[r].fingerprint if r in after else "") for r in sources]
            decode = _decode_print(self.recipe.decode, transient)
            print_ = fingerprint(stage.identity(), level, prints, decode)
            shows_fate = any(level_of(r) not in (level, "sample") or r == "layout" for r in stored)
            volatile = (
                shows_fate
                or (level == "sample" and any(level_of(r) != "sample" for r in stored))
                or any(after[r].volatile for r in sources if r in after)
            )
            ops.append(Op(id, stage, level, print_, stored, transient, volatile))
            rewrites = stage.rewrites()
            # results that are looked up again are of the op's own level
            own = level if stage.kept or level != "sample" else None
            after |= self._written(place, stage.writes(), after, id, print_, volatile, own, rewrites)
            if "text_body" in rewrites and "messages" in after:  # which follow (`sample.put`)
                after["messages"] = replace(after["messages"], node=id, fingerprint=print_, volatile=volatile)
        return tuple(ops), after

    def _checked(self, stage: Map | Group | Write, before: Columns, place: str) -> None:
        try:
            stage.check_columns(pa.schema([(name, column.type) for name, column in before.items()]))
        except RecipeError as error:
            # a stage knows its own fields, not where it stands
            told = str(error).removeprefix(f"{error.place}: ")
            raise RecipeError(f"{place}.{error.place}", told) from error

    def _large_enough(self, stage: Map, transient: tuple[str, ...], place: str) -> None:
        side, wanted = self.recipe.decode.short_side, stage.short_side()
        if CANONICAL in transient and side < wanted:
            raise RecipeError(
                place,
                f"wants images of {wanted} pixels a side, and `decode.short_side` is {side}",
                f"set `decode: {{short_side: {wanted}}}`, or `pixels: full` in this node",
            )

    def _reads(
        self, place: str, node: Stage, wanted: set[str] | frozenset[str], before: Columns, level: Level
    ) -> tuple[str, ...]:
        offered = set(before) | set(_INDEXES) | (set(TRANSIENT) if level == "image" else set())
        for name in sorted(wanted):
            if name not in offered:
                raise RecipeError(
                    place, f"reads `{name}`, which no node before it writes", nearest(name, offered)
                )
        return tuple(sorted(wanted))

    def _written(
        self,
        place: str,
        schema: pa.Schema,
        before: Columns,
        id: str,
        print_: str,
        volatile: bool,
        level: Level | None = None,
        rewrites: frozenset[str] = frozenset(),
    ) -> Columns:
        for f in schema:
            if f.name in rewrites:
                if f.name not in before:
                    raise RecipeError(place, f"rewrites `{f.name}`, which no node before it writes")
            elif f.name in before:
                raise RecipeError(place, f"writes `{f.name}`, which `{before[f.name].node}` already wrote")
            if level is not None and level_of(f.name) != level:
                raise RecipeError(place, f"writes `{f.name}`, which is not a column of level {level}")
        return {f.name: Column(f.type, id, print_, volatile) for f in schema}

    def _expanded(self, node: Expand, before: Columns, place: str) -> Columns:
        self._reads(place, node, node.reads(), before, "image")
        prints = sorted((n, c.fingerprint) for n, c in before.items())
        print_ = fingerprint(node.identity(), prints)
        own = {f.name: f.type if level_of(f.name) == "sample" else f.type.value_type for f in node.writes()}
        types = {n: c.type for n, c in before.items()} | {"parent": pa.string(), "kind": pa.string()} | own
        return {n: Column(t, node.id, print_, volatile=True) for n, t in types.items()}
