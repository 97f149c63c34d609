"""Keys that a crowd shares: which of its members are compared with each other."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from curate.sample import Ints
from stages.common.pairing import mix

Words = npt.NDArray[np.uint64]

# In a run of up to so many different items all are compared with all.
ALL = 256
# In a larger one those of a group of so many. With 32 keys an item meets some 400 others, and of 3,000 to
# 100,000 like texts 0.8 % survived; with 128 it meets 1,500, and 0.26 % do.
SOME = 32


class Groups(NamedTuple):
    order: Ints  # rows, groups together
    group: Ints  # of each of them its group, ascending


def groups(keys: Words, twins: Words, sketches: Words) -> Groups:
    """Rows to be compared with each other, of rows sorted by key.

    Equal keys are a group, up to `ALL`. A larger run is cut by a few bits of the `sketches`, others for each
    key, so that what is alike tends to stay together, and then by hashes with the key: an item that has many
    keys in common with a crowd meets others of it under each. Where an item of a crowd of like ones has d
    neighbours, about ln(d) / d of the crowd survive, as in a random graph.
    """
    run = np.cumsum(np.diff(keys, prepend=~keys[:1]) != 0)
    sizes = np.bincount(run)[run]
    order, crowded = np.arange(len(keys)), np.flatnonzero(sizes > ALL)
    if not len(crowded):
        return Groups(order, run)
    key, twin, sketch = keys[crowded], twins[crowded], sketches[crowded]
    turn = mix(key) & np.uint64(63)
    turned = (sketch << turn) | (sketch >> (np.uint64(64) - turn))  # a shift by 64 gives 0
    bits = np.ceil(np.log2(sizes[crowded] / SOME)).astype(np.uint64)
    cell = turned >> (np.uint64(64) - bits)
    within = np.lexsort((mix(twin ^ key), mix(sketch ^ key), cell, run[crowded]))
    order[crowded] = crowded[within]  # a run stays where it was
    new = np.diff(run, prepend=-1) != 0
    first = np.flatnonzero(new)
    place = np.arange(len(keys)) - first[np.cumsum(new) - 1]
    new |= (sizes > ALL) & (place % SOME == 0)
    return Groups(order, np.cumsum(new))
