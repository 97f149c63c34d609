"""The engine against a bare loop, on the same pool, in one run.

Ours: probe, bounds, text stats, sha256, exact dedup, shards, on Ray with 2 workers. The bare loop: two
processes that read the same shards, decode each image by the same canonical decode, hash bytes and pixels,
and copy the samples into new shards; no records, no scores, no dedup, no ledger. Ray's start, its workers'
and Ray Data's own actors' included, is told apart (a tiny run goes before). Then, in one process without Ray,
what a rerun with a tighter bound decodes and costs. Last line: the ratio of the rates.

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
from typing import Any

import psutil
from _metered import Metered
from _pool import pool

from curate.backends import Backend
from curate.io import tar
from curate.io.tar_write import Member, TarWriter
from curate.meter import Meter
from curate.pixels import Decode, decode
from curate.plan import make
from curate.recipe import parse
from curate.run import Run
from curate.sources import discover

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


def ours(source: Path, out: Path, sampled: bool = False) -> dict[str, float]:
    """One run in a process of its own: seconds after Ray's start, Ray's start, CPU seconds; or peak memory,
    whose sampling slows all it looks at."""
    command = [sys.executable, __file__, "--child", str(source), str(out), "sampled" if sampled else "timed"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def _child(source: str, out: str, sampled: str) -> None:
    from curate.backends.ray import RayBackend

    memory = Memory()
    if sampled == "sampled":
        memory.start()
    began = time.perf_counter()
    backend = RayBackend(workers=2)
    shared = _Shared(backend)
    _run(pool(40), Path(out).with_name("warm"), 64, shared)
    started = time.perf_counter() - began
    before = _cpu()
    began = time.perf_counter()
    report = _run(Path(source), Path(out), 64, shared)
    seconds = time.perf_counter() - began
    cpu = _cpu() - before
    backend.close()
    facts = {
        "seconds": seconds,
        "start": started,
        "cpu": cpu,
        "memory": memory.stop() if sampled == "sampled" else 0.0,
        "written": report["outputs"][0]["samples"]["written"],
    }
    print(json.dumps(facts))


class _Shared:
    """A backend that several runs use: it is not theirs to close."""

    def __init__(self, backend: Backend) -> None:
        self.name = backend.name
        self.map, self.check, self.workers = backend.map, backend.check, backend.workers

    def close(self) -> None:
        return


def _run(source: Path, out: Path, bound: int, backend: Backend) -> dict[str, Any]:
    plan = make(parse(RECIPE.format(pool=source, bound=bound)))
    run = Run(plan, discover(plan, Path.cwd()), out, (), Meter(quiet=True))
    return run.execute(lambda: backend)


def rerun(source: Path, out: Path) -> str:
    """What a tighter bound costs, the copying of shards apart."""
    told = []
    for bound in (64, 300):
        backend = Metered()
        report = _run(source, out, bound, backend)
        cost = sum(t for (task, _), t in backend.cpu.items() if task not in ("write_shard", "publish"))
        told.append((cost, report))
    (first, _), (again, report) = told
    computed = sum(n["computed"] for n in report["nodes"] if n["stage"] != "exact")
    return (
        f"tighter bound: {report['images_decoded']} images decoded, {computed} results computed, "
        f"{again:.2f} of {first:.2f} CPU s = {again / first:.1%} (shards apart)"
    )


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
    pairs = options.pairs or (4_000 if options.small else 20_000)
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
                f"bare {pairs / seconds:,.0f}/s; ours {pairs / first['seconds']:,.0f}/s after "
                f"{first['start']:.1f} s of Ray's start; {first['cpu']:.1f} CPU s, {first['written']} written"
            )
            shutil.rmtree(work / "run")
        print(rerun(pool(min(pairs, 4_000)), work / "again"))
        peaks = []
        for n in (pairs, 2 * pairs):
            peaks.append(ours(pool(n), work / "run", sampled=True)["memory"])
            shutil.rmtree(work / "run")
        growth = peaks[1] / peaks[0] - 1
        print(f"peak memory {peaks[0]:.2f} GB at {pairs:,} pairs, {peaks[1]:.2f} GB at twice ({growth:+.0%})")
        ratio = statistics.median(rates["ours"]) / statistics.median(rates["bare"])
        print(f"ours / bare loop = {ratio:.2f}")
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
