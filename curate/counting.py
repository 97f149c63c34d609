"""How often each value of a column occurs, for stages that must know before they open (`Map.counts`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from curate import figures
from curate.commit import FORMAT, read_json, write_json
from curate.parts import load
from curate.stage import fingerprint
from curate.steps import MeasureStep
from curate.work import Context, Tasks

_PARTS = 32  # parts of a task
Counts = Mapping[str, Mapping[str, int]]


def tally(context: Context, segment: str, parts: Sequence[str], columns: Sequence[str]) -> dict[str, Any]:
    """The task: counts over the living items of some parts."""
    here = context.plan.segment(segment)
    wanted = frozenset(columns)
    return figures.added(figures.of(load(context, here, part, wanted), (), columns) for part in parts)


def hold(
    context: Context, tasks: Tasks, step: MeasureStep, parts: Sequence[str], digests: Sequence[str]
) -> Counts:
    """The counts that a node asks for; taken, unless the run folder has them."""
    columns = sorted(step.stage.counts())
    path = context.folder.state / "counts" / f"{step.id}.json"
    print_ = _print(step, digests)
    done = read_json(path)
    if columns and (done is None or done["fingerprint"] != print_):
        common = {"segment": step.input, "columns": columns}
        arguments = [{**common, "parts": list(parts[i : i + _PARTS])} for i in range(0, len(parts), _PARTS)]
        found: Iterable[Mapping[str, Any]] = (
            result for _, result in tasks(f"{step.id}: counting", "tally", arguments)
        )
        counts = figures.added(found)["tallies"]
        done = {"fingerprint": print_, "counts": {name: counts.get(name, {}) for name in columns}}
        write_json(path, done)
    return done["counts"] if done is not None and columns else {}


def settled(context: Context, step: MeasureStep, digests: Sequence[str]) -> bool:
    """Whether the counts in the run folder are those that would be taken now."""
    done = read_json(context.folder.state / "counts" / f"{step.id}.json")
    return not step.stage.counts() or (done is not None and done["fingerprint"] == _print(step, digests))


def known(context: Context, step: MeasureStep) -> Counts:
    """What `hold` has found."""
    if not step.stage.counts():
        return {}
    done = read_json(context.folder.state / "counts" / f"{step.id}.json")
    assert done is not None, f"the counts of {step.id} are not taken"
    return done["counts"]  # type: ignore[no-any-return]


def _print(step: MeasureStep, digests: Sequence[str]) -> str:
    return fingerprint(FORMAT, sorted(step.stage.counts()), digests)
