from __future__ import annotations

import numpy as np
import pytest
from arrays import blurred, measured, pattern, plain, scene, turns

from stages.image.sharpness import Sharpness

SHARP, ENERGY = "image_sharpness", "image_tenengrad"


@pytest.mark.parametrize(
    ("shape", "laplacian", "sobel"),
    [
        # cv2 5.0: Laplacian(grey, CV_64F).var(), and the mean of Sobel(dx)**2 + Sobel(dy)**2, of Pillow's L
        ((37, 53), 12558.93348703596, 56847.937786843446),
        ((1, 1), 0.0, 0.0),
        ((1, 9), 253.35802469135808, 1916.4444444444443),
        ((2, 2), 40.0, 0.0),
        ((9, 1), 0.8888888888888888, 49.77777777777778),
    ],
)
def test_it_is_what_opencv_measures(shape: tuple[int, int], laplacian: float, sobel: float) -> None:
    (found,) = measured(Sharpness(), np.ascontiguousarray(pattern()[: shape[0], : shape[1]]))
    assert found[SHARP] == pytest.approx(laplacian, rel=1e-6, abs=1e-9)
    assert found[ENERGY] == pytest.approx(sobel, rel=1e-6, abs=1e-9)


def test_blur_lowers_it_and_noise_raises_it() -> None:
    picture = scene()
    steps = [picture, *(blurred(picture, radius) for radius in (0.6, 1.2, 2.5, 5.0))]
    for name in (SHARP, ENERGY):
        values = [found[name] for found in measured(Sharpness(), *steps)]
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


def test_one_colour_has_none() -> None:
    (found,) = measured(Sharpness(), plain())
    assert found == {SHARP: 0.0, ENERGY: 0.0}
