from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from stages.common import buckets
from stages.common.resolutions import ONEVISION_PINPOINTS, Size, anyres_resolution, internvl_grid

NOVELAI = (
    "256x1024 320x1024 384x1024 384x960 384x896 448x832 512x768 512x704 512x512 576x640 640x576 704x512 "
    "768x512 832x448 896x384 960x384 1024x384 1024x320 1024x256"
)
KOHYA_512 = "256x832 256x896 256x960 256x1024 320x704 320x768 384x640 448x576 512x512"
# from executing make_bucket_resolutions((1024, 1024), 512, 2048)
KOHYA_1024 = (
    "512x1856 512x1920 512x1984 512x2048 576x1664 576x1728 576x1792 640x1536 640x1600 704x1408 704x1472 "
    "768x1280 768x1344 832x1216 896x1152 960x1088 1024x1024"
)


def read(names: str) -> set[Size]:
    return {Size(*map(int, name.split("x"))) for name in names.split()}


def with_swaps(names: str) -> set[Size]:
    return read(names) | {Size(*size[::-1]) for size in read(names)}


def test_the_list_of_novelai() -> None:
    # in this order: of equally near ones the first is taken
    assert [buckets.name_of(size) for size in buckets.novelai_buckets()] == NOVELAI.split()


@pytest.mark.parametrize(
    ("bounds", "names", "number"),
    [((512 * 512, 256, 1024), KOHYA_512, 17), ((1024 * 1024, 512, 2048), KOHYA_1024, 33)],
)
def test_the_lists_of_kohya(bounds: tuple[int, int, int], names: str, number: int) -> None:
    found = buckets.sdxl_buckets(*bounds)
    assert len(found) == number
    assert set(found) == with_swaps(names)


# What NovelAI's BucketManager gave (None: it leaves the image out), and kohya's, with upscaling and without.
ASSIGNED = [
    ((600, 600), "512x512", "1024x1024", "576x576"),
    ((500, 800), "512x768", "768x1280", "448x768"),
    ((300, 999), "320x1024", "576x1792", "256x960"),
    ((1920, 1080), "832x448", "1344x768", "1344x768"),
    ((4000, 3000), "704x512", "1152x896", "1088x832"),
    ((4000, 450), None, "2048x512", "2816x320"),
    ((799, 100), "1024x256", "2048x512", "768x64"),
    ((800, 100), None, "2048x512", "768x64"),
    ((100, 4000), "256x1024", "512x2048", "64x3968"),
]


@pytest.mark.parametrize(("size", "novelai", "kohya", "own"), ASSIGNED, ids=lambda value: str(value))
def test_where_the_originals_put_an_image(
    size: tuple[int, int], novelai: str | None, kohya: str, own: str
) -> None:
    near = buckets.nearest_bucket(*size, buckets.novelai_buckets())
    assert (None if buckets.ratio_error(*size, near) >= 4 else buckets.name_of(near)) == novelai
    assert buckets.name_of(buckets.nearest_bucket(*size, buckets.sdxl_buckets())) == kohya
    assert buckets.name_of(buckets.own_size(*size, 1024 * 1024, 64)) == own


def test_a_bucket_of_just_its_size_comes_before_others_of_its_ratio() -> None:
    alike = (Size(512, 256), Size(1024, 512), Size(768, 768))
    assert buckets.nearest_bucket(1024, 512, alike) == (1024, 512)
    assert buckets.nearest_bucket(2048, 1024, alike) == (512, 256)


def random_sizes(number: int = 4000) -> Iterator[tuple[int, int]]:
    rng = random.Random(11)
    for i in range(number):
        yield rng.randint(1, 3000), rng.randint(1, 3000) if i % 2 else rng.randint(1, 60)


def test_a_size_of_its_own_enlarges_nothing_and_stays_within_the_area() -> None:
    for width, height in random_sizes():
        size = buckets.own_size(width, height, 448 * 448, 28)
        assert buckets.fills(width, height, size, 1)
        assert size.width * size.height <= 448 * 448 * 1.2
        for side in size:
            assert side % 28 == 0 or side < 28


def test_what_is_thinner_than_a_step_keeps_its_short_side() -> None:
    assert buckets.own_size(50, 400, 1024 * 1024, 64) == (50, 384)
    assert buckets.own_size(20000, 60, 1024 * 1024, 64) == (18688, 56)


def test_the_largest_size_within_an_area() -> None:
    assert buckets.area_size(450, 450, 448 * 448, 28) == (448, 448)
    for width, height in random_sizes(1000):
        size = buckets.area_size(width, height, 448 * 448, 28)
        thin = 28 in size
        assert thin or size.width * size.height <= 448 * 448
        # a step more on one side, at the image's ratio, is too much
        assert thin or (size.width + 28) ** 2 * height > 448 * 448 * width
        assert thin or (size.height + 28) ** 2 * width > 448 * 448 * height


@pytest.mark.parametrize("upscale", [1.0, 1.3, 2.0])
def test_native_rounds_down_what_it_would_enlarge(upscale: float) -> None:
    assert buckets.native_size(1920, 1080, 28, 3136, 12845056, 1.0) == (1904, 1064)
    assert buckets.native_size(1920, 1080, 28, 3136, 12845056, 1.02) == (1932, 1092)
    for width, height in random_sizes(1000):
        size = buckets.native_size(width, height, 28, 3136, 451584, upscale)
        if size is not None:
            assert buckets.fills(width, height, size, upscale)
            assert 3136 <= size.width * size.height <= 451584
            assert size.width % 28 == size.height % 28 == 0


def test_tiles_that_an_image_fills() -> None:
    assert buckets.internvl_size(640, 480, 12, 448, 3.0) == (1792, 1344), "as the original has it"
    assert buckets.internvl_size(640, 480, 12, 448, 1.0) == (448, 448)
    assert buckets.internvl_size(640, 440, 12, 448, 1.0) is None
    assert buckets.minicpm_size(640, 480, 9, 448, 1.2) == (728, 546)
    assert buckets.minicpm_size(640, 480, 9, 448, 1.0) == (518, 392), "no slices, about 448 * 448 pixels"
    assert buckets.minicpm_size(400, 400, 9, 448, 1.0) is None
    for width, height in random_sizes(1000):
        for upscale in (1.0, 2.0):
            grid = buckets.internvl_size(width, height, 12, 448, upscale)
            slices = buckets.minicpm_size(width, height, 9, 448, upscale)
            for size in (grid, slices):
                assert size is None or buckets.fills(width, height, size, upscale)


def test_what_is_written_as_a_grid_is_cut_into_that_grid() -> None:
    for width, height in random_sizes(1000):
        size = buckets.internvl_size(width, height, 12, 448, 1.0)
        if size is not None:
            assert internvl_grid(*size) == (size.width // 448, size.height // 448)


def test_llava_pads_what_is_left_of_its_resolution() -> None:
    # resize_and_pad_image of llava/mm_utils.py: 1000 x 300 in 1152 x 384 is 1152 x 346
    assert anyres_resolution(1000, 300, ONEVISION_PINPOINTS) == (1152, 384)
    assert buckets.anyres_size(1000, 300, ONEVISION_PINPOINTS, 2.0) == (1152, 346)
    assert buckets.anyres_size(1000, 300, ONEVISION_PINPOINTS, 1.0) == (1000, 300)
    assert buckets.anyres_size(9000, 6000, ONEVISION_PINPOINTS, 1.0) == (2304, 1536)
