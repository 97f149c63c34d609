"""JSON Lines by offsets: every cut gives the same rows, and nothing in a file can stop the reading of it."""

from __future__ import annotations

import gzip
import json
import random
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.errors import RecipeError
from curate.io import json_lines
from curate.io.json_lines import Line
from curate.io.storage import LocalStorage


def read(folder: Path, body: bytes, rows: int = 2048, limit: int = 1 << 20, name: str = "x") -> list[Line]:
    """All rows of a file, part by part."""
    (folder / name).write_bytes(body)
    storage = LocalStorage(folder)
    cuts = json_lines.cuts(storage, name, rows)
    found = [list(json_lines.lines(storage, name, cut, limit)) for cut in cuts]
    assert [len(part) for part in found] == [cut.stop - cut.start for cut in cuts]
    assert all(len(part) <= rows for part in found)
    assert [cut.start for cut in cuts] == [0, *(cut.stop for cut in cuts)][: len(cuts)]
    return [line for part in found for line in part]


def made(count: int = 300) -> list[bytes]:
    return [json.dumps({"i": i, "x": "ü" * random.Random(i).randrange(900)}).encode() for i in range(count)]


def test_lines_keep_their_numbers(tmp_path: Path) -> None:
    body = b"\xef\xbb\xbf{}\r\n\n  \t\n[1]\n\nnull\n"
    expected = [Line(1, b"{}", ""), Line(4, b"[1]", ""), Line(6, b"null", "")]
    assert read(tmp_path, body) == read(tmp_path, body.rstrip(), rows=1) == expected
    assert read(tmp_path, b"") == read(tmp_path, b"\n\n") == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=40), max_size=30), st.integers(1, 9), st.integers(1, 50), st.booleans())
def test_a_cut_changes_nothing(
    tmp_path: Path, pieces: list[bytes], rows: int, limit: int, packed: bool
) -> None:
    body = b"\n".join(pieces)
    body = gzip.compress(body) if packed else body
    assert read(tmp_path, body, rows, limit) == read(tmp_path, body, 10_000, limit)


def test_gzip_reads_as_what_it_packs(tmp_path: Path) -> None:
    lines = made()
    body = b"\n".join(lines)
    plain = read(tmp_path, body)
    assert [line.body for line in plain] == lines
    members = gzip.compress(body[:70_001]) + gzip.compress(body[70_001:]) + b"\0" * 512
    assert read(tmp_path, members, rows=7) == plain


@pytest.mark.parametrize("rows", [1, 13, 1000])
def test_a_damaged_gzip_gives_what_comes_before_and_one_row_for_the_rest(tmp_path: Path, rows: int) -> None:
    lines = made(1000)
    packed = gzip.compress(b"\n".join(lines))
    damaged = bytearray(packed)
    damaged[len(packed) * 2 // 3] ^= 0xFF
    for body in (packed[: len(packed) // 2], bytes(damaged)):
        *good, last = read(tmp_path, body, rows)
        assert 100 < len(good) < 999
        assert [line.body for line in good] == lines[: len(good)]
        assert (last.number, last.problem) == (len(good) + 1, "unreadable_file")


def test_a_long_line_is_a_row_that_is_not_held(tmp_path: Path) -> None:
    long = b"x" * (48 << 20)
    (tmp_path / "x").write_bytes(b"{}\n" + long + b"\n{}\n")
    storage = LocalStorage(tmp_path)
    tracemalloc.start()
    (cut,) = json_lines.cuts(storage, "x", 10)
    found = list(json_lines.lines(storage, "x", cut, limit=1 << 20))
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()
    assert [(line.number, line.problem) for line in found] == [(1, ""), (2, "line_too_large"), (3, "")]
    # what stands for it in an id tells it from its like
    other = read(tmp_path, b"{}\n" + long[1:] + b"\n{}\n", limit=1 << 20)
    assert other[1].body != found[1].body


def test_blank_or_not_does_not_depend_on_the_limit(tmp_path: Path) -> None:
    body = b" " * 500 + b"\n" + b" " * 5000 + b"\n1\n"
    for limit in (10, 1000, 100_000):
        assert [line.number for line in read(tmp_path, body, limit=limit)] == [2, 3]


def test_parts_are_bounded_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "PART_BYTES", 1000)
    (tmp_path / "x").write_bytes((b"y" * 99 + b"\n") * 55)
    sizes = [cut.stop - cut.start for cut in json_lines.cuts(LocalStorage(tmp_path), "x", 2048)]
    assert sizes == [10, 10, 10, 10, 10, 5]


@pytest.mark.parametrize("magic", [b"PK\x03\x04", b"BZh9", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"])
def test_other_packings_are_refused_at_plan_time_and_a_row_in_a_run(tmp_path: Path, magic: bytes) -> None:
    (line,) = read(tmp_path, magic + b"\n\n\n{}")
    assert line.problem == "unreadable_file"
    storage = LocalStorage(tmp_path)
    with pytest.raises(RecipeError, match="x is packed"):
        json_lines.check_packing("raw", storage, [storage.stat("x")])


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": NaN, "b": [-Infinity]}', {"a": None, "b": [None]}),
        (b"[" * 100_000, None),
        (b'{"a": "\xff"}', None),
        (b"9" * 10_000, None),
        (b"", None),
        (b"{}{}", None),
        (b' {"a": "\\ud800"} ', {"a": "\ud800"}),
    ],
)
def test_parse(body: bytes, value: object) -> None:
    assert json_lines.parse(body) == value
