"""Images as trainers want them: upright RGB JPEG without alpha, untouched where they are that already."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

QUALITY = 95

# Extension by format. The names are Pillow's, in lower case; `mpo` is a phone's JPEG with a second picture.
EXTENSIONS = {
    "jpeg": "jpg",
    "mpo": "jpg",
    "png": "png",
    "webp": "webp",
    "gif": "gif",
    "bmp": "bmp",
    "tiff": "tif",
    "avif": "avif",
    "heif": "heic",
}

# Everything that Pillow's decoders were seen to throw on broken files.
BROKEN: tuple[type[Exception], ...] = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    LookupError,
    OverflowError,
    struct.error,
    zlib.error,
)


class Undecodable(Exception):
    """The bytes are not an image that can be re-encoded."""


def sniff(data: bytes) -> str | None:
    """The image's format by its first bytes, named as in `EXTENSIONS`; None for what is none of them."""
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "webp"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if data.startswith(b"BM"):
        return "bmp"
    if data.startswith((b"II*\0", b"MM\0*")):
        return "tiff"
    if data[4:8] == b"ftyp":
        brands = data[8:12]
        if brands in (b"avif", b"avis"):
            return "avif"
        if brands in (b"heic", b"heix", b"mif1", b"msf1"):
            return "heif"
    return None


def extension(data: bytes, declared: str | None = None) -> str:
    """What a file with these bytes should be called. The bytes decide; `declared` names what they do not."""
    found = sniff(data) or (declared or "").lower()
    if found not in EXTENSIONS:
        raise Undecodable(f"no image format that is known (it begins with {data[:8]!r})")
    return EXTENSIONS[found]


def training_jpeg(data: bytes) -> bytes:
    """The same bytes where they are an upright RGB JPEG, else the image re-encoded as one.

    Trainers open files with `Image.open(...).convert("RGB")`: they ignore the EXIF orientation, paint alpha
    black and misread wide gamuts, so all of that is settled here. Re-encoding is quality 95 without chroma
    subsampling; of an animation the first frame.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            # Pillow converts on its own what is stored as YCbCr; other modes need our conversion
            if image.format in ("JPEG", "MPO") and image.mode == "RGB" and not _turned(image):
                return data
            buffer = io.BytesIO()
            upright_rgb(image).save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    except Image.DecompressionBombError as error:
        raise Undecodable(str(error)) from error
    except BROKEN as error:
        raise Undecodable(f"{type(error).__name__}: {error}") from error
    return buffer.getvalue()


def _turned(image: Image.Image) -> bool:
    return image.getexif().get(0x0112, 1) not in (0, 1)  # 0 is written by some cameras for "unknown"


def upright_rgb(image: Image.Image) -> Image.Image:
    """First frame, EXIF orientation applied, sRGB, alpha on white, 8 bits."""
    from PIL import Image, ImageOps

    image.seek(0)
    profile = image.info.get("icc_profile")
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        image = _eight_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
        image = image.convert("RGB")
    if profile and image.mode in ("RGB", "CMYK", "L"):
        image = _to_srgb(image, profile)
    plain = image.convert("RGB")
    plain.info = {}  # comments and resolution would otherwise be saved again
    return plain


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey as 8-bit grey: `convert` would clip it to white."""
    import numpy as np
    from PIL import Image

    values = np.asarray(image).astype(np.int64)
    if values.size and values.max() > 255:
        values >>= 8
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    from PIL import ImageCms

    try:
        found = ImageCms.profileToProfile(
            image, io.BytesIO(profile), ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except ImageCms.PyCMSError:  # a profile of another colour space, or a broken one: as if there was none
        return image
    return image if found is None else found
