"""OmniCorpus: its streaming form with scores and flags, and MMC4's form as its loader reads it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pools
import pyarrow as pa
import pytest
from documents import ANY_JSON, Row, drop, fates, lines, node, parquet, read, spans
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.io.mmc4 import MAX_ASSIGNED
from curate.io.omnicorpus import ReadOmnicorpus

A, B = "https://cdn.example/a.jpg", "https://cdn.example/b.jpg"


def sha(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()


# As the released Parquet files have it.
IMAGE = pa.struct(
    [
        ("aesthetic_prob", pa.float64()),
        ("bytes", pa.int64()),
        ("d_hash", pa.string()),
        ("height", pa.int64()),
        ("img_url_sha", pa.string()),
        ("unsafe_prob", pa.float64()),
        ("width", pa.int64()),
    ]
)
GENERAL = pa.struct(
    [
        ("domain", pa.list_(pa.string())),
        ("fluency_prob", pa.float64()),
        ("id", pa.string()),
        ("non_advertisement_prob", pa.float64()),
        ("politics_prob", pa.float64()),
        ("porn_prob", pa.float64()),
        ("toxic_prob", pa.float64()),
        ("url", pa.string()),
    ]
)
TEXTS = pa.list_(pa.string())
SCHEMA = {"general_metadata": GENERAL, "images": TEXTS, "texts": TEXTS, "metadata": pa.list_(IMAGE)}


def entry(url: str, **more: Any) -> dict[str, Any]:
    own = {"aesthetic_prob": 0.25, "bytes": 900, "d_hash": "ab", "height": 30, "width": 40}
    return {**own, "img_url_sha": sha(url), "unsafe_prob": 0.125, **more}


def record(**changes: Any) -> dict[str, Any]:
    """One document: image, text, image."""
    general = {
        "domain": None,
        "fluency_prob": 0.9,
        "id": "BkiUd",
        "non_advertisement_prob": 0.8,
        "politics_prob": 0.1,
        "porn_prob": 0.2,
        "toxic_prob": 0.3,
        "url": "https://site.example/p",
    }
    return {
        "images": [A, None, B],
        "texts": [None, "Text.", None],
        "metadata": [entry(A), None, entry(B)],
        "general_metadata": general,
        **changes,
    }


def matched(**changes: Any) -> dict[str, Any]:
    """MMC4's form as OmniCorpus has it: images by URL, and no sentence told."""
    return {
        "text_list": ["S0.", "S1.", "S2."],
        "image_info": [{"image_url": A}, {"image_url": B}],
        "similarity_matrix": [[0.1, 0.9, 0.5], [0.2, 0.8, 0.1]],
        "url": "https://site.example/p",
        **changes,
    }


def one(folder: Path, made: dict[str, Any]) -> Row:
    lines(folder / "x.jsonl", [made])
    (row,) = read(folder, node(ReadOmnicorpus, remote="keep"))
    return row


def test_the_released_parquet(tmp_path: Path) -> None:
    columns = {name: pa.array([record()[name]], kind) for name, kind in SCHEMA.items()}
    parquet(tmp_path / "x.parquet", columns)
    (row,) = read(tmp_path, node(ReadOmnicorpus, remote="keep"))
    assert spans(row) == [A, "Text.", B]
    assert fates(row) == ["", "", ""]
    assert row["image_name"] == [sha(A), sha(B)]
    assert (row["image_declared_width"], row["image_declared_height"]) == ([40, 40], [30, 30])
    assert (row["image_aesthetic_prob"], row["image_unsafe_prob"]) == ([0.25] * 2, [0.125] * 2)
    assert json.loads(row["image_meta"][1]) == {"bytes": 900, "d_hash": "ab"}
    scores = ("fluency_prob", "non_advertisement_prob", "politics_prob", "porn_prob", "toxic_prob")
    assert [row[name] for name in scores] == [0.9, 0.8, 0.1, 0.2, 0.3]
    assert row["url"] == "https://site.example/p"
    assert json.loads(row["meta"]) == {"general_metadata": {"id": "BkiUd"}}


def test_json_lines_with_flags_and_file_names(tmp_path: Path) -> None:
    metadata = json.dumps([{"filename": "f/a.jpg"}, None, {"k": 1}])
    row = one(tmp_path, record(metadata=metadata, valid_image=[True, False], doc_loc="s3://x"))
    assert row["image_name"] == ["f/a.jpg", sha(B)]  # by its URL where nothing else names it
    assert fates(row) == ["", "", "invalid_image"]
    assert (row["drop"], json.loads(row["meta"])["doc_loc"]) == (None, "s3://x")


@pytest.mark.parametrize("part_rows", [1, 2048])
def test_arrays_as_the_loader_reads_them(tmp_path: Path, part_rows: int) -> None:
    records = [matched(), record(), 7, matched(text_list=["S0."])]
    (tmp_path / "x.json").write_text(json.dumps(records, indent=1))
    lines(tmp_path / "x.jsonl", records)
    source = node(ReadOmnicorpus, remote="keep", part_rows=part_rows)
    array, plain = read(tmp_path, source, "x.json"), read(tmp_path, source, "x.jsonl")
    assert [row["source"] for row in array] == [f"x.json#{n}" for n in range(1, 5)]
    for row in (*array, *plain):
        del row["source"], row["sample_id"]
    assert array == plain


def test_images_to_distinct_sentences(tmp_path: Path) -> None:
    row = one(tmp_path, matched())
    # each image's best is sentence 1: the sum is largest with the first one at 2
    assert spans(row) == ["S0.", B, "S1.", A, "S2."]
    assert fates(row) == [""] * 5
    assert row["image_matched_text"] == [1, 2]
    assert row["image_matched_sim"] == pytest.approx([0.8, 0.5])
    assert row["image_name"] == [sha(B), sha(A)]


def test_images_beyond_the_sentences_go_to_their_best(tmp_path: Path) -> None:
    urls = [f"https://cdn.example/{i}.jpg" for i in range(4)]
    matrix = [[0.9, 0.1, 0.1], [0.5, 0.6, 0.1], [0.1, 0.2, 0.3], [0.1, 0.9, 0.2]]
    info = [{"image_url": url} for url in urls]
    row = one(tmp_path, matched(image_info=info, similarity_matrix=matrix))
    assert spans(row) == [urls[0], "S0.", urls[1], urls[3], "S1.", urls[2], "S2."]
    assert fates(row) == [""] * 7


def test_an_image_that_is_not_valid_takes_no_sentence(tmp_path: Path) -> None:
    row = one(tmp_path, matched(valid_image_ids=[0]))
    assert spans(row) == ["S0.", A, "S1.", "S2.", B]
    assert fates(row) == ["", "", "", "", "invalid_image"]


def test_sentences_that_are_told_are_kept(tmp_path: Path) -> None:
    info = [{"image_name": "a.jpg", "matched_text_index": 0}, {"image_url": B}]
    row = one(tmp_path, matched(image_info=info))
    assert spans(row) == ["a.jpg", "S0.", "S1.", "S2.", B]
    assert fates(row) == ["missing_image", "", "", "", "bad_match"]


@pytest.mark.parametrize(
    ("made", "expected", "dead"),
    [
        (record(valid_image=[True]), ["", "", ""], "bad_valid_image"),
        (record(valid_image=[True, None, True]), ["", "", ""], "bad_valid_image"),
        (record(valid_image="yes"), ["", "", ""], "bad_valid_image"),
        (record(valid_image=[1, "0"]), ["", "", ""], "bad_valid_image"),
        (record(metadata=None), ["", "", ""], ""),
        (record(metadata=[entry(A), entry(A), entry(B)]), ["", "bad_metadata", ""], ""),
        (record(metadata=[entry(A), None, {"width": None}]), ["", "", "bad_metadata"], ""),
        (record(general_metadata=[0]), ["", "", ""], "bad_general_metadata"),
        (record(texts=[None, None, None]), ["", "nothing_at_place", ""], ""),
        (matched(image_info=[{"image_url": A}] * 4), [""] * 3 + ["bad_match"] * 4, "bad_similarity"),
        (matched(similarity_matrix=None), ["", "", "", "bad_match", "bad_match"], ""),
        (
            matched(
                image_info=[{"image_url": A}] * (MAX_ASSIGNED + 1),
                similarity_matrix=[[0, 1, 2]] * (MAX_ASSIGNED + 1),
            ),
            ["", "", "", *["bad_match"] * (MAX_ASSIGNED + 1)],
            "too_many_images",
        ),
        ({"text_list": ["a"]}, [], "missing_field"),
    ],
)
def test_broken_laws(tmp_path: Path, made: dict[str, Any], expected: list[str], dead: str) -> None:
    row = one(tmp_path, made)
    assert (fates(row), drop(row)) == (expected, dead)


_ODD = st.fixed_dictionaries(
    {},
    optional={
        "valid_image": ANY_JSON | st.lists(st.booleans(), max_size=3),
        "metadata": ANY_JSON | st.lists(ANY_JSON, min_size=3, max_size=3),
        "general_metadata": ANY_JSON,
        "image_info": st.lists(ANY_JSON, max_size=3),
        "similarity_matrix": ANY_JSON | st.lists(st.lists(st.floats(), max_size=3), max_size=3),
        "valid_image_ids": ANY_JSON,
    },
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(_ODD, st.sampled_from([record, matched])), min_size=1, max_size=6))
def test_whatever_a_line_holds_it_is_a_row(tmp_path: Path, odd: list[Any]) -> None:
    lines(tmp_path / "o.jsonl", [make(**changes) for changes, make in odd])
    rows = read(tmp_path, node(ReadOmnicorpus, remote="keep", image_root="pics"), "o.*")
    assert [row["source"] for row in rows] == [f"o.jsonl#{n + 1}" for n in range(len(odd))]
    again = read(tmp_path, node(ReadOmnicorpus, remote="keep", image_root="pics", part_rows=1), "o.*")
    assert again == rows


def test_a_run_over_both_forms_in_parquet_and_json_lines(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "pics").mkdir(parents=True)
    for i, url in enumerate((A, B)):
        (data / "pics" / sha(url)).write_bytes(pools.picture(i))
    records = [record(), record(metadata=[entry(A, unsafe_prob=0.99), None, entry(B)])]
    columns = {name: pa.array([r[name] for r in records], kind) for name, kind in SCHEMA.items()}
    parquet(data / "a.parquet", columns)
    lines(data / "b.jsonl", [matched(), record(valid_image=[False, False]), matched(text_list=None)])
    nodes = [
        {"id": "raw", "stage": "read_omnicorpus", "path": str(data), "image_root": "pics"},
        {
            "id": "safe",
            "stage": "keep",
            "bounds": {
                "image_unsafe_prob": {"max": 0.5, "missing": "keep"},
                "toxic_prob": {"missing": "keep"},
            },
        },
        {"id": "probe", "stage": "probe"},
        {"id": "out", "stage": "write_parquet", "form": "documents"},
    ]
    report = pools.run({"name": "omni", "nodes": nodes}, tmp_path / "run")
    found = report["outputs"][0]
    assert (found["samples"]["entered"], found["samples"]["written"]) == (5, 3)
    assert (found["images"]["entered"], found["images"]["written"]) == (8, 5)
    written = pools.index(tmp_path / "run", "out").to_pylist()
    orders = sorted([text or "<image>" for text in row["texts"]] for row in written)
    assert orders == [
        ["<image>", "Text.", "<image>"],
        ["S0.", "<image>", "S1.", "<image>", "S2."],
        ["Text.", "<image>"],
    ]
    dead = pools.ledger(tmp_path / "run")
    assert sorted((row["source"], row["level"], row["reason"]) for row in dead) == [
        ("a.parquet#0/1", "image", "image_unsafe_prob.above_max"),
        ("b.jsonl#2", "image", "invalid_image"),
        ("b.jsonl#2", "image", "invalid_image"),
        ("b.jsonl#2", "sample", "no_image_left"),
        ("b.jsonl#3", "sample", "wrong_type"),
    ]
