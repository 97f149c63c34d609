from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from workshop import encoded, opened, picture, swapped_profile

from curate.export.jpeg import Undecodable, extension, sniff, training_jpeg

FORMATS = {
    "JPEG": "jpg",
    "PNG": "png",
    "WEBP": "webp",
    "GIF": "gif",
    "BMP": "bmp",
    "TIFF": "tif",
    "AVIF": "avif",
}


def turned(image: Image.Image, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(image, "JPEG", exif=exif, quality=95)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 30, "subsampling": 2}])
def test_an_upright_rgb_jpeg_is_not_touched(options: dict[str, int]) -> None:
    data = encoded(picture(1), "JPEG", **options)
    assert training_jpeg(data) is data
    unknown = turned(picture(1), 0)
    assert training_jpeg(unknown) is unknown


@pytest.mark.parametrize("format", sorted(FORMATS))
def test_the_extension_is_what_the_bytes_are(format: str) -> None:
    data = encoded(picture(1), format)
    assert extension(data, declared="jpeg") == FORMATS[format]


@pytest.mark.parametrize("format", sorted(set(FORMATS) - {"JPEG", "GIF"}))
def test_other_formats_become_jpegs_of_the_same_pixels(format: str) -> None:
    data = encoded(picture(1), format)
    made = training_jpeg(data)
    assert sniff(made) == "jpeg"
    assert np.abs(opened(made) - opened(data)).max() <= 10


@pytest.mark.parametrize("orientation", range(2, 9))
def test_what_was_turned_is_upright(orientation: int) -> None:
    upright = picture(1)
    backwards = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    made = training_jpeg(turned(upright.transpose(backwards[orientation]), orientation))
    assert np.abs(opened(made) - np.asarray(upright).astype(int)).max() <= 16
    with Image.open(io.BytesIO(made)) as image:
        assert 0x0112 not in image.getexif()


@pytest.mark.parametrize(("mode", "format"), [("RGBA", "PNG"), ("LA", "PNG"), ("P", "PNG"), ("RGBA", "WEBP")])
def test_what_is_transparent_becomes_white(mode: str, format: str) -> None:
    image = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    image.paste((40, 40, 40, 255), (0, 0, 32, 16))
    options = {"transparency": 1} if mode == "P" else {}
    if mode == "P":
        opaque = Image.new("P", (32, 32), 1)
        opaque.putpalette([40, 40, 40, 0, 0, 0])
        opaque.paste(0, (0, 0, 32, 16))
        image = opaque
    else:
        image = image.convert(mode)
    pixels = opened(training_jpeg(encoded(image, format, **options)))
    assert np.abs(pixels[:8] - 40).max() <= 3
    assert pixels[24:].min() >= 252


def test_cmyk_and_grey_become_rgb() -> None:
    for mode in ("CMYK", "L"):
        data = encoded(picture(1, mode=mode), "JPEG", quality=95)
        made = training_jpeg(data)
        with Image.open(io.BytesIO(made)) as image:
            assert image.mode == "RGB"
        assert np.abs(opened(made) - opened(data)).max() <= 10


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    grey = np.linspace(0, 65535, 64, dtype=np.uint16)[None, :].repeat(32, 0)
    pixels = opened(training_jpeg(encoded(Image.fromarray(grey), "PNG")))
    assert abs(pixels[0, 32].mean() - 130) < 6


def test_colours_become_srgb_and_the_profile_goes() -> None:
    red = Image.new("RGB", (32, 32), (255, 0, 0))
    made = training_jpeg(encoded(red, "PNG", icc_profile=swapped_profile()))
    with Image.open(io.BytesIO(made)) as image:
        assert "icc_profile" not in image.info
    assert np.abs(opened(made)[16, 16] - [0, 255, 0]).max() <= 4


def test_a_broken_profile_is_as_good_as_none() -> None:
    broken = encoded(picture(1), "PNG", icc_profile=b"not a profile")
    assert np.abs(opened(training_jpeg(broken)) - opened(broken)).max() <= 10


def test_nothing_but_pixels_is_taken_over() -> None:
    data = encoded(Image.new("RGB", (32, 32), "red"), "GIF", comment=b"made by somebody")
    assert b"somebody" in data
    assert b"somebody" not in training_jpeg(data)


def test_of_an_animation_the_first_frame() -> None:
    frames = [Image.new("RGB", (32, 32), c) for c in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert opened(training_jpeg(data))[16, 16].tolist()[0] > 240


@pytest.mark.parametrize("data", [b"", b"<html>404</html>", encoded(picture(1), "PNG")[:150]])
def test_what_cannot_be_decoded_is_said_to_be(data: bytes) -> None:
    with pytest.raises(Undecodable):
        training_jpeg(data)


def test_unknown_bytes_have_no_extension_but_the_declared() -> None:
    assert extension(b"????????????", "TIFF") == "tif"
    with pytest.raises(Undecodable):
        extension(b"<html>404</html>")
