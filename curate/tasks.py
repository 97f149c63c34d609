"""The kinds of work a backend is handed. Each takes a Job and plain arguments and returns plain facts.

A task can be run twice, or at two places at once: it commits what it did under a name that depends on its
arguments alone, and finds it there the next time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from curate import counting, exchange, group, index, links, measure, output
from curate.errors import CurateError, StageBug
from curate.io.storage import SourceFile
from curate.parts import Item
from curate.segment import PartRun
from curate.work import Context, Job, context


def split(context: Context, node: str, files: list[list[Any]]) -> dict[str, Any]:
    """Cut source files that belong together into parts."""
    source = next(s for s in context.plan.reads().values() if s.id == node)
    found = [SourceFile(*f) for f in files]
    parts = source.split(context.storages[source.dataset()], found)
    return {"files": files, "parts": [p.to_json() for p in parts]}


def part(context: Context, **item: Any) -> dict[str, Any]:
    """One segment on one part."""
    return PartRun(context, Item(**{**item, "upstream": tuple(item["upstream"])})).run()


def publish(context: Context, **arguments: Any) -> dict[str, Any]:
    """Swap a finished output in."""
    return output.publish(context, **arguments)


def merge(context: Context, folder: str, **arguments: Any) -> dict[str, Any]:
    """Files of many senders of an exchange as one."""
    return exchange.merge(Path(folder), **arguments)


TASKS: Mapping[str, Callable[..., dict[str, Any]]] = {
    "split": split,
    "part": part,
    "send_keys": group.send_keys,
    "send_known": group.send_known,
    "fit_sample": links.fit_sample,
    "fit": links.fit,
    "prepare": links.prepare,
    "pair": links.pair,
    "verify": links.verify,
    "connect": group.connect,
    "merge": merge,
    "decide": group.decide,
    "hand_out": group.hand_out,
    "publish_index": index.publish_part,
    "finish_index": index.publish,
    "measure": measure.count,
    "tally": counting.tally,
    "send_rows": output.send_rows,
    "write_shard": output.write_shard,
    "publish": publish,
}


def perform(job: Job, task: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Run one task. What is meant for people comes back as a value, so that no backend wraps it."""
    try:
        return TASKS[task](context(job), **arguments)
    except StageBug as bug:
        return {"bug": [bug.node, bug.problem, list(bug.sample_ids)], "arguments": dict(arguments)}
    except CurateError as error:
        return {"failure": str(error)}
