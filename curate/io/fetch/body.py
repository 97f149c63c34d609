"""The body of an answer, read no further than it may be, and only as long as it looks like an image."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from typing import NamedTuple

from aiohttp import ClientResponse

_CHUNK = 1 << 16
_SNIFFED = 64  # bytes that tell what something is
# Images that cannot be decoded here (see `curate.pixels`): not downloaded to be found corrupt.
_UNSUPPORTED = (
    (0, b"\x00\x00\x00\x0cJXL "),
    (0, b"\xff\x0a"),  # JPEG XL without a container
    (0, b"\x00\x00\x00\x0cjP  "),  # JPEG 2000
    (0, b"\xff\x4f\xff\x51"),
    (0, b"\x00\x00\x01\x00"),  # icons
    (0, b"8BPS"),
    (4, b"ftypavif"),
    (4, b"ftypavis"),
    (4, b"ftypheic"),
    (4, b"ftypheix"),
    (4, b"ftypmif1"),
    (4, b"ftypmsf1"),
)
_SUPPORTED = (
    (0, b"\xff\xd8\xff"),  # JPEG
    (0, b"\x89PNG\r\n\x1a\n"),
    (0, b"GIF87a"),
    (0, b"GIF89a"),
    (8, b"WEBP"),
    (0, b"II*\x00"),  # TIFF
    (0, b"MM\x00*"),
    (0, b"II+\x00"),  # BigTIFF
    (0, b"MM\x00+"),
    (0, b"BM"),
)


class Body(NamedTuple):
    """Bytes, or the reason why there are none of use."""

    data: bytes
    reason: str = ""


def looks_like(data: bytes) -> str:
    """ "" for an image by its first bytes; else `not_an_image` or `unsupported_format`.

    What the server calls it is not asked: many call everything text, or everything a JPEG.
    """
    if any(data.startswith(magic, at) for at, magic in _SUPPORTED):
        return ""
    if any(data.startswith(magic, at) for at, magic in _UNSUPPORTED):
        return "unsupported_format"
    head = data.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return "unsupported_format" if head.startswith(b"<svg") else "not_an_image"


async def image(response: ClientResponse, limit: int) -> Body:
    """An image of `limit` bytes at most, before and after decompression. Reasons: `too_large`, `empty`,
    `bad_encoding`, `not_an_image`, `unsupported_format`, `deferred.interrupted`."""
    if (response.content_length or 0) > limit:
        return Body(b"", "too_large")
    decoder = _decoder(response)
    if decoder is None:
        return Body(b"", "bad_encoding")
    body = bytearray()
    known = False
    try:
        async for piece in decoder.pieces(response, limit):
            body += piece
            if len(body) > limit:
                return Body(b"", "too_large")
            if not known and len(body) >= _SNIFFED:
                if reason := looks_like(bytes(body[:_SNIFFED])):
                    return Body(b"", reason)
                known = True
    except zlib.error:
        return Body(b"", "bad_encoding")
    if not body:
        return Body(b"", "empty")
    if not decoder.whole:
        return Body(b"", "deferred.interrupted")
    return Body(bytes(body), "" if known else looks_like(bytes(body)))


async def text(response: ClientResponse, limit: int) -> Body:
    """The first `limit` + 1 bytes of a text file; more would tell nothing but that there is more."""
    decoder = _decoder(response)
    body = bytearray()
    if decoder is not None:
        try:
            async for piece in decoder.pieces(response, limit):
                body += piece
                if len(body) > limit:
                    break
        except zlib.error:
            return Body(b"", "bad_encoding")
    return Body(bytes(body[: limit + 1]), "bad_encoding" if decoder is None else "")


class _Plain:
    """Takes the bytes as they come."""

    whole = True

    async def pieces(self, response: ClientResponse, limit: int) -> AsyncIterator[bytes]:
        async for chunk in response.content.iter_chunked(_CHUNK):
            yield chunk


class _Inflating:
    """Undoes gzip and deflate, which were not asked for, up to `limit` + 1 bytes."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(32 + zlib.MAX_WBITS)  # tells gzip from zlib by the header

    @property
    def whole(self) -> bool:
        return self._inflate.eof

    async def pieces(self, response: ClientResponse, limit: int) -> AsyncIterator[bytes]:
        left = limit + 1
        async for chunk in response.content.iter_chunked(_CHUNK):
            piece = self._inflate.decompress(chunk, left)
            left -= len(piece)
            yield piece
            if left <= 0 or self._inflate.eof:  # what comes behind the end would be piled up in memory
                return


def _decoder(response: ClientResponse) -> _Plain | _Inflating | None:
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return _Plain()
    return _Inflating() if encoding in ("gzip", "x-gzip", "deflate") else None
