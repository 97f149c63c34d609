"""Writing an output beside the least that it could cost, in one run on one core.

Resized: the whole of a `write_webdataset` with `images: resized` (rows ordered, images read again, decoded,
resized to 448 x 448, encoded, tar, index and data card written, every file hashed) against a bare loop that
decodes (at the decoder's scale), resizes and encodes the same images, from memory and to nowhere.
Passthrough: the same output where every image has its target's size already, against `cp` of the shards that
it was read from, and against `cp` with the SHA-256 of the copy, which a manifest has of every file. From and
to the page cache, so `cp` shows the memory's speed; medians of rounds in which each has its turn. Last line:
the ratios of the rates by CPU time, which is the clock's where nothing else runs and nothing waits.

    python benchmarks/export.py [--small] [--pairs N] [--rounds R]
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import shutil
import statistics
import subprocess
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from _pool import CACHE, _texture
from PIL import Image

from curate.backends.local import LocalBackend
from curate.commit import sha256_file
from curate.io.tar_write import Member, TarWriter
from curate.meter import Meter
from curate.plan import make
from curate.recipe import parse
from curate.run import Run
from curate.sources import discover
from curate.tasks import perform
from curate.work import Job

SIDE = 448
QUALITY = 90
SIZES = ((1024, 768), (800, 600), (768, 1024), (640, 480), (1280, 960), (960, 960))
RECIPE = """
name: export
nodes:
  - {{id: raw, stage: read_webdataset, path: '{pool}/*.tar'}}
  - {{stage: probe}}
  - {{stage: target, side: 448}}
  - {{id: out, stage: write_webdataset, images: resized, shard_size: 1000}}
"""
# What a Write is made of: the engine's names of its tasks.
WRITING = ("send_rows", "merge", "write_shard", "publish")


class Timed(LocalBackend):
    """A plain loop that tells how long its tasks took: wall and CPU seconds by task."""

    def __init__(self) -> None:
        self.wall: Counter[str] = Counter()
        self.cpu: Counter[str] = Counter()

    def map(
        self, job: Job, task: str, arguments: Sequence[Mapping[str, Any]]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, given in enumerate(arguments):
            wall, cpu = time.perf_counter(), time.process_time()
            result = perform(job, task, given)
            self.wall[task] += time.perf_counter() - wall
            self.cpu[task] += time.process_time() - cpu
            yield number, result


def pool(name: str, count: int, sizes: Sequence[tuple[int, int]]) -> Path:
    """A folder of `count` pairs, made once."""
    folder = CACHE / f"export-{name}-{count}"
    if not (folder / "done").exists():
        folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(0)
        textures = [_grainy(rng) for _ in range(4)]
        with TarWriter(folder / "00000.tar") as tar:
            for i in range(count):
                width, height = sizes[i % len(sizes)]
                x, y = int(rng.integers(0, 1281 - width)), int(rng.integers(0, 1281 - height))
                out = io.BytesIO()
                Image.fromarray(textures[i % 4][y : y + height, x : x + width]).save(out, "JPEG", quality=90)
                tar.add(Member(f"{i:09d}.jpg", out.getvalue()))
                tar.add(Member(f"{i:09d}.json", json.dumps({"url": f"https://example.org/{i}"}).encode()))
                tar.add(Member(f"{i:09d}.txt", f"the picture with the number {i}".encode()))
        (folder / "done").touch()
    return folder


def _grainy(rng: np.random.Generator) -> np.ndarray:
    """With as much grain as gives the 2 bits a pixel that photographs have at this size and quality."""
    texture = _texture(rng, 1280)
    return (texture + rng.normal(0, 4, texture.shape[:2])[..., None]).clip(0, 255).astype(np.uint8)


def export(source: Path, out: Path) -> tuple[float, float]:
    """Wall and CPU seconds of the output's own tasks; what comes before it is not counted."""
    plan = make(parse(RECIPE.format(pool=source), modules=("_target",)))
    backend = Timed()
    report = Run(plan, discover(plan, Path.cwd()), out, ("_target",), Meter(quiet=True)).execute(
        lambda: backend
    )
    assert report["outputs"][0]["samples"]["written"] == report["samples"]["read"]
    return sum(backend.wall[t] for t in WRITING), sum(backend.cpu[t] for t in WRITING)


def images(folder: Path) -> list[bytes]:
    found = []
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            found += [tar.extractfile(m).read() for m in tar if m.name.endswith(".jpg")]  # type: ignore[union-attr]
    return found


def bare(files: Sequence[bytes]) -> tuple[float, float]:
    """Wall and CPU seconds of decoding, resizing and encoding alone."""
    wall, cpu = time.perf_counter(), time.process_time()
    for data in files:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
        scale = SIDE / min(width, height)
        factor = 1
        while factor < 8 and 2 * factor * 2 * scale <= 1:
            factor *= 2
        least = (-(-height // factor), -(-width // factor)) if factor > 1 else (0, 0)
        frame = simplejpeg.decode_jpeg(data, min_height=least[0], min_width=least[1])
        tall, wide = frame.shape[:2]
        side = min(tall, wide)
        x, y = (wide - side) / 2, (tall - side) / 2
        small = Image.fromarray(frame).resize(
            (SIDE, SIDE), Image.Resampling.BICUBIC, (x, y, x + side, y + side)
        )
        small.save(io.BytesIO(), "JPEG", quality=QUALITY, subsampling=0)
    return time.perf_counter() - wall, time.process_time() - cpu


def cp(source: Path, target: Path) -> tuple[float, float]:
    """Wall and CPU seconds of copying the shards."""
    target.mkdir()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    wall = time.perf_counter()
    subprocess.run(["cp", *map(str, sorted(source.glob("*.tar"))), str(target)], check=True)
    wall = time.perf_counter() - wall
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def hashed(folder: Path) -> tuple[float, float]:
    """Wall and CPU seconds of hashing what was copied."""
    wall, cpu = time.perf_counter(), time.process_time()
    for path in folder.glob("*.tar"):
        sha256_file(path)
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--pairs", type=int)
    parser.add_argument("--rounds", type=int)
    options = parser.parse_args()
    pairs = options.pairs or (300 if options.small else 2_000)
    rounds = options.rounds or (3 if options.small else 5)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    large, fitting = pool("large", pairs, SIZES), pool("fitting", 2 * pairs, [(SIDE, SIDE)])
    files = images(large)
    size = sum(map(len, images(fitting)))
    work = Path(tempfile.mkdtemp(prefix="curate-bench-", dir=CACHE))
    times: dict[str, list[tuple[float, float]]] = {}
    try:
        for i in range(rounds):
            for name, found in (
                ("bare", bare(files)),
                ("export", export(large, work / f"large{i}")),
                ("cp", cp(fitting, work / f"cp{i}")),
                ("sha256", hashed(work / f"cp{i}")),
                ("passthrough", export(fitting, work / f"fitting{i}")),
            ):
                times.setdefault(name, []).append(found)
            for folder in work.iterdir():
                shutil.rmtree(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    median = {
        name: tuple(statistics.median(found[i] for found in all) for i in (0, 1))
        for name, all in times.items()
    }
    for name, (wall, cpu) in median.items():
        n = pairs if name in ("bare", "export") else 2 * pairs
        print(
            f"{name:12} {n / wall:8,.0f} images/s, {wall / n * 1e3:.3f} ms each, {cpu / n * 1e3:.3f} of CPU"
        )
    print(
        f"{len(files):,} images to {SIDE} x {SIDE}; {2 * pairs:,} that fit, {size / 2e3 / pairs:.0f} kB each"
    )
    ratios = {}
    for kind, i in (("wall", 0), ("CPU", 1)):
        copied, hashing, through = (median[name][i] for name in ("cp", "sha256", "passthrough"))
        made = median["bare"][i] / median["export"][i]
        ratios[kind] = (
            f"export / bare loop = {made:.2f}, passthrough / cp = {copied / through:.2f}, "
            f"/ cp and sha256 = {(copied + hashing) / through:.2f}"
        )
    print(f"by the clock: {ratios['wall']}")
    print(ratios["CPU"])


if __name__ == "__main__":
    main()
