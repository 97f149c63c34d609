from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from arrays import encoded, measured, pattern, plain, scene, turns
from demo_pictures import changed, scores, share, sound
from PIL import Image

from stages.image.flatness import Flatness

ENTROPY, FLAT = "image_entropy", "image_flat_share"


def test_entropy_is_what_scikit_image_measures() -> None:
    small, large = measured(Flatness(), pattern(), pattern(300, 401))
    # skimage 0.26: shannon_entropy of Pillow's L; of a large one, rows at a distance are counted
    assert small[ENTROPY] == pytest.approx(7.649041999374958, rel=1e-6)
    assert large[ENTROPY] == pytest.approx(7.646466486481422, abs=0.02)


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


def test_neither_lying_nor_standing_lines_are_flat() -> None:
    lines = plain(300, 400)
    lines[::2] = 90
    lying, standing = measured(Flatness(), lines, lines.swapaxes(0, 1))
    assert lying[FLAT] < 0.02
    assert standing[FLAT] < 0.02


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


def test_rows_at_a_distance_say_the_same_as_all() -> None:
    """A large picture is counted in part, a cut of it in full: dithering is caught by neither."""
    picture = scene(4, 700, 100)
    picture[::2, ::2] = 0
    (whole,) = measured(Flatness(), picture)
    parts = measured(Flatness(), *(picture[i : i + 100] for i in range(0, 700, 100)))
    assert whole[FLAT] == pytest.approx(np.mean([p[FLAT] for p in parts]), abs=0.02)
    grey = np.asarray(Image.fromarray(picture).convert("L"))
    shares = np.bincount(grey.ravel(), minlength=256) / grey.size
    expected = -sum(s * np.log2(s) for s in shares if s)
    assert whole[ENTROPY] == pytest.approx(expected, abs=0.05)


def test_the_bound_finds_blank_pages_and_hardly_anything_else(demo_pool: Path) -> None:
    good = sound(demo_pool)
    blank = [changed(data, lambda p: 250 + 0 * p) for data in good[:20]]
    assert share(scores(Flatness(), good), lambda one: one[ENTROPY] < 0.3) <= 0.02
    assert share(scores(Flatness(), blank), lambda one: one[ENTROPY] < 0.3) == 1
