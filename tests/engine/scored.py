"""Recipes with scores of every level, and what numpy says of them, with nothing of the engine between."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pools
import scored_stages

from curate.backends import Backend

MODULES = (*pools.ODD, "scored_stages:STAGES")
COUNT = 90


def run(recipe: pools.Recipe, out: Path, start: Callable[[], Backend] | None = None) -> dict[str, Any]:
    return pools.run(recipe, out, MODULES, *([] if start is None else [start]))


def best(path: str, bounds: Mapping[str, Any], part_rows: int = 2048, **fields: Any) -> pools.Recipe:
    """Scores of every level, a keep over them, and a stage behind it that is kept."""
    return {
        "name": "best",
        "nodes": [
            {"id": "raw", "stage": "read_webdataset", "path": path, "part_rows": part_rows},
            {"id": "image", "stage": "score_image"},
            {"id": "text", "stage": "score_text"},
            {"id": "whole", "stage": "score_sample"},
            {"id": "best", "stage": "keep", "bounds": dict(bounds), **fields},
            {"id": "words", "stage": "letters"},
            {"id": "out", "stage": "write_webdataset", "shard_size": 20},
        ],
    }


def scored(recipe: pools.Recipe, images: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """sample_id, data set and scores of all pairs of a recipe's sources, without the engine."""
    plan, found = pools.planned(recipe, MODULES)
    rows = []
    for name, source in plan.reads().items():
        for row in pools.raw_rows(source, found[name]).to_pylist():
            image = scored_stages.real(images[row["text_body"][0]])
            rows.append(
                {
                    "sample_id": row["sample_id"],
                    "dataset": row["dataset"],
                    "image_score": None if image is None else float(np.float32(image)),
                    "text_score": scored_stages.text_scores(row["text_body"])[0],
                    "score": scored_stages.whole(row["sample_id"].encode()),
                }
            )
    return rows


def by_caption(rows: Sequence[pools.Pair]) -> dict[str, bytes]:
    return {row.text: row.image for row in rows}


def quantile(values: Sequence[Any], q: float) -> Any:
    """By numpy, over what is neither null nor NaN."""
    numbers = [v for v in values if v is not None and not (isinstance(v, float) and math.isnan(v))]
    return np.quantile(np.array(numbers), q, method="inverted_cdf")


def thresholds(report: Mapping[str, Any], node: str = "best") -> dict[tuple[str, str], Any]:
    return {(t["reason"], t["dataset"]): t["value"] for t in pools.node(report, node)["thresholds"]}


def below(rows: Sequence[Mapping[str, Any]], column: str, q: float) -> set[str]:
    """Who goes: what lies below the quantile, null and NaN."""
    limit = quantile([r[column] for r in rows], q)
    return {r["sample_id"] for r in rows if r[column] is None or not r[column] >= limit}


BOUNDS = {
    "image_score": {"min_quantile": 0.3, "max": 3.0},
    "text_score": {"max_quantile": 0.9, "missing": "keep"},
    "score": {"min_quantile": 0.1, "max_quantile": 0.95},
}


def merged(tmp_path: Path, **fields: Any) -> tuple[pools.Recipe, dict[str, bytes]]:
    """Two sources of different sizes, and a score that only one of them has."""
    many, few = pools.pairs(60), pools.pairs(24, start=700)
    paths = [pools.write_tars(tmp_path / "many", many, 2), pools.write_tars(tmp_path / "few", few, 1)]
    recipe = {
        "name": "merged",
        "nodes": [
            {"id": "many", "stage": "read_webdataset", "path": paths[0], "part_rows": 11},
            {"id": "words", "stage": "score_text"},
            {"id": "few", "stage": "read_webdataset", "path": paths[1], "part_rows": 11},
            {"id": "whole", "stage": "score_sample", "from": ["words", "few"]},
            {"id": "side", "stage": "write_webdataset", "from": "few"},
            {
                "id": "best",
                "stage": "keep",
                "from": "whole",
                "bounds": {
                    "score": {"min_quantile": 0.4},
                    "text_score": {"min_quantile": 0.25, "missing": "keep"},
                },
                **fields,
            },
            {"id": "out", "stage": "write_webdataset"},
        ],
    }
    return recipe, by_caption([*many, *few])
