"""What a rerun does where a bound is a quantile: a threshold may move with every row there is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pools
import pytest
import scored_stages
from scored import BOUNDS, COUNT, MODULES, best, merged, run, thresholds

from curate import measure
from curate.forecast import describe, forecast


@pytest.fixture
def tars(tmp_path: Path) -> str:
    rows = pools.pairs(COUNT)
    return pools.write_tars(tmp_path / "in", [*rows, rows[3]], 3)


def test_another_quantile_computes_only_what_it_revives(tars: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run(best(tars, {"image_score": {"min_quantile": 0.5}}), out)
    first = pools.output_bytes(out)
    tighter = run(best(tars, {"image_score": {"min_quantile": 0.7}}), out)
    assert (pools.computed(tighter), tighter["images_decoded"]) == ({}, 0)
    looser = best(tars, {"image_score": {"min_quantile": 0.2}})
    report = run(looser, out)
    assert set(pools.computed(report)) == {"words", "out"}
    assert 0 < pools.computed(report)["words"] < COUNT / 2
    run(looser, tmp_path / "fresh")
    assert pools.output_bytes(out) == pools.output_bytes(tmp_path / "fresh")
    back = run(best(tars, {"image_score": {"min_quantile": 0.5}}), out)
    assert pools.computed(back) == {}
    assert pools.output_bytes(out) == first


def files(out: Path) -> dict[Path, int]:
    return {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file() and p.name not in _ALWAYS}


_ALWAYS = ("lock", "run.json", "recipe.yaml")


def test_an_unchanged_rerun_touches_nothing(
    tars: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, out = best(tars, BOUNDS), tmp_path / "run"
    first = run(recipe, out)
    before = files(out)
    monkeypatch.setattr(measure, "select", None)  # nothing is measured again
    again = run(recipe, out)
    assert files(out) == before
    for node in ("image", "best"):
        for key in ("thresholds", "percentiles"):
            assert pools.node(again, node).get(key) == pools.node(first, node).get(key)


def test_a_threshold_that_stays_leaves_what_is_behind_it(tars: str, tmp_path: Path) -> None:
    """Captions without a score move none: of what lay there already nothing is decided again."""
    recipe, out = best(tars, {"text_score": {"max_quantile": 0.5}}), tmp_path / "run"
    limit = thresholds(run(recipe, out))
    behind = {p: n for p, n in files(out).items() if p.parent.name == "best"}
    more = [pools.Pair(f"n{i}", pools.picture(7), f"nothing {i}") for i in range(999)]
    mute = [pair for pair in more if scored_stages.real(pair.text.encode()) is None]
    pools.write_tar(Path(tars).parent / "00009.tar", mute)
    report = run(recipe, out)
    assert thresholds(report) == limit
    assert pools.node(report, "best")["dropped"]["text_score.missing"] >= len(mute) > 9
    assert behind.items() <= files(out).items()


def test_a_new_shard_moves_the_threshold_and_all_rows_are_decided_again(tars: str, tmp_path: Path) -> None:
    recipe, out = best(tars, {"score": {"min_quantile": 0.5}}), tmp_path / "run"
    before, dead = thresholds(run(recipe, out)), pools.dead(out)
    ids = {*dead, *pools.index(out, "out")["sample_id"].to_pylist()}
    pools.write_tar(Path(tars).parent / "00009.tar", pools.pairs(60, start=500))
    report = run(recipe, out)
    assert thresholds(report) != before
    assert {node: pools.computed(report)[node] for node in ("image", "text", "whole")} == dict.fromkeys(
        ("image", "text", "whole"), 60
    )
    assert {id for id in pools.dead(out) if id in ids} != set(dead)
    run(recipe, tmp_path / "fresh")
    assert pools.output_bytes(out) == pools.output_bytes(tmp_path / "fresh")
    assert pools.dead(out) == pools.dead(tmp_path / "fresh")


def test_a_forecast_knows_when_a_quantile_is_not_measured(tars: str, tmp_path: Path) -> None:
    recipe, out = best(tars, {"score": {"min_quantile": 0.5}}), tmp_path / "run"
    run(recipe, out)

    def told(recipe: pools.Recipe) -> Any:
        plan, found = pools.planned(recipe, MODULES)
        return forecast(plan, found, out, MODULES), describe(plan, found, out, MODULES)

    settled, text = told(recipe)
    assert all(f.finished == f.parts for f in settled.values())
    assert "quantiles for best (over the survivors of raw): score at 0.5" in text
    changed, text = told(best(tars, {"score": {"min_quantile": 0.4}}))
    assert changed["raw"].finished == changed["raw"].parts
    assert changed["best"].depends_on == "best"
    pools.write_tar(Path(tars).parent / "00009.tar", pools.pairs(9, start=500))
    changed, _ = told(recipe)
    assert changed["best"].depends_on == "best"


class Killed(BaseException):
    """Stands for SIGKILL at an exact place."""


def test_a_kill_at_any_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under way to another quantile: whatever was there, the same command ends where a fresh run does."""
    recipe, _ = merged(tmp_path)
    other = pools.with_node(recipe, "best", bounds={"score": {"min_quantile": 0.7}})
    run(other, tmp_path / "fresh")
    out, kills = tmp_path / "run", 0
    run(recipe, out)
    for step in (1, 2, 3, 5, 8, 1, 2, 3):
        left = [step]

        def commit(_: int, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", commit)
            try:
                run(other, out)
            except Killed:
                kills += 1
    assert kills > 4
    run(other, out)
    assert pools.output_bytes(out) == pools.output_bytes(tmp_path / "fresh")
    assert pools.dead(out, "out") == pools.dead(tmp_path / "fresh", "out")
