"""Arrays of JSON by byte offsets: what `json.load` reads, and a row for whatever it would not."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.io import json_rows
from curate.io.json_lines import Line
from curate.io.storage import LocalStorage

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.sampled_from('ab"\\[]{},: \n\u2028é😀')),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
INDENTS = st.sampled_from([None, 0, 1, 4])
SAME_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


@pytest.fixture(params=[3, 1 << 20], ids=["small chunks", "one chunk"])
def chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_rows, "_CHUNK", request.param)


def read(folder: Path, data: bytes, size: int = 100, limit: int = 1 << 20) -> list[Line]:
    (folder / "a.json").write_bytes(data)
    storage = LocalStorage(folder)
    found: list[Line] = []
    for cut in json_rows.cuts(storage, "a.json", size):
        assert cut.start == len(found)
        found += json_rows.rows(storage, "a.json", cut, limit)
        assert cut.stop == len(found)
    return found


def values(rows: list[Line]) -> Iterator[Any]:
    for row in rows:
        assert not row.problem
        value, problem = json_rows.parsed(row.body)
        assert not problem
        yield value


@pytest.mark.usefixtures("chunks")
@SAME_FOLDER
@given(st.lists(VALUES), INDENTS, st.booleans(), st.integers(1, 4))
def test_an_array_comes_back(
    tmp_path: Path, written: list[Any], indent: int | None, ascii: bool, size: int
) -> None:
    data = b"\xef\xbb\xbf \n" + json.dumps(written, indent=indent, ensure_ascii=ascii).encode() + b"\n"
    rows = read(tmp_path, data, size)
    assert list(values(rows)) == written
    assert [row.number for row in rows] == list(range(1, len(written) + 1))


def loads(data: bytes) -> Any:
    try:
        return json.loads(data.decode(), parse_constant=lambda _: None)
    except ValueError:
        return None


@pytest.mark.usefixtures("chunks")
@SAME_FOLDER
@given(
    st.lists(VALUES, min_size=1),
    INDENTS,
    st.integers(0, 10**6),
    st.sampled_from([b"", b'"', b",", b"]", b"}", b"[", b"\\", b"x", b"\xff", b"\x0c", b"1"]),
    st.booleans(),
)
def test_what_cannot_be_loaded_shows_in_a_row_whatever_the_cut(
    tmp_path: Path, written: list[Any], indent: int | None, place: int, byte: bytes, ends: bool
) -> None:
    data = json.dumps(written, indent=indent).encode()
    place = 1 + place % len(data)  # the array still begins
    data = data[:place] + byte + (b"" if ends else data[place + 1 :])
    rows = read(tmp_path, data, 100)
    assert read(tmp_path, data, 1) == read(tmp_path, data, 2) == rows
    whole = loads(data)
    if whole is None:
        assert any(row.problem or json_rows.parsed(row.body)[1] for row in rows)
    else:
        assert list(values(rows)) == whole


def test_rows_before_and_behind_a_broken_one_stay(tmp_path: Path) -> None:
    rows = read(tmp_path, b'[{"a": 1}, {"a": nope}, [}, {"a": 3},, {"a": 5}] x', 2)
    told = [row.problem or json_rows.parsed(row.body)[1].partition(" ")[0] for row in rows]
    assert told == ["", "Expecting", "Expecting", "", "bad_json", "", "bad_json"]
    assert [json_rows.parsed(rows[i].body)[0] for i in (0, 3, 5)] == [{"a": 1}, {"a": 3}, {"a": 5}]


def test_numbers_that_json_does_not_have_are_told(tmp_path: Path) -> None:
    (row,) = read(tmp_path, b'[{"a": NaN, "b": "NaN"}]')
    assert json_rows.parsed(row.body) == ({"a": None, "b": "NaN"}, "NaN")


def test_a_row_too_large_is_one_row_and_no_memory(tmp_path: Path) -> None:
    large = b'{"a": "%s"}' % (b"x" * (8 << 20))
    rows = read(tmp_path, b"[1, %s, 2]" % large, limit=1 << 10)
    assert [row.problem for row in rows] == ["", "line_too_large", ""]
    assert rows[1].body != read(tmp_path, b"[1, %s, 2]" % large.replace(b"a", b"b"), limit=1 << 10)[1].body
    storage = LocalStorage(tmp_path)
    tracemalloc.start()
    cuts = json_rows.cuts(storage, "a.json", 10)
    assert sum(1 for cut in cuts for _ in json_rows.rows(storage, "a.json", cut, 1 << 10)) == 3
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


def test_a_file_of_lines_is_read_as_lines(tmp_path: Path) -> None:
    rows = read(tmp_path, b'{"a": 1}\n\n{"a": 2}\n[oops\n')
    assert [row.number for row in rows] == [1, 3, 4]
    assert json_rows.head(LocalStorage(tmp_path), "a.json", 9) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("text", ["[" * 100_000, "[" + "9" * 10_000 + "]", "[,,,,,]", "[", "[]]", "\x00"])
def test_odd_files_end_in_rows(tmp_path: Path, text: str) -> None:
    rows = read(tmp_path, text.encode())
    assert rows
    assert all(row.problem or json_rows.parsed(row.body)[1] for row in rows)
