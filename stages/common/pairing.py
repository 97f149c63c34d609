"""All pairs within runs of equal keys, in blocks of bounded size, and keys that lie evenly."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]


def pairs(keys: npt.NDArray[np.generic], block: int = 1 << 20) -> Iterator[tuple[Ints, Ints]]:
    """Row numbers (left, right), left < right, of all pairs of rows whose keys are equal.

    `keys` (n,) are sorted. Each block has at most `block` pairs, also within a single run; pairs come in the
    order of left, then right.
    """
    rows = len(keys)
    if rows < 2:
        return
    ends = np.append(np.flatnonzero(keys[1:] != keys[:-1]) + 1, rows)
    sizes = np.diff(ends, prepend=0)
    # how many rows of its own run follow each row, and how many pairs come before its first
    followers = np.repeat(ends, sizes) - np.arange(1, rows + 1)
    before = np.zeros(rows + 1, dtype=np.int64)
    np.cumsum(followers, out=before[1:])
    total = int(before[-1])
    for start in range(0, total, block):
        stop = min(total, start + block)
        first = int(np.searchsorted(before, start, side="right")) - 1
        last = int(np.searchsorted(before, stop, side="left"))
        counts = np.minimum(before[first + 1 : last + 1], stop) - np.maximum(before[first:last], start)
        left = np.repeat(np.arange(first, last), counts)
        right = np.arange(start, stop) - before[left] + left + 1
        yield left, right


def mix(values: npt.NDArray[np.unsignedinteger], salt: int = 0) -> Words:
    """Another 64-bit number for each, one to one, in which every bit of the value counts (the finaliser of
    SplitMix64, Steele, Lea and Flood 2014); with another `salt`, another mapping."""
    with np.errstate(over="ignore"):  # modulo 2**64
        mixed: Words = values.astype(np.uint64) + np.uint64((salt + 1) * 0x9E3779B97F4A7C15 % 2**64)
        mixed ^= mixed >> np.uint64(30)
        mixed *= np.uint64(0xBF58476D1CE4E5B9)
        mixed ^= mixed >> np.uint64(27)
        mixed *= np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return mixed
