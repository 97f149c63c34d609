"""`bucket` and `bucket_floor` through whole recipes."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pools
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

LEAST = 6
SIZES = [(160, 120), (120, 160), (150, 150), (175, 100), (100, 75), (250, 248), (58, 58), (25, 23)]
TIERS = [
    {"side": 56},
    {"side": 84, "min_length": 8},
    {"side": 112, "min_length": 16},
    {"side": 224, "min_length": 40},
]


def recipe(path: str, part_rows: int = 2048, **fields: Any) -> pools.Recipe:
    return {
        "name": "buckets",
        "nodes": [
            {"id": "raw", "stage": "read_webdataset", "path": path, "part_rows": part_rows},
            {"stage": "probe"},
            {"stage": "text_stats"},
            {"stage": "bucket", "by_caption": {"tiers": TIERS, "shapes": "square"}},
            {"id": "floor", "stage": "bucket_floor", "min": LEAST, **fields},
            {"id": "out", "stage": "write_webdataset", "by": "image_bucket", "shard_size": 20},
        ],
    }


@pytest.fixture(scope="module")
def rows() -> list[pools.Pair]:
    rng = random.Random(4)
    made = []
    for number in range(70):
        width, height = SIZES[number % len(SIZES)]
        # few texts of nine words, so that the tier of 84 is rare
        words = rng.choice([2, 3, 20, 50] if number else [9])
        text = " ".join(rng.choice(["red", "boat", "under", "some", "old", "bridge"]) for _ in range(words))
        image = pools.picture(number, width, height, "jpeg")
        made.append(pools.Pair(f"{number:09d}", image, f"{text} {number}."))
    return made


def test_each_image_in_one_bucket_each_bucket_a_folder(rows: list[pools.Pair], tmp_path: Path) -> None:
    report = pools.run(recipe(pools.write_tars(tmp_path / "in", rows, 3)), tmp_path / "run")
    pools.prove(report)
    files = sorted((tmp_path / "run" / "out").glob("*/*.parquet"))
    index = pa.concat_tables([pq.read_table(file) for file in files])
    tally = Counter(index["image_bucket"].to_pylist())
    assert len(tally) > 2
    assert min(tally.values()) >= LEAST
    (output,) = report["outputs"]
    assert output["tallies"]["image_bucket"] == dict(tally)
    assert sum(output["tallies"]["image_tier"].values()) == index.num_rows == output["samples"]["written"]
    for name, number in tally.items():
        shards = list((tmp_path / "run" / "out" / name).glob("*.tar"))
        assert shards, name
        assert len(shards) == -(-number // 20)
    # the smallest fills no tier
    assert set(pools.dead(tmp_path / "run").values()) == {"bucket:too_small"}


def test_what_is_rare_goes_elsewhere_or_is_dropped(rows: list[pools.Pair], tmp_path: Path) -> None:
    path = pools.write_tars(tmp_path / "in", rows, 3)
    moved = pools.run(recipe(path, min=16), tmp_path / "moved")
    dropped = pools.run(recipe(path, min=16, fallback="drop"), tmp_path / "dropped")
    tallies = [report["outputs"][0]["tallies"]["image_bucket"] for report in (moved, dropped)]
    assert all(min(tally.values()) >= 16 for tally in tallies)
    reasons = [Counter(pools.dead(tmp_path / run).values()) for run in ("moved", "dropped")]
    assert reasons[1]["floor:rare_bucket"] > reasons[0]["floor:rare_bucket"]


def test_shards_and_parts_change_nothing(rows: list[pools.Pair], tmp_path: Path) -> None:
    one = pools.write_tars(tmp_path / "one", rows, 1)
    other = pools.write_tars(tmp_path / "other", rows[::-1], 4)
    pools.run(recipe(one, min=16), tmp_path / "run1")
    pools.run(recipe(other, part_rows=7, min=16), tmp_path / "run2")
    assert pools.dead(tmp_path / "run1") == pools.dead(tmp_path / "run2") != {}
    assert pools.output_bytes(tmp_path / "run1", "out") == pools.output_bytes(tmp_path / "run2", "out")
