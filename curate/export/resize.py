"""Images resized where they are written: from a file to upright sRGB of just one size, encoded anew.

    stretch   the whole image becomes width x height, whatever its aspect was
    crop      the whole image is scaled until it covers width x height, then cut about its centre

The law of `crop`, in whole numbers, for an upright image of w x h pixels and a target of W x H:

    W * h >= H * w   the whole becomes W x C, C = (2 * h * W + w) // (2 * w)    (h * W / w, half up)
    else             the whole becomes C x H, C = (2 * w * H + h) // (2 * h)
    the cut begins at ((that width - W) // 2, (that height - H) // 2)

A point (x, y) of the upright image is then at (x * (that width) / w - left, y * (that height) / h - top).

Only the cut is computed: it differs from the whole, resized and then cut, by 1 of 255 at most, but for less
than one value in a thousand, where the filter overshoots.

Filters are Pillow's, which widen as they reduce (antialias). A JPEG is reduced by its decoder first, by 2, 4
or 8, as long as at least twice the pixels asked for are left on both sides. On photographs the result differs
from that of a full decode by 44 dB or more (largest difference 14 of 255): less than what the encoding loses.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from curate.export.jpeg import EXTENSIONS, Undecodable
from curate.pixels import Decode, decode, plain

if TYPE_CHECKING:
    from PIL.Image import Image

Fit: TypeAlias = Literal["stretch", "crop"]

# Pixels of the reduced image a side, for one of the result.
_AT_LEAST = 2
# The recipe's own limit has let the image pass when it was read.
_ANY_SIZE = Decode(max_pixels=2**40)
# Lossless WebP by its quickest way, lossy by the second: 12 % more bytes in a fourteenth, 0.3 dB less in half
# of the time that Pillow's defaults take. PNG at level 3: 5 % more bytes in 40 % of the time.
_LOSSLESS = {"lossless": True, "quality": 0, "method": 0}
_METHOD = 2
_PNG_LEVEL = 3


class Target(NamedTuple):
    """What a writer makes of an image."""

    width: int
    height: int
    fit: Fit = "stretch"


class Cut(NamedTuple):
    """The whole image scaled to width x height; what is left of it begins at left, top."""

    width: int
    height: int
    left: int
    top: int


class Resize(BaseModel):
    """How images are resized and stored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["jpeg", "webp", "png"] = "jpeg"
    # 4:4:4 beats 4:2:0 of as many bytes at every quality: 90 without subsampling has the error of 95 with it
    # (img2dataset's default) in 13 % fewer bytes.
    quality: Annotated[int, Field(ge=1, le=100)] = Field(
        default=90, description="Of `jpeg` (4:4:4 always) and `webp`."
    )
    lossless: bool = Field(default=False, description="Of `webp`: every pixel as it is; no quality then.")
    filter: Literal["bicubic", "lanczos"] = "bicubic"

    @model_validator(mode="after")
    def _webp_alone(self) -> Self:
        if self.lossless and self.format != "webp":
            raise ValueError("`lossless` is a choice of `format: webp`; `png` always is")
        return self

    @property
    def ending(self) -> str:
        """The extension of what is stored."""
        return EXTENSIONS[self.format]


def cut(width: int, height: int, target: Target) -> Cut:
    """The law above, for an upright image of width x height."""
    wide, tall, fit = target
    if fit == "stretch":
        return Cut(wide, tall, 0, 0)
    if wide * height >= tall * width:
        covered = (2 * height * wide + width) // (2 * width)
        return Cut(wide, covered, 0, (covered - tall) // 2)
    covered = (2 * width * tall + height) // (2 * height)
    return Cut(covered, tall, (covered - wide) // 2, 0)


def resized(data: bytes, target: Target, how: Resize) -> bytes:
    """A file of the target's size; the same bytes where they are one already: of `how.format`, upright,
    opaque, sRGB. Undecodable where there is no image in them.
    """
    if plain(data) == (how.format, target.width, target.height):
        return data
    return encoded(pixels(data, target, how.filter), how)


def reencoded(data: bytes, how: Resize) -> bytes:
    """A file of the image's own size, upright; the same bytes where they are one already."""
    found = plain(data)
    if found is not None and found[0] == how.format:
        return data
    from PIL import Image

    whole = decode(data, _ANY_SIZE, full=True)
    if isinstance(whole, str):
        raise Undecodable(whole)
    return encoded(Image.fromarray(whole.data), how)


def pixels(data: bytes, target: Target, filter: Literal["bicubic", "lanczos"] = "bicubic") -> Image:
    """RGB of the target's size. Undecodable where there is no image in the bytes."""
    from PIL import Image

    found = decode(data, _ANY_SIZE, least=lambda w, h: _least(w, h, target))
    if isinstance(found, str):
        raise Undecodable(found)
    width, height = found.true_width, found.true_height
    whole = cut(width, height, target)
    tall, wide = found.data.shape[:2]
    # A power of two: the decoder rounds sides up.
    factor = 1 << (max(-(-width // wide), -(-height // tall)) - 1).bit_length()
    x, y = width / whole.width / factor, height / whole.height / factor
    right, bottom = (whole.left + target.width) * x, (whole.top + target.height) * y
    box = (whole.left * x, whole.top * y, min(right, wide), min(bottom, tall))
    filters = {"bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}
    return Image.fromarray(found.data).resize(target[:2], filters[filter], box)


def _least(width: int, height: int, target: Target) -> tuple[int, int]:
    whole = cut(width, height, target)
    return _AT_LEAST * whole.width, _AT_LEAST * whole.height


def encoded(image: Image, how: Resize) -> bytes:
    """The file. Equal pixels give equal bytes. Undecodable where the format holds no image of that size: WebP
    ends at 16,383 pixels a side, JPEG at 65,500.
    """
    options: dict[str, Any] = {
        "jpeg": {"quality": how.quality, "subsampling": 0},
        "png": {"compress_level": _PNG_LEVEL},
        "webp": _LOSSLESS if how.lossless else {"quality": how.quality, "method": _METHOD},
    }[how.format]
    buffer = io.BytesIO()
    try:
        image.save(buffer, how.format, **options)
    except (OSError, ValueError) as error:
        sides = f"{image.width} x {image.height}"
        raise Undecodable(f"{sides} pixels cannot be stored as {how.format}: {error}") from error
    return buffer.getvalue()
