from __future__ import annotations

from pathlib import Path
from typing import Any

import pools
import pyarrow as pa
import pytest
from by_key import samples

from curate.errors import RecipeError
from stages.sample.split import Split

THIRDS = {"train": 0.5, "validation": 0.3, "test": 0.2}


def parts(table: pa.Table, **fields: Any) -> list[str]:
    stage = Split.model_validate(fields)
    found: list[str] = stage.open()(table).columns[stage.writes().names[0]].to_pylist()
    return found


def alone(count: int, start: int = 0) -> pa.Table:
    return samples(count, start, component=pa.nulls(count, pa.string()))


def test_shares_are_met() -> None:
    found = parts(alone(20_000))
    assert found.count("train") / 20_000 == pytest.approx(0.98, abs=0.004)
    assert found.count("test") / 20_000 == pytest.approx(0.01, abs=0.003)
    assert found.count("validation") / 20_000 == pytest.approx(0.01, abs=0.003)
    found = parts(alone(20_000), shares=THIRDS)
    for name, share in THIRDS.items():
        assert found.count(name) / 20_000 == pytest.approx(share, abs=0.012)


def test_components_are_in_one_piece_and_meet_the_shares() -> None:
    table = samples(6000, component=lambda i: f"{i % 1500:032x}" if i % 1500 < 1200 else None)
    found = parts(table, shares=THIRDS)
    of: dict[str, set[str]] = {}
    for name, part in zip(table["component"].to_pylist(), found, strict=True):
        of.setdefault(name or "", set()).add(part)
    assert of.pop("") == set(THIRDS)
    assert all(len(split) == 1 for split in of.values())
    counts = [split for (split,) in of.values()]
    assert counts.count("train") / len(of) == pytest.approx(0.5, abs=0.05)


def test_more_data_moves_nobody() -> None:
    old, more = alone(500), alone(500, 500)
    before = parts(old, shares=THIRDS)
    assert parts(pa.concat_tables([more, old]), shares=THIRDS)[500:] == before
    # a new sample that comes to an old one whose id is the smaller: the old one is where it was
    name = old["sample_id"][7].as_py()
    joined = pa.table({"sample_id": ["f" * 32], "component": [name]})
    assert parts(joined, shares=THIRDS) == before[7:8]


def test_children_go_with_their_document() -> None:
    documents = samples(200)
    children = pa.table(
        {"sample_id": [f"{id}#{k}" for id in documents["sample_id"].to_pylist() for k in (0, 1)]}
    )
    whole = parts(documents, shares=THIRDS, by="sample_id")
    found = parts(children, shares=THIRDS, by="sample_id")
    assert found[::2] == found[1::2] == whole


def test_a_larger_share_takes_from_train_alone() -> None:
    table = alone(5000)
    before = parts(table, shares={"train": 0.8, "validation": 0.1, "test": 0.1})
    after = parts(table, shares={"train": 0.7, "validation": 0.1, "test": 0.2})
    moved = {(a, b) for a, b in zip(before, after, strict=True) if a != b}
    assert moved == {("train", "test")}


def test_the_order_in_a_recipe_says_nothing() -> None:
    one, other = Split(shares=THIRDS), Split(shares=dict(reversed(THIRDS.items())))
    assert one.identity() == other.identity()
    table = alone(300)
    assert one.open()(table).columns["split"].equals(other.open()(table).columns["split"])


def test_another_seed_draws_others() -> None:
    one, other = (parts(alone(1000), shares=THIRDS, seed=seed) for seed in (0, 1))
    same = sum(a == b for a, b in zip(one, other, strict=True))
    assert same / 1000 == pytest.approx(0.25 + 0.09 + 0.04, abs=0.06)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"shares": {"train": 0.9, "test": 0.2}}, "come to 1.1, and not to 1"),
        ({"shares": {"train": 1.5, "test": -0.5}}, "between 0 and 1"),
        ({"shares": {"a/b": 1}}, "may become folders"),
        ({"shares": {}}, "not to 1"),
        ({"by": "image_cluster"}, "a value for each image: join by it with `component`"),
    ],
)
def test_what_a_recipe_cannot_say(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Split.model_validate(fields)


def test_without_a_component_the_plan_says_so(tmp_path: Path) -> None:
    path = pools.write_tars(tmp_path / "in", pools.pairs(2), 1)
    nodes = [
        {"id": "raw", "stage": "read_webdataset", "path": path},
        {"stage": "split"},
        {"id": "out", "stage": "write_webdataset"},
    ]
    with pytest.raises(RecipeError, match="`component`"):
        pools.planned({"name": "s", "nodes": nodes})
    with pytest.raises(RecipeError, match=r"by: `n_images` holds int32"):
        Split(by="n_images").check_columns(pa.schema([("n_images", pa.int32())]))


def test_outputs_of_one_recipe_share_no_component(tmp_path: Path) -> None:
    """Pages, and the pairs of the pages of each part: what is held out is in no other output."""
    pages = pools.write_pages(tmp_path / "pages", 24)
    rows = pools.pairs(80)
    tars = pools.write_tars(tmp_path / "tars", rows, 3)
    parts_ = ("train", "validation", "test")
    branches: list[dict[str, Any]] = []
    for part in parts_:
        kept = {"id": f"{part}_only", "stage": "keep", "from": "split", "bounds": {"split": {"in": [part]}}}
        branches += [
            kept,
            {"id": part, "stage": "write_parquet", "form": "documents", "from": f"{part}_only"},
        ]
    children = {"id": "children", "stage": "pairs", "from": "train_only", "take": ["component", "split"]}
    recipe: pools.Recipe = {
        "name": "split",
        "nodes": [
            {"id": "pages", "stage": "read_html", "path": pages, "part_rows": 9},
            {"id": "raw", "stage": "read_webdataset", "path": tars, "part_rows": 50},
            {"stage": "sha256", "from": ["pages", "raw"]},
            # the logo, which all pages show
            {"id": "furniture", "stage": "exact", "key": "image_sha256", "scope": "documents"},
            {"stage": "component", "columns": ["image_sha256"]},
            {"stage": "split", "shares": THIRDS},
            *branches,
            children,
            {"id": "pt1", "stage": "write_webdataset", "from": "children"},
        ],
    }
    report = pools.run(recipe, tmp_path / "run")
    found = {part: pools.index(tmp_path / "run", part) for part in (*parts_, "pt1")}
    names = {
        part: {c or id for c, id in zip(t["component"].to_pylist(), t["sample_id"].to_pylist(), strict=True)}
        for part, t in found.items()
        if part != "pt1"
    }
    assert all(names.values())
    assert sum(found[part].num_rows for part in parts_) == 104
    assert len(set.union(*names.values())) == sum(map(len, names.values()))
    of_train = set(found["train"]["sample_id"].to_pylist())
    assert {id.partition("#")[0] for id in found["pt1"]["sample_id"].to_pylist()} <= of_train
    assert set(found["pt1"]["split"].to_pylist()) == {"train"}
    assert {c for c in found["pt1"]["component"].to_pylist() if c} <= names["train"]
    # every tenth picture is a copy, so that there was something to keep together
    shared = [c for part in parts_ for c in found[part]["component"].to_pylist() if c]
    assert len(shared) >= 16
    told = {o["id"]: o["tallies"]["split"] for o in report["outputs"]}
    assert told["validation"] == {"validation": found["validation"].num_rows}
