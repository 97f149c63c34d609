from __future__ import annotations

import random
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from near_links import links

from curate.errors import RecipeError
from stages.group.near_set import NearSet


def documents(sets: list[list[Any]], kind: pa.DataType = pa.string(), shape: str = "document") -> pa.Table:  # noqa: B008
    return pa.table(
        {
            "sample_id": [f"{i:06d}" for i in range(len(sets))],
            "shape": [shape] * len(sets),
            "image_pixel_sha256": pa.array(sets, pa.list_(kind)),
        }
    )


def alike(sets: list[list[Any]], **config: Any) -> dict[tuple[int, int], float]:
    found = links(NearSet.model_validate(config), documents(sets))
    return {(int(i), int(j)): round(value, 6) for (i, j), value in found.items()}


def crowd(count: int, seed: int = 0) -> list[list[str]]:
    """Documents of 1 to 12 images, many of them variants of another, with furniture that all share."""
    rng = random.Random(seed)
    made: list[list[str]] = []
    for i in range(count):
        own = [f"p{i}-{k}" for k in range(rng.randint(1, 12))]
        if made and rng.random() < 0.6:
            own = list(rng.choice(made))
            for _ in range(rng.randint(0, 3)):
                if own and rng.random() < 0.5:
                    own.pop(rng.randrange(len(own)))
                else:
                    own.append(f"x{i}-{rng.random()}")
        made.append([*own, *rng.sample(["logo", "button", "spacer"], rng.randint(0, 2))])
        rng.shuffle(made[-1])
    return made


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.7, 0.75, 1.0])
def test_all_pairs_are_found_and_no_others(threshold: float) -> None:
    sets = crowd(400)
    wanted = {}
    for (i, one), (j, other) in combinations(enumerate(map(set, sets)), 2):
        if min(len(one), len(other)) >= 2 and len(one & other) >= threshold * len(one | other):
            wanted[i, j] = round(len(one & other) / len(one | other), 6)
    assert len(wanted) > 20
    found = alike(sets, threshold=threshold, min_items=2)
    assert {pair: pytest.approx(value, abs=1e-5) for pair, value in wanted.items()} == found


def test_what_was_learnt_changes_the_work_and_not_the_pairs() -> None:
    sets = crowd(300)
    table = documents(sets)
    some = links(NearSet(sample=5), table)
    assert some == links(NearSet(), table) != {}
    keys = {}
    for sample in (1, 300):
        stage = NearSet(threshold=0.7)
        fitted = stage.fit(table.slice(0, sample), 300)
        found = stage.prepare(table, fitted).keys.flatten().to_numpy()
        keys[sample] = int(np.bincount(np.unique(found, return_inverse=True)[1]).max())
    assert keys[300] < keys[1], "what all documents share is a key of few"


def test_a_crowd_is_thinned_and_not_left() -> None:
    """3,000 documents of five shared images and one of their own: 4.5 million pairs are alike."""
    sets = [["a", "b", "c", "d", "e", str(i)] for i in range(3000)]
    found = alike(sets)
    assert len(found) < 3000 * 500
    neighbours: dict[int, set[int]] = {i: set() for i in range(3000)}
    for i, j in found:
        neighbours[i].add(j)
        neighbours[j].add(i)
    dead: set[int] = set()
    for row in range(3000):
        if row not in dead:
            dead |= neighbours[row]
    assert len(dead) > 0.95 * 3000


def test_a_threshold_is_met_exactly() -> None:
    """7 of 10: 0.7 as a float is a little less or more than the fraction."""
    one = [str(i) for i in range(10)]
    assert alike([one, one[:7]], threshold=0.7) == {(0, 1): 0.7}
    assert alike([one, one[:6]], threshold=0.7) == {}
    assert alike([one[:3], one[:3][::-1]], threshold=1.0) == {(0, 1): 1.0}


def test_repeats_nulls_and_order_do_not_count() -> None:
    assert alike([["a", "b", "c"], ["c", None, "a", "a", "b", None]]) == {(0, 1): 1.0}


def test_documents_of_few_images_are_left_alone() -> None:
    sets = [["a", "b"], ["a", "b"], [], [], ["a", "a", "a", "b"]]
    assert alike(sets) == {}
    assert set(alike(sets, min_items=2)) == {(0, 1), (0, 4), (1, 4)}


def test_sets_of_one_value() -> None:
    same = dict.fromkeys(combinations(range(4), 2), 1.0)
    assert alike([["a"]] * 4, min_items=1) == same


def test_equal_sets_are_twins_and_others_are_not() -> None:
    stage = NearSet()
    table = documents([["a", "b", "c"], ["c", "a", "b", "b"], ["a", "b", "d"]])
    twins = stage.prepare(table, stage.fit(table, 3)).signature["twin"].to_pylist()
    assert twins[0] == twins[1] != twins[2]
    every = documents([list(some) for some in combinations("abcdefg", 4)])
    twins = stage.prepare(every, stage.fit(every, 35)).signature["twin"].to_pylist()
    assert len(set(twins)) == 35


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pa.uint64(), [1, 2**64 - 1, 3, 4]),
        (pa.int32(), [-1, 0, 1, 2]),
        (pa.binary(), [b"", b"a", b"\xff", b"b"]),
        (pa.binary(2), [b"aa", b"ab", b"\xff\xff", b"bb"]),
    ],
)
def test_hashes_of_any_kind(kind: pa.DataType, values: list[Any]) -> None:
    table = documents([values, values[:3], values[1:]], kind)
    assert {pair: round(v, 2) for pair, v in links(NearSet(), table).items()} == {
        ("000000", "000001"): 0.75,
        ("000000", "000002"): 0.75,
    }


def test_scope() -> None:
    sets = [["a", "b", "c"]] * 2
    assert not links(NearSet(scope="pairs"), documents(sets))
    assert links(NearSet(scope="documents"), documents(sets))
    assert links(NearSet(scope="pairs"), documents(sets, shape="pair"))


def test_columns_that_make_no_set() -> None:
    with pytest.raises(ValueError, match="one value a sample"):
        NearSet(of="url")
    with pytest.raises(RecipeError, match="double"):
        NearSet(of="image_score").check_columns(pa.schema([("image_score", pa.float64())]))
