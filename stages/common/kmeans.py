"""Spherical k-means in whole numbers: the same clusters on every machine, for any order and cut of the rows.

Unit vectors are rounded to whole numbers of length 4000. Every sum of products of two such vectors is then a
whole number below 2**24, which float32 holds exactly: whatever BLAS, number of threads or batch computed it,
a cosine has the same bits, and so have the clusters made of them. The rounding moves a cosine by about 1e-4.

Lloyd's algorithm on the sphere (Dhillon and Modha, Machine Learning 42, 2001). `scipy.cluster.vq.kmeans2`
is as fast, but holds the distances of all rows to all centroids at once, leaves empty clusters empty, and
rounds as the BLAS and the order of the rows have it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from stages.common.cosines import Product, product_on_cpu

Floats: TypeAlias = npt.NDArray[np.floating]
# Whole numbers that float32 holds.
Wholes: TypeAlias = npt.NDArray[np.float32]
Ints: TypeAlias = npt.NDArray[np.int64]
Mask: TypeAlias = npt.NDArray[np.bool_]

# The length of rounded vectors. Rounding adds sqrt(width) / 2 at most, and (4000 + 64)**2 < 2**24.
LENGTH = 4000
_WIDEST = 1 << 14
# Bytes of products at once.
_BLOCK = 32 << 20


def wholes(vectors: Floats) -> Wholes:
    """Unit vectors (n, width) in whole numbers."""
    if vectors.shape[1] > _WIDEST:
        raise ValueError(f"vectors of more than {_WIDEST} numbers")
    found: Wholes = np.rint(vectors * LENGTH).astype(np.float32)
    return found


def nearest(
    points: Wholes, centroids: Wholes, count: int = 1, product: Product = product_on_cpu
) -> tuple[Ints, Wholes]:
    """For each point its `count` nearest centroids, the nearest first, equal ones by number.

    Returns their numbers and their products with it, (n, count) each; `count` is not above their number.
    """
    near = np.zeros((len(points), count), dtype=np.int64)
    products = np.zeros((len(points), count), dtype=np.float32)
    for rows in _blocks(len(points), len(centroids)):
        found = product(points[rows], centroids)
        every = np.arange(len(found))
        for place in range(count):
            best = found.argmax(axis=1)  # the first of equal ones
            near[rows, place] = best
            products[rows, place] = found[every, best]
            found[every, best] = -np.inf
    return near, products


def reached(
    points: Wholes, centroids: Wholes, count: int, distance: float, product: Product = product_on_cpu
) -> tuple[Ints, Mask, Wholes]:
    """The `count` nearest centroids of each point, which of them it reaches, and products as by `nearest`.

    A point reaches its nearest centroid, and each to whose side of the border between the two a step of half
    of `distance` could take it (1 is the length of a unit vector). So two points not farther than `distance`
    apart meet, as far as `count` allows: with u and v the points, a the nearest centroid of u and b that of
    v, u(a - b) + v(b - a) = (u - v)(a - b) <= |u - v| |a - b|, of which the lesser term is half at most.
    """
    near, products = nearest(points, centroids, min(count, len(centroids)), product)
    within = np.ones(near.shape, dtype=bool)
    # rounding moves either point by half the diagonal of a cube of side 1 at most
    step = (distance * LENGTH + math.sqrt(points.shape[1])) / 2
    squares = np.einsum("kd,kd->k", centroids, centroids).astype(np.float64)
    for rows in _blocks(len(points), 2 * points.shape[1]):
        own = centroids[near[rows, 0]]
        for place in range(1, near.shape[1]):
            other = near[rows, place]
            across = np.einsum("nd,nd->n", own, centroids[other]).astype(np.float64)
            apart = np.sqrt(squares[near[rows, 0]] + squares[other] - 2 * across)
            within[rows, place] = products[rows, 0] - products[rows, place] <= step * apart
    return near, within, products


def kmeans(points: Wholes, clusters: int, rounds: int = 10, product: Product = product_on_cpu) -> Wholes:
    """Centroids (clusters, width), in whole numbers, of points in an order without meaning (by a hash).

    Starts from points at equal distances in that order. A cluster that loses all its points begins again at
    the point that is farthest from its own centroid.
    """
    clusters = max(1, min(clusters, len(points)))
    centroids = points[np.arange(clusters) * len(points) // clusters]
    for _ in range(rounds):
        near, products = nearest(points, centroids, 1, product)
        owners = near[:, 0]
        moved = _means(points, owners, centroids)
        empty = np.flatnonzero(np.bincount(owners, minlength=clusters) == 0)
        farthest = np.argsort(products[:, 0], kind="stable")[: len(empty)]
        moved[empty] = points[farthest]
        if np.array_equal(moved, centroids):
            break
        centroids = moved
    return centroids


def _means(points: Wholes, owners: Ints, centroids: Wholes) -> Wholes:
    """The direction of the sum of each cluster's points; the centroid as it was where there is none."""
    order = np.argsort(owners, kind="stable")
    ends = np.cumsum(np.bincount(owners, minlength=len(centroids)))
    sums = np.zeros(centroids.shape)
    for cluster, end in enumerate(ends):
        start = ends[cluster - 1] if cluster else 0
        if end > start:
            # sums of whole numbers: exact in float64
            sums[cluster] = points[order[start:end]].sum(axis=0, dtype=np.float64)
    # fsum: rounded once, in whatever order numpy would add
    lengths = np.sqrt([[math.fsum(squares)] for squares in (sums * sums).tolist()])
    means = wholes(sums / np.where(lengths > 0, lengths, 1))
    return np.where(lengths > 0, means, centroids)


def _blocks(rows: int, columns: int) -> Iterator[slice]:
    size = max(1, _BLOCK // (4 * columns))
    for start in range(0, rows, size):
        yield slice(start, start + size)
