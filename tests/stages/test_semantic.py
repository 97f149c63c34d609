from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from near_links import links

from curate.errors import RecipeError, RunError
from stages.group import semantic
from stages.group.semantic import Semantic

WIDTH = 32
Vectors = npt.NDArray[np.float64]


def topics(rows: int, seed: int = 0, spread: float = 0.6) -> Vectors:
    """Unit vectors around a few directions, and for every third one a near copy."""
    rng = np.random.default_rng(seed)
    found = rng.normal(size=(12, WIDTH))[rng.integers(0, 12, rows)] + spread * rng.normal(size=(rows, WIDTH))
    copies = np.arange(2, rows, 3)
    found[copies] = found[copies - 1] + rng.uniform(0, 0.5, (len(copies), 1)) * rng.normal(
        size=(len(copies), WIDTH)
    )
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def column(vectors: Vectors | list[Any], kind: pa.DataType | None = None) -> pa.Array:
    rows = [None if row is None else np.asarray(row, np.float16) for row in vectors]
    return pa.array(rows, kind or pa.list_(pa.float16(), len(next(r for r in rows if r is not None))))


def items(vectors: Vectors | list[Any], shapes: list[str] | None = None) -> pa.Table:
    rows = len(vectors)
    return pa.table(
        {
            "sample_id": [f"{i:06d}" for i in range(rows)],
            "shape": shapes or ["pair"] * rows,
            "image_clip_embedding": column(vectors),
        }
    )


def alike(vectors: Any, **config: Any) -> dict[tuple[int, int], float]:
    found = links(Semantic.model_validate(config), items(vectors))
    return {(int(i), int(j)): value for (i, j), value in found.items()}


def truth(vectors: Vectors, threshold: float) -> dict[tuple[int, int], float]:
    rows = vectors.astype(np.float16).astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = rows @ rows.T
    return {
        (i, j): cosines[i, j]
        for i, j in combinations(range(len(rows)), 2)
        if cosines[i, j] >= threshold - 1e-12
    }


def test_all_of_a_small_set_is_compared() -> None:
    vectors = topics(400)
    wanted = truth(vectors, 0.9)
    assert len(wanted) > 50
    assert alike(vectors, threshold=0.9) == {pair: pytest.approx(c, abs=1e-6) for pair, c in wanted.items()}


@pytest.mark.parametrize("threshold", [0.9, 0.95])
def test_clusters_find_nearly_all_and_nothing_else(monkeypatch: pytest.MonkeyPatch, threshold: float) -> None:
    vectors = topics(2000)
    wanted = truth(vectors, threshold)
    monkeypatch.setattr(semantic, "_EACH", 50)  # 40 clusters
    found = alike(vectors, threshold=threshold)
    assert all(found[pair] == pytest.approx(wanted[pair], abs=1e-6) for pair in found)
    assert len(found) > 0.99 * len(wanted)
    # one cluster an item loses the pairs across borders
    assert len(alike(vectors, threshold=threshold, margin=0)) < 0.98 * len(wanted)
    assert alike(vectors, threshold=threshold, margin=1, probes=40).keys() == wanted.keys()


def test_large_clusters_are_cut_again(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = topics(3000)
    wanted = truth(vectors, 0.9)
    compared: list[int] = []
    plain = semantic.alike

    def counted(rows: Any, *rest: Any) -> Any:
        compared.append(len(rows) ** 2 // 2)
        return plain(rows, *rest)

    monkeypatch.setattr(semantic, "alike", counted)
    monkeypatch.setattr(semantic, "_LARGEST", 10_000)
    whole = alike(vectors, threshold=0.9, clusters=1)
    assert whole.keys() == wanted.keys()
    work = sum(compared)
    compared.clear()
    monkeypatch.setattr(semantic, "_LARGEST", 400)
    monkeypatch.setattr(semantic, "_EACH", 100)
    found = alike(vectors, threshold=0.9, clusters=1)
    assert found.items() <= whole.items()
    assert len(found) > 0.99 * len(whole)
    assert sum(compared) < work / 2


# noise that k-means sees, and noise that its whole numbers do not
@pytest.mark.parametrize("noise", [0.3, 1e-4])
def test_a_crowd_is_thinned_and_not_left(monkeypatch: pytest.MonkeyPatch, noise: float) -> None:
    """5,000 pictures that differ by noise: 12 million pairs are alike, and all are near all borders."""
    monkeypatch.setattr(semantic, "_LARGEST", 500)
    monkeypatch.setattr(semantic, "_EACH", 100)
    compared = []
    plain = semantic.alike

    def seen(rows: Any, *rest: Any) -> Any:
        compared.append(len(rows))
        return plain(rows, *rest)

    monkeypatch.setattr(semantic, "alike", seen)
    vectors = 707 / 4000 + noise / 6 * np.random.default_rng(0).normal(size=(5000, WIDTH))
    stage = Semantic(threshold=0.7, clusters=1)
    table = items(vectors)
    found = stage.prepare(table, stage.fit(table, 5000))
    bucket = found.signature.append_column("key", found.keys.flatten()).sort_by("twin")
    linked = pa.concat_tables(stage.link(bucket.select(["key", "embedding"])))
    assert max(compared) <= 500
    assert linked.num_rows < 5000 * 750
    pairs = np.stack([linked["left"].to_numpy(), linked["right"].to_numpy()], axis=1)
    pairs = np.r_[pairs, pairs[:, ::-1]]
    pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
    ends = np.searchsorted(pairs[:, 0], np.arange(5001))
    dead = np.zeros(5000, dtype=bool)
    for row in range(5000):
        if not dead[row]:
            dead[pairs[ends[row] : ends[row + 1], 1]] = True
    assert dead.mean() > 0.98


def test_order_and_cut_of_the_items_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(semantic, "_EACH", 50)
    table = items(topics(1000))
    stage = Semantic(threshold=0.9, sample=300)
    whole = links(stage, table)
    shuffled = table.take(pa.array(np.random.default_rng(1).permutation(1000)))
    assert links(stage, shuffled, cut=170, buckets=7) == whole
    monkeypatch.setattr(semantic, "_ROWS", 33)
    assert links(stage, shuffled, cut=101, buckets=1) == whole


def test_the_same_on_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    from stages.common.cosines import product_by_torch

    monkeypatch.setattr(semantic, "_EACH", 50)
    table = items(topics(1000))
    whole = links(Semantic(threshold=0.9, device="cpu"), table)
    monkeypatch.setattr(semantic, "product_on", lambda device: product_by_torch("cpu"))
    assert links(Semantic(threshold=0.9), table) == whole


def test_items_without_an_embedding_stand_alone() -> None:
    one = topics(1)[0]
    broken = [float("nan"), *one[1:]]
    infinite = [float("inf"), *one[1:]]
    rows = [one, None, one, np.zeros(WIDTH), broken, np.zeros(WIDTH), infinite, infinite]
    assert set(alike(rows)) == {(0, 2)}
    keys = Semantic().prepare(items(rows), Semantic().fit(items(rows), 8)).keys
    assert [len(k) for k in keys.to_pylist()] == [1, 0, 1, 0, 0, 0, 0, 0]
    nothing = items([one]).slice(0, 0)
    stage = Semantic()
    fitted = stage.fit(nothing, 0)
    assert stage.prepare(nothing, fitted).signature.schema == stage.signature()
    # the sample had none, the rest has
    first, second = stage.prepare(items([one, one]), fitted).keys.to_pylist()
    assert first == second != []


def test_length_does_not_count() -> None:
    one, other = topics(2)
    assert set(alike([one, 100 * one, other, 0.01 * other])) == {(0, 1), (2, 3)}


def test_pairs_and_documents_never_meet() -> None:
    one = topics(1)[0]
    shapes = ["pair", "document", "pair", "document"]
    table = items([one] * 4, shapes)
    assert set(links(Semantic(), table)) == {("000000", "000002"), ("000001", "000003")}
    stage = Semantic()
    twins = stage.prepare(table, stage.fit(table, 4)).signature["twin"].to_pylist()
    assert twins[0] == twins[2] != twins[1] == twins[3]
    assert set(links(Semantic(scope="documents"), table)) == {("000001", "000003")}


def joint(images: list[Any], texts: list[Any], shapes: list[str] | None = None) -> pa.Table:
    kind = pa.list_(pa.list_(pa.float16(), 2))
    return pa.table(
        {
            "sample_id": [f"{i:06d}" for i in range(len(images))],
            "shape": shapes or ["pair"] * len(images),
            "image_clip_embedding": column_of_lists(images, kind),
            "text_clip_embedding": column_of_lists(texts, kind),
        }
    )


def column_of_lists(rows: list[Any], kind: pa.DataType) -> pa.Array:
    cells = [[None if v is None else np.asarray(v, np.float16) for v in row] for row in rows]
    return pa.array(cells, kind)


def turned(degrees: float) -> list[float]:
    return [float(np.cos(np.radians(degrees))), float(np.sin(np.radians(degrees)))]


@pytest.mark.parametrize(("weights", "share"), [((), 0.5), ((3.0, 1.0), 0.75), ((0.2, 0.6), 0.25)])
def test_joint_cosine_is_the_mean_of_both(weights: tuple[float, ...], share: float) -> None:
    stage = Semantic(
        embedding=("image_clip_embedding", "text_clip_embedding"), weights=weights, threshold=0.5
    )
    assert stage.level_() == "sample"
    assert stage.writes().names == ["semantic_cluster", "semantic_survivor", "semantic_similarity"]
    table = joint([[turned(0)], [turned(20)]], [[turned(0)], [turned(50)]])
    wanted = share * np.cos(np.radians(20)) + (1 - share) * np.cos(np.radians(50))
    assert links(stage, table) == {("000000", "000001"): pytest.approx(wanted, abs=2e-3)}


def test_joint_of_a_document_is_the_mean_of_its_items() -> None:
    stage = Semantic(embedding=("image_clip_embedding", "text_clip_embedding"), threshold=0.99)
    images = [[turned(0), turned(60)], [turned(30)], [], [turned(30), None], [None], [turned(0), turned(180)]]
    texts = [[turned(5)]] * 6
    table = joint(images, texts, ["document"] * 6)
    assert set(links(stage, table)) == {("000000", "000001"), ("000000", "000003"), ("000001", "000003")}


@pytest.mark.parametrize(("keep", "first"), [("closest", 0), ("farthest", 2)])
def test_survivors_by_distance_to_the_centre(keep: Any, first: int) -> None:
    """Many at 0 degrees pull the centre there; of the alike ones at 3, 8 and 13 the rule picks an end."""
    vectors = [turned(d) for d in (3, 8, 13, *np.linspace(-40, 40, 41))]
    stage = Semantic(keep=keep, prefer=({"column": "dataset"},), threshold=0.9)
    table = items(vectors)
    signature = stage.prepare(table, stage.fit(table, len(vectors))).signature
    ranks = stage.rank()
    assert [r.column for r in ranks] == ["dataset", "centre"], "`prefer` comes first"
    order = (
        signature.slice(0, 3)
        .append_column("row", pa.array([0, 1, 2]))
        .sort_by([(ranks[1].column, ranks[1].order)])
    )
    assert order["row"][0].as_py() == first
    centre = signature["centre"].to_numpy()[:3]
    assert centre == pytest.approx(np.cos(np.radians([3, 8, 13])), abs=5e-3)


def test_number_of_clusters_follows_the_number_of_items() -> None:
    table = items(topics(1000))
    stage = Semantic(sample=1000)
    for total, clusters in ((200, 1), (1000, 4), (20_000, 80), (10**9, 100)):
        # at most one for ten items of the sample
        assert len(stage.fit(table, total)["centroids"]) == clusters
    assert len(Semantic(clusters=7).fit(table, 10**9)["centroids"]) == 7


def test_fit_does_not_see_how_often_something_occurs() -> None:
    vectors = topics(500)
    stage = Semantic()
    once = stage.fit(items(vectors), 5000)["centroids"]
    many = stage.fit(items(np.concatenate([np.repeat(vectors[:1], 3000, axis=0), vectors[::-1]])), 5000)
    assert (many["centroids"] == once).all()


def test_a_known_run_of_another_model_is_refused() -> None:
    stage = Semantic()
    fitted = stage.fit(items(topics(10)), 10)
    with pytest.raises(RunError, match="another model"):
        stage.prepare(items([turned(1)]), fitted)


def test_recipes_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="2 weights for 1"):
        Semantic(weights=(1, 2))
    with pytest.raises(ValueError, match="twice"):
        Semantic(embedding=("image_clip_embedding", "image_clip_embedding"))
    with pytest.raises(ValueError, match="above 0"):
        Semantic(embedding=("image_a_embedding", "text_a_embedding"), weights=(1, 0))
    with pytest.raises(RecipeError, match="image_width is no embedding"):
        Semantic(embedding=("image_width",)).check_columns(pa.schema([("image_width", pa.int32())]))


def test_levels_and_columns() -> None:
    assert Semantic(embedding=("text_clip_embedding",)).level_() == "text"
    assert Semantic(embedding=("image_a_embedding", "image_b_embedding")).level_() == "image"
    assert Semantic(embedding=("page_embedding",)).level_() == "sample"
    assert Semantic(name="semantic").writes().names[0] == "image_semantic_cluster"


def test_tables_of_links_are_bounded() -> None:
    """Two thousand items that are all alike: two million pairs."""
    vectors = np.ones((2000, 8)) + 0.01 * np.random.default_rng(0).normal(size=(2000, 8))
    stage = Semantic(threshold=0.9, clusters=1)
    table = items(vectors)
    found = stage.prepare(table, stage.fit(table, 2000))
    bucket = found.signature.append_column("key", found.keys.flatten()).sort_by("twin")
    sizes = [linked.num_rows for linked in stage.link(bucket.select(["key", "embedding"]))]
    assert sum(sizes) == 2000 * 1999 // 2
    assert max(sizes) <= 1 << 20
