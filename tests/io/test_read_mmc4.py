"""MMC4's form: each image beside its sentence, with what it is matched by."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pools
import pyarrow as pa
import pytest
from documents import ANY_JSON, Row, drop, fates, lines, node, parquet, read, spans
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.errors import RecipeError
from curate.io.assignment import assign
from curate.io.interleaved_types import MAX_ITEMS
from curate.io.mmc4 import ReadMmc4
from curate.io.storage import LocalStorage

# The similarities of the example in MMC4's README, which places its images at sentences 2 and 1.
MATRIX = [
    [0.24363446235656738, 0.31758785247802734, 0.27694183588027954],
    [0.2233106791973114, 0.3234919607639313, 0.26118797063827515],
]


def image(number: int, text: Any, similarity: Any = None) -> dict[str, Any]:
    return {
        "image_name": f"n{number}.jpg",
        "raw_url": f"http://h.example/{number}.jpg",
        "matched_text_index": text,
        "matched_sim": similarity,
        "face_detections": None,
    }


def record(**changes: Any) -> dict[str, Any]:
    """Three sentences; image 0 belongs to the last, image 1 to the second."""
    return {
        "text_list": ["S0.", "S1.", "S2."],
        "image_info": [image(0, 2, MATRIX[0][2]), image(1, 1, MATRIX[1][1])],
        "similarity_matrix": MATRIX,
        "url": "http://site.example/p.html",
        "could_have_url_duplicate": 0,
        **changes,
    }


def one(folder: Path, config: Any = None, **changes: Any) -> Row:
    lines(folder / "x.jsonl", [record(**changes)])
    (row,) = read(folder, node(ReadMmc4, **{"remote": "keep", **(config or {})}))
    return row


U0, U1 = "http://h.example/0.jpg", "http://h.example/1.jpg"


def test_images_stand_before_their_sentences(tmp_path: Path) -> None:
    row = one(tmp_path)
    assert spans(row) == ["S0.", U1, "S1.", U0, "S2."]
    assert (row["layout"], row["shape"], row["drop"]) == ("titit", "document", None)
    assert fates(row) == [""] * 5
    assert row["image_name"] == ["n1.jpg", "n0.jpg"]
    assert row["image_matched_text"] == [1, 2]
    assert row["image_matched_sim"] == [MATRIX[1][1], MATRIX[0][2]]  # float32 holds them exactly
    assert (row["url"], row["could_have_url_duplicate"]) == ("http://site.example/p.html", 0)
    assert (row["meta"], row["image_meta"], row["image_ref"]) == (None, [None, None], [None, None])


def test_or_after_them(tmp_path: Path) -> None:
    assert spans(one(tmp_path, {"place": "after"})) == ["S0.", "S1.", U1, "S2.", U0]


def test_several_images_of_a_sentence_keep_their_order(tmp_path: Path) -> None:
    info = [image(0, 1), image(1, 1), image(2, 0)]
    row = one(tmp_path, image_info=info, similarity_matrix=None)
    assert spans(row) == ["http://h.example/2.jpg", "S0.", U0, U1, "S1.", "S2."]


def test_the_matrix_may_be_kept(tmp_path: Path) -> None:
    row = one(tmp_path, {"similarities": "keep"})
    assert row["image_similarities"] == [MATRIX[1], MATRIX[0]]
    assert "image_similarities" not in one(tmp_path)


def test_what_no_column_takes_is_kept_beside_the_image_or_the_document(tmp_path: Path) -> None:
    faces = {**image(0, 0), "face_detections": [{"p": 0.5}], "image_base64": "A" * 1000}
    row = one(tmp_path, image_info=[faces], similarity_matrix=None, could_have_url_duplicate="?", lang="en")
    assert json.loads(row["image_meta"][0]) == {"face_detections": [{"p": 0.5}]}
    assert json.loads(row["meta"]) == {"could_have_url_duplicate": "?"}
    assert row["language"] == "en"


def test_parquet(tmp_path: Path) -> None:
    records = [record(), record(text_list=["A.", "B.", "C."])]
    columns = {name: pa.array([r[name] for r in records]) for name in record()}
    parquet(tmp_path / "x.parquet", columns)
    rows = read(tmp_path, node(ReadMmc4, remote="keep"))
    lines(tmp_path / "x.jsonl", records)
    plain = read(tmp_path, node(ReadMmc4, remote="keep"), "x.jsonl")
    for row in (*rows, *plain):
        del row["source"], row["sample_id"]
    assert rows == plain


def test_ids_follow_the_record_and_its_images(tmp_path: Path) -> None:
    (tmp_path / "n0.jpg").write_bytes(b"0")
    lines(tmp_path / "x.jsonl", [record(), record(url="other"), record()])
    lines(tmp_path / "y.jsonl", [record(url="first"), record()])
    config: dict[str, Any] = {"image_root": "."}
    ids = [row["sample_id"] for row in read(tmp_path, node(ReadMmc4, **config))]
    assert ids[0] == ids[2] != ids[1]
    assert read(tmp_path, node(ReadMmc4, **config), "y.*")[1]["sample_id"] == ids[0]
    (tmp_path / "n0.jpg").write_bytes(b"1")
    assert read(tmp_path, node(ReadMmc4, **config))[0]["sample_id"] != ids[0]


# -- broken laws --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "expected", "dead"),
    [
        # the whole
        ({"text_list": "S0."}, [], "wrong_type"),
        ({"image_info": {"a": 1}}, [], "wrong_type"),
        ({"text_list": [], "image_info": [], "similarity_matrix": []}, [], "empty_document"),
        ({"text_list": [""] * (MAX_ITEMS + 1)}, [], "too_many_items"),
        ({"similarity_matrix": MATRIX[:1]}, [""] * 5, "bad_similarity"),
        ({"similarity_matrix": 0.5}, [""] * 5, "bad_similarity"),
        ({"valid_image_ids": [0, 2]}, [""] * 5, "bad_valid_image"),
        ({"valid_image_ids": [0, True]}, [""] * 5, "bad_valid_image"),
        ({"valid_image_ids": "0"}, [""] * 5, "bad_valid_image"),
        # an image, in the end where it has no place
        ({"image_info": [image(0, 3), image(1, 1)]}, ["", "", "", "", "bad_match"], ""),
        ({"image_info": [image(0, -1), image(1, 1)]}, ["", "", "", "", "bad_match"], ""),
        ({"image_info": [image(0, None), image(1, 1)]}, ["", "", "", "", "bad_match"], ""),
        ({"image_info": [image(0, "2"), image(1, 1)]}, ["", "", "", "", "bad_match"], ""),
        ({"image_info": [image(0, True), image(1, 1)]}, ["", "", "", "", "bad_match"], ""),
        ({"image_info": [image(0, 2, "0.3"), image(1, 1)]}, ["", "", "", "bad_match", ""], ""),
        ({"image_info": ["x", image(1, 1)]}, ["", "", "", "", "bad_image"], ""),
        ({"image_info": [{"matched_text_index": 2}, image(1, 1)]}, ["", "", "", "bad_image", ""], ""),
        ({"similarity_matrix": [MATRIX[0][:2], MATRIX[1]]}, ["", "", "", "bad_similarity", ""], ""),
        ({"similarity_matrix": [["a"] * 3, MATRIX[1]]}, ["", "", "", "bad_similarity", ""], ""),
        ({"valid_image_ids": [1]}, ["", "", "", "invalid_image", ""], ""),
        # a text
        ({"text_list": ["S0.", None, "S2."]}, ["", "", "not_a_string", "", ""], ""),
        ({"text_list": ["S0.", "\udc80", "S2."]}, ["", "", "not_utf8", "", ""], ""),
        # nothing
        ({"similarity_matrix": None}, [""] * 5, ""),
        ({"similarity_matrix": json.dumps(MATRIX)}, [""] * 5, ""),
        ({"could_have_url_duplicate": 7, "url": 5}, [""] * 5, ""),
    ],
)
def test_broken_laws(tmp_path: Path, changes: dict[str, Any], expected: list[str], dead: str) -> None:
    row = one(tmp_path, **changes)
    assert (fates(row), drop(row)) == (expected, dead)


def test_no_sentence_loses_its_image_to_a_broken_neighbour(tmp_path: Path) -> None:
    row = one(tmp_path, image_info=[image(0, 99), image(1, 1)])
    assert spans(row) == ["S0.", U1, "S1.", "S2.", U0]
    assert row["image_matched_text"] == [1, None]


def test_zip_is_refused_at_plan_time(tmp_path: Path) -> None:
    (tmp_path / "docs_shard_0.jsonl.zip").write_bytes(b"PK\x03\x04 and so on")
    storage = LocalStorage(tmp_path)
    with pytest.raises(RecipeError, match=r"packed \(zip\)\n.*unpack it"):
        node(ReadMmc4).check(storage, storage.find("*.zip"))


# -- laws ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_the_assignment_is_the_best_there_is(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(30):
        shape = (rng.integers(1, 6), rng.integers(1, 6))
        scores = rng.random(shape) if seed % 2 else rng.integers(-3, 4, shape).astype(float)
        found = assign(scores)
        short = scores if shape[0] <= shape[1] else scores.T
        best = max(
            sum(short[i, c] for i, c in enumerate(order))
            for order in itertools.permutations(range(short.shape[1]), short.shape[0])
        )
        taken = [c for c in found if c >= 0]
        assert len(set(taken)) == len(taken) == min(shape)
        assert sum(scores[i, c] for i, c in enumerate(found) if c >= 0) == pytest.approx(best, abs=1e-9)


def test_the_assignment_of_the_readme() -> None:
    assert assign(np.array(MATRIX)) == [2, 1]  # not each image's best, which for both is 1


_INDEX = st.integers(-2, 6) | st.none()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 5), st.lists(_INDEX, max_size=5)), min_size=1, max_size=5))
def test_every_sentence_and_every_image_is_there_once(
    tmp_path: Path, documents: list[tuple[int, list[int | None]]]
) -> None:
    records = [
        record(
            text_list=[f"S{i}." for i in range(texts)],
            image_info=[image(i, index) for i, index in enumerate(indices)],
            similarity_matrix=None,
        )
        for texts, indices in documents
    ]
    lines(tmp_path / "r.jsonl", records)
    rows = read(tmp_path, node(ReadMmc4, remote="keep"), "r.*")
    for row, (texts, indices) in zip(rows, documents, strict=True):
        assert row["text_body"] == [f"S{i}." for i in range(texts)]
        assert sorted(row["image_name"]) == sorted(f"n{i}.jpg" for i in range(len(indices)))
        order = spans(row)
        for i, index in enumerate(indices):
            at = order.index(f"http://h.example/{i}.jpg")
            good = index is not None and 0 <= index < texts
            assert fates(row)[at] == ("" if good else "bad_match")
            assert not good or next(s for s in order[at:] if s.startswith("S")) == f"S{index}."
    assert read(tmp_path, node(ReadMmc4, remote="keep", part_rows=1), "r.*") == rows


_ODD_IMAGE = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("image_name", "raw_url", "matched_text_index", "matched_sim"), ANY_JSON)
)
_ODD = st.fixed_dictionaries(
    {},
    optional={
        "text_list": ANY_JSON | st.lists(ANY_JSON, max_size=5),
        "image_info": ANY_JSON | st.lists(ANY_JSON | _ODD_IMAGE, max_size=4),
        "similarity_matrix": ANY_JSON | st.lists(st.lists(ANY_JSON, max_size=3), min_size=2, max_size=2),
        "valid_image_ids": ANY_JSON | st.lists(st.integers(-1, 3), max_size=3),
        "could_have_url_duplicate": ANY_JSON,
    },
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_ODD.map(lambda odd: record(**odd)) | _ODD | ANY_JSON, min_size=1, max_size=6))
def test_whatever_a_line_holds_it_is_a_row(tmp_path: Path, records: list[Any]) -> None:
    lines(tmp_path / "o.jsonl", records)
    config: dict[str, Any] = {"remote": "keep", "image_root": "pics", "similarities": "keep"}
    rows = read(tmp_path, node(ReadMmc4, **config), "o.*")
    assert [row["source"] for row in rows] == [f"o.jsonl#{n + 1}" for n in range(len(records))]
    assert read(tmp_path, node(ReadMmc4, **config, part_rows=1), "o.*") == rows


# -- a run --------------------------------------------------------------------------------------------------


def test_a_run_with_local_images_and_a_bound_on_similarity(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "pics").mkdir(parents=True)
    (data / "pics" / "n0.jpg").write_bytes(pools.picture(0))
    (data / "pics" / "n1.jpg").write_bytes(pools.picture(1))
    (data / "pics" / "n2.jpg").write_bytes(b"no image")
    info = [image(2, 0, 0.5), image(0, 1, 0.1), image(1, 1, 0.5), image(3, 2, 0.5)]
    records: list[Any] = [
        record(),
        record(image_info=info, similarity_matrix=None),
        b"{",
        record(text_list=[]),
    ]
    lines(data / "shard_0.jsonl", records)
    read_node = {
        "id": "raw",
        "stage": "read_mmc4",
        "path": str(data),
        "image_root": "pics",
        "similarities": "keep",
    }
    nodes = [
        read_node,
        {"id": "sim", "stage": "keep", "bounds": {"image_matched_sim": {"min": 0.2}}},
        {"id": "probe", "stage": "probe"},
        {"id": "out", "stage": "write_parquet", "form": "documents"},
    ]
    report = pools.run({"name": "mmc4", "nodes": nodes}, tmp_path / "run")
    found = report["outputs"][0]
    assert (found["samples"]["entered"], found["samples"]["written"]) == (4, 2)
    assert (found["images"]["entered"], found["images"]["written"]) == (8, 3)
    written = pools.index(tmp_path / "run", "out").to_pylist()
    whole = next(row for row in written if len(row["images"]) == 2)
    assert whole["texts"] == ["S0.", None, "S1.", None, "S2."]
    assert [i["bytes"] for i in whole["images"]] == [pools.picture(1), pools.picture(0)]
    assert whole["image_matched_text"] == [1, 2]
    assert whole["image_similarities"] == [MATRIX[1], MATRIX[0]]
    dead = pools.ledger(tmp_path / "run")
    assert sorted((row["source"].rpartition("#")[2], row["level"], row["reason"]) for row in dead) == [
        ("2", "image", "corrupt"),
        ("2", "image", "image_matched_sim.below_min"),
        ("2", "image", "missing_image"),
        ("3", "sample", "bad_json"),
        ("4", "image", "bad_match"),
        ("4", "image", "bad_match"),
        ("4", "sample", "no_image_left"),
    ]
    again = pools.run(
        {"name": "mmc4", "nodes": [{**read_node, "part_rows": 1}, *nodes[1:]]}, tmp_path / "two"
    )
    assert again["outputs"][0]["samples"] == found["samples"]
    assert pools.output_bytes(tmp_path / "run") == pools.output_bytes(tmp_path / "two")
