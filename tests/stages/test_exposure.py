from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from arrays import encoded, measured, pattern, plain, scene, turns
from demo_pictures import changed, scores, share, sound

from stages.image.exposure import Exposure


def test_it_is_what_numpy_and_the_paper_give() -> None:
    (found,) = measured(Exposure(), pattern())
    assert found["image_luma"] == pytest.approx(0.4531121576626571, rel=1e-6)
    assert found["image_contrast"] == pytest.approx(0.2084451711328456, rel=1e-6)
    # hypot(std(R - G), std((R + G) / 2 - B)) + 0.3 hypot of their means
    assert found["image_colourfulness"] == pytest.approx(130.7896466630449, rel=1e-6)


def test_black_white_and_grey() -> None:
    black, white, grey = measured(
        Exposure(), plain(colour=(0, 0, 0)), plain(colour=(255, 255, 255)), plain(colour=(128, 128, 128))
    )
    assert (black["image_dark_share"], black["image_bright_share"], black["image_luma"]) == (1, 0, 0)
    assert (white["image_dark_share"], white["image_bright_share"], white["image_luma"]) == (0, 1, 1)
    assert (grey["image_dark_share"], grey["image_bright_share"]) == (0, 0)
    assert black["image_contrast"] == white["image_contrast"] == grey["image_contrast"] == 0
    assert grey["image_colourfulness"] == 0
    (checks,) = measured(
        Exposure(), np.where(np.indices((8, 8)).sum(0)[..., None] % 2, 255, 0).repeat(3, 2).astype(np.uint8)
    )
    assert checks["image_contrast"] == pytest.approx(0.5)


def test_more_exposure_is_brighter_and_in_the_end_clipped() -> None:
    picture = scene()
    gains = [np.clip(picture * gain, 0, 255).astype(np.uint8) for gain in (0.1, 0.5, 1.0, 2.0, 6.0)]
    found = measured(Exposure(), *gains)
    assert [f["image_luma"] for f in found] == sorted(f["image_luma"] for f in found)
    assert [f["image_bright_share"] for f in found] == sorted(f["image_bright_share"] for f in found)
    assert found[-1]["image_bright_share"] > 0.5
    assert found[0]["image_dark_share"] > found[2]["image_dark_share"]


def test_taking_the_colour_out_lowers_colourfulness_and_nothing_else() -> None:
    picture = scene().astype(np.float64)
    grey = picture.mean(axis=2, keepdims=True)
    shares = [(grey + s * (picture - grey)).round().astype(np.uint8) for s in (1.0, 0.5, 0.0)]
    found = [f["image_colourfulness"] for f in measured(Exposure(), *shares)]
    assert found[0] > 1.8 * found[1] > 0
    assert found[2] == 0


def test_the_way_up_does_not_matter_and_compression_hardly() -> None:
    picture = scene()
    first, *others = measured(Exposure(), *turns(picture))
    for other in others:
        assert other == pytest.approx(first, rel=1e-6)
    (jpeg,) = measured(Exposure(), encoded(picture, "JPEG", quality=92, subsampling=0))
    assert jpeg == pytest.approx(first, rel=0.1, abs=0.01)


def test_rows_at_a_distance_say_the_same_as_all() -> None:
    picture = scene(4, 700, 100)
    picture[::2, ::2] = 0  # a quarter of the pixels, whatever rows are looked at
    (whole,) = measured(Exposure(), picture)
    parts = measured(Exposure(), *(picture[i : i + 100] for i in range(0, 700, 100)))
    for name in ("image_luma", "image_dark_share"):
        assert whole[name] == pytest.approx(np.mean([p[name] for p in parts]), abs=0.01)


def test_the_bounds_find_bad_exposure_and_hardly_anything_else(demo_pool: Path) -> None:
    def bad(one: dict[str, Any]) -> bool:
        return one["image_contrast"] < 0.03 or one["image_dark_share"] > 0.9

    good = sound(demo_pool)
    dark = [changed(data, lambda p: p / 50) for data in good]
    fog = [changed(data, lambda p: 180 + p / 10) for data in good]
    assert share(scores(Exposure(), good), bad) <= 0.02
    assert share(scores(Exposure(), dark), bad) >= 0.9
    assert share(scores(Exposure(), fog), bad) >= 0.9
