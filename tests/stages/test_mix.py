from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pools
import pyarrow as pa
import pytest
from by_key import decided, drops, samples
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import RecipeError
from stages.group.mix import Mix


def sources(**counts: int) -> pa.Table:
    names = [name for name, count in counts.items() for _ in range(count)]
    return samples(len(names), dataset=names)


def taken(stage: Mix, table: pa.Table) -> dict[str, int]:
    """Units x repeats of each source."""
    total: dict[str, int] = {}
    units = table[stage.unit].to_pylist() if stage.unit != "samples" else [1] * table.num_rows
    rows = decided(stage, table)
    for name, unit, row in zip(table["dataset"].to_pylist(), units, rows, strict=True):
        assert (row["repeats"] == 0) == (row["drop"] is not None)
        total[name] = total.get(name, 0) + (unit or 0) * row["repeats"]
    return total


def test_shares_are_met_to_the_sample() -> None:
    table = sources(curated=100, crawl=3000)
    stage = Mix(weights={"curated": 0.3, "crawl": 0.7}, total=1000)
    assert taken(stage, table) == {"curated": 300, "crawl": 700}
    rows = decided(stage, table)
    assert {row["repeats"] for row in rows[:100]} == {3}
    assert [row["drop"] for row in rows[100:]].count("over_target") == 2300


def test_weights_are_proportions() -> None:
    table = sources(a=50, b=50)
    assert taken(Mix(weights={"a": 3, "b": 7}, total=30), table) == {"a": 9, "b": 21}
    assert taken(Mix(weights={"a": 0.1, "b": 0.2}, total=30), table) == {"a": 10, "b": 20}


def test_a_part_is_repeated_once_more() -> None:
    table = sources(a=100, b=100)
    stage = Mix(weights={"a": 1, "b": 2}, total=375, max_repeats=9)
    repeats = [row["repeats"] for row in decided(stage, table)]
    assert sorted(repeats[:100]) == [1] * 75 + [2] * 25
    assert sorted(repeats[100:]) == [2] * 50 + [3] * 50


def test_repeats_end() -> None:
    table = sources(a=10, b=10)
    assert taken(Mix(weights={"a": 1, "b": 1}, total=2000), table) == {"a": 40, "b": 40}
    assert taken(Mix(weights={"a": 1, "b": 1}, total=2000, max_repeats=1), table) == {"a": 10, "b": 10}
    assert taken(Mix(weights={"a": 1, "b": 1}, total=12, max_repeats=1), table) == {"a": 6, "b": 6}


def test_what_has_no_weight_goes() -> None:
    table = samples(5, dataset=["a", "zero", "other", None, ""])
    stage = Mix(weights={"a": 1, "zero": 0}, total=5)
    assert drops(stage, table) == [None, "over_target", "no_weight", "no_weight", "no_weight"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 900), min_size=1, max_size=60),
    st.integers(1, 60_000),
    st.integers(1, 6),
    st.booleans(),
)
def test_units_come_to_the_target_but_for_one_sample(
    sizes: list[int], total: int, most: int, whole: bool
) -> None:
    kind = pa.int32() if whole else pa.float64()
    table = samples(len(sizes), dataset=["a"] * len(sizes), words=pa.array(sizes, kind))
    found = taken(Mix(weights={"a": 1}, total=total, unit="words", max_repeats=most), table)["a"]
    if sum(sizes) * most <= total:
        assert found == sum(sizes) * most
    else:
        assert total - max(sizes) < found <= total


def test_units_of_items_are_summed() -> None:
    words = pa.array([[3, 4], [None], [], [2, float("nan"), 1]], pa.list_(pa.float32()))
    table = samples(4, dataset=["a"] * 4, text_words=words)
    assert {r["repeats"] for r in decided(Mix(weights={"a": 1}, total=20, unit="text_words"), table)} == {2}
    fates = drops(Mix(weights={"a": 1}, total=3.5, unit="text_words"), table)
    assert fates[0] == "over_target"


def test_more_data_moves_few_decisions() -> None:
    old, more = sources(a=3000, b=3000), samples(1200, 6000, dataset=["a"] * 1200)
    stage = Mix(weights={"a": 1, "b": 1}, total=2000)
    before, after = drops(stage, old), drops(stage, pa.concat_tables([old, more]))
    assert after[3000:6000] == before[3000:6000], "the other source is not touched"
    moved = [(b, a) for b, a in zip(before[:3000], after[:3000], strict=True) if a != b]
    assert set(moved) == {(None, "over_target")}
    # of 1,000 places those that 1,200 of 4,200 are due
    assert len(moved) == pytest.approx(1000 * 1200 / 4200, abs=60)


def test_what_has_no_units_is_taken_as_often_as_others() -> None:
    stage = Mix(weights={"a": 1}, total=10, unit="words")
    table = samples(12, dataset=["a"] * 12, words=[0] * 10 + [5, None])
    assert {row["repeats"] for row in decided(stage, table)} == {2}
    nothing = table.set_column(2, "words", pa.array([0] * 11 + [None], pa.int32()))
    assert {row["repeats"] for row in decided(stage, nothing)} == {1}


def test_another_seed_draws_others() -> None:
    table = sources(a=100)
    one, other = (drops(Mix(weights={"a": 1}, total=50, seed=seed), table) for seed in (0, 1))
    both = sum(a is None and b is None for a, b in zip(one, other, strict=True))
    assert both == pytest.approx(25, abs=12)


def test_order_of_the_input_does_not_matter() -> None:
    table = sources(a=70, b=80)
    order = np.random.default_rng(1).permutation(150)
    stage = Mix(weights={"a": 1, "b": 3}, total=100)
    there, back = decided(stage, table), decided(stage, table.take(pa.array(order)))
    assert [there[i] for i in order] == back


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"weights": {"a": 0.0}, "total": 1}, "not all 0"),
        ({"weights": {"a": -1.0, "b": 2}, "total": 1}, "not negative"),
        ({"weights": {"a": float("inf")}, "total": 1}, "not negative"),
        ({"weights": {}, "total": 1}, "at least 1"),
        ({"weights": {"a": 1}, "total": 0}, "greater than 0"),
        ({"weights": {"a": 1}, "total": 1, "by": []}, "at least 1"),
    ],
)
def test_what_a_recipe_cannot_say(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Mix.model_validate(fields)


def test_units_are_numbers() -> None:
    with pytest.raises(RecipeError, match="unit: needs numbers"):
        Mix(weights={"a": 1}, total=1, unit="licence").check_columns(pa.schema([("licence", pa.string())]))


def test_in_a_run(tmp_path: Path) -> None:
    """Two sources meet, and the output says how often each sample is taken."""
    rows = pools.pairs(50)
    paths = {
        name: pools.write_tars(tmp_path / name, part, 2)
        for name, part in (("small", rows[:10]), ("large", rows[10:]))
    }
    nodes: list[dict[str, Any]] = [
        {"id": name, "stage": "read_webdataset", "path": path, "part_rows": 6} for name, path in paths.items()
    ]
    mixed = {"id": "mixed", "stage": "mix", "from": list(paths), "weights": {"small": 1, "large": 1}}
    out = {"id": "out", "stage": "write_webdataset", "shard_size": 16}
    report = pools.run({"name": "m", "nodes": [*nodes, {**mixed, "total": 50}, out]}, tmp_path / "run")
    pools.prove(report)
    index = pools.index(tmp_path / "run", "out")
    small = {row.text for row in rows[:10]}
    repeats = [0, 0]
    for text, times in zip(index["text_body"].to_pylist(), index["repeats"].to_pylist(), strict=True):
        repeats[text in small] += times
    assert repeats == [25, 25]
    assert set(pools.dead(tmp_path / "run").values()) == {"mixed:over_target"}
