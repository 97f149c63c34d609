from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tiny_encoders import waves

from stages.common.encoder_resize import Resize

pytestmark = pytest.mark.usefixtures("torchvision")

SIZES = [
    (480, 640),
    (64, 64),
    (64, 91),
    (91, 64),
    (65, 64),
    (17, 23),
    (333, 1000),
    (1000, 334),
    (40, 1500),
    (7, 7),
]
MODES: list[Any] = ["shortest", "squash", "longest"]


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [64, 63])
def test_each_byte_is_open_clips(size: int, mode: Any, interpolation: str) -> None:
    from open_clip.transform import PreprocessCfg, image_transform_v2
    from PIL import Image

    how = PreprocessCfg(
        size=size,
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
        interpolation=interpolation,
        resize_mode=mode,
        fill_color=114,
    )
    theirs = image_transform_v2(how, is_train=False)
    ours = Resize(size, mode, 3 if interpolation == "bicubic" else 2, 114)
    for i, (height, width) in enumerate(SIZES):
        frame = waves(height, width, i)
        wanted = (theirs(Image.fromarray(frame)).permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        assert np.array_equal(ours(frame), wanted), (height, width)


def test_a_line_of_pixels_costs_no_more_than_what_is_cut_out() -> None:
    """1 x 20,000 pixels: resized whole they would be 224 x 4,480,000."""
    line = np.tile(waves(1, 2000, 0), (1, 10, 1))
    for frame in (line, line.transpose(1, 0, 2)):
        for mode in MODES:
            assert Resize(224, mode)(np.ascontiguousarray(frame)).shape == (224, 224, 3)


@pytest.mark.parametrize("turned", [False, True])
def test_beyond_the_longest_aspect_only_roundings_differ(turned: bool) -> None:
    whole, part = waves(10, 650, 1), waves(10, 640, 1)
    whole[:, 5:645] = part  # the same middle, on either side of the limit
    if turned:
        whole, part = whole.transpose(1, 0, 2).copy(), part.transpose(1, 0, 2).copy()
    differences = np.abs(Resize(32)(whole).astype(int) - Resize(32)(part))
    assert differences.max() <= 1
