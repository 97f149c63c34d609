"""JSON Lines by byte offsets: a file cut into parts without parsing it, and a part's lines read again.

    for cut in cuts(storage, path, self.part_rows):    # in split(): start, stop and hint of each Part
    for line in lines(storage, path, part, limit):     # in rows(): stop - start lines
        record = line.problem or parse(line.body)

A file packed with gzip reads like any other, told by its first bytes; each part unpacks it from its
beginning, as nothing in it can be found otherwise. Memory stays within the limit on lines, whatever a file
holds.
"""

from __future__ import annotations

import hashlib
import io
import json
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple

from curate.errors import RecipeError
from curate.io.source import Part
from curate.io.storage import SourceFile, Storage

MAX_LINE_BYTES = 16 << 20  # Python's objects for a line may take twenty times its bytes
PART_BYTES = 64 << 20  # of a part: its lines are held together
LINE_REASONS = frozenset({"bad_json", "line_too_large", "unreadable_file"})

_BLANK = 1024  # a longer line is a row even if it is all blanks: to tell takes reading it
_CHUNK = 64 << 10
_GZIP = b"\x1f\x8b"
_PACKED = {b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"PK\x03\x04": "zip"}
_BOM = b"\xef\xbb\xbf"
_JSON = json.JSONDecoder(parse_constant=lambda _: None)  # NaN and infinities, which JSON does not have


class Cut(NamedTuple):
    """Rows `start` to `stop` (exclusive) of a file; `hint` finds the first again."""

    start: int
    stop: int
    hint: str  # "<byte offset in the unpacked file>/<its line number>"


FIRST = Cut(0, 1, "0/1")  # the first row of any file, for a look at it


class Line(NamedTuple):
    """One row of a file. Lines without anything in them are no rows, but count in `number`."""

    number: int  # from 1, as editors count
    body: bytes  # without the line break; of one too large its SHA-256, to stand for it in an id
    problem: str  # "", "line_too_large" or "unreadable_file": the rest of the file is damaged


class _Damaged(Exception):
    """The file cannot be unpacked further."""


def check_packing(place: str, storage: Storage, files: Sequence[SourceFile]) -> None:
    """At plan time: RecipeError where the first file is packed in a way that is not read here."""
    for file in files[:1]:
        with storage.open(file.path) as opened:
            packing = _packing(opened.read(8))
        if packing:
            hint = "unpack it: only gzip is read as it is"
            raise RecipeError(place, f"{file.path} is packed ({packing})", hint)


def cuts(storage: Storage, path: str, rows: int) -> list[Cut]:
    """Parts of a file: up to `rows` rows and some `PART_BYTES` each. A damaged end is a row of its own."""
    found: list[Cut] = []
    first = 0  # byte offset of the last cut
    with _content(storage, path) as stream:
        for i, (offset, number, _, _) in enumerate(_rows(stream, _CHUNK, 0, 1)):
            if not found or i - found[-1].start >= rows or offset - first >= PART_BYTES:
                found.append(Cut(i, i + 1, f"{offset}/{number}"))
                first = offset
            else:
                found[-1] = found[-1]._replace(stop=i + 1)
    return found


def lines(storage: Storage, path: str, part: Part | Cut, limit: int = MAX_LINE_BYTES) -> Iterator[Line]:
    """The rows of a part in order. Lines of more than `limit` bytes come as a problem, not into memory."""
    offset, number = (int(n) for n in part.hint.split("/"))
    left = part.stop - part.start
    with _content(storage, path) as stream:
        stream.seek(offset)
        for _, at, body, problem in _rows(stream, limit, offset, number):
            yield Line(at, body, problem)
            left -= 1
            if not left:
                return


def parse(body: bytes | str) -> Any:
    """The JSON value of a line; None where it is none (or is `null`): `bad_json`. NaN becomes null."""
    try:
        return _JSON.decode(body if isinstance(body, str) else body.decode())
    except (ValueError, RecursionError):  # not UTF-8, not JSON; RecursionError: `[[[[...`
        return None


def _packing(head: bytes) -> str:
    """What packed a file that begins so, where it is nothing we unpack."""
    return next((name for magic, name in _PACKED.items() if head.startswith(magic)), "")


def _rows(stream: BinaryIO, limit: int, offset: int, number: int) -> Iterator[tuple[int, int, bytes, str]]:
    """(offset, line number, body or hash, problem) of each row from the stream's place on."""
    while True:
        try:
            body, size, problem = _line(stream, limit)
        except _Damaged:
            yield offset, number, b"", "unreadable_file"
            return
        if not size:
            return
        if not offset:
            body = body.removeprefix(_BOM)
        if size > _BLANK or body.strip():
            yield offset, number, body, problem
        offset, number = offset + size, number + 1


def _line(stream: BinaryIO, limit: int) -> tuple[bytes, int, str]:
    """The next line, its size with the line break (0: there is none), and what is wrong with it."""
    line = stream.readline(limit + 1)
    size = len(line)
    if size <= limit or line.endswith(b"\n"):
        return line.rstrip(b"\r\n"), size, ""
    digest = hashlib.sha256()
    while line:
        digest.update(line.removesuffix(b"\n"))
        line = b"" if line.endswith(b"\n") else stream.readline(_CHUNK)
        size += len(line)
    return digest.digest(), size, "line_too_large"


@contextmanager
def _content(storage: Storage, path: str) -> Iterator[BinaryIO]:
    """The file's unpacked bytes. What comes before a damage is the same wherever reading began."""
    with storage.open(path) as file:
        head = file.read(8)
        file.seek(0)
        if head.startswith(_GZIP):
            yield io.BufferedReader(_Unpacked(file), _CHUNK)
        elif _packing(head):
            yield io.BufferedReader(_Unreadable(), _CHUNK)
        else:
            yield file


class _Unreadable(io.RawIOBase):
    """A file that is damaged from its first byte on."""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return offset

    def readinto(self, buffer: Any) -> int:
        raise _Damaged


class _Unpacked(io.RawIOBase):
    """The content of a gzip file, forwards only; in pieces that depend on the file alone."""

    def __init__(self, file: BinaryIO) -> None:
        self._pieces = _unpack(file)
        self._piece = memoryview(b"")
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        assert offset >= self._at, "a packed file is read forwards"
        skipped = memoryview(bytearray(_CHUNK))
        while self._at < offset and self.readinto(skipped[: offset - self._at]):
            pass
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        if not self._piece:
            self._piece = memoryview(next(self._pieces, b""))
        taken = min(len(self._piece), len(buffer))
        buffer[:taken] = self._piece[:taken]
        self._piece = self._piece[taken:]
        self._at += taken
        return taken


def _unpack(file: BinaryIO) -> Iterator[bytes]:
    """The content of all members of a gzip file, never empty pieces. Raises _Damaged."""
    member = zlib.decompressobj(wbits=31)
    packed = file.read(_CHUNK)
    while packed:
        try:
            piece = member.decompress(packed, _CHUNK)
        except zlib.error as problem:
            raise _Damaged(str(problem)) from problem
        if piece:
            yield piece
        packed = member.unconsumed_tail
        if member.eof:
            # zeros may pad the end, as of a tape
            packed = (member.unused_data or file.read(_CHUNK)).lstrip(b"\0")
            if packed:
                member = zlib.decompressobj(wbits=31)
        elif not packed:
            packed = file.read(_CHUNK)
    if not member.eof:
        raise _Damaged("ends early")
