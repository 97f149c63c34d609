from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from arrays import encoded, measured, plain, scene, turns
from demo_pictures import changed, scores, share, sound

from stages.image.colours import Colours


def logo(share: float = 0.25, ground: tuple[int, int, int] = (255, 255, 255)) -> np.ndarray:  # type: ignore[type-arg]
    picture = plain(40, 100, ground)
    picture[:, : int(100 * share)] = (200, 30, 40)
    return picture


def test_ground_and_ink() -> None:
    (found,) = measured(Colours(), logo())
    assert found == {
        "image_dominant_share": 0.75,
        "image_n_colours": 2,
        "image_grey": False,
    }


def test_a_colour_on_the_border_of_cells_is_not_halved() -> None:
    """JPEG and scanners spread a ground over both sides of a cell's border, here 239 and 240."""
    spread = plain(40, 100, (240, 240, 240))
    spread[::2] -= 1
    (found,) = measured(Colours(), spread)
    assert found["image_dominant_share"] == 1.0


def test_rare_colours_do_not_count() -> None:
    picture = plain(100, 100, (255, 255, 255))
    picture[0, :9] = (255, 0, 0)  # 9 of 10,000
    picture[1, :11] = (0, 0, 255)  # 11 of them
    (found,) = measured(Colours(), picture)
    assert found["image_n_colours"] == 2


def test_grey_is_told_even_after_jpeg() -> None:
    grey = scene().mean(axis=2, keepdims=True).repeat(3, axis=2).astype(np.uint8)
    tinted = grey.copy()
    tinted[..., 2] = np.clip(tinted[..., 2].astype(int) - 30, 0, 255)
    found = measured(Colours(), grey, encoded(grey, "JPEG", quality=80), tinted, scene())
    assert [f["image_grey"] for f in found] == [True, True, False, False]


def test_photos_have_many_colours_and_none_that_rules() -> None:
    photo, one = measured(Colours(), scene(), plain())
    assert photo["image_dominant_share"] < 0.3 < 1.0 == one["image_dominant_share"]
    assert photo["image_n_colours"] > 50 > 1 == one["image_n_colours"]


def test_the_way_up_does_not_matter() -> None:
    found = measured(Colours(), *turns(scene()))
    assert all(one == found[0] for one in found)


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (900, 1)])
def test_thin_images(shape: tuple[int, int]) -> None:
    (found,) = measured(Colours(), plain(*shape))
    assert (found["image_dominant_share"], found["image_n_colours"]) == (1.0, 1)


def test_a_colour_on_the_border_of_cells_on_one_channel_alone_is_not_halved() -> None:
    spread = plain(40, 100, (240, 248, 20))
    spread[::2, :, 0] -= 1
    spread[:, ::2, 1] -= 1
    (found,) = measured(Colours(), spread)
    assert found["image_dominant_share"] == 1.0


def test_rows_at_a_distance_say_the_same_as_all() -> None:
    picture = scene(4, 700, 100)
    picture[::2, ::2] = 0  # a quarter of the pixels, whatever rows are looked at
    (whole,) = measured(Colours(), picture)
    assert whole["image_dominant_share"] == pytest.approx(0.25, abs=0.01)


def test_the_bound_finds_blank_pages_and_hardly_anything_else(demo_pool: Path) -> None:
    good = sound(demo_pool)
    blank = [changed(data, lambda p: 235 + 0 * p) for data in good[:20]]
    assert share(scores(Colours(), good), lambda one: one["image_dominant_share"] > 0.97) <= 0.02
    assert share(scores(Colours(), blank), lambda one: one["image_dominant_share"] > 0.97) == 1
