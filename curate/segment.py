"""One segment on one part: read or load its rows, take over what is known, compute the rest, commit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate import exchange, group, ledger, measure, sample
from curate.apply import NodeStats, guarded
from curate.birth import children, only_from
from curate.commit import FORMAT, read_arrow, read_json, write_parquet
from curate.declared import checked_born
from curate.errors import RunError
from curate.frames import Frames
from curate.io.payload import unquote
from curate.io.source import Part, Read
from curate.ledger import ABSENT, fate_of, split_drop
from curate.parts import STATE, Item, survivors
from curate.pixels import decoded
from curate.prior import Prior, carry_over
from curate.sample import Ints
from curate.stage import EXPANDED, Born, fingerprint
from curate.steps import Columns, stored_schema
from curate.work import Context

_BATCH_BYTES = 48 << 20  # encoded images of a micro-batch


class PartRun:
    """The work on one part. `run` is the whole; its pieces serve the subprocess that finds killers."""

    def __init__(self, context: Context, item: Item) -> None:
        self.context = context
        self.item = item
        self.segment = measure.filled(context, context.plan.segment(item.segment))
        self.chain = context.chain(self.segment)
        self.stats = {node: NodeStats() for node in self._node_names()}
        found = read_json(context.folder.manifest(item.segment, item.part))
        # what another version of this software stored is not looked into
        self.manifest = found if found is not None and found.get("format") == FORMAT else None
        self.part = Part.from_json(item.source) if item.source else None
        self._stored_rows: pa.Table | None = None
        self.decoded_elsewhere = 0  # images decoded in subprocesses

    def _node_names(self) -> list[str]:
        names = [*self.segment.nodes, *(op.node for op in self.segment.ops)]
        return list(dict.fromkeys(names))

    def fingerprint(self) -> str:
        """Of everything that decides the part's result."""
        segment = self.segment
        ops = [[op.node, op.level, op.fingerprint, op.stage.identity()] for op in segment.ops]
        birth: list[Any] = [segment.outputs, self.context.ledger_schema.to_string()]
        if self.part is not None and segment.source is not None:
            birth += [self.part.identity, self.part.start, self.part.stop, self._read_print()]
        else:
            birth.append(self.context.part_manifest(*self.item.upstream)["digest"])
        if segment.expand is not None:
            birth += [segment.expand.id, segment.expand.identity()]
        if segment.decisions:
            birth.append(exchange.digest(self._decisions()))
        return fingerprint(FORMAT, ops, birth, segment.schema().to_string())

    def _read_print(self) -> str:
        return self.segment.columns["sample_id"].fingerprint

    def _rows(self, source: Read, part: Part) -> pa.Table:
        """The part, read. What a reader raises is a bug, unless it is the storage's."""

        def read(nothing: pa.Table, _: pa.ChunkedArray) -> pa.Table:
            try:
                return source.rows(self.context.storages[source.dataset()], part)
            except OSError as error:
                raise RunError(f"node `{source.id}`: {', '.join(part.files[:3])}: {error}") from error

        none = pa.chunked_array([], pa.string())
        return guarded(source.id, none, pa.table({}), read, None)[0]

    def _outside(self, table: pa.Table) -> str:
        """Identity of the image files that rows point to and that are no part of the part's own files."""
        assert self.segment.source is not None
        storage = self.context.storages[self.segment.source.dataset()]
        references = pc.unique(sample.flat(table["image_ref"])).drop_null().to_pylist()
        told = []
        for path in sorted(unquote(r) for r in references if "#" not in r):
            try:
                told.append([path, storage.stat(path).identity])
            except FileNotFoundError:
                told.append([path, ""])
        return fingerprint(told) if told else ""

    def _outside_changed(self) -> bool:
        """Whether an image beside the part's own files was replaced since an earlier run read it."""
        if self.manifest is None or not self.manifest.get("outside"):
            return False
        stored = self.stored()
        return stored is None or self._outside(stored) != self.manifest["outside"]

    def _decisions(self) -> pa.Table:
        return group.decisions(self.context, self.segment.decisions, self.item.number)

    def run(self) -> dict[str, Any]:
        """Finish the part, unless it is finished already. Returns its manifest with `reused_part`."""
        print_ = self.fingerprint()
        if self.manifest is not None and self.finished(print_):
            return {**self.manifest, "reused_part": True}
        from curate import isolate

        decodes = decoded()
        with isolate.attempt(self.context.folder, self.item) as killers:
            if killers:
                isolate.try_birth(self)
            base, parents = self.birth()
            stored = self.stored()
            prior = Prior(stored, (self.manifest or {}).get("kept", {}), base)
            done, places, late = self.chain.replay(base, prior, self.stats)
            if killers and len(late):
                fresh = isolate.compute(self, base, late)
            else:
                fresh = self.compute(base, prior, late)
        table = self._whole(done, places, fresh, late)
        return self._commit(table, parents, stored, print_, decoded() - decodes + self.decoded_elsewhere)

    def finished(self, print_: str) -> bool:
        """Whether nothing is left to do: what was put off is asked again."""
        found = self.manifest
        if found is None or found["fingerprint"] != print_ or self._outside_changed():
            return False
        reasons = [reason for node in found["nodes"].values() for reason in node["dropped"]]
        told = self.context.folder.ledger_file(self.item.segment, self.item.part)
        return told.exists() and not any(fate_of(reason) == "deferred" for reason in reasons)

    def stored(self) -> pa.Table | None:
        """The part's rows of an earlier run, whatever their fate was."""
        if self.manifest is None or self._stored_rows is not None:
            return self._stored_rows
        path = self.context.folder.stored(self.item.segment, self.manifest)
        self._stored_rows = read_arrow(path) if path.exists() else None
        return self._stored_rows

    def birth(self) -> tuple[pa.Table, pa.Table | None]:
        """Rows before the first op, and (for Expand) the parents with what became of them."""
        if self.part is not None:
            table = self._read(self.part)
            self._count_birth(table)
            return table, None
        base = survivors(self.context, self.item.upstream)
        if self.segment.expand is not None:
            return self._expand(base)
        if len(self.segment.inputs) > 1:
            base = sample.align(base, stored_schema(self._merged()))
        return (self._decide(base) if self.segment.decisions else base), None

    def _merged(self) -> Columns:
        own = {n for op in self.segment.ops for n in set(op.stage.writes().names) - op.stage.rewrites()}
        return {n: c for n, c in self.segment.columns.items() if n not in own}

    def _read(self, part: Part) -> pa.Table:
        source = self.segment.source
        assert source is not None
        schema = pa.unify_schemas([sample.BASE, source.writes()])
        earlier = self.manifest
        same = earlier is not None and earlier.get("birth") == [part.identity, self._read_print()]
        if same and not self._outside_changed():
            stored = self.stored()
            if stored is not None:
                # a drop of the source itself is part of the row; any other is decided again
                table = stored.select(schema.names)
                for level in ("", "image_", "text_"):
                    table = only_from(table, f"{level}drop", source.id)
                return table
        table = self._rows(source, part)
        return sample.settle(sample.align(table, schema).combine_chunks(), source.id)

    def _count_birth(self, table: pa.Table) -> None:
        assert self.segment.source is not None
        stats = self.stats[self.segment.source.id]
        stats.rows_in, stats.rows_out = table.num_rows, int(sample.alive_rows(table).sum())
        drops = [sample.single(table["drop"]), *(sample.flat(table[f"{x}_drop"]) for x in sample.ITEM_LEVELS)]
        # an item's drop that killed its pair is one drop
        items = [d for drop in drops[1:] for d in drop.drop_null().to_pylist()]
        of_items = set(items)
        samples = [d for d in drops[0].drop_null().to_pylist() if d not in of_items]
        stats.dropped.update(split_drop(d)[1] for d in items + samples)

    def _decide(self, table: pa.Table) -> pa.Table:
        """Apply a Group's decisions on this part."""
        node = self.segment.decisions
        level = self.context.plan.group(node).level
        stats = self.stats[node]
        stats.rows_in += table.num_rows
        decisions = self._decisions()
        counts = sample.lengths(table, level)
        slots = decisions["slot"].to_numpy()
        order = np.argsort(slots)
        decisions = decisions.take(pa.array(order))
        seen = sample.View(level, decisions, slots, slots, slots[order], int(counts.sum()))
        names = [n for n in decisions.column_names if n not in ("slot", "drop")]
        drop = sample.single(decisions["drop"])
        table = sample.put(table, seen, {n: decisions[n] for n in names}, drop, node)
        table = sample.settle(table, node)
        stats.rows_out += int(sample.alive_rows(table).sum())
        for reason in drop.drop_null().to_pylist():
            stats.dropped[reason] += 1
        return table

    def _expand(self, parents: pa.Table) -> tuple[pa.Table, pa.Table]:
        stage = self.segment.expand
        assert stage is not None
        opened = stage.open()
        names = [n for n in parents.column_names if n not in ("drop", "image_drop", "text_drop")]
        living = sample.thin(parents, [*names, "image_index", "text_index"])

        def failed(reason: str) -> Born:
            none = pa.array([], pa.int64())
            return Born(pa.table({}), none, none, pa.array([reason], pa.string()))

        schema = stored_schema(self._merged())
        allowed = stage.reasons() | {EXPANDED}

        def work(some: pa.Table, ids: pa.ChunkedArray) -> Born:
            return checked_born(stage.id, schema, allowed, opened(some), some.num_rows, ids)

        pieces = guarded(stage.id, parents["sample_id"], living, work, failed)
        born_rows, drops, first = [], [], 0
        for born in pieces:
            drop = sample.single(born.drop)
            if born.children.num_rows:
                rows = pc.add(sample.single(born.parent), first)
                born_rows.append(children(stage.id, parents, born, rows))
            drops.append(drop)
            first += len(drop)
        table = pa.concat_tables([sample.align(c, schema) for c in born_rows] or [schema.empty_table()])
        fate = pc.binary_join_element_wise(
            stage.id,
            pc.fill_null(pa.concat_arrays(drops), EXPANDED) if drops else pa.array([], pa.string()),
            ":",
        )
        stats = self.stats[stage.id]
        stats.rows_in += parents.num_rows
        stats.rows_out += table.num_rows
        stats.computed += parents.num_rows
        stats.dropped.update(split_drop(drop)[1] for drop in fate.to_pylist())
        stats.dropped.pop(EXPANDED, None)
        stats.errors += sum(n for reason, n in stats.dropped.items() if fate_of(reason) == "errors")
        return table.combine_chunks(), sample.set_column(parents, "drop", fate)

    def compute(self, base: pa.Table, prior: Prior, late: Ints) -> list[pa.Table]:
        """Run the ops on the rows at `late`, in micro-batches, in order."""
        return [
            self.chain.compute(base.take(pa.array(rows)).combine_chunks(), prior.at(rows), self.stats)
            for rows in self._batches(base, late)
        ]

    def _batches(self, base: pa.Table, late: Ints) -> Iterator[Ints]:
        if not any(op.transient for op in self.segment.ops) or len(late) == 0:
            yield late
            return
        images = sample.lengths(base, "image")
        sizes = pc.extract_regex(sample.flat(base["image_ref"]), r"\+(?P<n>[0-9]+)$")
        known = pc.fill_null(pc.struct_field(sizes, "n").cast(pa.int64()), 0) if len(sizes) else sizes
        row_of = np.repeat(np.arange(base.num_rows), images)
        weight = np.bincount(
            row_of,
            weights=known.to_numpy(zero_copy_only=False) if len(sizes) else None,
            minlength=base.num_rows,
        )
        start, count, size = 0, 0, 0.0
        for i, row in enumerate(late):
            full = count + images[row] > Frames.BATCH or size + weight[row] > _BATCH_BYTES
            if full and i > start:
                yield late[start:i]
                start, count, size = i, 0, 0.0
            count, size = count + int(images[row]), size + float(weight[row])
        yield late[start:]

    def _whole(self, done: pa.Table, places: Ints, fresh: list[pa.Table], late: Ints) -> pa.Table:
        schema = self.segment.schema()
        table = pa.concat_tables([sample.align(t, schema) for t in [done, *fresh]])
        order = np.argsort(np.concatenate([places, late]), kind="stable")
        return table.take(pa.array(order)).combine_chunks()

    def _commit(
        self,
        table: pa.Table,
        parents: pa.Table | None,
        stored: pa.Table | None,
        print_: str,
        decodes: int,
    ) -> dict[str, Any]:
        segment, context = self.segment, self.context
        dead = [
            ledger.rows(t, self._node_names(), segment.outputs, context.ledger_schema)
            for t in ([table] if parents is None else [parents, table])
        ]
        rows = pa.concat_tables(dead)
        counts = ledger.tally(rows, len(segment.outputs))
        # of those, what the sources gave, as opposed to what was born on the way
        unborn = rows.filter(pc.invert(pc.match_substring(rows["sample_id"], "#")))
        raw = ledger.tally(unborn, len(segment.outputs))
        alive = sample.alive_rows(table)
        images = sample.lengths(table, "image")
        if segment.source is not None or parents is not None:
            term = "born" if parents is not None else "entered"
            counts["samples"][term] = table.num_rows
            counts["images"][term] = int(images.sum())
            if parents is None:
                for level in ("samples", "images"):
                    raw[level]["entered"] = counts[level]["entered"]
        manifest: dict[str, Any] = {
            "format": FORMAT,
            "segment": segment.id,
            "part": self.item.part,
            "upstream": list(self.item.upstream),
            "fingerprint": print_,
            "birth": [self.part.identity, self._read_print()] if self.part else [],
            "outside": self._outside(table) if self.part else "",
            "kept": segment.fingerprints(),
            "rows": table.num_rows,
            "survivors": int(alive.sum()),
            "items": {level: len(sample.view(table, level, ()).slots) for level in sample.LEVELS},
            "counts": counts,
            "raw": raw,
            "nodes": {node: stats.as_dict() for node, stats in self.stats.items()},
            "decoded": decodes,
        }
        own = self._stored(table, stored)
        # A part is finished when both are there. The old ledger goes first: beside a manifest, one of another
        # run that was cut short here would pass for its own.
        told = context.folder.ledger_file(segment.id, self.item.part)
        told.unlink(missing_ok=True)
        context.folder.commit_part(segment.id, self.item.part, own, manifest)
        write_parquet(told, rows)
        committed = context.part_manifest(segment.id, self.item.part)  # with the digest of its data
        return {**committed, "reused_part": False}

    def _stored(self, table: pa.Table, stored: pa.Table | None) -> pa.Table:
        """What is kept of the rows: of a continued segment only what is not in those before it."""
        prior = Prior(stored, (self.manifest or {}).get("kept", {}), table)
        table = carry_over(table, prior, self.segment.ops)
        if not self.segment.stores_all:
            engine = [n for n in table.column_names if "." in n]
            table = table.select([*STATE, *self.segment.own, *engine])
        if self.segment.source is not None or stored is None or stored.schema != table.schema:
            return table
        # rows that do not come this far now: kept for the day when they do, as long as their origin is there
        origin = "sample_id" if self.segment.expand is None else "parent"
        here = pc.is_in(stored["sample_id"], value_set=sample.single(table["sample_id"]))
        known = pc.is_in(stored[origin], value_set=self._upstream_ids())
        ghosts = stored.filter(pc.and_not(known, here))
        absent = pa.array([ABSENT] * ghosts.num_rows, pa.string())
        return pa.concat_tables([table, sample.set_column(ghosts, "drop", absent)]).combine_chunks()

    def _upstream_ids(self) -> pa.Array:
        """Every row of the part before, those that died or do not come that far included."""
        segment, part = self.item.upstream
        path = self.context.folder.stored(segment, self.context.part_manifest(segment, part))
        return sample.single(read_arrow(path, {"sample_id"})["sample_id"])
