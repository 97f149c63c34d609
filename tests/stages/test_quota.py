from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pools
import pyarrow as pa
import pytest
from by_key import drops, samples

from curate.errors import RecipeError
from stages.group.quota import Quota


def kept(stage: Quota, table: pa.Table) -> set[str]:
    fates = zip(table["sample_id"].to_pylist(), drops(stage, table), strict=True)
    return {id_ for id_, reason in fates if reason is None}


def test_so_many_of_each_kind_and_no_more() -> None:
    table = samples(300, dataset=lambda i: "abc"[i % 3], language=lambda i: ["en", "de"][i % 2])
    fates = drops(Quota(by=("dataset", "language"), max=20, max_of={"a/en": 7, "b/de": 1000}), table)
    assert set(fates) == {None, "over_quota"}
    rows = zip(table["dataset"].to_pylist(), table["language"].to_pylist(), fates, strict=True)
    found = Counter((dataset, language) for dataset, language, fate in rows if fate is None)
    assert found == {("a", "en"): 7, ("b", "de"): 50} | dict.fromkeys(
        (("a", "de"), ("b", "en"), ("c", "en"), ("c", "de")), 20
    )


def test_who_stays_does_not_hang_on_the_order_of_the_input() -> None:
    table = samples(200, dataset=lambda i: "ab"[i % 2])
    stage = Quota(by=("dataset",), max=30)
    shuffled = table.take(pa.array(np.random.default_rng(0).permutation(200)))
    assert kept(stage, table) == kept(stage, shuffled)
    assert kept(stage, table) != kept(Quota(by=("dataset",), max=30, seed=1), table)


def test_a_larger_quota_adds_and_takes_nobody_away() -> None:
    table = samples(500, dataset=lambda i: "ab"[i % 2])
    assert kept(Quota(by=("dataset",), max=30), table) < kept(Quota(by=("dataset",), max=60), table)


def test_a_fifth_more_data_moves_a_sixth_of_those_that_stayed() -> None:
    """Of 1,000 the new fifth takes its fair share of places, and nobody that was out comes back."""
    old, more = samples(5000, dataset=lambda i: "a"), samples(1000, 5000, dataset=lambda i: "a")
    stage = Quota(by=("dataset",), max=1000)
    before, after = kept(stage, old), kept(stage, pa.concat_tables([old, more]))
    assert len(before) == len(after) == 1000
    news = set(more["sample_id"].to_pylist())
    assert after - news < before
    assert len(before - after) / 1000 == pytest.approx(1 / 6, abs=0.04)


def test_the_draw_is_fair() -> None:
    """Over 200 seeds each of 50 samples stays about as often as any other."""
    table = samples(50)
    often = Counter(id_ for seed in range(200) for id_ in kept(Quota(max=10, seed=seed), table))
    assert len(often) == 50
    # 40 expected, sigma 5.7
    assert min(often.values()) > 40 - 5 * 5.7
    assert max(often.values()) < 40 + 5 * 5.7


def test_quotas_by_other_columns_draw_on_their_own() -> None:
    """Those that one quota left are no better off in the next: half of a crowded language is of `a`."""
    table = samples(4000, dataset=lambda i: "a" if i % 10 else "b", language=lambda i: "en")
    stay = pa.array([fate is None for fate in drops(Quota(by=("dataset",), max=400), table)])
    left = table.filter(stay)
    second = left.filter(pa.array([f is None for f in drops(Quota(by=("language",), max=200), left)]))
    assert Counter(second["dataset"].to_pylist())["a"] == pytest.approx(100, abs=30)


def test_the_best_stay_and_equals_are_drawn() -> None:
    table = samples(100, score=lambda i: 1.0 if i < 10 else 0.5, dataset=lambda i: "xy"[i % 2])
    stage = Quota.model_validate({"max": 40, "prefer": [{"column": "score"}]})
    fates = drops(stage, table)
    assert fates[:10] == [None] * 10
    assert fates.count(None) == 40
    other = drops(Quota.model_validate({**stage.model_dump(), "seed": 1}), table)
    assert fates[10:] != other[10:]
    source = {"column": "dataset", "first": ["y"]}
    by_source = drops(Quota.model_validate({"max": 50, "prefer": [source]}), table)
    assert by_source == [None if i % 2 else "over_quota" for i in range(100)]


@pytest.mark.parametrize(("share", "count", "stay"), [(0.1, 30, 3), (0.1, 31, 4), (0.07, 100, 7), (1, 5, 5)])
def test_a_share_is_exact(share: float, count: int, stay: int) -> None:
    table = samples(count, score=lambda i: float(i))
    stage = Quota.model_validate({"share": share, "prefer": [{"column": "score"}]})
    assert drops(stage, table) == ["over_quota"] * (count - stay) + [None] * stay


def test_weights_make_some_more_likely() -> None:
    """Efraimidis and Spirakis: the first drawn of weights 1, 2, 5 is each with 1/8, 2/8, 5/8."""
    table = samples(3, weight=[1.0, 2.0, 5.0])
    first = Counter(drops(Quota(max=1, weight="weight", seed=s), table).index(None) for s in range(2000))
    assert [first[i] / 2000 for i in range(3)] == pytest.approx([1 / 8, 2 / 8, 5 / 8], abs=0.04)


def test_what_has_no_weight_comes_last() -> None:
    table = samples(60, weight=[0.0, None, float("nan"), -1.0, 1e-300, 3.0] * 10)
    fates = drops(Quota(max=20, weight="weight"), table)
    assert [fate is None for fate in fates] == [i % 6 >= 4 for i in range(60)]
    assert drops(Quota(max=30, weight="weight"), table).count(None) == 30


def test_samples_without_a_value() -> None:
    table = samples(40, cluster=lambda i: None if i % 2 else "c")
    assert drops(Quota(by=("cluster",), max=3), table).count(None) == 3 + 20
    grouped = drops(Quota(by=("cluster",), max=3, max_of={"": 5}, missing="group"), table)
    assert grouped.count(None) == 3 + 5
    fates = drops(Quota(by=("cluster",), max_of={"other": 1}), table)
    assert fates == [None] * 40, "only what is named is bounded"


def test_twins_count_as_others_do() -> None:
    """Rows that share an id."""
    table = pa.concat_tables([samples(1)] * 20)
    assert drops(Quota(max=5), table).count(None) == 5


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "bounds nothing"),
        ({"max": -1}, "greater than or equal to 0"),
        ({"max_of": {"a": 1}}, "no kinds"),
        ({"by": "a", "max_of": {"a": -1}}, "not negative"),
        ({"share": 0}, "greater than 0"),
    ],
)
def test_what_a_recipe_cannot_say(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Quota.model_validate(fields)


def test_columns_that_make_no_kinds_are_refused() -> None:
    columns = pa.schema([("score", pa.float32()), ("tags", pa.list_(pa.string())), ("n", pa.int32())])
    for name in ("score", "tags"):
        with pytest.raises(RecipeError, match="tells no groups apart"):
            Quota(by=(name,), max=1).check_columns(columns)
    Quota(by=("n",), max=1, weight="score").check_columns(columns)
    with pytest.raises(RecipeError, match="weight: needs numbers"):
        Quota(max=1, weight="tags").check_columns(columns)


def test_in_a_run(tmp_path: Path) -> None:
    """By a column of items, over several parts and buckets; the same in any cut."""
    path = pools.write_tars(tmp_path / "in", pools.pairs(60), 3)

    def recipe(part_rows: int) -> pools.Recipe:
        return {
            "name": "sampled",
            "nodes": [
                {"id": "raw", "stage": "read_webdataset", "path": path, "part_rows": part_rows},
                {"stage": "probe"},
                {"id": "few", "stage": "quota", "by": "image_width", "max": 2, "max_of": {"40": 1}},
                {"id": "out", "stage": "write_webdataset", "shard_size": 16},
            ],
        }

    pools.prove(pools.run(recipe(7), tmp_path / "a"))
    pools.prove(pools.run(recipe(1000), tmp_path / "b"))
    widths = Counter(pools.index(tmp_path / "a", "out")["image_width"].to_pylist())
    assert widths.pop(40) == 1
    assert set(widths.values()) == {2}
    assert set(pools.dead(tmp_path / "a").values()) == {"few:over_quota"}
    assert pools.dead(tmp_path / "a") == pools.dead(tmp_path / "b")
