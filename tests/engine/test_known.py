"""Sets that grow: a later run knows what earlier ones kept."""

from __future__ import annotations

from pathlib import Path

import pools
import pytest

from curate.errors import RecipeError


def day(path: str, known: tuple[Path, ...] = (), **fields: object) -> pools.Recipe:
    return {
        "name": "day",
        "nodes": [
            {"id": "raw", "stage": "read_webdataset", "path": path, "part_rows": 7},
            {"id": "words", "stage": "letters"},
            {"id": "kin", "stage": "linked", "reach": 1, "known": [str(k) for k in known], **fields},
            {"id": "short", "stage": "keep", "bounds": {"text_letters": {"max": 22}}},
            {"id": "out", "stage": "write_webdataset", "shard_size": 25},
        ],
    }


def said(first: int, last: int) -> list[pools.Pair]:
    """Ten texts are alike in each dozen; the longest of them die by `short`, but those alone."""
    texts = [f"{i % 12:02d} @w{i % 12} text {'y' * (i % 11)}" for i in range(first, last)]
    return [pools.Pair(f"k{first + n:04d}", pools.picture(n % 4), t) for n, t in enumerate(texts)]


def written(run: Path) -> set[str]:
    found = list((run / "out").glob("*.tar"))
    return set(pools.index(run, "out")["sample_id"].to_pylist()) if found else set()


def test_a_second_day_drops_no_survivor_of_the_first(tmp_path: Path) -> None:
    one = pools.write_tars(tmp_path / "in1", said(0, 40), 3)
    two = pools.write_tars(tmp_path / "in2", said(40, 90), 2)
    pools.run(day(one), tmp_path / "day1")
    report = pools.run(day(two, (tmp_path / "day1",)), tmp_path / "day2")
    pools.prove(report)
    first = written(tmp_path / "day1")
    assert first
    kin = {r["sample_id"]: r for r in pools.ledger(tmp_path / "day2") if r["node"] == "kin"}
    # of the second day what is like a survivor of the first died against it, and says so
    of_first = [row for row in kin.values() if row["text_kin"] in first]
    assert of_first
    everything = pools.write_tars(tmp_path / "in3", said(0, 90), 4)
    pools.run(day(everything), tmp_path / "both")
    known = next(n for n in report["nodes"] if n["id"] == "kin")["known"]
    assert known == len(first)
    # nothing that both days kept is alike: a third day that knows both finds nobody else
    third = day(everything, (tmp_path / "day1", tmp_path / "day2"))
    pools.run(third, tmp_path / "day3")
    kept = first | written(tmp_path / "day2")
    again = pools.ledger(tmp_path / "day3")
    assert {r["text_kin"] for r in again if r["node"] == "kin"} <= kept | {None}
    assert kept.isdisjoint(written(tmp_path / "day3"))


def test_what_died_later_is_not_known(tmp_path: Path) -> None:
    """The longest text survives the Group and then dies by its length: its copies of tomorrow are welcome."""
    long = [pools.Pair("a", pools.picture(1), "01 @w1 text " + "y" * 20)]
    pools.run(day(pools.write_tars(tmp_path / "in1", long, 1)), tmp_path / "day1")
    assert pools.dead(tmp_path / "day1").popitem()[1] == "short:text_letters.above_max"
    short = [pools.Pair("b", pools.picture(1), "01 @w1 text yy")]
    tomorrow = day(pools.write_tars(tmp_path / "in2", short, 1), (tmp_path / "day1",))
    pools.run(tomorrow, tmp_path / "day2")
    assert len(written(tmp_path / "day2")) == 1


def test_a_rerun_that_knows_more_decides_anew(tmp_path: Path) -> None:
    pools.run(day(pools.write_tars(tmp_path / "in1", said(0, 40), 3)), tmp_path / "day1")
    two = pools.write_tars(tmp_path / "in2", said(40, 90), 2)
    pools.run(day(two), tmp_path / "day2")
    alone = written(tmp_path / "day2")
    pools.run(day(two, (tmp_path / "day1",)), tmp_path / "day2")
    knowing = written(tmp_path / "day2")
    assert knowing < alone
    pools.run(day(two, (tmp_path / "day1",)), tmp_path / "fresh")
    assert pools.output_bytes(tmp_path / "day2") == pools.output_bytes(tmp_path / "fresh")


def test_what_cannot_be_known_is_said_before_anything_starts(tmp_path: Path) -> None:
    path = pools.write_tars(tmp_path / "in", said(0, 10), 1)
    with pytest.raises(RecipeError, match="has no index of a node `kin`"):
        pools.run(day(path, (tmp_path / "nowhere",)), tmp_path / "run")
    pools.run(day(path), tmp_path / "day1")
    with pytest.raises(RecipeError, match="was configured otherwise"):
        pools.run(day(path, (tmp_path / "day1",), reach=2), tmp_path / "run")
    with pytest.raises(RecipeError, match="cannot know itself"):
        pools.run(day(path, (tmp_path / "day1",)), tmp_path / "day1")


def test_equal_keys_are_known_too(tmp_path: Path) -> None:
    """The second day repeats half of the first, with better copies: the old ones stay all the same."""

    def recipe(path: str, known: tuple[Path, ...] = ()) -> pools.Recipe:
        return {
            "name": "exact",
            "nodes": [
                {"id": "raw", "stage": "read_webdataset", "path": path},
                {"id": "sha", "stage": "sha256"},
                {"id": "words", "stage": "letters"},
                {
                    "id": "dedup",
                    "stage": "exact",
                    "key": "image_sha256",
                    "prefer": [{"column": "text_letters"}],
                    "known": [str(k) for k in known],
                },
                {"id": "out", "stage": "write_webdataset", "shard_size": 25},
            ],
        }

    first = [pools.Pair(f"a{i}", pools.picture(i), "short") for i in range(12)]
    second = [pools.Pair(f"b{i}", pools.picture(i), "a longer caption") for i in range(6, 18)]
    pools.run(recipe(pools.write_tars(tmp_path / "in1", first, 2)), tmp_path / "day1")
    report = pools.run(
        recipe(pools.write_tars(tmp_path / "in2", second, 2), (tmp_path / "day1",)), tmp_path / "day2"
    )
    pools.prove(report)
    assert report["outputs"][0]["samples"]["dropped"] == 6
    died = [r for r in pools.ledger(tmp_path / "day2") if r["level"] == "sample"]
    assert {r["image_survivor"] for r in died} <= written(tmp_path / "day1")
    # the third day knows both
    third = pools.write_tars(tmp_path / "in3", [*first, *second], 3)
    last = pools.run(recipe(third, (tmp_path / "day1", tmp_path / "day2")), tmp_path / "day3")
    assert last["outputs"][0]["samples"]["written"] == 0
