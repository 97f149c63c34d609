"""CSV by byte offsets: a file cut into parts, and a part's records read again, within limits.

As `json_lines` does it. A record may go over several lines where a quote is open; one that is never closed
costs what lies within csv's own limit on fields (128 KiB), and reading goes on behind it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from curate.io.json_lines import MAX_LINE_BYTES, PART_BYTES, Cut, Line
from curate.io.source import Part
from curate.io.storage import Storage

_CHUNK = 64 << 10
_BOM = b"\xef\xbb\xbf"


class _TooLarge(Exception):
    """A record has more bytes than are held."""


class Cells(NamedTuple):
    """A record: its first line as editors count, and its cells by the names of the header."""

    line: Line
    cells: dict[str, str]  # without those that are empty; lone surrogates stand for bytes that are not UTF-8


def cuts(storage: Storage, path: str, rows: int) -> list[Cut]:
    """Parts of a file: up to `rows` records and some `PART_BYTES` each."""
    found: list[Cut] = []
    first = 0
    with storage.open(path) as stream:
        reader = _Reader(stream)
        for i, (offset, line, _) in enumerate(reader.records(skip=1)):
            if not found or i - found[-1].start >= rows or offset - first >= PART_BYTES:
                found.append(Cut(i, i + 1, f"{offset}/{line.number}"))
                first = offset
            else:
                found[-1] = found[-1]._replace(stop=i + 1)
    return found


def records(storage: Storage, path: str, part: Part | Cut) -> Iterator[Cells]:
    """The records of a part in order."""
    names = header(storage, path)
    offset, number = (int(n) for n in part.hint.split("/"))
    with storage.open(path) as stream:
        stream.seek(offset)
        found = _Reader(stream, offset, number).records()
        for _, (_, line, cells) in zip(range(part.stop - part.start), found, strict=False):
            if not line.problem and len(cells) > len(names):
                line = line._replace(problem="bad_csv")
            row: dict[str, str] = {}
            for name, cell in zip(names, cells, strict=False):
                if cell:
                    row.setdefault(name, cell)
            yield Cells(line, {} if line.problem else row)


def header(storage: Storage, path: str) -> list[str]:
    """The names of the columns; none in a file without a readable first record."""
    with storage.open(path) as stream:
        found = next(_Reader(stream).records(), None)
    return found[2] if found else []


class _Reader:
    """Records of a stream from its place on, with their offsets."""

    def __init__(self, stream: BinaryIO, offset: int = 0, number: int = 1) -> None:
        self._stream = stream
        self._offset = offset
        self._number = number
        self._held: list[bytes] = []

    def records(self, skip: int = 0) -> Iterator[tuple[int, Line, list[str]]]:
        """(offset, record as it stands in the file, cells) of each; blank lines are none."""
        lines = self._lines()
        reader = csv.reader(lines, strict=True)
        while True:
            offset, number, problem = self._offset, self._number, ""
            self._held, cells = [], []
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error:
                problem = "bad_csv"
            except _TooLarge:
                problem = "line_too_large"
                lines = self._lines()
                reader = csv.reader(lines, strict=True)
            body = b"".join(self._held)
            if not problem and not any(cells):
                continue
            if skip:
                skip -= 1
            else:
                yield offset, Line(number, body, problem), cells

    def _lines(self) -> Iterator[str]:
        held = 0
        while line := self._stream.readline(MAX_LINE_BYTES + 1):
            if not self._held:
                held = 0
            held += len(line)
            begins = self._offset == 0
            self._advance(line)
            if held > MAX_LINE_BYTES:
                while not line.endswith(b"\n") and (line := self._stream.readline(_CHUNK)):
                    self._offset += len(line)
                self._held = []
                raise _TooLarge
            self._held.append(line)
            text = line.removeprefix(_BOM) if begins else line
            yield text.decode("utf-8", "surrogateescape")

    def _advance(self, line: bytes) -> None:
        self._offset += len(line)
        self._number += 1
