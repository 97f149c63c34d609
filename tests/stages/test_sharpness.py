from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from arrays import blurred, encoded, measured, pattern, plain, scene, turns
from demo_pictures import of_low_quality, pictures, scores, share, sound
from PIL import Image

from stages.image.sharpness import Sharpness

SHARP, BLOCKS = "image_sharpness", "image_blockiness"


def out_of_bounds(found: dict[str, Any]) -> bool:
    """The bounds that the docstring suggests."""
    return not 10 <= found[SHARP] <= 15000 or found[BLOCKS] > 0.5


@pytest.mark.parametrize(
    ("shape", "laplacian"),
    [
        # cv2 5.0: Laplacian(grey, CV_64F).var() of Pillow's L
        ((37, 53), 12558.93348703596),
        ((1, 1), 0.0),
        ((1, 9), 253.35802469135808),
        ((2, 2), 40.0),
        ((9, 1), 0.8888888888888888),
        ((300, 401), 37188.83827546568),
    ],
)
def test_it_is_what_opencv_measures(shape: tuple[int, int], laplacian: float) -> None:
    (found,) = measured(Sharpness(), pattern(*shape))
    assert found[SHARP] == pytest.approx(laplacian, rel=1e-6, abs=1e-9)


def test_blur_lowers_it_and_noise_raises_it() -> None:
    picture = scene()
    steps = [picture, *(blurred(picture, radius) for radius in (0.6, 1.2, 2.5, 5.0))]
    values = [found[SHARP] for found in measured(Sharpness(), *steps)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 4 * values[-1]
    noise = np.random.default_rng(1).normal(0, 40, picture.shape)
    noisy = np.clip(picture + noise, 0, 255).astype(np.uint8)
    before, after = measured(Sharpness(), picture, noisy)
    assert after[SHARP] > 5 * before[SHARP]


def test_the_way_up_does_not_matter() -> None:
    found = measured(Sharpness(), *turns(pattern()))
    for one in found[1:]:
        assert one == pytest.approx(found[0], rel=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (1, 400), (400, 1), (30, 40), (300, 400)])
def test_one_colour_has_none(shape: tuple[int, int]) -> None:
    (found,) = measured(Sharpness(), plain(*shape))
    assert found == {SHARP: 0.0, BLOCKS: 0.0}


def test_blocks_show_more_the_stronger_the_compression_wherever_their_grid_begins() -> None:
    picture = scene(3, 240, 320)
    files = [encoded(picture, "JPEG", quality=quality) for quality in (95, 30, 4)]
    whole, good, weak, strong = (found[BLOCKS] for found in measured(Sharpness(), picture, *files))
    assert whole < 0.05
    assert good < 0.05
    assert good < weak < strong
    assert strong > 0.7
    with Image.open(io.BytesIO(files[-1])) as image:
        (cropped,) = measured(Sharpness(), np.asarray(image)[3:, 5:])
    assert cropped[BLOCKS] == pytest.approx(strong, abs=0.1)


def test_the_bounds_find_what_the_demo_plants(demo_pool: Path) -> None:
    planted = [p.data for p in pictures(demo_pool) if "low_quality" in p.defects]
    good = sound(demo_pool)
    more = [of_low_quality(data, seed) for seed, data in enumerate(good)]
    edits = [edit for _, edit in more]
    assert share(scores(Sharpness(), good), out_of_bounds) <= 0.02
    found = scores(Sharpness(), [*planted, *(data for data, _ in more)])
    assert share(found, out_of_bounds) >= 0.9
    told = [one for one, edit in zip(found[len(planted) :], edits, strict=True) if edit != "jpeg"]
    assert share(told, lambda one: not 10 <= one[SHARP] <= 15000) == 1
