"""HTTP responses as WARC records hold them: status and headers, and the body without its encodings."""

from __future__ import annotations

import re
import zlib
from typing import NamedTuple

from curate.io.warc_file import Record, fields

MAX_HEAD = 256 << 10  # bytes of status line and headers; servers allow 8 to 64 KiB
HTML = frozenset({"text/html", "application/xhtml+xml"})
_CHUNK = 64 << 10
_STATUS = re.compile(rb"HTTP/\d(?:\.\d)?[ \t]+(\d{3})(?!\d)[^\n]*\n")
_END = re.compile(rb"\r?\n\r?\n")
_CHARSET = re.compile(r"""charset\s*=\s*["']?([\w.:+-]{1,40})""", re.IGNORECASE)
_SIZE = re.compile(rb"([0-9a-fA-F]{1,8})[ \t]*(?:;[^\r\n]{0,200})?\r?\n")
_GZIP = b"\x1f\x8b"
# `noai`, or `somebot: noai, noindex`, but not the robot's name
_ROBOTS = re.compile(r"[a-z][a-z_-]*+(?!\s*:)")


class Response(NamedTuple):
    """A response whose body has been read as far as `begin`."""

    record: Record
    headers: dict[str, str]
    begin: bytes
    status: int | None
    reason: str  # "bad_http", "unreadable_record" or "": there is a body

    @property
    def url(self) -> str:
        """The address that was asked for. Some crawlers write it in `<>`, as an early standard had it."""
        return self.record.headers.get("warc-target-uri", "").strip("<> ")

    @property
    def charset(self) -> str | None:
        """What the server said of the character set."""
        found = _CHARSET.search(self.headers.get("content-type", ""))
        return found[1] if found else None

    @property
    def robots(self) -> frozenset[str]:
        """Directives of X-Robots-Tag, to whichever robot they are."""
        return frozenset(_ROBOTS.findall(self.headers.get("x-robots-tag", "").lower()))


def page_response(record: Record) -> Response | None:
    """The response of a record that may hold an HTML page, None for any other record.

    A page is a response that its server, or the crawler that looked at it, calls HTML, or of which neither
    says anything; or a `resource` that is HTML by its own header. One without a readable HTTP header may be.
    """
    kind, own = record.headers.get("warc-type", "").lower(), _mime(record.headers.get("content-type", ""))
    if kind == "resource":
        return Response(record, record.headers, b"", None, "") if own in HTML else None
    if kind != "response" or own != "application/http":
        return None
    head = record.read(_CHUNK)
    while not (end := _END.search(head)) and len(head) <= MAX_HEAD and (more := record.read(_CHUNK)):
        head += more
    status = _STATUS.match(head)
    if record.damaged and end is None:
        return Response(record, {}, head, None, "unreadable_record")
    if status is None or end is None:
        return Response(record, {}, head, None, "bad_http")
    headers = fields(head[status.end() : end.end()])
    found = record.headers.get("warc-identified-payload-type", "")
    said = {_mime(headers.get("content-type", "")), _mime(found)}
    if said - {""} and not said & HTML:
        return None
    return Response(record, headers, head[end.end() :], int(status[1]), "")


def _mime(value: str) -> str:
    return value.partition(";")[0].strip().lower()


def plain_body(raw: bytes, headers: dict[str, str], limit: int) -> tuple[bytes, str]:
    """A body without transfer and content encoding, and why it cannot be had: a reason or nothing.

    Many crawlers keep the headers of encodings they have undone, so a body that is not what they say is taken
    as it is. Brotli and the like, which the standard library does not know, are `unknown_encoding`.
    """
    if headers.get("transfer-encoding", "").strip().lower() == "chunked":
        raw = _joined(raw)
    names = [name.strip() for name in headers.get("content-encoding", "").lower().split(",")]
    names = [name for name in names if name not in ("", "identity", "none", "utf-8")]
    if not names:
        return raw, ""
    if names == ["deflate"] or names in (["gzip"], ["x-gzip"]):
        return _unpacked(raw, names[0], limit)
    if _is_markup(raw):
        return raw, ""
    return b"", "unknown_encoding"


def _is_markup(raw: bytes) -> bool:
    return raw.lstrip(b" \t\r\n\xef\xbb\xbf")[:1] == b"<"


def _joined(raw: bytes) -> bytes:
    """The chunks of a body put together; the body itself where it is not in chunks."""
    found: list[bytes] = []
    at = 0
    while size := _SIZE.match(raw, at):
        count = int(size[1], 16)
        if not count:
            return b"".join(found)
        found.append(raw[size.end() : size.end() + count])
        at = size.end() + count
        at += 2 if raw[at : at + 2] == b"\r\n" else raw[at : at + 1] == b"\n"
    return b"".join(found) if found and at >= len(raw) else raw


def _unpacked(raw: bytes, name: str, limit: int) -> tuple[bytes, str]:
    if name != "deflate":
        return _inflated(raw, 16 + zlib.MAX_WBITS, limit) if raw.startswith(_GZIP) else (raw, "")
    # with zlib's header, as the standard says, or without, as some servers do
    found, problem = _inflated(raw, zlib.MAX_WBITS, limit)
    if problem == "bad_encoding":
        found, problem = _inflated(raw, -zlib.MAX_WBITS, limit)
    return (raw, "") if problem and _is_markup(raw) else (found, problem)


def _inflated(raw: bytes, window: int, limit: int) -> tuple[bytes, str]:
    unpacker = zlib.decompressobj(window)
    try:
        found = unpacker.decompress(raw, limit + 1)
    except zlib.error:
        return b"", "bad_encoding"
    if len(found) > limit:
        return b"", "too_large"
    return (found, "") if unpacker.eof else (b"", "bad_encoding")
