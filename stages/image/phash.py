"""See `Phash`."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from curate.sample import Level
from curate.stage import CANONICAL, Map, Op, Out
from stages.common import thumbs
from stages.common.columns import frames

if TYPE_CHECKING:
    from PIL.Image import Image

Frame = npt.NDArray[np.uint8]
Kind: TypeAlias = Literal["phash", "dhash", "phash256", "thumb"]

_COLUMNS: dict[Kind, pa.Field] = {
    "phash": pa.field("image_phash", pa.uint64()),
    "dhash": pa.field("image_dhash", pa.uint64()),
    "phash256": pa.field("image_phash256", pa.binary(32)),
    "thumb": pa.field("image_thumb", pa.binary(thumbs.SIZE)),
}
_WIDE = 4  # pixels of the image that is transformed for each frequency of the hash, each side


class Phash(Map):
    """Perceptual hashes and a tiny picture of each image, by which copies are found.

        image_phash      64 bits as `imagehash.phash`: luma (BT.601), 32 x 32 pixels (Lanczos), DCT-II, the
                         8 x 8 lowest frequencies row by row, 1 where above their median (the mean among
                         them); the first is the highest bit
        image_dhash      64 bits as `imagehash.dhash`: luma, 9 x 8 pixels, 1 where brighter than the pixel to
                         the left
        image_phash256   32 bytes as `imagehash.phash(hash_size=16)`: the same out of 64 x 64 pixels, 16 x 16
                         frequencies
        image_thumb      6,145 bytes: the image as 64 x 64 box averages of Y, 32 x 32 of Cb and of Cr (as in
                         JPEG), whatever its shape, and 128 + 32 log2(width / height)

    Of the canonical decode: the hash of a large file differs from that of its full decode in few bits if
    any. `near_image` needs the thumb alone; hashes are for comparing with those that others made. The DCT is
    one of whole numbers, so that equal pixels have equal hashes on every machine. On a picture of one colour
    all frequencies but the mean are 0; symmetric figures have many that are 0 but for noise, which makes
    their pHash unstable. Zauner 2010, "Implementation and benchmarking of perceptual image hash functions".
    """

    stage: Literal["phash"] = "phash"
    level: ClassVar[Level] = "image"
    version: ClassVar[int] = 2

    kinds: tuple[Kind, ...] = Field(default=("phash", "thumb"), min_length=1, description="What to write.")

    def reads(self) -> frozenset[str]:
        return frozenset({CANONICAL})

    def writes(self) -> pa.Schema:
        return pa.schema([_COLUMNS[kind] for kind in dict.fromkeys(self.kinds)])

    def open(self) -> Op:
        def op(table: pa.Table) -> Out:
            rows = [self._measured(frame) for frame in frames(table[CANONICAL])]
            return Out(
                {f.name: pa.array([row[i] for row in rows], f.type) for i, f in enumerate(self.writes())}
            )

        return op

    def _measured(self, frame: Frame | None) -> list[int | bytes | None]:
        if frame is None:
            return [None] * len(self.writes())
        image = _image(frame)
        grey = image.convert("L") if set(self.kinds) != {"thumb"} else image  # a thumb asks for colours alone
        return [_MAKERS[kind](image, grey) for kind in dict.fromkeys(self.kinds)]


def _image(frame: Frame) -> Image:
    from PIL import Image

    height, width, _ = frame.shape
    return Image.frombuffer("RGB", (width, height), np.ascontiguousarray(frame))


def _phash(_: Image, grey: Image) -> int:
    return int.from_bytes(_above_median(grey, 8), "big")


def _phash256(_: Image, grey: Image) -> bytes:
    return _above_median(grey, 16)


def _dhash(_: Image, grey: Image) -> int:
    pixels = _resized(grey, 9, 8)
    return int.from_bytes(np.packbits(pixels[:, 1:] > pixels[:, :-1]).tobytes(), "big")


def _thumb(image: Image, _: Image) -> bytes:
    return thumbs.of_image(image)


_MAKERS: dict[Kind, Callable[[Image, Image], int | bytes]] = {
    "phash": _phash,
    "dhash": _dhash,
    "phash256": _phash256,
    "thumb": _thumb,
}


def _above_median(grey: Image, side: int) -> bytes:
    basis = _basis(side)
    found = basis @ _resized(grey, _WIDE * side, _WIDE * side).astype(np.float64) @ basis.T
    return np.packbits(found > np.median(found)).tobytes()


def _resized(grey: Image, width: int, height: int) -> Frame:
    from PIL import Image

    return np.asarray(grey.resize((width, height), Image.Resampling.LANCZOS))


@lru_cache(maxsize=2)
def _basis(side: int) -> npt.NDArray[np.float64]:
    """(side, 4 side): the lowest frequencies of the DCT-II in units of 2**-16. Products of these whole
    numbers with those of the pixels are exact in float64, in whatever order they are added."""
    wide = _WIDE * side
    angles = np.pi * (2 * np.arange(wide) + 1) * np.arange(side)[:, None] / (2 * wide)
    basis: npt.NDArray[np.float64] = np.rint(np.cos(angles) * 2**16)
    return basis
