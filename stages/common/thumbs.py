"""Tiny pictures that tell whether two images are the same one: what a hash alone cannot.

A thumb is an image as box averages, whatever its shape, in the YCbCr of JPEG: 32 x 32 of Y, 16 x 16 of Cb, of
Cr, and a byte for the shape, 128 + 32 log2(width / height). What follows from thumbs here follows from whole
numbers whose sums are exact, so that no batch changes a bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

if TYPE_CHECKING:
    from PIL.Image import Image

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]
Fixed = npt.NDArray[np.int16]
Mask = npt.NDArray[np.bool_]

FINE, COARSE = 32, 16  # cells a side of Y, and of Cb and Cr
SIZE = FINE**2 + 2 * COARSE**2 + 1
# Ways to lay an image on another: (transposed, upside down, mirrored).
Turn = tuple[bool, bool, bool]
TURNS: tuple[Turn, ...] = tuple(
    (t, v, h) for t in (False, True) for v in (False, True) for h in (False, True)
)

_BITS = 8  # frequencies a side that the hash is made of
_FLOOR, _SHARE = (
    0.25,
    0.2,
)  # of a frequency that counts: its amplitude in levels, and share of the mean of all
_FIXED = 16  # fractions of a level in which thumbs are compared
_GAIN = 1.25  # of contrast and of colour that is made up for, at most
_FURTHEST, _STIFFNESS = 1.0, 1024  # cells that thumbs are moved to fit; what it must be worth, levels squared
_BLANK = 2  # standard deviation of luma
# Levels, or shares of the contrast: below these two images are one. See `alike`.
_MEAN, _CONTRAST, _HUE, _SHAPE = 30, 1.35, 10, 2
_LUMA, _FAINT, _LUMA_MEAN, _WORST = 40, 4, 0.45, 4
_COLOUR, _COLOUR_MEAN, _STRENGTH = 9, 4, 0.2
_AROUND = 0.3  # of the range of the neighbours
_GREY, _GREY_LUMA, _GREY_MEAN = 4, 8, 0.08
_FEW = 1024  # pairs at a time: what is made of them stays in the cache


def of_image(image: Image) -> bytes:
    """The thumb of an RGB image."""
    from PIL import Image

    small = np.asarray(image.resize((FINE, FINE), Image.Resampling.BOX).convert("YCbCr")).transpose(2, 0, 1)
    boxes = small[1:].reshape(2, COARSE, 2, COARSE, 2).sum(axis=(2, 4), dtype=np.uint16)
    shape = 128 + round(32 * math.log2(image.width / image.height))
    colours = ((boxes + 2) // 4).astype(np.uint8)
    return b"".join([small[0].tobytes(), colours.tobytes(), bytes([min(max(shape, 0), 255)])])


def array(values: pa.FixedSizeBinaryArray) -> Bytes:
    """(n, SIZE) of a column without nulls."""
    if not len(values):
        return np.zeros((0, SIZE), dtype=np.uint8)
    whole = np.frombuffer(values.buffers()[1], dtype=np.uint8)
    return whole[values.offset * SIZE : (values.offset + len(values)) * SIZE].reshape(-1, SIZE)


class Traits(NamedTuple):
    """Of each thumb, float64."""

    mean: Floats  # luma
    contrast: Floats  # standard deviation of luma
    blue: Floats  # means of Cb and Cr, grey is 0
    red: Floats
    colour: Floats  # largest distance of Cb or Cr from grey
    strength: Floats  # root mean square of Cb and Cr


def traits(thumbs: Bytes) -> Traits:
    """`thumbs` are (n, SIZE)."""
    luma, colours = (plane.astype(np.int32) for plane in _planes(thumbs))
    colours = colours - 128
    total, cells = luma.sum(axis=(1, 2, 3), dtype=np.int64), FINE**2
    variance = ((luma * luma).sum(axis=(1, 2, 3), dtype=np.int64) * cells - total**2) / cells**2
    blue, red = colours.sum(axis=(2, 3)).T / COARSE**2
    return Traits(
        total / cells,
        np.sqrt(variance),
        blue,
        red,
        np.abs(colours).max(axis=(1, 2, 3), initial=0).astype(np.float64),
        np.sqrt((colours * colours).sum(axis=(1, 2, 3)) / (2 * COARSE**2)),
    )


def blank(thumbs: Bytes) -> Mask:
    """Those without anything on them: luma differs by 2 levels (standard deviation) at most."""
    return traits(thumbs).contrast <= _BLANK


def hashes(thumbs: Bytes) -> Words:
    """63 bits of each thumb: which frequencies of luma are clearly positive.

    Of the DCT-II of luma the 8 x 8 lowest frequencies without the mean, row by row, the first one the second
    highest bit. A bit is set where the coefficient exceeds an amplitude of a quarter of a level and a fifth
    of the mean of the absolute values of all 63. pHash compares with the median, which in symmetric figures
    lies among coefficients that are 0 but for noise; those are never set here.
    """
    luma = _planes(thumbs)[0][:, 0].astype(np.float64)
    basis = _basis()
    found = (basis @ luma @ basis.T).reshape(-1, _BITS * _BITS)[:, 1:]
    mean = np.abs(found).sum(axis=1, keepdims=True) / (_BITS * _BITS - 1)
    bits = np.zeros((len(thumbs), 64), dtype=bool)
    bits[:, 1:] = found > _FLOOR * 2**16 * FINE**2 / 2 + _SHARE * mean
    words: Words = np.packbits(bits, axis=1).view(">u8").astype(np.uint64).ravel()
    return words


def turned(thumbs: Bytes, turn: Turn) -> Bytes:
    """The thumbs of the turned images."""
    transposed, upside_down, mirrored = turn
    parts = []
    for planes in _planes(thumbs):
        planes = planes.swapaxes(2, 3) if transposed else planes
        planes = planes[:, :, :: -1 if upside_down else 1, :: -1 if mirrored else 1]
        parts.append(planes.reshape(len(thumbs), math.prod(planes.shape[1:])))
    shape = thumbs[:, -1:]
    # 256 - shape, but for 0
    parts.append(np.minimum(255 - shape, 254) + np.uint8(1) if transposed else shape)
    return np.concatenate(parts, axis=1)


def looks(thumbs: Bytes) -> Words:
    """What `may_be_alike` compares, a byte each: mean luma, twice its standard deviation, means of Cb and Cr,
    the largest distance of either from grey, the shape."""
    of = traits(thumbs)
    shape = thumbs[:, -1].astype(np.float64)
    rows = [of.mean, 2 * of.contrast, of.blue + 128, of.red + 128, of.colour, shape]
    found = np.zeros((len(thumbs), 8), dtype=np.uint8)
    found[:, : len(rows)] = np.rint(np.stack(rows, axis=1)).clip(0, 255)
    words: Words = found.view("<u8").astype(np.uint64).ravel()
    return words


def may_be_alike(a: Words, b: Words, on_its_side: bool = False) -> Mask:
    """What little `looks` say: no two that are `alike` are refused. `on_its_side`: of shapes that are alike
    in one of their turns."""
    of_a, of_b = (side.astype("<u8").view(np.uint8).reshape(-1, 8) for side in (a, b))
    mean, contrast, blue, red, colour, shape = range(6)
    low, high = np.minimum(of_a, of_b), np.maximum(of_a, of_b)
    apart = high - low
    steep = high[:, contrast] + 2.0 <= _CONTRAST * (low[:, contrast] + 2.0)
    hues = (apart[:, blue] <= _HUE) & (apart[:, red] <= _HUE) | (low[:, colour] <= _GREY)
    shapes = apart[:, shape] <= _SHAPE
    if on_its_side:
        shapes |= np.abs(of_a[:, shape].astype(np.int16) + of_b[:, shape] - 256) <= _SHAPE
    found: Mask = (apart[:, mean] <= _MEAN) & steep & hues & shapes
    return found


def alike(a: Bytes, b: Bytes, turns: Sequence[Turn] = TURNS[:1]) -> npt.NDArray[np.float32]:
    """How alike each pair is, 0.55 to 1; NaN where the two are not one image, in none of the `turns`.

    1 less the mean difference of luma in units of the lower contrast, after means and contrast were made
    equal. They are one image where, as they lie or after a crop was undone that moves them by a cell at most,

        mean luma differs by 30 levels at most, Cb and Cr by 10, contrast by a factor of 1.35, width to height
        by 4 %
        the mean difference is at most 0.45
        luma lies outside of the range of the 3 x 3 cells around the same place of the other, widened by 0.3
        of that range, by no more than 40 levels in the mean of the four worst cells, nor by more than 4 and
        twice the contrast
        no cell's Cb or Cr does so by 9 levels and a fifth of the strength of the colours (their root mean
        square), and they do not differ by 4 levels and a fiftieth on average: the same in other colours

    The colours may differ where one of them is all grey, if luma differs by 0.08 and 8 levels at most.
    """
    found = np.full(len(a), np.nan, dtype=np.float32)
    for start in range(0, len(a), _FEW):
        part = slice(start, start + _FEW)
        for turn in turns:
            found[part] = np.fmax(found[part], _alike(a[part], turned(b[part], turn)))
    return found


def _alike(a: Bytes, b: Bytes) -> npt.NDArray[np.float32]:
    found = np.full(len(a), np.nan, dtype=np.float32)
    possible = np.flatnonzero(may_be_alike(looks(a), looks(b)))
    a, b = a[possible], b[possible]
    of_a, of_b = traits(a), traits(b)
    levelled = _levelled(a, of_a, of_b), _levelled(b, of_b, of_a)
    likeness = _as_they_lie(*levelled, of_a, of_b)
    again = np.isnan(likeness)
    of_a, of_b = (Traits(*(trait[again] for trait in of)) for of in (of_a, of_b))
    moved = _registered(*((luma[again], colours[again]) for luma, colours in levelled))
    likeness[again] = _as_they_lie(*moved, of_a, of_b)
    found[possible] = likeness
    return found


Planes = tuple[Fixed, Fixed]  # (n, 1, 32, 32) of Y and (n, 2, 16, 16) of Cb and Cr


def _as_they_lie(a: Planes, b: Planes, of_a: Traits, of_b: Traits) -> npt.NDArray[np.float32]:
    contrast = np.maximum(_BLANK, np.minimum(of_a.contrast, of_b.contrast))
    luma = _mean_apart(a[0], b[0]) / contrast
    colour = _mean_apart(a[1], b[1])
    worst = np.partition(_outside(a[0], b[0]), -_WORST, axis=1)[:, -_WORST:]
    luma_out = worst.sum(axis=1, dtype=np.int64) / (_WORST * _FIXED)
    colour_out = _outside(a[1], b[1]).max(axis=1, initial=0) / _FIXED
    strength = _STRENGTH * np.minimum(of_a.strength, of_b.strength)
    same_colours = (colour <= _COLOUR_MEAN + strength / 10) & (colour_out <= _COLOUR + strength)
    grey = np.minimum(of_a.colour, of_b.colour) <= _GREY
    same_but_grey = grey & (luma <= _GREY_MEAN) & (luma_out <= _GREY_LUMA)
    same_luma = (luma <= _LUMA_MEAN) & (luma_out <= np.minimum(_LUMA, _FAINT + 2 * contrast))
    same = same_luma & (same_colours | same_but_grey)
    return np.where(same, 1 - luma, np.nan).astype(np.float32)


def _mean_apart(a: Fixed, b: Fixed) -> Floats:
    found: Floats = np.abs(a - b).sum(axis=(1, 2, 3), dtype=np.int64) / (_FIXED * _cells(a))
    return found


def _levelled(thumbs: Bytes, own: Traits, other: Traits) -> Planes:
    """Planes about their means, half way to the contrast and colour of the other."""
    gain = np.stack([(other.contrast + 1) / (own.contrast + 1), (other.strength + 1) / (own.strength + 1)])
    of_luma, of_colour = np.sqrt(np.clip(gain, 1 / _GAIN, _GAIN)) * _FIXED
    luma, colours = _planes(thumbs)
    about = own.mean[:, None, None, None]
    return (
        np.rint((luma - about) * of_luma[:, None, None, None]).astype(np.int16),
        np.rint((colours - 128.0) * of_colour[:, None, None, None]).astype(np.int16),
    )


def _registered(a: Planes, b: Planes) -> tuple[Planes, Planes]:
    """Both moved and stretched by half of what makes their luma most alike, a cell at most.

    One step of Lucas and Kanade 1981, "An iterative image registration technique": the difference is laid to
    the gradients of the mean, for a shift and a stretch along each axis. All sums are exact.
    """
    moves = _moves(a[0], b[0])
    apart = ((a[0] - b[0]) / _FIXED).reshape(len(moves), _cells(a[0]), 1)
    sums = moves @ moves.swapaxes(1, 2) + np.eye(4) * _STIFFNESS
    by = np.clip(np.linalg.solve(sums, moves @ apart), -_FURTHEST, _FURTHEST).swapaxes(1, 2)
    shifts = (by @ moves, by @ _moves(a[1], b[1]) * (COARSE / FINE))
    halves = [s.reshape(plane.shape) * (_FIXED / 2) for s, plane in zip(shifts, a, strict=True)]
    moved = [
        tuple(np.rint(plane + sign * half).astype(np.int16) for plane, half in zip(side, halves, strict=True))
        for side, sign in ((a, -1), (b, 1))
    ]
    return moved[0], moved[1]


def _moves(a: Fixed, b: Fixed) -> Floats:
    """(n, 4, cells): by how many levels each cell of the mean changes where it is moved by a cell down, and
    right, and where it is stretched so that its edges are."""
    mean = (a.astype(np.float64) + b) / (2 * _FIXED)
    down, right = np.gradient(mean, axis=(2, 3))
    side = a.shape[-1]
    place = np.arange(1 - side, side, 2) / side
    return np.stack([down, down * place[:, None], right, right * place], axis=1).reshape(len(a), 4, _cells(a))


def _outside(a: Fixed, b: Fixed) -> Fixed:
    """(n, cells): how far each cell of either lies outside of the widened range of those around it in the
    other; 0 or less within."""
    found = np.full(a.shape, -(2**15), dtype=np.int16)
    for one, other in ((a, b), (b, a)):
        low, high = _around(other, np.minimum), _around(other, np.maximum)
        slack = ((high - low) * np.float32(_AROUND)).astype(np.int16)
        np.maximum(found, np.maximum(one - high, low - one) - slack, out=found)
    return found.reshape(len(a), _cells(a))


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


def _cells(planes: Fixed) -> int:
    return math.prod(planes.shape[1:])


def _planes(thumbs: Bytes) -> tuple[Bytes, Bytes]:
    luma, colours = thumbs[:, : FINE**2], thumbs[:, FINE**2 : -1]
    return luma.reshape(-1, 1, FINE, FINE), colours.reshape(-1, 2, COARSE, COARSE)


@lru_cache(maxsize=1)
def _basis() -> Floats:
    """(8, 32): the lowest frequencies of the DCT-II in units of 2**-8. Products of these whole numbers are
    exact in float64, in whatever order they are added."""
    angles = np.pi * (2 * np.arange(FINE) + 1) * np.arange(_BITS)[:, None] / (2 * FINE)
    basis: Floats = np.rint(np.cos(angles) * 2**8)
    return basis
