"""The pictures of the demo's pairs, and what happens to pictures on the way."""

from __future__ import annotations

import io
import json
import random
import tarfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from arrays import Pixels, encoded
from decoding import decode_column
from PIL import Image

from curate.demo import damage
from curate.pixels import Decode
from curate.stage import CANONICAL, Map

_HARMED = {"tiny", "low_quality", "corrupt", "truncated", "zero_byte", "bomb", "missing_image"}


class Picture(NamedTuple):
    data: bytes
    content: str  # scene, landscape, chart ...
    defects: frozenset[str]


@cache
def pictures(pool: Path) -> list[Picture]:
    """Those whose image is there and can be decoded."""
    files: dict[tuple[str, str], bytes] = {}
    for path in sorted((pool / "pairs").glob("*.tar")):
        try:
            with tarfile.open(path) as members:
                for member in members:
                    name, extension = member.name.rsplit(".", 1)
                    file = members.extractfile(member) if extension in ("jpg", "png", "webp") else None
                    if file is not None:
                        files[path.name, name] = file.read()
        except tarfile.ReadError:
            pass  # the demo cuts its last tar short
    truth = [json.loads(line) for line in (pool / "truth.jsonl").read_text().splitlines()]
    rows = [(files.get((t["file"], t["name"])), t) for t in truth if t["dataset"] == "pairs"]
    return [
        Picture(data, t["content"], frozenset(t["defects"]))
        for data, t in rows
        if data is not None and not _HARMED - {"tiny", "low_quality"} & set(t["defects"])
    ]


def sound(pool: Path) -> list[bytes]:
    """Those with nothing wrong with them but perhaps a caption, a copy or a watermark."""
    return [p.data for p in pictures(pool) if not _HARMED & p.defects]


def of_low_quality(data: bytes, seed: int) -> tuple[bytes, str]:
    """One of the demo's own damages, and which."""
    done = damage.low_quality(Image.open(io.BytesIO(data)).convert("RGB"), [], random.Random(seed))
    return done.data, done.edit


def changed(data: bytes, change: Callable[[Pixels], Any]) -> bytes:
    """The picture after a change, as a JPEG."""
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    return encoded(np.clip(change(pixels), 0, 255).astype(np.uint8), "JPEG", quality=85)


def scores(stage: Map, files: list[bytes]) -> list[dict[str, Any]]:
    """What the stage says of each in the canonical decode of a recipe that says nothing of it."""
    pixels, reasons = decode_column(files, Decode())
    assert set(reasons) == {None}
    columns = {n: v.to_pylist() for n, v in stage.open()(pa.table({CANONICAL: pixels})).columns.items()}
    return [{name: values[i] for name, values in columns.items()} for i in range(len(files))]


def share(found: list[dict[str, Any]], bad: Callable[[dict[str, Any]], bool]) -> float:
    return sum(map(bad, found)) / len(found)
