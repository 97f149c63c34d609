from __future__ import annotations

import os
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
from scipy.cluster.vq import kmeans2

from curate.errors import RunError
from stages.common import cosines, kmeans
from stages.common.cosines import alike, product_by_torch, product_on_cpu


def directions(rows: int, width: int, seed: int = 0, topics: int = 0) -> npt.NDArray[np.float32]:
    """Unit vectors; around so many topics, if any."""
    rng = np.random.default_rng(seed)
    found = rng.normal(size=(rows, width))
    if topics:
        found = rng.normal(size=(topics, width))[rng.integers(0, topics, rows)] + 0.5 * found
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


# -- clusters --


@pytest.mark.parametrize("width", [1, 3, 512, 4096])
def test_products_are_those_of_whole_numbers(width: int) -> None:
    points = kmeans.wholes(directions(300, width))
    centroids = kmeans.wholes(
        np.r_[directions(40, width, 1), directions(1, width), np.full((1, width), width**-0.5)]
    )
    near, products = kmeans.nearest(points, centroids, 3)
    exact = points.astype(np.int64) @ centroids.astype(np.int64).T
    order = np.argsort(-exact, axis=1, kind="stable")[:, :3]
    assert (near == order).all(), "the nearest first, equal ones by number"
    assert (products == np.take_along_axis(exact, order, axis=1)).all()


def test_vectors_that_float32_could_not_hold_are_refused() -> None:
    with pytest.raises(ValueError, match="16384"):
        kmeans.wholes(np.zeros((1, 20_000)))


def test_any_cut_and_any_arithmetic_give_the_same_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    points = kmeans.wholes(directions(2000, 64, topics=30))
    whole = kmeans.kmeans(points, 40)

    def backwards(left: npt.NDArray[np.float32], right: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return np.asarray(left[:, ::-1].astype(np.float64) @ right[:, ::-1].T.astype(np.float64), np.float32)

    for product in (backwards, product_by_torch("cpu")):
        assert (kmeans.kmeans(points, 40, product=product) == whole).all()
    monkeypatch.setattr(kmeans, "_BLOCK", 10_000)
    assert (kmeans.kmeans(points, 40) == whole).all()


@pytest.mark.filterwarnings("ignore:One of the clusters is empty")
def test_clusters_are_as_tight_as_scipys() -> None:
    vectors = directions(3000, 32, topics=60)
    points = kmeans.wholes(vectors)
    centroids = kmeans.kmeans(points, 50)
    _, products = kmeans.nearest(points, centroids)
    ours = float(products.mean()) / kmeans.LENGTH**2
    start = vectors[np.arange(50) * 60]
    means, labels = kmeans2(vectors, start, iter=10, minit="matrix", missing="warn")
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    theirs = float((vectors * means[labels]).sum(axis=1).mean())
    assert ours > theirs - 0.005
    # and all directions are used
    assert (np.linalg.norm(centroids, axis=1).round(-2) == kmeans.LENGTH).all()


def test_a_cluster_without_points_begins_again() -> None:
    different = directions(8, 16)
    points = kmeans.wholes(np.r_[np.repeat(different[:1], 500, axis=0), different[1:]])
    centroids = kmeans.kmeans(points, 8)
    near, _ = kmeans.nearest(points, centroids)
    assert len(set(near[499:, 0].tolist())) == 8, "one for each of those that differ"


def test_no_more_clusters_than_points() -> None:
    assert kmeans.kmeans(kmeans.wholes(directions(3, 8)), 10).shape == (3, 8)


@pytest.mark.parametrize(("width", "distance"), [(2, 0.3), (8, 0.3), (64, 0.05)])
def test_points_that_are_near_meet(width: int, distance: float) -> None:
    """With all of the distance and room for all clusters no pair is missed, straight across a border."""
    centroids = directions(30, width, seed=1)
    rng = np.random.default_rng(width)
    a, b = rng.integers(0, 30, (2, 3000))
    a, b = a[a != b], b[a != b]
    normal = centroids[a] - centroids[b]
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    border = centroids[a] + centroids[b] + rng.normal(size=normal.shape) / width
    border -= (border * normal).sum(axis=1, keepdims=True) * normal
    border /= np.linalg.norm(border, axis=1, keepdims=True)
    angle = np.arcsin(distance / 2) * 0.9999
    sides = [np.cos(angle) * border + np.sin(angle) * side * normal for side in (1, -1)]
    places, nearest = [], []
    for points in map(kmeans.wholes, sides):
        near, within, _ = kmeans.reached(points, kmeans.wholes(centroids), 30, distance)
        inside = np.zeros((len(points), 30), dtype=bool)
        np.put_along_axis(inside, near, within, axis=1)
        places.append(inside)
        nearest.append(near[:, 0])
        assert within.mean() < 0.7, "and some clusters are out of reach"
    assert (nearest[0] != nearest[1]).mean() > 0.05
    assert (places[0] & places[1]).any(axis=1).all()


# -- cosines --


def exact_cosines(vectors: npt.NDArray[np.float16], threshold: float) -> dict[tuple[int, int], float]:
    """All pairs at or above the threshold, in whole numbers."""
    rows = [[int(Fraction(float(x)) * 2**24) for x in row] for row in vectors]
    norms = [sum(x * x for x in row) for row in rows]
    limit = Fraction(threshold) ** 2
    found = {}
    for i, one in enumerate(rows):
        for j in range(i + 1, len(rows)):
            dot = sum(a * b for a, b in zip(one, rows[j], strict=True))
            if dot > 0 and Fraction(dot * dot, norms[i] * norms[j]) >= limit:
                found[i, j] = dot / (norms[i] * norms[j]) ** 0.5
    return found


def test_pairs_are_those_of_exact_arithmetic(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = directions(120, 24, topics=6).astype(np.float16)
    truth = exact_cosines(vectors, 0.6)
    # a threshold that is one of the cosines, and the next number above it
    middle = sorted(truth.values())[len(truth) // 2]

    def rough(left: npt.NDArray[np.float32], right: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """As wrong as float32 may be."""
        noise = np.random.default_rng(len(left)).uniform(-3e-7, 3e-7, (len(left), len(right)))
        return (left @ right.T + noise).astype(np.float32)

    for tile in (7, 2048):
        monkeypatch.setattr(cosines, "_TILE", tile)
        for product in (product_on_cpu, rough, product_by_torch("cpu")):
            for threshold in (0.6, middle - 1e-12, middle + 1e-12):
                pairs = list(alike(vectors, threshold, product))
                found = {
                    (int(i), int(j)): c
                    for p in pairs
                    for i, j, c in zip(p.left, p.right, p.cosine.tolist(), strict=True)
                }
                wanted = {pair: np.float32(c) for pair, c in truth.items() if c >= threshold}
                assert found == wanted


@pytest.mark.skipif(os.path.exists("/dev/nvidia0"), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_told() -> None:
    assert cosines.product_on("auto") is product_on_cpu
    with pytest.raises(RunError, match="sees no GPU"):
        cosines.product_on("cuda")


def test_dense_and_thin_blocks_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = directions(200, 16, topics=3).astype(np.float16)
    rows, columns = np.divmod(np.arange(200 * 200), 200)
    monkeypatch.setattr(cosines, "_DENSE", 2.0)
    thin = cosines.cosines(vectors, vectors, rows, columns)
    monkeypatch.setattr(cosines, "_DENSE", 0.0)
    assert (cosines.cosines(vectors, vectors, rows, columns) == thin).all()
