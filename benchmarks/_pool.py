"""Input for benchmarks: pairs of 256-768 px photo-like JPEGs in img2dataset shards, made once and kept."""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
from pathlib import Path

import numpy as np
from PIL import Image

from curate.io.tar_write import Member, TarWriter

SHARD = 2000
CACHE = Path(__file__).resolve().parent.parent / ".cache" / "bench"

_WORDS = [
    "a",
    "the",
    "red",
    "blue",
    "old",
    "small",
    "large",
    "bright",
    "dark",
    "wooden",
    "stone",
    "quiet",
    "busy",
    "narrow",
    "open",
    "house",
    "street",
    "river",
    "boat",
    "dog",
    "horse",
    "child",
    "market",
    "bridge",
    "garden",
    "window",
    "lamp",
    "chair",
    "table",
    "cup",
    "book",
    "coat",
    "road",
    "field",
    "tree",
    "cloud",
    "hill",
    "beach",
    "near",
    "under",
    "behind",
    "beside",
    "above",
    "with",
    "and",
    "of",
    "in",
    "on",
    "at",
    "over",
    "across",
    "from",
    "sunny",
    "rainy",
    "winter",
    "summer",
    "evening",
]


def pool(pairs: int) -> Path:
    """Folder of `pairs` pairs; 3 % exact copies, 1 % truncated, 1 % tiny."""
    folder = CACHE / f"pairs-{pairs}"
    if not (folder / "done").exists():
        folder.mkdir(parents=True, exist_ok=True)
        shards = range(-(-pairs // SHARD))
        with multiprocessing.get_context("spawn").Pool(2) as workers:
            workers.starmap(_shard, [(folder, s, min(SHARD, pairs - s * SHARD)) for s in shards])
        (folder / "done").touch()
    return folder


def _texture(rng: np.random.Generator, side: int) -> np.ndarray:
    """Noise at several scales: compresses about as a photo does."""
    image = np.zeros((side, side, 3), np.float32)
    for octave in (4, 16, 64, 256):
        grid = rng.normal(0, 1, (octave, octave, 3)).astype(np.float32)
        layer = [
            Image.fromarray(grid[..., c]).resize((side, side), Image.Resampling.BICUBIC) for c in range(3)
        ]
        image += np.stack([np.asarray(x) for x in layer], -1) * (1.6 / octave**0.5)
    image = (image - image.min()) / (image.max() - image.min())
    return (image * 255).astype(np.uint8)


def _shard(folder: Path, number: int, count: int) -> None:
    rng = np.random.default_rng(number)
    textures = [_texture(rng, 1024) for _ in range(6)]
    with TarWriter(folder / f"{number:05d}.tar") as tar:
        previous = b""
        for i in range(count):
            width, height = (int(x) for x in rng.integers(256, 769, 2))
            kind = int(rng.integers(0, 100))
            if kind < 1:
                width, height = 40, 40
            x, y = int(rng.integers(0, 1024 - width + 1)), int(rng.integers(0, 1024 - height + 1))
            texture = textures[int(rng.integers(0, len(textures)))]
            pixels = texture[y : y + height, x : x + width] ^ np.uint8(rng.integers(0, 8))
            out = io.BytesIO()
            Image.fromarray(pixels).save(out, "JPEG", quality=int(rng.integers(80, 95)))
            data = out.getvalue()
            data = previous if 1 <= kind < 4 and previous else data
            data = data[: len(data) // 2] if kind == 4 else data
            previous = data if kind > 4 else previous
            key = f"{number * SHARD + i:09d}"
            text = " ".join(rng.choice(_WORDS, int(rng.integers(6, 20))))
            fields = {"url": f"https://example.org/{hashlib.md5(data).hexdigest()}.jpg", "width": width}
            tar.add(Member(f"{key}.jpg", data))
            tar.add(Member(f"{key}.json", json.dumps(fields).encode()))
            tar.add(Member(f"{key}.txt", text.encode()))
