"""What run.json tells of each output: sums and counts of columns, as their stages ask for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curate import sample

_NONE = "none"  # of a value that is null
_MOST = 10_000  # different values that are told


def of(table: pa.Table, totals: Sequence[str], tallies: Sequence[str]) -> dict[str, Any]:
    """Sums and counts over the living items of living rows."""
    sums = {name: int(pc.sum(_values(table, name)).as_py() or 0) for name in totals}
    counts = {}
    for name in tallies:
        values = pc.value_counts(pc.fill_null(_values(table, name).cast(pa.string()), _NONE))
        told = zip(values.field("values").to_pylist(), values.field("counts").to_pylist(), strict=True)
        counts[name] = dict(sorted(told))
    return {"totals": sums, "tallies": counts}


def added(figures: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Those of several tables together."""
    totals: dict[str, int] = {}
    tallies: dict[str, dict[str, int]] = {}
    for found in figures:
        for name, value in found["totals"].items():
            totals[name] = totals.get(name, 0) + value
        for name, counts in found["tallies"].items():
            here = tallies.setdefault(name, {})
            for value, n in counts.items():
                here[value] = here.get(value, 0) + n
    return {"totals": totals, "tallies": {name: dict(sorted(c.items())) for name, c in tallies.items()}}


def told(figures: Mapping[str, Any]) -> dict[str, Any]:
    """For people: of a column with very many values those that occur most."""
    tallies: Mapping[str, Mapping[str, int]] = figures["tallies"]
    return {**figures, "tallies": {name: _most(counts) for name, counts in tallies.items()}}


def _most(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(sorted(counts.items(), key=lambda c: (-c[1], c[0]))[:_MOST]))


def _values(table: pa.Table, name: str) -> pa.Array:
    level = sample.level_of(name)
    values = sample.single(table[name]) if level == "sample" else sample.flat(table[name])
    return values.filter(pa.array(sample.alive(table, level)))
