"""A Group of equal keys on a table, with the engine's own order of members and its count of votes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from curate.members import TOLD, told, totals_of
from curate.ranking import LOT, ranked, resolved
from curate.stage import Group
from curate.steps import GroupStep


def with_told(members: pa.Table) -> pa.Table:
    """Members in order with `component`, `key` and `unit`, as elect() is shown them."""
    return told(members, totals_of([members]))[0]


def decided(stage: Group, table: pa.Table) -> list[dict[str, Any]]:
    """For each row of the table its `drop` and the stage's columns; of several votes as the engine counts."""
    rows = table.num_rows
    for name, value in (("shape", "pair"), ("dataset", "d"), ("source", "s")):
        if name not in table.column_names:
            table = table.append_column(name, pa.array([value] * rows, pa.string()))
    step = GroupStep("group", stage, "", stage.level_(), tuple(sorted(stage.reads())), "")
    keys = stage.keys(table).to_pylist()
    items = np.repeat(np.arange(rows), [len(found) for found in keys])
    flat = [key for found in keys for key in found]
    number = {key: i for i, key in enumerate(sorted(set(flat)))}
    slots = pa.array(np.arange(rows))
    members = resolved(step, table).append_column("slot", slots).take(pa.array(items, pa.int64()))
    members = members.append_column("key", pa.array(flat, pa.string()))
    members = members.append_column("component", pa.array([number[key] for key in flat], pa.int64()))
    members = members.append_column("known", pa.array(np.zeros(len(flat), dtype=np.int8)))
    lots, units = stage.lots(table), stage.units(table, stage.keys(table))
    if lots is not None:
        members = members.append_column(LOT, lots.take(pa.array(items, pa.int64())))
    members = members.append_column("unit", units or pa.array([1] * len(flat), pa.int64()))
    members = with_told(ranked(step, members))
    shown = [*sorted(stage.reads()), "sample_id", "shape", "component", "key", *TOLD]
    out = stage.elect(members.select(list(dict.fromkeys(shown))))
    assert out.drop is not None
    assert list(out.columns) == stage.writes().names
    told: list[dict[str, Any]] = [
        {"drop": None, **dict.fromkeys(out.columns), "votes": []} for _ in range(rows)
    ]
    values = {name: column.to_pylist() for name, column in {"drop": out.drop, **out.columns}.items()}
    assert set(values["drop"]) <= {*stage.reasons(), None}
    for n, slot in enumerate(members["slot"].to_pylist()):
        told[slot]["votes"].append({name: column[n] for name, column in values.items()})
    for row in told:
        votes = row.pop("votes")
        if votes:
            kept = any(vote["drop"] is None for vote in votes)
            row.update(votes[0] | ({"drop": None} if kept else {}))
    return told


def drops(stage: Group, table: pa.Table) -> list[str | None]:
    return [row["drop"] for row in decided(stage, table)]


def samples(count: int, start: int = 0, **columns: Any) -> pa.Table:
    """`count` samples with ids of their own; a column is an array, a list, or a function of the number."""
    numbers = range(start, start + count)
    made = {name: [c(i) for i in numbers] if callable(c) else c for name, c in columns.items()}
    return pa.table({"sample_id": [f"{hash_of(i):032x}" for i in numbers], **made})


def hash_of(number: int) -> int:
    """Like the hash that a sample_id is: no order is left of the numbers."""
    import hashlib

    return int.from_bytes(hashlib.sha256(str(number).encode()).digest()[:16], "big")
