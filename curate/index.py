"""RUN/index/<node>/: keys and signatures of what a Group left alive and the run wrote, for later runs.

    manifest.json        the node's configuration; the files, with the number and a digest of their items
    <part>.arrow         as `curate.group_items` (of a Linked) or as the rows of keys (of equal keys)
    fitted.npz           what a Linked learnt from a sample

A later run whose recipe says `known: [RUN]` elects against these items: they come before all new ones, and
nothing is decided about them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.commit import read_arrow, read_json, sha256_file, write_atomic, write_json
from curate.errors import RecipeError, RunError
from curate.group_items import write_items
from curate.linked import Linked
from curate.parts import Item
from curate.stage import EXPANDED, fingerprint
from curate.steps import GroupStep, Plan
from curate.work import Context, Tasks


@dataclass(frozen=True)
class KnownFile:
    """One file of an earlier run's index."""

    path: Path
    items: int
    digest: str
    run_folder: Path  # of the node in that run's index: where `fitted.npz` lies
    learnt: str


def width(kind: pa.DataType) -> int:
    """Bytes of a value, about."""
    if pa.types.is_fixed_size_list(kind):
        return int(kind.list_size) * width(kind.value_type)
    try:
        return int(kind.bit_width) // 8
    except ValueError:
        return 64


def _identity(step: GroupStep) -> str:
    return fingerprint(step.stage.identity(), type(step.stage).__name__)


def known(step: GroupStep) -> list[KnownFile]:
    """The files of the indexes that a node names. RecipeError where there is none, or one of another node."""
    found: list[KnownFile] = []
    for run in step.stage.known_runs():
        folder = Path(run).resolve() / "index" / step.id
        manifest = read_json(folder / "manifest.json")
        if manifest is None:
            raise RecipeError(
                f"{step.id}.known",
                f"{run} has no index of a node `{step.id}`",
                "name the folder of a finished run whose recipe has this node, with the same id",
            )
        if manifest["identity"] != _identity(step):
            raise RecipeError(
                f"{step.id}.known",
                f"`{step.id}` of {run} was configured otherwise; what it kept cannot be compared",
                f"its configuration stands in {run}/recipe.yaml",
            )
        if found and manifest["learnt"] != found[0].learnt:
            raise RecipeError(
                f"{step.id}.known",
                f"{run} compared by other clusters than {step.stage.known_runs()[0]}",
                "a run that is to be known beside another must have known that one itself",
            )
        found += [
            KnownFile(folder / name, facts["items"], facts["digest"], folder, manifest["learnt"])
            for name, facts in sorted(manifest["files"].items())
        ]
    return found


def check(plan: Plan, out: Path) -> None:
    """Before anything starts: RecipeError where a node names a run that it cannot know."""
    for step in plan.steps:
        if isinstance(step, GroupStep):
            for run in step.stage.known_runs():
                if Path(run).resolve() == out.resolve():
                    problem = "a run cannot know itself; what it kept is reused without being named"
                    raise RecipeError(f"{step.id}.known", problem)
            known(step)


# -- publishing ---------------------------------------------------------------------------------------------


def publish_all(context: Context, items_of: Mapping[str, Sequence[Item]], tasks: Tasks) -> None:
    """The indexes of all nodes that have one, once all fates are known."""
    for step in context.plan.steps:
        if not isinstance(step, GroupStep) or not step.stage.indexed:
            continue
        parts = [item.part for item in items_of[step.input]]
        ledgers = _ledgers(context, step, items_of)
        outputs = context.plan.segment(step.id).outputs
        arguments = [
            {"node": step.id, "part": part, "ledgers": ledgers[part], "outputs": list(outputs)}
            for part in parts
        ]
        facts = {
            f"{parts[number]}.arrow": {"items": found["items"], "digest": found["digest"]}
            for number, found in tasks(f"{step.id}: index", "publish_index", arguments)
        }
        for _ in tasks(f"{step.id}: index", "finish_index", [{"node": step.id, "files": facts}]):
            pass


def _ledgers(
    context: Context, step: GroupStep, items_of: Mapping[str, Sequence[Item]]
) -> dict[str, list[str]]:
    """Part -> the ledger files of all that became of it behind the Group."""
    found: dict[str, list[str]] = {item.part: [] for item in items_of[step.input]}
    # what came out of which of those parts: (segment, part) -> part before the Group
    origin = {(step.input, part): part for part in found}
    for segment in context.plan.segments():
        if segment.id != step.id and step.id not in context.plan.ancestors(segment.id):
            continue
        for item in items_of[segment.id]:
            before = origin.get(item.upstream)
            if before is not None:
                origin[segment.id, item.part] = before
                found[before].append(context.folder.ledger_file(segment.id, item.part).name)
    return found


def publish_part(
    context: Context, node: str, part: str, ledgers: Sequence[str], outputs: Sequence[str]
) -> dict[str, Any]:
    """What is left of the items of one part, into the index. `ledgers`: files that tell of its dead."""
    step = context.plan.group(node)
    state = context.folder.group(node)
    path = context.folder.root / "index" / node / f"{part}.arrow"
    told = [context.folder.ledger / name for name in ledgers]
    source = state / ("items" if isinstance(step.stage, Linked) else "keys") / f"{part}.arrow"
    print_ = fingerprint([[p.name, sha256_file(p)[:16]] for p in [source, *told]], list(outputs))
    note = state / "published" / f"{part}.json"
    done = read_json(note)
    if done is not None and done["fingerprint"] == print_ and path.exists():
        return done
    rows = read_arrow(source)
    if not isinstance(step.stage, Linked):
        rows = rows.drop_columns(["part", "known"])
    rows = rows.filter(pa.array(~_dead(step, rows, told, outputs))).combine_chunks()
    write_items(path, rows)
    result = {"fingerprint": print_, "items": rows.num_rows, "digest": sha256_file(path)[:16]}
    write_json(note, result)
    return result


def _dead(step: GroupStep, rows: pa.Table, ledgers: Sequence[Path], outputs: Sequence[str]) -> Any:
    """Which items are in no output: the ledger has them, or their sample, once for each."""
    columns = ["sample_id", "source", "output", "level", "index", "reason"]
    tables = [pq.read_table(path, columns=columns) for path in ledgers]
    if not tables:
        return np.zeros(rows.num_rows, dtype=bool)
    dead = pa.concat_tables(tables)
    dead = dead.filter(pc.not_equal(dead["reason"], EXPANDED))
    of_sample = dead.filter(pc.equal(dead["level"], "sample"))
    of_item = dead.filter(pc.equal(dead["level"], step.level)) if step.level != "sample" else dead.slice(0, 0)
    samples = _everywhere(of_sample, outputs, with_index=False)
    items = _everywhere(of_item, outputs, with_index=True)
    names = zip(*(rows[n].to_pylist() for n in ("sample_id", "source", "index")), strict=True)
    return np.array([(id, s) in samples or (id, s, i) in items for id, s, i in names], dtype=bool)


def _everywhere(dead: pa.Table, outputs: Sequence[str], with_index: bool) -> set[tuple[Any, ...]]:
    """Names of what died on the way to all outputs."""
    wanted = max(1, len(outputs))
    names = ["sample_id", "source", *(["index"] if with_index else [])]
    found = dead.group_by(names).aggregate([("output", "count_distinct")])
    found = found.filter(pc.greater_equal(found["output_count_distinct"], wanted))
    return set(zip(*(found[n].to_pylist() for n in names), strict=True))


def publish(context: Context, node: str, files: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The manifest, last; files that it does not name are removed."""
    step = context.plan.group(node)
    folder = context.folder.root / "index" / node
    folder.mkdir(parents=True, exist_ok=True)
    state = context.folder.group(node)
    learnt = ""
    if isinstance(step.stage, Linked) and step.stage.sample_size():
        source, learnt = _learnt(step, state)
        write_atomic(folder / "fitted.npz", source.read_bytes())
    manifest = {"identity": _identity(step), "node": node, "learnt": learnt, "files": files}
    write_json(folder / "manifest.json", manifest)
    for path in folder.glob("*.arrow"):
        if path.name not in files:
            path.unlink()
    return {}


def _learnt(step: GroupStep, state: Path) -> tuple[Path, str]:
    earlier = known(step)
    if earlier:
        return earlier[0].run_folder / "fitted.npz", earlier[0].learnt
    done = read_json(state / "fitted.json")
    if done is None:
        raise RunError(f"node `{step.id}` has learnt nothing; run the same command again")
    return state / "fitted.npz", str(done["digest"])
