"""Rows of JSON files: one array of them, or one a line. An array is cut by byte offsets and never held whole.

    for cut in cuts(storage, path, self.part_rows):    # in split()
    for row in rows(storage, path, part):              # in rows()
        value, problem = parsed(row.body)

An array's elements are found by its brackets and quotes alone, so that a broken one costs one row: what lies
between two commas is a row, whether it can be parsed or not. Where the array ends early, has nothing between
two commas, or something behind its end, that is a row of its own with the problem `bad_json`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

from curate.io import json_lines
from curate.io.json_lines import MAX_LINE_BYTES, PART_BYTES, Cut, Line
from curate.io.source import Part
from curate.io.storage import Storage

_CHUNK = 1 << 20
_HEAD = 64 << 10  # in which an array begins
_NOTHING = "]"  # hint of a part whose rows are places where an array is wrong
_BOM = b"\xef\xbb\xbf"
_WHITE = b" \t\r\n"  # to JSON; Python strips more
# A whole string is passed over at once; a quote alone opens one that this chunk does not close.
_OUTSIDE = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\],"]', re.DOTALL)
_IN_STRING = re.compile(rb'["\\]')


class _NotFinite(ValueError):
    """A number that Python writes and JSON does not have."""


def _refuse(name: str) -> Any:
    raise _NotFinite(name)


_STRICT = json.JSONDecoder(parse_constant=_refuse)


def parsed(body: bytes) -> tuple[Any, str]:
    """The JSON value of a row, None where it is none; and what is wrong with it.

    `NaN` or `Infinity` where there is such a number, which becomes null; the parser's words where it fails.
    """
    try:
        return _STRICT.decode(body.decode()), ""
    except _NotFinite as problem:
        return json_lines.parse(body), str(problem)
    except UnicodeDecodeError as problem:
        return None, f"byte {problem.start} is not UTF-8"
    except json.JSONDecodeError as problem:
        return None, f"{problem.msg} (character {problem.pos})"
    except ValueError as problem:  # a number of more digits than Python converts
        return None, str(problem).partition(";")[0]
    except RecursionError:
        return None, "nested too deeply"


def cuts(storage: Storage, path: str, count: int) -> list[Cut]:
    """Parts of a file: up to `count` rows and some `PART_BYTES` each."""
    begin = _array(storage, path)
    if begin is None:
        return json_lines.cuts(storage, path, count)
    found: list[Cut] = []
    first = 0
    with storage.open(path) as stream:
        for number, (offset, row) in enumerate(_elements(stream, begin, 1, 0)):
            nothing = row.problem == "bad_json"
            full = not found or number - found[-1].start >= count or offset - first >= PART_BYTES
            if full or (found[-1].hint == _NOTHING and not nothing):
                # from within an array nobody can tell that a row lies behind its end
                found.append(Cut(number, number + 1, _NOTHING if nothing else f"[{offset}"))
                first = offset
            else:
                found[-1] = found[-1]._replace(stop=number + 1)
    return found


def rows(storage: Storage, path: str, part: Part | Cut, limit: int = MAX_LINE_BYTES) -> Iterator[Line]:
    """The rows of a part in order, numbered from 1: lines as editors count them, elements of an array."""
    if part.hint == _NOTHING:
        yield from (Line(number + 1, b"", "bad_json") for number in range(part.start, part.stop))
        return
    if not part.hint.startswith("["):
        yield from json_lines.lines(storage, path, part, limit)
        return
    with storage.open(path) as stream:
        found = _elements(stream, int(part.hint[1:]), part.start + 1, limit)
        for _, (_, row) in zip(range(part.stop - part.start), found, strict=False):
            yield row


def first(storage: Storage, path: str, limit: int = MAX_LINE_BYTES) -> Any:
    """The value of a file's first row; None where there is none or it cannot be parsed."""
    return next(iter(head(storage, path, 1, limit)), None)


def head(storage: Storage, path: str, count: int, limit: int = MAX_LINE_BYTES) -> list[Any]:
    """The values of a file's first rows, those that can be parsed."""
    begin = _array(storage, path)
    cut = Cut(0, count, "0/1" if begin is None else f"[{begin}")
    values = [parsed(row.body)[0] for row in rows(storage, path, cut, limit) if not row.problem]
    return [value for value in values if value is not None]


def _array(storage: Storage, path: str) -> int | None:
    """Where the content of the array begins; None for a file that is none."""
    with storage.open(path) as stream:
        head = stream.read(_HEAD)
    text = head.removeprefix(_BOM).lstrip(_WHITE)
    return len(head) - len(text) + 1 if text.startswith(b"[") else None


class _Element:
    """What is known of the element that is being read."""

    def __init__(self, offset: int, limit: int) -> None:
        self.offset = offset
        self._limit = limit
        self._size = 0
        self._body = bytearray()
        self._digest: Any = None
        self._blank = True

    def add(self, piece: bytes) -> None:
        """Bytes of it, in order."""
        self._size += len(piece)
        self._blank = self._blank and not piece.strip(_WHITE)
        if self._digest is None and self._size > self._limit:
            self._digest = hashlib.sha256(self._body)
            self._body.clear()
        if self._digest is None:
            self._body += piece
        else:
            self._digest.update(piece)

    def row(self, number: int) -> Line:
        """The element as a row; without anything in it, it is one where the array is wrong."""
        if self._blank:
            return Line(number, b"", "bad_json")
        if self._digest is not None:
            return Line(number, self._digest.digest(), "line_too_large")
        return Line(number, bytes(self._body).strip(_WHITE), "")

    @property
    def blank(self) -> bool:
        return self._blank


class _State(NamedTuple):
    depth: int = 0  # of brackets within the element
    in_string: bool = False
    escaped: bool = False  # a backslash ended the last chunk


def _elements(stream: BinaryIO, begin: int, number: int, limit: int) -> Iterator[tuple[int, Line]]:
    """(byte offset, row) of each element from `begin` on, which lies within the array."""
    stream.seek(begin)
    state, element, alone = _State(), _Element(begin, limit), number == 1
    at = begin
    while chunk := stream.read(_CHUNK):
        start = 0
        while True:
            state, stop, mark = _scan(chunk, start, state)
            element.add(chunk[start:stop])
            if not mark:
                break
            if not (mark == b"]" and element.blank and alone):  # `[]` has no element
                yield element.offset, element.row(number)
                number, alone = number + 1, False
            start = stop + 1
            element = _Element(at + start, limit)
            if mark == b"]":
                yield from _behind(stream, chunk[start:], element, number)
                return
        at += len(chunk)
    whole = state.depth == 0 and not state.in_string
    if not element.blank:
        yield element.offset, element.row(number)
        number += 1
    if whole:  # the array is not closed, and its last element shows no sign of it
        yield at, Line(number, b"", "bad_json")


def _behind(stream: BinaryIO, rest: bytes, element: _Element, number: int) -> Iterator[tuple[int, Line]]:
    """Anything after the array's end is one row."""
    element.add(rest)
    while rest := stream.read(_CHUNK):
        element.add(rest)
    if not element.blank:
        yield element.offset, Line(number, b"", "bad_json")


def _scan(chunk: bytes, place: int, state: _State) -> tuple[_State, int, bytes]:
    """Go on to the element's end: (state, where it is, the `,` or `]` that ends it or nothing)."""
    depth, in_string, escaped = state
    end = len(chunk)
    while place < end:
        if escaped:
            place, escaped = place + 1, False
        elif in_string:
            found = _IN_STRING.search(chunk, place)
            if found is None:
                break
            place = found.end()
            escaped = found[0] == b"\\"
            in_string = escaped
        else:
            found = _OUTSIDE.search(chunk, place)
            if found is None:
                break
            place, token = found.end(), found[0]
            if token in (b"{", b"["):
                depth += 1
            elif token == b'"':
                in_string = True
            elif depth == 0 and token in (b",", b"]"):
                return _State(), found.start(), token
            elif token in (b"}", b"]"):
                depth = max(0, depth - 1)
    return _State(depth, in_string, escaped), end, b""
