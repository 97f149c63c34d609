"""What a run would do: the segments of a plan, and for a run folder what is known and what is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from curate import measure
from curate.backends.local import LocalBackend
from curate.election import Election
from curate.meter import Meter
from curate.prior import Prior
from curate.run import Run
from curate.segment import PartRun
from curate.sources import Found
from curate.steps import GroupStep, MeasureStep, Plan, Segment, WriteStep


@dataclass
class Forecast:
    """Of one segment. `compute` holds upper bounds: a row that is missing may die before a later node."""

    parts: int = 0
    finished: int = 0  # parts that would not be touched
    rows: int = 0
    missing: int = 0  # rows that lack a result
    compute: Counter[str] = field(default_factory=Counter)
    # Set where what comes in is not known before other nodes have run.
    depends_on: str = ""


def forecast(
    plan: Plan, found: Mapping[str, Found], out: Path, modules: tuple[str, ...]
) -> dict[str, Forecast]:
    """Segment -> what a run in `out` would compute there. Reads no image and changes no result."""
    run = Run(plan, found, out, modules, Meter(quiet=True))
    run.cut(LocalBackend())
    told: dict[str, Forecast] = {}
    for segment in plan.segments():
        here = told[segment.id] = Forecast()
        items = run.items(segment)
        here.depends_on = _unsettled(run, segment, told)
        for item in items:
            here.parts += 1
            if here.depends_on:
                continue
            part = PartRun(run.context, item)
            if part.manifest is not None and part.finished(part.fingerprint()):
                here.finished += 1
                here.rows += part.manifest["rows"]
                continue
            base, _ = part.birth()
            prior = Prior(part.stored(), (part.manifest or {}).get("kept", {}), base)
            _, _, late = part.chain.replay(base, prior, part.stats)
            here.rows += base.num_rows
            here.missing += len(late)
            here.compute.update(part.chain.lacking(base.take(late), prior.at(late)))
    return told


def _unsettled(run: Run, segment: Segment, told: Mapping[str, Forecast]) -> str:
    """The node a segment's input waits for, where that is not settled by what is stored."""
    for input in segment.inputs:
        before = told[input]
        if before.depends_on:
            return before.depends_on
        if before.finished < before.parts:
            return segment.decisions or segment.measured or input
    if segment.decisions:
        step = run.plan.group(segment.decisions)
        parts = [item.part for item in run.items_of[step.input]]
        manifests = [run.context.part_manifest(step.input, part) for part in parts]
        items = sum(m["items"][step.level] for m in manifests)
        digests = [m["digest"] for m in manifests]
        if parts and not Election(run.context, step, parts, digests, items).held():
            return step.id
    if segment.measured:
        waiting = run.plan.measure(segment.measured)
        parts = [item.part for item in run.items_of[waiting.input]]
        digests = [run.context.part_manifest(waiting.input, part)["digest"] for part in parts]
        if not measure.settled(run.context, waiting, digests):
            return waiting.id
    return ""


def describe(plan: Plan, found: Mapping[str, Found], out: Path | None, modules: tuple[str, ...]) -> str:
    """The plan as text, with the forecast where there is a run folder."""
    known = forecast(plan, found, out, modules) if out is not None and (out / "state").is_dir() else {}
    lines = [f"{plan.recipe.name}: {len(plan.segments())} segments, {len(plan.writes())} outputs"]
    if not plan.writes():
        lines.append("  nothing is written: a run only measures, and keeps its ledger")
    for dataset, source in sorted(found.items()):
        size = sum(f.size for f in source.files)
        lines.append(f"  source {dataset}: {len(source.files)} files, {size / 1e6:,.1f} MB")
    for step in plan.steps:
        lines.append("")
        if isinstance(step, Segment):
            lines += _segment(step, known.get(step.id))
        elif isinstance(step, GroupStep):
            lines.append(f"group {step.id} ({step.level}s of {step.input}) by {', '.join(step.reads)}")
        elif isinstance(step, MeasureStep):
            asked = ", ".join(f"{q.column} at {q.q:g}" for q in step.stage.quantiles().values())
            what = "quantiles" if asked else "counts"
            asked = asked or ", ".join(sorted(step.stage.counts()))
            lines.append(f"{what} for {step.id} (over the survivors of {step.input}): {asked}")
        elif isinstance(step, WriteStep):
            lines.append(f"write {step.id}/ <- {step.input}")
    if out is not None and not known:
        lines += ["", f"{out} holds no earlier run: everything is computed"]
    return "\n".join(lines)


def _segment(step: Segment, told: Forecast | None) -> list[str]:
    origin = f"from {', '.join(step.inputs)}" if step.inputs else "from source"
    if step.decisions:
        origin += f", decisions of {step.decisions}"
    if step.measured:
        origin += f", thresholds of {step.measured}"
    lines = [f"segment {step.id} ({origin}): {' > '.join(step.nodes) or 'merge'}"]
    for op in step.ops:
        reads = ", ".join((*op.reads, *op.transient)) or "nothing"
        writes = ", ".join(op.stage.writes().names) or "decisions only"
        lines.append(f"  {op.node} [{op.level}]: {reads} -> {writes}")
    if told is None:
        return lines
    if told.depends_on:
        lines.append(
            f"  => {told.parts} parts, known when `{told.depends_on}` has run; known results are reused"
        )
    elif told.finished == told.parts:
        lines.append(f"  => {told.parts} parts and {told.rows:,} rows are done: nothing to compute")
    else:
        what = ", ".join(f"{node} {n:,}" for node, n in told.compute.items() if n) or "nothing"
        lines.append(
            f"  => {told.parts - told.finished} of {told.parts} parts change, "
            f"{told.missing:,} of {told.rows:,} rows lack a result; computes at most: {what}"
        )
    return lines
