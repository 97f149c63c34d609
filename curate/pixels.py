"""The canonical decode: from an encoded file to upright sRGB pixels, the same for every stage of a recipe.

    integer reduction   1, 1/2, 1/4, 1/8 ...: the strongest that leaves the short side >= `short_side`
    upright             EXIF orientation applied
    sRGB, 8 bit         ICC profile applied, CMYK converted, 16 bit to its high byte
    alpha               composited on white
    frames              the first one

A JPEG is reduced by its decoder (a smaller inverse DCT), everything else by box averages, by the same
factor: a PNG made from a JPEG comes out nearly equal. Decoding is strict: data that ends early or breaks a
checksum never passes for an image. Pillow alone lets much of it pass (a JPEG damaged in the middle, a PNG
without its end or with wrong checksums).

Formats: JPEG, PNG, WebP, GIF, BMP, TIFF. Their Pillow classes are used directly, not through `Image.open`,
which probes other formats and has a threshold against bombs that only global state can change.
"""

from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from curate.buffers import view_array
from curate.colour import to_srgb, transform
from curate.errors import BUGS
from curate.stage import PIXELS

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

Frame: TypeAlias = npt.NDArray[np.uint8]
Least: TypeAlias = Callable[[int, int], tuple[int, int]]
T = TypeVar("T")

# The JPEG decoder's own reductions end at 1/8.
_DCT_LIMIT = 8
# A progressive JPEG may hold thousands of scans over the same pixels, each as costly as a decode. Encoders
# write about ten; libjpeg-turbo's TJPARAM_SCANLIMIT proposes 500 for this purpose.
_SCAN_LIMIT = 500
# Pillow's words for data that ends early, and libjpeg's.
_ENDS_EARLY = ("truncated", "broken data stream", "premature end of jpeg file")
# Pillow's words for compressed text chunks that inflate beyond its limits.
_TEXT_BOMB = ("decompressed data too large", "too much memory used in text chunks")
# What reading a malformed EXIF block raises. Its pixels are as good as any: it counts as absent.
_BAD_EXIF = (SyntaxError, ValueError, LookupError, TypeError, OSError, EOFError, struct.error)

_WARNINGS = threading.RLock()
_decoded = 0


class Decode(BaseModel):
    """The recipe's `decode:`, part of every fingerprint that rests on pixels."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    short_side: int = Field(
        default=256,
        ge=1,
        description="Reduce by a power of two while the short side stays this long.",
    )
    # Image.MAX_IMAGE_PIXELS: Pillow warns beyond 1 GiB / 4 / 3 = 89.5 M, and refuses beyond twice that;
    # this lies between the two: 300 MB of RGB.
    max_pixels: int = Field(
        default=100_000_000,
        ge=1,
        description="A declared width * height beyond this is a `bomb`.",
    )


class Pixels(NamedTuple):
    """One decoded image."""

    data: Frame  # (height, width, 3), upright sRGB
    true_height: int  # of the file, upright
    true_width: int
    format: str
    animated: bool  # more than one frame or page; `data` is the first
    alpha: bool  # some pixel is not opaque


def decoded() -> int:
    """Number of images decoded by this process."""
    return _decoded


def decode(data: bytes, how: Decode, full: bool = False, least: Least | None = None) -> Pixels | str:
    """The image, or the reason why there is none: `empty`, `corrupt`, `truncated`, `bomb`.

    `least`: from the upright width and height to those that must be left. It replaces the canonical
    reduction: a JPEG is reduced by its decoder as far as that allows, other formats come in full.
    """
    global _decoded
    if not data:
        return "empty"
    kind = _kind(data)
    if kind is None:
        return "corrupt"
    image = _try(_open, kind, data)
    if not isinstance(image, str) and image.size[0] * image.size[1] > how.max_pixels:
        return "bomb"  # whatever else may be wrong with it
    if fault := _container_fault(kind, data):
        return fault
    if isinstance(image, str):
        return _blame(image, kind, data)
    width, height = image.size
    if least is not None:
        factor = _sufficient(image, least) if kind == "jpeg" else 1
    else:
        factor = 1 if full else _factor(min(width, height), how.short_side)
    read = _try(_READERS.get(kind, _read_other), image, data, factor)
    if isinstance(read, str):
        return _blame(read, kind, data)
    _decoded += 1
    frame, alpha, animated, orientation = read
    if orientation >= 5:  # the four that swap the sides
        width, height = height, width
    return Pixels(np.ascontiguousarray(_upright(frame, orientation)), height, width, kind, animated, alpha)


def plain(data: bytes) -> tuple[str, int, int] | None:
    """Format, width and height of an upright, opaque sRGB image with one frame, which every program shows
    alike; None for all else. Only the header is read, but where a PNG may turn its image behind the pixels.
    """
    kind = _kind(data)
    found = None if kind is None else _try(_plain, kind, data)
    return None if isinstance(found, str) else found


def _plain(kind: str, data: bytes) -> tuple[str, int, int] | None:
    image = _open(kind, data)
    profile = image.info.get("icc_profile")
    if image.mode != "RGB" or image.has_transparency_data or getattr(image, "is_animated", False):
        return None
    if profile and transform(profile, "RGB"):
        return None
    turned = _jpeg_orientation(image) if kind == "jpeg" else _orientation(image)
    return None if turned != 1 else (kind, *image.size)


def column(images: Sequence[Pixels | None]) -> pa.StructArray:
    """The PIXELS column of decoded images, viewed where they lie; None makes a null."""
    columns: dict[str, list[Any]] = {
        "height": [i and i.data.shape[0] for i in images],
        "width": [i and i.data.shape[1] for i in images],
        "true_height": [i and i.true_height for i in images],
        "true_width": [i and i.true_width for i in images],
        "format": [i and i.format for i in images],
        "animated": [i and i.animated for i in images],
        "alpha": [i and i.alpha for i in images],
    }
    data = view_array([i and i.data.reshape(-1) for i in images])
    arrays = [data if f.name == "data" else pa.array(columns[f.name], f.type) for f in PIXELS]
    missing = pa.array([i is None for i in images], pa.bool_())
    return pa.StructArray.from_arrays(arrays, fields=list(PIXELS), mask=missing)


def _kind(data: bytes) -> str | None:
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "webp"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0", b"MM\0+\0\x08\0\0")):
        return "tiff"
    return "bmp" if data.startswith(b"BM") else None


def _container_fault(kind: str, data: bytes) -> str | None:
    """What the container alone gives away, before any decoder sees the data."""
    if kind == "webp":
        return "truncated" if int.from_bytes(data[4:8], "little") + 8 > len(data) else None
    return _png_fault(data) if kind == "png" else None


def _png_fault(data: bytes) -> str | None:
    """Walk the chunks to IEND. Pillow checks neither the checksums of pixel data nor that there is an end."""
    view, place, end = memoryview(data), 8, len(data)
    while place + 12 <= end:
        after = place + 12 + int.from_bytes(view[place : place + 4], "big")
        if after > end:
            return "truncated"
        if zlib.crc32(view[place + 4 : after - 4]) != int.from_bytes(view[after - 4 : after], "big"):
            return "corrupt"
        if bytes(view[place + 4 : place + 8]) == b"IEND":
            return None
        place = after
    return "truncated"


def _try(step: Callable[..., T], *arguments: Any) -> T | str:
    """The step's result, or the reason why a decoder refused the data.

    Decoders raise anything on bad data (ValueError, SyntaxError, TypeError, struct.error, zlib.error ...), so
    this is one of the two broad handlers of the repository. What no data can cause is raised on.
    """
    from PIL import Image

    try:
        return step(*arguments)
    except (ImportError, MemoryError):
        raise
    except Image.DecompressionBombError:
        return "bomb"
    except Exception as problem:
        if isinstance(problem, BUGS) and _raised_here(problem):
            raise
        text = str(problem).lower()
        if any(words in text for words in _TEXT_BOMB):
            return "bomb"
        return "truncated" if any(words in text for words in _ENDS_EARLY) else "corrupt"


def _raised_here(problem: BaseException) -> bool:
    """By a line of this file, not by a decoder's: then a type among BUGS is our mistake."""
    trace = problem.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_code.co_filename == __file__


def _blame(reason: str, kind: str, data: bytes) -> str:
    """A JPEG cut within its header fails in many ways: that no end marker is left says why."""
    return "truncated" if reason == "corrupt" and kind == "jpeg" and b"\xff\xd9" not in data else reason


@lru_cache(maxsize=1)
def _classes() -> dict[str, type[ImageFile]]:
    from PIL.BmpImagePlugin import BmpImageFile
    from PIL.GifImagePlugin import GifImageFile
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile
    from PIL.TiffImagePlugin import TiffImageFile
    from PIL.WebPImagePlugin import WebPImageFile

    return {
        "jpeg": JpegImageFile,
        "png": PngImageFile,
        "webp": WebPImageFile,
        "gif": GifImageFile,
        "tiff": TiffImageFile,
        "bmp": BmpImageFile,
    }


def _open(kind: str, data: bytes) -> ImageFile:
    """Header only: Pillow reads pixels in load()."""
    with _quiet():
        return _classes()[kind](io.BytesIO(data))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Pillow's warnings about odd metadata, which `-W error` would make a verdict on the image.

    Warning filters belong to the process, and restoring them is not thread-safe: hence the lock. It is held
    while Python parses headers, not while pixels are decoded (TIFF apart).
    """
    with _WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _factor(short: int, wanted: int) -> int:
    factor = 1
    while short // (factor * 2) >= wanted:
        factor *= 2
    return factor


def _sufficient(image: ImageFile, least: Least) -> int:
    """The strongest reduction of a JPEG's decoder that leaves at least so much.

    Where the sides are no multiples of it, the last pixel stands for less than the others. In a turned image
    that would be the first one, which nobody expects: it is reduced by what divides its sides.
    """
    width, height = image.size
    orientation = _jpeg_orientation(image)
    wide, tall = least(width, height) if orientation < 5 else least(height, width)[::-1]
    factor = _DCT_LIMIT
    while factor > 1:
        divides = width % factor == height % factor == 0
        if width >= wide * factor and height >= tall * factor and (orientation == 1 or divides):
            break
        factor //= 2
    return factor


def _read_jpeg(image: ImageFile, data: bytes, factor: int) -> tuple[Frame, bool, bool, int]:
    """Pillow knows the header, simplejpeg (libjpeg-turbo) decodes: faster, and strict about warnings."""
    import simplejpeg
    from PIL import Image

    assert image.fp is not None  # it stands behind the first scan's marker: length (2 bytes), components
    several = "progressive" in image.info or data[image.fp.tell() + 2] < len(image.getbands())
    if several and data.count(b"\xff\xda") > _SCAN_LIMIT:
        raise Image.DecompressionBombError("too many scans")
    width, height = image.size
    dct = min(factor, _DCT_LIMIT)
    profile = image.info.get("icc_profile")
    space = {"L": "GRAY" if profile else "RGB", "CMYK": "CMYK"}.get(image.mode, "RGB")
    small = (-(-height // dct), -(-width // dct))
    # simplejpeg takes the smallest of libjpeg's scales that is at least this large: exactly 1/dct.
    least = small if dct > 1 else (0, 0)
    frame: Frame = simplejpeg.decode_jpeg(data, space, min_height=least[0], min_width=least[1], strict=True)
    if frame.shape[:2] != small:
        raise ValueError(f"decoded to {frame.shape}, the header promised {small}")
    if space == "CMYK":
        frame = 255 - frame  # four-channel JPEG is inverted, as Adobe writes it and Pillow reads it
    if space != "RGB" or profile or factor > dct:
        mode = {"GRAY": "L"}.get(space, space)
        whole = Image.frombuffer(mode, (small[1], small[0]), np.ascontiguousarray(frame), "raw", mode, 0, 1)
        frame = np.asarray(to_srgb(whole.reduce(factor // dct), profile))
    return frame, False, False, _jpeg_orientation(image)


def _read_other(image: ImageFile, data: bytes, factor: int) -> tuple[Frame, bool, bool, int]:
    image.load()
    flat, alpha = _flatten(image)
    frame: Frame = np.asarray(to_srgb(flat.reduce(factor), image.info.get("icc_profile")))
    orientation = _orientation(image)  # after load(): a PNG may hold its EXIF behind the pixels
    # Asked last: to look for a second frame, a GIF moves on to it.
    return frame, alpha, bool(getattr(image, "is_animated", False)), orientation


def _read_tiff(image: ImageFile, data: bytes, factor: int) -> tuple[Frame, bool, bool, int]:
    with _quiet():  # TIFF goes on parsing its directories while it loads
        return _read_other(image, data, factor)


_READERS = {"jpeg": _read_jpeg, "tiff": _read_tiff}


def _flatten(image: Image) -> tuple[Image, bool]:
    """Without palette and alpha: mode L, RGB or CMYK; and whether any pixel was not opaque."""
    from PIL import Image

    if image.mode.startswith("I;16"):
        grey = np.asarray(image)
        clear = grey == image.info.get("transparency", -1)
        # The high byte, as Pillow does with the channels of a 16-bit colour PNG.
        return Image.fromarray(np.where(clear, 255, grey >> 8).astype(np.uint8)), bool(clear.any())
    if image.mode in ("I", "F"):
        raise ValueError("32-bit samples have no range that would say what white is")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        opacity = image.getchannel("A")
        if opacity.getextrema() != (255, 255):
            white = Image.new("RGB", image.size, "white")
            white.paste(image, mask=opacity)
            return white, True
    if image.mode == "1":
        return image.convert("L"), False
    return (image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB")), False


def _jpeg_orientation(image: ImageFile) -> int:
    """`_orientation` without a search where there is nothing to search."""
    return _orientation(image) if "exif" in image.info or "xmp" in image.info else 1


def _orientation(image: ImageFile) -> int:
    """EXIF orientation 1 to 8. Pillow turns a TIFF upright itself, and then reports 1."""
    try:
        with _quiet():
            found = image.getexif().get(0x0112, 1)
    except _BAD_EXIF:
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _upright(frame: Frame, orientation: int) -> Frame:
    """Undo the camera's turn: transpose for 5 to 8, then mirror."""
    if orientation >= 5:
        frame = frame.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        frame = frame[::-1]
    if orientation in (2, 3, 6, 7):
        frame = frame[:, ::-1]
    return np.ascontiguousarray(frame)
