"""The canonical decode beside the ways others decode, in one run on one core.

Photo-like JPEGs of several sizes, to upright RGB whose short side is at least 256: full decoding by Pillow,
Pillow's draft mode, simplejpeg in full and at the smallest sufficient scale, and ours, which is the last one
with all checks (declared size before decoding, strictness, colour profile, orientation). Then to what a
ViT-B/32 takes, 224 x 224 by bicubic: the decode and the resizing together. Medians. Last line: ours over
Pillow's full decoding at 1,024 pixels.

    python benchmarks/decode.py [--small]
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections.abc import Callable

import numpy as np
import simplejpeg
from _pool import _texture
from PIL import Image

from curate.pixels import Decode, decode

HOW = Decode()


def jpegs(side: int, count: int) -> list[bytes]:
    rng = np.random.default_rng(side)
    texture = np.asarray(Image.fromarray(_texture(rng, 1024)).resize((side + side // 3, side)))
    found = []
    for i in range(count):
        out = io.BytesIO()
        Image.fromarray(np.roll(texture, 31 * i, axis=1)).save(out, "JPEG", quality=90)
        found.append(out.getvalue())
    return found


def pillow(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def draft(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.draft("RGB", (256, 256))
    return image.convert("RGB")


def scaled(data: bytes) -> np.ndarray:
    return simplejpeg.decode_jpeg(data, min_height=256, min_width=256)


def ours(data: bytes) -> np.ndarray:
    found = decode(data, HOW)
    assert not isinstance(found, str), found
    return found.data


WAYS: dict[str, Callable[[bytes], object]] = {
    "Pillow, full": pillow,
    "Pillow, draft": draft,
    "simplejpeg, full": simplejpeg.decode_jpeg,
    "simplejpeg, scaled": scaled,
    "ours": ours,
}


def small(way: Callable[[bytes], object]) -> Callable[[bytes], object]:
    """The decode, and what an encoder's transform does with it."""

    def run(data: bytes) -> object:
        found = way(data)
        image = found if isinstance(found, Image.Image) else Image.fromarray(np.asarray(found))
        scale = 224 / min(image.size)
        return image.resize(
            (round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC
        )

    return run


def rate(way: Callable[[bytes], object], images: list[bytes], runs: int) -> float:
    way(images[0])
    rates = []
    for _ in range(runs):
        began = time.perf_counter()
        for data in images:
            way(data)
        rates.append(len(images) / (time.perf_counter() - began))
    return statistics.median(rates)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    runs, count = (3, 24) if options.small else (7, 64)
    ratio = 0.0
    for side in (512, 1024, 2048):
        images = jpegs(side, count if side < 2048 else count // 4)
        size = sum(map(len, images)) / len(images) / 1024
        print(
            f"{side + side // 3} x {side}, {size:,.0f} KiB: images/s of the decode, and with resizing to 224"
        )
        found = {
            name: (rate(way, images, runs), rate(small(way), images, runs)) for name, way in WAYS.items()
        }
        for name, (alone, resized) in found.items():
            print(f"  {name:20} {alone:8,.0f} {resized:8,.0f}")
        if side == 1024:
            ratio = found["ours"][0] / found["Pillow, full"][0]
    print(f"ours / Pillow's full decoding at 1,024 pixels = {ratio:.1f}")


if __name__ == "__main__":
    main()
