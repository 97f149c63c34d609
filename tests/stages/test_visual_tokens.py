"""Counts of visual tokens against the models' own functions, as far as they are installed, else against what
those gave."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from image_sizes import alone, print_of, sizes, together

from stages.common.torchvision_cure import cure_torchvision
from stages.common.visual_models import MODELS, formula, model_named, slug
from stages.common.visual_tokens import Counted, SmartResize, Tiles

# width x height: Qwen2.5-VL, its height and width; with max_pixels 1003520; Qwen3-VL; InternVL with 6 and
# with 12 tiles, and their columns and rows; MiniCPM-V 2.6; LLaVA-NeXT; LLaVA-OneVision. By the original
# functions.
GOLDEN = [
    ((336, 336), 144, (336, 336), 144, 100, 256, (1, 1), 256, (1, 1), 64, 1176, 1485),
    ((640, 480), 391, (476, 644), 391, 300, 1792, (3, 2), 3328, (4, 3), 192, 2340, 2929),
    ((480, 640), 391, (644, 476), 391, 300, 1792, (2, 3), 3328, (3, 4), 192, 2352, 2943),
    ((1024, 768), 999, (756, 1036), 999, 768, 1792, (3, 2), 3328, (4, 3), 320, 2340, 4725),
    ((1920, 1080), 2691, (1092, 1932), 1222, 2040, 768, (2, 1), 2304, (4, 2), 576, 1948, 7269),
    ((1080, 1920), 2691, (1932, 1092), 1222, 2040, 768, (1, 2), 2304, (2, 4), 576, 1968, 7317),
    ((4000, 3000), 15301, (2996, 4004), 1230, 11750, 1792, (3, 2), 3328, (4, 3), 640, 2340, 7309),
    ((100, 100), 16, (112, 112), 16, 64, 256, (1, 1), 256, (1, 1), 64, 1176, 1485),
    ((2000, 100), 284, (112, 1988), 284, 186, 1792, (6, 1), 3328, (12, 1), 64, 868, 2196),
    ((1344, 1344), 2304, (1344, 1344), 1225, 1764, 1280, (2, 2), 2560, (3, 3), 640, 2928, 7371),
    ((896, 448), 512, (448, 896), 512, 392, 768, (2, 1), 768, (2, 1), 192, 1752, 4009),
    ((1000, 300), 396, (308, 1008), 396, 279, 1024, (3, 1), 1024, (3, 1), 256, 2182, 2779),
    ((5000, 5000), 16129, (3556, 3556), 1225, 16384, 1280, (2, 2), 2560, (3, 3), 640, 2928, 7371),
    ((513, 511), 324, (504, 504), 324, 256, 256, (1, 1), 256, (1, 1), 192, 2928, 3699),
]
SEVERAL = sizes(6000)


def count(model: str, samples: list[list[tuple[int, int]]], **options: Any) -> Counted:
    return formula(model, options).count(together(samples))


def tokens(model: str, found: list[tuple[int, int]], **options: Any) -> list[int]:
    return formula(model, options).count(alone(found)).tokens.tolist()


@pytest.mark.parametrize("row", GOLDEN, ids=lambda row: "x".join(map(str, row[0])))
def test_golden_values(row: Any) -> None:
    size, qwen, resized, less, qwen3, six, six_grid, twelve, twelve_grid, minicpm, next_, onevision = row
    one = alone([size])
    for model in ("qwen2-vl", "qwen2.5-vl"):
        assert tokens(model, [size]) == [qwen]
        assert tokens(model, [size], max_pixels=1003520) == [less]
    smart = MODELS["qwen2.5-vl"]
    assert isinstance(smart, SmartResize)
    width, height = smart.resized(one.width, one.height)
    assert (height[0], width[0]) == resized
    assert tokens("qwen3-vl", [size]) == [qwen3]
    for limit, expected, grid in ((6, six, six_grid), (12, twelve, twelve_grid)):
        for model in ("internvl-chat-v1.5", "internvl2", "internvl2.5", "internvl3"):
            assert tokens(model, [size], max_tiles=limit) == [expected]
        columns, rows = Tiles(max_tiles=limit).grid(one)
        assert (columns[0], rows[0]) == grid
    for model in ("minicpm-v-2.0", "minicpm-v-2.6", "minicpm-v-4"):
        assert tokens(model, [size]) == [minicpm]
    assert tokens("minicpm-llama3-v2.5", [size]) == [minicpm // 64 * 96]
    assert tokens("llava-next", [size]) == [next_]
    assert tokens("llava-onevision", [size]) == [onevision]
    fixed = {"llava-1.5": 576, "qwen-vl": 256, "cogvlm2": 2304, "glm-4v": 1600}
    assert {model: tokens(model, [size]) for model in fixed} == {m: [n] for m, n in fixed.items()}


@pytest.mark.parametrize(
    ("model", "options", "expected"),
    [
        ("llava-next", {}, "792989bdb754dc22"),
        ("llava-onevision", {}, "e57b61be43d9c3e3"),
        ("internvl2.5", {}, "632e440757d84daa"),
        ("internvl2.5", {"max_tiles": 6}, "313516008a9eecc4"),
        ("internvl2.5", {"max_tiles": 40}, "02d81fd36ff010b0"),
        ("internvl2.5", {"min_tiles": 3, "max_tiles": 9, "thumbnail": False}, "264b60e4864b7f49"),
        ("minicpm-v-2.0", {}, "5fcbbfdf6f1b5dc2"),
        ("minicpm-llama3-v2.5", {}, "ffb730801bae8eaf"),
        ("minicpm-v-2.6", {}, "5fcbbfdf6f1b5dc2"),
        ("minicpm-v-2.6", {"max_slices": 25}, "dc3d5498df5889fe"),
    ],
)
def test_as_the_trainers_functions_count(model: str, options: dict[str, Any], expected: str) -> None:
    """Prints of what the trainers' own files (LLaVA-NeXT df17966, InternVL 2410d1d, MiniCPM-V 0dbb566) gave
    for the same 6,000 sizes."""
    assert print_of(tokens(model, SEVERAL, **options)) == expected


@pytest.mark.parametrize(
    ("model", "options", "expected"),
    [
        ("minicpm-v-2.0", {}, "5e534aa86ec04e48"),
        ("minicpm-v-4", {}, "5e534aa86ec04e48"),
        ("minicpm-llama3-v2.5", {}, "f027e7af9eeb77c7"),
        ("minicpm-v-2.6", {}, "6e38b71bcb194619"),
        ("minicpm-v-2.6", {"max_slices": 25}, "1d3da4daa337373b"),
    ],
)
def test_placeholders_of_minicpm(model: str, options: dict[str, Any], expected: str) -> None:
    """Tokens of the whole placeholder that get_grid_placeholder and preprocess of the same file make."""
    found = formula(model, options).count(alone(SEVERAL))
    assert print_of(found.tokens + found.wrapper) == expected


# -- against what is installed --


@pytest.fixture(scope="module")
def _torchvision() -> None:
    cure_torchvision()


def compare(ours: list[Any], theirs: list[Any]) -> None:
    assert [(s, a, b) for s, a, b in zip(SEVERAL, ours, theirs, strict=True) if a != b] == []


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("qwen2.5-vl", {}),
        ("qwen2-vl", {"min_pixels": 12544, "max_pixels": 451584}),
        ("qwen2.5-vl", {"max_pixels": 1003520}),
        ("qwen3-vl", {}),
        ("qwen3-vl", {"min_pixels": 1024, "max_pixels": 16384}),
    ],
)
@pytest.mark.usefixtures("_torchvision")
def test_smart_resize_of_transformers(model: str, options: dict[str, Any]) -> None:
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

    ours = formula(model, options)
    assert isinstance(ours, SmartResize)

    def theirs(width: int, height: int) -> int | None:
        try:
            h, w = smart_resize(height, width, ours.factor, ours.min_pixels, ours.max_pixels)
        except ValueError:  # more than 200 : 1
            return None
        return int(h * w // ours.factor**2)

    found = ours.count(alone(SEVERAL))
    counted = zip(found.tokens.tolist(), found.taken.tolist(), strict=True)
    compare([n if taken else None for n, taken in counted], [theirs(*size) for size in SEVERAL])
    assert not found.taken.all(), "some of the sizes are refused"


@pytest.mark.parametrize(("least", "most"), [(1, 12), (1, 6), (4, 9)])
@pytest.mark.usefixtures("_torchvision")
def test_tiles_of_transformers(least: int, most: int) -> None:
    from transformers.models.got_ocr2.image_processing_got_ocr2 import get_optimal_tiled_canvas

    columns, rows = Tiles(least, most).grid(alone(SEVERAL))
    theirs = [get_optimal_tiled_canvas((h, w), (448, 448), least, most) for w, h in SEVERAL]
    compare(list(zip(columns.tolist(), rows.tolist(), strict=True)), theirs)


def _next() -> Callable[[int, int], int]:
    from transformers.models.llava_next.processing_llava_next import LlavaNextProcessor as Theirs

    pinpoints = [[h, w] for w, h in MODELS["llava-next"].pinpoints]  # type: ignore[attr-defined]
    images = SimpleNamespace(image_grid_pinpoints=pinpoints)
    this = SimpleNamespace(image_processor=images, patch_size=14, num_additional_image_tokens=0)
    this._get_unpadded_features = lambda *sizes: Theirs._get_unpadded_features(this, *sizes)
    return lambda w, h: Theirs._get_number_of_features(this, h, w, 336, 336)


def _onevision() -> Callable[[int, int], int]:
    from transformers.models.llava_onevision.processing_llava_onevision import (
        LlavaOnevisionProcessor as Theirs,
    )

    images = SimpleNamespace(
        image_grid_pinpoints=[[384 * i, 384 * j] for i in range(1, 7) for j in range(1, 7)]
    )
    this = SimpleNamespace(image_processor=images, num_image_tokens=729, vision_aspect_ratio="anyres_max_9")
    this._get_unpadded_features = lambda *sizes: Theirs._get_unpadded_features(this, *sizes)
    return lambda w, h: Theirs._get_number_of_features(this, h, w, 384, 384)


@pytest.mark.parametrize(("model", "make"), [("llava-next", _next), ("llava-onevision", _onevision)])
@pytest.mark.usefixtures("_torchvision")
def test_anyres_of_transformers(model: str, make: Callable[[], Callable[[int, int], int]]) -> None:
    """transformers rounds to 7 digits where the trainer does not: a row of features more in few sizes."""
    theirs = make()
    pairs = list(zip(tokens(model, SEVERAL), [theirs(*size) for size in SEVERAL], strict=True))
    differ = [(size, a, b) for size, (a, b) in zip(SEVERAL, pairs, strict=True) if a != b]
    assert len(differ) <= 6
    for (width, height), _, _ in differ:
        ratios = [
            n * side / other for n in range(24, 163) for side, other in ((width, height), (height, width))
        ]
        assert any(abs(r - round(r)) < 1e-6 for r in ratios), "only where a side comes out whole"


# -- several images in a sample --


def test_several_images_in_a_sample() -> None:
    big = (4000, 3000)
    assert count("llava-next", [[big], [big, big]]).tokens.tolist() == [2340, 577, 577]
    assert count("llava-onevision", [[big], [big, (9, 9)]]).tokens.tolist() == [7309, 730, 730]
    assert (
        count("internvl2.5", [[big], [big] * 2, [big] * 13]).tokens.tolist()
        == [3328] + [1792] * 2 + [256] * 13
    )
    assert count("internvl3", [[big] * 3], max_tiles=40, thumbnail=False).tokens.tolist() == [256 * 12] * 3
    for model in ("llava-1.5", "qwen2.5-vl", "qwen3-vl", "minicpm-v-2.6", "cogvlm2"):
        assert count(model, [[big]]).tokens.tolist() * 3 == count(model, [[big] * 3]).tokens.tolist()


def test_wrappers() -> None:
    assert count("llava-1.5", [[(9, 9)]]).wrapper.tolist() == [0]
    assert count("llava-next", [[(9, 9)], [(9, 9)] * 2]).wrapper.tolist() == [0] * 3
    for model in ("qwen-vl", "qwen2-vl", "qwen3-vl", "internvl2", "cogvlm2", "glm-4v"):
        assert count(model, [[(1920, 1080)]]).wrapper.tolist() == [2]
    # 4 x 2 slices: marks around 1 + 8, one line break, and two marks or <image_id>0</image_id>
    assert count("minicpm-v-2.0", [[(1920, 1080), (100, 100)]]).wrapper.tolist() == [18 + 1 + 2, 2]
    assert count("minicpm-v-2.6", [[(1920, 1080), (100, 100)]]).wrapper.tolist() == [18 + 1 + 3, 2]
    # numbers count what is sliced, sample by sample, and 10 has a digit more
    many = count("minicpm-v-2.6", [[(9, 9), *[(1920, 1080)] * 11], [(1920, 1080)]])
    assert many.wrapper.tolist() == [2, *[22] * 10, 23, 22]


def test_images_next_to_each_other_do_not_matter() -> None:
    samples = [SEVERAL[i : i + 1 + i // 4 % 4] for i in range(0, 400, 4)]
    for model in MODELS:
        whole = count(model, samples)
        parts = [count(model, [sample]) for sample in samples]
        for name in Counted._fields:
            assert np.array_equal(getattr(whole, name), np.concatenate([getattr(p, name) for p in parts])), (
                model
            )
        assert [len(values) for values in count(model, [])] == [0, 0, 0]


# -- names and options --


def test_names_however_they_are_spelt() -> None:
    assert slug("qwen2.5-vl") == "qwen2_5_vl"
    assert slug("InternVL-Chat-V1.5") == "internvl_chat_v1_5"
    for spelt in ("Qwen2.5-VL", "qwen2_5_vl", "QWEN2.5 VL"):
        assert model_named(spelt) == "qwen2.5-vl"
    with pytest.raises(ValueError, match=r"no model `qwen25-vl`; did you mean .*`qwen2.5-vl`"):
        model_named("qwen25-vl")


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        ("internvl2", {"max_pixels": 9}, "no option `max_pixels`"),
        ("internvl2", {"max_slices": 9}, "did you mean `max_tiles`"),
        ("llava-1.5", {"max_tiles": 9}, "it has no options"),
        ("internvl2", {"min_tiles": 13}, "less than min_tiles"),
        ("qwen3-vl", {"max_pixels": 1000, "min_pixels": 1}, "less than"),
        ("qwen3-vl", {"max_pixels": 60000}, "less than min_pixels"),
        ("llava-next", {"pinpoints": ((336, 700),)}, "no multiple of the tile"),
    ],
)
def test_options_that_make_no_sense(model: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        formula(model, options)


@pytest.mark.parametrize(
    ("size", "most", "resized"),
    [((12000, 60), 3136, (784, 28)), ((1500, 13), 451584, (616, 28)), ((42, 70), 451584, (56, 56))],
)
def test_sides_of_less_than_a_token(size: tuple[int, int], most: int, resized: tuple[int, int]) -> None:
    """As transformers 5 does; qwen-vl-utils gives (784, 0) and (1512, 28). Halves go to even."""
    one = alone([size])
    width, height = SmartResize(28, 3136, most).resized(one.width, one.height)
    assert (width[0], height[0]) == resized


@pytest.mark.parametrize(("least", "most"), [(3136, 12845056), (200704, 1003520)])
def test_bounds_of_pixels_hold(least: int, most: int) -> None:
    images = alone([size for size in SEVERAL if max(size) <= 20 * min(size)])
    width, height = SmartResize(28, least, most).resized(images.width, images.height)
    assert (least <= width * height).all()
    assert (width * height <= most).all()
    assert not (width % 28).any()
    assert not (height % 28).any()
