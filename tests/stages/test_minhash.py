from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from curate.errors import RecipeError
from stages.common.crowds import ALL, SOME, groups
from stages.common.jaccard import jaccard
from stages.common.minhash import (
    Bands,
    Engine,
    band_keys,
    bands,
    fewest_in_common,
    need,
    signatures,
    sketches,
)
from stages.common.shingles import Sets

ENGINES: tuple[Engine, ...] = ("fast", "datasketch")


def sets_of(lists: list[np.ndarray]) -> Sets:
    sizes = [len(x) for x in lists]
    hashes = np.concatenate([np.sort(x) for x in lists]).astype(np.uint32)
    return Sets(hashes, np.concatenate([[0], np.cumsum(sizes)]), np.zeros(len(lists), np.uint64))


def couples(count: int, size: int, alike: float, seed: int = 0) -> tuple[Sets, Sets, np.ndarray]:
    """Pairs of random sets of `size`, and their Jaccard index."""
    rng = np.random.default_rng(seed)
    shared = round(2 * size * alike / (1 + alike))
    left, right = [], []
    for _ in range(count):
        drawn = rng.permutation(np.unique(rng.integers(0, 2**32, 2 * size + 50)))
        left.append(drawn[:size])
        right.append(np.concatenate([drawn[:shared], drawn[size : 2 * size - shared]]))
    return sets_of(left), sets_of(right), np.full(count, shared / (2 * size - shared))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("size", "alike"), [(3, 0.5), (8, 0.8), (200, 0.3), (200, 0.8), (3000, 0.6)])
def test_estimates_have_the_mean_and_the_spread_of_minhash(engine: Engine, size: int, alike: float) -> None:
    """The share of equal values is unbiased, and its standard error is sqrt(J (1 - J) / permutations)."""
    count, permutations = (2000, 128) if size < 1000 else (300, 128)
    left, right, truth = couples(count, size, alike)
    estimate = (signatures(left, permutations, engine) == signatures(right, permutations, engine)).mean(
        axis=1
    )
    error = np.sqrt(truth[0] * (1 - truth[0]) / permutations)
    assert abs(estimate.mean() - truth[0]) < 4 * error / np.sqrt(count)
    assert 0.9 < estimate.std() / error < 1.1


@pytest.mark.parametrize("engine", ENGINES)
def test_a_signature_is_of_its_set_alone(engine: Engine) -> None:
    rng = np.random.default_rng(1)
    lists = [rng.integers(0, 2**32, size) for size in (1, 0, 70_000, 5, 0, 130_000, 2, 900)]
    together = signatures(sets_of(lists), 64, engine)
    for one, values in zip(lists, together, strict=True):
        assert np.array_equal(signatures(sets_of([one]), 64, engine)[0], values)
    assert (together[1] == 2**32 - 1).all(), "the empty set"


def test_other_seeds_are_other_permutations() -> None:
    left, right, truth = couples(1, 50, 0.5)
    each = [(signatures(left, 128, seed=s) == signatures(right, 128, seed=s)).mean() for s in range(200)]
    assert len({tuple(signatures(left, 64, seed=s)[0]) for s in range(50)}) == 50
    assert abs(np.mean(each) - truth[0]) < 4 * np.sqrt(0.25 / 128 / 200)


def test_signatures_stay_what_they_are() -> None:
    """Keys of an index are compared with those of later runs."""
    values = signatures(sets_of([np.arange(5)]), 64)
    assert values[0, :3].tolist() == [31500979, 419457109, 670360705]
    assert band_keys(values, Bands(16, 4))[0, :2].tolist() == [11308390983384887786, 5111903019383871040]
    assert sketches(values).tolist() == [2008733714820016977]


def test_bands_miss_as_many_as_they_say() -> None:
    for threshold in (0.5, 0.7, 0.8, 0.9):
        shape = bands(128, threshold)
        assert (
            shape.missed(threshold + (1 - threshold) / 6)
            < 1e-3
            < Bands(128 // (shape.rows + 1), shape.rows + 1).missed(threshold + (1 - threshold) / 6)
        )
    shape, alike = Bands(8, 8), 0.75
    left, right, truth = couples(3000, 100, alike)
    a, b = (band_keys(signatures(s, 64), shape) for s in (left, right))
    missed = 1 - (a == b).any(axis=1).mean()
    expected = shape.missed(truth[0])
    assert abs(missed - expected) < 4 * np.sqrt(expected * (1 - expected) / 3000)


def test_keys_of_different_bands_never_meet() -> None:
    values = np.zeros((1, 128), np.uint32)
    assert len(np.unique(band_keys(values, Bands(32, 4)))) == 32


def test_sketches_have_the_bits_in_common_that_they_should() -> None:
    for alike in (0.3, 0.7, 0.9):
        left, right, truth = couples(2000, 60, alike)
        a, b = (sketches(signatures(s, 128)) for s in (left, right))
        same = np.bitwise_count(~(a ^ b))
        assert abs(same.mean() / 64 - (1 + truth[0]) / 2) < 0.005
        assert (same < fewest_in_common(truth[0])).mean() < 3e-3


def test_jaccard_is_that_of_sets() -> None:
    rng = np.random.default_rng(2)
    left = [np.unique(rng.integers(0, 40, rng.integers(0, 30))).astype(np.uint32) for _ in range(3000)]
    right = [np.unique(rng.integers(0, 40, rng.integers(0, 30))).astype(np.uint32) for _ in range(3000)]
    left[7], right[7] = (np.arange(a, a + 300_000, dtype=np.uint32) for a in (0, 100_000))
    expected = [
        len({*a} & {*b}) / len({*a} | {*b}) if len(a) + len(b) else 1
        for a, b in zip(left, right, strict=True)
    ]
    lists = [pa.array([x.tolist() for x in side], pa.list_(pa.uint32())) for side in (left, right)]
    assert np.allclose(jaccard(*lists), expected)
    assert np.allclose(jaccard(lists[0].slice(5), lists[1].slice(5)), expected[5:])


def test_a_crowd_is_cut_into_groups_of_its_own_key() -> None:
    rng = np.random.default_rng(3)
    keys = np.sort(
        np.concatenate([np.repeat([5, 9, 11], [ALL, 30_000, 3]), rng.integers(20, 2**60, 1000)])
    ).astype(np.uint64)
    twins, some = (rng.integers(0, 2**63, len(keys), dtype=np.uint64) for _ in range(2))
    order, group = groups(keys, twins, some)
    assert np.array_equal(np.sort(order), np.arange(len(keys)))
    assert (np.diff(group) >= 0).all()
    assert len(np.unique(np.stack([group, keys[order]]), axis=1).T) == len(np.unique(group)), "one key each"
    sizes = dict(zip(*np.unique(keys[order], return_counts=True), strict=True))
    of_group = np.bincount(group)[group]
    for key in (5, 11):
        assert (of_group[keys[order] == key] == sizes[key]).all()
    crowd = of_group[keys[order] == 9]
    assert crowd.max() <= SOME
    assert crowd.mean() > SOME / 4
    # what is alike (the same sketch) stays together under each key
    some[keys == 9] = np.repeat(rng.integers(0, 2**63, 3000, dtype=np.uint64), 10)
    order, group = groups(keys, twins, some)
    place = np.empty(len(keys), int)
    place[order] = group
    cells = place[keys == 9].reshape(3000, 10)
    assert (cells == cells[:, :1]).mean() > 0.8


def test_groups_depend_on_nothing_but_what_they_hold() -> None:
    rng = np.random.default_rng(4)
    keys = np.sort(rng.integers(0, 3, 5000).astype(np.uint64))
    twins, some = (rng.integers(0, 2**63, len(keys), dtype=np.uint64) for _ in range(2))
    whole = groups(keys, twins, some)
    named = {tuple(sorted(twins[whole.order][whole.group == g].tolist())) for g in np.unique(whole.group)}
    part = keys != 1
    alone = groups(keys[part], twins[part], some[part])
    found = {
        tuple(sorted(twins[part][alone.order][alone.group == g].tolist())) for g in np.unique(alone.group)
    }
    assert found < named


def test_the_engine_of_a_package_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    need("datasketch", "engine")
    monkeypatch.setattr("stages.common.minhash.find_spec", lambda name: None)
    need("fast", "engine")
    with pytest.raises(RecipeError, match=r"pip install 'mmcurate\[datasketch\]'"):
        need("datasketch", "engine")
