"""See `Sharpness`."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.sample import Level
from curate.stage import CANONICAL, Map, Op, Out
from stages.common.columns import frames
from stages.common.luma import every_nth_row, luma, sums

_BAND = 65_536  # pixels at a time: what is made of them stays in the cache
_BLOCK = 8  # pixels of a JPEG block
_FEW = 8  # blocks a side: fewer prove nothing
_RARE = 0.004  # share of steps that means nothing: one line in a drawing on white is no grid


class Sharpness(Map):
    """How much fine detail there is, and how far the blocks of a strong compression show.

        image_sharpness    variance of the 4-neighbour Laplacian (0 1 0 / 1 -4 1 / 0 1 0, edges reflected
                           without repeating them) over luma of 0 to 255; equals
                           `cv2.Laplacian(grey, cv2.CV_64F).var()`. Pech-Pacheco et al. 2000, "Diatom
                           autofocusing in brightfield microscopy", who call it LAPV
        image_blockiness   0 to 1: (a - b) / (a + b + 0.004), where a is the share of places at which luma
                           steps further than right before and behind, taken at that one in eight columns
                           (or rows) where it is largest, b the median of the eight; the smaller of columns
                           and rows. Steps at the edges of blocks against steps within, after Wang, Sheikh
                           and Bovik 2002, "No-reference perceptual quality assessment of JPEG compressed
                           images". 0 below 67 pixels a side; of large images,
                           rows and columns at equal distances are counted, at least 48

    Both are of the canonical decode, whose short side is below twice `decode.short_side` whatever the
    file's: a large photo is not sharp just for being large. A decode reduced to a quarter or less has no
    blocks left to show. Blur lowers the sharpness, noise raises it.

    Suggested: image_sharpness {min: 10, max: 15000}, image_blockiness {max: 0.5}. In 2,500 pairs of `curate
    demo` that the bounds were not chosen on, the first finds all 39 blurred, enlarged and noisy images (0.3
    to 2.7 and 19,600 to 43,000; others 80 to 4,800, 1 to 99 %), the second 7 of 11 compressed to shreds:
    92 % of `low_quality`, with 0.9 % of the others. Below the first bound lie 0.5
    to 2 % of real images (what a manual shows of blur and fog, clip art that is blank), above it 2 to 6 %
    (edge filters and noise in the manual, but black figures and patterns as well: hard edges count as
    detail, so leave `max` out for drawings). Out of the second lie 1 to 2 %, the manual's example of JPEG
    quality 10 among them, and flags whose stripes end on a grid of 8.
    """

    stage: Literal["sharpness"] = "sharpness"
    level: ClassVar[Level] = "image"

    def reads(self) -> frozenset[str]:
        return frozenset({CANONICAL})

    def writes(self) -> pa.Schema:
        return pa.schema([("image_sharpness", pa.float32()), ("image_blockiness", pa.float32())])

    def open(self) -> Op:
        def op(table: pa.Table) -> Out:
            greys = [None if f is None else luma(f) for f in frames(table[CANONICAL])]
            variance = [None if g is None else _laplacian_variance(g) for g in greys]
            blocks = [None if g is None else _blockiness(g) for g in greys]
            return Out(
                {
                    "image_sharpness": pa.array(variance, pa.float32()),
                    "image_blockiness": pa.array(blocks, pa.float32()),
                }
            )

        return op


def _laplacian_variance(grey: npt.NDArray[np.uint8]) -> float:
    padded = _padded(grey)
    band = max(1, _BAND // grey.shape[1])
    total = squares = 0
    for top in range(0, len(grey), band):
        wide = padded[top : top + band + 2].astype(np.int16)
        found = wide[:-2, 1:-1] + wide[2:, 1:-1]
        found += wide[1:-1, :-2]
        found += wide[1:-1, 2:]
        found -= wide[1:-1, 1:-1] << 2
        some, of_squares = sums(found)
        total, squares = total + some, squares + of_squares
    return (grey.size * squares - total**2) / grey.size**2


def _padded(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """One pixel more on each side: mirrored about the edge pixel; a single row or column is repeated."""
    rows, columns = grey.shape
    wide = np.empty((rows + 2, columns + 2), dtype=np.uint8)
    wide[1:-1, 1:-1] = grey
    wide[0, 1:-1], wide[-1, 1:-1] = grey[min(1, rows - 1)], grey[max(rows - 2, 0)]
    wide[:, 0], wide[:, -1] = wide[:, 1 + min(1, columns - 1)], wide[:, 1 + max(columns - 2, 0)]
    return wide


def _blockiness(grey: npt.NDArray[np.uint8]) -> float:
    return min(_on_a_grid(every_nth_row(grey)), _on_a_grid(np.ascontiguousarray(every_nth_row(grey.T))))


def _on_a_grid(lines: npt.NDArray[np.uint8]) -> float:
    """How much oftener a step along the lines stands out at one place in eight than at the others."""
    step = np.maximum(lines[:, 1:], lines[:, :-1]) - np.minimum(lines[:, 1:], lines[:, :-1])
    stands_out = step[:, 1:-1] > np.maximum(step[:, :-2], step[:, 2:])
    blocks = stands_out.shape[1] // _BLOCK
    if blocks < _FEW:
        return 0.0
    counts = stands_out[:, : blocks * _BLOCK].sum(axis=0, dtype=np.int32)
    shares = counts.reshape(blocks, _BLOCK).sum(axis=0) / (len(lines) * blocks)
    # the grid may begin anywhere: a picture is cropped before it is compressed, and turned after
    most, usual = float(shares.max()), float(np.median(shares))
    return (most - usual) / (most + usual + _RARE)
