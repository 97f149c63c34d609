"""Arrays of pixels as image stages are shown them, without a loss on the way."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from decoding import decode_column
from PIL import Image, ImageFilter

from curate.pixels import Decode
from curate.stage import CANONICAL, Map

Pixels = npt.NDArray[np.uint8]
WHOLE = Decode(short_side=100_000)  # nothing is reduced


def encoded(pixels: Pixels, kind: str = "PNG", **options: Any) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, kind, **options)
    return sink.getvalue()


def measured(stage: Map, *images: Pixels | bytes) -> list[dict[str, Any]]:
    """What the stage says of each image."""
    files = [image if isinstance(image, bytes) else encoded(image) for image in images]
    pixels, reasons = decode_column(files, WHOLE)
    assert reasons == [None] * len(files)
    out = stage.open()(pa.table({CANONICAL: pixels}))
    assert out.drop is None
    columns = {name: values.to_pylist() for name, values in out.columns.items()}
    return [{name: values[i] for name, values in columns.items()} for i in range(len(images))]


def pattern(height: int = 37, width: int = 53) -> Pixels:
    """A picture made of arithmetic, so that other programs can be shown the same."""
    y, x = np.mgrid[0:height, 0:width]
    channels = ((7 * x + 3 * y) % 256, (x * y) % 256, (5 * x * x + y) % 256)
    return np.stack(channels, axis=-1).astype(np.uint8)


def scene(seed: int = 0, height: int = 120, width: int = 160) -> Pixels:
    """Something like a photo: smooth areas with detail in them."""
    rng = np.random.default_rng(seed)
    rough = Image.fromarray(rng.integers(0, 255, (9, 12, 3), dtype=np.uint8)).resize((width, height))
    fine = rng.normal(0, 9, (height, width, 1))
    return np.clip(np.asarray(rough) + fine, 0, 255).astype(np.uint8)


def blurred(pixels: Pixels, radius: float) -> Pixels:
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


def plain(height: int = 30, width: int = 40, colour: tuple[int, int, int] = (9, 9, 9)) -> Pixels:
    return np.full((height, width, 3), colour, dtype=np.uint8)


def turns(pixels: Pixels) -> list[Pixels]:
    """The four rotations and their mirror images."""
    four = [np.rot90(pixels, k) for k in range(4)]
    return [np.ascontiguousarray(p) for p in (*four, *(p[:, ::-1] for p in four))]
