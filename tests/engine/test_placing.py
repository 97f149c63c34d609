"""Where rows of an output go: folders, shards by bytes, repeats, packs; and what run.json sums up of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pools
import pyarrow.parquet as pq
import pytest
import yaml

from curate.errors import RecipeError
from curate.plan import make
from curate.recipe import parse
from curate.report import trace


def recipe(path: str, *nodes: dict[str, Any], **fields: Any) -> pools.Recipe:
    return {
        "name": "placed",
        "nodes": [
            {"id": "raw", "stage": "read_webdataset", "path": path, "part_rows": 13},
            {"stage": "probe"},
            {"stage": "text_stats"},
            *nodes,
            {"id": "out", "stage": "write_webdataset", "shard_size": 20, **fields},
        ],
    }


@pytest.fixture(scope="module")
def tar(tmp_path_factory: pytest.TempPathFactory) -> str:
    return pools.write_tars(tmp_path_factory.mktemp("in"), pools.pairs(150), 3)


def shards(run: Path) -> dict[str, list[str]]:
    """Shard -> the keys in it, in their order."""
    paths = sorted((run / "out").rglob("*.parquet"))
    return {str(p.relative_to(run / "out"))[:-8]: pq.read_table(p)["key"].to_pylist() for p in paths}


def test_folders_by_value_hold_everything_once(tar: str, tmp_path: Path) -> None:
    plain = pools.run(recipe(tar), tmp_path / "plain")
    report = pools.run(recipe(tar, by=["text_chars"], shard_size=7), tmp_path / "run")
    pools.prove(report)
    found = shards(tmp_path / "run")
    assert sorted(k for keys in found.values() for k in keys) == sorted(
        k for keys in shards(tmp_path / "plain").values() for k in keys
    )
    assert report["outputs"][0]["samples"] == plain["outputs"][0]["samples"]
    for path in (tmp_path / "run" / "out").rglob("*.parquet"):
        (chars,) = set(pq.read_table(path)["text_chars"].to_pylist())
        assert path.parent == tmp_path / "run" / "out" / str(chars)
    folders = Counter(name.rpartition("/")[0] for name in found)
    assert len(folders) > 3
    for folder, n in folders.items():
        assert [f"{folder}/{i:05d}" in found for i in range(n)] == [True] * n, "numbered from 0 without gaps"
        assert all(len(found[f"{folder}/{i:05d}"]) == 7 for i in range(n - 1))


def test_folders_do_not_see_how_the_input_is_cut(tar: str, tmp_path: Path) -> None:
    fields: dict[str, Any] = {"by": ["text_chars", "image_width"], "shard_bytes": 900}
    pools.run(recipe(tar, **fields), tmp_path / "a")
    other = pools.write_tars(tmp_path / "in", pools.pairs(150)[::-1], 7)
    pools.run(recipe(other, **fields), tmp_path / "b")
    assert len(shards(tmp_path / "a")) > 20
    assert pools.output_bytes(tmp_path / "a") == pools.output_bytes(tmp_path / "b")


def test_a_sample_in_a_folder_is_traced(tar: str, tmp_path: Path) -> None:
    pools.run(recipe(tar, by=["text_chars"]), tmp_path / "run")
    shard, keys = next(iter(shards(tmp_path / "run").items()))
    (fate,) = trace.find(tmp_path / "run", keys[0])
    assert (fate["fate"], fate["shard"], fate["file"]) == ("written", shard, f"{shard}.tar")


def test_names_of_folders_lead_nowhere(tmp_path: Path) -> None:
    odd = ["../../up", "/etc", ".hidden", "a b", "", "日本"]
    rows = [pools.Pair(f"k{i}", pools.picture(i), text or "x") for i, text in enumerate(odd)]
    path = pools.write_tars(tmp_path / "in", rows, 1)
    pools.run(recipe(path, by=["text_body"]), tmp_path / "run")
    folders = {
        p.parent.relative_to(tmp_path / "run" / "out") for p in (tmp_path / "run" / "out").rglob("*.tar")
    }
    assert {str(f) for f in folders} == {"_._.._up", "_etc", "_hidden", "a_b", "x", "__"}


def test_shards_of_about_equal_bytes(tar: str, tmp_path: Path) -> None:
    pools.run(recipe(tar, shard_bytes=40_000), tmp_path / "run")
    sizes = []
    for path in sorted((tmp_path / "run" / "out").glob("*.parquet")):
        index = pq.read_table(path)
        texts = sum(len(t) for t in index["text_body"].to_pylist())
        sizes.append(sum(index["image_n_bytes"].to_pylist()) + texts)
    assert len(sizes) > 5
    assert min(sizes) > 0.8 * 40_000
    assert max(sizes) < 1.3 * 40_000


def test_what_is_repeated_is_written_so_often_and_counted(tar: str, tmp_path: Path) -> None:
    mix = {"id": "mixed", "stage": "mix", "weights": {"raw": 1}, "total": 220}
    plain = pools.run(recipe(tar, mix), tmp_path / "once")
    report = pools.run(recipe(tar, mix, repeat="repeats"), tmp_path / "run")
    pools.prove(report)
    once, again = plain["outputs"][0]["samples"], report["outputs"][0]["samples"]
    assert again["repeated"] == 220 - once["written"]
    assert again["written"] == 220
    assert report["outputs"][0]["images"]["repeated"] == again["repeated"]
    index = pools.index(tmp_path / "run", "out")
    times = Counter(index["sample_id"].to_pylist())
    wanted = dict(zip(index["sample_id"].to_pylist(), index["repeats"].to_pylist(), strict=True))
    assert times == wanted
    keys = index["key"].to_pylist()
    assert len(set(keys)) == 220
    halves = [index["sample_id"].to_pylist()[:110], index["sample_id"].to_pylist()[110:]]
    assert len(set(halves[0]) & set(halves[1])) > 20, "copies do not stand side by side"
    other = pools.write_tars(tmp_path / "in", pools.pairs(150)[::-1], 5)
    pools.run(recipe(other, mix, repeat="repeats"), tmp_path / "cut")
    assert pools.output_bytes(tmp_path / "cut") == pools.output_bytes(tmp_path / "run")


def test_tallies_and_totals_are_those_of_the_index(tar: str, tmp_path: Path) -> None:
    few = {"id": "few", "stage": "keep", "bounds": {"text_letters": {"max": 25}}}
    report = pools.run(recipe(tar, {"stage": "letters"}, few), tmp_path / "run")
    letters = pools.index(tmp_path / "run", "out")["text_letters"].to_pylist()
    assert 0 < len(letters) < 150
    (output,) = report["outputs"]
    assert output["totals"] == {"text_letters": sum(letters)}
    told = {str(v): n for v, n in Counter(letters).items()}
    nowhere = {"none": len(letters)}
    about = {"dataset": {"raw": len(letters)}, "language": nowhere, "licence": nowhere}
    assert output["tallies"] == {**about, "text_letters": told}


def test_a_stage_that_counts_knows_all_that_comes_in(tar: str, tmp_path: Path) -> None:
    few = {"id": "few", "stage": "keep", "bounds": {"text_letters": {"max": 25}}}
    nodes = ({"stage": "letters"}, few, {"stage": "common", "least": 20})
    pools.run(recipe(tar, *nodes), tmp_path / "run")
    lengths = [len(p.text) for p in pools.pairs(150)]
    counts = Counter(n for n in lengths if n <= 25)
    assert min(counts.values()) < 20 <= max(counts.values())
    written = Counter(pools.index(tmp_path / "run", "out")["text_letters"].to_pylist())
    assert written == {n: c for n, c in counts.items() if c >= 20}
    again = pools.run(recipe(tar, *nodes), tmp_path / "run")
    assert pools.node(again, "common")["counts"] == {
        "text_letters": {str(n): counts[n] for n in sorted(counts)}
    }
    # more data: the counts are taken anew
    more = pools.write_tars(tmp_path / "in", pools.pairs(300), 3)
    pools.run(recipe(more, *nodes), tmp_path / "run")
    pools.run(recipe(more, *nodes), tmp_path / "fresh")
    assert pools.output_bytes(tmp_path / "run") == pools.output_bytes(tmp_path / "fresh")


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"by": ["image_widht"]}, "no column `image_widht`.*did you mean `image_width`"),
        ({"by": ["image_aspect"]}, "makes no folders"),
        ({"order": "packed"}, "put a `pack` node before it"),
        ({"repeat": "text_language"}, "no column `text_language`"),
        ({"repeat": "image_format"}, "no numbers"),
    ],
)
def test_what_cannot_place_is_told_before_anything_starts(
    tar: str, fields: dict[str, Any], problem: str
) -> None:
    with pytest.raises(RecipeError, match=f"(?s){problem}"):
        make(parse(yaml.safe_dump(recipe(tar, **fields))))
