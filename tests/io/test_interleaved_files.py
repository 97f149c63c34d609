"""Files of interleaved documents: Parquet of any types, JSON Lines, and what is neither or damaged."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from documents import drop, fates, lines, node, parquet, read, spans
from obelics_records import A, B, columns, record

from curate.errors import RecipeError
from curate.io.obelics import ReadObelics
from curate.io.storage import LocalStorage


@pytest.mark.parametrize("text", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
@pytest.mark.parametrize("listed", [pa.list_, pa.large_list])
def test_every_type_of_list(tmp_path: Path, text: pa.DataType, listed: Any) -> None:
    kind = listed(text)
    raw = columns([record(), record(texts=None), record(texts=["ü", None, "", None])])
    for name in ("images", "texts"):
        raw[name] = pa.array(raw[name].to_pylist(), listed(pa.string())).cast(kind)
    parquet(tmp_path / "x.parquet", raw)
    rows = read(tmp_path, node(ReadObelics, remote="keep"))
    assert [spans(r) for r in rows] == [["One.", A, "Two.", B], [], ["ü", A, "", B]]
    assert [drop(r) for r in rows] == ["", "missing_field", ""]


def test_json_lines_and_parquet_say_the_same(tmp_path: Path) -> None:
    records = [record(), record(texts=["Other.", None, "x", None])]
    parquet(tmp_path / "x.parquet", columns(records))
    (tmp_path / "y.jsonl.gz").write_bytes(gzip.compress(lines(tmp_path / "y.jsonl", records).read_bytes()))
    found = [read(tmp_path, node(ReadObelics), name) for name in ("x.parquet", "y.jsonl", "y.jsonl.gz")]
    assert [r["source"] for r in found[2]] == ["y.jsonl.gz#1", "y.jsonl.gz#2"]
    for rows in found:
        for row in rows:
            del row["source"], row["sample_id"]
    assert found[0] == found[1] == found[2]


def test_lines_that_are_no_records(tmp_path: Path) -> None:
    big = json.dumps(record(texts=["x" * 5000, None, "y", None])).encode()
    bad = [b"{", b"\xff", b"[1]", b"null", b'{"images": []}', big, big + b" ", json.dumps(record()).encode()]
    lines(tmp_path / "x.jsonl", bad)
    rows = read(tmp_path, node(ReadObelics, remote="keep", max_line_bytes=4000))
    reasons = ["bad_json", "bad_json", "wrong_type", "bad_json", "missing_field", *["line_too_large"] * 2, ""]
    assert [drop(row) for row in rows] == reasons
    assert [row["source"] for row in rows] == [f"x.jsonl#{n}" for n in range(1, 9)]
    assert len({row["sample_id"] for row in rows}) == 8


def test_parquet_that_is_not_utf8(tmp_path: Path) -> None:
    raw = columns([record(), record()])
    body = pa.array([b"One.", None, b"\xe9t\xe9", None] * 2, pa.binary()).view(pa.string())
    raw["texts"] = pa.ListArray.from_arrays(pa.array([0, 4, 8]), body)
    parquet(tmp_path / "x.parquet", raw)
    for row in read(tmp_path, node(ReadObelics, remote="keep")):
        assert fates(row) == ["", "", "not_utf8", ""]
        assert row["text_body"] == ["One.", "\ufffdt\ufffd"]


def test_damaged_and_other_parquet_files(tmp_path: Path) -> None:
    parquet(tmp_path / "x.a.parquet", {"images": [["u"]], "words": ["w"]})
    parquet(tmp_path / "x.b.parquet", {"images": pa.array([1]), "texts": pa.array([["t"]])})
    (tmp_path / "x.c.parquet").write_bytes(b"PAR1 nothing PAR1")
    rows = read(tmp_path, node(ReadObelics))
    assert [drop(row) for row in rows] == ["missing_column", "missing_column", "unreadable_file"]
    good = parquet(tmp_path / "y.parquet", columns([record()] * 500), row_group_size=100, compression="none")
    body = bytearray(good.read_bytes())
    body[2000:2600] = b"\xff" * 600
    good.write_bytes(body)
    rows = read(tmp_path, node(ReadObelics, remote="keep"), "y.parquet")
    fine = [drop(row) for row in rows]
    assert len(fine) == 500
    lost = [row["sample_id"] for row in rows if row["drop"]]
    assert len(set(lost)) == len(lost)
    assert fine.count("unreadable_file") in (100, 200)
    assert set(fine) == {"unreadable_file", ""}


@pytest.mark.parametrize(
    ("name", "body", "problem"),
    [
        ("x.jsonl", b'{"image": 1, "texts": []}', r"(?s)has no `images`, `texts`.*did you mean `image`"),
        ("x.jsonl", b'\n[{"images": [], "texts": []}]', r"(?s)is a JSON array.*ends in .json"),
        ("x.jsonl.zip", b"PK\x03\x04", r"(?s)is packed \(zip\).*unpack it"),
    ],
)
def test_files_of_another_format_are_told_at_plan_time(
    tmp_path: Path, name: str, body: bytes, problem: str
) -> None:
    (tmp_path / name).write_bytes(body)
    storage = LocalStorage(tmp_path)
    with pytest.raises(RecipeError, match=problem):
        node(ReadObelics).check(storage, storage.find("x.*"))


def test_one_bad_line_is_no_matter_for_the_plan(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    for body in (b"", b"{\n", b"7\n", json.dumps(record()).encode()):
        (tmp_path / "x.jsonl").write_bytes(body)
        node(ReadObelics).check(storage, storage.find("x.*"))
    parquet(tmp_path / "x.parquet", {"texts": [["a"]], "url": ["u"]})
    with pytest.raises(RecipeError, match="has no `images`, `texts`"):
        node(ReadObelics).check(storage, storage.find("x.parquet"))


def test_a_file_is_read_once_for_a_document_however_often_it_is_shown(tmp_path: Path) -> None:
    reads = []

    class Counting(LocalStorage):
        def read(self, path: str) -> bytes:
            reads.append(path)
            return super().read(path)

    (tmp_path / "a.png").write_bytes(b"A")
    lines(tmp_path / "x.jsonl", [record(images=[None, "a.png", None, "a.png"], metadata=None)])
    storage, source = Counting(tmp_path), node(ReadObelics)
    (part,) = source.split(storage, [storage.stat("x.jsonl")])
    (row,) = source.rows(storage, part).to_pylist()
    assert (row["image_ref"], reads) == (["a.png", "a.png"], ["a.png"])
