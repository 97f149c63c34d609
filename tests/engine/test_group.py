"""Group: the same decisions however the work is cut, on the right rows; and columns that depend on fate."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pools
import pyarrow as pa
import pytest

from curate import election, exchange, group, links
from curate.errors import StageBug


def texts(count: int = 60, seed: int = 3) -> list[str]:
    """Numbered texts with some of eight @words each; a third has none and stands alone."""
    chance = np.random.default_rng(seed)
    found = []
    for i in range(count):
        words = [f"@w{w}" for w in chance.choice(8, size=chance.integers(0, 3), replace=False)]
        found.append(f"{chance.integers(0, 30):02d} {' '.join(words)} text {'y' * (i % 5)}")
    return found


def linked(path: str, part_rows: int = 2048, **fields: Any) -> pools.Recipe:
    return {
        "name": "linked",
        "nodes": [
            {"id": "raw", "stage": "read_webdataset", "path": path, "part_rows": part_rows},
            {"id": "words", "stage": "letters"},
            {"id": "kin", "stage": "linked", **fields},
            {"id": "few", "stage": "keep", "bounds": {"text_kin_size": {"max": 9, "missing": "keep"}}},
            {"id": "out", "stage": "write_webdataset", "shard_size": 25},
        ],
    }


def rows(said: list[str]) -> list[pools.Pair]:
    return [pools.Pair(f"k{i:04d}", pools.picture(i % 4), text) for i, text in enumerate(said)]


def by_hand(items: dict[str, str], reach: int) -> tuple[dict[str, str], dict[str, int]]:
    """sample_id -> its survivor, and the size of its component, of all that is linked with something: with
    plain Python, pair by pair."""
    words = {i: set(re.findall(r"@\w+", t)) for i, t in items.items()}
    numbers = {i: int(re.search(r"\d+", t).group()) for i, t in items.items()}  # type: ignore[union-attr]
    near: dict[str, set[str]] = defaultdict(set)
    for a in items:
        near[a] |= {
            b for b in items if a != b and words[a] & words[b] and abs(numbers[a] - numbers[b]) <= reach
        }
    kin, size, seen = {}, {}, set()
    for first in items:
        if not near[first] or first in seen:
            continue
        member, frontier = {first}, [first]
        while frontier:
            more = near[frontier.pop()] - member
            member |= more
            frontier += more
        seen |= member
        alive: list[str] = []
        for id in sorted(member, key=lambda i: (-len(items[i]), i)):
            better = [a for a in alive if a in near[id]]
            kin[id] = better[0] if better else id
            size[id] = len(member)
            if not better:
                alive.append(id)
    return kin, size


@pytest.fixture(scope="module")
def tar(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(pools.write_tar(tmp_path_factory.mktemp("linked") / "0.tar", rows(texts())))


@pytest.mark.parametrize("reach", [0, 2])
def test_linked_components_and_survivors_are_those_found_by_hand(
    tar: str, tmp_path: Path, reach: int
) -> None:
    recipe = linked(tar, part_rows=7, reach=reach)
    pools.run(recipe, tmp_path / "run")
    plan, found = pools.planned(recipe)
    raw = pools.raw_rows(plan.reads()["raw"], found["raw"]).to_pylist()
    kin, size = by_hand({r["sample_id"]: r["text_body"][0] for r in raw}, reach)
    assert max(size.values()) > 2
    dropped = pools.dead(tmp_path / "run")
    died = {id for id, survivor in kin.items() if id != survivor}
    assert {id for id, reason in dropped.items() if reason == "kin:kin"} == died
    # a column of the Group is bounded like any other
    crowded = {id for id in kin.keys() - died if size[id] > 9}
    assert {id for id, reason in dropped.items() if reason == "few:text_kin_size.above_max"} == crowded
    written = pools.index(tmp_path / "run", "out").to_pylist()
    for row in written:
        assert row["text_kin"] == kin.get(row["sample_id"])
        assert row["text_kin_size"] == size.get(row["sample_id"])
    assert len(written) == len(raw) - len(died) - len(crowded)


def test_linked_groups_do_not_see_how_the_input_is_cut(tar: str, tmp_path: Path) -> None:
    pools.run(linked(tar, reach=2), tmp_path / "a")
    shuffled = rows(texts())[::-1]
    path = pools.write_tars(tmp_path / "in", shuffled, 4)
    pools.run(linked(path, part_rows=5, reach=2), tmp_path / "b")
    assert pools.output_bytes(tmp_path / "a") == pools.output_bytes(tmp_path / "b")


def test_several_buckets_decide_like_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = pools.chain(pools.write_tars(tmp_path / "in", pools.pairs(60), 3), part_rows=9)
    pools.run(chain, tmp_path / "one")
    monkeypatch.setattr(election, "_GROUP_ITEMS", 7)
    monkeypatch.setattr(exchange, "FAN", 2)
    pools.run(chain, tmp_path / "many")
    decisions = tmp_path / "many" / "state" / "groups" / "dedup" / "decisions"
    assert len(list(decisions.glob("*.arrow"))) > 5
    assert pools.output_bytes(tmp_path / "one") == pools.output_bytes(tmp_path / "many")
    assert pools.dead(tmp_path / "one") == pools.dead(tmp_path / "many")


def test_linked_groups_are_cut_into_any_number_of_tasks(
    tar: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pools.run(linked(tar, part_rows=7, reach=2), tmp_path / "one")
    monkeypatch.setattr(election, "_BUCKET_BYTES", 300)
    monkeypatch.setattr(links, "_PAIRS", 2)
    monkeypatch.setattr(links, "_VERIFY_BYTES", 200)
    monkeypatch.setattr(group, "PIECE", 10)
    monkeypatch.setattr(exchange, "FAN", 2)
    pools.run(linked(tar, part_rows=7, reach=2), tmp_path / "many")
    state = tmp_path / "many" / "state" / "groups" / "kin"
    assert len(list((state / "edges").glob("*.arrow"))) > 4
    assert len(list((state / "pairs").glob("*.arrow"))) > len(list((state / "pairs").glob("*.json")))
    assert len(list((state / "decisions").glob("*.arrow"))) > 2
    merged = ("groups/kin/keys", "groups/kin/pairs", "writes/out/rows")
    assert all(len(list((state.parents[1] / m / "merged").glob("*.arrow"))) > 3 for m in merged)
    # and again, with few senders and nothing left of the many
    monkeypatch.undo()
    report = pools.run(linked(tar, part_rows=7, reach=2), tmp_path / "many")
    assert not any((state.parents[1] / m / "merged").exists() for m in merged)
    assert not pools.computed(report)
    assert pools.output_bytes(tmp_path / "one") == pools.output_bytes(tmp_path / "many")
    assert pools.dead(tmp_path / "one") == pools.dead(tmp_path / "many")


def test_a_tie_goes_to_the_smallest_id(tmp_path: Path) -> None:
    image = pools.picture(1)
    copies = [pools.Pair(f"k{i}", image, "z" * (3 + i % 3)) for i in range(9)]
    path = pools.write_tars(tmp_path / "in", copies, 3)
    recipe = {
        "name": "rank",
        "nodes": [
            {"id": "raw", "stage": "read_webdataset", "path": path},
            {"id": "hash", "stage": "sha256"},
            {"id": "dedup", "stage": "exact", "key": "image_sha256", "prefer": [{"column": "licence"}]},
            {"id": "out", "stage": "write_webdataset"},
        ],
    }
    pools.run(recipe, tmp_path / "run")
    plan, found = pools.planned(recipe)
    ids = pools.raw_rows(plan.reads()["raw"], found["raw"])["sample_id"].to_pylist()
    assert pools.index(tmp_path / "run", "out")["sample_id"].to_pylist() == [min(ids)]


@pytest.mark.parametrize("first", [[], ["3", "7"]])
def test_the_image_with_the_best_caption_survives(tmp_path: Path, first: list[str]) -> None:
    """Rank by a column of another level, and by values that come before all others."""
    chance = np.random.default_rng(5)
    sizes = [int(n) for n in chance.permutation(40)]
    copies = [pools.Pair(f"k{i:02d}", pools.picture(i % 4), "z" * (n + 1)) for i, n in enumerate(sizes)]
    recipe = {
        "name": "rank",
        "nodes": [
            {"id": "raw", "stage": "read_webdataset", "path": pools.write_tars(tmp_path / "in", copies, 3)},
            {"id": "hash", "stage": "sha256"},
            {"id": "words", "stage": "letters"},
            {
                "id": "dedup",
                "stage": "exact",
                "key": "image_sha256",
                "prefer": [{"column": "text_letters", "first": first}],
            },
            {"id": "out", "stage": "write_webdataset"},
        ],
    }
    pools.run(recipe, tmp_path / "run")
    of_image = [[n + 1 for n in sizes[i::4]] for i in range(4)]
    best = [max(lengths, key=lambda n: (str(n) in first, n)) for lengths in of_image]
    assert sorted(pools.index(tmp_path / "run", "out")["text_letters"].to_pylist()) == sorted(best)


def test_of_twins_one_survives(tmp_path: Path) -> None:
    """The same sample in two shards: rows with one id, each with a fate of its own."""
    one = pools.pairs(6)
    pools.write_tar(tmp_path / "in" / "a.tar", one)
    pools.write_tar(tmp_path / "in" / "b.tar", one[2:4])
    pools.run(pools.chain(f"{tmp_path}/in/*.tar"), tmp_path / "run")
    written = Counter(pools.index(tmp_path / "run", "out")["sample_id"].to_pylist())
    duplicates = [
        r for r in pools.ledger(tmp_path / "run") if r["reason"] == "duplicate" and r["level"] == "sample"
    ]
    assert set(written.values()) == {1}
    assert len(duplicates) == 2
    assert {r["sample_id"] for r in duplicates} <= written.keys()


@pytest.mark.parametrize("how", ["keys", "link", "verify", "elect", "reason", "columns"])
def test_a_group_that_fails_is_named(tar: str, tmp_path: Path, how: str) -> None:
    with pytest.raises(StageBug, match="node `kin`") as caught:
        pools.run(linked(tar, how=how), tmp_path / "run")
    assert caught.value.sample_ids


def stories(pages: str, cap: int) -> pools.Recipe:
    return {
        "name": "stories",
        "nodes": [
            {"id": "pages", "stage": "read_html", "path": pages},
            {"id": "hash", "stage": "sha256"},
            {"id": "furniture", "stage": "exact", "key": "image_sha256", "max_documents": cap},
            {"id": "tale", "stage": "story"},
            {"id": "docs", "stage": "write_webdataset", "form": "documents"},
        ],
    }


def test_what_sees_living_items_is_computed_anew_exactly_where_they_changed(tmp_path: Path) -> None:
    """Page 0 loses its logo by hand; under a cap of 4 the five other pages lose theirs to the Group."""
    pages, out = pools.write_pages(tmp_path / "pages", 6), tmp_path / "run"
    page = tmp_path / "pages" / "page000.html"
    page.write_text(page.read_text().replace('<img src="logo.png" alt="the logo">', ""))
    first = pools.run(stories(pages, cap=5), out)
    assert pools.computed(first)["tale"] == 6
    capped = pools.run(stories(pages, cap=4), out)
    assert pools.computed(capped) == {"tale": 5}
    told = Counter(r["story"].split(", ")[1] for r in pools.index(out, "docs").to_pylist())
    assert told == {"3 images": 6}
    pools.run(stories(pages, cap=4), tmp_path / "fresh")
    assert pools.output_bytes(out) == pools.output_bytes(tmp_path / "fresh")


def test_group_columns_reach_the_rows_they_were_elected_for(tmp_path: Path) -> None:
    """Three parts, dead items in between: the cluster of an image is told by its own hash."""
    pages = pools.write_pages(tmp_path / "pages", 7)
    recipe = stories(pages, cap=50)
    recipe = pools.with_node(recipe, "pages", part_rows=2)
    pools.run(recipe, tmp_path / "run")
    of: dict[str, set[Any]] = defaultdict(set)
    table: pa.Table = pools.index(tmp_path / "run", "docs")
    for row in table.to_pylist():
        for digest, cluster in zip(row["image_sha256"], row["image_cluster"], strict=True):
            of[digest].add(cluster)
    assert all(len(clusters) == 1 for clusters in of.values())
    assert Counter(None in clusters for clusters in of.values()) == {True: 21, False: 1}


@pytest.mark.parametrize("said", [["01 @a", "09 @b"], ["01", "02"], ["01 @a"]])
def test_nothing_to_link(tmp_path: Path, said: list[str]) -> None:
    """No two with a key in common, nobody with a key, a single one."""
    path = pools.write_tars(tmp_path / "in", rows(said), 1)
    report = pools.run(linked(path), tmp_path / "run")
    pools.prove(report)
    assert report["outputs"][0]["samples"]["written"] == len(said)
    assert pools.index(tmp_path / "run", "out")["text_kin"].to_pylist() == [None] * len(said)
