"""A rerun computes what is missing and nothing else, and `curate plan` told how much that is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pools
import pytest

from curate.forecast import Forecast, forecast

COUNT = 60  # pairs of the pool, over three tars


@pytest.fixture
def tars(tmp_path: Path) -> str:
    return pools.write_tars(tmp_path / "in", pools.pairs(COUNT), 3)


def foretold(recipe: pools.Recipe, out: Path) -> dict[str, Forecast]:
    plan, found = pools.planned(recipe)
    return forecast(plan, found, out, pools.ODD)


def widths(seeds: range) -> list[int]:
    """Widths of the pool's images, as `pools.pairs` makes them."""
    return [40 + 4 * ((i - i % 10 if i % 10 == 9 else i) % 16) for i in seeds]


def snapshot(out: Path) -> dict[Path, int]:
    return {p: p.stat().st_mtime_ns for p in (out / "out").rglob("*")}


def test_an_unchanged_rerun_touches_nothing(tars: str, tmp_path: Path) -> None:
    recipe, out = pools.chain(tars), tmp_path / "run"
    pools.run(recipe, out)
    before = snapshot(out)
    assert all(f.finished == f.parts for f in foretold(recipe, out).values())
    again = pools.run(recipe, out)
    assert (pools.computed(again), again["images_decoded"]) == ({}, 0)
    assert snapshot(out) == before


def test_nor_does_one_that_merges_sources(tars: str, tmp_path: Path) -> None:
    """What goes into the Group and into the output is not sorted again either."""
    other = pools.write_tar(tmp_path / "other" / "0.tar", pools.pairs(8, start=300))
    recipe, out = (
        {
            "name": "merged",
            "nodes": [
                {"id": "raw", "stage": "read_webdataset", "path": tars},
                {"id": "more", "stage": "read_webdataset", "path": str(other)},
                {"id": "hash", "stage": "sha256", "from": ["raw", "more"]},
                {"id": "dedup", "stage": "exact", "key": "image_sha256"},
                {
                    "id": "both",
                    "stage": "keep",
                    "from": "dedup",
                    "bounds": {"image_sha256": {"missing": "drop"}},
                },
                {"id": "out", "stage": "write_webdataset"},
            ],
        },
        tmp_path / "run",
    )
    pools.run(recipe, out)
    before = {p: p.stat().st_mtime_ns for p in (out / "state").rglob("*") if p.name != "lock" and p.is_file()}
    pools.run(recipe, out)
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_a_tighter_bound_computes_nothing(tars: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    pools.run(pools.chain(tars, minimum=44), out)
    tighter = pools.chain(tars, minimum=72)
    told = foretold(tighter, out)["raw"]
    assert (told.missing, sum(told.compute.values()), told.finished) == (0, 0, 0)
    report = pools.run(tighter, out)
    assert (pools.computed(report), report["images_decoded"]) == ({}, 0)
    assert pools.output_bytes(out) == fresh(tighter, tmp_path)


def test_a_looser_bound_computes_exactly_the_revived_rows(tars: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    pools.run(pools.chain(tars, minimum=72), out)
    looser = pools.chain(tars, minimum=52)
    revived = sum(52 <= w < 72 for w in widths(range(COUNT)))
    assert 0 < revived < COUNT / 2
    told = foretold(looser, out)["raw"]
    assert (told.missing, dict(told.compute)) == (revived, {"probe": 0, "sha256": revived})
    report = pools.run(looser, out)
    # behind the Group: the revived that are no copies of others
    survivors = pools.index(out, "out").num_rows
    first = pools.run(pools.chain(tars, minimum=72), tmp_path / "first")
    new = survivors - pools.node(first, "out")["rows_out"]
    assert pools.computed(report) == {"sha256": revived, "words": new}
    assert report["images_decoded"] == revived
    assert pools.output_bytes(out) == fresh(looser, tmp_path)


@pytest.mark.parametrize("bound", [52, 100])
def test_back_to_the_first_bound_computes_nothing(tars: str, tmp_path: Path, bound: int) -> None:
    """However few rows the bound in between leaves: 100 leaves a sixteenth."""
    recipe, out = pools.chain(tars, minimum=44), tmp_path / "run"
    pools.run(recipe, out)
    before = pools.output_bytes(out)
    pools.run(pools.chain(tars, minimum=bound), out)
    assert pools.output_bytes(out) != before
    back = pools.run(recipe, out)
    assert (pools.computed(back), back["images_decoded"]) == ({}, 0)
    assert pools.output_bytes(out) == before


def test_going_to_and_fro_does_not_grow_the_run_folder(tmp_path: Path) -> None:
    """Twins (one sample twice in a shard) are no leftovers of an earlier run."""
    rows = pools.pairs(30)
    path = str(pools.write_tar(tmp_path / "in" / "0.tar", [*rows, rows[3], rows[4]]))
    out = tmp_path / "run"

    def size() -> int:
        return sum(p.stat().st_size for p in (out / "state" / "parts").rglob("*.arrow"))

    def swing() -> int:
        for minimum in (44, 60, 44):
            pools.run(pools.chain(path, minimum=minimum), out)
        return size()

    assert swing() == swing()


def test_an_added_shard_computes_exactly_its_own(tars: str, tmp_path: Path) -> None:
    recipe, out = pools.chain(tars, minimum=44), tmp_path / "run"
    pools.run(recipe, out)
    written = pools.index(out, "out").num_rows
    pools.write_tar(Path(tars).parent / "00009.tar", pools.pairs(30, start=200))
    wide = sum(w >= 44 for w in widths(range(200, 230)))
    told = foretold(recipe, out)["raw"]
    assert (told.parts - told.finished, told.missing, told.compute["probe"]) == (1, 30, 30)
    report = pools.run(recipe, out)
    new = pools.index(out, "out").num_rows - written
    assert pools.computed(report) == {"probe": 30, "sha256": wide, "words": new}
    assert report["images_decoded"] == 30
    assert pools.output_bytes(out) == fresh(recipe, tmp_path)


def test_a_removed_shard_takes_its_rows_along(tars: str, tmp_path: Path) -> None:
    recipe, out = pools.chain(tars), tmp_path / "run"
    pools.run(recipe, out)
    (Path(tars).parent / "00001.tar").unlink()
    report = pools.run(recipe, out)
    assert (pools.computed(report), report["images_decoded"]) == ({}, 0)
    assert report["samples"]["read"] == COUNT - 20
    assert not [r for r in pools.ledger(out) if r["source"].startswith("00001.tar")]
    assert pools.output_bytes(out) == fresh(recipe, tmp_path)


def test_a_changed_stage_recomputes_itself_and_its_readers_only(tars: str, tmp_path: Path) -> None:
    recipe, out = pools.chain(tars), tmp_path / "run"
    whole = pools.run(recipe, out)
    changed = pools.with_node(recipe, "sha256", pixels=False)
    report = pools.run(changed, out)
    assert pools.computed(report) == {"sha256": pools.node(whole, "sha256")["computed"]}
    assert pools.output_bytes(out) == fresh(changed, tmp_path)
    # another canonical decode: sha256 reads no pixels any more
    smaller = {**changed, "decode": {"short_side": 16}}
    report = pools.run(smaller, out)
    assert pools.computed(report) == {"probe": COUNT}


def test_a_fork_added_later_computes_only_its_own_nodes(tars: str, tmp_path: Path) -> None:
    recipe, out = pools.chain(tars), tmp_path / "run"
    pools.run(recipe, out)
    fork = {"id": "sft", "stage": "write_llava", "from": "words"}
    more = {**recipe, "nodes": [*recipe["nodes"], fork]}
    before = pools.output_bytes(out)
    report = pools.run(more, out)
    assert report["images_decoded"] == 0
    assert set(pools.computed(report)) <= {"sft"}
    assert before.items() <= pools.output_bytes(out, "out", "sft").items()


def test_a_forecast_changes_no_result(tars: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    pools.run(pools.chain(tars, minimum=44), out)
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    foretold(pools.chain(tars, minimum=90), out)
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before


def test_a_forecast_knows_when_a_group_must_elect_anew(tars: str, tmp_path: Path) -> None:
    """A changed Group alone: all that lies before it is done, and nothing behind it may be called done."""
    recipe, out = pools.chain(tars), tmp_path / "run"
    pools.run(recipe, out)
    changed = pools.with_node(recipe, "dedup", key="image_pixel_sha256")
    told = foretold(changed, out)
    assert told["raw"].finished == told["raw"].parts
    assert told["dedup"].depends_on == "dedup"


def fresh(recipe: pools.Recipe, tmp_path: Path) -> dict[str, str]:
    """What a run in an empty folder writes."""
    out = tmp_path / "fresh"
    pools.run(recipe, out)
    return pools.output_bytes(out)


def test_the_pool_is_what_these_tests_take_it_for(tars: str, tmp_path: Path) -> None:
    report: dict[str, Any] = pools.run(pools.chain(tars), tmp_path / "run")
    written = pools.index(tmp_path / "run", "out").num_rows
    assert report["samples"] == {"read": COUNT, "dropped": COUNT - written, "deferred": 0, "errors": 0}
    assert pools.node(report, "size")["dropped"] == {
        "image_width.below_min": sum(w < 44 for w in widths(range(COUNT)))
    }
    assert pools.node(report, "dedup")["dropped"]["duplicate"] > 3
