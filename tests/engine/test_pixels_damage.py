"""The canonical decode, on files that are cut, damaged, or made to exhaust memory and time."""

from __future__ import annotations

import random
import resource
import struct
import time
import warnings
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from pictures import HOW, chunk, encoded, ok, photo, png, zeros
from PIL import Image

from curate.pixels import Decode, Pixels, decode, decoded
from curate.stage import DECODE_REASONS

# -- damage --


def encodings() -> dict[str, bytes]:
    image = photo(90, 120)
    exif = Image.Exif()
    exif[0x0112] = 6
    return {
        "jpeg": encoded(image, "JPEG", quality=90),
        "progressive": encoded(image, "JPEG", quality=90, progressive=True, exif=exif),
        "grey": encoded(image.convert("L"), "JPEG"),
        "cmyk": encoded(image.convert("CMYK"), "JPEG"),
        "restarts": encoded(image, "JPEG", restart_marker_rows=1),
        "png": encoded(image, "PNG"),
        "apng": encoded(image, "PNG", save_all=True, append_images=[photo(90, 120, 1)]),
        "lossless webp": encoded(image, "WEBP", lossless=True),
        "webp": encoded(image, "WEBP"),
        "alpha webp": encoded(image.convert("RGBA"), "WEBP", exif=exif),
    }


def test_cut_anywhere_never_passes() -> None:
    rng = random.Random(0)
    told = 0
    for name, data in encodings().items():
        assert isinstance(decode(data, HOW), Pixels), name
        places = {
            1,
            2,
            len(data) - 1,
            len(data) - 2,
            len(data) - 3,
            *(rng.randrange(1, len(data)) for _ in range(40)),
        }
        for place in places:
            found = decode(data[:place], HOW)
            assert found in ("truncated", "corrupt"), (name, place, len(data))
            told += found == "truncated"
        told -= len(places)
    assert told > -40, "most cuts are told from damage"


def test_zeros_in_place_of_the_rest_never_pass() -> None:
    """What a download into a preallocated file leaves behind when it stops."""
    for name, data in encodings().items():
        if "webp" in name:
            continue  # WebP has no checksum, and zeros are valid code
        half = len(data) // 2
        assert decode(data[:half] + bytes(len(data) - half), HOW) in ("truncated", "corrupt"), name


def test_damage_in_the_middle_is_corrupt() -> None:
    data = encoded(photo(), "PNG")
    middle = len(data) // 2
    assert decode(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :], HOW) == "corrupt"
    text = chunk(b"tEXt", b"Comment\0hello")
    assert isinstance(decode(data[:33] + text + data[33:], HOW), Pixels)
    assert decode(data[:33] + text[:-1] + b"!" + data[33:], HOW) == "corrupt"
    jpeg = encoded(photo(), "JPEG")
    middle = len(jpeg) // 2
    assert decode(jpeg[:middle] + b"\xff\xd9" + jpeg[middle:], HOW) == "corrupt"


def test_bytes_behind_the_end_do_no_harm() -> None:
    for name, data in encodings().items():
        found = decode(data + b"\0\0trailing <html>", HOW)
        assert isinstance(found, Pixels), name
        assert np.array_equal(found.data, ok(data, full=False).data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>", "corrupt"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(range(256)) * 9, "truncated"),
        (b"\x00" * 500, "corrupt"),
        (encoded(photo(20, 20), "PPM"), "corrupt"),
        (encoded(photo(20, 20), "ICO"), "corrupt"),
        (encoded(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"), "corrupt"),
    ],
)
def test_what_is_no_image_we_read(data: bytes, reason: str) -> None:
    assert decode(data, HOW) == reason


@pytest.mark.filterwarnings("error")
def test_random_damage_raises_nothing() -> None:
    rng = random.Random(1)
    files = [*encodings().values(), encoded(photo(40, 50), "GIF"), encoded(photo(40, 50), "BMP")]
    files += [encoded(photo(40, 50), "TIFF", compression=c) for c in ("raw", "tiff_lzw", "jpeg")]
    for _ in range(400):
        data = bytearray(rng.choice(files))
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(min(len(data), 200) if rng.random() < 0.7 else len(data))] = rng.randrange(256)
        found = decode(bytes(data), HOW)
        assert isinstance(found, Pixels) or found in DECODE_REASONS


# -- bombs --


def webp_claiming(width: int, height: int) -> bytes:
    """An animated WebP: a canvas of that size, and a small picture in its corner."""
    picture = encoded(photo(20, 20), "WEBP", lossless=True)[12:]
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    frame = bytes(6) + b"\x13\0\0\x13\0\0" + bytes(4) + picture
    chunks = ((b"VP8X", b"\x02\0\0\0" + size), (b"ANIM", bytes(6)), (b"ANMF", frame))
    body = b"WEBP" + b"".join(name + struct.pack("<I", len(part)) + part for name, part in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


BOMBS: dict[str, Callable[[], bytes]] = {
    "576 megapixels in 70 KB": lambda: png(24_000, 24_000, 1, 0, zeros(24_000 * 3001)),
    "a header of 100000 x 100000": lambda: png(100_000, 100_000, 8, 2, b""),
    "a JPEG of 65500 x 65500": lambda: _patched_jpeg(65_500, 65_500),
    "a GIF screen of 65535 x 65535": lambda: (
        encoded(photo(9, 9), "GIF")[:6] + b"\xff" * 4 + encoded(photo(9, 9), "GIF")[10:]
    ),
    "a BMP of 60000 x 60000": lambda: _patched_bmp(60_000, 60_000),
    "a TIFF of 60000 x 60000": lambda: _patched_tiff(60_000, 60_000),
    "a WebP canvas of 16383 x 16383": lambda: webp_claiming(16_383, 16_383),
    "a WebP canvas of 10001 x 10000": lambda: webp_claiming(10_001, 10_000),
    "a zTXt of 200 MB": lambda: png(
        1, 1, 8, 0, zlib.compress(b"\0\0"), chunk(b"zTXt", b"Comment\0\0" + zeros(200 << 20))
    ),
    "100 texts of 1 MB": lambda: png(
        1, 1, 8, 0, zlib.compress(b"\0\0"), *[chunk(b"zTXt", b"Comment\0\0" + zeros(1_000_000))] * 100
    ),
    "5000 scans": lambda: _many_scans(5000),
}


def _patched_jpeg(width: int, height: int) -> bytes:
    data = encoded(photo(16, 16), "JPEG")
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + struct.pack(">HH", height, width) + data[place + 4 :]


def _patched_bmp(width: int, height: int) -> bytes:
    data = encoded(photo(16, 16), "BMP")
    return data[:18] + struct.pack("<ii", width, height) + data[26:]


def _patched_tiff(width: int, height: int) -> bytes:
    small = photo(16, 16)
    data = encoded(small, "TIFF", compression="tiff_adobe_deflate")
    for tag, value in ((256, width), (257, height), (278, height)):
        entry = next(struct.pack("<HH", tag, t) for t in (3, 4) if struct.pack("<HH", tag, t) in data)
        place = data.index(entry)
        data = data[:place] + struct.pack("<HHII", tag, 4, 1, value) + data[place + 12 :]
    return data


def _many_scans(n: int) -> bytes:
    """The last refinement scan of a progressive JPEG over and over."""
    data = encoded(photo(64, 64).convert("L"), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * n + data[-2:]


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_before_they_are_decoded(name: str) -> None:
    data = BOMBS[name]()
    assert len(data) < 12_000_000
    before, peak, start = decoded(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    assert decode(data, HOW) == "bomb"
    assert decode(data, HOW, full=True) == "bomb"
    assert time.process_time() - start < 1.0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 40_000  # KB
    assert decoded() == before


def test_the_limit_is_the_recipes() -> None:
    data = encoded(photo(100, 101), "PNG")
    assert decode(data, Decode(max_pixels=10_099)) == "bomb"
    assert isinstance(decode(data, Decode(max_pixels=10_100)), Pixels)


def test_large_images_below_the_limit_pass_without_a_warning() -> None:
    """90 megapixels: beyond the size at which Pillow's own open() warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = decode(png(10_000, 9000, 1, 0, zeros(9000 * 1251)), HOW)
    assert isinstance(found, Pixels)
    assert (found.true_height, found.true_width) == (9000, 10_000)
