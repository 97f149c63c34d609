"""Exact Jaccard of pairs of sets, each a sorted list of distinct numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.sample import Ints, single

Floats = npt.NDArray[np.float64]

# Numbers that are sorted at once.
_BLOCK = 1 << 18


def jaccard(left: pa.ChunkedArray | pa.Array, right: pa.ChunkedArray | pa.Array) -> Floats:
    """|A and B| / |A or B| of each pair of lists of uint32, shape (rows,); of two empty sets 1."""
    a, a_sizes = _flat(left)
    b, b_sizes = _flat(right)
    both = a_sizes + b_sizes
    shared = np.zeros(len(both), dtype=np.int64)
    ends, a_ends, b_ends = np.cumsum(both), np.cumsum(a_sizes), np.cumsum(b_sizes)
    start = done = 0
    while start < len(both):
        stop = max(start + 1, int(np.searchsorted(ends, done + _BLOCK, side="right")))
        here = slice(start, stop)
        pieces = [
            _numbered(values[end[start] - size[start] : end[stop - 1]], size[here])
            for values, size, end in ((a, a_sizes, a_ends), (b, b_sizes, b_ends))
        ]
        together = np.concatenate(pieces)
        together.sort()
        twice = together[1:][together[1:] == together[:-1]] >> np.uint64(32)
        shared[here] = np.bincount(twice.astype(np.int64), minlength=stop - start)
        start, done = stop, int(ends[stop - 1])
    union = both - shared
    return np.where(union > 0, shared / np.maximum(union, 1), 1.0)


def _flat(column: pa.ChunkedArray | pa.Array) -> tuple[npt.NDArray[np.uint32], Ints]:
    lists = single(column)
    return lists.flatten().to_numpy(), lists.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64)


def _numbered(values: npt.NDArray[np.uint32], sizes: Ints) -> npt.NDArray[np.uint64]:
    """Each value below the number of its list."""
    numbers = np.repeat(np.arange(len(sizes), dtype=np.uint64), sizes)
    return (numbers << np.uint64(32)) | values
