"""Models beside the map, or in processes of their own, which may die. Samples that score their items."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pools
import pytest

from curate import serving
from curate.backends import Backend
from curate.backends.local import LocalBackend
from curate.backends.ray import RayBackend
from curate.errors import RecipeError, RunError, StageBug

Start = Callable[[], Backend]
COUNT = 60


def recipe(tars: str, *stages: dict[str, Any]) -> pools.Recipe:
    return {
        "name": "weighed",
        "nodes": [
            {"stage": "read_webdataset", "id": "raw", "path": tars, "part_rows": 12},
            *stages,
            {"stage": "write_webdataset", "id": "out", "shard_size": 16},
        ],
    }


@pytest.fixture
def tars(tmp_path: Path) -> str:
    return pools.write_tars(tmp_path / "in", pools.pairs(COUNT), 2)


def weights(out: Path, name: str = "text_weight") -> list[int]:
    table = pools.index(out, "out")
    assert table.num_rows == COUNT
    assert table[name].to_pylist() == [2 * len(text) for text in table["text_body"].to_pylist()]
    return table[name].to_pylist()


def holders(log: Path) -> list[int]:
    return [int(line) for line in log.read_text().split()]


def test_a_model_is_loaded_where_the_map_runs(tars: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    weigh = {"stage": "weigh", "log": str(log)}
    pools.run(recipe(tars, weigh), tmp_path / "run")
    assert weights(tmp_path / "run")
    assert set(holders(log)) == {os.getpid()}


def test_copies_answer_for_all_workers_and_for_all_stages_with_their_key(tars: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    weigh = {"stage": "weigh", "log": str(log), "needs": {"actors": 2}}
    out = tmp_path / "run"
    pools.run(recipe(tars, weigh, {**weigh, "id": "again", "name": "more"}), out, start=RayBackend)
    weights(out)
    weights(out, "text_more")
    served = holders(log)
    assert len(set(served)) == 2, "two copies, whatever the number of workers and stages"
    local = tmp_path / "local"
    pools.run(recipe(tars, {**weigh, "log": str(tmp_path / "other")}), local)
    assert weights(local) == weights(out)


def test_a_segment_calls_its_own_copies(tars: str, tmp_path: Path) -> None:
    """The one between has other models, so that the first one's processes end and others take their place."""
    log, other = tmp_path / "log", tmp_path / "other"
    first = {"stage": "weigh", "log": str(log), "needs": {"actors": 1}}
    out = tmp_path / "run"
    stages = [
        first,
        {"stage": "amend", "add": "!"},
        {**first, "id": "between", "log": str(other), "name": "b", "needs": {"actors": 1}},
        {"stage": "amend", "id": "amend2", "add": "!", "note": "text_between"},
        {**first, "id": "again", "name": "c"},
    ]
    pools.run(recipe(tars, *stages), out, start=RayBackend)
    weights(out, "text_c")
    assert len(set(holders(log))) == 2


def test_a_killed_copy_loses_and_doubles_nothing(tars: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    weigh = {"stage": "weigh", "log": str(log), "how": "kill", "needs": {"actors": 1}}
    report = pools.run(recipe(tars, weigh), tmp_path / "run", start=RayBackend)
    weights(tmp_path / "run")
    pools.prove(report)
    assert log.with_suffix(".done").exists()
    assert len(set(holders(log))) == 2, "another took its place"
    assert pools.computed(report)["weigh"] == COUNT


@pytest.mark.parametrize("actors", [None, 1])
def test_a_bug_in_a_model_stops_the_run_by_name(actors: int | None, tars: str, tmp_path: Path) -> None:
    weigh = {"stage": "weigh", "log": str(tmp_path / "log"), "how": "type", "needs": {"actors": actors}}
    with pytest.raises(StageBug, match=r"node `weigh`: .*TypeError.* a bug of ours"):
        pools.run(recipe(tars, weigh), tmp_path / "run", start=RayBackend if actors else LocalBackend)


def test_where_a_model_runs_is_no_part_of_what_it_says(tars: str, tmp_path: Path) -> None:
    weigh = {"stage": "weigh", "log": str(tmp_path / "log")}
    pools.run(recipe(tars, weigh), tmp_path / "run")
    again = pools.run(recipe(tars, {**weigh, "needs": {"gpus": 0, "actors": 3}}), tmp_path / "run")
    assert pools.computed(again) == {}


def test_gpus_that_are_not_there(tars: str, tmp_path: Path) -> None:
    weigh = {"stage": "weigh", "log": str(tmp_path / "log"), "needs": {"gpus": 64}}
    with pytest.raises(
        RunError, match=r"node `weigh`: needs.gpus is 64, and the machine has \d+\. Leave it out"
    ):
        pools.run(recipe(tars, weigh), tmp_path / "run")
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize(
    ("gpus", "needs", "expected"),
    [
        (0, [{}, {}], {}),
        (0, [{"actors": 2}, {}], {0: (2, 0)}),
        (1, [{}], {0: (1, 1)}),
        (4, [{}], {0: (4, 1)}),
        (1, [{}, {}], {0: (1, 0.5), 1: (1, 0.5)}),
        (8, [{}, {"gpus": 3}], {0: (2, 1), 1: (2, 3)}),
        (2, [{"gpus": 0.25}, {"gpus": 0}], {0: (8, 0.25)}),
        (2, [{"gpus": 1, "actors": 1}, {}], {0: (1, 1), 1: (1, 1)}),
        (1, [{"gpus": 1}, {}], {0: (1, 1)}),
    ],
)
def test_pools(gpus: int, needs: list[dict[str, Any]], expected: dict[int, Any], tars: str) -> None:
    stages = [
        {"stage": "weigh", "id": f"w{i}", "log": f"/{i}", "name": f"w{i}", "needs": n}
        for i, n in enumerate(needs)
    ]
    plan, _ = pools.planned(recipe(tars, *stages))
    found = serving.pools(plan.segments()[0], gpus)
    assert {int(p.node[1:]): (p.copies, p.gpus) for p in found} == expected
    assert sum(p.gpus * p.copies for p in found) <= gpus


# -- columns of items, written by a stage that sees whole samples --


def pages(path: str, bound: int, more: int = 0) -> pools.Recipe:
    return {
        "name": "pages",
        "nodes": [
            {"stage": "read_html", "id": "raw", "path": path},
            {"stage": "probe"},
            {"stage": "keep", "id": "size", "bounds": {"image_width": {"min": bound}}},
            {"stage": "places", "more": more},
            {"stage": "keep", "id": "first", "bounds": {"image_place": {"min": 2}}},
            {"stage": "write_webdataset", "id": "out", "form": "documents"},
        ],
    }


def test_a_sample_scores_its_items(tmp_path: Path, start: Start) -> None:
    path = pools.write_pages(tmp_path / "in", 5, images=4)
    out = tmp_path / "run"
    # a page shows a logo of 64 pixels, then 40, 48, 56, 64
    for bound, places in ((0, [5, 4, 3, 2]), (50, [3, 2])):
        report = pools.run(pages(path, bound), out, start=start)
        table = pools.index(out, "out")
        assert table["n_places"].to_pylist() == [len(places) + 1] * 5
        assert table["image_place"].to_pylist() == [places] * 5, "of living images, dead ones left out"
        pools.prove(report)
        last = [r for r in pools.ledger(out) if r["reason"] == "image_place.below_min"]
        assert [(r["index"], r["image_place"]) for r in last] == [(4, 1)] * 5


def test_a_sample_must_score_all_its_living_items(tmp_path: Path) -> None:
    path = pools.write_pages(tmp_path / "in", 2)
    with pytest.raises(StageBug, match="returned 4 values of `image_place` for 3 living images"):
        pools.run(pages(path, 44, more=1), tmp_path / "run")


def test_a_stage_that_wants_more_pixels_than_the_recipe_decodes_to(tars: str) -> None:
    clip = {"stage": "clip", "model": "ViT-L-14-336", "weights": "openai"}
    with pytest.raises(
        RecipeError, match=r"wants images of 336 pixels a side, and `decode.short_side` is 256"
    ):
        pools.planned(recipe(tars, clip))
    pools.planned(recipe(tars, {**clip, "pixels": "full"}))
    pools.planned({**recipe(tars, clip), "decode": {"short_side": 336}})
