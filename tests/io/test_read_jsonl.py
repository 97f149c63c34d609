"""Pairs out of JSON Lines: rows arrive as they were, what is wrong has a reason, cuts do not matter."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pools
import pytest
from documents import ANY_JSON, Row, drop, fates, lines, node, read
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.errors import RecipeError
from curate.io.jsonl import ReadJsonl
from curate.io.payload import Payload
from curate.io.storage import LocalStorage

PNG = pools.picture(1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pics").mkdir()
    for i in range(3):
        (tmp_path / "pics" / f"{i}.png").write_bytes(pools.picture(i))
    return tmp_path


def rows(folder: Path, records: list[Any], file: str = "x.jsonl", **config: Any) -> list[Row]:
    lines(folder / file, records)
    return read(folder, node(ReadJsonl, **config), file)


def one(folder: Path, record: Any, **config: Any) -> Row:
    (row,) = rows(folder, [record], **config)
    return row


def pair(**changes: Any) -> dict[str, Any]:
    return {"image": "pics/1.png", "text": "A dog.", **changes}


# -- what a row says ----------------------------------------------------------------------------------------


def test_a_pair_and_all_that_its_row_says(folder: Path) -> None:
    row = one(folder, pair(license="cc0", url="https://h.example/1", lang="en", id=7, extra={"a": [1]}))
    assert (row["layout"], row["shape"], row["drop"], fates(row)) == ("it", "pair", None, ["", ""])
    assert row["text_body"] == ["A dog."]
    assert row["source"] == "x.jsonl#1"
    assert (row["licence"], row["language"], row["image_url"]) == ("cc0", "en", ["https://h.example/1"])
    assert json.loads(row["meta"]) == {"id": 7, "extra": {"a": [1]}}
    assert Payload({"ds": LocalStorage(folder)}).fetch(["ds"], row["image_ref"]) == [PNG]


def test_names_and_root_of_the_recipe(folder: Path) -> None:
    row = one(folder, {"file": "1.png", "said": "x"}, image="file", text="said", image_root="pics")
    assert (row["image_ref"], row["text_body"], row["meta"]) == (["pics/1.png"], ["x"], None)


@pytest.mark.parametrize(
    "image",
    [["pics/1.png"], {"path": "pics/1.png"}, {"bytes": None, "path": "pics/1.png"}, [None, "pics/1.png"]],
)
def test_other_spellings_of_one_image(folder: Path, image: Any) -> None:
    row = one(folder, pair(image=image, text=["A dog."]))
    assert (row["image_ref"], row["text_body"], row["drop"]) == (["pics/1.png"], ["A dog."], None)
    assert row["sample_id"] == one(folder, pair())["sample_id"]


def test_lines_count_as_editors_count_them(folder: Path) -> None:
    found = rows(folder, [pair(), b"", b"  ", pair(text="b"), b"\r", pair(text="c")])
    assert [row["source"] for row in found] == ["x.jsonl#1", "x.jsonl#4", "x.jsonl#6"]


def test_gzip_and_arrays_hold_the_same_rows(folder: Path) -> None:
    records = [pair(text=f"text {i}", n=i) for i in range(5)]
    plain = rows(folder, records)
    (folder / "x.jsonl.gz").write_bytes(gzip.compress((folder / "x.jsonl").read_bytes()))
    (folder / "x.json").write_text(json.dumps(records, indent=1))
    for name in ("x.jsonl.gz", "x.json"):
        other = read(folder, node(ReadJsonl), name)
        assert [row.pop("source") for row in other] == [f"{name}#{i + 1}" for i in range(5)]
        assert other == [{k: v for k, v in row.items() if k != "source"} for row in plain]


def test_a_folder_stands_for_its_files_of_json(folder: Path, tmp_path: Path) -> None:
    for name in ("a.jsonl", "deep/b.ndjson", "c.json", "pics/d.txt"):
        lines(folder / name, [pair()])
    recipe = {
        "name": "r",
        "nodes": [{"id": "raw", "stage": "read_jsonl", "path": str(folder)}, {"stage": "write_webdataset"}],
    }
    _, found = pools.planned(recipe, ())
    assert [file.path for file in found["raw"].files] == ["a.jsonl", "c.json", "deep/b.ndjson"]


# -- ids ----------------------------------------------------------------------------------------------------


def test_an_id_is_of_the_content_and_not_of_the_place(folder: Path) -> None:
    first = rows(folder, [pair(), pair(text="b"), pair(licence="by"), pair(image="pics/2.png")])
    ids = [row["sample_id"] for row in first]
    assert len(set(ids)) == 4
    again = rows(folder, [b"junk", pair(image="pics/2.png"), pair()], "y.jsonl")
    assert [row["sample_id"] for row in again[1:]] == [ids[3], ids[0]]
    (folder / "pics" / "copy.png").write_bytes(PNG)
    assert one(folder, pair(image="pics/copy.png"))["sample_id"] == ids[0]
    (folder / "pics" / "1.png").write_bytes(pools.picture(9))
    assert one(folder, pair())["sample_id"] != ids[0]


def test_a_key_tells_equal_rows_apart(folder: Path) -> None:
    a, b, c = rows(folder, [pair(n=1), pair(n=2), pair(n=1)], key="n")
    assert a["sample_id"] == c["sample_id"] != b["sample_id"]


@given(
    st.lists(
        st.fixed_dictionaries({}, optional=dict.fromkeys(("image", "text", "url", "z"), ANY_JSON)) | ANY_JSON
    )
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_json_is_a_row_each_however_it_is_cut(folder: Path, records: list[Any]) -> None:
    lines(folder / "x.jsonl", records)
    whole = read(folder, node(ReadJsonl, remote="keep"))
    assert len(whole) == len(records)
    assert read(folder, node(ReadJsonl, remote="keep", part_rows=1)) == whole


# -- what is wrong with a row -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"no json", "bad_json"),
        (b'{"image": "a", "text": "\xff"}', "bad_json"),
        (b"[" * 100_000, "bad_json"),
        (b"[1, 2]", "not_an_object"),
        (b"null", "not_an_object"),
        (b'{"text": "' + b"x" * 3000 + b'"}', "line_too_large"),
    ],
)
def test_rows_that_are_no_records(folder: Path, line: bytes, reason: str) -> None:
    found = rows(folder, [pair(), line, pair(text="b")], max_line_bytes=2000 if b"xxx" in line else 200_000)
    assert [drop(row) for row in found] == ["", reason, ""]
    assert found[1]["layout"] == ""


@pytest.mark.parametrize(
    ("changes", "layout", "reason"),
    [
        ({"image": None}, "t", "missing_image"),
        ({"image": []}, "t", "missing_image"),
        ({"text": None}, "i", "missing_text"),
        ({"image": None, "text": None}, "", "missing_image"),
        ({"image": ["pics/1.png", "pics/2.png"]}, "iit", "several_images"),
        ({"text": ["a", "b", "c"]}, "ittt", "several_texts"),
        ({"image": ["pics/1.png"] * 2000}, "", "several_images"),
        ({"text": ["x"] * 2000}, "", "several_texts"),
    ],
)
def test_rows_that_are_no_pairs(folder: Path, changes: dict[str, Any], layout: str, reason: str) -> None:
    row = one(folder, pair(**changes))
    assert (row["layout"], drop(row)) == (layout, reason)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ("pics/none.png", "missing_image"),
        ("pics", "missing_image"),
        ("pics/\ud800.png", "missing_image"),
        ("../x.png", "outside_root"),
        ("/etc/hostname", "outside_root"),
        ("pics/../../x.png", "outside_root"),
        ("pics/\0.png", "outside_root"),
        ("https://h.example/a.png", "remote_image"),
        ("//h.example/a.png", "remote_image"),
        ("file:///etc/hostname", "remote_image"),
        ("data:image/png;base64,iVBORw0KGgo=", "inline_image"),
        ({"bytes": "iVBORw0KGgo=", "path": "pics/1.png"}, "inline_image"),
        ("A" * 100_000, "bad_image"),
        ("", "bad_image"),
        (5, "bad_image"),
        ({"path": 5}, "bad_image"),
        (["pics/1.png", ["pics/1.png"]], "bad_image"),
    ],
)
def test_images_that_cannot_be_had(folder: Path, image: Any, reason: str) -> None:
    row = one(folder, pair(image=image))
    assert fates(row)[-2:] == [reason, ""]
    assert reason == "missing_image" or row["image_ref"][-1] is None


@pytest.mark.parametrize(
    ("text", "body", "reason"),
    [
        (7, '{"value":7}', "not_a_string"),
        ({"en": "a"}, '{"value":{"en":"a"}}', "not_a_string"),
        ("lone \ud800", "lone \ufffd", "not_utf8"),
        ("ä" * 20, "ä" * 15, "text_too_large"),
        ("", "", ""),  # for `text_stats` and `keep` to judge
    ],
)
def test_texts_that_cannot_be_used(folder: Path, text: Any, body: str, reason: str) -> None:
    row = one(folder, pair(text=text), max_text_bytes=31)
    assert (row["text_body"], fates(row)) == ([body], ["", reason])


def test_urls_may_wait_for_a_fetch(folder: Path) -> None:
    first, second = rows(
        folder, [pair(image="https://h.example/a.png", url="https://h.example/page"), pair()], remote="keep"
    )
    assert (first["image_url"], first["image_ref"], fates(first)) == (
        ["https://h.example/a.png"],
        [None],
        ["", ""],
    )
    assert (second["image_ref"], second["image_url"]) == (["pics/1.png"], [None])


def test_numbers_that_json_does_not_have_are_nulls(folder: Path) -> None:
    row = one(folder, b'{"image": "pics/1.png", "text": "a", "score": NaN}')
    assert (row["drop"], json.loads(row["meta"])) == (None, {"score": None})


def test_a_cut_gzip_ends_with_a_reason(folder: Path) -> None:
    lines(folder / "x.jsonl", [pair(text=f"{i} {pools.picture(i).hex()}") for i in range(40)])
    packed = gzip.compress((folder / "x.jsonl").read_bytes())
    (folder / "x.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    found = read(folder, node(ReadJsonl), "x.jsonl.gz")
    assert [drop(row) for row in found[-2:]] == ["", "unreadable_file"]
    assert 5 < len(found) < 35
    (folder / "y.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    other = read(folder, node(ReadJsonl), "y.jsonl.gz")
    assert found[0]["sample_id"] == other[0]["sample_id"]
    assert found[-1]["sample_id"] != other[-1]["sample_id"]  # two places of which nothing is known


# -- recipes that cannot fit --------------------------------------------------------------------------------


def refused(folder: Path, **config: Any) -> str:
    storage = LocalStorage(folder)
    with pytest.raises(RecipeError) as error:
        node(ReadJsonl, **config).check(storage, storage.find("x.*"))
    return str(error.value)


def test_a_field_that_no_row_has_is_refused_with_the_nearest(folder: Path) -> None:
    lines(folder / "x.jsonl", [b"junk", {"imag": "a", "caption": "b"}])
    assert (
        refused(folder) == "read.image: no field `image` in the first rows of x.jsonl\n  did you mean `imag`?"
    )
    assert "valid: caption, imag" in refused(folder, image="imag")
    assert "read.key: no field `ke`" in refused(folder, image="imag", text="caption", key="ke")


def test_a_folder_where_no_image_is_is_refused(folder: Path) -> None:
    lines(folder / "x.jsonl", [pair(image=f"{i}.png") for i in range(30)])
    assert "looked for wrong/0.png below the source" in refused(folder, image_root="wrong")
    lines(folder / "x.jsonl", [pair(image=f"{i}.png") for i in range(29)] + [pair()])
    node(ReadJsonl).check(LocalStorage(folder), LocalStorage(folder).find("x.*"))  # one is there


def test_an_array_needs_its_name(folder: Path) -> None:
    (folder / "x.jsonl").write_text(json.dumps([pair()]))
    assert "is a JSON array\n  it is read as such where its name ends in .json" in refused(folder)


def test_other_packings_are_refused(folder: Path) -> None:
    (folder / "x.jsonl").write_bytes(b"\x28\xb5\x2f\xfd packed")
    assert "packed (zstd)" in refused(folder)


# -- in a run -----------------------------------------------------------------------------------------------


def test_a_run_accounts_for_every_row(folder: Path, tmp_path: Path) -> None:
    records = [
        *(pair(image=f"pics/{i}.png", text=f"number {i}", licence="cc0") for i in range(3)),
        b"junk",
        pair(image="gone.png"),
        pair(image=["pics/0.png", "pics/1.png"]),
        pair(text=None),
    ]
    lines(folder / "set" / "x.jsonl", records)
    recipe = {
        "name": "r",
        "nodes": [
            {
                "id": "raw",
                "stage": "read_jsonl",
                "path": [str(folder / "set/x.jsonl"), str(folder / "*.jsonl")],
            },
            {"stage": "probe"},
            {"id": "out", "stage": "write_webdataset"},
        ],
    }
    lines(folder / "y.jsonl", [pair(text="beside")])
    report = pools.run(recipe, tmp_path / "run")
    samples = report["outputs"][0]["samples"]
    assert (samples["entered"], samples["written"], samples["dropped"]) == (8, 4, 4)
    assert sorted(pools.dead(tmp_path / "run", "out").values()) == [
        "raw:bad_json",
        "raw:missing_image",
        "raw:missing_text",
        "raw:several_images",
    ]
    assert sum(row["level"] == "image" for row in pools.ledger(tmp_path / "run", "out")) == 4
    index = pools.index(tmp_path / "run", "out")
    assert sorted(index["licence"].to_pylist(), key=str) == [None, "cc0", "cc0", "cc0"]
