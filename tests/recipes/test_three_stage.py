"""Three training sets and a held-out part from one recipe: disjoint by component, counted to the token."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pools
import pyarrow as pa
import pytest
import webdataset as wds
from finished import RECIPES, run_file

from curate.demo import generate

TRAINED = ("pt1_pairs", "pt2_pairs", "pt2_documents", "sft")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("three")
    generate(folder / "pool", seed=3, pairs=260, documents=40)
    told = [f"raw.path={folder}/pool/pairs/*.tar", f"pages.path={folder}/pool/docs/**/*.html", "split.seed=1"]
    run_file(RECIPES / "three_stage.yaml", told, folder / "run")
    return folder / "run"


def outputs(run: Path) -> dict[str, dict[str, Any]]:
    return {o["id"]: o for o in json.loads((run / "run.json").read_text())["outputs"]}


def held(run: Path, output: str) -> pa.Table:
    return pools.index(run, output)


def family(table: pa.Table) -> set[str]:
    """The component of each sample, its own id where it is alone."""
    names = zip(table["component"].to_pylist(), table["sample_id"].to_pylist(), strict=True)
    return {component or id.partition("#")[0] for component, id in names}


def pictures(table: pa.Table) -> set[str]:
    values = table["image_pixel_sha256"].to_pylist()
    return {v for value in values for v in (value if isinstance(value, list) else [value])}


def test_what_is_held_out_shares_nothing_with_what_is_trained_on(run: Path) -> None:
    out = held(run, "held_out")
    assert out.num_rows >= 5
    for name in TRAINED:
        trained = held(run, name)
        assert trained.num_rows > 20
        assert not family(out) & family(trained), name
        assert not pictures(out) & pictures(trained), name


def test_every_sample_is_in_one_shard_and_one_bucket(run: Path) -> None:
    for name in TRAINED:
        ids = held(run, name)["sample_id"].to_pylist()
        assert len(ids) == len(set(ids)) == outputs(run)[name]["samples"]["written"]
    pt2 = held(run, "pt2_pairs")
    buckets = Counter(pt2["image_bucket"].to_pylist())
    assert dict(buckets) == outputs(run)["pt2_pairs"]["tallies"]["image_bucket"]
    assert min(buckets.values()) >= 8
    stored = zip(pt2["image_stored_width"].to_pylist(), pt2["image_stored_height"].to_pylist(), strict=True)
    assert [f"{w}x{h}" for w, h in stored] == pt2["image_bucket"].to_pylist()
    assert set(held(run, "pt1_pairs")["image_bucket"].to_pylist()) == {"224x224"}


def test_the_tokens_of_the_index_come_to_those_of_run_json(run: Path) -> None:
    for name, column in (
        ("pt1_pairs", "qwen_vl"),
        ("pt2_pairs", "qwen2_5_vl"),
        ("pt2_documents", "qwen2_5_vl"),
    ):
        told = outputs(run)[name]
        tokens = sum(held(run, name)[f"tokens_{column}"].to_pylist())
        assert told["totals"][f"tokens_{column}"] == tokens > 0
        assert told["costs"][column]["tokens"] == tokens
        assert told["costs"][column]["flops"] == pytest.approx(6 * 7e9 * tokens)


def test_packs_stand_together_whole_and_nearly_full(run: Path) -> None:
    pt2 = held(run, "pt2_pairs")
    packs, positions = pt2["pack_id"].to_pylist(), pt2["pack_position"].to_pylist()
    starts = [i for i, position in enumerate(positions) if position == 0]
    assert [p for i, p in enumerate(packs) if i in set(starts)] == list(dict.fromkeys(packs))
    assert all(b == a + 1 or b == 0 for a, b in itertools.pairwise(positions))
    tokens = np.add.reduceat(np.array(pt2["tokens_qwen2_5_vl"].to_pylist()), starts)
    assert tokens.max() <= 2048
    totals = outputs(run)["pt2_pairs"]["totals"]
    assert totals["pack_capacity"] == 2048 * len(starts)
    packing = outputs(run)["pt2_pairs"]["costs"]["packing"]
    assert packing["waste"] == 1 - int(tokens.sum()) / totals["pack_capacity"] < 0.06


def test_loaders_see_the_size_of_the_bucket(run: Path) -> None:
    shards = sorted(str(p) for p in (run / "pt2_pairs").glob("*.tar"))
    seen = 0
    for found in wds.WebDataset(shards, shardshuffle=False).decode("pil"):
        width, height = map(int, found["json"]["image_bucket"].split("x"))
        assert found["jpg"].size == (width, height)
        seen += 1
    assert seen == outputs(run)["pt2_pairs"]["samples"]["written"]
