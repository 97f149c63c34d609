from __future__ import annotations

import numpy as np
import pytest
from arrays import Pixels, encoded, measured, pattern, plain, scene
from PIL import Image
from scipy.fft import dctn

from stages.image.phash import Phash

ALL = Phash(kinds=("phash", "dhash", "phash256", "thumb"))


def bits(a: int, b: int) -> int:
    return (a ^ b).bit_count()


def as_imagehash(pixels: Pixels, side: int) -> bytes:
    """imagehash.phash, whose code is: dct(dct(pixels, axis=0), axis=1), low frequencies, above the median."""
    small = Image.fromarray(pixels).convert("L").resize((4 * side, 4 * side), Image.Resampling.LANCZOS)
    low = dctn(np.asarray(small, dtype=np.float64), type=2)[:side, :side]
    return np.packbits(low > np.median(low)).tobytes()


@pytest.mark.parametrize("pixels", [pattern(), pattern(211, 97), *(scene(seed) for seed in range(6))])
def test_phash_is_that_of_the_float_transform(pixels: Pixels) -> None:
    found = measured(ALL, pixels)[0]
    assert found["image_phash"].to_bytes(8, "big") == as_imagehash(pixels, 8)
    assert found["image_phash256"] == as_imagehash(pixels, 16)


def test_golden_values_of_imagehash() -> None:
    # str(imagehash.phash(image)), dhash, phash(hash_size=16) of imagehash 4.3.2
    found = measured(ALL, pattern())[0]
    assert f"{found['image_phash']:016x}" == "80193b3c7173676e"
    assert f"{found['image_dhash']:016x}" == "f9f3e3d3a7a7e7cf"
    assert found["image_phash256"].hex() == "802319fc3b233c7c71e1738e673966664cc949b35b6c525a56b5952ba556aa8d"


def test_a_copy_is_a_few_bits_away_and_another_picture_many() -> None:
    picture = scene(3, 300, 400)
    half = np.asarray(Image.fromarray(picture).resize((200, 150), Image.Resampling.BICUBIC))
    copies = [encoded(picture, "JPEG", quality=50), encoded(picture, "WEBP", quality=60), half]
    first, *others, stranger = measured(ALL, picture, *copies, scene(4, 300, 400))
    for other in others:
        assert bits(first["image_phash"], other["image_phash"]) <= 4
        assert bits(first["image_dhash"], other["image_dhash"]) <= 8
        assert bits(*(int.from_bytes(x["image_phash256"]) for x in (first, other))) <= 24
    assert bits(first["image_phash"], stranger["image_phash"]) >= 16


def test_one_colour_has_the_mean_alone() -> None:
    for colour in ((255, 255, 255), (9, 80, 200)):
        found = measured(ALL, plain(50, 70, colour))[0]
        assert found["image_phash"] == 1 << 63
        assert found["image_dhash"] == 0


def test_the_thumb_is_a_tiny_picture_and_a_shape() -> None:
    left, right = plain(64, 64, (250, 20, 20)), plain(64, 64, (20, 20, 250))
    thumb = measured(ALL, np.concatenate([left, right], axis=1))[0]["image_thumb"]
    assert len(thumb) == 6145
    fine, coarse = (np.frombuffer(part, np.uint8) for part in (thumb[:4096], thumb[4096:6144]))
    colours = [Image.fromarray(plane).resize((64, 64)) for plane in coarse.reshape(2, 32, 32)]
    picture = Image.merge("YCbCr", [Image.fromarray(fine.reshape(64, 64)), *colours]).convert("RGB")
    assert np.abs(np.asarray(picture)[10, 6].astype(int) - (250, 20, 20)).max() <= 2
    assert np.abs(np.asarray(picture)[10, 56].astype(int) - (20, 20, 250)).max() <= 2
    assert thumb[6144] == 128 + 32  # twice as wide as high
    shapes = [
        measured(ALL, plain(*sides))[0]["image_thumb"][6144] for sides in ((1, 4000), (4000, 1), (7, 7))
    ]
    assert shapes == [255, 0, 128]


def test_only_what_is_asked_for_is_written() -> None:
    stage = Phash(kinds=("thumb",))
    assert stage.writes().names == ["image_thumb"]
    assert measured(stage, scene())[0]["image_thumb"] == measured(ALL, scene())[0]["image_thumb"]
