from __future__ import annotations

import random

import pytest

from stages.common.resolutions import (
    NEXT_PINPOINTS,
    ONEVISION_PINPOINTS,
    anyres_resolution,
    internvl_grid,
    minicpm_grid,
    minicpm_refined,
    minicpm_source,
    smart_resize,
)

# From executing the original functions: width, height, and of each model (width, height) or (columns, rows).
# Qwen2.5-VL with the bounds of its hub configuration, the same with at most 1003520 pixels, Qwen3-VL;
# InternVL with at most 6 and 12 tiles; MiniCPM-V's grid.
GOLDEN = [
    ((336, 336), (336, 336), (336, 336), (320, 320), (1, 1), (1, 1), None),
    ((640, 480), (644, 476), (644, 476), (640, 480), (3, 2), (4, 3), (2, 1)),
    ((480, 640), (476, 644), (476, 644), (480, 640), (2, 3), (3, 4), (1, 2)),
    ((1024, 768), (1036, 756), (1036, 756), (1024, 768), (3, 2), (4, 3), (2, 2)),
    ((1920, 1080), (1932, 1092), None, (1920, 1088), (2, 1), (4, 2), (4, 2)),
    ((1080, 1920), (1092, 1932), None, (1088, 1920), (1, 2), (2, 4), (2, 4)),
    ((4000, 3000), (4004, 2996), None, (4000, 3008), (3, 2), (4, 3), (3, 3)),
    ((100, 100), (112, 112), (112, 112), (256, 256), (1, 1), (1, 1), None),
    ((2000, 100), (1988, 112), (1988, 112), (1984, 96), (6, 1), (12, 1), None),
    ((1344, 1344), (1344, 1344), None, (1344, 1344), (2, 2), (3, 3), (3, 3)),
    ((896, 448), (896, 448), (896, 448), (896, 448), (2, 1), (2, 1), (2, 1)),
    ((1000, 300), (1008, 308), (1008, 308), (992, 288), (3, 1), (3, 1), (3, 1)),
    ((5000, 5000), (3556, 3556), None, (4096, 4096), (2, 2), (3, 3), (3, 3)),
    ((513, 511), (504, 504), (504, 504), (512, 512), (1, 1), (1, 1), (2, 1)),
]
# of Qwen2.5-VL with at most 1003520 pixels, tokens where the size is not told
SMALLER = {(1920, 1080): 1222, (4000, 3000): 1230, (1344, 1344): 1225, (5000, 5000): 1225}
REFINED = {
    (640, 480): (728, 546),
    (1024, 768): (1036, 784),
    (1920, 1080): (1680, 952),
    (1344, 1344): (1344, 1344),
    (513, 511): (644, 630),
}


@pytest.mark.parametrize("row", GOLDEN, ids=lambda row: "x".join(map(str, row[0])))
def test_what_the_originals_gave(row: tuple[tuple[int, int], ...]) -> None:
    (width, height), qwen25, fewer, qwen3, six, twelve, slices = row
    assert smart_resize(width, height, 28, 3136, 12845056) == qwen25
    found = smart_resize(width, height, 28, 3136, 1003520)
    assert found is not None
    if fewer is not None:
        assert found == fewer
    elif (width, height) in SMALLER:
        assert found.width * found.height // 28**2 == SMALLER[width, height]
    assert smart_resize(width, height, 32, 65536, 16777216) == qwen3
    assert internvl_grid(width, height, max_tiles=6) == six
    assert internvl_grid(width, height, max_tiles=12) == twelve
    grid = minicpm_grid(width, height)
    assert grid == slices
    if grid is not None and (width, height) in REFINED:
        assert minicpm_refined(width, height, grid) == REFINED[width, height]


def test_where_the_two_variants_of_smart_resize_differ() -> None:
    assert smart_resize(12000, 60, 28, 3136, 3136, "qwen_vl_utils") == (784, 0)
    assert smart_resize(12000, 60, 28, 3136, 3136) == (784, 28)
    assert smart_resize(1500, 13, 28, 3136, 451584, "qwen_vl_utils") == (1512, 28)
    assert smart_resize(1500, 13, 28, 3136, 451584) == (616, 28)
    assert smart_resize(100, 100, 32, 4096, 16777216, "qwen_vl_utils") == (96, 96)


def test_halves_are_rounded_to_even() -> None:
    assert smart_resize(42, 70, 28, 1, 10**6) == (56, 56)
    assert smart_resize(98, 126, 28, 1, 10**6) == (112, 112)


def test_a_ratio_of_more_than_200_is_refused() -> None:
    assert smart_resize(200, 40000) is not None
    assert smart_resize(200, 40001) is None


def test_the_whole_image_of_minicpm_is_enlarged_only_where_it_is_alone() -> None:
    assert minicpm_source(100, 100) == (448, 448)
    assert minicpm_source(449, 448) == (448, 448)
    assert minicpm_source(1000, 1000) == (448, 448)


def sizes(number: int) -> list[tuple[int, int]]:
    rng = random.Random(5)
    odd = [28, 42, 70, 98, 112, 336, 448, 480, 640, 672, 896, 1024, 1080, 1920]
    found = [(rng.choice(odd), rng.choice(odd)) for _ in range(number // 3)]
    found += [(rng.randint(1, 5000), rng.randint(1, 5000)) for _ in range(number // 3)]
    return [*found, *((rng.randint(1, 9000), rng.randint(1, 90)) for _ in range(number // 3))]


@pytest.mark.usefixtures("torchvision")
def test_random_sizes_as_transformers_has_them() -> None:
    """InternVL's and LLaVA's choices under the names they have there; both with height first."""
    from transformers.image_processing_utils import select_best_resolution
    from transformers.models.got_ocr2.image_processing_got_ocr2 import get_optimal_tiled_canvas
    from transformers.models.qwen2_vl import image_processing_qwen2_vl as qwen

    for width, height in sizes(3000):
        for factor, least, most in ((28, 3136, 12845056), (28, 12544, 451584), (32, 65536, 16777216)):
            ours = smart_resize(width, height, factor, least, most)
            if max(width, height) > 200 * min(width, height):
                assert ours is None
                continue
            assert ours is not None
            assert ours[::-1] == qwen.smart_resize(height, width, factor, least, most)
        for tiles in (1, 6, 12):
            grid = get_optimal_tiled_canvas((height, width), (448, 448), 1, tiles)
            assert internvl_grid(width, height, max_tiles=tiles) == tuple(grid), (width, height, tiles)
        for pinpoints in (NEXT_PINPOINTS, ONEVISION_PINPOINTS):
            best = select_best_resolution((height, width), [size[::-1] for size in pinpoints])
            assert best in (None, anyres_resolution(width, height, pinpoints)[::-1])
