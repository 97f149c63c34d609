"""What a stage does wrong: a bad row costs that row, a bug stops the run and says where."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pools
import pytest
import yaml

from curate import run as runs
from curate.backends import Backend
from curate.errors import RunError, StageBug

BAD = (3, 17, 18)  # pairs whose text says so


def mischief(tmp_path: Path, how: str, stage: str = "moody", count: int = 40, **fields: Any) -> pools.Recipe:
    rows = pools.pairs(count)
    rows = [r._replace(text="BAD " + r.text) if i in BAD else r for i, r in enumerate(rows)]
    path = pools.write_tar(tmp_path / "in" / "0.tar", rows)
    return {
        "name": "mischief",
        "nodes": [
            {"id": "raw", "stage": "read_webdataset", "path": str(path), "part_rows": 25},
            {"id": "words", "stage": "letters"},
            {"id": "mood", "stage": stage, "how": how, **fields},
            {"id": "out", "stage": "write_webdataset"},
        ],
    }


def keys(rows: list[dict[str, Any]]) -> set[str]:
    return {r["source"].partition("#")[2].partition("@")[0] for r in rows}


def test_bisecting_finds_exactly_the_guilty_rows(tmp_path: Path) -> None:
    report = pools.run(mischief(tmp_path, "value"), tmp_path / "run")
    guilty = [r for r in pools.ledger(tmp_path / "run") if r["level"] == "sample"]
    assert keys(guilty) == {f"k{i:05d}" for i in BAD}
    assert {(r["node"], r["reason"]) for r in guilty} == {("mood", "error.ValueError")}
    assert report["samples"] == {"read": 40, "dropped": 0, "errors": 3, "deferred": 0}
    assert pools.index(tmp_path / "run", "out").num_rows == 37


def test_one_bad_image_of_a_document_costs_one_image(tmp_path: Path) -> None:
    pages = pools.write_pages(tmp_path / "pages", 4)
    bad = (tmp_path / "pages" / "p2-1.png").read_bytes()[40:60].hex()
    recipe = {
        "name": "documents",
        "nodes": [
            {"id": "pages", "stage": "read_html", "path": pages},
            {"id": "mood", "stage": "moody_image", "how": "value", "on": bad},
            {"id": "docs", "stage": "write_webdataset", "form": "documents"},
        ],
    }
    report = pools.run(recipe, tmp_path / "run")
    (row,) = pools.ledger(tmp_path / "run")
    assert (row["level"], row["index"], row["reason"]) == ("image", 2, "error.ValueError")
    assert report["outputs"][0]["samples"]["written"] == 4
    assert report["outputs"][0]["images"]["written"] == 15


@pytest.mark.parametrize("how", ["type", "import"])
def test_a_bug_stops_the_run_and_names_node_samples_and_replay(tmp_path: Path, how: str) -> None:
    with pytest.raises(StageBug) as caught:
        pools.run(mischief(tmp_path, how), tmp_path / "run")
    told = str(caught.value)
    assert caught.value.node == "mood"
    assert "odd_stages.py:" in told
    assert len(caught.value.sample_ids) == 25
    replay = next(line for line in told.splitlines() if "replay:" in line).split("replay:")[1].split()
    assert replay[0] == "curate"
    again = subprocess.run(
        [sys.executable, "-m", "curate.cli", *replay[1:]], capture_output=True, text=True, check=False
    )
    assert again.returncode == 1
    assert f"node `mood`: {'TypeError' if how == 'type' else 'ModuleNotFoundError'}" in again.stderr


@pytest.mark.parametrize("how", ["wrong_length", "wrong_type", "undeclared_reason", "undeclared_column"])
def test_a_stage_is_held_to_what_it_declared(tmp_path: Path, how: str) -> None:
    with pytest.raises(StageBug, match="node `mood`"):
        pools.run(mischief(tmp_path, how), tmp_path / "run")
    assert runs.read_json(tmp_path / "run" / "run.json")["status"] == "failed"  # type: ignore[index]


@pytest.mark.parametrize(
    "how", ["wrong_type", "undeclared_reason", "undeclared_column", "silent", "same_ordinal"]
)
def test_so_is_an_expand(tmp_path: Path, how: str) -> None:
    pages = pools.write_pages(tmp_path / "pages", 3)
    with pytest.raises(StageBug, match="node `born`"):
        pools.run(expanding(pages, how), tmp_path / "run")


def test_a_bad_parent_costs_itself(tmp_path: Path) -> None:
    pages = pools.write_pages(tmp_path / "pages", 3)
    page = tmp_path / "pages" / "page001.html"
    page.write_text(page.read_text().replace("<p>Page 1", "<p>BAD page 1"))
    report = pools.run(expanding(pages, "value"), tmp_path / "run")
    assert report["outputs"][0]["samples"] | {"written": 8, "errors": 1} == report["outputs"][0]["samples"]
    assert pools.node(report, "born")["errors"] == 1


def expanding(pages: str, how: str) -> pools.Recipe:
    return {
        "name": "expanding",
        "nodes": [
            {"id": "pages", "stage": "read_html", "path": pages},
            {"id": "born", "stage": "halves", "how": how},
            {"id": "out", "stage": "write_webdataset"},
        ],
    }


def test_many_undeclared_errors_stop_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = mischief(tmp_path, "value")
    monkeypatch.setattr(runs, "_ERRORS_COUNT_FROM", 25)
    with pytest.raises(RunError, match=r"node `mood`: \d of \d+ items .*error.ValueError"):
        pools.run(recipe, tmp_path / "run")
    report = pools.run({**recipe, "error_limit": 0.13}, tmp_path / "run")
    assert report["samples"]["errors"] == 3
    assert pools.computed(report) == {"words": 15, "mood": 15, "out": 15}  # kept from before


def test_what_was_put_off_is_asked_again_and_nothing_else(tmp_path: Path) -> None:
    world = tmp_path / "world"
    recipe, out = mischief(tmp_path, "defer", world=str(world)), tmp_path / "run"
    report = pools.run(recipe, out)
    assert report["samples"] == {"read": 40, "dropped": 0, "errors": 0, "deferred": 3}
    again = pools.run(recipe, out)
    assert pools.computed(again) == {"mood": 3}
    world.touch()
    better = pools.run(recipe, out)
    assert pools.computed(better) == {"mood": 3, "out": 3}  # `out` looks at images that no node has seen
    assert better["samples"]["deferred"] == 0
    assert pools.index(out, "out").num_rows == 40
    assert pools.computed(pools.run(recipe, out)) == {}


def test_what_is_settled_is_not_asked_again(tmp_path: Path) -> None:
    """An error is an answer: another bound elsewhere does not run the bad rows again."""
    recipe, out = mischief(tmp_path, "value"), tmp_path / "run"
    pools.run(recipe, out)
    bound = {"id": "long", "stage": "keep", "bounds": {"text_letters": {"min": 5}}}
    more = {**recipe, "nodes": [*recipe["nodes"][:3], bound, recipe["nodes"][3]]}
    report = pools.run(more, out)
    assert pools.computed(report) == {}
    assert report["samples"]["errors"] == 3


COMMAND = [sys.executable, "-m", "curate.cli", "run"]


@pytest.mark.slow
def test_a_row_that_kills_its_process_is_found_on_local(tmp_path: Path) -> None:
    """Twice the run dies with it; the third time the row is found, and the rest is whole."""
    recipe = mischief(tmp_path, "exit", count=24, on="number 17 ")
    file, out = tmp_path / "r.yaml", tmp_path / "run"
    file.write_text(yaml.safe_dump(recipe))
    command = [*COMMAND, str(file), "--out", str(out), "-q", "--backend", "local", "--stages", *pools.ODD]
    codes = [subprocess.run(command, capture_output=True, check=False).returncode for _ in range(3)]
    assert codes == [3] * 2 + [0]
    _rest_is_whole(out, 24)
    # what is known to kill is not tried again when other things change
    tighter = {"id": "long", "stage": "keep", "bounds": {"text_letters": {"min": 1}}}
    report = pools.run({**recipe, "nodes": [*recipe["nodes"][:3], tighter, recipe["nodes"][3]]}, out)
    assert report["samples"]["errors"] == 1
    _rest_is_whole(out, 24)


@pytest.mark.slow
def test_a_row_that_kills_its_worker_is_found_on_ray(tmp_path: Path, on_ray: Callable[[], Backend]) -> None:
    recipe = mischief(tmp_path, "kill", count=24, on="number 17 ")
    pools.run(recipe, tmp_path / "run", start=on_ray)
    _rest_is_whole(tmp_path / "run", 24)


def _rest_is_whole(out: Path, count: int) -> None:
    guilty = [r for r in pools.ledger(out) if r["level"] == "sample"]
    assert keys(guilty) == {"k00017"}
    assert {(r["node"], r["reason"]) for r in guilty} == {("mood", "error.Killed")}
    # and it keeps the scores that it had before
    assert all(r["text_letters"] for r in guilty)
    assert pools.index(out, "out").num_rows == count - 1
