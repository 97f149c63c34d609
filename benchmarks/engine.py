"""The engine against a bare loop, on the same pool, in one run.

Ours: probe, bounds, text stats, sha256, exact dedup, bounds, shards, on Ray with 2 workers. The bare loop: two
processes that read the same shards, decode each image by the same canonical decode, hash bytes and pixels,
and copy the samples into new shards; no records, no scores, no dedup, no ledger. Ray's start is told apart.
Then a rerun with a tighter bound: what it decodes and costs. Last line: the ratio of the rates.

    python benchmarks/engine.py [--small] [--pairs N] [--runs R]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
from pool import pool

from curate.io import tar
from curate.io.tar_write import Member, TarWriter
from curate.pixels import Decode, decode

RECIPE = """
name: engine
nodes:
  - {{id: raw, stage: read_webdataset, path: '{pool}/*.tar'}}
  - {{stage: probe}}
  - {{id: size, stage: keep, bounds: {{image_short_side: {{min: {bound}}}, image_aspect: {{max: 5}}}}}}
  - {{id: text, stage: text_stats}}
  - {{id: words, stage: keep, bounds: {{text_words: {{min: 3, max: 200}}}}}}
  - {{stage: sha256}}
  - {{id: dedup, stage: exact, key: image_sha256}}
  - {{id: out, stage: write_webdataset, shard_size: 1000, images: original}}
"""


def bare(source: Path, target: Path) -> float:
    """Seconds of the bare loop in two processes."""
    shards = sorted(source.glob("*.tar"))
    target.mkdir(parents=True)
    with multiprocessing.get_context("spawn").Pool(2) as workers:
        workers.map(_warm, range(2), chunksize=1)
        began = time.perf_counter()
        workers.starmap(_copy, [(s, target / s.name) for s in shards], chunksize=1)
        return time.perf_counter() - began


def _warm(_: int) -> None:
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (64, 64)).save(out, "JPEG")
    decode(out.getvalue(), Decode())
    time.sleep(0.2)  # so that each of the two takes one


def _copy(source: Path, target: Path) -> None:
    how = Decode()
    size = source.stat().st_size
    with source.open("rb") as file, TarWriter(target) as out:
        for member in tar.members(file, 0, size):
            file.seek(member.data)
            data = file.read(member.size)
            if member.name.endswith(".jpg"):
                found = decode(data, how)
                hashlib.sha256(data).digest()
                if not isinstance(found, str):
                    hashlib.sha256(found.data).digest()
            out.add(Member(member.name, data))


class Memory(threading.Thread):
    """Peak of the summed proportional set size of this process and all below it, in GB."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0.0
        self._stop_now = threading.Event()

    def run(self) -> None:
        me = psutil.Process()
        while not self._stop_now.wait(0.5):
            total = 0
            for process in [me, *me.children(recursive=True)]:
                try:
                    total += process.memory_full_info().pss
                except (psutil.NoSuchProcess, psutil.AccessDenied):
                    continue
            self.peak = max(self.peak, total / 1e9)

    def stop(self) -> float:
        self._stop_now.set()
        self.join()
        return self.peak


def ours(source: Path, out: Path, bound: int = 64) -> dict[str, float]:
    """One run in a process of its own: seconds after Ray's start, Ray's start, CPU seconds, peak memory."""
    command = [sys.executable, __file__, "--child", str(source), str(out), str(bound)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def _child(source: str, out: str, bound: str) -> None:
    from curate.backends.ray import RayBackend
    from curate.meter import Meter
    from curate.plan import make
    from curate.recipe import parse
    from curate.run import Run
    from curate.sources import discover

    memory = Memory()
    memory.start()
    began = time.perf_counter()
    backend = RayBackend(workers=2)
    started = time.perf_counter() - began
    plan = make(parse(RECIPE.format(pool=source, bound=bound)))
    run = Run(plan, discover(plan, Path.cwd()), Path(out), (), Meter(quiet=True))
    before = _cpu()
    closing = backend.close
    backend.close = lambda: None  # type: ignore[method-assign]
    began = time.perf_counter()
    report = run.execute(lambda: backend)
    seconds = time.perf_counter() - began
    cpu = _cpu() - before
    closing()
    nodes = {n["id"]: n["seconds"] for n in report["nodes"]}
    facts = {
        "seconds": seconds,
        "start": started,
        "cpu": cpu,
        "memory": memory.stop(),
        "decoded": report["images_decoded"],
        "written": report["outputs"][0]["samples"]["written"],
        "computed": sum(n["computed"] for n in report["nodes"] if n["stage"] != "exact"),
        "nodes": nodes,
    }
    print(json.dumps(facts))


def _cpu() -> float:
    """CPU seconds of this process and all below it so far."""
    me = psutil.Process()
    total = 0.0
    for process in [me, *me.children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--pairs", type=int)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--child", nargs=3)
    options = parser.parse_args()
    if options.child:
        _child(*options.child)
        return
    pairs = options.pairs or (2_000 if options.small else 20_000)
    source = pool(pairs)
    work = Path(tempfile.mkdtemp(prefix="curate-bench-"))
    try:
        rates: dict[str, list[float]] = {"bare": [], "ours": []}
        for i in range(1 if options.small else options.runs):
            seconds = bare(source, work / f"bare{i}")
            rates["bare"].append(pairs / seconds)
            shutil.rmtree(work / f"bare{i}")
            first = ours(source, work / "run")
            rates["ours"].append(pairs / first["seconds"])
            print(
                f"bare {pairs / seconds:,.0f}/s; ours {pairs / first['seconds']:,.0f}/s after {first['start']:.1f} s "
                f"of Ray's start; {first['cpu']:.1f} CPU s, {first['memory']:.2f} GB, "
                f"{first['written']} written; node seconds {first['nodes']}"
            )
            again = ours(source, work / "run", bound=300)
            print(
                f"tighter bound: {again['decoded']} decoded, {again['computed']} computed, "
                f"{again['seconds']:.1f} s, {again['cpu']:.1f} CPU s of {first['cpu']:.1f}, shards included"
            )
            shutil.rmtree(work / "run")
        ratio = statistics.median(rates["ours"]) / statistics.median(rates["bare"])
        print(f"ours / bare loop = {ratio:.2f}")
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
