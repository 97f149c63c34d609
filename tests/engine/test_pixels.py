"""The canonical decode, on images of every kind that its formats know."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pyarrow as pa
import pytest
import simplejpeg
from decoding import decode_column
from pictures import HOW, chunk, distance, encoded, ok, photo, png
from PIL import Image, ImageCms, ImageOps

from curate.pixels import Decode, Pixels, decode, decoded
from curate.stage import PIXELS
from stages.common.columns import frames

# -- every format and mode --

LOSSLESS = {"PNG": {}, "WEBP": {"lossless": True}, "BMP": {}, "TIFF": {"compression": "tiff_lzw"}}


@pytest.mark.parametrize("kind", [*LOSSLESS, "JPEG", "GIF"])
def test_every_format(kind: str) -> None:
    image = photo() if kind != "GIF" else photo().quantize(200)
    found = ok(encoded(image, kind, **LOSSLESS.get(kind, {"quality": 95})))
    assert found.format == kind.lower()
    assert (found.true_height, found.true_width) == (300, 520)
    assert (found.animated, found.alpha) == (False, False)
    assert distance(found, image) < (2 if kind == "JPEG" else 0.001)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(photo(), kind, exif=exif, **LOSSLESS.get(kind, {"quality": 95}))
    wanted = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    found = ok(data)
    assert (found.true_width, found.true_height) == wanted.size
    assert distance(found, wanted) < 0.5


@pytest.mark.filterwarnings("error")
def test_broken_exif_is_no_exif() -> None:
    for kind in ("JPEG", "PNG", "WEBP"):
        for exif in (b"MM\0*\xff\xff\xff\xff" + b"\x9c" * 40, b"no TIFF header", b"MM\0*\0\0"):
            data = encoded(photo(30, 40), kind, exif=b"Exif\0\0" + exif)
            assert ok(data).data.shape == (30, 40, 3)


def test_alpha_is_composited_on_white() -> None:
    rgba = np.zeros((8, 8, 4), dtype=np.uint8)
    rgba[:, 4:] = (255, 0, 0, 255)
    rgba[:, 2:4] = (0, 0, 0, 128)
    for kind in ("PNG", "WEBP"):
        found = ok(encoded(Image.fromarray(rgba), kind, **LOSSLESS[kind]))
        assert found.alpha
        assert found.data[0, 0].tolist() == [255, 255, 255]
        assert found.data[0, 2].tolist() == [127, 127, 127]
        assert found.data[0, 7].tolist() == [255, 0, 0]


def test_an_opaque_alpha_channel_is_no_alpha() -> None:
    found = ok(encoded(photo().convert("RGBA"), "PNG"))
    assert not found.alpha
    assert distance(found, photo()) == 0


@pytest.mark.parametrize("transparency", [1, bytes([255, 0, 128])])
def test_palette_with_transparency(transparency: int | bytes) -> None:
    image = Image.fromarray(np.array([[0, 1, 2]], dtype=np.uint8)).convert("P")
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    found = ok(encoded(image, "PNG", transparency=transparency))
    assert found.alpha
    assert found.data[0, :2].tolist() == [[10, 20, 30], [255, 255, 255]]
    assert found.data[0, 2].tolist() == ([70, 80, 90] if transparency == 1 else [162, 167, 172])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "CMYK"])
def test_modes(mode: str) -> None:
    image = photo().convert("RGB").convert(mode)
    assert distance(ok(encoded(image, "TIFF" if mode == "CMYK" else "PNG")), image.convert("RGB")) < 0.001


def test_sixteen_bits_become_their_high_byte() -> None:
    grey = np.array([[0, 300, 40_000, 65_535]], dtype=np.uint16)
    found = ok(encoded(Image.fromarray(grey), "PNG"))
    assert found.data[0, :, 0].tolist() == [0, 1, 156, 255]
    colour = zlib.compress(b"\0" + struct.pack(">6H", 0, 300, 40_000, 65_535, 257, 1))
    assert ok(png(2, 1, 16, 2, colour)).data.tolist() == [[[0, 1, 156], [255, 1, 0]]]
    clear = chunk(b"tRNS", struct.pack(">H", 300))
    found = ok(png(2, 1, 16, 0, zlib.compress(b"\0" + struct.pack(">2H", 300, 512)), clear))
    assert (found.data[0, :, 0].tolist(), found.alpha) == ([255, 2], True)


def test_cmyk_and_ycck_jpeg() -> None:
    image = Image.new("RGB", (64, 48), (200, 40, 90))
    cmyk = image.convert("CMYK")
    plain = encoded(cmyk, "JPEG", quality=95)
    assert distance(ok(plain), image) < 3
    # libjpeg-turbo's own interface writes CMYK as YCCK; the values are inverted, as Adobe's are
    ycck = simplejpeg.encode_jpeg(255 - np.asarray(cmyk), 95, "CMYK", "444")
    assert simplejpeg.decode_jpeg_header(ycck)[2] == "YCCK"
    assert distance(ok(ycck), image) < 3


def test_grey_and_progressive_jpeg() -> None:
    grey = photo().convert("L")
    assert distance(ok(encoded(grey, "JPEG", quality=95)), grey) < 1.5
    assert distance(ok(encoded(photo(), "JPEG", quality=95, progressive=True)), photo()) < 2


def swapped_profile() -> bytes:
    """An sRGB profile whose red and blue have changed places."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"????", 1).replace(b"bXYZ", b"rXYZ", 1).replace(b"????", b"bXYZ", 1)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_icc_profiles_are_applied(kind: str) -> None:
    image = Image.new("RGB", (32, 32), (250, 20, 20))
    options = LOSSLESS.get(kind, {"quality": 98, "subsampling": 0})
    red, _, blue = ok(encoded(image, kind, icc_profile=swapped_profile(), **options)).data[9, 9].tolist()
    assert red < 40
    assert blue > 230
    same = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (same, b"nonsense" * 20):
        with_profile = ok(encoded(image, kind, icc_profile=profile, **options))
        assert np.array_equal(with_profile.data, ok(encoded(image, kind, **options)).data)


def test_a_profile_for_another_mode_is_ignored() -> None:
    grey = photo().convert("L")
    assert distance(ok(encoded(grey, "PNG", icc_profile=swapped_profile())), grey) == 0


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame(kind: str) -> None:
    first, second = Image.new("RGB", (40, 30), "red"), Image.new("RGB", (40, 30), "blue")
    options = {"lossless": True} if kind == "WEBP" else {}
    found = ok(encoded(first, kind, save_all=True, append_images=[second], **options))
    assert found.animated
    assert distance(found, first) == 0


def test_a_picture_with_a_preview_is_not_animated() -> None:
    """MPO, as phones write it: a JPEG whose file holds further pictures."""
    data = encoded(photo(), "MPO", save_all=True, append_images=[photo(60, 80)])
    found = ok(data)
    assert (found.format, found.animated, found.data.shape) == ("jpeg", False, (300, 520, 3))


# -- reduction --


@pytest.mark.parametrize(
    ("size", "factor"),
    [
        ((127, 300), 1),
        ((128, 225), 2),
        ((255, 255), 2),
        ((260, 401), 4),
        ((512, 513), 8),
        ((1030, 1025), 16),
    ],
)
def test_reduction_is_by_the_same_power_of_two_for_every_format(size: tuple[int, int], factor: int) -> None:
    height, width = size
    image = photo(height, width)
    jpeg = encoded(image, "JPEG", quality=92)
    remuxed = encoded(Image.open(io.BytesIO(jpeg)), "BMP")
    how = Decode(short_side=64)
    scaled, boxed = decode(jpeg, how), decode(remuxed, how)
    assert isinstance(scaled, Pixels)
    assert isinstance(boxed, Pixels)
    assert scaled.data.shape == boxed.data.shape == (-(-height // factor), -(-width // factor), 3)
    assert (scaled.true_height, scaled.true_width) == (boxed.true_height, boxed.true_width) == size
    assert np.abs(scaled.data.astype(int) - boxed.data.astype(int)).mean() < 1.0
    assert min(scaled.data.shape[:2]) >= how.short_side


def test_same_bytes_same_pixels() -> None:
    data = encoded(photo(700, 900), "JPEG", progressive=True)
    assert np.array_equal(ok(data, full=False).data, ok(data, full=False).data)


# -- the column --


def test_column() -> None:
    first, second = photo(30, 40), photo(600, 520)
    blobs = [encoded(first, "PNG"), "oversized", b"", b"junk", encoded(second, "JPEG", quality=95), None]
    before = decoded()
    column, reasons = decode_column(blobs, HOW)
    assert decoded() == before + 2
    assert column.type == PIXELS
    assert reasons == [None, "oversized", "empty", "corrupt", None, "missing"]
    assert column.is_null().to_pylist() == [False, True, True, True, False, True]
    column.validate(full=True)
    views = frames(column)
    assert np.array_equal(views[0], np.asarray(first))
    assert np.array_equal(views[4], ok(blobs[4], full=False).data)
    assert [v is None for v in views] == column.is_null().to_pylist()
    assert column[4].as_py()["true_width"] == 520
    later = frames(column.slice(4))  # an offset into the same buffers
    assert np.array_equal(later[0], views[4])
    assert np.shares_memory(later[0], views[4])


def test_empty_column() -> None:
    column, reasons = decode_column([], HOW)
    assert (column.type, len(column), reasons) == (PIXELS, 0, [])
    assert frames(pa.chunked_array([], PIXELS)) == []


def test_module_import_is_light() -> None:
    code = "import sys, curate.pixels; sys.exit(any(m in sys.modules for m in ('PIL', 'simplejpeg')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_our_own_mistakes_are_not_corrupt_images(monkeypatch: pytest.MonkeyPatch) -> None:
    jpeg, png_ = encoded(photo(), "JPEG"), encoded(photo(), "PNG")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "simplejpeg", None)
        with pytest.raises(ImportError):
            decode(jpeg, HOW)
    with monkeypatch.context() as patch:
        patch.delattr(Image.Image, "has_transparency_data")  # say, renamed in the next Pillow
        with pytest.raises(AttributeError):
            decode(png_, HOW)


@pytest.mark.parametrize(("problem", "raised"), [(TypeError, False), (KeyError, False), (MemoryError, True)])
def test_what_a_decoder_throws(
    problem: type[Exception], raised: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise problem("not my data")

    data = encoded(photo(), "JPEG")
    monkeypatch.setattr(simplejpeg, "decode_jpeg", refuse)
    if raised:
        with pytest.raises(problem):
            decode(data, HOW)
    else:
        assert decode(data, HOW) == "corrupt"
