"""How many tokens images take in a model's sequence, by their sizes alone: formulas over many at once.

`visual_models` names the models and what the formulas are given for each. Sizes are in pixels of the upright
image; arrays have one value an image. Every floating-point step is the original's, so that ties and
roundings fall the same way.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.sample import Ints, Mask

_MAX_RATIO = 200  # Qwen2-VL's smart_resize refuses more
_INTERNVL_TILE, _INTERNVL_TOKENS = 448, 256  # (448 / 14)^2 patches, four of them shuffled into a token
_MINICPM_SIDE = 448


@dataclass(frozen=True)
class Images:
    """Images of some samples: width, height (at least 1), and the sample each belongs to, ascending."""

    width: Ints
    height: Ints
    sample: Ints

    def together(self) -> Ints:
        """How many images the sample of each has."""
        found: Ints = np.searchsorted(self.sample, self.sample, "right") - self._first()
        return found

    def before(self, chosen: Mask) -> Ints:
        """How many of the chosen images come before each within its sample."""
        running = np.cumsum(chosen, dtype=np.int64) - chosen
        found: Ints = running - running[self._first()]
        return found

    def _first(self) -> Ints:
        found: Ints = np.searchsorted(self.sample, self.sample)
        return found


class Counted(NamedTuple):
    """Of each image: visual tokens; tokens of its wrapper (marks around it, line breaks between rows of its
    slices); whether the model takes it, or its own code refuses an image of such a size."""

    tokens: Ints
    wrapper: Ints
    taken: Mask


class Formula(ABC):
    """How a family of models counts. `options`: those of its fields that a recipe may set."""

    options: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def count(self, images: Images) -> Counted:
        """Of each image."""


@dataclass(frozen=True)
class Fixed(Formula):
    """The same for every image: it is resized or padded to a square of one size."""

    tokens: int
    wrapper: int = 0

    def count(self, images: Images) -> Counted:
        return _counted(np.full(len(images.width), self.tokens), self.wrapper)


@dataclass(frozen=True)
class SmartResize(Formula):
    """Qwen2-VL and later: sides become multiples of `factor` (patch * merge), their product stays between
    `min_pixels` and `max_pixels`; a token for each square of `factor`.

    As `smart_resize` of transformers 5 (models/qwen2_vl/image_processing_qwen2_vl.py), which refuses sides of
    more than 200 : 1. The wrapper: <|vision_start|>, <|vision_end|>.
    """

    options: ClassVar[frozenset[str]] = frozenset({"min_pixels", "max_pixels"})

    factor: int
    min_pixels: int
    max_pixels: int

    def __post_init__(self) -> None:
        if not self.factor**2 <= self.max_pixels >= self.min_pixels:
            raise ValueError(
                f"max_pixels: {self.max_pixels} is less than min_pixels ({self.min_pixels}) "
                f"or than one token ({self.factor} x {self.factor})"
            )

    def count(self, images: Images) -> Counted:
        width, height = self.resized(images.width, images.height)
        tokens = (width // self.factor) * (height // self.factor)
        long, short = np.maximum(images.width, images.height), np.minimum(images.width, images.height)
        return _counted(tokens, 2)._replace(taken=long / short <= _MAX_RATIO)

    def resized(self, width: Ints, height: Ints) -> tuple[Ints, Ints]:
        """Width and height that the model sees."""
        f = self.factor
        near_w, near_h = np.rint(width / f) * f, np.rint(height / f) * f
        shrink = np.sqrt((height * width) / self.max_pixels)
        grow = np.sqrt(self.min_pixels / (height * width))
        large = near_w * near_h > self.max_pixels
        small = ~large & (near_w * near_h < self.min_pixels)
        found = []
        for side, near in ((width, near_w), (height, near_h)):
            less = np.maximum(f, np.floor(side / shrink / f) * f)
            more = np.ceil(side * grow / f) * f
            found.append(np.where(large, less, np.where(small, more, near)).astype(np.int64))
        return found[0], found[1]


@dataclass(frozen=True)
class Tiles(Formula):
    """InternVL-Chat-V1.5 and later: the image is squashed onto the grid of 448 x 448 tiles whose ratio is
    nearest, and a thumbnail joins them where there are several; 256 tokens a tile.

    As `dynamic_preprocess` and `find_closest_aspect_ratio` (OpenGVLab/InternVL, internvl/train/dataset.py).
    In a sample of n images each has max(1, max_tiles // n) tiles at most (multi_modal_multi_image_get_item).
    The wrapper: <img>, </img>.
    """

    options: ClassVar[frozenset[str]] = frozenset({"min_tiles", "max_tiles", "thumbnail"})

    min_tiles: int = 1
    max_tiles: int = 12
    thumbnail: bool = True

    def __post_init__(self) -> None:
        if self.max_tiles < self.min_tiles:
            raise ValueError(f"max_tiles: {self.max_tiles} is less than min_tiles ({self.min_tiles})")

    def count(self, images: Images) -> Counted:
        columns, rows = self.grid(images)
        tiles = columns * rows
        if self.thumbnail:
            tiles += tiles > 1
        return _counted(_INTERNVL_TOKENS * tiles, 2)

    def grid(self, images: Images) -> tuple[Ints, Ints]:
        """Columns and rows of tiles, without the thumbnail."""
        most = np.maximum(1, self.max_tiles // images.together())
        columns, rows = np.ones_like(most), np.ones_like(most)
        for limit in np.unique(most).tolist():
            where = np.flatnonzero(most == limit)
            columns[where], rows[where] = self._nearest(images.width[where], images.height[where], limit)
        return columns, rows

    def _nearest(self, width: Ints, height: Ints, limit: int) -> tuple[Ints, Ints]:
        ratio, area = width / height, width * height
        least = np.full(len(width), np.inf)
        columns, rows = np.ones_like(width), np.ones_like(width)
        for i, j in _grids(self.min_tiles, limit):
            off = np.abs(ratio - i / j)
            # of equally near grids the larger one, where the image fills more than half of it
            better = (off < least) | ((off == least) & (area > 0.5 * _INTERNVL_TILE**2 * i * j))
            least = np.minimum(least, off)
            columns[better], rows[better] = i, j
        return columns, rows


@lru_cache(maxsize=256)
def _grids(least: int, most: int) -> tuple[tuple[int, int], ...]:
    """(columns, rows) of `least` to `most` tiles, by how many they are."""
    found = [(i, j) for i in range(1, most + 1) for j in range(1, most // i + 1) if i * j >= least]
    return tuple(sorted(found, key=lambda grid: (grid[0] * grid[1], grid)))


@dataclass(frozen=True)
class Slices(Formula):
    """MiniCPM-V: the whole image at about 448 x 448, and where it is larger, slices of such a size too, on
    the grid whose ratio is nearest; `queries` tokens for each of them.

    As `slice_image` and `get_grid_placeholder` (OpenBMB/MiniCPM-V, finetune/dataset.py). The wrapper: two
    marks around the whole and each slice, a line break between rows (one token), and where there are slices
    two marks around them all, or with `numbered` <image_id>, the digits of the number, </image_id>.
    """

    options: ClassVar[frozenset[str]] = frozenset({"max_slices"})

    queries: int
    numbered: bool = False
    max_slices: int = 9

    def count(self, images: Images) -> Counted:
        columns, rows = self.grid(images.width, images.height)
        slices = columns * rows
        sliced = slices > 0
        marks: Ints = np.full(len(slices), 2)
        if self.numbered:
            marks += np.char.str_len(images.before(sliced).astype(str)).astype(np.int64)
        wrapper = 2 * (1 + slices) + sliced * (marks + rows - 1)
        return _counted(self.queries * (1 + slices), 0)._replace(wrapper=wrapper)

    def grid(self, width: Ints, height: Ints) -> tuple[Ints, Ints]:
        """Columns and rows of slices; 0 where there are none."""
        multiple = np.minimum(np.ceil(width * height / _MINICPM_SIDE**2), self.max_slices).astype(np.int64)
        # numpy's logarithm may differ from the C library's in the last bit, and ties hang on it
        ratio = np.array([math.log(r) for r in (width / height).tolist()], dtype=np.float64)
        columns, rows = np.zeros_like(multiple), np.zeros_like(multiple)
        for slices in np.unique(multiple[multiple > 1]).tolist():
            where = np.flatnonzero(multiple == slices)
            grids = _slicings(slices, self.max_slices)
            logs = np.array([math.log(i / j) for i, j in grids])
            best = np.abs(ratio[where, None] - logs).argmin(axis=1)  # the first of equals
            columns[where], rows[where] = np.array(grids)[best].T
        return columns, rows


@lru_cache(maxsize=256)
def _slicings(slices: int, most: int) -> tuple[tuple[int, int], ...]:
    """(columns, rows) of about so many slices: one less, so many, one more."""
    wanted = [n for n in (slices - 1, slices, slices + 1) if 1 < n <= most]
    return tuple((i, n // i) for n in wanted for i in range(1, n + 1) if n % i == 0)


def _counted(tokens: npt.NDArray[np.integer], wrapper: int) -> Counted:
    """Of images that are all taken, with one size of wrapper."""
    counts = tokens.astype(np.int64)
    return Counted(counts, np.full(len(counts), wrapper), np.ones(len(counts), dtype=bool))
