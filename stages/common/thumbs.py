"""Tiny pictures by which copies of an image are found: what they hash to, and what can be said at a glance.

A thumb is an image as box averages, whatever its shape, in the YCbCr of JPEG: 64 x 64 of Y, 32 x 32 of Cb, of
Cr, and a byte for the shape, 128 + 32 log2(width / height). What follows from thumbs here and in `likeness`
follows from whole numbers whose sums are exact, so that no batch changes a bit.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

if TYPE_CHECKING:
    from PIL.Image import Image

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

FINE, COARSE = 64, 32  # cells a side of Y, and of Cb and Cr
CELLS = 32  # a side in which thumbs are compared: as they lie, or parts of them
PARTS = 8  # of a cell of luma, in which crops are measured
SIDE = FINE * PARTS
_WHOLE = (0, SIDE)
_MANY = 1024  # thumbs at a time
SIZE = FINE**2 + 2 * COARSE**2 + 1
# Ways to lay an image on another: (transposed, upside down, mirrored).
Turn = tuple[bool, bool, bool]
TURNS: tuple[Turn, ...] = tuple(
    (t, v, h) for t in (False, True) for v in (False, True) for h in (False, True)
)

_BITS = 8  # frequencies a side that the hash is made of
_UNIT = 2**7  # of a cosine
# Of a frequency that counts: its amplitude in levels, and share of the mean of all.
_FLOOR, _SHARE = 0.25, 0.2
CROPS, _CROP = 5, 0.02  # that are looked up; their share of the width and the height
BLANK = 2  # standard deviation of luma
# What `may_be_alike` allows, see `likeness.alike`: levels, and shares.
MEAN, CONTRAST, HUE, SHAPE, GREY = 30, 1.35, 10, 2, 4


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
    found = np.empty((len(Traits._fields), len(thumbs)))
    for start in range(0, len(thumbs), _MANY):
        found[:, start : start + _MANY] = _traits(thumbs[start : start + _MANY])
    return Traits(*found)


def _traits(thumbs: Bytes) -> Traits:
    luma, colours = (plane.astype(np.int32) for plane in planes(thumbs))
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
    return traits(thumbs).contrast <= BLANK


def hashes(thumbs: Bytes) -> Words:
    """63 bits of each thumb: which frequencies of luma are clearly positive.

    Of the DCT-II of luma in 32 x 32 cells the 8 x 8 lowest frequencies without the mean, row by row, the
    first one the second highest bit. A bit is set where the coefficient exceeds an amplitude of a quarter of
    a level and a fifth of the mean of the absolute values of all 63. pHash compares with the median, which in
    symmetric figures lies among coefficients that are 0 but for noise; those are never set here.
    """
    return _hashes(thumbs, (_WHOLE,))[:, 0]


def crop_hashes(thumbs: Bytes) -> Words:
    """(n, 5): what `hashes` would be of each image cropped by 2 % of its width and height: in the middle, and
    towards each corner. A copy that was cropped by as much at any place is near to one of them."""
    off = round(SIDE * _CROP)
    return _hashes(thumbs, ((off // 2, SIDE - off + off // 2), (0, SIDE - off), (off, SIDE)))


def _hashes(thumbs: Bytes, spans: tuple[tuple[int, int], ...]) -> Words:
    """(n, k): of what lies within spans of parts of the side: the same one both ways, of all but the first
    also any two."""
    basis = np.concatenate([_basis(*span) for span in spans])
    places = [(0, 0), *((v, h) for v in range(1, len(spans)) for h in range(1, len(spans)))]
    found = np.empty((len(thumbs), len(places)), dtype=np.uint64)
    for start in range(0, len(thumbs), _MANY):
        luma = planes(thumbs[start : start + _MANY])[0].astype(np.float64)
        count = len(luma)
        across = (luma.reshape(count * FINE, FINE) @ basis.T).reshape(count, FINE, len(basis))
        both = (basis @ across).reshape(count, len(spans), _BITS, len(spans), _BITS)
        for number, (v, h) in enumerate(places):
            area = (spans[v][1] - spans[v][0]) * (spans[h][1] - spans[h][0])
            sums = both[:, v, :, h].reshape(count, _BITS * _BITS)[:, 1:]
            found[start : start + count, number] = _packed(sums, area)
    return found


def _packed(sums: Floats, area: int) -> Words:
    mean = np.abs(sums).sum(axis=1, keepdims=True) / (_BITS * _BITS - 1)
    bits = np.zeros((len(sums), 64), dtype=bool)
    bits[:, 1:] = sums > _FLOOR * _UNIT**2 * CELLS**2 / 2 * area + _SHARE * mean
    words: Words = np.packbits(bits, axis=1).view(">u8").astype(np.uint64).ravel()
    return words


def spread(begin: Ints, end: Ints) -> Floats:
    """(n, CELLS, FINE): what each cell of luma adds to each of the `CELLS` between two parts of the side.
    Whole numbers: a row's sum is `end - begin`."""
    edges = begin[:, None] * CELLS + (end - begin)[:, None] * np.arange(CELLS + 1)
    unit = CELLS * PARTS
    before = np.clip(edges[:, :, None] - unit * np.arange(FINE), 0, unit)
    return np.diff(before, axis=1).astype(np.float64)


def turned(thumbs: Bytes, turn: Turn) -> Bytes:
    """The thumbs of the turned images."""
    transposed, upside_down, mirrored = turn
    parts = []
    for plane in planes(thumbs):
        plane = plane.swapaxes(2, 3) if transposed else plane
        plane = plane[:, :, :: -1 if upside_down else 1, :: -1 if mirrored else 1]
        parts.append(plane.reshape(len(thumbs), math.prod(plane.shape[1:])))
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
    steep = high[:, contrast] + 2.0 <= CONTRAST * (low[:, contrast] + 2.0)
    hues = (apart[:, blue] <= HUE) & (apart[:, red] <= HUE) | (low[:, colour] <= GREY)
    shapes = apart[:, shape] <= SHAPE
    if on_its_side:
        shapes |= np.abs(of_a[:, shape].astype(np.int16) + of_b[:, shape] - 256) <= SHAPE
    found: Mask = (apart[:, mean] <= MEAN) & steep & hues & shapes
    return found


def planes(thumbs: Bytes) -> tuple[Bytes, Bytes]:
    """(n, 1, FINE, FINE) of Y and (n, 2, COARSE, COARSE) of Cb and Cr."""
    luma, colours = thumbs[:, : FINE**2], thumbs[:, FINE**2 : -1]
    return luma.reshape(-1, 1, FINE, FINE), colours.reshape(-1, 2, COARSE, COARSE)


@lru_cache(maxsize=8)
def _basis(begin: int, end: int) -> Floats:
    """(8, FINE): the lowest frequencies of the DCT-II of the cells between two parts of the side. Products of
    these whole numbers are exact in float64, in whatever order they are added."""
    angles = np.pi * (2 * np.arange(CELLS) + 1) * np.arange(_BITS)[:, None] / (2 * CELLS)
    basis: Floats = np.rint(np.cos(angles) * _UNIT) @ spread(np.array([begin]), np.array([end]))[0]
    return basis
