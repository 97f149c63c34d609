"""The funnel: run.json as a table for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_REASONS = 4  # named for each node at most


def render(run: Mapping[str, Any]) -> str:
    """Nodes with rows in, rows out, kept share and reasons; then outputs with the law of conservation."""
    width = max(len(n["id"]) for n in run["nodes"])
    lines = [f"{'node':<{width}}  {'rows in':>9}  {'rows out':>9}  {'kept':>6}  dropped (reason: items)"]
    for node in run["nodes"]:
        share = f"{node['rows_out'] / node['rows_in']:.1%}" if node["rows_in"] else "-"
        reasons = sorted(node["dropped"].items(), key=lambda r: (-r[1], r[0]))
        told = ", ".join(f"{reason}: {n:,}" for reason, n in reasons[:_REASONS])
        if len(reasons) > _REASONS:
            told += f", {len(reasons) - _REASONS} more: {sum(n for _, n in reasons[_REASONS:]):,}"
        counts = f"{node['rows_in']:>9,}  {node['rows_out']:>9,}  {share:>6}"
        lines.append(f"{node['id']:<{width}}  {counts}  {told}".rstrip())
    for out in run["outputs"]:
        lines.append("")
        size = f"{out['bytes'] / 1e6:,.1f} MB"
        lines.append(f"{out['path']}/: {out['samples']['written']:,} samples, {out['shards']} shards, {size}")
        lines += [f"  {_law(level, out[level])}" for level in ("samples", "images")]
    return "\n".join(lines)


def _law(level: str, terms: Mapping[str, int]) -> str:
    came = [f"{terms[t]:,} {t}" for t in ("entered", "born", "repeated") if terms[t]]
    went = [f"{terms[t]:,} {t}" for t in ("written", "dropped", "errors", "deferred", "expanded") if terms[t]]
    return f"{level}: {' + '.join(came) or '0 entered'} = {' + '.join(went) or '0 written'}"
