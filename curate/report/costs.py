"""What a larger run would take, by the figures of a finished one: time for each item, times the items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curate.errors import RunError

REST = "reading, shuffles, writing, waiting"


def estimate(run: Mapping[str, Any], samples: int) -> dict[str, Any]:
    """Core-hours and bytes for so many samples of the same kind: for each node, for the rest, and in all.

    Linear in the samples, which is right for all but Groups whose items are linked. Raises RunError for a run
    that took over results of an earlier one: its times are not those of the whole work.
    """
    read = run["samples"]["read"]
    if run["status"] != "done" or not read:
        raise RunError("the run is not finished, or read nothing: there is nothing to go by")
    if any(node["reused"] for node in run["nodes"]):
        raise RunError(
            "the run took over results of an earlier one, so that its times tell nothing about a first run: "
            "run the recipe in a folder of its own"
        )
    factor = samples / read
    nodes = {node["id"]: node["seconds"] * factor / 3600 for node in run["nodes"]}
    total = run["seconds"] * max(1, run["workers"]) * factor / 3600
    return {
        "samples": samples,
        "measured_on": read,
        "core_hours": {**nodes, REST: max(0.0, total - sum(nodes.values())), "total": total},
        "bytes": {out["id"]: round(out["bytes"] * factor) for out in run["outputs"]},
    }


def render(run: Mapping[str, Any], samples: int) -> str:
    """The estimate as a table."""
    told = estimate(run, samples)
    items = {node["id"]: node["computed"] or node["rows_in"] for node in run["nodes"]}
    factor = samples / told["measured_on"]
    width = max(len(name) for name in told["core_hours"])
    lines = [
        f"{samples:,} samples, by a run of {told['measured_on']:,} on {run['workers']} cores:",
        f"{'node':<{width}}  {'items':>17}  {'core-ms each':>12}  {'core-hours':>12}",
    ]
    for name, hours in told["core_hours"].items():
        n = items.get(name, 0) * factor
        each = f"{hours * 3.6e6 / n:,.2f}" if n else ""
        count = f"{n:,.0f}" if n else ""
        lines.append(f"{name:<{width}}  {count:>17}  {each:>12}  {hours:>12,.1f}".rstrip())
    for id, size in told["bytes"].items():
        lines.append(f"{id}/: {size / 1e9:,.1f} GB")
    return "\n".join(lines)
