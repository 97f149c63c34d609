"""The sizes and grids that processors of vision-language models give an image, exact to the originals.

Sizes are upright pixels, width first (`smart_resize` of the originals has height first); grids are columns
and rows of tiles. All arithmetic is that of the originals, in their order, for their floats decide ties:
`round` is Python's, half to even, and 42 / 28 rounds to 2, 70 / 28 to 2 as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

# What Qwen's processors refuse: the long side more than so many times the short one.
MAX_RATIO = 200


class Size(NamedTuple):
    """Pixels."""

    width: int
    height: int


class Grid(NamedTuple):
    """Tiles: how many beside each other, and how many rows of them."""

    columns: int
    rows: int


# Whose `smart_resize`: Qwen2-VL's image processor in transformers, or the one of the package qwen-vl-utils.
SmartResize: TypeAlias = Literal["transformers", "qwen_vl_utils"]


def smart_resize(
    width: int,
    height: int,
    factor: int = 28,
    min_pixels: int = 56 * 56,
    max_pixels: int = 28 * 28 * 1280,
    variant: SmartResize = "transformers",
) -> Size | None:
    """The size that Qwen2-VL and later give an image: sides in multiples of `factor`, area within bounds.

    `factor` is 28 for Qwen2-VL and Qwen2.5-VL (patches of 14, merged two by two), 32 for Qwen3-VL. The
    defaults of area are those of the class in transformers; the models' own files say 3136 to 12845056
    (16384 tokens), Qwen3-VL's 65536 to 16777216. None where the processors refuse: a ratio over 200.

    The two variants differ on images that are tiny or thin. qwen-vl-utils gives a side at least `factor`
    before it looks at the area, and none after, so that 12000 x 60 with at most 3136 pixels is 784 x 0.

    `transformers/models/qwen2_vl/image_processing_qwen2_vl.py`, `qwen_vl_utils/vision_process.py`.
    """
    if max(height, width) / min(height, width) > MAX_RATIO:
        return None
    ours = variant == "transformers"
    first, last = (0, factor) if ours else (factor, 0)
    h = max(first, round(height / factor) * factor)
    w = max(first, round(width / factor) * factor)
    if h * w > max_pixels:
        beta = math.sqrt((height * width) / max_pixels)
        h = max(last, math.floor(height / beta / factor) * factor)
        w = max(last, math.floor(width / beta / factor) * factor)
    elif h * w < min_pixels:
        beta = math.sqrt(min_pixels / (height * width))
        h = math.ceil(height * beta / factor) * factor
        w = math.ceil(width * beta / factor) * factor
    return Size(w, h)


def internvl_grid(width: int, height: int, min_tiles: int = 1, max_tiles: int = 12, tile: int = 448) -> Grid:
    """The grid of InternVL 1.5 and later: the one of nearest ratio, of equal ones the larger where the image
    has more than half its pixels.

    The image is squashed into it; where it has more than one tile, a thumbnail is added. `max_tiles` is 12 in
    training (6 is the function's own default). `internvl_chat/internvl/train/dataset.py`.
    """
    return nearest_grid(width, height, internvl_grids(min_tiles, max_tiles), tile)


def nearest_grid(width: int, height: int, grids: Sequence[Grid], tile: int) -> Grid:
    """InternVL's choice among `grids`, which come in the order of their tiles."""
    ratio, area = width / height, width * height
    best, least = Grid(1, 1), math.inf
    for grid in grids:
        off = abs(ratio - grid.columns / grid.rows)
        if off < least:
            best, least = grid, off
        elif off == least and area > 0.5 * tile * tile * grid.columns * grid.rows:
            best = grid
    return best


@lru_cache(maxsize=64)
def internvl_grids(min_tiles: int, max_tiles: int) -> tuple[Grid, ...]:
    """All grids of so many tiles, in the order of their tiles."""
    sides = range(1, max_tiles + 1)
    found = [Grid(i, j) for i in sides for j in sides if min_tiles <= i * j <= max_tiles]
    return tuple(sorted(found, key=lambda grid: grid.columns * grid.rows))


# LLaVA-NeXT (v1.6): `image_grid_pinpoints` of its configurations. LLaVA-OneVision: (1x1),...,(6x6) of 384.
NEXT_PINPOINTS = (Size(336, 672), Size(672, 336), Size(672, 672), Size(1008, 336), Size(336, 1008))
ONEVISION_PINPOINTS = tuple(Size(384 * i, 384 * j) for i in range(1, 7) for j in range(1, 7))


def anyres_resolution(width: int, height: int, pinpoints: Sequence[tuple[int, int]] = NEXT_PINPOINTS) -> Size:
    """The resolution of LLaVA-NeXT and LLaVA-OneVision for an image: of `pinpoints` (width, height) the one
    in which most of its pixels are left, of those the one with least padding, of those the first.

    `llava/mm_utils.py: select_best_resolution`. The image is fitted into it and padded. Of an image so thin
    that nothing is left of it in any (where the original has no answer), the first.
    """
    best, most, least = Size(*pinpoints[0]), 0, math.inf
    for wide, high in pinpoints:
        scale = min(wide / width, high / height)
        effective = min(int(width * scale) * int(height * scale), width * height)
        wasted = wide * high - effective
        if effective > most or (effective == most and wasted < least):
            best, most, least = Size(wide, high), effective, wasted
    return best


def minicpm_grid(width: int, height: int, max_slices: int = 9, scale: int = 448) -> Grid | None:
    """The grid of slices of MiniCPM-V 2.0 to 2.6 and MiniCPM-Llama3-V 2.5; None where there is but the image
    itself, of no more than scale * scale pixels.

    `finetune/dataset.py: slice_image`. The slices come beside the image as a whole (`minicpm_source`).
    """
    log_ratio = math.log(width / height)
    multiple = min(math.ceil(width * height / (scale * scale)), max_slices)
    if multiple <= 1:
        return None
    best, least = Grid(1, 1), math.inf
    for grid in _divisions(multiple, max_slices):
        off = abs(log_ratio - math.log(grid.columns / grid.rows))
        if off < least:
            best, least = grid, off
    return best


@lru_cache(maxsize=256)
def _divisions(multiple: int, most: int) -> tuple[Grid, ...]:
    counts = [n for n in (multiple - 1, multiple, multiple + 1) if n != 1 and n <= most]
    return tuple(Grid(m, n // m) for n in counts for m in range(1, n + 1) if n % m == 0)


def minicpm_source(width: int, height: int, max_slices: int = 9, scale: int = 448, patch: int = 14) -> Size:
    """The size of the image as a whole in MiniCPM-V: about scale * scale pixels, enlarged to them only where
    it has no slices."""
    alone = minicpm_grid(width, height, max_slices, scale) is None
    return _minicpm_resize(width, height, scale, patch, enlarge=alone)


def minicpm_refined(width: int, height: int, grid: Grid, scale: int = 448, patch: int = 14) -> Size:
    """The size that MiniCPM-V gives an image before it cuts it into `grid`; each slice has about
    scale * scale pixels. `finetune/dataset.py: get_refine_size`."""
    wide = _divisible(width, grid.columns) / grid.columns
    high = _divisible(height, grid.rows) / grid.rows
    slice_ = _minicpm_resize(wide, high, scale, patch, enlarge=True)
    return Size(slice_.width * grid.columns, slice_.height * grid.rows)


def _minicpm_resize(width: float, height: float, scale: int, patch: int, enlarge: bool) -> Size:
    if enlarge or width * height > scale * scale:
        ratio = width / height
        height = int(scale / math.sqrt(ratio))
        width = int(height * ratio)
    return Size(_divisible(width, patch), _divisible(height, patch))


def _divisible(length: float, by: int) -> int:
    return max(round(length / by) * by, by)
