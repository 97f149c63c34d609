from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from curate.errors import RecipeError
from stages.sample.bucket import Bucket

NAMES = ("image_bucket", "image_target_width", "image_target_height", "image_fit", "image_tier")
TIERS = [
    {"side": 224},
    {"side": 336, "min_length": 8},
    {"side": 448, "min_length": 16, "bounds": {"image_clip": {"min": 0.28}}},
    {"side": 896, "min_length": 40},
]


def placed(
    sizes: Sequence[tuple[int | None, int | None]], wanted: int | None = None, **config: Any
) -> list[dict[str, Any]]:
    """What becomes of images of these sizes; `drop` is the reason."""
    bucket = Bucket.model_validate(config)
    _, part = bucket.by_level()[-1]
    widths, heights = (pa.array(side, pa.int32()) for side in zip(*sizes, strict=True))
    table = pa.table({"image_width": widths, "image_height": heights})
    if wanted is not None:
        table = table.append_column("image_tier_wanted", pa.array([wanted] * len(sizes), pa.int32()))
    out = part.open()(table)
    assert out.drop is not None
    assert set(out.drop.drop_null().to_pylist()) <= bucket.reasons()
    rows: list[dict[str, Any]] = pa.table({**out.columns, "drop": out.drop}).to_pylist()
    return rows


def names(rows: list[dict[str, Any]]) -> list[str]:
    """Bucket, or reason."""
    return [row["image_bucket"] or row["drop"] for row in rows]


def wanted(table: dict[str, Any], **settings: Any) -> list[list[int]]:
    """The tier that each image's texts deserve."""
    bucket = Bucket.model_validate({"by_caption": settings})
    level, part = bucket.by_level()[0]
    assert level == "sample"
    (found,) = part.open()(pa.table(table)).columns.values()
    sides: list[list[int]] = found.to_pylist()
    return sides


def pairs(words: Sequence[int], junk: Sequence[str | None], **others: Any) -> dict[str, Any]:
    rows = len(words)
    return {
        "shape": ["pair"] * rows,
        "layout": ["it"] * rows,
        "image_ref": [["a"]] * rows,
        "text_body": [["b"]] * rows,
        "text_words": pa.array([[n] for n in words], pa.list_(pa.int32())),
        "text_junk": pa.array([[j] for j in junk], pa.list_(pa.string())),
        **others,
    }


# -- the tier that a text deserves --


def test_long_clean_captions_deserve_more() -> None:
    table = pairs([1, 7, 8, 15, 16, 40, 40], [None] * 6 + ["url"])
    assert wanted(table) == [[224], [224], [336], [336], [448], [896], [224]]
    assert wanted(table, junk="")[-1] == [896]


def test_bounds_on_the_image_and_the_sample() -> None:
    clip = pa.array([[0.28], [0.27], [None], [float("nan")]], pa.list_(pa.float32()))
    table = pairs([20] * 4, [None] * 4, image_clip=clip)
    assert wanted(table, tiers=TIERS) == [[448], [336], [336], [336]]
    whole = [{"side": 224}, {"side": 448, "bounds": {"n_chars": {"min": 10, "max": 20}}}]
    table = pairs([1] * 4, [None] * 4, n_chars=[9, 10, 20, 21])
    assert wanted(table, tiers=whole) == [[224], [448], [448], [224]]


def test_a_tier_whose_demands_hold_wins_though_a_smaller_ones_do_not() -> None:
    clip = pa.array([[0.1]], pa.list_(pa.float32()))
    assert wanted(pairs([50], [None], image_clip=clip), tiers=TIERS) == [[896]]


DOCUMENT = {
    "shape": ["document", "document", "pair"],
    "layout": ["titit", "ii", "ittt"],
    "image_ref": [["a", "b"], ["c", "d"], ["e"]],
    "text_body": [["x", "y", "z"], [], ["q", "a", "b"]],
    "text_words": pa.array([[10, 7, 9], [], [3, 3, 2]], pa.list_(pa.int32())),
    "text_junk": pa.array([[None, None, "tags"], [], [None] * 3], pa.list_(pa.string())),
}


def test_the_texts_of_an_image() -> None:
    # beside it 10 + 7 and 7 + a junk text; of a conversation all turns
    assert wanted(DOCUMENT) == [[448, 224], [224, 224], [336]]
    assert wanted(DOCUMENT, texts="all") == [[448, 448], [224, 224], [336]]
    good = [{"side": 224}, {"side": 448, "min_length": 7, "bounds": {"text_words": {"min": 7, "max": 9}}}]
    # a text outside its bounds counts for nothing
    assert wanted(DOCUMENT, tiers=good) == [[448, 448], [224, 224], [224]]
    none = [{"side": 224}, {"side": 448, "bounds": {"text_words": {"min": 11}}}]
    assert wanted(DOCUMENT, tiers=none) == [[224, 224], [224, 224], [224]]


def test_a_text_behind_the_next_one_is_another_images() -> None:
    table = {**pairs([0], [None]), "shape": ["document"], "layout": ["itt"], "text_body": [["a", "b"]]}
    table["text_words"] = pa.array([[3, 50]], pa.list_(pa.int32()))
    table["text_junk"] = pa.array([[None, None]], pa.list_(pa.string()))
    assert wanted(table) == [[224]]
    assert wanted(table, texts="all") == [[896]]


def test_a_pair_is_a_document_of_one_image() -> None:
    pair = pairs([5, 20, 41], [None, None, "url"])
    assert wanted(pair) == wanted({**pair, "shape": ["document"] * 3})


# -- the target --


def test_the_largest_tier_that_an_image_fills() -> None:
    sizes = [(2000, 2000), (896, 895), (500, 460), (448, 400), (300, 240), (223, 900)]
    square: dict[str, Any] = {"by_caption": {"shapes": "square", "tiers": TIERS}}
    found = ["896x896", "448x448", "448x448", "336x336", "224x224", "too_small"]
    assert names(placed(sizes, 896, **square)) == found
    assert names(placed(sizes, 336, **square)) == ["336x336"] * 4 + ["224x224", "too_small"]
    assert names(placed(sizes, 896, **square, max_upscale=1.01))[1] == "896x896"
    assert [row["image_tier"] for row in placed(sizes, 896, **square)] == [896, 448, 448, 336, 224, None]


def test_shapes_within_a_tier() -> None:
    size = [(1600, 1200)]
    (row,) = placed(size, 448)
    assert {name: row[name] for name in NAMES} == {
        "image_bucket": "504x392",
        "image_target_width": 504,
        "image_target_height": 392,
        "image_fit": "crop",
        "image_tier": 448,
    }
    (row,) = placed(size, 448, by_caption={"shapes": "native"})
    assert (row["image_bucket"], row["image_fit"]) == ("504x364", "stretch")
    (row,) = placed(size, 448, by_caption={"shapes": "square", "fit": "stretch"})
    assert (row["image_bucket"], row["image_fit"]) == ("448x448", "stretch")


def test_an_image_of_which_little_would_be_left() -> None:
    square: dict[str, Any] = {"shapes": "square"}
    sizes = [(1800, 900), (1801, 900), (900, 1801)]
    assert names(placed(sizes, 896, by_caption=square)) == ["896x896", "extreme_ratio", "extreme_ratio"]
    assert names(placed(sizes, 896, by_caption={**square, "max_cut": 1})) == ["896x896"] * 3
    assert names(placed(sizes, 896, by_caption={**square, "fit": "stretch"})) == ["896x896"] * 3


def test_lists_of_ratios() -> None:
    novelai: dict[str, Any] = {"policy": "aspect", "aspect": {"buckets": "novelai"}}
    # a difference of 4 to the bucket of 1024 x 256
    assert names(placed([(2400, 300), (2399, 300)], **novelai)) == ["extreme_ratio", "1024x256"]
    sizes = [(600, 600), (1920, 1080), (4000, 450), (500, 800), (4200, 4100)]
    assert names(placed(sizes, **novelai)) == ["512x512", "832x448", "extreme_ratio", "too_small", "512x512"]
    assert names(placed(sizes, policy="aspect")) == [
        "too_small",
        "1344x768",
        "too_small",
        "too_small",
        "1024x1024",
    ]
    unbound = placed(sizes, policy="aspect", max_upscale=None)
    assert names(unbound) == ["1024x1024", "1344x768", "2048x512", "768x1280", "1024x1024"]
    kept = placed(sizes, policy="aspect", too_small="keep")
    assert names(kept) == ["576x576", "1344x768", "2816x320", "448x768", "1024x1024"]
    assert [row["image_tier"] for row in kept] == [None, 1024, None, None, 1024]


def test_native_and_tiles() -> None:
    sizes = [(640, 480), (1920, 1080), (40, 40), (9000, 44)]
    assert names(placed(sizes, policy="native", max_upscale=None)) == [
        "644x476",
        "1932x1092",
        "56x56",
        "extreme_ratio",
    ]
    assert names(placed(sizes, policy="native")) == ["616x476", "1904x1064", "too_small", "extreme_ratio"]
    assert names(placed(sizes, policy="tiles", max_upscale=None))[:2] == ["1792x1344", "1792x896"]
    assert names(placed(sizes, policy="tiles"))[:3] == ["448x448", "1792x896", "too_small"]
    minicpm: dict[str, Any] = {"policy": "tiles", "tiles": {"grids": "minicpm"}}
    assert names(placed(sizes, **minicpm))[:2] == ["518x392", "1680x952"]
    llava: dict[str, Any] = {"policy": "tiles", "tiles": {"grids": "llava_next"}}
    assert names(placed(sizes, **llava)) == ["640x480", "672x378", "40x40", "1008x5"]


EVERY: list[dict[str, Any]] = [
    {},
    {"by_caption": {"shapes": "square"}},
    {"by_caption": {"shapes": "native"}},
    {"policy": "aspect"},
    {"policy": "aspect", "aspect": {"buckets": "novelai"}},
    {"policy": "native"},
    {"policy": "native", "native": {"factor": 32, "min_pixels": 65536, "max_pixels": 16777216}},
    {"policy": "tiles"},
    {"policy": "tiles", "tiles": {"grids": "minicpm"}},
    {"policy": "tiles", "tiles": {"grids": "llava_onevision"}},
]


@pytest.mark.parametrize("too_small", ["keep", "drop"])
@pytest.mark.parametrize("upscale", [1.0, 1.5, None])
@pytest.mark.parametrize("config", EVERY, ids=lambda config: str(config))
def test_every_image_is_in_one_bucket_and_none_is_enlarged_too_much(
    config: dict[str, Any], upscale: float | None, too_small: str
) -> None:
    rng = random.Random(str(config))
    sizes = [
        (rng.randint(1, 2500), rng.randint(1, 2500) if i % 3 else rng.randint(1, 40)) for i in range(300)
    ]
    deserved = 896 if config.get("policy", "by_caption") == "by_caption" else None
    rows = placed(sizes, deserved, max_upscale=upscale, too_small=too_small, **config)
    for (width, height), row in zip(sizes, rows, strict=True):
        if row["drop"] is not None:
            assert all(row[name] is None for name in NAMES)
            assert too_small == "drop" or row["drop"] == "extreme_ratio"
            continue
        size = row["image_target_width"], row["image_target_height"]
        assert row["image_bucket"] == f"{size[0]}x{size[1]}"
        assert min(size) >= 1
        assert row["image_fit"] in ("crop", "stretch")
        if upscale is not None:
            assert size[0] <= width * upscale
            assert size[1] <= height * upscale


def test_an_image_of_unknown_size_has_no_target() -> None:
    rows = placed([(None, 5), (5, None), (0, 5)], 224)
    assert all(value is None for row in rows for value in row.values())


# -- the configuration --


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"native": {"factor": 32}}, "the policy is by_caption"),
        ({"by_caption": {"tiers": [{"side": 448}, {"side": 224}]}}, "rise"),
        ({"by_caption": {"tiers": [{"side": 448, "min_length": 3}]}}, "demands nothing"),
        ({"by_caption": {"length": "n_chars"}}, "no column of texts"),
        ({"by_caption": {"step": 128}}, "too coarse"),
        ({"policy": "aspect", "aspect": {"min_side": 2048, "max_side": 1024}}, "no bucket"),
        ({"policy": "aspect", "aspect": {"area": 1000}}, "no bucket"),
        ({"policy": "aspect", "aspect": {"square": 512}}, "novelai"),
        ({"policy": "native", "native": {"min_pixels": 10**6, "max_pixels": 10**5}}, "max_pixels"),
        ({"policy": "tiles", "tiles": {"grids": "llava_next", "max_tiles": 3}}, "list of its own"),
    ],
)
def test_settings_that_make_no_sense(config: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Bucket.model_validate(config)


def test_columns_that_cannot_be_compared() -> None:
    tiers = [{"side": 224}, {"side": 448, "bounds": {"text_junk": {"min": 1}}}]
    _, part = Bucket.model_validate({"by_caption": {"tiers": tiers}}).by_level()[0]
    columns = pa.schema([("text_words", pa.int32()), ("text_junk", pa.string())])
    with pytest.raises(RecipeError) as caught:
        part.check_columns(columns)
    assert caught.value.place == "by_caption.tiers.1.bounds.text_junk"
    columns = pa.schema([("text_words", pa.float32()), ("text_junk", pa.string())])
    with pytest.raises(RecipeError, match="whole numbers"):
        part.check_columns(columns)
