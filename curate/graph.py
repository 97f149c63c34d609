"""Verified edges to components, and components to survivors. Arrays only."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from curate.sample import Ints, Mask

Floats = npt.NDArray[np.float32]


class Edges(NamedTuple):
    """Pairs of nodes, each once with left < right, and how alike they are."""

    left: Ints
    right: Ints
    similarity: Floats


def unique(left: Ints, right: Ints, similarity: Floats) -> Edges:
    """Each pair once, in order, the smaller node left; of several similarities the greatest."""
    low, high = np.minimum(left, right), np.maximum(left, right)
    order = np.lexsort((-similarity, high, low))
    low, high, similarity = low[order], high[order], similarity[order]
    first = np.r_[True, (np.diff(low) != 0) | (np.diff(high) != 0)][: len(low)]
    return Edges(low[first], high[first], similarity[first])


def components(n: int, left: Ints, right: Ints) -> Ints:
    """Connected components of the nodes 0 to n - 1: a label for each."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ones = np.ones(len(left), dtype=np.int8)
    _, labels = connected_components(coo_array((ones, (left, right)), shape=(n, n)), directed=False)
    found: Ints = labels.astype(np.int64)
    return found


def classes(component: Ints, twin: npt.NDArray[np.uint64]) -> Ints:
    """A number for each pair of both: equal items of one component."""
    order = np.lexsort((twin, component))
    a, b = component[order], twin[order]
    found = np.empty(len(a), dtype=np.int64)
    found[order] = np.cumsum(np.r_[True, (a[1:] != a[:-1]) | (b[1:] != b[:-1])][: len(a)])
    return found


class Elected(NamedTuple):
    leader: Ints  # of each node its survivor; the node itself where it survives
    similarity: Floats  # to the survivor; NaN where it survives


def survivors(n: int, edges: Edges, twin: Ints, known: Mask) -> Elected:
    """Who survives of the nodes 0 (the best) to n - 1 (the worst).

    The best survives; who is linked with a better survivor dies, and belongs to the best of those; who is
    linked only with the dead survives too. So nobody dies but against a survivor that it was verified
    against, however long a chain is (a maximal independent set, greedy in the order of rank).

    Nodes with the same `twin` are equal: one of them stands for all, so that an edge of one is an edge of
    each. `known` nodes survive in any case; they come before all others.
    """
    _, cls = np.unique(twin, return_inverse=True)
    best = np.full(int(cls.max()) + 1 if n else 0, n, dtype=np.int64)  # best node of each class
    np.minimum.at(best, cls, np.arange(n))
    stands = best[cls]  # of each node the one that stands for it
    a, b, similarity = unique(stands[edges.left], stands[edges.right], edges.similarity)
    apart = a != b
    a, b, similarity = a[apart], b[apart], similarity[apart]
    lives, dead = known & (stands == np.arange(n)), np.zeros(n, dtype=bool)
    dead[b[lives[a] & ~lives[b]]] = True
    open_a, open_b = a, b
    while True:
        waiting = ~(lives | dead)
        undecided = waiting[open_a] & waiting[open_b]
        open_a, open_b = open_a[undecided], open_b[undecided]
        waiting[open_b] = False  # until the better one is decided
        if not waiting.any():
            break
        lives |= waiting
        dead[open_b[lives[open_a]]] = True
    leader = np.arange(n)
    nearness = np.full(n, np.nan, dtype=np.float32)
    # edges are sorted by a: written backwards, the best survivor is the last to be written
    over = np.flatnonzero(lives[a] & dead[b])[::-1]
    leader[b[over]], nearness[b[over]] = a[over], similarity[over]
    nearness = nearness[stands]
    leader = leader[stands]
    nearness[(leader == stands) & (stands != np.arange(n))] = 1
    own = known & (leader != np.arange(n))
    leader[own], nearness[own] = np.flatnonzero(own), np.nan
    return Elected(leader, nearness)
