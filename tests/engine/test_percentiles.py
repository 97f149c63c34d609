"""Percentiles of scores in run.json are numpy's, and what trace tells of a threshold."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pools
import pytest
from scored import COUNT, best, by_caption, quantile, run, scored

from curate import measure
from curate.backends import Backend
from curate.report.trace import find, render


@pytest.fixture
def tars(tmp_path: Path) -> str:
    rows = pools.pairs(COUNT)
    return pools.write_tars(tmp_path / "in", [*rows, rows[3]], 3)


def test_percentiles_are_numpys(tars: str, tmp_path: Path, start: Callable[[], Backend]) -> None:
    """Of all that have a value, whatever became of them later."""
    recipe = best(tars, {"score": {"min_quantile": 0.9}}, part_rows=13)
    report = run(recipe, tmp_path / "run", start)
    rows = scored(recipe, by_caption(pools.pairs(COUNT)))
    for node, column in (("image", "image_score"), ("text", "text_score"), ("whole", "score")):
        values = [r[column] for r in rows]
        nans = sum(isinstance(v, float) and math.isnan(v) for v in values)
        numbers = [v for v in values if v is not None and v == v]
        expected = {
            "n": len(numbers),
            "nulls": values.count(None),
            "nans": nans,
            **{f"p{p}": quantile(values, p / 100) for p in measure.PERCENTILES},
            "min": min(numbers),
            "max": max(numbers),
        }
        told = pools.node(report, node)["percentiles"][column]
        assert {k: float(v) for k, v in told.items()} == {k: float(v) for k, v in expected.items()}
        assert told["n"] + told["nulls"] + told["nans"] == len(rows)
    assert "percentiles" not in pools.node(report, "words")


def test_percentiles_do_not_know_what_earlier_runs_scored(tars: str, tmp_path: Path) -> None:
    """A bound before the score: rows that died there keep their scores for later, but are not counted."""

    def bounded(least: float) -> pools.Recipe:
        recipe = best(tars, {"score": {"min_quantile": 0.5}})
        nodes = list(recipe["nodes"])
        nodes[3:3] = [{"id": "early", "stage": "keep", "bounds": {"image_score": {"min": least}}}]
        return {**recipe, "nodes": nodes}

    run(bounded(-9), tmp_path / "run")
    again = run(bounded(1.0), tmp_path / "run")
    fresh = run(bounded(1.0), tmp_path / "fresh")
    # another population has another quantile, which revives a few for the nodes behind
    assert not {"image", "text", "whole"} & pools.computed(again).keys()
    for node in ("image", "text", "whole"):
        assert pools.node(again, node)["percentiles"] == pools.node(fresh, node)["percentiles"]
    assert (
        pools.node(fresh, "whole")["percentiles"]["score"]["n"]
        < pools.node(fresh, "image")["percentiles"]["image_score"]["n"]
    )


def test_run_json_is_json(tars: str, tmp_path: Path) -> None:
    """Which has no infinity."""
    report = run(best(tars, {"image_score": {"max_quantile": 0.99}}), tmp_path / "run")
    (told,) = pools.node(report, "best")["thresholds"]
    figures = pools.node(report, "image")["percentiles"]["image_score"]
    assert (told["value"], figures["max"], figures["min"]) == ("inf", "inf", "-inf")

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads((tmp_path / "run" / "run.json").read_text(), parse_constant=refuse)


def test_trace_tells_the_threshold(tars: str, tmp_path: Path) -> None:
    report = run(best(tars, {"image_score": {"min_quantile": 0.6}}), tmp_path / "run")
    dead = pools.dead(tmp_path / "run")
    id = next(i for i, reason in dead.items() if reason.endswith("below_min_quantile"))
    (told,) = pools.node(report, "best")["thresholds"]
    text = render(find(tmp_path / "run", id))
    assert f"({told['value']} is quantile 0.6, of {told['n']} values)" in text
    assert "image_score" in text
    gone = next(i for i, reason in dead.items() if reason.endswith("missing"))
    assert "quantile" not in render(find(tmp_path / "run", gone))
