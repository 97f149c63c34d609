"""A finished run against the truth of a demo pool: precision and recall for each planted defect."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds

from curate.demo.score import render, score
from curate.errors import CurateError
from curate.stage import EXPANDED

_COLUMNS = ["sample_id", "source", "output", "level", "index", "node", "reason"]


def compare(truth: Path, run: Path, report: Mapping[str, Any]) -> str:
    """A table for each output whose samples came from the pool's pairs or documents."""
    if not truth.exists():
        raise CurateError(f"--truth {truth}: there is no such file; `curate demo` writes it")
    files = sorted(str(p) for p in (run / "ledger").glob("*.parquet"))
    if not files:
        return f"{truth}: nothing was dropped"
    told: dict[str, list[str]] = {}
    for output in report["outputs"]:
        mine = ds.dataset(files, format="parquet").to_table(
            columns=_COLUMNS, filter=ds.field("output") == output["id"]
        )
        rows = [_of_parent(row) for row in mine.to_pylist() if row["reason"] != EXPANDED]
        documents_only = all("#" not in row["source"] for row in rows)
        scores = score(
            truth,
            rows,
            output["id"],
            dataset="docs" if documents_only else None,
            image_index="content_index",  # navigation and its icons are gone before images are counted
        )
        told.setdefault(render(scores), []).append(output["id"])
    return "\n".join(f"{', '.join(outputs)} against {truth.name}\n{table}" for table, outputs in told.items())


def _of_parent(row: dict[str, Any]) -> dict[str, Any]:
    """What befell a pair born from a document befell that image of the document."""
    parent, born, ordinal = row["sample_id"].partition("#")
    if not born:
        return row
    return {**row, "sample_id": parent, "level": "image", "index": int(ordinal)}
