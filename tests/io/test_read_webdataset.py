"""Pairs out of tars: which members are image and text, what the JSON gives, what is wrong with a sample."""

from __future__ import annotations

import json
from pathlib import Path

import pools
import pytest
import webdataset as wds
from tars import PAIR, Files, Row, image_bytes, named, read, row_of, rows_of, tar_bytes

from curate import sample


def test_pair(tmp_path: Path) -> None:
    row = row_of(tmp_path, PAIR)
    assert (row["layout"], row["drop"], row["text_body"]) == ("it", None, ["ein Hünd"])
    assert (row["image_url"], row["licence"], row["meta"]) == (["http://a/b.jpg"], "cc0", '{"width":7}')
    assert row["source"] == "00000.tar#000000001@0"
    assert image_bytes(tmp_path, row) == [b"\xff\xd8pixels"]


def test_shards_of_the_librarys_own_writer(tmp_path: Path) -> None:
    put = {
        f"{i:06d}": (pools.picture(i, form="jpeg"), f"caption {i}, ünïcode", {"url": f"http://a/{i}", "n": i})
        for i in range(7)
    }
    with wds.ShardWriter(str(tmp_path / "%05d.tar"), maxcount=3, verbose=0) as writer:
        for key, (image, text, record) in put.items():
            writer.write({"__key__": key, "jpg": image, "txt": text, "json": record})
    source, found = next(iter(pools.planned(pools.chain(f"{tmp_path}/*.tar"))[1].items()))
    table = pools.raw_rows(found.source, found)
    got = {}
    for row in table.to_pylist():
        assert (row["dataset"], row["layout"], row["drop"]) == (source, "it", None)
        key = row["source"].partition("#")[2].partition("@")[0]
        record = {"url": row["image_url"][0], **json.loads(row["meta"])}
        got[key] = (image_bytes(tmp_path, {**row, "dataset": "ds"})[0], row["text_body"][0], record)
    assert got == put


def test_empty_tar_has_no_rows_and_an_empty_file_is_no_tar(tmp_path: Path) -> None:
    assert rows_of(tmp_path, tar_bytes([])) == []
    assert [r["drop"] for r in rows_of(tmp_path, b"")] == ["read:unreadable_archive"]


@pytest.mark.parametrize(
    ("files", "layout", "drop"),
    [
        (named("a.txt"), "t", "missing_image"),
        (named("a.jpg"), "i", "missing_text"),
        ([("a.json", b"{}")], "", "missing_image"),
        (named("a.jpg a.png a.txt"), "iit", "several_images"),
        (named("a.jpg a.txt a.ocr.txt"), "itt", "several_texts"),
        (named("a.jpg a.JPG a.txt"), "iit", "duplicate_member"),
        ([("a.jpg", b"x"), ("a.json", b'{"caption": 3}')], "i", "missing_text"),
        ([("a.jpg", b"x"), ("a.json", b'{"caption": ')], "i", "bad_json"),
    ],
)
def test_incomplete_samples(tmp_path: Path, files: Files, layout: str, drop: str) -> None:
    row = row_of(tmp_path, files)
    assert (row["layout"], row["drop"]) == (layout, f"read:{drop}")


def test_named_members_win(tmp_path: Path) -> None:
    files = named("a.rgb.png a.far.rgb.png a.txt a.ocr.txt")
    row = row_of(tmp_path, files, image="rgb.png", text="ocr.txt")
    assert (row["drop"], row["text_body"]) == (None, ["a.ocr.txt"])
    assert image_bytes(tmp_path, row) == [b"a.rgb.png"]


def test_caption_from_json(tmp_path: Path) -> None:
    files = [("a.jpg", b"x"), ("a.json", b'{"caption": "from json", "alt": "an alt"}')]
    row = row_of(tmp_path, files)
    assert (row["text_body"], row["image_alt"], row["meta"]) == (["from json"], ["an alt"], None)
    row = row_of(tmp_path, [*files, ("a.txt", b"from txt")])
    assert (row["text_body"], row["meta"]) == (["from txt"], '{"caption":"from json"}')
    assert row_of(tmp_path, [*files, ("a.txt", b"from json")])["meta"] is None  # said once, kept once
    row = row_of(tmp_path, [*files, ("a.txt", b"from txt")], caption="caption")
    assert row["text_body"] == ["from json"]


@pytest.mark.parametrize(
    ("suffix", "body", "drop", "text"),
    [
        ("txt", b"caf\xe9", "read:not_utf8", "caf\ufffd"),
        ("txt", ("ü" * 40).encode(), "read:text_too_large", "ü" * 30),
        ("txt", b"\xef\xbb\xbfbom", None, "bom"),
        ("json", b'{"caption": "\\ud800 x"}', "read:not_utf8", "\ufffd x"),
        ("json", b'{"caption":"%s"}' % (b"\\n" * 20), None, "\n" * 20),
    ],
)
def test_text_troubles(tmp_path: Path, suffix: str, body: bytes, drop: str | None, text: str) -> None:
    row = row_of(tmp_path, [("a.jpg", b"x"), (f"a.{suffix}", body)], max_text_bytes=61)
    assert (row["text_drop"], row["text_body"], row["drop"]) == ([drop], [text], None)


def test_large_json(tmp_path: Path) -> None:
    files = [("a.jpg", b"x"), ("a.json", json.dumps({"caption": "c" * 70}).encode())]
    assert row_of(tmp_path, files, max_text_bytes=61)["drop"] == "read:bad_json"
    assert row_of(tmp_path, files, max_text_bytes=90)["text_body"] == ["c" * 70]


DEEP = [b"[" * 100_000, b'{"a":' * 100_000]


@pytest.mark.parametrize(
    "body", [b"{", b"[1]", b"\xff\xfe", b"1" * 9999, b'{"a": %s}' % (b"9" * 5000), *DEEP]
)
def test_unparsed_json_is_kept_and_kills_nobody(tmp_path: Path, body: bytes) -> None:
    row = row_of(tmp_path, [*named("a.jpg a.txt"), ("a.json", body)])
    assert row["drop"] is None
    meta = json.loads(row["meta"])
    assert meta == {"unparsed": body[:2000].decode("utf-8", "replace")}


def test_meta_is_json_whatever_the_source_has(tmp_path: Path) -> None:
    body = b'{"a": NaN, "b": 1e999, "c": "NaN \\udc00", "d": [-Infinity, 1.5], "opt_out": "ai", "url": 3}'
    row = row_of(tmp_path, [*named("a.jpg a.txt"), ("a.json", body)])
    kept = json.loads(row["meta"], parse_constant=pytest.fail)
    assert kept == {"a": None, "b": None, "c": "NaN \ufffd", "d": [None, 1.5], "opt_out": "ai", "url": 3}
    assert (row["opt_out"], row["image_url"]) == (None, [None])


def test_deep_json_at_the_limit_of_recursion(tmp_path: Path) -> None:
    for depth in range(900, 1000, 7):  # parsed, but too deep to be written again
        body = b'{"a":' + b"[" * depth + b"1e999" + b"]" * depth + b"}"
        row = row_of(tmp_path, [*named("a.jpg a.txt"), ("a.json", body)])
        assert json.loads(row["meta"])


def test_objects(tmp_path: Path) -> None:
    raw = [
        {"label": "cat", "box": [1, 2, 3.5, 4], "attributes": ["grey", 3]},
        {"class": "cup", "bbox": [0, 0, 1, 1], "color": "red", "size": "small"},
        {"label": "no box"},
    ]
    boxes = [[5, 0, 1, 1], [0, 5, 1, 1], [0, 0, "1", 1], [0, 0, 1], {}]
    bad = [7, {"box": [0, 0, 1, 1]}, *({"label": "x", "box": box} for box in boxes)]

    def objects(found: object) -> Row:
        files = [*named("a.jpg a.txt"), ("a.json", json.dumps({"objs": found}).encode())]
        return row_of(tmp_path, files, fields={"objects": "objs"})

    row = objects(raw)
    assert row["image_objects"] == [
        [
            {"label": "cat", "box": [1.0, 2.0, 3.5, 4.0], "attributes": ["grey"]},
            {"label": "cup", "box": [0.0, 0.0, 1.0, 1.0], "attributes": ["red", "small"]},
            {"label": "no box", "box": None, "attributes": []},
        ]
    ]
    assert row["meta"] is None
    row = objects(raw[:1] + bad)
    assert len(row["image_objects"][0]) == 1
    assert json.loads(row["meta"]) == {"objs": raw[:1] + bad}  # what the column cannot hold is not lost


def test_columns_depend_on_the_configuration_only(tmp_path: Path) -> None:
    assert read(tmp_path, tar_bytes(named("a.jpg a.txt"))).schema == read(tmp_path, tar_bytes(PAIR)).schema
    off = {"image_url": (), "image_alt": (), "licence": (), "language": (), "opt_out": (), "objects": "o"}
    few = read(tmp_path, tar_bytes(PAIR), fields=off)
    assert set(few.column_names) - set(sample.BASE.names) == {"image_objects"}
