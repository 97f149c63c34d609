"""OBELICS' form: what was put in comes out in order, and whatever breaks its laws is told where it broke."""

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
from obelics_records import GENERAL, META, A, B, columns, record

from curate.io.interleaved_types import MAX_ITEMS
from curate.io.obelics import ReadObelics


def one(folder: Path, **changes: Any) -> Row:
    """The row of one record with these fields changed, read with `remote: keep`."""
    lines(folder / "x.jsonl", [record(**changes)])
    (row,) = read(folder, node(ReadObelics, remote="keep"))
    return row


def test_a_document_comes_out_as_it_was_put_in(tmp_path: Path) -> None:
    parquet(tmp_path / "x.parquet", columns([record()]))
    (row,) = read(tmp_path, node(ReadObelics, remote="keep", language="en", licence="cc-by-4.0"))
    assert spans(row) == ["One.", A, "Two.", B]
    assert (row["layout"], row["shape"], row["drop"]) == ("titi", "document", None)
    assert fates(row) == ["", "", "", ""]
    assert row["image_ref"] == [None, None]
    assert row["image_alt"] == ["An alt", None]
    assert row["image_declared_width"] == [640, 10]
    assert row["image_declared_height"] == [480, None]
    assert row["image_name"] == ["a b", "b"]
    assert json.loads(row["image_meta"][0]) == {
        "document_url": "https://site.example/p",
        "unformatted_src": "/a b.jpg",
        "rendered_width": 320,
    }
    assert (row["url"], row["language"], row["licence"]) == ("https://site.example/p", "en", "cc-by-4.0")
    left = {"warc_filename": "w.gz", "warc_record_offset": 7}
    assert json.loads(row["meta"]) == {"general_metadata": left}
    assert row["source"] == "x.parquet#0/0"


def test_what_becomes_of_remote_images(tmp_path: Path) -> None:
    lines(tmp_path / "x.jsonl", [record()])
    (dropped,) = read(tmp_path, node(ReadObelics, settle="text_only"))
    assert fates(dropped) == ["", "remote_image", "", "remote_image"]
    assert dropped["image_url"] == [A, B]
    assert dropped["shape"] == "document:text_only"


def test_local_files_of_image_root(tmp_path: Path) -> None:
    (tmp_path / "pics" / "x").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(b"s")
    (tmp_path / "pics" / "a b").write_bytes(b"A")
    (tmp_path / "pics" / "x" / "b #1.png").write_bytes(b"B")

    def found(names: list[str | None], **config: Any) -> list[tuple[str | None, str]]:
        entries = [
            None,
            {"formatted_filename": names[0], "k": 0},
            None,
            {"formatted_filename": names[1], "k": 0},
        ]
        lines(tmp_path / "x.jsonl", [record(metadata=entries)])
        (row,) = read(tmp_path, node(ReadObelics, image_root="pics", **config))
        reasons = [(reason or "").removeprefix("read:") for reason in row["image_drop"]]
        return list(zip(row["image_ref"], reasons, strict=True))

    there = [("pics/a b", ""), ("pics/x/b %231.png", "")]
    assert found(["a b", "x/b #1.png"]) == found(["a b", "./x/b #1.png"], remote="keep") == there
    assert found(["../pics/a b", "../../secret"])[1:] == [(None, "outside_root")]
    assert found(["a b", "gone"]) == [there[0], ("pics/gone", "missing_image")]
    assert found(["a b", None]) == [there[0], (None, "remote_image")]
    # what is not there may be fetched, but nothing is looked for outside
    assert (
        found(["a b", "gone"], remote="keep") == found(["a b", None], remote="keep") == [there[0], (None, "")]
    )
    assert found(["a b", "../../secret"], remote="keep")[1] == (None, "outside_root")


def test_which_field_names_the_file(tmp_path: Path) -> None:
    url = hashlib.sha256(A.encode()).hexdigest()
    entries = [None, {"formatted_filename": "a", "k": 1}, None, {"formatted_filename": "b", "k": "kb"}]
    lines(tmp_path / "x.jsonl", [record(metadata=entries)])
    for names, expected in (
        ("formatted_filename", ["a", "b"]),
        (["k", "formatted_filename"], ["a", "kb"]),
        ("k", [None, "kb"]),
        (["k", "url_sha256"], [url, "kb"]),
    ):
        (row,) = read(tmp_path, node(ReadObelics, file_name=names))
        assert row["image_name"] == expected


def test_images_that_are_paths(tmp_path: Path) -> None:
    (tmp_path / "pics").mkdir()
    (tmp_path / "pics" / "a.png").write_bytes(b"A")
    for images, config in (
        (["pics/a.png", "no.png"], {}),
        (["a.png", "../no.png"], {"image_root": "pics", "file_name": ["k", "url_sha256"]}),
    ):
        made = record(images=[None, images[0], None, images[1]], metadata=None)
        lines(tmp_path / "x.jsonl", [made])
        (row,) = read(tmp_path, node(ReadObelics, **config))
        assert row["image_ref"] == ["pics/a.png", "no.png"]
        assert fates(row) == ["", "", "", "missing_image"]
        assert (row["image_url"], row["image_name"]) == ([None, None], images)


# -- broken laws --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "expected", "dead"),
    [
        # the whole
        ({"texts": ["One.", None]}, ["", "", "nothing_at_place", ""], "lengths_differ"),
        ({"images": [None, A]}, ["", "", "", "nothing_at_place"], "lengths_differ"),
        (
            {"images": [], "metadata": "[]"},
            ["", "nothing_at_place", "", "nothing_at_place"],
            "lengths_differ",
        ),
        ({"images": "words"}, [], "wrong_type"),
        ({"texts": {"a": 1}}, [], "wrong_type"),
        ({"images": [], "texts": [], "metadata": "[]"}, [], "empty_document"),
        ({"images": ["x"] * MAX_ITEMS, "texts": [None] * MAX_ITEMS}, [], "too_many_items"),
        ({"metadata": "[{]"}, ["", "", "", ""], "bad_metadata"),
        ({"metadata": json.dumps(META[:3])}, ["", "", "", ""], "bad_metadata"),
        ({"metadata": 7}, ["", "", "", ""], "bad_metadata"),
        ({"general_metadata": "[1]"}, ["", "", "", ""], "bad_general_metadata"),
        ({"general_metadata": "{"}, ["", "", "", ""], "bad_general_metadata"),
        # one place
        ({"texts": ["One.", "Both.", "Two.", None]}, ["", *["two_at_one_place"] * 2, "", ""], ""),
        ({"texts": ["One.", None, None, None]}, ["", "", "nothing_at_place", ""], ""),
        # an image
        ({"images": [None, 5, None, B]}, ["", "bad_image", "", ""], ""),
        ({"images": [None, "", None, B]}, ["", "bad_image", "", ""], ""),
        ({"images": [None, "data:image/png;base64,AAAA", None, B]}, ["", "bad_image", "", ""], ""),
        ({"images": [None, "h" * 9000, None, B]}, ["", "bad_image", "", ""], ""),
        ({"metadata": [None, None, None, META[3]]}, ["", "bad_metadata", "", ""], ""),
        ({"metadata": [None, 3, None, META[3]]}, ["", "bad_metadata", "", ""], ""),
        # a text
        ({"metadata": [{"src": "x"}, META[1], None, META[3]]}, ["bad_metadata", "", "", ""], ""),
        ({"texts": ["One.", None, ["Two."], None]}, ["", "", "not_a_string", ""], ""),
        ({"texts": ["One.", None, "Two\ud800", None]}, ["", "", "not_utf8", ""], ""),
        # nothing
        ({"metadata": None, "general_metadata": None}, ["", "", "", ""], ""),
        ({"metadata": META, "general_metadata": GENERAL}, ["", "", "", ""], ""),
    ],
)
def test_broken_laws(tmp_path: Path, changes: dict[str, Any], expected: list[str], dead: str) -> None:
    row = one(tmp_path, **changes)
    assert (fates(row), drop(row)) == (expected, dead)


def test_odd_values_of_metadata_cost_no_image(tmp_path: Path) -> None:
    entry = {
        "alt_text": ["x"],
        "original_width": -1,
        "original_height": 1e300,
        "src": None,
        "k": float("nan"),
    }
    row = one(tmp_path, metadata=[None, entry, None, entry])
    assert fates(row) == [""] * 4
    assert (row["image_alt"], row["image_declared_width"]) == ([None, None], [None, None])
    said = {"alt_text": ["x"], "original_width": -1, "original_height": 1e300}
    assert json.loads(row["image_meta"][0]) == said  # null and NaN say nothing


def test_texts_beyond_the_limit_are_cut_and_dropped(tmp_path: Path) -> None:
    lines(tmp_path / "x.jsonl", [record(texts=["üü", None, "üüü", None])])
    (row,) = read(tmp_path, node(ReadObelics, remote="keep", max_text_bytes=5))
    assert (row["text_body"], fates(row)) == (["üü", "üü"], ["", "", "text_too_large", ""])


# -- laws ---------------------------------------------------------------------------------------------------

_PLACE = st.one_of(
    st.text(st.characters(exclude_categories=("Cs",)), max_size=20).map(lambda text: (None, text)),
    st.integers(0, 99).map(lambda n: (f"https://h.example/{n}.png", None)),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(_PLACE, min_size=1, max_size=9), min_size=1, max_size=6), st.booleans())
def test_any_document_comes_back(
    tmp_path: Path, documents: list[list[tuple[str | None, str | None]]], packed: bool
) -> None:
    records = [{"images": [i for i, _ in d], "texts": [t for _, t in d]} for d in documents]
    if packed:
        kind = pa.list_(pa.string())
        stored = {name: pa.array([r[name] for r in records], kind) for name in ("images", "texts")}
        parquet(tmp_path / "r.parquet", stored, row_group_size=2)
    else:
        lines(tmp_path / "r.jsonl", records)
    name = "r.parquet" if packed else "r.jsonl"
    rows = read(tmp_path, node(ReadObelics, remote="keep"), name)
    assert [spans(row) for row in rows] == [[t if i is None else i for i, t in d] for d in documents]
    assert all(fates(row) == [""] * len(row["layout"]) for row in rows)
    assert read(tmp_path, node(ReadObelics, remote="keep", part_rows=1), name) == rows


_ODD = st.fixed_dictionaries(
    {},
    optional={
        "images": ANY_JSON | st.lists(ANY_JSON, max_size=5),
        "texts": ANY_JSON | st.lists(ANY_JSON, max_size=5),
        "metadata": ANY_JSON | st.lists(ANY_JSON, max_size=5) | ANY_JSON.map(json.dumps),
        "general_metadata": ANY_JSON | ANY_JSON.map(json.dumps),
        "license": ANY_JSON,
    },
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_ODD.map(lambda odd: record(**odd)) | _ODD | ANY_JSON, min_size=1, max_size=6))
def test_whatever_a_line_holds_it_is_a_row(tmp_path: Path, records: list[Any]) -> None:
    lines(tmp_path / "o.jsonl", records)
    rows = read(tmp_path, node(ReadObelics, remote="keep", image_root="pics"), "o.jsonl")
    assert [row["source"] for row in rows] == [f"o.jsonl#{n + 1}" for n in range(len(records))]
    assert read(tmp_path, node(ReadObelics, remote="keep", image_root="pics", part_rows=1), "o.jsonl") == rows


# -- a run --------------------------------------------------------------------------------------------------


def test_a_run_with_local_images(tmp_path: Path) -> None:
    (tmp_path / "data" / "pics").mkdir(parents=True)
    for i in range(6):
        (tmp_path / "data" / "pics" / f"p{i}.png").write_bytes(pools.picture(i))
    entry = [None, {"formatted_filename": "p0.png"}, None, {"formatted_filename": "p1.png"}]
    broken = [None, {"formatted_filename": "p2.png"}, None, {"formatted_filename": "gone.png"}]
    records: list[Any] = [
        record(metadata=json.dumps(entry)),
        record(metadata=json.dumps(broken)),
        record(texts=["One."], metadata=None),
        record(metadata=json.dumps([None, {"formatted_filename": "no"}, None, {"formatted_filename": "no"}])),
        record(metadata="["),
    ]
    parquet(tmp_path / "data" / "a.parquet", columns(records))
    nodes = [
        {
            "id": "raw",
            "stage": "read_obelics",
            "path": str(tmp_path / "data"),
            "image_root": "pics",
            "licence": "cc-by-4.0",
        },
        {"id": "probe", "stage": "probe"},
        {"id": "out", "stage": "write_parquet", "form": "documents"},
    ]
    report = pools.run({"name": "obelics", "nodes": nodes}, tmp_path / "run")
    found = report["outputs"][0]
    assert (found["samples"]["entered"], found["samples"]["written"]) == (5, 2)
    assert (found["images"]["entered"], found["images"]["written"]) == (10, 3)
    written = pools.index(tmp_path / "run", "out").to_pylist()
    whole = next(row for row in written if len(row["images"]) == 2)
    assert [i["bytes"] for i in whole["images"]] == [pools.picture(0), pools.picture(1)]
    assert whole["texts"] == ["One.", None, "Two.", None]
    assert (whole["licence"], whole["image_url"]) == ("cc-by-4.0", [A, B])
    (thinned,) = (row for row in written if row["sample_id"] != whole["sample_id"])
    assert thinned["dropped_images"] == [{"index": 1, "reason": "raw:missing_image"}]
    dead = pools.ledger(tmp_path / "run")
    assert sorted((row["source"].rpartition("#")[2], row["level"], row["reason"]) for row in dead) == [
        ("0/1", "image", "missing_image"),
        ("0/2", "image", "remote_image"),
        ("0/2", "image", "remote_image"),
        ("0/2", "sample", "lengths_differ"),
        ("0/2", "text", "nothing_at_place"),
        ("0/3", "image", "missing_image"),
        ("0/3", "image", "missing_image"),
        ("0/3", "sample", "no_image_left"),
        ("0/4", "image", "remote_image"),
        ("0/4", "image", "remote_image"),
        ("0/4", "sample", "bad_metadata"),
    ]
