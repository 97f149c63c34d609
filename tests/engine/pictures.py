"""Pictures to test with, made on the spot."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image

from curate.pixels import Decode, Pixels, decode

HOW = Decode()


def photo(height: int = 300, width: int = 520, seed: int = 0) -> Image.Image:
    """Smooth colour with some grain: JPEG at quality 95 stays close to it."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 255, (5, 6, 3), dtype=np.uint8))
    smooth = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    return Image.fromarray((smooth + rng.normal(0, 3, (height, width, 1))).clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *extra: bytes) -> bytes:
    """A PNG that Pillow could not write: 16-bit colour, lies about its size ..."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(extra) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def ok(data: bytes, full: bool = True) -> Pixels:
    """Its pixels; the test ends where there are none."""
    found = decode(data, HOW, full)
    assert isinstance(found, Pixels), found
    assert found.data.dtype == np.uint8
    assert found.data.flags.c_contiguous
    return found


def distance(found: Pixels, wanted: Image.Image) -> float:
    """Mean difference of a channel, 0 to 255."""
    expected = np.asarray(wanted.convert("RGB")).astype(int)
    assert found.data.shape == expected.shape
    return float(np.abs(found.data.astype(int) - expected).mean())


def zeros(n: int) -> bytes:
    press = zlib.compressobj(9)
    block = bytes(1 << 20)
    return (
        b"".join(press.compress(block[: min(1 << 20, n - i)]) for i in range(0, n, 1 << 20)) + press.flush()
    )
