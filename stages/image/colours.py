"""See `Colours`."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.sample import Level
from curate.stage import CANONICAL, Map, Op, Out
from stages.common.columns import frames
from stages.common.luma import every_nth_row

_CELL = 16  # levels of a channel in one cell of the colour cube: 16 x 16 x 16 cells
_COUNTS = 1000  # a cell with fewer than one in so many pixels is no colour of the image
_GREY = 10  # levels that channels of a grey pixel may lie apart: JPEG makes no exact greys


class Colours(Map):
    """Share of the most frequent colour, number of colours, and whether the image is grey.

        image_dominant_share   share of pixels in the fullest cell of the RGB cube, 0 to 1. Cells are 16
                               levels wide on each channel (4 bits) and begin every 8, so that a colour at the
                               border of two cells is not halved: there is one that has it in its middle
        image_n_colours        how many of the 4,096 cells side by side hold one pixel in 1,000 or more
        image_grey             whether the channels of at least 99 % of the pixels lie within 10 levels

    A colour histogram after Swain and Ballard 1991, "Color indexing". Of large images, rows at equal
    distances are counted: at least 48, of 16,384 pixels.

    Suggested: image_dominant_share {max: 0.97}, a blank page or a placeholder. It takes 0.1 % of the images
    of `curate demo`, which plants none, 3 % of clip art (blank pages, thin lines on white), no cut-out photo
    and 0.6 % of a manual's JPEG pictures (nearly black ones). Medians (5 to 95 %): clip art 0.68 (0.31 to
    0.95), JPEG pictures of a manual 0.16 (0.05 to 0.65).
    """

    stage: Literal["colours"] = "colours"
    level: ClassVar[Level] = "image"

    def reads(self) -> frozenset[str]:
        return frozenset({CANONICAL})

    def writes(self) -> pa.Schema:
        return pa.schema(
            [
                ("image_dominant_share", pa.float32()),
                ("image_n_colours", pa.int32()),
                ("image_grey", pa.bool_()),
            ]
        )

    def open(self) -> Op:
        fields = list(self.writes())

        def op(table: pa.Table) -> Out:
            found = [(None,) * 3 if f is None else _measured(f) for f in frames(table[CANONICAL])]
            return Out({f.name: pa.array([row[i] for row in found], f.type) for i, f in enumerate(fields)})

        return op


def _measured(frame: npt.NDArray[np.uint8]) -> tuple[float, int, bool]:
    rows = every_nth_row(frame)
    red, green, blue = (np.ascontiguousarray(rows[..., i]).ravel() for i in range(3))
    pixels = red.size
    codes = _half(red) << 10 | _half(green) << 5 | _half(blue)
    cubes = np.bincount(codes, minlength=32**3).astype(np.int32).reshape(32, 32, 32)
    # whole cells at steps of half a cell: the sum of two neighbours along each axis
    cubes = cubes[:-1] + cubes[1:]
    cubes = cubes[:, :-1] + cubes[:, 1:]
    cubes = cubes[:, :, :-1] + cubes[:, :, 1:]
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    return (
        int(cubes.max()) / pixels,
        int(np.count_nonzero(cubes[::2, ::2, ::2] >= pixels / _COUNTS)),
        bool(np.count_nonzero(spread <= _GREY) >= 0.99 * pixels),
    )


def _half(plane: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
    """The half cell of each level."""
    found: npt.NDArray[np.uint16] = (plane >> 3).astype(np.uint16)
    return found
