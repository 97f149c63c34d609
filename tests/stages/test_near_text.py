from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pools
import pyarrow as pa
import pytest
from near_links import links
from pydantic import ValidationError
from real_captions import captions
from scipy.sparse import csr_array

from curate.demo.damage import near_caption
from curate.demo.pool import generate
from curate.demo.samples import Pool, clean
from curate.errors import RecipeError
from curate.graph import survivors, unique
from stages.common.shingles import Sets, shingles
from stages.group.near_text import NearText


def items(texts: list[Any], shape: str = "pair", **columns: list[Any]) -> pa.Table:
    ids = [f"{i:032x}" for i in range(len(texts))]
    shapes = [shape] * len(texts)
    return pa.table({"sample_id": ids, "shape": shapes, "text_body": texts, **columns})


def pairs_of(stage: NearText, table: pa.Table) -> dict[tuple[int, int], float]:
    """Rows that are alike; twins are not collapsed."""
    return {(int(a, 16), int(b, 16)): alike for (a, b), alike in links(stage, table).items()}


def brute(sets: Sets, least: float) -> dict[tuple[int, int], float]:
    """The product of the matrix of texts and shingles with itself."""
    _, column = np.unique(sets.hashes, return_inverse=True)
    matrix = csr_array((np.ones(len(column), np.int32), column, sets.offsets))
    found = {}
    for start in range(0, len(sets.sizes), 2000):
        product = (matrix[start : start + 2000] @ matrix.T).tocoo()
        left, right = product.coords[0] + start, product.coords[1]
        index = product.data / (sets.sizes[left] + sets.sizes[right] - product.data)
        kept = (index >= least) & (left < right)
        found.update(
            zip(zip(left[kept].tolist(), right[kept].tolist(), strict=True), index[kept], strict=True)
        )
    return found


@pytest.mark.real
@pytest.mark.parametrize(("n", "threshold"), [(1, 0.7), (2, 0.7), (3, 0.7), (1, 0.9)])
def test_every_pair_of_real_captions_is_found(n: int, threshold: float) -> None:
    """Of 20,000 captions in seventy languages: none below the threshold is kept, nearly none right at it is
    missed, and none a little above."""
    texts = captions(20_000)
    truth = brute(shingles(pa.array(texts), "words", n), threshold)
    found = pairs_of(NearText(n=n, threshold=threshold, tails="compare"), items(texts))
    assert len(truth) > 60
    assert found.keys() <= truth.keys()
    assert all(abs(found[pair] - truth[pair]) < 1e-6 for pair in found)
    missed = truth.keys() - found.keys()
    assert len(missed) <= 0.003 * len(truth)
    assert not {pair for pair in missed if truth[pair] >= threshold + 0.05}


def test_documents_of_known_likeness() -> None:
    """200 words with runs of some replaced: all at 0.75 and over are found, none below 0.7."""
    rng = np.random.default_rng(0)
    words = np.array([f"word{i}" for i in range(5000)])
    texts = []
    for i in range(1200):
        text = rng.choice(words, 200)
        copy = text.copy()
        start = rng.integers(0, 150)
        copy[start : start + 1 + i % 50] = rng.choice(words, len(copy[start : start + 1 + i % 50]))
        texts += [" ".join(text), " ".join(copy)]
    truth = brute(shingles(pa.array(texts), "words", 5), 0.7)
    found = pairs_of(NearText(level="sample", scope="documents"), items([[t] for t in texts], "document"))
    assert found.keys() <= truth.keys()
    middle = {pair for pair, j in truth.items() if 0.75 <= j <= 0.85}
    assert len(middle) > 200
    assert len(middle - found.keys()) <= 1
    assert len(truth.keys() - found.keys()) <= 2


def test_the_threshold_itself_is_alike() -> None:
    """14 of 25 words: in floating point 0.56 times 25 is a little more than 14."""
    words = [f"w{i}" for i in range(25)]
    table = items([" ".join(words), " ".join(words[:14])])
    for threshold, alike in ((0.56, True), (0.5601, False)):
        stage = NearText(n=1, threshold=threshold, permutations=512)
        assert (pairs_of(stage, table) == {(0, 1): pytest.approx(0.56)}) is alike


@pytest.mark.parametrize(
    ("other", "alike"),
    [
        ("A PICTURE OF A GREEN APPLE AND A DOG", True),
        ("a  picture of a green  apple and a dog.", True),
        ("“A picture of a green apple, and a dog”", True),
        ("A picture of a green apple and a dog | pictures.example", True),
        ("A picture of a green apple and a dog - www.stock-photos.co.uk", True),
        ("A picture of a green apple and a dog (7)", True),
        ("A picture of a green pear and a dog", False),
        ("A picture of a green apple and a dog | two dogs", False),
        ("A picture of a dog and a green apple", False),
        ("pictures.example", False),
    ],
)
def test_captions_are_alike_when_only_their_dress_differs(other: str, alike: bool) -> None:
    assert bool(pairs_of(NearText(), items(["A picture of a green apple and a dog", other]))) is alike


def test_tails_can_count() -> None:
    table = items(["a red rose", "a red rose (3)"])
    assert pairs_of(NearText(), table)
    assert not pairs_of(NearText(tails="compare"), table)


def test_scripts_without_spaces_are_compared_by_letter() -> None:
    chinese = "画面上是一个粉色的箱子和一盏黄色的台灯旁边还有两只猫"
    thai = "ภาพถ่ายของแมวสีส้มตัวหนึ่งกำลังนอนอยู่บนโซฟา"
    for text in (chinese, thai):
        other = f"{text}{text[0]}"
        found = pairs_of(NearText(threshold=0.8), items([text, other, text[::-1]]))
        assert found.keys() == {(0, 1)}


def test_nothing_to_compare_has_no_key() -> None:
    table = items(["", None, "?! 🔥", "rose", "rose"])
    _, keys = NearText().prepare(table, {})
    assert [bool(k) for k in keys.to_pylist()] == [False, False, False, True, True]


def test_pairs_and_documents_never_meet_at_item_level() -> None:
    text = "the quick brown fox jumps over the lazy dog and runs away from it"
    both = items([text, text]).set_column(1, "shape", pa.array(["pair", "document"]))
    assert not pairs_of(NearText(), both)
    whole = both.set_column(2, "text_body", pa.array([[text], [text]]))
    assert pairs_of(NearText(level="sample"), whole), "whole samples are of one kind"
    for scope, kept in (("pairs", [True, False]), ("documents", [False, True])):
        _, keys = NearText.model_validate({"scope": scope}).prepare(both, {})
        assert [bool(k) for k in keys.to_pylist()] == kept


def test_within_compares_only_what_agrees() -> None:
    """Equal captions of images of one cluster; an image without a cluster is alike to none."""
    clusters = [["c1"], ["c1"], ["c2"], [None], [None], []]
    table = items(["red rose"] * 6, image_near_cluster=pa.array(clusters, pa.list_(pa.string())))
    found = pairs_of(NearText(within=("image_near_cluster",)), table)
    assert found.keys() == {(0, 1)}
    table = items(["red rose"] * 4, dataset=["a", "a", "b", "b"], text_language=["en", "de", "de", "de"])
    assert pairs_of(NearText(within=("dataset",)), table).keys() == {(0, 1), (2, 3)}
    assert pairs_of(NearText(within=("dataset", "text_language")), table).keys() == {(2, 3)}


def test_the_texts_of_a_sample_are_one_text() -> None:
    parts = [
        ["one two three four five", "six seven eight"],
        ["one two three four five six seven eight"],
        ["one", None],
    ]
    assert pairs_of(NearText(level="sample"), items(parts)) == {(0, 1): 1}


@pytest.mark.parametrize("level", ["text", "sample"])
def test_engines_find_the_same(level: str) -> None:
    rng = np.random.default_rng(1)
    words = np.array([f"w{i}" for i in range(1500)])
    texts = [" ".join(rng.choice(words, rng.integers(1, 60))) for _ in range(300)]
    texts += [f"{t} {rng.choice(words)}" for t in texts]
    table = items(texts if level == "text" else [[t] for t in texts])
    fast, other = (
        pairs_of(NearText.model_validate({"level": level, "engine": e, "threshold": 0.8}), table)
        for e in ("fast", "datasketch")
    )
    assert fast == other
    assert len(fast) > 150


def test_wrong_configurations(monkeypatch: pytest.MonkeyPatch) -> None:
    for field, value in (("threshold", 1.2), ("n", 0), ("permutations", 16), ("engine", "slow")):
        with pytest.raises(ValidationError):
            NearText.model_validate({field: value})
    with pytest.raises(RecipeError, match="image_face_boxes"):
        NearText(within=("image_face_boxes",)).check_columns(
            pa.schema([("image_face_boxes", pa.list_(pa.struct([("x", pa.int32())])))])
        )
    monkeypatch.setattr("stages.common.minhash.find_spec", lambda name: None)
    with pytest.raises(RecipeError, match="datasketch"):
        NearText(engine="datasketch").check_columns(pa.schema([]))


def test_planted_captions_are_found() -> None:
    """Captions of the demo pool, each with an edit that leaves its meaning alone."""
    clean_ones = [clean(Pool(5, False), i).caption for i in range(1500)]
    edits = [near_caption(text, random.Random(i)) for i, text in enumerate(clean_ones)]
    found = pairs_of(NearText(), items(clean_ones + edits))
    assert len(found.keys() & {(i, i + 1500) for i in range(1500)}) == 1500
    same = shingles(pa.array(clean_ones * 2), "words", 64).digests  # of the whole text
    assert np.mean([same[a] == same[b] for a, b in found]) > 0.99


def test_planted_documents_are_found(tmp_path: Path) -> None:
    """Documents of the demo pool that were altered here and there, and no others."""
    generate(tmp_path, pairs=0, documents=100, seed=5)
    truth = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()]
    place = {r["key"]: i for i, r in enumerate(truth)}
    texts = [[r["title"], *r["headings"], *r["paragraphs"]] for r in truth]
    found = pairs_of(NearText(level="sample"), items(texts, "document"))
    of = {place[r["key"]]: place[r["of"]["key"]] for r in truth if r["of"]}
    planted = {tuple(sorted(p)) for p in of.items() if "near_duplicate_document" in truth[p[0]]["defects"]}
    assert len(planted) >= 4
    assert planted <= found.keys()
    assert {of.get(a, a) == of.get(b, b) for a, b in found} == {True}


def test_a_crowd_of_like_texts_is_thinned() -> None:
    """1,500 captions of one template, far too many pairs: nearly none survives, however they come."""
    words = "a picture of the harbour at night with many boats and lights in the water seen from hill"
    table = items([f"{words} number {i}" for i in range(1500)])
    stage = NearText(threshold=0.7)
    signature, lists = stage.prepare(table, {})
    assert np.unique(lists.flatten(), return_counts=True)[1].max() > 1000, "a crowd under one key"
    found = pairs_of(stage, table)
    assert len(found) < 0.5 * 1500 * 1499 / 2
    left, right = np.array(list(found)).T
    edges = unique(left, right, np.array(list(found.values()), np.float32))
    twins = np.unique(signature["twin"], return_inverse=True)[1]
    elected = survivors(1500, edges, twins, np.zeros(1500, dtype=bool))
    assert 1 <= (elected.leader == np.arange(1500)).sum() <= 30
    order = np.random.default_rng(0).permutation(1500)
    assert pairs_of(stage, table.take(pa.array(order)).combine_chunks()) == found


# -- in a run --


def recipe(path: str, **fields: Any) -> pools.Recipe:
    raw = {"id": "raw", "stage": "read_webdataset", "path": path}
    return {
        "name": "near",
        "nodes": [
            raw,
            {"id": "near", "stage": "near_text", **fields},
            {"id": "out", "stage": "write_webdataset"},
        ],
    }


def told(texts: list[str]) -> list[pools.Pair]:
    return [pools.Pair(f"k{i:05d}", pools.picture(i), text) for i, text in enumerate(texts)]


ROSES = [
    "a red rose in the garden of an old house",
    "A RED ROSE in the garden of an old house!",
    "a red rose in the garden of an old house (2)",
    "two cats asleep on a sofa under the window",
    "a blue rose in the garden of an old house",
]


def test_one_survives_and_says_who_was_like_it(tmp_path: Path) -> None:
    out = tmp_path / "run"
    pools.run(recipe(pools.write_tars(tmp_path / "tars", told(ROSES), 2)), out)
    rows = pools.ledger(out)
    near = [r for r in rows if r["reason"] == "duplicate" and r["level"] == "text"]
    assert len(near) == 2
    assert {r["text_near_similarity"] for r in near} == {1.0}
    survivor = {r["text_near_survivor"] for r in near}
    kept = pools.index(out, "out").to_pylist()
    assert len(kept) == 3
    assert survivor < {r["sample_id"] for r in kept}


def test_what_an_earlier_run_kept_comes_first(tmp_path: Path) -> None:
    old, new = told(ROSES[:1] + ROSES[3:4]), told(ROSES)[1:3]
    pools.run(recipe(pools.write_tars(tmp_path / "old", old, 1)), tmp_path / "first")
    path = pools.write_tars(tmp_path / "new", new, 1)
    pools.run(recipe(path, known=[str(tmp_path / "first")]), tmp_path / "second")
    dead = [r for r in pools.ledger(tmp_path / "second") if r["level"] == "text"]
    assert [r["reason"] for r in dead] == ["duplicate"] * 2
    first = {r["sample_id"] for r in pools.index(tmp_path / "first", "out").to_pylist()}
    assert {r["text_near_survivor"] for r in dead} < first


def test_marks_decide_nothing(tmp_path: Path) -> None:
    out = tmp_path / "run"
    path = pools.write_tars(tmp_path / "tars", told(ROSES), 1)
    pools.run(recipe(path, action="mark", threshold=0.5, name="loose"), out)
    rows = pools.index(out, "out").sort_by("key").to_pylist()
    marks = [r["text_loose_duplicate"] for r in rows]
    assert sorted(marks[:3] + marks[4:], key=str) == [False, True, True, True]
    assert marks[3] is None
    like = {r["text_loose_similarity"] for r in rows}
    assert {j for j in like if j} <= {1.0, np.float32(7 / 11)}  # 9 bigrams, of which the colour is in two


def test_paragraphs_of_documents_are_capped(tmp_path: Path) -> None:
    """The same words, a little different on each page, in more than `max_documents` of them."""
    pages = tmp_path / "pages"
    pools.write_pages(pages, 6, images=1)
    raw = {"id": "raw", "stage": "read_html", "path": f"{pages}/*.html"}
    near = {"id": "near", "stage": "near_text", "threshold": 0.6, "max_documents": 5}
    out = tmp_path / "run"
    pools.run({"name": "near", "nodes": [raw, near, {"id": "out", "stage": "write_parquet"}]}, out)
    reasons = [r["reason"] for r in pools.ledger(out) if r["level"] == "text"]
    assert set(reasons) == {"boilerplate"}
    assert len(reasons) >= 12
