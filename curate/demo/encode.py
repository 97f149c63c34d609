"""Images to bytes: formats, and the oddities that decoders must cope with (orientation, CMYK, palette...)."""

from __future__ import annotations

import io
import random
import struct
import zlib
from functools import lru_cache

from PIL import Image, ImageDraw

from curate.demo.rng import weighted

_FORMATS: tuple[tuple[str, float], ...] = (("jpg", 0.82), ("png", 0.12), ("webp", 0.06))

# Every way a camera can be held: the tag, and what takes the upright picture to the stored one.
_ORIENTATIONS: dict[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def save(image: Image.Image, extension: str, **options: object) -> bytes:
    """The image in one format; equal input gives equal bytes with the same Pillow."""
    buffer = io.BytesIO()
    image.save(buffer, {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "gif": "GIF"}[extension], **options)
    return buffer.getvalue()


def jpeg(image: Image.Image, quality: int = 90) -> bytes:
    """A plain JPEG."""
    return save(image, "jpg", quality=quality)


def encode(image: Image.Image, rng: random.Random, colourless: bool, grainy: bool) -> tuple[bytes, str, str]:
    """(bytes, extension, variant) in a random format.

    The variant is "" or one of grey, cmyk, exif_rotated, palette, alpha. Only a picture whose caption cannot
    name a colour (`colourless`) becomes grey. Grainy pictures are not stored as PNG: they would be huge.
    """
    draw = rng.random()
    if draw < 0.04 and image.size[0] > 100:
        tag = rng.choice(list(_ORIENTATIONS))
        exif = Image.Exif()
        exif[0x0112] = tag
        stored = image.transpose(_ORIENTATIONS[tag])
        return save(stored, "jpg", quality=rng.randint(85, 95), exif=exif), "jpg", "exif_rotated"
    if draw < 0.055:
        return save(image.convert("CMYK"), "jpg", quality=92), "jpg", "cmyk"
    if draw < 0.075 and not grainy:
        return save(image.quantize(64, Image.Quantize.FASTOCTREE), "png", compress_level=3), "png", "palette"
    if draw < 0.095 and not grainy:
        mask = Image.new("L", image.size)
        ImageDraw.Draw(mask).rounded_rectangle((0, 0, image.width - 1, image.height - 1), 18, fill=255)
        image = image.copy()
        image.putalpha(mask)
        return save(image, "png", compress_level=2), "png", "alpha"
    if colourless and draw < 0.4:
        return save(image.convert("L"), "jpg", quality=rng.randint(85, 95)), "jpg", "grey"
    extension = weighted(rng, _FORMATS)
    if extension == "png" and not grainy:
        return save(image, "png", compress_level=2), "png", ""
    if extension == "webp":
        return save(image, "webp", quality=rng.randint(80, 92), method=0), "webp", ""
    options: dict[str, object] = {"quality": rng.randint(85, 95)}
    if rng.random() < 0.1:
        options["progressive"] = True
    if rng.random() < 0.25:
        options["subsampling"] = 0
    return save(image, "jpg", **options), "jpg", ""


def _chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@lru_cache(maxsize=2)
def _black_stream(side: int) -> bytes:
    """A zlib stream of a side x side 1-bit black picture, written as repeats of one compressed run of rows.

    A run that ends with a full flush stands for itself, so compressing one run and repeating its bytes gives
    the whole stream; only the checksum at the end needs all of the data.
    """
    rows = 1000
    run = b"\0" * (rows * (1 + side // 8))
    press = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = press.compress(run) + press.flush(zlib.Z_FULL_FLUSH)
    repeats = side // rows
    check = 1
    for _ in range(repeats):
        check = zlib.adler32(run, check)
    return b"\x78\xda" + packed * repeats + b"\x03\x00" + struct.pack(">I", check)


def bomb(note: str, side: int = 24_000) -> bytes:
    """A valid PNG of side x side 1-bit pixels in about 70 KB; `note` makes it differ from the next one."""
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return (
        _SIGNATURE
        + _chunk(b"IHDR", header)
        + _chunk(b"tEXt", b"Comment\0" + note.encode("latin-1"))
        + _chunk(b"IDAT", _black_stream(side))
        + _chunk(b"IEND", b"")
    )


def header_only(note: str, side: int = 100_000) -> bytes:
    """A PNG that declares side x side RGB pixels and holds next to none of them."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    comment = _chunk(b"tEXt", b"Comment\0" + note.encode("latin-1"))
    return _SIGNATURE + _chunk(b"IHDR", header) + comment + _chunk(b"IDAT", zlib.compress(b"\0" * 64))
