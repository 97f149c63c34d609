"""A run, from a Plan to a finished run folder: which task comes when, and the accounts at the end.

The driver holds facts about parts (counts, fingerprints), never rows.
"""

from __future__ import annotations

import json
import platform
import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from curate import counting, index, ledger, measure, output
from curate.apply import NodeStats
from curate.backends import Backend
from curate.commit import RunFolder, read_json, write_atomic, write_json
from curate.election import Election
from curate.errors import RunError, StageBug
from curate.io.sink import Write
from curate.io.source import Part
from curate.meter import Meter
from curate.parts import Item
from curate.segment import PartRun
from curate.sources import Found
from curate.stage import fingerprint
from curate.steps import GroupStep, MeasureStep, Plan, Segment, Step, WriteStep
from curate.work import Context, Job, context
from curate.writing import Writing

_ERRORS_COUNT_FROM = 10_000


class Run:
    """One execution of a plan in a run folder."""

    def __init__(
        self, plan: Plan, found: Mapping[str, Found], out: Path, modules: tuple[str, ...], meter: Meter
    ) -> None:
        self.plan = plan
        self.found = found
        self.meter = meter
        self.folder = RunFolder(out.resolve())
        recipe = json.dumps(plan.recipe.to_plain(), ensure_ascii=False, sort_keys=True)
        roots = tuple((d, str(Path(f.root).resolve())) for d, f in sorted(found.items()))
        assets = fingerprint([node.identity() for node in plan.recipe.nodes])
        self.job = Job(str(self.folder.root), recipe, roots, modules, assets)
        self.stats: dict[str, NodeStats] = {n.id: NodeStats() for n in plan.recipe.nodes}
        self.counts: dict[str, dict[str, Counter[str]]] = {}
        self.raw: dict[str, dict[str, Counter[str]]] = {}  # the same without what was born on the way
        self.survivors: dict[str, int] = {}
        self.items_of: dict[str, list[Item]] = {}
        self.item_totals: dict[str, Counter[str]] = {}
        self.digests: dict[str, list[str]] = {}  # of the data of each segment's parts
        self.outputs: dict[str, dict[str, Any]] = {}
        self.told: dict[str, dict[str, Any]] = {}  # node -> what run.json has of it beside its figures
        index.check(plan, self.folder.root)
        self.decoded = 0
        self.workers = 0  # cores that work at once

    @property
    def context(self) -> Context:
        return context(self.job)

    def execute(self, start: Callable[[], Backend]) -> dict[str, Any]:
        """Run all steps. The backend is started when the recipe and its inputs are known to be right."""
        began = time.time()
        with self.folder.lock():
            write_atomic(self.folder.root / "recipe.yaml", self.plan.recipe.to_yaml().encode())
            self._report("running", began)
            with ExitStack() as stack:
                backend = start()
                stack.callback(backend.close)
                stack.push(self._failed(began))
                backend.check(self.plan)
                self.workers = backend.workers
                self.cut(backend)
                for step in self.plan.steps:
                    self._step(backend, step)
                self._clean()
                for output_id in [w.id for w in self.plan.writes()]:
                    ledger.prove(output_id, self._balance(output_id))
                index.publish_all(self.context, self.items_of, partial(self._pass, backend))
            return self._report("done", began)

    def _failed(self, began: float) -> Callable[..., None]:
        """On the way out, whatever the exception (Ctrl-C too): run.json says how the run ended."""

        def told(kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
            if kind is not None:
                status = "stopped" if issubclass(kind, KeyboardInterrupt) else "failed"
                self._report(status, began, str(error) or kind.__name__)

        return told

    def replay(self, place: str) -> None:
        """Run one part (`segment/part`) here and let what it raises through, for a debugger."""
        from curate.backends.local import LocalBackend

        segment, _, part = place.partition("/")
        self.cut(LocalBackend())
        for step in self.plan.segments():
            for item in self.items(step):
                if (item.segment, item.part) == (segment, part):
                    PartRun(self.context, item).run()
                    return
        raise RunError(f"--replay {place}: there is no such part")

    def _step(self, backend: Backend, step: Step) -> None:
        if isinstance(step, Segment):
            self._segment(backend, step)
        elif isinstance(step, GroupStep):
            self._group(backend, step)
        elif isinstance(step, MeasureStep):
            self._measure(backend, step)
        else:
            self._write(backend, step)

    # -- sources ------------------------------------------------------------------------------------------

    def cut(self, backend: Backend) -> None:
        """Parts of every source: those of known files from the run folder, the rest on workers."""
        for found in self.found.values():
            node = found.source
            path = self.folder.state / "sources" / f"{node.id}.json"
            print_ = fingerprint(node.identity(), node.dataset())
            earlier = read_json(path) or {}
            known = earlier.get("groups", {}) if earlier.get("fingerprint") == print_ else {}
            groups = found.groups()
            new = [key for key in groups if key not in known]
            arguments = [
                {"node": node.id, "files": [[f.path, f.size, f.identity] for f in groups[key]]} for key in new
            ]
            if new:
                self.meter.step(f"{node.id}: looking into {len(new)} of {len(groups)} files", len(new))
                for number, result in self._map(backend, "split", arguments):
                    known[new[number]] = result["parts"]
                    self.meter.advance()
                known = {key: known[key] for key in groups}
                write_json(path, {"fingerprint": print_, "groups": known})
            parts = [Part.from_json(text) for key in groups for text in known[key]]
            self.items_of[node.id] = [Item(node.id, p.id, i, source=p.to_json()) for i, p in enumerate(parts)]

    def items(self, segment: Segment) -> list[Item]:
        """The parts of a segment."""
        if segment.source is None:
            merged = len(segment.inputs) > 1
            before = [(input, item.part) for input in segment.inputs for item in self.items_of[input]]
            self.items_of[segment.id] = [
                Item(segment.id, f"{input}.{part}" if merged else part, i, upstream=(input, part))
                for i, (input, part) in enumerate(before)
            ]
        return self.items_of[segment.id]

    # -- steps --------------------------------------------------------------------------------------------

    def _segment(self, backend: Backend, segment: Segment) -> None:
        items = self.items(segment)
        self.counts[segment.id], self.raw[segment.id] = {}, {}
        self.survivors[segment.id] = 0
        self.item_totals[segment.id] = Counter()
        self.meter.step(" > ".join(segment.nodes) or segment.id, len(items))
        digests = self.digests[segment.id] = [""] * len(items)
        for number, manifest in self._map(backend, "part", [asdict(i) for i in items]):
            digests[number] = manifest["digest"]
            ledger.add(self.counts[segment.id], manifest["counts"])
            ledger.add(self.raw[segment.id], manifest["raw"])
            self.survivors[segment.id] += manifest["survivors"]
            self.item_totals[segment.id].update(manifest["items"])
            self._account(segment, manifest)
            self.meter.advance({n: self.stats[n] for n in segment.nodes})
        parts = [i.part for i in items]
        tasks = self._tasks(backend, f"{segment.id}: percentiles")
        found = measure.percentiles(self.context, tasks, segment, parts, digests)
        for node, figures in found.items():
            # the configuration names the model, whose scores these are
            config = self.plan.recipe.node(node).model_dump(mode="json", exclude={"id", "from_", "stage"})
            self.told[node] = {"percentiles": figures, "config": config}

    def _measure(self, backend: Backend, step: MeasureStep) -> None:
        parts = [i.part for i in self.items_of[step.input]]
        tasks = self._tasks(backend, f"{step.id}: quantiles")
        found = measure.thresholds(self.context, tasks, step, parts, self.digests[step.input])
        passes = partial(self._pass, backend)
        counts = counting.hold(self.context, passes, step, parts, self.digests[step.input])
        told = {"thresholds": found, "counts": counts}
        self.told[step.id] = {name: figures for name, figures in told.items() if figures}

    def _tasks(self, backend: Backend, title: str) -> measure.Tasks:
        """A pass that measures."""
        return lambda arguments: (result for _, result in self._pass(backend, title, "measure", arguments))

    def _account(self, segment: Segment, manifest: Mapping[str, Any]) -> None:
        reused = manifest["reused_part"]
        self.decoded += 0 if reused else manifest["decoded"]
        for node, figures in manifest["nodes"].items():
            stats = NodeStats(**{**figures, "dropped": Counter(figures["dropped"])})
            if reused:
                stats.reused, stats.computed, stats.seconds = stats.reused + stats.computed, 0, 0.0
            self.stats[node].add(stats)
            total = self.stats[node]
            items = total.computed + total.reused
            limit = self.plan.recipe.error_limit
            if items >= _ERRORS_COUNT_FROM and total.errors > limit * items:
                raise RunError(
                    f"node `{node}`: {total.errors} of {items} items raised undeclared errors "
                    f"({_most(total.dropped)}), more than {limit:.1%}. The stage or the source is likely "
                    f"broken; `error_limit` in the recipe sets the bound. What is done is kept."
                )

    def _group(self, backend: Backend, step: GroupStep) -> None:
        election = self.election(step)
        election.hold(partial(self._pass, backend))
        stats = self.stats[step.id]
        stats.reused, stats.computed = election.reused, election.computed
        if election.known:
            self.told[step.id] = {"known": sum(file.items for file in election.known)}

    def election(self, step: GroupStep) -> Election:
        """A Group over the finished parts of the segment before it."""
        parts = [item.part for item in self.items_of[step.input]]
        items = self.item_totals[step.input][step.level]
        return Election(self.context, step, parts, self.digests[step.input], items)

    def _pass(
        self, backend: Backend, title: str, task: str, arguments: Sequence[Mapping[str, Any]]
    ) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """One task for each of the arguments, shown as a step of the run."""
        self.meter.step(title, len(arguments))
        for number, result in self._map(backend, task, arguments):
            yield number, result
            self.meter.advance()

    def _write(self, backend: Backend, step: WriteStep) -> None:
        items = [(item.part, item.number) for item in self.items_of[step.input]]
        rows = self.survivors[step.input]
        facts = {**self._card_facts(step), "funnel": self._funnel(step)}
        writing = Writing(self.context, step, items, rows, partial(self._pass, backend), facts)
        self.outputs[step.id] = done = writing.hold()
        self.stats[step.id].rows_in = rows
        self.stats[step.id].rows_out = done["samples"]

    def _map(
        self, backend: Backend, task: str, arguments: Sequence[Mapping[str, Any]]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, result in backend.map(self.job, task, arguments):
            if "bug" in result:
                node, problem, ids = result["bug"]
                given = result["arguments"]
                where = f"{given['segment']}/{given['part']}" if task == "part" else ""
                raise StageBug(node, problem, ids, self._replay_command(where) if where else "")
            if "failure" in result:
                raise RunError(result["failure"])
            yield number, result

    def _replay_command(self, where: str) -> str:
        out = str(self.folder.root)
        words = ["curate", "run", f"{out}/recipe.yaml", "--out", out, "--replay", where]
        return shlex.join(words + [word for m in self.job.modules for word in ("--stages", m)])

    def _card_facts(self, step: WriteStep) -> dict[str, Any]:
        """What the recipe says of an output."""
        recipe = self.plan.recipe
        sources = [s.source for s in map(self.plan.segment, self.plan.ancestors(step.input)) if s.source]
        return {
            "recipe": recipe.name,
            "description": recipe.description,
            "license": recipe.licence,
            "sources": {s.dataset(): str(getattr(s, "stage", "")) for s in sources},
        }

    def _funnel(self, step: WriteStep) -> list[dict[str, Any]]:
        """What came in and went out at each node on the way to an output."""
        way = output.on_the_way(self.context, step)
        told = [self._node(stage.id) for stage in way if not isinstance(stage, Write)]
        names = ("id", "stage", "rows_in", "rows_out", "dropped")
        return [{name: node[name] for name in names} for node in told]

    # -- accounts -----------------------------------------------------------------------------------------

    def _balance(self, output_id: str) -> dict[str, dict[str, int]]:
        """The terms of the law for one output, along its ancestors."""
        step = self.plan.write(output_id)
        total: dict[str, Counter[str]] = {"samples": Counter(), "images": Counter()}
        for segment in self.plan.ancestors(step.input):
            ledger.add(total, self.counts[segment])
        done = self.outputs[output_id]
        for level in ("samples", "images"):
            total[level]["written"], total[level]["repeated"] = done[level], done["repeated"][level]
        terms = ("entered", "born", "repeated", "written", *ledger.FATES)
        return {level: {t: total[level][t] for t in terms} for level in ("samples", "images")}

    def _totals(self) -> dict[str, dict[str, int]]:
        """Read, dropped, errors and deferred of all sources, as far as all their outputs share the way."""
        total: dict[str, Counter[str]] = {"samples": Counter(), "images": Counter()}
        for segment in self.plan.segments():
            before = [self.plan.segment(id) for id in self.plan.ancestors(segment.id)]
            shared = any(s.source is not None and s.outputs == segment.outputs for s in before)
            if shared:
                ledger.add(total, self.raw.get(segment.id, {}))
        terms = ("dropped", "errors", "deferred")
        return {
            level: {"read": found["entered"], **{t: found[t] for t in terms}}
            for level, found in total.items()
        }

    def _report(self, status: str, began: float, problem: str = "") -> dict[str, Any]:
        report = {
            "name": self.plan.recipe.name,
            "status": status,
            "problem": problem,
            "versions": _versions(),
            "fingerprint": fingerprint(self.job.recipe),
            "seconds": round(time.time() - began, 3),
            "workers": self.workers,
            "images_decoded": self.decoded,
            **self._totals(),
            "outputs": [
                {
                    "id": id,
                    "path": id,
                    **self._balance(id),
                    "shards": done["shards"],
                    "bytes": done["bytes"],
                    "totals": done["totals"],
                    "tallies": done["tallies"],
                    "costs": done["costs"],
                }
                for id, done in self.outputs.items()
            ],
            "nodes": [self._node(n.id) for n in self.plan.recipe.nodes],
        }
        write_json(self.folder.root / "run.json", report)
        return report

    def _node(self, id: str) -> dict[str, Any]:
        stats = self.stats[id]
        named = self.plan.recipe.node(id)
        shown = stats.as_dict()
        shown["seconds"] = round(stats.seconds, 3)
        return {"id": id, "stage": str(getattr(named, "stage", "")), **shown, **self.told.get(id, {})}

    def _clean(self) -> None:
        """Ledger files of parts that are no more would be counted by whoever reads the folder.

        What a killed run left half-written goes as well.
        """
        known = {
            self.folder.ledger_file(segment, item.part)
            for segment, items in self.items_of.items()
            for item in items
        }
        for path in self.folder.ledger.glob("*"):
            if path not in known:
                path.unlink()
        for path in self.folder.fetched.glob("*/.*.tmp"):
            path.unlink()


def _most(dropped: Counter[str]) -> str:
    errors = Counter({r: n for r, n in dropped.items() if r.startswith("error.")})
    return ", ".join(f"{r} {n}" for r, n in errors.most_common(3))


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    names = ("mmcurate", "ray", "pyarrow", "numpy", "pillow", "simplejpeg")
    return {"python": platform.python_version(), **{n: version(n) for n in names}}
