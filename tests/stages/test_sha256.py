from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
from PIL import Image

from stages.image.sha256 import Sha256

Tables = Callable[[Sequence[bytes]], pa.Table]


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def noise(height: int = 40, width: int = 60) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8))


def pixel_hashes(table: pa.Table) -> list[str]:
    return Sha256().open()(table).columns["image_pixel_sha256"].to_pylist()


def test_file_hash(image_table: Tables) -> None:
    files = [encoded(noise(), "PNG"), encoded(noise(), "BMP")]
    table = image_table(files)
    wanted = [hashlib.sha256(f).hexdigest() for f in files]
    assert Sha256().open()(table).columns["image_sha256"].to_pylist() == wanted
    only = Sha256(pixels=False).open()(table.select(["image_bytes"]).slice(1))
    assert {k: v.to_pylist() for k, v in only.columns.items()} == {"image_sha256": wanted[1:]}


def test_remuxed_copies_share_the_pixel_hash(image_table: Tables) -> None:
    turned = Image.Exif()
    turned[0x0112] = 3
    files = [
        encoded(noise(), "PNG"),
        encoded(noise(), "PNG", compress_level=0),
        encoded(noise(), "WEBP", lossless=True),
        encoded(noise(), "TIFF"),
        encoded(noise().rotate(180), "PNG", exif=turned),
    ]
    assert len(set(files)) == len(files)
    assert len(set(pixel_hashes(image_table(files)))) == 1


def test_other_pixels_have_other_hashes(image_table: Tables) -> None:
    changed = noise()
    changed.putpixel((0, 0), (1, 2, 3))
    flat = Image.new("RGB", (20, 40)), Image.new("RGB", (40, 20))  # the same bytes in another shape
    # reduced by four they are equal; their true sizes differ
    sizes = Image.new("RGB", (65, 65)), Image.new("RGB", (66, 66))
    files = [encoded(i, "PNG") for i in (noise(), changed, *flat, *sizes)]
    table = image_table(files)
    assert table["image_pixels"][4]["width"] == table["image_pixels"][5]["width"]
    assert len(set(pixel_hashes(table))) == len(files)
