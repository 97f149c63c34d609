"""Near duplicates of images through the stage `near_image`: time and memory as the images grow.

Images are made as thumbs (64 x 64): fields whose frequencies fall off as those of photos do or faster, some
of them symmetric, some nearly blank, and a tenth of them copies of others, by noise of a few levels, a gain
and a shift; their hashes share keys about as often as those of clip art and photos do. The stage's own
prepare, link and verify run in one thread, as the engine calls them: parts of 16,384 rows, keys to files of
buckets of about 64 MB, one bucket at a time, its pairs without repetition in blocks. Another process makes
the images, into a file that is read and not mapped: the peak is what the stage needs, and not what the images
took to make or what the system keeps of files. Times are CPU seconds. `found` is the share of all pairs
within the distances (and of like brightness, contrast, hue and shape) that link gave, by comparing 1,000
images with all.
Last lines: seconds and peak memory at the largest size, and by which power of the number of images they grow.

    python benchmarks/dedup_images.py [--small | --sizes N,N] [--distance D] [--crops D]
"""

from __future__ import annotations

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.links import bucket_of
from stages.common import likeness, thumbs
from stages.group.near_image import NearImage

PART = 16_384
BUCKET_BYTES = 64 << 20
SIDE, COLOURS = thumbs.FINE, thumbs.COARSE**2
FREQUENCIES = 16
CHECKED = 1000
AT_ONCE = 1024  # images that are made at a time
PAIRS = 8192  # that are verified at a time


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
    contrast, mean = rng.lognormal(3.4, 0.7, originals), rng.uniform(60, 200, originals)
    origin = rng.integers(0, originals, size // 10) ** 2 // originals  # some have many copies
    copies = luma(field[origin], contrast[origin], mean[origin]) * rng.uniform(
        0.92, 1.08, (len(origin), 1, 1)
    )
    copies += rng.uniform(0, 0.3, (len(origin), 1, 1)) * (np.roll(copies, 2, axis=2) - copies)
    copies += rng.normal(0, 1.5, copies.shape)
    found = np.full((size, thumbs.SIZE), 128, dtype=np.uint8)
    colours = rng.normal(128, 12, (size, 3)).clip(0, 255).astype(np.uint8)
    found[:, SIDE * SIDE :] = colours[:, [0] * COLOURS + [1] * COLOURS + [2]]
    found[originals:, SIDE * SIDE :] = found[origin, SIDE * SIDE :]
    found[originals:, : SIDE * SIDE] = whole(copies)
    for start in range(0, originals, AT_ONCE):
        some = slice(start, min(originals, start + AT_ONCE))
        found[some, : SIDE * SIDE] = whole(luma(field[some], contrast[some], mean[some]))
    return found


def luma(field: np.ndarray, contrast: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """(n, SIDE, SIDE) of so many frequencies."""
    basis = np.cos(np.pi * (2 * np.arange(SIDE) + 1) * np.arange(FREQUENCIES)[:, None] / (2 * SIDE))
    shown = basis.T @ field @ basis
    shown *= contrast[:, None, None] / shown.std(axis=(1, 2), keepdims=True)
    return shown + mean[:, None, None]


def whole(levels: np.ndarray) -> np.ndarray:
    return np.rint(levels).clip(0, 255).reshape(len(levels), -1)


class Thumbs:
    """Those in a file."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)

    def part(self, number: int, size: int) -> np.ndarray:
        found = np.empty((size, thumbs.SIZE), dtype=np.uint8)
        os.preadv(self._file.fileno(), [found], number * PART * thumbs.SIZE)
        return found

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        found = np.empty((len(rows), thumbs.SIZE), dtype=np.uint8)
        for number, row in enumerate(rows.tolist()):
            os.preadv(self._file.fileno(), [found[number]], row * thumbs.SIZE)
        return found


def parts(rows: int) -> list[int]:
    return [min(PART, rows - start) for start in range(0, rows, PART)]


def table(shown: np.ndarray, start: int) -> pa.Table:
    ids = [f"{i:032x}" for i in range(start, start + len(shown))]
    column = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(thumbs.SIZE), len(shown), [None, pa.py_buffer(np.ascontiguousarray(shown))]
    )
    return pa.table({"sample_id": ids, "shape": ["pair"] * len(shown), "image_thumb": column})


def child(folder: Path, rows: int, distance: int, crops: int | None) -> None:
    """One run of the stage; prints its facts as JSON."""
    stage = NearImage(max_distance=distance, crop_distance=crops)
    base = _peak()
    facts: dict[str, float] = {}
    width = 24 + 8 * sum(getattr(field.type, "list_size", 1) for field in stage.carried())
    buckets = 1 << (rows * stage.keys_each() * width // BUCKET_BYTES).bit_length()
    schema = pa.schema([("key", pa.uint64()), ("twin", pa.uint64()), *stage.carried(), ("row", pa.int64())])
    outs = [pa.ipc.new_stream(str(folder / f"bucket-{b}"), schema) for b in range(buckets)]
    stored = Thumbs(folder / "thumbs")
    signatures, entries, began = [], 0, time.process_time()
    for number, size in enumerate(parts(rows)):
        signature, sent = _send(stage, table(stored.part(number, size), number * PART), number * PART, outs)
        signatures.append(signature)
        entries += sent
    for out in outs:
        out.close()
    facts["prepare"] = time.process_time() - began

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
    for start in range(0, len(pairs), PAIRS):
        left, right = np.divmod(pairs[start : start + PAIRS], rows)
        verified += int((~np.isnan(likeness.alike(stored[left], stored[right]))).sum())
    facts["verify"] = time.process_time() - began
    facts |= {"pairs": len(pairs), "verified": verified, "seconds": facts["prepare"] + facts["link"]}
    facts["entries"] = entries / rows
    facts |= {"peak": _peak(), "start": base}
    facts["found"] = _found(stage, stored, pa.concat_tables(signatures), pairs)
    print(json.dumps(facts))


def _send(stage: NearImage, offered: pa.Table, first: int, outs: list[Any]) -> tuple[pa.Table, int]:
    """Keys of a part into the files of buckets: what the hashes were, and how many keys."""
    found = stage.prepare(offered, {})
    row = np.repeat(np.arange(offered.num_rows), pc.list_value_length(found.keys).to_numpy())
    key = found.keys.flatten()
    sent = found.signature.select(["twin", *stage.carried().names]).take(pa.array(row))
    sent = sent.add_column(0, "key", key).append_column("row", pa.array(row + first))
    place = bucket_of(key.to_numpy(), len(outs))
    order = np.argsort(place, kind="stable")
    ends = np.searchsorted(place[order], np.arange(len(outs)), side="right")
    sent = sent.take(pa.array(order)).combine_chunks()
    for start, end, out in zip([0, *ends[:-1]], ends, outs, strict=True):
        out.write_table(sent.slice(start, end - start))
    return found.signature.select(["hashes", "crops", "looks"]), len(order)


def _peak() -> float:
    """GB of this process. `ru_maxrss` would count the parent's too, from before the exec."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1e6


def _found(stage: NearImage, stored: Thumbs, signatures: pa.Table, pairs: np.ndarray) -> float:
    """The share of all pairs that `pairs` has, of some images with all."""
    rows, wanted = signatures.num_rows, []
    looks = signatures["looks"].to_numpy()
    own, crops = (
        np.concatenate([chunk.flatten().to_numpy() for chunk in signatures[name].chunks]).reshape(rows, -1)
        for name in ("hashes", "crops")
    )
    own = own[:, 0]
    asked = np.random.default_rng(2).choice(rows, CHECKED, replace=False)
    for one in asked[~thumbs.blank(stored[asked])]:
        near = np.bitwise_count(own ^ own[one]) <= stage.max_distance
        if stage.crop_distance is not None:
            for ours, theirs in zip(crops[one], crops.T, strict=True):
                near |= np.bitwise_count(own ^ ours) <= stage.crop_distance
                near |= np.bitwise_count(theirs ^ own[one]) <= stage.crop_distance
        others = np.flatnonzero(near & thumbs.may_be_alike(looks, np.repeat(looks[one], rows)))
        others = others[others != one]
        others = others[~thumbs.blank(stored[others])]
        wanted.append(np.minimum(others, one) * rows + np.maximum(others, one))
    truth = np.unique(np.concatenate(wanted))
    return float(np.isin(truth, pairs).mean()) if len(truth) else 1.0


def run(rows: int, distance: int, crops: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        with (Path(folder) / "thumbs").open("wb") as file:
            for number, size in enumerate(parts(rows)):
                file.write(images(number, size))
        command = [sys.executable, __file__, "--child", folder, "--rows", str(rows)]
        command += ["--distance", str(distance), "--crops", str(crops)]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return dict(json.loads(done.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--small", action="store_true", help="up to 100,000 images, not a million")
    parser.add_argument("--sizes", type=_sizes, help="numbers of images, as in 100000,300000")
    parser.add_argument("--distance", type=int, default=6, help="bits that may differ")
    parser.add_argument("--crops", type=int, default=4, help="of a crop; below 0: without crops")
    parser.add_argument("--rows", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.rows, options.distance, options.crops if options.crops >= 0 else None)
        return
    sizes = options.sizes or ((30_000, 100_000) if options.small else (100_000, 300_000, 1_000_000))
    found = []
    for rows in sizes:
        facts = run(rows, options.distance, options.crops)
        found.append(facts)
        print(
            f"{rows:,} images: {facts['seconds']:.1f} s ({facts['entries']:.0f} keys each "
            f"{facts['prepare']:.1f}, pairs {facts['link']:.1f}), then {facts['verify']:.1f} s for "
            f"{facts['pairs']:,} candidates, {facts['verified']:,} true; "
            f"peak {facts['peak']:.2f} GB ({facts['start']:.2f} before), {facts['found']:.2%} found",
            flush=True,
        )
    last = found[-1]
    if len(sizes) < 2:
        return
    power = {name: _power(sizes, [f[name] for f in found]) for name in ("seconds", "link", "peak")}
    print(
        f"{sizes[-1]:,} images within {options.distance} bits: {last['seconds']:.1f} s, "
        f"{last['peak']:.2f} GB; seconds grow as images^{power['seconds']:.2f}, "
        f"those of pairs as images^{power['link']:.2f}, memory as images^{power['peak']:.2f}"
    )


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


def _power(sizes: tuple[int, ...], values: list[float]) -> float:
    return math.log(values[-1] / values[0]) / math.log(sizes[-1] / sizes[0])


if __name__ == "__main__":
    main()
