"""Pairs out of Parquet: every way to hold an image, cuts along row groups, and damaged files."""

from __future__ import annotations

import datetime
import decimal
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate import sample
from curate.errors import RecipeError
from curate.io import source
from curate.io.parquet import ReadParquet
from curate.io.parquet_file import Slice
from curate.io.payload import Payload
from curate.io.storage import LocalStorage


def reader(**config: object) -> ReadParquet:
    return ReadParquet.model_validate({"path": "x", "id": "read", "name": "ds", **config})


def read(folder: Path, name: str = "x.parquet", **config: object) -> pa.Table:
    """All rows of one file, through split and rows."""
    storage = LocalStorage(folder)
    node = reader(**config)
    parts = node.split(storage, [storage.stat(name)])
    tables = [node.rows(storage, part) for part in parts]
    assert [t.num_rows for t in tables] == [p.stop - p.start for p in parts]
    assert all(t.num_rows <= node.part_rows for t in tables)
    assert [p.start for p in parts] == [0, *(p.stop for p in parts)][: len(parts)]
    empty = pa.unify_schemas([sample.BASE, node.writes()]).empty_table()
    table = pa.concat_tables([empty, *tables]).combine_chunks()
    sample.check(table)
    reasons = set(table["drop"].to_pylist())
    for level in ("image_drop", "text_drop"):
        reasons |= {reason for row in table[level].to_pylist() for reason in row}
    assert reasons - {None} <= {f"read:{r}" for r in node.reasons()}
    return table


def write(folder: Path, columns: Mapping[str, Any], name: str = "x.parquet", **options: Any) -> None:
    pq.write_table(pa.table(columns), folder / name, **options)


def images(folder: Path, table: pa.Table) -> list[bytes | str]:
    references = sample.flat(table["image_ref"]).to_pylist()
    return Payload({"ds": LocalStorage(folder)}).fetch(["ds"] * len(references), references)


HF = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def test_bytes(tmp_path: Path) -> None:
    write(tmp_path, {"image": [b"one", b"two"], "text": ["a", "b"], "license": ["mit", None], "w": [1, 2]})
    table = read(tmp_path)
    assert table["layout"].to_pylist() == ["it", "it"]
    assert table["licence"].to_pylist() == ["mit", None]
    assert table["meta"].to_pylist() == ['{"w":1}', '{"w":2}']
    assert table["source"].to_pylist() == ["x.parquet#0/0", "x.parquet#0/1"]
    assert images(tmp_path, table) == [b"one", b"two"]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()])
@pytest.mark.parametrize("text", [pa.string(), pa.large_string(), pa.string_view(), pa.binary()])
def test_every_type_of_bytes_and_text(tmp_path: Path, kind: pa.DataType, text: pa.DataType) -> None:
    pixels, words = pa.array([b"one", None], pa.binary()), pa.array(["ü", None], pa.string())
    columns = {"image": pixels.cast(kind), "text": words.cast(text), "d": words.dictionary_encode()}
    write(tmp_path, columns)
    table = read(tmp_path)
    assert table["text_body"].to_pylist() == [["ü"], []]
    assert table["meta"].to_pylist() == ['{"d":"ü"}', None]
    assert images(tmp_path, table) == [b"one"]


def test_hugging_face_writes_it(tmp_path: Path) -> None:
    from PIL import Image

    pictures = [Image.new("RGB", (4, 3), (i, 0, 0)) for i in range(3)]
    features = datasets.Features({"image": datasets.Image(), "text": datasets.Value("string")})
    made = datasets.Dataset.from_dict({"image": pictures, "text": ["a", "b", "c"]}, features=features)
    made.to_parquet(tmp_path / "x.parquet")
    table = read(tmp_path)
    assert table["drop"].null_count == 3
    assert images(tmp_path, table) == [row["bytes"] for row in made.data["image"].to_pylist()]


def test_structs_and_paths(tmp_path: Path) -> None:
    (tmp_path / "pics").mkdir()
    (tmp_path / "pics" / "a #1.png").write_bytes(b"file")
    (tmp_path / "secret").write_bytes(b"s")
    paths = [
        "a #1.png",
        "../pics/a #1.png",
        "none.png",
        "../../secret",
        "/etc/passwd",
        "http://h/a.png",
        "",
        "\0",
    ]
    drops = [
        None,
        None,
        "missing_image",
        "outside_root",
        "outside_root",
        "remote_image",
        *["missing_image"] * 2,
    ]
    drops[-1] = "outside_root"
    expected = [f"read:{d}" if d else None for d in drops]
    texts = ["t"] * len(paths)
    write(tmp_path, {"image": paths, "text": texts})
    table = read(tmp_path, image_root="pics")
    assert sample.flat(table["image_drop"]).to_pylist() == expected
    assert images(tmp_path, table)[:2] == [b"file", b"file"]
    assert table["image_url"].to_pylist()[5] == ["http://h/a.png"]
    structs = [{"bytes": None, "path": p} for p in paths]
    write(tmp_path, {"image": pa.array(structs, HF), "text": texts})
    again = read(tmp_path, image_root="pics")
    assert again["sample_id"].equals(table["sample_id"])
    assert again["image_drop"].equals(table["image_drop"])


def test_ids_follow_content_and_key_not_place(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"file")
    write(tmp_path, {"image": [b"file", b"other"], "text": ["t", "t"], "n": [None, "l"]}, "a.parquet")
    write(tmp_path, {"image": pa.array([{"bytes": b"file", "path": "q"}], HF), "text": ["t"]}, "b.parquet")
    write(tmp_path, {"image": ["a.png"], "text": ["t"]}, "c.parquet")
    ids = {n: read(tmp_path, f"{n}.parquet")["sample_id"].to_pylist() for n in "abc"}
    assert ids["a"][0] == ids["b"][0] == ids["c"][0] != ids["a"][1]
    write(tmp_path, {"image": [b"file"], "text": ["u"]}, "d.parquet")
    assert read(tmp_path, "d.parquet")["sample_id"].to_pylist()[0] != ids["a"][0]
    write(tmp_path, {"image": [b"file"], "text": ["t"], "n": ["k"]}, "e.parquet")
    with_key, without = (read(tmp_path, "e.parquet", **k)["sample_id"][0].as_py() for k in ({"key": "n"}, {}))
    assert len({with_key, without, ids["a"][0]}) == 3  # a row is all its columns, and its key
    (tmp_path / "a.png").write_bytes(b"changed")
    assert read(tmp_path, "c.parquet")["sample_id"].to_pylist() != ids["c"]


def test_large_files_enter_the_id_by_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"image": ["a.png"], "text": ["t"]})
    (tmp_path / "a.png").write_bytes(b"12345678")
    held = read(tmp_path)["sample_id"]
    monkeypatch.setattr(source, "HELD", 4)
    digest = read(tmp_path)["sample_id"]
    (tmp_path / "a.png").write_bytes(b"12345679")
    assert len({held[0].as_py(), digest[0].as_py(), read(tmp_path)["sample_id"][0].as_py()}) == 3


def test_missing_and_bad_texts(tmp_path: Path) -> None:
    bad = pa.array([b"caf\xe9", b"ok", b"ok", None, "ü".encode() * 40], pa.binary())
    texts = pa.Array.from_buffers(pa.string(), 5, bad.buffers())
    write(tmp_path, {"image": [b"i", None, b"i", b"i", b"i"], "text": texts, "also": texts})
    table = read(tmp_path, max_text_bytes=61)
    assert table["drop"].to_pylist() == [None, "read:missing_image", None, "read:missing_text", None]
    assert table["layout"].to_pylist() == ["it", "t", "it", "i", "it"]
    drops = table["text_drop"].to_pylist()
    assert drops == [["read:not_utf8"], [None], [None], [], ["read:text_too_large"]]
    assert table["text_body"].to_pylist() == [["caf\ufffd"], ["ok"], ["ok"], [], ["ü" * 30]]
    assert json.loads(table["meta"][0].as_py()) == {"also": "caf\ufffd"}


def test_meta_is_json_whatever_the_columns_are(tmp_path: Path) -> None:
    day = datetime.date(2020, 1, 2)
    moments = pa.array([1, 2**62], pa.timestamp("ns", "Nowhere/Atlantis"))  # and what Python does not have
    spans = pa.array([[2**62], [1]], pa.list_(pa.timestamp("us")))
    columns = {
        "image": [b"i"] * 2,
        "text": ["t"] * 2,
        "nan": [math.nan, 1.0],
        "blob": [b"\xff"] * 2,
        "nested": [{"a": [math.inf, 1.0], "raw": b"x", "s": "ok"}, None],
        "decimal": [decimal.Decimal("1.50"), None],
        "day": [day, None],
        "moment": moments,
        "spans": spans,
        "pairs": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int32())),
        "url": ["http://u", None],
    }
    write(tmp_path, columns)
    table = read(tmp_path)
    first, second = (json.loads(m, parse_constant=pytest.fail) for m in table["meta"].to_pylist())
    assert first["nan"] is None
    assert first["nested"] == {"a": [None, 1.0], "s": "ok"}
    assert (first["decimal"], first["day"], first["pairs"]) == ("1.50", "2020-01-02", [["k", 1]])
    assert first["moment"] == "1970-01-01 00:00:00.000000001"
    assert ("spans" in first, second["spans"]) == (False, ["1970-01-01 00:00:00.000001"])
    assert "blob" not in first
    assert "url" not in first
    assert second["nan"] == 1.0
    assert table["image_url"].to_pylist() == [["http://u"], [None]]


def test_objects(tmp_path: Path) -> None:
    found = [{"label": "cat", "box": [0.0, 1.0, 2.0, 3.0]}]
    write(tmp_path, {"image": [b"i"], "text": ["t"], "boxes": [found]})
    table = read(tmp_path, fields={"objects": "boxes"})
    assert table["image_objects"].to_pylist() == [[[{**found[0], "attributes": []}]]]
    assert table["meta"].to_pylist() == [None]


# -- cuts ---------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 200), max_size=6), st.integers(1, 260))
def test_rows_do_not_depend_on_the_cut(tmp_path: Path, sizes: list[int], part_rows: int) -> None:
    schema = pa.schema([("image", pa.binary()), ("text", pa.string())])
    total = 0
    with pq.ParquetWriter(tmp_path / "x.parquet", schema) as writer:
        for size in sizes:
            numbers = range(total, total + size)
            rows = {"image": [b"%d" % n for n in numbers], "text": [str(n) for n in numbers]}
            writer.write_table(pa.table(rows, schema), row_group_size=max(size, 1))
            total += size
    whole = read(tmp_path)
    assert whole["text_body"].to_pylist() == [[str(n)] for n in range(total)]
    assert images(tmp_path, whole) == [b"%d" % n for n in range(total)]
    assert read(tmp_path, part_rows=part_rows).equals(whole)


def test_small_row_groups_share_a_part_and_large_ones_are_sliced(tmp_path: Path) -> None:
    write(tmp_path, {"image": [b"i"] * 70, "text": ["t"] * 70}, row_group_size=30)
    storage = LocalStorage(tmp_path)
    files = [storage.stat("x.parquet")]

    def cuts(part_rows: int) -> list[tuple[int, int, str]]:
        return [(p.start, p.stop, p.hint) for p in reader(part_rows=part_rows).split(storage, files)]

    assert cuts(60) == [(0, 60, "0/0"), (60, 70, "2/0")]
    assert cuts(20) == [(0, 20, "0/0"), (20, 30, "0/20"), (30, 50, "1/0"), (50, 70, "1/20")]


def test_images_are_decoded_in_small_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"image": [b"i"] * 300, "text": ["t"] * 300}, row_group_size=100)
    seen: list[int] = []
    real = ReadParquet._raw_rows

    def spy(self: ReadParquet, piece: Slice) -> Any:
        seen.append(piece.rows)
        return real(self, piece)

    monkeypatch.setattr(ReadParquet, "_raw_rows", spy)
    read(tmp_path)
    assert seen == [64, 36] * 3


# -- damage -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"PAR1", b"not parquet at all", b"PAR1" + b"\xff" * 400 + b"PAR1"])
def test_what_is_no_parquet(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "x.parquet").write_bytes(body)
    (row,) = read(tmp_path).to_pylist()
    assert (row["layout"], row["drop"], row["source"]) == ("", "read:unreadable_file", "x.parquet")
    storage = LocalStorage(tmp_path)
    reader().check(storage, [storage.stat("x.parquet")])


def test_a_row_group_that_breaks_costs_its_rows_only(tmp_path: Path) -> None:
    rows = {"image": [bytes([i] * 50) for i in range(90)], "text": [f"t{i}" for i in range(90)]}
    write(tmp_path, rows, row_group_size=30, compression="zstd", use_dictionary=False)
    place = pq.ParquetFile(tmp_path / "x.parquet").metadata.row_group(1).column(0)
    body = bytearray((tmp_path / "x.parquet").read_bytes())
    end = place.data_page_offset + place.total_compressed_size
    body[end - 40 : end] = b"\xff" * 40
    (tmp_path / "x.parquet").write_bytes(body)
    table = read(tmp_path)
    dead = [d == "read:unreadable_file" for d in table["drop"].to_pylist()]
    assert dead == [False] * 30 + [True] * 30 + [False] * 30
    assert table["source"].to_pylist()[31] == "x.parquet#1/1"
    assert len(set(table["sample_id"].to_pylist())) == 90
    for part_rows in (7, 30, 50):
        assert read(tmp_path, part_rows=part_rows).equals(table)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_flipped_bytes_raise_nothing(tmp_path: Path, data: st.DataObject) -> None:
    write(tmp_path, {"image": [b"%d" % i for i in range(20)], "text": [f"t{i}" for i in range(20)]})
    body = bytearray((tmp_path / "x.parquet").read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "x.parquet").write_bytes(
        body[: data.draw(st.integers(0, len(body)))] if data.draw(st.booleans()) else body
    )
    whole = read(tmp_path)
    assert read(tmp_path, part_rows=7).equals(whole)


def test_a_footer_that_claims_too_many_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"image": [b"x"] * 1000, "text": ["t"] * 1000})
    monkeypatch.setattr("curate.io.parquet_file._ROWS_A_BYTE", 0.1)
    assert read(tmp_path)["drop"].to_pylist() == ["read:unreadable_file"]


def test_a_file_without_the_columns_among_others(tmp_path: Path) -> None:
    write(tmp_path, {"img": [b"x"], "text": ["t"]})
    (row,) = read(tmp_path).to_pylist()
    assert (row["drop"], row["source"]) == ("read:missing_column", "x.parquet")


# -- the recipe's mistakes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"image": "imgae"}, r"read\.image: no column `imgae` in x\.parquet\n.*`image`"),
        ({"text": "caption"}, r"read\.text: no column `caption`"),
        ({"text": "n"}, r"read\.text: column `n` is int64"),
        ({"image": "n"}, r"read\.image: column `n` is int64"),
        ({"key": "nested"}, r"read\.key: column `nested` is list"),
        ({"fields": {"objects": "boxs"}}, r"read\.fields\.objects: no column `boxs`.*\n.*`boxes`"),
        ({"fields": {"licence": "rights"}}, r"read\.fields\.licence: no column `rights`"),
    ],
)
def test_mistakes_are_told_before_the_run(tmp_path: Path, config: dict[str, object], message: str) -> None:
    write(tmp_path, {"image": [b"x"], "text": ["t"], "n": [1], "nested": [[1]], "boxes": [[1]]})
    storage = LocalStorage(tmp_path)
    files = [storage.stat("x.parquet")]
    reader(fields={"licence": ()}).check(storage, files)
    with pytest.raises(RecipeError, match=message):
        reader(**config).check(storage, files)
