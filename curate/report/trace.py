"""The fate of one sample, read off the ledger and the outputs' indexes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from curate.errors import CurateError

_PLACE = ("sample_id", "dataset", "source", "output", "level", "index", "node", "reason")


def find(run: Path, wanted: str) -> list[dict[str, Any]]:
    """Every fate of a sample and of what was born from it: drops from the ledger, members from outputs.

    `wanted` is a sample id, the beginning of one (8 digits or more) or a source position (its beginning, up
    to the offset).
    """
    if not (run / "run.json").exists():
        raise CurateError(f"{run} is no run folder: it has no run.json")
    fates: list[dict[str, Any]] = []
    ids: set[str] = set()
    files = sorted(str(p) for p in (run / "ledger").glob("*.parquet"))
    if files:
        rows = _rows(files, wanted)
        fates += [_dropped(row) for row in rows]
        ids = {row["sample_id"] for row in rows}
    for output in json.loads((run / "run.json").read_text())["outputs"]:
        folder = run / output["path"]
        indexes = sorted(str(p) for p in folder.rglob("*.parquet"))
        if indexes:
            fates += _written(output["id"], folder, indexes, {wanted, *ids})
    return fates


def _rows(files: Sequence[str], wanted: str) -> list[dict[str, Any]]:
    found = ds.dataset(files, format="parquet")
    by_id = pc.starts_with(ds.field("sample_id"), wanted) if len(wanted) >= 8 else pc.scalar(False)
    by_source = pc.starts_with(ds.field("source"), wanted)
    table: pa.Table = found.to_table(filter=by_id | by_source)
    return table.to_pylist()  # type: ignore[no-any-return]


def _dropped(row: Mapping[str, Any]) -> dict[str, Any]:
    scores = {k: v for k, v in row.items() if k not in _PLACE and v is not None}
    return {"fate": "dropped", **{k: row[k] for k in _PLACE}, "scores": scores}


def _written(output: str, folder: Path, indexes: Sequence[str], wanted: set[str]) -> list[dict[str, Any]]:
    found = []
    for path in indexes:
        dataset = ds.dataset(path, format="parquet")
        if "sample_id" not in dataset.schema.names:
            continue
        match = pc.scalar(False)
        for id in wanted:
            if len(id) >= 8:
                match = match | pc.starts_with(ds.field("sample_id"), id)
        columns = [n for n in ("sample_id", "key") if n in dataset.schema.names]
        shard = str(Path(path).relative_to(folder).with_suffix(""))
        for row in dataset.to_table(filter=match, columns=columns).to_pylist():
            member = row.get("key", row["sample_id"])
            found.append(
                {
                    "fate": "written",
                    "sample_id": row["sample_id"],
                    "output": output,
                    "shard": shard,
                    "member": member,
                }
            )
    return found


def render(fates: Sequence[Mapping[str, Any]]) -> str:
    """One paragraph for each fate."""
    lines = []
    for fate in fates:
        if fate["fate"] == "written":
            lines.append(
                f"{fate['sample_id']}  written to {fate['output']}/{fate['shard']} as {fate['member']}"
            )
            continue
        what = "sample" if fate["level"] == "sample" else f"{fate['level']} {fate['index']} of the sample"
        where = f" on the way to {fate['output']}" if fate["output"] else ""
        lines.append(f"{fate['sample_id']}  {what} dropped by `{fate['node']}`: {fate['reason']}{where}")
        lines.append(f"    from {fate['dataset']}: {fate['source']}")
        if fate["scores"]:
            lines.append("    " + ", ".join(f"{k} {_short(v)}" for k, v in sorted(fate["scores"].items())))
    return "\n".join(lines)


def _short(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
