from __future__ import annotations

import numpy as np
import pytest
from arrays import encoded, measured, pattern, plain, scene, turns

from stages.image.flatness import Flatness

ENTROPY, FLAT = "image_entropy", "image_flat_share"


def test_entropy_is_what_scikit_image_measures() -> None:
    (found,) = measured(Flatness(), pattern())
    assert found[ENTROPY] == pytest.approx(7.649041999374958, rel=1e-6)  # shannon_entropy of Pillow's L


def test_two_greys_in_equal_parts_are_one_bit_and_flat_but_for_their_edge() -> None:
    half = plain(10, 40)
    half[:, 20:] = 200
    (found,) = measured(Flatness(), half)
    assert found[ENTROPY] == pytest.approx(1.0)
    assert found[FLAT] == pytest.approx(1 - 1 / 40)


def test_one_colour_is_all_flat() -> None:
    for shape in ((1, 1), (1, 300), (300, 1), (20, 30)):
        (found,) = measured(Flatness(), plain(*shape))
        assert found == {ENTROPY: 0.0, FLAT: 1.0}


def test_what_is_no_difference_to_the_eye_is_flat() -> None:
    ramp = np.repeat(np.repeat(np.arange(0, 200, dtype=np.uint8)[None, :, None], 20, axis=0), 3, axis=2)
    (slow, steep) = measured(Flatness(), ramp, np.ascontiguousarray(ramp[:, ::4]))
    assert slow[FLAT] == 1.0
    assert steep[FLAT] == pytest.approx(1 / 50)  # the last column has no right neighbour
    # 250 next to 2 is a step of 248, not of 8
    wrap = plain(4, 4, (250, 250, 250))
    wrap[:, 2:] = 2
    assert measured(Flatness(), wrap)[0][FLAT] == pytest.approx(0.75)


def test_the_way_up_does_not_matter_to_entropy_and_compression_hardly() -> None:
    picture = scene()
    found = measured(Flatness(), *turns(picture))
    assert {f[ENTROPY] for f in found} == {found[0][ENTROPY]}
    (jpeg,) = measured(Flatness(), encoded(picture, "JPEG", quality=92))
    assert jpeg[ENTROPY] == pytest.approx(found[0][ENTROPY], abs=0.1)
