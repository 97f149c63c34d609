"""Tar archives as WebDataset reads them: headers, members, and the samples they group into.

Only headers are parsed (ustar, GNU long names, pax `path` and `size`); a body is read where somebody asks
for it. `tarfile` builds a TarInfo of some twenty attributes a member, which costs ten times as much.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

BLOCK = 512
# Bodies of one sample held at once, in bytes. What exceeds it enters the sample's id by its SHA-256 only.
HELD = 256 << 20
_HEAD = 1 << 20  # bytes kept of a body that is not held
_EXTENSION = 1 << 20  # bytes of a long name or pax header at most; real ones are below 64 KiB
_CHUNK = 4 << 20

_ZEROS = bytes(BLOCK)
_SPACES = b" " * 8
_REGULAR = frozenset(b"07\0")
_WITHOUT_BODY = frozenset(b"123456")  # links, devices, folders, pipes: `size` says nothing about them
_PAX_RECORD = re.compile(rb"(\d{1,9}) ([^=]+)=")

# The rules of WebDataset (`tariterators.py`), to the letter.
_META = re.compile(r"__[^/]*__($|/)")
FIRST_DOT = re.compile(r"^((?:.*/|)[^.]+)[.]([^/]*)$")
# Ours, for names such as `img_v1.2_003.jpg` that WebDataset would cut to `img_v1`.
LAST_DOT = re.compile(r"^((?:.*/|)[^./][^/]*)[.]([^./]*)$")


class Unreadable(Exception):
    """The archive cannot be parsed from `offset` (bytes) on."""

    def __init__(self, offset: int) -> None:
        self.offset = offset
        super().__init__(f"no tar header at byte {offset}")


class Member(NamedTuple):
    """A regular file of the archive. `header` is where it begins, long-name headers included; bytes all."""

    name: str  # undecodable bytes as lone surrogates (surrogateescape)
    header: int
    data: int
    size: int  # as the header says: the archive may end before


class Entry(NamedTuple):
    """A member within its sample."""

    suffix: str  # lower case, without the first dot
    data: int
    size: int
    body: bytes  # empty where bodies were not asked for, the first MiB where it is too large to be held
    hashed: bytes  # what stands for it in the sample's id: the body, or its digest where it is too large
    cut: bool  # the archive ends within it


@dataclass
class Group:
    """A sample: adjacent members of one key. `broken`: no sample, but the unreadable rest of the archive."""

    key: str
    offset: int
    entries: list[Entry] = field(default_factory=list)
    broken: bool = False


def _checked(block: bytes) -> bool:
    """Whether the header's checksum fits."""
    try:
        stored = int(block[148:156].replace(b"\0", b" ").strip() or b"x", 8)
    except ValueError:
        return False
    # the low half of Adler-32 is 1 + the sum of the bytes modulo 65521: the same sum, taken in C
    adler = zlib.adler32(block[156:], zlib.adler32(_SPACES, zlib.adler32(block[:148])))
    if adler & 0xFFFF == (stored + 1) % 65521:
        return True
    counted = block[:148] + _SPACES + block[156:]
    return stored == sum(b - 256 if b > 127 else b for b in counted)  # old tars summed signed chars


def _size(digits: bytes, base: int = 8) -> int:
    """A size: digits, or base 256 where the first bit is set. ValueError where it is neither."""
    if digits[0] == 0x80:
        return int.from_bytes(digits[1:], "big")
    size = int(digits.partition(b"\0")[0].strip() or b"0", base)
    if size < 0:
        raise ValueError("negative size")
    return size


def _pax(body: bytes) -> dict[bytes, bytes]:
    """Records `<length> <key>=<value>\\n` of a pax header. ValueError where it is malformed."""
    records = {}
    place = 0
    while place < len(body) and body[place]:
        match = _PAX_RECORD.match(body, place)
        length = int(match[1]) if match else 0
        if match is None or place + length > len(body) or length <= match.end() - place:
            raise ValueError("malformed pax header")
        records[match[2]] = body[match.end() : place + length - 1]
        place += length
    return records


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


@dataclass
class _Extension:
    """What headers before a member's own say about it."""

    name: bytes | None = None
    size: int | None = None
    sparse: bool = False

    def add(self, kind: int, body: bytes) -> None:
        if kind == 0x4C:  # L, GNU long name
            name: bytes | None = body.partition(b"\0")[0]
        elif kind in b"xX":
            records = _pax(body)
            name = records.get(b"path")
            self.sparse |= any(k.startswith(b"GNU.sparse") for k in records)
            self.size = _size(records[b"size"], 10) if b"size" in records else self.size
        else:
            return  # K, a link's target; g, a pax header for all members, which cannot name one
        self.name = name if self.name is None else self.name


def _header(file: BinaryIO, start: int, end: int) -> tuple[bytes, int, _Extension] | None:
    """The member's own header from `start` on, where its body begins, and its extension headers.

    None at the end of the archive; ValueError where there is no header.
    """
    position = start
    extension = _Extension()
    while True:
        file.seek(position)
        block = file.read(BLOCK)
        if block == _ZEROS[: len(block)] and position == start and (block or start):
            return None  # a file that stops between two members is whole, an empty one is not
        if len(block) < BLOCK or not _checked(block):
            raise ValueError("no header")
        kind = block[156]
        position += BLOCK
        if kind not in b"LKxXg":
            return block, position, extension
        size = _size(block[124:136])
        if size > _EXTENSION or position + size > end:
            raise ValueError("extension header too large")
        extension.add(kind, file.read(size))
        position += _padded(size)


def members(file: BinaryIO, start: int, end: int) -> Iterator[Member]:
    """Regular members from the header at byte `start` on; `end` is the size of the file in bytes.

    Links, folders, devices and sparse files are passed over. The last member may reach beyond `end`. The
    file's position belongs to the caller between two members. Raises Unreadable where no header can be
    parsed.
    """
    position = start
    while True:
        first = position
        try:
            found = _header(file, first, end)
            if found is None:
                return
            block, position, extension = found
            kind = block[156]
            if kind in _WITHOUT_BODY:
                continue
            size = _size(block[124:136]) if extension.size is None else extension.size
            if kind == 0x53:  # S, GNU sparse: its map may go on in further blocks
                more = block[482]
                while more:
                    file.seek(position)
                    more = file.read(BLOCK)[504]
                    position += BLOCK
            name = extension.name
            if name is None:
                name = block[:100].partition(b"\0")[0]
                if block[257:263] == b"ustar\0" and block[345]:  # GNU tars keep times in place of the prefix
                    name = block[345:500].partition(b"\0")[0] + b"/" + name
            regular = kind in _REGULAR and not extension.sparse
            if position + size > end and not regular:
                raise ValueError("cut short")
        except (ValueError, IndexError):
            raise Unreadable(first) from None
        if regular:
            yield Member(name.decode("utf-8", "surrogateescape"), first, position, size)
            if position + size > end:
                return
        position += _padded(size)


def _body(file: BinaryIO, member: Member, end: int, room: int) -> tuple[bytes, bytes]:
    """The member's bytes and what stands for them in the id; `room` is how many bytes may be held."""
    file.seek(member.data)
    size = min(member.size, end - member.data)
    if size <= room:
        body = file.read(size)
        return body, body
    head, digest = b"", hashlib.sha256()
    while size > 0 and (chunk := file.read(min(size, _CHUNK))):
        head = head or chunk[:_HEAD]
        digest.update(chunk)
        size -= len(chunk)
    return head, digest.digest()


def groups(
    file: BinaryIO, start: int, end: int, rule: re.Pattern[str] = FIRST_DOT, bodies: bool = False
) -> Iterator[Group]:
    """Samples from byte `start` on, which must be 0 or the `offset` of a group; `end` is the file's size.

    `rule` splits a name into key and suffix; members it does not match, and `__meta__` ones, belong to no
    sample and do not end one. With `bodies`, each is read once, in the order of the file. What cannot be
    parsed ends the archive as a group that is `broken`.
    """
    group: Group | None = None
    held = 0
    try:
        for member in members(file, start, end):
            match = rule.match(member.name)
            if match is None or _META.match(member.name):
                continue
            key, suffix = match.groups()
            if group is None or group.key != key:
                if group is not None:
                    yield group
                group, held = Group(key, member.header), 0
            body, hashed = _body(file, member, end, HELD - held) if bodies else (b"", b"")
            held += len(body)
            cut = member.data + member.size > end
            group.entries.append(Entry(suffix.lower(), member.data, member.size, body, hashed, cut))
    except Unreadable as problem:
        if group is not None:
            yield group
        yield Group("", problem.offset, broken=True)
        return
    if group is not None:
        yield group
