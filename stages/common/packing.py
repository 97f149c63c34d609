"""Bin packing: which of the bins of one size each item goes to."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def first_fit_decreasing(sizes: Ints, room: Ints) -> Ints:
    """The bin of each item, shape (n,): first-fit decreasing, exactly.

    `sizes` (n, d) is what each item takes of the d things that a bin has `room` (d,) for: tokens, images. The
    largest by the first of them, then the next, comes first, and of equal ones the first row; each goes to
    the first bin, in the order in which they were opened, that has room for it, or else to a new one. Of one
    thing that is at most 11/9 of the fewest bins there can be, and 6/9 (Dósa 2007).

    Equal items are put away at once, so the work is (different sizes) x (bins), in whole arrays: thousands of
    samples share a few hundred numbers of tokens.
    """
    n = len(sizes)
    bins = np.zeros(n, dtype=np.int64)
    if not n:
        return bins
    assert (sizes <= room).all(), "larger than a bin"
    order = np.lexsort(-sizes.T[::-1])  # stable; the last key is the first to count
    falling = sizes[order]
    begins = np.flatnonzero(np.r_[True, (falling[1:] != falling[:-1]).any(axis=1)])
    free = np.empty((len(room), n), dtype=np.int64)
    opened = 0
    for begin, end in zip(begins.tolist(), [*begins[1:].tolist(), n], strict=True):
        size, count = falling[begin], end - begin
        fit = (free[:, :opened] >= size[:, None]).all(axis=0)
        used = fit.nonzero()[0][:count]  # each of them takes one at least
        takes = _taken(free[:, used], size, count)
        left = count - int(takes.sum())
        if left:
            each = int(_taken(room[:, None], size, left)[0])
            new = np.arange(opened, opened - (-left // each))
            free[:, new] = room[:, None]
            more = np.full(len(new), each, dtype=np.int64)
            more[-1] -= len(new) * each - left
            used, takes = np.concatenate([used, new]), np.concatenate([takes, more])
            opened += len(new)
        bins[order[begin:end]] = np.repeat(used, takes)
        free[:, used] -= size[:, None] * takes
    return bins


def _taken(free: Ints, size: Ints, count: int) -> Ints:
    """How many of `count` items of a size each bin takes, the first ones as many as they can: (bins,).
    `free` (d, bins) is room for one at least."""
    times = np.full(free.shape[1], count, dtype=np.int64)
    for thing in size.nonzero()[0]:
        np.minimum(times, free[thing] // size[thing], out=times)
    taken: Ints = np.minimum(times, np.maximum(count - (times.cumsum() - times), 0))
    return taken
