from __future__ import annotations

import io
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image, ImageCms
from workshop import encoded, opened, picture, swapped_profile

from curate.export.jpeg import Undecodable, sniff
from curate.export.resize import Cut, Resize, Target, cut, pixels, reencoded, resized
from curate.pixels import plain

FILTERS = {"bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}
PNG = Resize(format="png")


def detailed(size: tuple[int, int], seed: int = 0) -> Image.Image:
    """Edges, slopes and grain: what resizing gets wrong, shows."""
    width, height = size
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.arange(width, dtype=float), np.arange(height, dtype=float))
    waves = np.stack([60 * np.sin(x / 5 + seed) * np.cos(y / period) for period in (7, 9, 11)], -1)
    base = np.stack([x * 200 / width, y * 200 / height, (x + y) % 90 + 60], -1)
    found = base + waves + rng.normal(0, 4, (height, width, 1))
    found[height // 3 : height // 2, width // 4 : width // 2] = 235
    return Image.fromarray(found.clip(0, 255).astype(np.uint8))


def expected(image: Image.Image, target: Target, filter: str = "bicubic") -> np.ndarray[Any, Any]:
    """What Pillow makes of the whole image, cut afterwards, by the law as it is written down."""
    whole = cut(*image.size, target)
    scaled = image.resize((whole.width, whole.height), FILTERS[filter])
    box = (whole.left, whole.top, whole.left + target.width, whole.top + target.height)
    return np.asarray(scaled.crop(box)).astype(int)


def array(image: Image.Image) -> np.ndarray[Any, Any]:
    return np.asarray(image).astype(int)


TARGETS = [
    Target(64, 64),
    Target(64, 64, "crop"),
    Target(100, 36, "crop"),
    Target(37, 101, "crop"),
    Target(231, 149, "crop"),
    Target(300, 200),  # enlarged
]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("filter", sorted(FILTERS))
@pytest.mark.parametrize("size", [(231, 149), (149, 231), (640, 31)])
def test_what_is_not_reduced_first_is_pillows_own(
    size: tuple[int, int], filter: Literal["bicubic", "lanczos"], target: Target
) -> None:
    image = detailed(size)
    found = array(pixels(encoded(image, "PNG"), target, filter))
    assert found.shape == (target.height, target.width, 3)
    off = np.abs(found - expected(image, target, filter))
    # a cut is computed alone, and Pillow may turn to the rows first then: where a filter overshoots, it clips
    # a value that it would not have clipped otherwise
    assert off.max() <= (0 if target.fit == "stretch" else 8)
    assert np.mean(off > 1) < 1e-3


@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize("filter", sorted(FILTERS))
@pytest.mark.parametrize("size", [(1024, 768), (1021, 773), (600, 1537)])
def test_a_jpeg_reduced_by_its_decoder_is_near_the_full_decode(
    size: tuple[int, int], filter: Literal["bicubic", "lanczos"], subsampling: int
) -> None:
    data = encoded(detailed(size), "JPEG", quality=92, subsampling=subsampling)
    full = Image.open(io.BytesIO(data)).convert("RGB")
    for target in (Target(224, 224, "crop"), Target(112, 160), Target(64, 48, "crop")):
        off = array(pixels(data, target, filter)) - expected(full, target, filter)
        assert np.abs(off).max() <= 16
        assert 10 * np.log10(255**2 / np.mean(off**2)) >= 41


def test_no_shift_where_sides_are_no_multiples_of_the_reduction() -> None:
    """A ramp; at 1/8 the last pixel stands for one of eight: a shift by seven would be one by two levels."""
    ramp = np.linspace(0, 255, 1025)[None, :, None].repeat(1025, 0).repeat(3, 2).astype(np.uint8)
    target = Target(64, 64)
    for orientation in (1, 2, 3):
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = encoded(Image.fromarray(ramp), "JPEG", quality=98, subsampling=0, exif=exif)
        found = array(pixels(data, target))
        wanted = expected(Image.fromarray(ramp), target)
        assert np.abs(found - (wanted if orientation == 1 else wanted[:, ::-1])).max() <= 1


@pytest.mark.parametrize(
    ("size", "target", "found"),
    [
        ((1000, 500), Target(100, 100), Cut(100, 100, 0, 0)),
        ((1000, 500), Target(100, 100, "crop"), Cut(200, 100, 50, 0)),
        ((500, 1000), Target(100, 100, "crop"), Cut(100, 200, 0, 50)),
        ((301, 200), Target(100, 100, "crop"), Cut(151, 100, 25, 0)),  # 150.5, half up
        ((640, 480), Target(448, 336, "crop"), Cut(448, 336, 0, 0)),
        ((3, 1000), Target(2, 2, "crop"), Cut(2, 667, 0, 332)),
    ],
)
def test_the_law_of_cropping(size: tuple[int, int], target: Target, found: Cut) -> None:
    assert cut(*size, target) == found


def test_every_crop_covers_its_target() -> None:
    rng = np.random.default_rng(1)
    for w, h, wide, tall in rng.integers(1, 3000, (2000, 4)).tolist():
        whole = cut(w, h, Target(wide, tall, "crop"))
        assert whole.width >= wide
        assert whole.height >= tall
        assert wide == whole.width or tall == whole.height
        assert abs(whole.width / whole.height * h / w - 1) <= 0.5 / min(whole.width, whole.height) + 1e-9
        assert 0 <= whole.width - wide - 2 * whole.left <= 1
        assert 0 <= whole.height - tall - 2 * whole.top <= 1


def written(image: Image.Image, how: Resize) -> bytes:
    options: dict[str, Any] = {"jpeg": {"quality": 70}, "webp": {"quality": 70}, "png": {}}[how.format]
    return encoded(image, how.format, **options)


ALL = [Resize(), Resize(format="webp"), Resize(format="webp", lossless=True), PNG]


@pytest.mark.parametrize("how", ALL)
def test_what_fits_already_keeps_its_bytes(how: Resize) -> None:
    data = written(picture(1, (96, 64)), how)
    assert resized(data, Target(96, 64, "crop"), how) is data
    assert reencoded(data, how) is data
    assert resized(data, Target(64, 96, "crop"), how) != data
    for other in {"jpeg", "webp", "png"} - {how.format}:
        made = resized(encoded(picture(1, (96, 64)), other), Target(96, 64), how)
        assert sniff(made) == how.format


def with_orientation(number: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = number
    return exif


def test_of_the_right_size_alone_is_not_enough() -> None:
    wide, target = picture(1, (96, 64)), Target(96, 64)
    clear = wide.convert("RGBA")
    clear.putalpha(0)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    cases = [
        (Resize(), encoded(picture(1, (64, 96)), "JPEG", exif=with_orientation(6)), Target(64, 96)),
        (Resize(), encoded(wide, "JPEG", exif=with_orientation(3)), target),
        (Resize(), encoded(wide.convert("CMYK"), "JPEG"), target),
        (Resize(), encoded(wide.convert("L"), "JPEG"), target),
        (Resize(), encoded(wide, "JPEG", icc_profile=swapped_profile()), target),
        (PNG, encoded(clear, "PNG"), target),
        (PNG, encoded(wide, "PNG", exif=with_orientation(3)), target),
        (PNG, encoded(wide.convert("P"), "PNG"), target),
        (Resize(format="webp"), encoded(clear, "WEBP"), target),
        (
            Resize(format="webp"),
            encoded(wide, "WEBP", save_all=True, append_images=[picture(5, (96, 64))]),
            target,
        ),
    ]
    for how, data, aim in cases:
        made = resized(data, aim, how)
        assert made != data
        assert plain(made) == (how.format, aim.width, aim.height)
    same = encoded(wide, "JPEG", icc_profile=srgb)
    assert resized(same, target, Resize()) is same


def test_turned_transparent_and_other_colours() -> None:
    target = Target(32, 24)
    upright = picture(1)
    sideways = upright.transpose(Image.Transpose.ROTATE_90)
    made = opened(resized(encoded(sideways, "JPEG", exif=with_orientation(6), quality=95), target, PNG))
    assert np.abs(made - expected(upright, target)).max() <= 12
    half = Image.new("RGBA", (64, 48), (0, 0, 0, 0))
    half.paste((40, 40, 40, 255), (0, 0, 64, 24))
    made = opened(resized(encoded(half, "PNG"), target, PNG))
    assert made[:11].max() == 40
    assert made[14:].min() == 255
    cmyk = upright.convert("CMYK")
    made = opened(resized(encoded(cmyk, "JPEG", quality=95), target, PNG))
    assert np.abs(made - expected(cmyk.convert("RGB"), target)).max() <= 12
    red = encoded(Image.new("RGB", (64, 48), (255, 0, 0)), "PNG", icc_profile=swapped_profile())
    assert np.abs(opened(resized(red, target, PNG))[12, 16] - [0, 255, 0]).max() <= 4
    grey = np.linspace(0, 65535, 64, dtype=np.uint16)[None, :].repeat(48, 0)
    made = opened(resized(encoded(Image.fromarray(grey), "PNG"), target, PNG))
    assert np.abs(made[5, :, 0] - np.linspace(2, 253, 32)).max() <= 4


@pytest.mark.parametrize("how", ALL)
def test_what_is_written_is_that_format_and_those_pixels(how: Resize) -> None:
    image, target = detailed((200, 150)), Target(90, 90, "crop")
    data = encoded(image, "PNG", exif=with_orientation(1), icc_profile=swapped_profile(), dpi=(300, 300))
    image = Image.open(io.BytesIO(resized(data, target, PNG)))
    made = resized(data, target, how)
    assert plain(made) == (how.format, 90, 90)
    with Image.open(io.BytesIO(made)) as found:
        assert {"icc_profile", "exif"}.isdisjoint(found.info)
    off = np.abs(opened(made) - array(image))
    assert off.max() <= 40 if how.format == "jpeg" or not (how.lossless or how == PNG) else off.max() == 0
    if how.format == "jpeg":
        with Image.open(io.BytesIO(made)) as found:
            assert [layer[1:3] for layer in found.layer] == [(1, 1)] * 3  # 4:4:4
    assert made == resized(data, target, how)  # equal input, equal bytes


def test_quality_is_heard_and_limits_are_told() -> None:
    data, target = encoded(detailed((200, 150)), "PNG"), Target(90, 90)
    for format in ("jpeg", "webp"):
        low, high = (resized(data, target, Resize(format=format, quality=q)) for q in (60, 95))
        assert len(low) < 0.7 * len(high)
    long = encoded(Image.new("RGB", (17_000, 2)), "PNG")
    with pytest.raises(Undecodable, match="17000 x 2 pixels cannot be stored as webp"):
        reencoded(long, Resize(format="webp"))
    with pytest.raises(ValueError, match="lossless"):
        Resize(format="png", lossless=True)


@pytest.mark.parametrize("data", [b"", b"<html>", encoded(picture(1), "JPEG")[:400]])
def test_what_is_no_image_is_said_to_be_none(data: bytes) -> None:
    for how in (Resize(), PNG):
        with pytest.raises(Undecodable):
            resized(data, Target(32, 32), how)
        with pytest.raises(Undecodable):
            reencoded(data, how)
