"""Rows that kill their worker (a segfault in a decoder, memory): found in subprocesses.

Each attempt at a part leaves a mark that its commit removes. Who finds two marks takes it that the part
killed its worker twice, and runs its rows in children that may die.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curate import sample
from curate.apply import NodeStats
from curate.commit import RunFolder, write_json
from curate.errors import RunError, StageBug
from curate.sample import Ints

if TYPE_CHECKING:
    from curate.parts import Item
    from curate.segment import PartRun

_ATTEMPTS = 2
_AT_ONCE = 64  # rows, as long as they do no harm


@dataclass(frozen=True)
class _Range:
    """Places among the rows that are to be computed. Nodes that are `spared` are not run."""

    start: int
    stop: int
    spared: tuple[str, ...] = ()


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


def try_birth(run: PartRun) -> None:
    """Have a child read the part's rows. Raises RunError where that alone ends it: no row is to blame."""
    with tempfile.TemporaryDirectory(prefix="curate-isolate-") as name:
        folder = Path(name)
        _spawn(run, [], folder)
        if not (folder / "born").exists():
            files = ", ".join(run.part.files[:3]) if run.part is not None else run.item.part
            failure = folder / "failure"
            why = failure.read_text() if failure.exists() else "its process was ended by the system"
            raise RunError(f"node `{run.segment.id}`: reading {files} kills the worker: {why}")


def compute(run: PartRun, base: pa.Table, late: Ints) -> list[pa.Table]:
    """The rows at `late`, computed in children. Where a child dies, the rows it was at are gone through one
    by one; what kills a child with one row alone is not run on that row, whose items get `error.Killed`."""
    todo = [_Range(i, min(i + _AT_ONCE, len(late))) for i in range(0, len(late), _AT_ONCE)]
    done: dict[int, pa.Table] = {}
    with tempfile.TemporaryDirectory(prefix="curate-isolate-") as name:
        folder = Path(name)
        while todo:
            _spawn(run, todo, folder)
            while todo and (folder / f"{todo[0].start}.json").exists():
                start = todo.pop(0).start
                done[start] = _result(run, folder, start)
            if not todo:
                break
            if (folder / "failure").exists():
                raise RunError(f"a subprocess for part {run.item.part}:\n{(folder / 'failure').read_text()}")
            killer = todo.pop(0)
            if killer.stop - killer.start > 1:
                todo = [_Range(i, i + 1) for i in range(killer.start, killer.stop)] + todo
                continue
            crumb = folder / "breadcrumb"
            node = crumb.read_text() if crumb.exists() else ""
            if not node or node in killer.spared:
                id = base["sample_id"][int(late[killer.start])].as_py()
                raise RunError(
                    f"part {run.item.part} kills its worker with sample {id}, outside of any stage"
                )
            todo.insert(0, _Range(killer.start, killer.stop, (*killer.spared, node)))
    return [done[start] for start in sorted(done)]


def _spawn(run: PartRun, todo: list[_Range], folder: Path) -> None:
    """A child that does one range after the other, until it is done or dies."""
    order = {
        "job": run.context.job.to_json(),
        "item": asdict(run.item),
        "folder": str(folder),
        "ranges": [asdict(r) for r in todo],
    }
    (folder / "breadcrumb").unlink(missing_ok=True)
    (folder / "order.json").write_text(json.dumps(order))
    subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-m", "curate.isolate", str(folder / "order.json")],
        # the user's own stages are found where this process finds them
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path)},
        stdin=subprocess.DEVNULL,
        check=False,
    )


def _result(run: PartRun, folder: Path, start: int) -> pa.Table:
    report = json.loads((folder / f"{start}.json").read_text())
    if "bug" in report:
        raise StageBug(*report["bug"])
    for node, figures in report["stats"].items():
        run.stats[node].add(NodeStats(**figures))
    run.decoded_elsewhere += report["decoded"]
    with pa.OSFile(str(folder / f"{start}.arrow")) as file:
        return pa.ipc.open_file(file).read_all()


def _child(order: dict[str, Any]) -> None:
    from curate.parts import Item
    from curate.pixels import decoded
    from curate.prior import Prior
    from curate.segment import PartRun
    from curate.work import Job, context

    folder = Path(order["folder"])
    fields = order["item"]
    item = Item(**{**fields, "upstream": tuple(fields["upstream"])})
    run = PartRun(context(Job.from_json(order["job"])), item)
    base, _ = run.birth()
    (folder / "born").touch()
    prior = Prior(run.stored(), (run.manifest or {}).get("kept", {}), base)
    _, _, late = run.chain.replay(base, prior, run.stats)
    crumb = folder / "breadcrumb"
    run.chain.breadcrumb = str(crumb)
    schema = run.segment.schema()
    for fields in order["ranges"]:
        here = _Range(**fields)
        crumb.unlink(missing_ok=True)
        run.chain.spared = frozenset(here.spared)
        run.stats = {node: NodeStats() for node in run.stats}
        before = decoded()
        # a report is written last: a range without one killed its child
        report = folder / f"{here.start}.json"
        try:
            tables = run.compute(base, prior, late[here.start : here.stop])
        except StageBug as bug:
            write_json(report, {"bug": [bug.node, bug.problem, list(bug.sample_ids)]})
            return
        table = pa.concat_tables([sample.align(t, schema) for t in tables])
        with pa.ipc.new_file(str(folder / f"{here.start}.arrow"), table.schema) as writer:
            writer.write_table(table)
        stats = {node: figures.as_dict() for node, figures in run.stats.items()}
        write_json(report, {"stats": stats, "decoded": decoded() - before})


def _main(path: str) -> None:
    order = json.loads(Path(path).read_text())

    def failed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        text = "".join(traceback.format_exception(kind, error, trace))
        (Path(order["folder"]) / "failure").write_text(text[-2000:])

    sys.excepthook = failed
    _child(order)


if __name__ == "__main__":
    _main(sys.argv[1])
