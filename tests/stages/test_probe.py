from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import pyarrow as pa
import pytest
from PIL import Image

from stages.image.probe import Probe


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def test_probe(image_table: Callable[[Sequence[bytes]], pa.Table]) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    half = Image.new("RGBA", (20, 50), (0, 0, 0, 128))
    files = [
        encoded(Image.new("RGB", (300, 100)), "JPEG", exif=turned),  # reduced on decoding, and on its side
        encoded(half, "PNG"),
        encoded(
            Image.new("RGB", (9, 9)), "GIF", save_all=True, append_images=[Image.new("RGB", (9, 9), "red")]
        ),
    ]
    out = Probe().open()(image_table(files))
    assert out.drop is None
    found = {name: values.to_pylist() for name, values in out.columns.items()}
    assert found.pop("image_aspect") == [3.0, 2.5, 1.0]
    assert found == {
        "image_format": ["jpeg", "png", "gif"],
        "image_width": [100, 20, 9],
        "image_height": [300, 50, 9],
        "image_short_side": [100, 20, 9],
        "image_n_bytes": [len(f) for f in files],
        "image_animated": [False, False, True],
        "image_alpha": [False, True, False],
    }


def test_a_slice_is_probed_like_the_whole(image_table: Callable[[Sequence[bytes]], pa.Table]) -> None:
    files = [encoded(Image.new("RGB", (20 + i, 30)), "PNG") for i in range(4)]
    out = Probe().open()(image_table(files).slice(2, 1))
    assert out.columns["image_width"].to_pylist() == [22]
    assert out.columns["image_n_bytes"].to_pylist() == [len(files[2])]


def test_verifying_is_the_point_of_reading_pixels() -> None:
    """Without the pixels among what it reads, the engine would decode nothing, and drop nothing."""
    assert "image_pixels" in Probe().reads()
    with pytest.raises(ValueError, match="extra_forbidden"):
        Probe.model_validate({"animated": "drop"})
