"""Near duplicates by embedding through the stage `semantic`: time, memory and recall as the rows grow.

Rows are unit vectors of 512 float16 numbers: 2,000 topics of unequal size, whose members differ in 64
directions most; a tenth of them are near copies of others, at cosines from 0.95 to 1. The stage's own fit,
prepare and link run in one thread, as the engine calls them: parts of 16,384 rows, keys to files of buckets
of about 64 MB, one bucket at a time. Times are CPU seconds. The truth at the smallest size are all pairs, in
blocks of float32. Recall is that of planted pairs; at the smallest size of all pairs too. Last line: rows a
CPU second, and recall, at the largest size.

    python benchmarks/dedup_semantic.py [--small] [--rows N] [--threshold T]
"""

from __future__ import annotations

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.group.semantic import Semantic

WIDTH = 512
PART = 16_384
BUCKET_BYTES = 64 << 20
COLUMN = "image_clip_embedding"


def make(folder: Path, rows: int) -> None:
    """Parts of embeddings, and `partner.npy`: the row each near copy was made from, else -1."""
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(WIDTH, 64)))[0].T.astype(np.float32)
    shares = 1 / np.arange(1, 2001) ** 0.7
    topics = (rng.normal(size=(2000, 64)) + rng.normal(size=64)).astype(np.float32)
    partner = np.full(rows, -1, dtype=np.int64)
    earlier = np.zeros((0, 64), dtype=np.float32)
    for start in range(0, rows, PART):
        size = min(PART, rows - start)
        inner = topics[rng.choice(2000, size, p=shares / shares.sum())]
        inner = inner + 0.7 * rng.normal(size=(size, 64)).astype(np.float32)
        copies = np.arange(size // 10 if len(earlier) else 0)
        if len(copies):  # of rows of the part before
            origin = rng.choice(len(earlier), len(copies), replace=False)
            noise = rng.normal(size=(len(copies), 64)).astype(np.float32)
            length = np.linalg.norm(earlier[origin], axis=1, keepdims=True) / 8
            inner[copies] = earlier[origin] + noise * length * rng.uniform(0.02, 0.32, (len(copies), 1))
            partner[start + copies] = start - PART + origin
        earlier = inner.astype(np.float32)
        vectors = earlier @ basis + 0.02 * rng.normal(size=(size, WIDTH)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        flat = pa.array(vectors.astype(np.float16).reshape(-1))
        table = pa.table(
            {
                "sample_id": [f"{start + i:032x}" for i in range(size)],
                "shape": ["pair"] * size,
                COLUMN: pa.FixedSizeListArray.from_arrays(flat, WIDTH),
            }
        )
        path = str(folder / f"{start:09d}.arrow")
        with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, table.schema) as out:
            out.write_table(table)
    np.save(folder / "partner.npy", partner)


def read(path: Path) -> pa.Table:
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()


def halves(table: pa.Table) -> np.ndarray:
    return table[COLUMN].chunk(0).flatten().to_numpy().reshape(-1, WIDTH)


def child(folder: Path, rows: int, threshold: float) -> None:
    """One run of the stage over all parts; prints its facts as JSON."""
    stage = Semantic(threshold=threshold)
    parts = sorted(folder.glob("*.arrow"))
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    facts: dict[str, float] = {}
    began = time.process_time()
    step = max(1, rows // stage.sample_size())
    some = [read(p).take(pa.array(np.arange(0, read(p).num_rows, step))) for p in parts]
    fitted = stage.fit(pa.concat_tables(some).slice(0, stage.sample_size()).combine_chunks(), rows)
    del some
    facts["fit"] = time.process_time() - began

    began = time.process_time()
    buckets = max(1, rows * 2 * stage.keys_each() * WIDTH // BUCKET_BYTES)
    schema = pa.schema([("key", pa.uint64()), ("twin", pa.uint64()), *stage.carried(), ("row", pa.int64())])
    outs = [pa.ipc.new_stream(str(folder / f"bucket-{b}"), schema) for b in range(buckets)]
    keys = 0
    for number, part in enumerate(parts):
        found = stage.prepare(read(part), fitted)
        row = np.repeat(np.arange(len(found.keys)), pc.list_value_length(found.keys).to_numpy())
        key = found.keys.flatten()
        sent = found.signature.select(["twin", *stage.carried().names]).take(pa.array(row))
        sent = sent.add_column(0, "key", key).append_column("row", pa.array(row + number * PART))
        place = key.to_numpy() % np.uint64(buckets)
        keys += len(key)
        for bucket, out in enumerate(outs):
            mine = np.flatnonzero(place == bucket)
            if len(mine):
                out.write_table(sent.take(pa.array(mine)).combine_chunks())
    for out in outs:
        out.close()
    facts["prepare"] = time.process_time() - began

    began = time.process_time()
    partner = np.load(folder / "partner.npy")
    hit = np.zeros(rows, dtype=bool)
    seen, pairs = [], 0
    for bucket in range(buckets):
        with pa.OSFile(str(folder / f"bucket-{bucket}")) as source:
            table = pa.ipc.open_stream(source).read_all()
        table = table.sort_by([("key", "ascending"), ("twin", "ascending")]).combine_chunks()
        own = table["row"].to_numpy()
        for links in stage.link(table):
            left, right = own[links["left"].to_numpy()], own[links["right"].to_numpy()]
            hit[right[partner[right] == left]] = True
            hit[left[partner[left] == right]] = True
            pairs += len(left)
            if rows <= 50_000:
                seen.append(np.minimum(left, right) * rows + np.maximum(left, right))
    facts["link"] = time.process_time() - began
    planted = np.flatnonzero(partner >= 0)
    true = planted[_cosines(parts, planted, partner) >= threshold]
    facts |= {"planted": len(true), "recall": float(hit[true].mean()), "pairs": pairs, "keys": keys / rows}
    facts["seconds"] = facts["fit"] + facts["prepare"] + facts["link"]
    facts["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    facts["start"] = base / 1e6
    facts["clusters"] = len(fitted["centroids"])
    if seen:
        np.save(folder / "found.npy", np.unique(np.concatenate(seen)))
    print(json.dumps(facts))


def _cosines(parts: list[Path], copies: np.ndarray, partner: np.ndarray) -> np.ndarray:
    """Of each copy with its original, in float64; both lie in neighbouring parts."""
    found = np.zeros(len(copies))
    before = np.zeros((0, WIDTH))
    for number, part in enumerate(parts):
        own = halves(read(part)).astype(np.float64)
        own /= np.linalg.norm(own, axis=1, keepdims=True)
        mine = np.flatnonzero(copies // PART == number)
        if len(mine):
            origin = partner[copies[mine]] - (number - 1) * PART
            found[mine] = (own[copies[mine] - number * PART] * before[origin]).sum(axis=1)
        before = own
    return found


def naive(folder: Path, rows: int, threshold: float) -> tuple[float, np.ndarray]:
    """Seconds, and all pairs left * rows + right whose cosine reaches the threshold."""
    vectors = np.concatenate([halves(read(p)) for p in sorted(folder.glob("*.arrow"))]).astype(np.float32)
    began = time.process_time()
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = []
    for top in range(0, rows, 2048):
        for left in range(top, rows, 2048):
            i, j = np.nonzero(vectors[top : top + 2048] @ vectors[left : left + 2048].T >= threshold)
            upper = i + top < j + left
            found.append((i[upper] + top) * rows + j[upper] + left)
    return time.process_time() - began, np.concatenate(found)


def measure(rows: int, threshold: float, truth: bool) -> dict[str, float]:
    folder = Path(tempfile.mkdtemp(prefix="curate-bench-"))
    try:
        subprocess.run([sys.executable, __file__, "--make", str(folder), str(rows)], check=True)
        command = [sys.executable, __file__, "--child", str(folder), str(rows), "--threshold", str(threshold)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        facts: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        print(
            f"{rows:,} rows, {facts['clusters']:,} clusters, {facts['keys']:.2f} keys a row: "
            f"fit {facts['fit']:.1f} s, prepare {facts['prepare']:.1f} s, link {facts['link']:.1f} s, "
            f"{facts['seconds'] / rows * 1e6:.0f} us a row; peak {facts['peak']:.2f} GB "
            f"({facts['start']:.2f} GB before); recall of {facts['planted']:,} planted pairs "
            f"{facts['recall']:.4f}",
            flush=True,
        )
        if truth:
            seconds, pairs = naive(folder, rows, threshold)
            hit = np.isin(pairs, np.load(folder / "found.npy")).mean()
            print(
                f"all pairs of {rows:,} rows: {seconds:.1f} CPU s, {len(pairs):,} alike; "
                f"of them the stage found {hit:.4f} in {facts['seconds']:.1f} s",
                flush=True,
            )
        return facts
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--threshold", type=float, default=0.95)
    parser.add_argument("--make", nargs=2)
    parser.add_argument("--child", nargs=2)
    options = parser.parse_args()
    if options.make:
        make(Path(options.make[0]), int(options.make[1]))
        return
    if options.child:
        child(Path(options.child[0]), int(options.child[1]), options.threshold)
        return
    last = options.rows or (50_000 if options.small else 1_000_000)
    sizes = sorted({min(50_000, last), last // 10 if last > 100_000 else last, last})
    facts = {rows: measure(rows, options.threshold, rows <= 50_000) for rows in sizes}
    if len(sizes) > 1:
        growth = facts[last]["seconds"] / last / (facts[sizes[-2]]["seconds"] / sizes[-2])
        print(f"time a row, {last:,} over {sizes[-2]:,} rows: {growth:.2f}")
    print(
        f"semantic: {last / facts[last]['seconds']:,.0f} rows a CPU second at {last:,} x {WIDTH}, "
        f"recall {facts[last]['recall']:.4f}"
    )


if __name__ == "__main__":
    main()
