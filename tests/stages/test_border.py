from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from arrays import Pixels, encoded, measured, plain, scene
from demo_pictures import changed, scores, share, sound

from stages.image.border import Border

SIDES = ("image_border_top", "image_border_bottom", "image_border_left", "image_border_right")


def framed(top: int = 0, bottom: int = 0, left: int = 0, right: int = 0, colour: int = 0) -> Pixels:
    """A photo of 120 x 160 with plain margins around it."""
    return np.pad(scene(), ((top, bottom), (left, right), (0, 0)), constant_values=((colour, colour),) * 3)


def sides(found: dict[str, float]) -> list[float]:
    return [found[name] for name in SIDES]


def test_a_photo_has_none() -> None:
    (found,) = measured(Border(), scene())
    assert set(found.values()) == {0.0}


@pytest.mark.parametrize("colour", [0, 255, 90])
def test_margins_are_shares_of_the_whole(colour: int) -> None:
    (found,) = measured(Border(), framed(10, 30, 20, 20, colour))
    assert sides(found) == pytest.approx([10 / 160, 30 / 160, 20 / 200, 20 / 200])
    assert found["image_border_share"] == pytest.approx(1 - 120 * 160 / (160 * 200))
    assert found["image_letterbox"] == 0, "a frame all around is no letterbox"


@pytest.mark.parametrize("colour", [0, 255])
def test_a_letterbox_is_two_equal_bars(colour: int) -> None:
    wide, tall, uneven, one = measured(
        Border(),
        framed(top=20, bottom=20, colour=colour),
        framed(left=20, right=20, colour=colour),
        framed(top=20, bottom=50, colour=colour),
        framed(top=40, colour=colour),
    )
    assert wide["image_letterbox"] == pytest.approx(40 / 160)
    assert tall["image_letterbox"] == pytest.approx(40 / 200)
    assert uneven["image_letterbox"] == one["image_letterbox"] == 0
    both = framed(top=20, colour=colour)
    two = np.concatenate([both, plain(20, 160, (128, 128, 128))])
    (found,) = measured(Border(), two)
    assert found["image_letterbox"] == 0, "bars of two colours"


def test_turning_the_picture_turns_the_sides() -> None:
    picture = framed(10, 30, 20, 40)
    upright, turned, mirrored = measured(
        Border(), picture, np.ascontiguousarray(np.rot90(picture)), np.ascontiguousarray(picture[:, ::-1])
    )
    top, bottom, left, right = sides(upright)
    assert sides(turned) == [right, left, top, bottom]
    assert sides(mirrored) == [top, bottom, right, left]
    assert turned["image_border_share"] == pytest.approx(upright["image_border_share"])


def test_compression_does_not_hide_it() -> None:
    plain_, jpeg = measured(
        Border(),
        framed(24, 24),
        encoded(framed(24, 24), "JPEG", quality=75),
    )
    assert jpeg["image_letterbox"] == pytest.approx(plain_["image_letterbox"], abs=0.02)


def test_a_mark_in_the_margin_ends_it_but_dust_does_not() -> None:
    dusty, marked = framed(top=40), framed(top=40)
    dusty[10, 5:7] = 255
    marked[10, 20:80] = 255
    (dust, mark) = measured(Border(), dusty, marked)
    assert dust["image_border_top"] == pytest.approx(40 / 160)
    assert mark["image_border_top"] == pytest.approx(10 / 160)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (30, 40)])
def test_one_colour_is_margin_altogether(shape: tuple[int, int]) -> None:
    (found,) = measured(Border(), plain(*shape))
    assert [*sides(found), found["image_border_share"], found["image_letterbox"]] == [1, 1, 1, 1, 1, 0]


def test_the_bound_finds_letterboxes_and_hardly_anything_else(demo_pool: Path) -> None:
    def bars(height: int) -> Callable[[Pixels], Pixels]:
        return lambda p: np.pad(p, ((height, height), (0, 0), (0, 0)))

    good = sound(demo_pool)
    # what has plain ground on its left or right is a framed picture with bars or without
    reaching = [
        data
        for data, one in zip(good, scores(Border(), good), strict=True)
        if max(one["image_border_left"], one["image_border_right"]) < 0.02
    ]
    boxed = [changed(data, bars(40)) for data in reaching]
    assert len(reaching) > len(good) / 4
    assert share(scores(Border(), good), lambda one: one["image_letterbox"] > 0.1) <= 0.02
    assert share(scores(Border(), boxed), lambda one: one["image_letterbox"] > 0.1) >= 0.9
