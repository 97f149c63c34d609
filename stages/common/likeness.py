"""Whether two images are one, by their thumbs: as they lie, or laid on one another as a crop asks for.

A crop by 2 % moves most of a picture by up to two thirds of a cell of those compared, by more than lookalikes
differ. So the way in which one lies on the other is looked for, and of both is compared what both show.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stages.common.thumbs import (
    BLANK,
    CELLS,
    COARSE,
    FINE,
    GREY,
    PARTS,
    SIDE,
    TURNS,
    Turn,
    looks,
    may_be_alike,
    planes,
    spread,
    turned,
)

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Fixed = npt.NDArray[np.int16]

_FIXED = 16  # fractions of a level in which cells are compared
_GAIN = 1.25  # of contrast and of colour that is made up for, at most
_STEPS, _STIFFNESS = 3, 1024  # to lay one on the other; what a move must be worth, levels squared
_FURTHEST = FINE // CELLS * PARTS  # parts by which an edge is moved at most: a cell
# Limits: levels, or shares of the contrast. See `alike`.
_LUMA, _FAINT, _LUMA_MEAN, _BLOCK = 40, 4, 0.45, 32
# and shares of the strength of the colours by which the one before grows
_COLOUR, _MORE, _COLOUR_MEAN, _MORE_MEAN = 8, 0.55, 4.5, 0.02
_GREY_MEAN, _GREY_STEEPER = 0.15, 1.2
_AROUND = 0.3  # of the range of the neighbours
_WORST, _BLOCK_SIDE = 4, 4  # cells
_HOPELESS, _LOST = 4, 2  # times the limits: where no move is tried, and where no further one is
_FEW = 256  # pairs at a time: what is made of them stays in the cache


def alike(a: Bytes, b: Bytes, turns: Sequence[Turn] = TURNS[:1]) -> npt.NDArray[np.float32]:
    """How alike each pair of thumbs is, 0.55 to 1; NaN where the two are not one image, in none of the
    `turns`.

    1 less the mean difference of luma in units of the lower contrast, after means and contrast were made
    equal. They are one image where, as they lie or once they are laid on one another,

        mean luma differs by 30 levels at most, Cb and Cr by 10, contrast by a factor of 1.35, width to height
        by 4 %
        the mean difference is at most 0.45, and 32 levels in each block of 4 x 4 of the 32 x 32 cells
        luma lies outside of the range of the 3 x 3 cells around the same place of the other, widened by 0.3
        of that range, by no more than 40 levels in the mean of the four worst cells, nor by more than 4 and
        twice the contrast
        Cb or Cr does so by 8 levels at most and 0.55 of the strength of the colours (their root mean square),
        and differs by 4.5 and a fiftieth of that on average

    The colours may differ where one of them is all grey, if luma differs by 0.15 at most and its contrast by
    a factor of 1.2: a grey copy has the luma of the original, a black figure has not.
    """
    found = np.full(len(a), np.nan, dtype=np.float32)
    for start in range(0, len(a), _FEW):
        part = slice(start, start + _FEW)
        for turn in turns:
            found[part] = np.fmax(found[part], _alike(a[part], turned(b[part], turn)))
    return found


class _Levelled(NamedTuple):
    """Luma of pairs, (n, 1, 32, 32) each, means and contrast made equal, in sixteenths of a level."""

    a: Fixed
    b: Fixed
    contrast: Floats  # the lower one, levels
    steeper: Floats  # how many times as high the other is


def _alike(a: Bytes, b: Bytes) -> npt.NDArray[np.float32]:
    found = np.full(len(a), np.nan, dtype=np.float32)
    rows = np.flatnonzero(may_be_alike(looks(a), looks(b)))
    by = np.zeros((len(rows), 4), dtype=np.int64)
    for step in range(_STEPS + 1):
        bound = _LOST if step else _HOPELESS
        ours, theirs = _Part(a[rows], by), _Part(b[rows], -by)
        luma = _levelled(ours.luma(), theirs.luma())
        apart, times = _luma_apart(luma)
        near = np.flatnonzero(times <= bound)
        as_grey = np.maximum(apart / _GREY_MEAN, luma.steeper / _GREY_STEEPER)[near]
        colour = _colours_apart(ours.colours(near), theirs.colours(near), as_grey)
        times[near] = np.maximum(times[near], colour)
        same = times <= 1
        found[rows[same]] = 1 - apart[same]
        left = np.flatnonzero(~same & (times <= bound))
        if step == _STEPS or not len(left):
            break
        rows, by = rows[left], _moved(by[left], luma.a[left], luma.b[left])
    return found


class _Part:
    """Of thumbs what is left without the edges that the other image does not show, in 32 x 32 cells.

    `by` (n, 4) says by how many parts of the side the other's top, bottom, left and right edge lie further
    down or right: those of the top and left are cut off below 0, those of the bottom and right above.
    """

    def __init__(self, thumbs: Bytes, by: Ints) -> None:
        self._luma, self._colours = planes(thumbs)
        begin, end = np.maximum(0, -by[:, ::2]), SIDE - np.maximum(0, by[:, 1::2])
        self._whole = not by.any()
        if not self._whole:
            self._spread = [spread(begin[:, axis], end[:, axis]) for axis in (0, 1)]
            self._area = (end - begin).prod(axis=1).astype(np.float64)[:, None, None, None]

    def luma(self) -> Fixed:
        if self._whole:
            return _boxes(self._luma, FINE // CELLS, _FIXED)
        down, right = (side[:, None] for side in self._spread)
        return self._rounded(down @ self._luma.astype(np.float64) @ right.swapaxes(2, 3), self._area)

    def colours(self, rows: Ints) -> Fixed:
        colours = self._colours[rows]
        if self._whole:
            return (colours.astype(np.int16) - 128) * np.int16(_FIXED)
        wide = FINE // COARSE
        down, right = (
            side[rows].reshape(len(rows), 1, CELLS, COARSE, wide).sum(axis=4) for side in self._spread
        )
        return self._rounded(down @ (colours - 128.0) @ right.swapaxes(2, 3), self._area[rows])

    @staticmethod
    def _rounded(sums: Floats, area: Floats) -> Fixed:
        return np.rint(sums * _FIXED / area).astype(np.int16)


def _boxes(plane: Bytes, wide: int, unit: int) -> Fixed:
    """The means of boxes of `wide` x `wide` cells."""
    count, kinds, side, _ = plane.shape
    boxes = plane.reshape(count, kinds, side // wide, wide, side // wide, wide).sum(
        axis=(3, 5), dtype=np.int16
    )
    found: Fixed = boxes * np.int16(unit // wide**2)
    return found


def _levelled(a: Fixed, b: Fixed) -> _Levelled:
    """About their means, each half way to the contrast of the other."""
    contrast = np.stack([_deviation(side) for side in (a, b)])
    gain = np.sqrt(np.clip((contrast[::-1] + 1) / (contrast + 1), 1 / _GAIN, _GAIN))
    about = [side - side.mean(axis=(1, 2, 3), keepdims=True) for side in (a, b)]
    ours, theirs = (
        np.rint(side * own[:, None, None, None]).astype(np.int16)
        for side, own in zip(about, gain, strict=True)
    )
    low = np.maximum(BLANK, contrast.min(axis=0))
    return _Levelled(ours, theirs, low, contrast.max(axis=0) / low)


def _luma_apart(luma: _Levelled) -> tuple[Floats, Floats]:
    """The mean difference in units of the contrast, and how many times the limits of luma are reached."""
    count, blocks = len(luma.a), CELLS // _BLOCK_SIDE
    differ = np.abs(luma.a - luma.b)
    apart = differ.sum(axis=(1, 2, 3), dtype=np.int64) / (_FIXED * CELLS**2) / luma.contrast
    sums = differ.reshape(count, blocks, _BLOCK_SIDE, blocks, _BLOCK_SIDE).sum(axis=(2, 4), dtype=np.int64)
    block = sums.max(axis=(1, 2), initial=0) / (_FIXED * _BLOCK_SIDE**2)
    allowed = np.minimum(_LUMA, _FAINT + 2 * luma.contrast)
    times = np.stack([apart / _LUMA_MEAN, block / _BLOCK, _worst(luma.a, luma.b) / allowed])
    return apart, times.max(axis=0)


def _colours_apart(a: Fixed, b: Fixed, as_grey: Floats) -> Floats:
    """How many times the limits of colour are reached, or those of luma beside a grey image (`as_grey`)."""
    strength = np.stack([_root_mean_square(side) for side in (a, b)])
    gain = np.sqrt(np.clip((strength[::-1] + 1) / (strength + 1), 1 / _GAIN, _GAIN))
    ours, theirs = (
        np.rint(side * own[:, None, None, None]).astype(np.int16)
        for side, own in zip((a, b), gain, strict=True)
    )
    least = strength.min(axis=0)
    mean = np.abs(ours - theirs).sum(axis=(1, 2, 3), dtype=np.int64) / (_FIXED * 2 * CELLS**2)
    worst = _worst(ours, theirs) / (_COLOUR + _MORE * least)
    times = np.maximum(worst, mean / (_COLOUR_MEAN + _MORE_MEAN * least))
    largest = [np.abs(side).max(axis=(1, 2, 3), initial=0) for side in (a, b)]
    grey = np.minimum(*largest) <= GREY * _FIXED
    found: Floats = np.where(grey, np.minimum(times, as_grey), times)
    return found


def _deviation(plane: Fixed) -> Floats:
    """Standard deviation, levels."""
    whole, cells = plane.astype(np.int64), math.prod(plane.shape[1:])
    squares, total = (whole * whole).sum(axis=(1, 2, 3)), whole.sum(axis=(1, 2, 3))
    found: Floats = np.sqrt(squares * cells - total**2) / (cells * _FIXED)
    return found


def _root_mean_square(plane: Fixed) -> Floats:
    whole = plane.astype(np.int64)
    found: Floats = np.sqrt((whole * whole).sum(axis=(1, 2, 3)) / math.prod(plane.shape[1:])) / _FIXED
    return found


def _moved(by: Ints, a: Fixed, b: Fixed) -> Ints:
    """Edges moved by what makes luma most alike, a cell at most in all.

    One step of Lucas and Kanade 1981, "An iterative image registration technique": the difference is laid to
    the gradients of the mean, for a shift and a stretch along each axis. All sums are exact.
    """
    mean = (a.astype(np.float64) + b)[:, 0] / (2 * _FIXED)
    down, right = np.gradient(mean, axis=(1, 2))
    place = np.arange(1 - CELLS, CELLS, 2) / CELLS
    moves = np.stack([down, down * place[:, None], right, right * place], axis=1).reshape(len(a), 4, CELLS**2)
    apart = ((a - b) / _FIXED).reshape(len(a), CELLS**2, 1)
    sums = moves @ moves.swapaxes(1, 2) + np.eye(4) * _STIFFNESS
    found = np.linalg.solve(sums, moves @ apart).reshape(len(a), 2, 2)
    shift, stretch = found[:, :, 0], found[:, :, 1]
    edges = np.stack([shift - stretch, shift + stretch], axis=2).reshape(len(a), 4) * (SIDE / CELLS)
    return np.clip(by + np.rint(edges), -_FURTHEST, _FURTHEST).astype(np.int64)


def _worst(a: Fixed, b: Fixed) -> Floats:
    """By how many levels the four worst cells of either lie outside of the widened range of those around them
    in the other, on average; 0 or less within."""
    found = np.full(a.shape, -(2**15), dtype=np.int16)
    for one, other in ((a, b), (b, a)):
        low, high = _around(other, np.minimum), _around(other, np.maximum)
        slack = ((high - low) * np.float32(_AROUND)).astype(np.int16)
        np.maximum(found, np.maximum(one - high, low - one) - slack, out=found)
    worst = np.partition(found.reshape(len(a), math.prod(a.shape[1:])), -_WORST, axis=1)[:, -_WORST:]
    mean: Floats = worst.sum(axis=1, dtype=np.int64) / (_WORST * _FIXED)
    return mean


def _around(planes: Fixed, least: np.ufunc) -> Fixed:
    """The least (or largest) of the 3 x 3 cells around each."""
    for axis in (2, 3):
        wide = planes.copy()
        inner = [slice(None)] * 4
        outer = [slice(None)] * 4
        inner[axis], outer[axis] = slice(1, None), slice(None, -1)
        least(wide[tuple(inner)], planes[tuple(outer)], out=wide[tuple(inner)])
        least(wide[tuple(outer)], planes[tuple(inner)], out=wide[tuple(outer)])
        planes = wide
    return planes
