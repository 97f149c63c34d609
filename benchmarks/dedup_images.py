"""Near duplicates of images through the stage `near_image`: time and memory as the images grow.

Images are made as thumbs (64 x 64): fields whose frequencies fall off as those of photos do or faster, some
of them symmetric, some nearly blank, and a tenth of them copies of others, by noise of a few levels, a gain
and a shift; their hashes share keys about as often as those of clip art and photos do. The stage's own
prepare, link and verify run in one thread, as the engine calls them: parts of 16,384 rows, keys to files of
buckets of about 64 MB, one bucket at a time, its pairs without repetition in blocks. Times are CPU seconds.
`found` is the share of all pairs within the distance as they are (and of like brightness, contrast, hue and
shape) that link gave, by comparing 1,000 images with all.
Last line: seconds and peak memory at the largest size, and by which power of the number of images they grow.

    python benchmarks/dedup_images.py [--small] [--distance D]
"""

from __future__ import annotations

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.common import likeness, thumbs
from stages.group.near_image import NearImage

PART = 16_384
BUCKET_BYTES = 64 << 20
SIDE, COLOURS = thumbs.FINE, thumbs.COARSE**2
FREQUENCIES = 16
CHECKED = 1000


def images(number: int, size: int) -> np.ndarray:
    """(size, thumbs.SIZE): the thumbs of one part."""
    rng = np.random.default_rng([1, number])
    originals = size - size // 10
    down, right = np.mgrid[0:FREQUENCIES, 0:FREQUENCIES]
    radius = np.hypot(down, right)
    radius[0, 0] = 1
    fall = rng.choice([0.8, 1.2, 1.8], originals, p=[0.5, 0.3, 0.2])
    field = rng.normal(size=(originals, FREQUENCIES, FREQUENCIES)) / radius ** fall[:, None, None]
    field[:, 0, 0] = 0
    field[: originals // 20, :, 1::2] = 0  # symmetric
    basis = np.cos(np.pi * (2 * np.arange(SIDE) + 1) * np.arange(FREQUENCIES)[:, None] / (2 * SIDE))
    luma = basis.T @ field @ basis
    luma *= rng.lognormal(3.4, 0.7, originals)[:, None, None] / luma.std(axis=(1, 2), keepdims=True)
    luma += rng.uniform(60, 200, (originals, 1, 1))
    origin = rng.integers(0, originals, size // 10) ** 2 // originals  # some have many copies
    copies = luma[origin] * rng.uniform(0.92, 1.08, (len(origin), 1, 1))
    copies += rng.uniform(0, 0.3, (len(origin), 1, 1)) * (np.roll(copies, 2, axis=2) - copies)
    copies += rng.normal(0, 1.5, copies.shape)
    found = np.full((size, thumbs.SIZE), 128, dtype=np.uint8)
    found[:, SIDE * SIDE :] = rng.normal(128, 12, (size, 3))[:, [0] * COLOURS + [1] * COLOURS + [2]].clip(
        0, 255
    )
    found[originals:, SIDE * SIDE :] = found[origin, SIDE * SIDE :]
    found[:, : SIDE * SIDE] = np.rint(np.concatenate([luma, copies])).clip(0, 255).reshape(size, -1)
    return found


def parts(rows: int) -> list[int]:
    return [min(PART, rows - start) for start in range(0, rows, PART)]


def table(shown: np.ndarray, start: int) -> pa.Table:
    ids = [f"{i:032x}" for i in range(start, start + len(shown))]
    column = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(thumbs.SIZE), len(shown), [None, pa.py_buffer(np.ascontiguousarray(shown))]
    )
    return pa.table({"sample_id": ids, "shape": ["pair"] * len(shown), "image_thumb": column})


def child(folder: Path, rows: int, distance: int) -> None:
    """One run of the stage; prints its facts as JSON."""
    stage = NearImage(max_distance=distance)
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    facts: dict[str, float] = {}
    buckets = max(1, rows * stage.keys_each() * 80 // BUCKET_BYTES)
    schema = pa.schema([("key", pa.uint64()), ("twin", pa.uint64()), *stage.carried(), ("row", pa.int64())])
    outs = [pa.ipc.new_stream(str(folder / f"bucket-{b}"), schema) for b in range(buckets)]
    stored = np.lib.format.open_memmap(folder / "thumbs.npy", "w+", np.uint8, (rows, thumbs.SIZE))
    hashes, seen, seconds = [], [], 0.0
    for number, size in enumerate(parts(rows)):
        shown = images(number, size)
        stored[number * PART : number * PART + size] = shown
        offered = table(shown, number * PART)
        began = time.process_time()
        found = stage.prepare(offered, {})
        row = np.repeat(np.arange(size), pc.list_value_length(found.keys).to_numpy())
        key = found.keys.flatten()
        sent = found.signature.select(["twin", *stage.carried().names]).take(pa.array(row))
        sent = sent.add_column(0, "key", key).append_column("row", pa.array(row + number * PART))
        place = key.to_numpy() % np.uint64(buckets)
        order = np.argsort(place, kind="stable")
        ends = np.searchsorted(place[order], np.arange(buckets), side="right")
        sent = sent.take(pa.array(order)).combine_chunks()
        for bucket, out in enumerate(outs):
            start = int(ends[bucket - 1]) if bucket else 0
            out.write_table(sent.slice(start, int(ends[bucket]) - start))
        seconds += time.process_time() - began
        hashes.append(found.signature["hashes"].combine_chunks().flatten().to_numpy())
        seen.append(found.signature["looks"].to_numpy())
    for out in outs:
        out.close()
    facts["prepare"] = seconds

    began = time.process_time()
    codes = []
    for bucket in range(buckets):
        with pa.OSFile(str(folder / f"bucket-{bucket}")) as source:
            mine = pa.ipc.open_stream(source).read_all()
        (folder / f"bucket-{bucket}").unlink()
        mine = mine.sort_by([("key", "ascending"), ("twin", "ascending")]).combine_chunks()
        own = mine["row"].to_numpy()
        for links in stage.link(mine):
            ends = np.sort([own[links["left"].to_numpy()], own[links["right"].to_numpy()]], axis=0)
            codes.append(ends[0] * rows + ends[1])
    facts["link"] = time.process_time() - began

    began = time.process_time()
    pairs = np.unique(np.concatenate(codes))
    facts["sent"] = sum(map(len, codes)) / max(1, len(pairs))
    del codes
    verified = 0
    for start in range(0, len(pairs), 1 << 16):
        left, right = np.divmod(pairs[start : start + (1 << 16)], rows)
        verified += int((~np.isnan(likeness.alike(stored[left], stored[right]))).sum())
    facts["verify"] = time.process_time() - began
    facts |= {"pairs": len(pairs), "verified": verified, "seconds": facts["prepare"] + facts["link"]}
    facts["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    facts["start"] = base / 1e6

    whole, looks = np.concatenate(hashes), np.concatenate(seen)
    asked = np.random.default_rng(2).choice(rows, CHECKED, replace=False)
    wanted = []
    for one in asked[~thumbs.blank(stored[asked])]:
        near = np.flatnonzero(np.bitwise_count(whole ^ whole[one]) <= distance)
        near = near[(near != one) & ~thumbs.blank(stored[near])]
        near = near[thumbs.may_be_alike(looks[near], np.repeat(looks[one], len(near)))]
        wanted.append(np.minimum(near, one) * rows + np.maximum(near, one))
    truth = np.unique(np.concatenate(wanted))
    facts["found"] = float(np.isin(truth, pairs).mean()) if len(truth) else 1.0
    print(json.dumps(facts))


def run(rows: int, distance: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--child", folder, "--rows", str(rows)]
        command += ["--distance", str(distance)]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return dict(json.loads(done.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--small", action="store_true", help="up to 100,000 images, not a million")
    parser.add_argument("--distance", type=int, default=6, help="bits that may differ")
    parser.add_argument("--rows", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.rows, options.distance)
        return
    sizes = (30_000, 100_000) if options.small else (100_000, 300_000, 1_000_000)
    found = []
    for rows in sizes:
        facts = run(rows, options.distance)
        found.append(facts)
        print(
            f"{rows:,} images: {facts['seconds']:.1f} s (keys {facts['prepare']:.1f}, "
            f"pairs {facts['link']:.1f}), then {facts['verify']:.1f} s for {facts['pairs']:,} candidates, "
            f"{facts['verified']:,} true; peak {facts['peak']:.2f} GB ({facts['start']:.2f} before), "
            f"{facts['found']:.2%} found",
            flush=True,
        )
    last = found[-1]
    time_, memory = (_power(sizes, [f[name] for f in found]) for name in ("seconds", "peak"))
    print(
        f"{sizes[-1]:,} images within {options.distance} bits: {last['seconds']:.1f} s, "
        f"{last['peak']:.2f} GB; seconds grow as images^{time_:.2f}, memory as images^{memory:.2f}"
    )


def _power(sizes: tuple[int, ...], values: list[float]) -> float:
    return math.log(values[-1] / values[0]) / math.log(sizes[-1] / sizes[0])


if __name__ == "__main__":
    main()
