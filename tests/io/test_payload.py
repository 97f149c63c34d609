"""References give back the very bytes that were read, or a reason."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.io.payload import Payload, byte_reference, data_reference, quote, row_reference, unquote
from curate.io.storage import LocalStorage


def fetch(folder: Path, references: list[str | None], limit: int = 1 << 20) -> list[bytes | str]:
    return Payload({"ds": LocalStorage(folder)}, limit).fetch(["ds"] * len(references), references)


def table(folder: Path, name: str = "x.parquet", column: str = "image", group: int = 3) -> None:
    rows = [b"%d" % i for i in range(10)]
    structs = [{"bytes": b if i % 2 else None, "path": f"{i}.png"} for i, b in enumerate(rows)]
    lists = [[b + b"a", b + b"b"] for b in rows]
    columns = {column + ".thumb": [b"no"] * 10, column: rows, "struct": structs, "list": lists}
    pq.write_table(pa.table(columns), folder / name, row_group_size=group)


def test_each_kind(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"0123456789")
    (tmp_path / "p.html").write_bytes(b'<p>x<img src="data:image/png;base64,QUJD">y<img src="data:,Z%41">')
    table(tmp_path)
    references = [
        "a.bin",
        row_reference("x.parquet", 2, 1, "image"),
        byte_reference("a.bin", 3, 2),
        data_reference("p.html", 1),
        row_reference("x.parquet", 0, 1, "struct"),
        row_reference("x.parquet", 1, 0, "list", 1),
        byte_reference("a.bin", 0, 1),
        data_reference("p.html", 0),
        None,
    ]
    expected = [b"0123456789", b"7", b"34", b"ZA", b"1", b"3b", b"0", b"ABC", "missing"]
    assert fetch(tmp_path, references) == expected


def test_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"0123456789")
    (tmp_path / "p.html").write_bytes(b"<p>no image")
    (tmp_path / "folder").mkdir()
    table(tmp_path)
    references = [
        "none.png",
        "folder",
        "a.bin/b.png",
        "../a.bin",
        "/etc/passwd",
        "",
        byte_reference("none.tar", 0, 5),
        row_reference("none.parquet", 0, 0, "image"),
        row_reference("x.parquet", 0, 0, "struct"),  # no bytes in it
        data_reference("p.html", 0),
    ]
    assert fetch(tmp_path, references) == ["missing"] * len(references)


def test_too_large_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"0123456789")
    table(tmp_path)
    references = ["a.bin", byte_reference("a.bin", 0, 9), byte_reference("a.bin", 0, 4)]
    assert fetch(tmp_path, references, limit=4) == ["oversized", "oversized", b"0123"]
    assert fetch(tmp_path, [row_reference("x.parquet", 0, 0, "list", 0)], limit=1) == ["oversized"]


def test_data_sets_are_apart(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.png").write_bytes(name.encode())
    payload = Payload({n: LocalStorage(tmp_path / n) for n in "ab"})
    assert payload.fetch(["b", "a", "b"], ["x.png"] * 3) == [b"b", b"a", b"b"]


@pytest.mark.parametrize("column", ["image", "a/b", "50%/x", "%2F", "a.b", "a#b", "a\nb"])
def test_columns_of_any_name(tmp_path: Path, column: str) -> None:
    table(tmp_path, column=column)
    assert fetch(tmp_path, [row_reference("x.parquet", 1, 1, column)]) == [b"4"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=8),
    st.sampled_from(["a#b.tar", "100%.tar", "%23.tar", "a#bytes=1+2", "x y.tar"]),
)
def test_ranges_of_files_of_any_name(tmp_path: Path, ranges: list[tuple[int, int]], name: str) -> None:
    body = bytes(range(50))
    (tmp_path / name).write_bytes(body)
    assert unquote(quote(name)) == name
    found = fetch(tmp_path, [byte_reference(name, o, n) for o, n in ranges] + [quote(name)])
    assert found == [body[o : o + n] for o, n in ranges] + [body]


def test_a_row_group_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table(tmp_path)
    opened: list[str] = []
    real = LocalStorage.open
    monkeypatch.setattr(LocalStorage, "open", lambda self, path: opened.append(path) or real(self, path))
    order = [9, 0, 4, 1, 5, 2, 3]
    references: list[str | None] = [row_reference("x.parquet", i // 3, i % 3, "image") for i in order]
    assert fetch(tmp_path, references) == [b"%d" % i for i in order]
    assert len(opened) == 3


@pytest.mark.parametrize(
    "name", [b"a.png", b"100%25.png", b"caf\xe9#1.png", "café%E9.png".encode(), b"\xff\xfe%.png"]
)
def test_any_file_name_goes_through_a_reference(name: bytes) -> None:
    path = os.fsdecode(name)
    reference = quote(path)
    assert unquote(reference) == path
    assert "#" not in reference
    reference.encode()  # as Arrow will
