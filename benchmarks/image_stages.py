"""What the image stages cost beside the decode that they share, on one core.

JPEGs are decoded as a run does it (canonical decode), then each stage is run on the pixels, several times
over; the median counts. Two sets: 256 to 768 pixels, of which three in four are smaller than twice
`decode.short_side` and so decoded whole, the dearest case for a stage; and mosaics of four of them, of 1,024
pixels, as photos come from cameras and the web. Last line: time of all five stages over time of the decode.

    python benchmarks/image_stages.py [--small]
"""

from __future__ import annotations

import argparse
import io
import statistics
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
from _pool import pool
from PIL import Image

from curate.pixels import Decode, column, decode
from curate.stage import CANONICAL, Map
from stages.image.border import Border
from stages.image.colours import Colours
from stages.image.exposure import Exposure
from stages.image.flatness import Flatness
from stages.image.sharpness import Sharpness

STAGES: tuple[Map, ...] = (Sharpness(), Flatness(), Exposure(), Colours(), Border())
BATCH = 64
SIDE = 1024


def images(folder: Path, count: int) -> list[bytes]:
    """The first that can be decoded."""
    found: list[bytes] = []
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as members:
            for member in members:
                file = members.extractfile(member) if member.name.endswith(".jpg") else None
                data = file.read() if file else b""
                if not isinstance(decode(data, Decode()), str):
                    found.append(data)
                if len(found) == count:
                    return found
    return found


def mosaics(files: list[bytes]) -> list[bytes]:
    """Four images each, with the detail they have."""
    found = []
    for start in range(0, len(files) - 3, 4):
        whole = Image.new("RGB", (SIDE, SIDE))
        for k, data in enumerate(files[start : start + 4]):
            # shown as often as it takes to fill a quarter
            quarter, tile = Image.new("RGB", (SIDE // 2, SIDE // 2)), Image.open(io.BytesIO(data))
            for x in range(0, SIDE // 2, tile.width):
                for y in range(0, SIDE // 2, tile.height):
                    quarter.paste(tile, (x, y))
            whole.paste(quarter, (k % 2 * SIDE // 2, k // 2 * SIDE // 2))
        sink = io.BytesIO()
        whole.save(sink, "JPEG", quality=85)
        found.append(sink.getvalue())
    return found


def timed(work: Callable[[], object], runs: int) -> float:
    """Median seconds."""
    took = []
    for _ in range(runs):
        start = time.process_time()
        work()
        took.append(time.process_time() - start)
    return statistics.median(took)


def measure(name: str, files: list[bytes], runs: int) -> float:
    """Prints images/s of each; returns time of the stages over time of the decode."""

    def decoded() -> list[pa.Table]:
        tables = []
        for start in range(0, len(files), BATCH):
            found = [decode(data, Decode()) for data in files[start : start + BATCH]]
            good = [f for f in found if not isinstance(f, str)]
            tables.append(pa.table({CANONICAL: column(good)}))
        return tables

    tables = decoded()
    whole = timed(decoded, runs)
    print(f"{len(files)} images of {name}\n{'decode':<10} {len(files) / whole:>8,.0f} images/s")
    total = 0.0
    for stage in STAGES:
        op = stage.open()
        took = timed(lambda op=op: [op(table) for table in tables], runs)  # type: ignore[misc]
        total += took
        print(f"{type(stage).__name__.lower():<10} {len(files) / took:>8,.0f} images/s")
    return total / whole


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    arguments.add_argument("--small", action="store_true", help="200 images, 3 runs")
    small = arguments.parse_args().small
    count, runs = (200, 3) if small else (2000, 5)
    files = images(pool(2000), count)
    little = measure("256 to 768 pixels", files, runs)
    large = measure(f"{SIDE} pixels", mosaics(files), runs)
    print(f"five stages / decode: {little:.2f} (256 to 768 pixels), {large:.2f} ({SIDE} pixels)")


if __name__ == "__main__":
    main()
