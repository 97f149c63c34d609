"""Rows that kill their worker (a segfault in a decoder, memory): found by bisection in subprocesses.

Each attempt at a part leaves a mark that its commit removes. Who finds two marks takes it that the part
killed its worker twice, and runs its rows in children that may die.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curate import sample
from curate.apply import NodeStats
from curate.commit import RunFolder
from curate.errors import RunError, StageBug
from curate.sample import Ints

if TYPE_CHECKING:
    from curate.segment import Item, PartRun

KILLED = "error.Killed"
_ATTEMPTS = 2


@contextmanager
def attempt(folder: RunFolder, item: Item) -> Iterator[bool]:
    """Mark an attempt; true when earlier ones ended without a word."""
    mark = folder.manifest(item.segment, item.part).with_suffix(".attempts")
    mark.parent.mkdir(parents=True, exist_ok=True)
    earlier = mark.stat().st_size if mark.exists() else 0
    with mark.open("ab") as file:
        file.write(b".")
    # an exception is an ending with a word: only a death leaves the mark
    try:
        yield earlier >= _ATTEMPTS
    finally:
        mark.unlink(missing_ok=True)


def compute(run: PartRun, base: pa.Table, late: Ints) -> list[pa.Table]:
    """The rows at `late`, computed in children; a row that kills a child alone gets `error.Killed`."""
    with tempfile.TemporaryDirectory(prefix="curate-isolate-") as folder:
        return _bisect(run, base, late, 0, len(late), Path(folder))


def _bisect(
    run: PartRun, base: pa.Table, late: Ints, start: int, stop: int, folder: Path
) -> list[pa.Table]:
    order: dict[str, Any] = {
        "job": run.context.job.to_json(),
        "item": asdict(run.item),
        "start": start,
        "stop": stop,
        "table": str(folder / "table.arrow"),
        "breadcrumb": str(folder / "node"),
    }
    (folder / "order.json").write_text(json.dumps(order))
    child = subprocess.run(
        [sys.executable, "-m", "curate.isolate", str(folder / "order.json")],
        capture_output=True,
        text=True,
        check=False,
    )
    if child.returncode == 0:
        report = json.loads(child.stdout.splitlines()[-1])
        if "bug" in report:
            raise StageBug(*report["bug"])
        for node, figures in report["stats"].items():
            run.stats[node].add(NodeStats(**{**figures, "dropped": figures["dropped"]}))
        with pa.memory_map(order["table"]) as file:
            return [pa.ipc.open_file(file).read_all()]
    if child.returncode > 0:
        raise RunError(f"a subprocess for part {run.item.part} failed:\n{child.stderr[-2000:]}")
    if stop - start == 1:
        crumb = Path(order["breadcrumb"])
        node = crumb.read_text() if crumb.exists() else run.segment.id
        row = base.slice(int(late[start]), 1)
        run.stats[node].errors += 1
        run.stats[node].dropped[KILLED] += 1
        return [sample.set_column(row, "drop", pa.array([f"{node}:{KILLED}"]))]
    middle = (start + stop) // 2
    left = _bisect(run, base, late, start, middle, folder)
    return left + _bisect(run, base, late, middle, stop, folder)


def _child(path: str) -> dict[str, Any]:
    from curate.prior import Prior
    from curate.segment import Item, PartRun
    from curate.work import Job, context

    order = json.loads(Path(path).read_text())
    fields = order["item"]
    item = Item(**{**fields, "upstream": tuple(fields["upstream"])})
    run = PartRun(context(Job.from_json(order["job"])), item)
    base, _ = run.birth()
    prior = Prior(run.stored(), (run.manifest or {}).get("kept", {}), base)
    _, _, late = run.chain.replay(base, prior, run.stats)
    fresh = {node: NodeStats() for node in run.stats}
    run.stats = fresh
    run.chain.breadcrumb = order["breadcrumb"]
    try:
        tables = run.compute(base, prior, late[order["start"] : order["stop"]])
    except StageBug as bug:
        return {"bug": [bug.node, bug.problem, list(bug.sample_ids)]}
    schema = run.segment.schema()
    table = pa.concat_tables([sample.align(t, schema) for t in tables])
    with pa.ipc.new_file(order["table"], table.schema) as writer:
        writer.write_table(table)
    return {"stats": {node: stats.as_dict() for node, stats in fresh.items()}}


if __name__ == "__main__":
    print(json.dumps(_child(sys.argv[1])))
