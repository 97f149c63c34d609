"""A finished run against the truth of a demo pool: precision and recall for each planted defect."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import yaml

from curate.demo.score import render, score
from curate.errors import CurateError
from curate.stage import EXPANDED

_COLUMNS = ["sample_id", "source", "output", "level", "index", "node", "reason"]
_DOCUMENTS = "read_html"  # the source of a pool's documents; its pairs may be read by any other


def compare(truth: Path, run: Path, report: Mapping[str, Any]) -> str:
    """A table for each output, of what its sources hold; outputs of the same scores share one.

    A row for every dead sample comes into memory: a pool is small.
    """
    try:
        kinds = {json.loads(line)["dataset"] for line in truth.read_text(encoding="utf-8").splitlines()}
    except FileNotFoundError as error:
        raise CurateError(f"{truth}: there is no such file; `curate demo` writes it") from error
    except (ValueError, KeyError, TypeError) as error:
        raise CurateError(f"{truth} is not the truth.jsonl of a demo pool") from error
    sources = _sources(yaml.safe_load((run / "recipe.yaml").read_text(encoding="utf-8"))["nodes"])
    files = sorted(str(p) for p in (run / "ledger").glob("*.parquet"))
    told: dict[str, list[str]] = {}
    for output in report["outputs"]:
        read = {"docs" if stage == _DOCUMENTS else "pairs" for stage in sources[output["id"]]} & kinds
        if not read:
            continue  # fed by something else
        try:
            scores = score(
                truth,
                _rows(files, output["id"]),
                output["id"],
                dataset=None if len(read) > 1 else read.pop(),
                image_index="content_index",  # navigation and its icons are gone before images are counted
            )
        except ValueError as error:
            raise CurateError(
                f"output `{output['id']}` was not made of the pool of {truth}: {error}"
            ) from error
        told.setdefault(render(scores), []).append(output["id"])
    return "\n".join(f"{', '.join(outputs)} against {truth.name}\n{table}" for table, outputs in told.items())


def _rows(files: list[str], output: str) -> list[dict[str, Any]]:
    if not files:
        return []
    mine = ds.dataset(files, format="parquet").to_table(columns=_COLUMNS, filter=ds.field("output") == output)
    return [_of_parent(row) for row in mine.to_pylist() if row["reason"] != EXPANDED]


def _sources(nodes: list[dict[str, Any]]) -> dict[str, set[str]]:
    """For each node the stages of the sources it descends from, out of a resolved recipe."""
    inputs: dict[str, list[str]] = {}
    before = ""
    for node in nodes:
        # a source is what reads files; any other node reads the one before it unless it says which
        inputs[node["id"]] = [] if "path" in node else node["from"] or [before]
        before = node["id"]
    stages = {node["id"]: node["stage"] for node in nodes}

    def of(id: str) -> set[str]:
        return set().union(*map(of, inputs[id])) if inputs[id] else {stages[id]}

    return {id: of(id) for id in inputs}


def _of_parent(row: dict[str, Any]) -> dict[str, Any]:
    """What befell a pair born from a document befell that image of the document."""
    parent, born, ordinal = row["sample_id"].partition("#")
    if not born:
        return row
    return {**row, "sample_id": parent, "level": "image", "index": int(ordinal.partition("#")[0])}
