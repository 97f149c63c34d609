"""Near duplicates of images, texts and embeddings: the same decisions for any cut, order and backend."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pools
import pytest

from curate.backends import Backend
from curate.demo.samples import Pool, build

_PAIRS = 150


@cache
def rows() -> tuple[pools.Pair, ...]:
    """Pairs of the demo that have an image and a caption, near duplicates among them."""
    found = []
    for index in range(_PAIRS):
        members = dict(build(Pool(seed=11), index).members)
        text = members.pop("txt", b"").decode("utf-8", "replace")
        images = [members[e] for e in ("jpg", "png", "webp") if e in members]
        if images and text:
            found.append(pools.Pair(f"k{index:05d}", images[0], text))
    return tuple(found)


def recipe(path: str, part_rows: int) -> pools.Recipe:
    best = [{"column": "image_short_side", "order": "descending"}]
    return {
        "name": "cuts",
        "nodes": [
            {"id": "raw", "stage": "read_webdataset", "path": path, "part_rows": part_rows},
            {"stage": "probe"},
            {"stage": "sha256"},
            {"stage": "phash"},
            {"stage": "clip"},
            {"id": "near_image", "stage": "near_image", "prefer": best},
            {"id": "near_text", "stage": "near_text", "action": "mark"},
            {"id": "semantic", "stage": "semantic", "threshold": 0.95, "action": "mark"},
            {"id": "out", "stage": "write_webdataset", "shard_size": 50},
        ],
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One tar, one part, no Ray."""
    folder = tmp_path_factory.mktemp("whole")
    path = pools.write_tars(folder / "in", rows(), 1)
    report = pools.run(recipe(path, 1000), folder / "run")
    pools.node(report, "near_image")
    return folder / "run"


def marked(run: Path) -> dict[str, list[object]]:
    index = pools.index(run, "out")
    names = [n for n in index.column_names if n.endswith(("_cluster", "_survivor", "_duplicate"))]
    assert len(names) >= 8
    rows = index.select(["sample_id", *names]).to_pylist()
    return {row["sample_id"]: [row[n] for n in names] for row in rows}


@pytest.mark.parametrize("shards", [2, 7, 64])
def test_any_number_of_shards_in_any_order(whole: Path, tmp_path: Path, shards: int) -> None:
    shuffled = random.Random(shards).sample(rows(), len(rows()))
    path = pools.write_tars(tmp_path / "in", shuffled, shards)
    pools.run(recipe(path, part_rows=11), tmp_path / "run")
    assert any(reason == "near_image:duplicate" for reason in pools.dead(whole).values())
    assert pools.dead(tmp_path / "run") == pools.dead(whole)
    assert marked(tmp_path / "run") == marked(whole)
    assert pools.output_bytes(tmp_path / "run") == pools.output_bytes(whole)


def test_on_ray(whole: Path, tmp_path: Path, on_ray: Callable[[], Backend]) -> None:
    path = pools.write_tars(tmp_path / "in", rows(), 3)
    pools.run(recipe(path, part_rows=30), tmp_path / "run", start=on_ray)
    assert pools.output_bytes(tmp_path / "run") == pools.output_bytes(whole)
