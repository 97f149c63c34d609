"""Lists of buckets, and which one an image belongs to: sizes in, sizes out, all upright pixels.

A size is a target: `crop` scales an image until the target is covered and cuts the rest off about the centre,
`stretch` gives it just that size. Either way an image is enlarged where the target's side is larger than its
own, so that one test says whether it fills a target.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from stages.common.resolutions import (
    Grid,
    Size,
    anyres_resolution,
    internvl_grids,
    minicpm_grid,
    minicpm_refined,
    minicpm_source,
    nearest_grid,
    smart_resize,
)


def name_of(size: Size) -> str:
    """`<width>x<height>`, the name of a bucket."""
    return f"{size.width}x{size.height}"


def fills(width: int, height: int, target: Size, upscale: float) -> bool:
    """Whether an image is enlarged at most `upscale` times on its way to the target."""
    return target.width <= width * upscale and target.height <= height * upscale


def share_cut(width: int, height: int, target: Size) -> float:
    """The share of an image that `crop` cuts off: 0 where the ratios agree."""
    a, b = width * target.height, height * target.width
    return 1 - min(a, b) / max(a, b)


# -- lists of one area --


def novelai_buckets(
    area: int = 512 * 768, shortest: int = 256, longest: int = 1024, step: int = 64, square: int = 512
) -> tuple[Size, ...]:
    """NovelAI's list: for each side the largest other one, in multiples of `step`, and a square beside them.

    `novelai-aspect-ratio-bucketing/bucketmanager.py: gen_buckets`; 19 buckets by default.
    """
    found = set()
    for side in range(shortest, min(longest, area // shortest) + 1, step):
        other = shortest + (min(area // side, longest) - shortest) // step * step
        found |= {Size(side, other), Size(other, side)}
        if side == square and square in range(shortest, other, step):
            found.add(Size(square, square))
    # the first of equally near ones is taken: narrow before wide, of equal width the highest first
    return tuple(sorted(found, key=lambda size: (size.width, -size.height)))


def sdxl_buckets(
    area: int = 1024 * 1024, shortest: int = 512, longest: int = 2048, step: int = 64
) -> tuple[Size, ...]:
    """The list of kohya's sd-scripts (`library/model_util.py: make_bucket_resolutions`), with which SDXL is
    trained: for each side the largest other one, and the largest square; 33 buckets by default.

    SDXL's paper (arXiv 2307.01952) has a list of 40, of areas that vary more.
    """
    root = int(math.sqrt(area) // step) * step
    found = {Size(root, root)}
    for side in range(shortest, longest + 1, step):
        other = min(longest, area // side // step * step)
        if other >= shortest:
            found |= {Size(side, other), Size(other, side)}
    return tuple(sorted(found))


def nearest_bucket(width: int, height: int, buckets: Sequence[Size]) -> Size:
    """The bucket of just this size, else the one of least absolute difference of width / height, of equally
    near ones the first: NovelAI's `assign_buckets`, kohya's `BucketManager.select_bucket`."""
    own = Size(width, height)
    return own if own in buckets else min(buckets, key=lambda size: ratio_error(width, height, size))


def ratio_error(width: int, height: int, bucket: Size) -> float:
    """NovelAI drops an image where this is 4 or more. It is a difference, no quotient: of tall images it is
    always less than 1."""
    return abs(bucket.width / bucket.height - width / height)


# -- sizes of an image's own --


def area_size(width: int, height: int, area: int, step: int) -> Size:
    """The largest size of about the image's ratio and at most `area`, sides in multiples of `step`: what
    `smart_resize` gives where it shrinks, without the errors of its floats."""
    wide, high = (math.isqrt(area * a // (b * step * step)) for a, b in ((width, height), (height, width)))
    return Size(max(1, wide) * step, max(1, high) * step)


def own_size(width: int, height: int, area: int, step: int) -> Size:
    """The size that an image has of itself: shrunk to `area` where it has more, and cut down to multiples of
    `step`. kohya's `BucketManager.select_bucket` with `no_upscale`.

    A side of less than a step, which the original makes 0, is left.
    """
    ratio = width / height
    sides = (width, height)
    if width * height > area:
        wide = math.sqrt(area * ratio)
        sides = _nearer_ratio(ratio, wide, area / wide, step)
    return Size(*(side // step * step or max(side, 1) for side in sides))


def _nearer_ratio(ratio: float, wide: float, high: float, step: int) -> tuple[int, int]:
    """Of width or height the one is rounded whose rounding changes the ratio less; the other follows."""
    by_width = _rounded(wide, step), _rounded(_rounded(wide, step) / ratio, step)
    by_height = _rounded(_rounded(high, step) * ratio, step), _rounded(high, step)
    if not (by_width[1] or by_height[1]):  # thinner than a step: divided by zero in the original
        return int(wide), int(high)
    if _off(by_width, ratio) < _off(by_height, ratio):
        return by_width[0], int(by_width[0] / ratio + 0.5)
    return int(by_height[1] * ratio + 0.5), by_height[1]


def _rounded(side: float, step: int) -> int:
    return int(side + 0.5) // step * step


def _off(size: tuple[int, int], ratio: float) -> float:
    width, height = size
    return abs(width / height - ratio) if height else math.inf


def native_size(width: int, height: int, factor: int, least: int, most: int, upscale: float) -> Size | None:
    """`smart_resize`, but a side that would be enlarged beyond `upscale` is rounded down. None where the
    image has no such size of `least` pixels, and of a ratio that `smart_resize` refuses."""
    size = smart_resize(width, height, factor, least, most)
    if size is None:
        return None
    found = Size(
        *(_at_most(side, own, factor, upscale) for side, own in zip(size, (width, height), strict=True))
    )
    return found if found.width * found.height >= max(least, 1) else None


def _at_most(side: int, own: int, factor: int, upscale: float) -> int:
    return side if side <= own * upscale else int(own * upscale // factor) * factor


# -- tiles --


def internvl_size(width: int, height: int, max_tiles: int, tile: int, upscale: float) -> Size | None:
    """InternVL's grid in pixels: its choice among the grids that the image fills. None where it fills none.

    Bound by nothing the original takes 4 x 3 tiles for an image of 640 x 480, and enlarges it 2.8 times.
    """
    filled = [g for g in internvl_grids(1, max_tiles) if fills(width, height, _pixels(g, tile), upscale)]
    return _pixels(nearest_grid(width, height, filled, tile), tile) if filled else None


def _pixels(grid: Grid, tile: int) -> Size:
    return Size(grid.columns * tile, grid.rows * tile)


def anyres_size(width: int, height: int, pinpoints: Sequence[tuple[int, int]], upscale: float) -> Size:
    """What an image takes up of the resolution that LLaVA-NeXT and LLaVA-OneVision choose for it.

    They fit it in and pad the rest (`llava/mm_utils.py: resize_and_pad_image`); whoever trains pads it then,
    and sees the same. An image that would be enlarged more than `upscale` times keeps its size.
    """
    wide, high = anyres_resolution(width, height, pinpoints)
    if wide / width < high / height:
        size = Size(wide, min(math.ceil(height * (wide / width)), high))
    else:
        size = Size(min(math.ceil(width * (high / height)), wide), high)
    return size if fills(width, height, size, upscale) else Size(width, height)


def minicpm_size(width: int, height: int, max_slices: int, scale: int, upscale: float) -> Size | None:
    """The size at which MiniCPM-V cuts an image into slices, of its grid with the most slices that the image
    fills; that of the image as a whole where it fills none. None where it does not fill that either."""
    for most in range(max_slices, 0, -1):
        grid = minicpm_grid(width, height, most, scale)
        size = (
            minicpm_refined(width, height, grid, scale)
            if grid
            else minicpm_source(width, height, most, scale)
        )
        if fills(width, height, size, upscale):
            return size
    return None
