from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.common.pairing import mix, pairs


def found(keys: np.ndarray, block: int) -> list[tuple[int, int]]:
    blocks = list(pairs(keys, block))
    assert all(0 < len(left) == len(right) <= block for left, right in blocks)
    return [(int(i), int(j)) for left, right in blocks for i, j in zip(left, right, strict=True)]


@given(st.lists(st.integers(0, 9), max_size=40), st.integers(1, 50))
def test_all_pairs_of_equal_keys_and_no_other(values: list[int], block: int) -> None:
    keys = np.sort(np.array(values, np.uint64))
    wanted = [(i, j) for i in range(len(keys)) for j in range(i + 1, len(keys)) if keys[i] == keys[j]]
    assert found(keys, block) == wanted


def test_one_run_comes_in_bounded_blocks() -> None:
    keys = np.zeros(3000, np.uint64)
    sizes = [len(left) for left, _ in pairs(keys, 1 << 16)]
    assert max(sizes) <= 1 << 16
    assert sum(sizes) == 3000 * 2999 // 2
    # a run with more rows than a block has pairs: the first row alone fills several
    left, right = next(pairs(keys, 1000))
    assert set(left) == {0}
    assert list(right) == list(range(1, 1001))


def test_a_million_keys_of_their_own_cost_no_loop() -> None:
    keys = np.sort(np.r_[np.arange(1_000_000), np.arange(0, 1_000_000, 10)]).astype(np.uint64)
    start = time.process_time()
    assert sum(len(left) for left, _ in pairs(keys)) == 100_000
    assert time.process_time() - start < 2


@pytest.mark.parametrize("salt", [0, 1])
def test_mixed_keys_are_one_to_one_and_even(salt: int) -> None:
    mixed = mix(np.arange(1 << 16, dtype=np.uint16), salt)
    assert len(np.unique(mixed)) == 1 << 16
    shares = np.bincount((mixed >> np.uint64(60)).astype(np.int64), minlength=16) / len(mixed)
    assert np.all(np.abs(shares - 1 / 16) < 0.005)
    assert not np.any(mixed == mix(np.arange(1 << 16, dtype=np.uint16), salt + 1))


def test_mix_is_splitmix64() -> None:
    # the first outputs of the reference implementation for the seed 1234567
    with np.errstate(over="ignore"):
        states = np.uint64(1234567) + np.arange(3, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    assert mix(states).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]
