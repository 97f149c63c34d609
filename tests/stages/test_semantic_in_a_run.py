"""`semantic` and `near_set` through whole recipes."""

from __future__ import annotations

import contextlib
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pools
import pyarrow as pa
import pytest

from curate.demo import generate

THRESHOLD = 0.85


def pictures(pool: Path, count: int) -> list[pools.Pair]:
    """Whole pairs of the demo pool, near and exact copies among them."""
    told = [json.loads(line) for line in (pool / "truth.jsonl").read_text().splitlines()]
    copies = {"near_duplicate_image", "exact_duplicate_image"}
    whole = [r["key"] for r in told if r["dataset"] == "pairs" and set(r["defects"]) <= copies]
    data: dict[str, bytes] = {}
    for path in sorted((pool / "pairs").glob("*.tar")):
        # one tar is cut short: that is one of the pool's defects
        with tarfile.open(path) as tar, contextlib.suppress(tarfile.ReadError):
            for member in tar:
                stream = tar.extractfile(member)
                data[member.name] = stream.read() if stream else b""
    made = []
    for key in whole:
        images = [data[f"{key}.{end}"] for end in ("jpg", "png", "webp") if f"{key}.{end}" in data]
        if images and f"{key}.txt" in data:
            made.append(pools.Pair(key, images[0], data[f"{key}.txt"].decode()))
    assert len(made) >= count
    return made[:count]


def recipe(path: str, part_rows: int = 40, **fields: Any) -> pools.Recipe:
    return {
        "name": "meaning",
        "nodes": [
            {"id": "raw", "stage": "read_webdataset", "path": path, "part_rows": part_rows},
            {"stage": "clip"},
            {"stage": "probe"},
            {
                "id": "near",
                "stage": "semantic",
                "threshold": THRESHOLD,
                "prefer": [{"column": "image_width"}],
                **fields,
            },
            {"id": "out", "stage": "write_webdataset", "shard_size": 100},
        ],
    }


def embeddings(index: pa.Table) -> npt.NDArray[np.float64]:
    values = index["image_clip_embedding"].combine_chunks()
    rows = values.flatten().to_numpy(zero_copy_only=False).reshape(len(index), -1).astype(np.float64)
    found: npt.NDArray[np.float64] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return found


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[pools.Pair]:
    folder = tmp_path_factory.mktemp("demo")
    generate(folder, pairs=220, documents=0, seed=5)
    return pictures(folder, 140)


@pytest.fixture(scope="module")
def marked(rows: list[pools.Pair], tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    folder = tmp_path_factory.mktemp("marked")
    pools.run(recipe(pools.write_tars(folder / "in", rows, 3), action="mark"), folder / "run")
    return pools.index(folder / "run", "out")


def test_whoever_is_marked_is_like_a_survivor_and_survivors_are_not_alike(marked: pa.Table) -> None:
    ids = marked["sample_id"].to_pylist()
    cosines = embeddings(marked) @ embeddings(marked).T
    duplicate = np.array([bool(d) for d in marked["image_semantic_duplicate"].to_pylist()])
    assert duplicate.sum() > 10
    width = marked["image_width"].to_pylist()
    for row in np.flatnonzero(duplicate):
        survivor = ids.index(marked["image_semantic_survivor"][row].as_py())
        assert not duplicate[survivor]
        assert marked["image_semantic_cluster"][row] == marked["image_semantic_cluster"][survivor]
        assert width[survivor] >= width[row]
        told = marked["image_semantic_similarity"][row].as_py()
        assert told >= THRESHOLD
        assert told == pytest.approx(cosines[row, survivor], abs=1e-4)
    alive = np.flatnonzero(~duplicate)
    between = cosines[np.ix_(alive, alive)] - 2 * np.eye(len(alive))
    assert between.max() < THRESHOLD + 1e-4


def test_a_chain_does_not_eat_its_cluster(marked: pa.Table) -> None:
    """There are rows linked through others only, and of each such chain more than one survives."""
    cosines = embeddings(marked) @ embeddings(marked).T
    linked = cosines >= THRESHOLD
    reach = linked
    for _ in range(6):
        reach = (reach.astype(int) @ linked.astype(int)) > 0
    duplicate = np.array([bool(d) for d in marked["image_semantic_duplicate"].to_pylist()])
    chains = [
        np.flatnonzero(row)
        for row in reach
        if (~linked[np.ix_(np.flatnonzero(row), np.flatnonzero(row))]).any()
    ]
    assert chains
    assert max((~duplicate[chain]).sum() for chain in chains) > 1


def test_shards_order_and_parts_change_nothing(rows: list[pools.Pair], tmp_path: Path) -> None:
    one = pools.write_tars(tmp_path / "one", rows, 2)
    order = np.random.default_rng(0).permutation(len(rows))
    other = pools.write_tars(tmp_path / "other", [rows[i] for i in order], 5)
    pools.run(recipe(one), tmp_path / "run1")
    pools.run(recipe(other, part_rows=11), tmp_path / "run2")
    assert pools.dead(tmp_path / "run1") == pools.dead(tmp_path / "run2") != {}
    columns = ["image_semantic_cluster", "image_semantic_survivor", "image_semantic_similarity"]
    told = [
        {r["sample_id"]: [r[c] for c in columns] for r in pools.ledger(tmp_path / run)}
        for run in ("run1", "run2")
    ]
    assert told[0] == told[1]
    assert pools.output_bytes(tmp_path / "run1", "out") == pools.output_bytes(tmp_path / "run2", "out")


def test_tomorrow_is_compared_with_what_was_kept(rows: list[pools.Pair], tmp_path: Path) -> None:
    """The second day uses the clusters of the first, whatever its own items would have made."""
    half = len(rows) // 2
    one = pools.write_tars(tmp_path / "one", rows[:half], 2)
    two = pools.write_tars(tmp_path / "two", rows[half:], 2)
    pools.run(recipe(one), tmp_path / "day1")
    kept = set(pools.index(tmp_path / "day1", "out")["sample_id"].to_pylist())
    report = pools.run(recipe(two, known=[str(tmp_path / "day1")]), tmp_path / "day2")
    pools.prove(report)
    survivors = {r["image_semantic_survivor"] for r in pools.ledger(tmp_path / "day2")}
    assert survivors & kept
    first, second = (embeddings(pools.index(tmp_path / day, "out")) for day in ("day1", "day2"))
    assert (first @ second.T).max() < THRESHOLD + 1e-4


def test_joint_compares_whole_pairs(rows: list[pools.Pair], tmp_path: Path) -> None:
    """The same picture with other words is another sample; with the same words it is not."""
    image = rows[0].image
    three = [pools.Pair("a", image, "a red kite"), pools.Pair("b", image, "three green boats at sea")]
    again = pools.Pair("c", image, "a red kite")
    path = pools.write_tars(tmp_path / "in", [*three, again], 1)
    joint = recipe(path, embedding=["image_clip_embedding", "text_clip_embedding"], threshold=0.98, prefer=[])
    pools.run(joint, tmp_path / "run")
    assert sorted(pools.dead(tmp_path / "run").values()) == ["near:duplicate"]
    kept = pools.index(tmp_path / "run", "out")["text_body"].to_pylist()
    assert sorted(kept) == ["a red kite", "three green boats at sea"]


# -- sets --


def page(folder: Path, name: str, images: list[int]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    body = []
    for seed in images:
        (folder / f"{seed}.png").write_bytes(pools.picture(seed, 64, 48))
        body.append(f'<img src="{seed}.png"><p>{name} shows picture {seed} and tells what is to be seen.</p>')
    (folder / f"{name}.html").write_text(f"<html><body><main>{''.join(body)}</main></body></html>")


def test_documents_with_nearly_the_same_pictures(tmp_path: Path) -> None:
    folder = tmp_path / "pages"
    logos = [900, 901]
    page(folder, "story", [1, 2, 3, 4, *logos])
    page(folder, "again", [4, *logos, 3, 2, 1])
    page(folder, "shortened", [1, 2, 3, *logos])
    page(folder, "other", [11, 12, 13, 14, *logos])
    page(folder, "short", logos)
    page(folder, "brief", logos)
    nodes = [
        {"id": "pages", "stage": "read_html", "path": f"{folder}/*.html"},
        {"stage": "shape"},
        {"stage": "sha256", "id": "hash"},
        {"id": "same", "stage": "near_set", "prefer": [{"column": "n_images"}, {"column": "source"}]},
        {"id": "out", "stage": "write_webdataset", "form": "documents"},
    ]
    report = pools.run({"name": "sets", "nodes": nodes}, tmp_path / "run")
    pools.prove(report)
    rows = {r["source"]: r for r in pools.ledger(tmp_path / "run") if r["level"] == "sample"}
    assert {source: round(r["set_similarity"], 4) for source, r in rows.items()} == {
        "again.html": 1.0,
        "shortened.html": 0.8333,
    }
    assert {r["reason"] for r in rows.values()} == {"duplicate"}
    index = pools.index(tmp_path / "run", "out")
    assert {r["set_survivor"] for r in rows.values()} <= set(index["sample_id"].to_pylist())
    assert len(index) == 4
