from __future__ import annotations

import time
from math import comb

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.common.hamming import HammingIndex, close, distance, first_keys, keys, n_keys

Words = npt.NDArray[np.uint64]


def some(n: int, bits: int = 64, seed: int = 0) -> Words:
    return np.random.default_rng(seed).integers(0, 2**64, (n, bits // 64), dtype=np.uint64)


def altered(words: Words, d: int, seed: int = 1) -> Words:
    """With exactly d bits of each flipped."""
    bits = np.unpackbits(words.view(np.uint8), axis=1)
    places = np.argsort(np.random.default_rng(seed).random(bits.shape), axis=1)[:, :d]
    np.put_along_axis(bits, places, 1 - np.take_along_axis(bits, places, axis=1), axis=1)
    return np.packbits(bits, axis=1).view(np.uint64)


def near(a: Words, b: Words, d: int) -> set[tuple[int, int, int]]:
    """All pairs, one by one."""
    apart = np.array([distance(np.repeat(one[None], len(b), axis=0), b) for one in a])
    return {(int(i), int(j), int(apart[i, j])) for i, j in zip(*np.nonzero(apart <= d), strict=True)}


@pytest.mark.parametrize("bits", [64, 256])
@pytest.mark.parametrize("d", [0, 1, 5, 7, 12])
@pytest.mark.parametrize("t", [1, 2, 3])
def test_what_differs_in_d_bits_shares_a_key(bits: int, d: int, t: int) -> None:
    if comb(d + t, t) > 200:
        return
    a = some(300, bits)
    b = altered(a, d)
    assert set(distance(a, b)) == {d}
    mine, others = keys(a, d, t), keys(b, d, t)
    assert mine.shape == (300, n_keys(d, t))
    shared = mine == others
    assert shared.any(axis=1).all()
    assert np.array_equal(first_keys(a, b, d, t), mine[np.arange(300), shared.argmax(axis=1)])


@given(st.sets(st.integers(0, 63), max_size=6), st.integers(0, 2**64 - 1))
def test_no_choice_of_six_bits_escapes(flipped: set[int], value: int) -> None:
    one = np.array([value], np.uint64)
    other = np.array([value ^ sum(1 << bit for bit in flipped)], np.uint64)
    assert (keys(one, 6) == keys(other, 6)).any()


def test_others_seldom_share_a_key() -> None:
    found = keys(some(2000), 6)
    shared = sum(comb(int(n), 2) for column in found.T for n in np.unique(column, return_counts=True)[1])
    assert shared / comb(2000, 2) < 28 / 2**16 * 1.5
    assert len(np.unique(found)) > 0.9 * found.size, "keys of different choices are different"


@pytest.mark.parametrize(("count", "values"), [(40, 9), (900, 3)])
def test_close_pairs_are_those_with_equal_keys_and_few_bits_apart(count: int, values: int) -> None:
    rng = np.random.default_rng(7)
    key = np.sort(rng.integers(0, values, count)).astype(np.uint64)  # runs shorter and longer than a tile
    hashes = altered(some(5)[rng.integers(0, 5, count)], 1)[:, :1]
    hashes ^= rng.integers(0, 8, (count, 1), dtype=np.uint64)
    wanted = {(i, j) for i, j, _ in near(hashes, hashes, 4) if i < j and key[i] == key[j]}
    found = [
        (int(i), int(j)) for left, right in close(key, hashes, 4) for i, j in zip(left, right, strict=True)
    ]
    assert len(found) == len(set(found))
    assert set(found) == wanted
    assert len(wanted) > 10


@pytest.mark.parametrize("count", [20, 200])
def test_any_of_several_hashes_may_be_close(count: int) -> None:
    several = some(count * 3).reshape(count, 3)
    several[1:, 2] = several[:-1, 0]  # each one's third is its predecessor's own
    blocks = list(close(np.zeros(count, np.uint64), several, 2))
    found = [pair for left, right in blocks for pair in zip(left, right, strict=True)]
    assert sorted(found) == [(i, i + 1) for i in range(count - 1)]


def test_nothing_has_no_pairs() -> None:
    assert list(close(np.zeros(0, np.uint64), np.zeros((0, 1), np.uint64), 4)) == []


@pytest.mark.parametrize("bits", [64, 256])
@pytest.mark.parametrize("size", [0, 1, 700])
def test_the_index_finds_what_comparing_all_finds(bits: int, size: int) -> None:
    items = some(size, bits)
    asked = np.concatenate([altered(items[:200], d) for d in (0, 3, 6, 7)] + [some(50, bits, seed=9)])
    query, item, apart = HammingIndex(items, 6).search(asked)
    found = list(zip(query.tolist(), item.tolist(), apart.tolist(), strict=True))
    assert found == sorted(near(asked, items, 6) if size else [])


def test_a_large_index_is_not_read_from_end_to_end() -> None:
    items = some(200_000)
    index = HammingIndex(items, 6)
    asked = altered(items[:20_000], 6)
    start = time.process_time()
    query, item, _ = index.search(asked)
    assert time.process_time() - start < 5  # 4e9 comparisons otherwise
    assert np.array_equal(query, item)
    assert len(query) == 20_000
