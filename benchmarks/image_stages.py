"""What the image stages cost beside the decode that they share, on one core.

JPEGs of 256 to 768 pixels are decoded as a run does it (canonical decode), then each stage is run on the
pixels, several times over; the median counts. Last line: time of all five stages over time of the decode.

    python benchmarks/image_stages.py [--small]
"""

from __future__ import annotations

import argparse
import statistics
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
from _pool import pool

from curate.pixels import Decode, column, decode
from curate.stage import CANONICAL, Map
from stages.image.border import Border
from stages.image.colours import Colours
from stages.image.exposure import Exposure
from stages.image.flatness import Flatness
from stages.image.sharpness import Sharpness

STAGES: tuple[Map, ...] = (Sharpness(), Flatness(), Exposure(), Colours(), Border())
BATCH = 64


def images(folder: Path, count: int) -> list[bytes]:
    found: list[bytes] = []
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            files = (tar.extractfile(member) for member in tar if member.name.endswith(".jpg"))
            found += [file.read() for file in files if file is not None]
    return found[:count]


def timed(work: Callable[[], object], runs: int) -> float:
    """Median seconds."""
    took = []
    for _ in range(runs):
        start = time.process_time()
        work()
        took.append(time.process_time() - start)
    return statistics.median(took)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    arguments.add_argument("--small", action="store_true", help="200 images, 3 runs")
    small = arguments.parse_args().small
    count, runs = (200, 3) if small else (2000, 5)
    files = images(pool(2000), count)
    how = Decode()

    def decoded() -> list[pa.Table]:
        tables = []
        for start in range(0, len(files), BATCH):
            found = [decode(data, how, full=False) for data in files[start : start + BATCH]]
            good = [f for f in found if not isinstance(f, str)]
            tables.append(pa.table({CANONICAL: column(good)}))
        return tables

    tables = decoded()
    whole = timed(decoded, runs)
    print(f"{len(files)} images; decode {len(files) / whole:,.0f} images/s")
    total = 0.0
    for stage in STAGES:
        op = stage.open()
        took = timed(lambda op=op: [op(table) for table in tables], runs)  # type: ignore[misc]
        total += took
        print(f"{type(stage).__name__.lower():<10} {len(files) / took:>8,.0f} images/s")
    print(f"five stages / decode: {total / whole:.2f}")


if __name__ == "__main__":
    main()
