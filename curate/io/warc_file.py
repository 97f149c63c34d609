"""Records of WARC files (ISO 28500), plain or gzip, within limits and past damage.

    for record in records(file, BEGINNING):
        record.headers["warc-type"], record.read(100)

Files come from crawlers and half-finished downloads. A header beyond its limit, a gzip member that breaks,
or something that is no record gives a record that is `damaged`, and reading goes on at the next one that can
be found. warcio, the usual reader, ends there, takes lines of any length, and hands out what a broken gzip
member gave so far without a word.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

MAX_HEADER = 64 << 10  # bytes of a record's header: a few hundred in practice
CHUNK = 64 << 10
_PACKED_CHUNK = 16 << 10
_GZIP = b"\x1f\x8b\x08"
_VERSION = re.compile(rb"WARC/\d\.\d+\s*")
_LENGTH = re.compile(r"[0-9]{1,18}")
# Where a record may begin. A gzip member among them is looked into, which costs something; the limit is for
# files that are made to look like many.
_MARK = re.compile(rb"\x1f\x8b\x08|(?<=\n)WARC/\d\.\d")
_LOOKS = 4096
_LOOK = 4096
_OVERLAP = 16  # bytes, of a mark that lies across two chunks


class Place(NamedTuple):
    """Where a record begins: a byte of the file, and its number within the gzip member that begins there."""

    offset: int
    number: int = 0

    def __str__(self) -> str:
        return f"{self.offset}/{self.number}" if self.number else str(self.offset)

    @staticmethod
    def parse(text: str) -> Place:
        offset, _, number = text.partition("/")
        return Place(int(offset), int(number or 0))


BEGINNING = Place(0)


class _Damage(Exception):
    """The stream cannot be read further."""


class _Plain:
    """The bytes of a file from an offset on. `at` is how many have been read."""

    def __init__(self, file: BinaryIO, offset: int) -> None:
        file.seek(offset)
        self._file = file
        self._buffer = b""
        self.at = 0

    def _more(self) -> bytes:
        return self._file.read(CHUNK)

    def read(self, count: int) -> bytes:
        """Up to `count` bytes; nothing at the end."""
        if not self._buffer:
            self._buffer = self._more()
        found, self._buffer = self._buffer[:count], self._buffer[count:]
        self.at += len(found)
        return found

    def line(self, limit: int) -> bytes:
        """A line of up to `limit` bytes with its end. Raises _Damage where there is none."""
        while (end := self._buffer.find(b"\n")) < 0 and len(self._buffer) < limit:
            more = self._more()
            if not more:
                raise _Damage("ends within a line")
            self._buffer += more
        if not 0 <= end < limit:
            raise _Damage("a line is too long")
        return self.read(end + 1)

    def blank(self) -> bool:
        """Pass over empty lines. Whether anything follows them."""
        while True:
            rest = self._buffer.lstrip(b"\r\n")
            self.at += len(self._buffer) - len(rest)
            self._buffer = rest or self._more()
            if rest or not self._buffer:
                return bool(rest)

    def skip(self, count: int) -> int:
        """Pass over up to `count` bytes; says over how many."""
        inside = min(count, len(self._buffer))
        self._buffer = self._buffer[inside:]
        beyond = count - inside
        if beyond:
            place = self._file.tell()
            beyond = min(beyond, self._file.seek(0, 2) - place)
            self._file.seek(place + beyond)
        self.at += inside + beyond
        return inside + beyond

    def end(self) -> int:
        """Where the file goes on behind a stream that has been read to its end."""
        return self._file.seek(0, 2)


class _Member(_Plain):
    """The content of the gzip member at an offset. Raises _Damage where it breaks."""

    def __init__(self, file: BinaryIO, offset: int) -> None:
        super().__init__(file, offset)
        self._unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
        self._packed = b""

    def _more(self) -> bytes:
        while not self._unpacker.eof:
            packed = self._packed or self._file.read(_PACKED_CHUNK)
            if not packed:
                raise _Damage("the file ends within a gzip member")
            try:
                found = self._unpacker.decompress(packed, CHUNK)
            except zlib.error as problem:
                raise _Damage(str(problem)) from problem
            self._packed = self._unpacker.unconsumed_tail
            if found:
                return found
        return b""

    def skip(self, count: int) -> int:
        passed = 0
        while passed < count and (found := self.read(count - passed)):
            passed += len(found)
        return passed

    def end(self) -> int:
        return self._file.tell() - len(self._unpacker.unused_data)


class Record:
    """A record; its block is read from the file, so only until the next one is asked for."""

    def __init__(
        self,
        place: Place,
        headers: dict[str, str] | None = None,
        length: int = 0,
        stream: _Plain | None = None,
    ) -> None:
        self.place = place
        self.headers = headers or {}  # names in lower case; of several the first
        self.left = length  # bytes of the block that have not been read
        self.damaged = stream is None
        self._stream = stream

    def read(self, count: int) -> bytes:
        """Up to `count` bytes of the block; nothing at its end, or where it is damaged."""
        count = min(count, self.left)
        if not count or self.damaged or self._stream is None:
            return b""
        try:
            found = self._stream.read(count)
        except _Damage:
            found = b""
        self.damaged = not found
        self.left -= len(found)
        return found

    def finish(self) -> None:
        """Pass over the rest of the block and what ends it: a wrong checksum shows only there."""
        if self.damaged or self._stream is None:
            return
        try:
            self.damaged = self._stream.skip(self.left) < self.left
            self.left = 0
            self._stream.blank()
        except _Damage:
            self.damaged = True


def records(file: BinaryIO, start: Place) -> Iterator[Record]:
    """All records from a place on, in order. `start` is the file's beginning or the place of a record.

    A record may be found `damaged` only when its block is read. Behind it, and wherever else something cannot
    be read, comes one without headers, with the place of what could not be read.
    """
    size = file.seek(0, 2)
    offset, unwanted = start
    while offset < size:
        file.seek(offset)
        packed = file.read(len(_GZIP)) == _GZIP
        stream = _Member(file, offset) if packed else _Plain(file, offset)
        place, number = Place(offset), 0
        try:
            while stream.blank():
                place = Place(offset, number) if packed else Place(offset + stream.at)
                record = Record(place, *_header(stream), stream)
                # not even begun: each of many such records would be read to the file's end
                record.damaged = not packed and record.left > size - offset - stream.at
                if number >= unwanted:
                    yield record
                record.finish()
                if record.damaged:
                    raise _Damage("within the block")
                number += 1
            offset = stream.end()
        except _Damage:
            yield Record(place)
            offset = _resume(file, place.offset + 1)
        unwanted = 0


def _header(stream: _Plain) -> tuple[dict[str, str], int]:
    """(headers, bytes of the block) of the record that begins here."""
    if not _VERSION.fullmatch(stream.line(MAX_HEADER)):
        raise _Damage("no record")
    raw: list[bytes] = []
    left = MAX_HEADER
    while (line := stream.line(left)).strip():
        if _VERSION.fullmatch(line):  # another record: a header that went on would be read again from there
            raise _Damage("a header without end")
        raw.append(line)
        left -= len(line)
    headers = fields(b"".join(raw))
    length = headers.get("content-length", "")
    if not _LENGTH.fullmatch(length):
        raise _Damage("no length")
    return headers, int(length)


def fields(raw: bytes) -> dict[str, str]:
    """Header lines as a mapping: names in lower case, folded lines joined, of several values the first."""
    found: dict[str, str] = {}
    for line in re.sub(rb"\r?\n[ \t]+", b" ", raw).split(b"\n"):
        name, colon, value = line.partition(b":")
        if colon:
            text = value.strip().decode("utf-8", "replace")
            found.setdefault(name.strip().decode("latin-1").lower(), text)
    return found


def _resume(file: BinaryIO, start: int) -> int:
    """The next place from `start` on where a record begins; the file's end if there is none."""
    at, tail, looks = start, b"", 0
    while True:
        file.seek(at)
        chunk = file.read(CHUNK)
        if not chunk:
            return at
        data = tail + chunk
        for mark in _MARK.finditer(data):
            place = at - len(tail) + mark.start()
            if mark[0] != _GZIP:
                return place
            looks += 1
            if looks > _LOOKS:
                return file.seek(0, 2)
            if _is_record(file, place):
                return place
        at += len(chunk)
        tail = data[-_OVERLAP:]


def _is_record(file: BinaryIO, offset: int) -> bool:
    """Whether a gzip member with a record begins here."""
    file.seek(offset)
    try:
        head = zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(file.read(_LOOK), 5)
    except zlib.error:
        return False
    return head == b"WARC/"
