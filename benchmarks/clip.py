"""Scoring image-text pairs with ViT-B/32 against a bare loop, on the same pool and cores, in one run.

Ours: `read_webdataset` and `clip` (weights random, from a file), on Ray with as many workers as cores. The
bare loop: as many processes, which read the same shards, decode by the same canonical decode, transform and
tokenise as open_clip does, and run both towers on batches: nothing else, no record, no ledger, nothing
written. Beside them what peers do: one image and one text a forward. All load their model within the
measured time; Ray's start is told apart. Medians. Last line: ours over the bare loop, in images/s.

On a machine with a GPU the towers run there, in bf16, in ours and in the loop.

    python benchmarks/clip.py [--small] [--pairs N] [--model NAME] [--runs R]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from _pool import CACHE, pool

from curate.io import tar
from curate.meter import Meter
from curate.pixels import Decode, decode
from curate.plan import make
from curate.recipe import parse
from curate.run import Run
from curate.sources import discover
from stages.common.torchvision_cure import cure_torchvision

CORES = os.cpu_count() or 1
BATCH = 64
RECIPE = """
name: clip
nodes:
  - {{id: raw, stage: read_webdataset, path: '{pool}/*.tar', part_rows: 128}}
  - {{stage: clip, model: {model}, weights: '{weights}'}}
"""


def weights(model: str) -> Path:
    """Random ones, made once."""
    path = CACHE / f"{model}-random.pt"
    if not path.exists():
        cure_torchvision()
        import open_clip
        import torch

        torch.manual_seed(0)
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(open_clip.create_model(model).state_dict(), path)
    return path


def samples(shard: Path, part: int, parts: int) -> Iterator[tuple[bytes, str]]:
    """Every `parts`-th pair of a shard."""
    data = b""
    with shard.open("rb") as file:
        for i, member in enumerate(tar.members(file, 0, shard.stat().st_size)):
            if i // 3 % parts != part:
                continue
            file.seek(member.data)
            content = file.read(member.size)
            if member.name.endswith(".jpg"):
                data = content
            elif member.name.endswith(".txt"):
                yield data, content.decode()


def loop(model: str, source: Path, part: int, parts: int, batch: int, queue: object) -> None:
    """One process of the bare loop."""
    cure_torchvision()
    import open_clip
    import torch
    from PIL import Image

    gpu = torch.cuda.is_available()
    torch.set_num_threads(1)
    device, kind = ("cuda", torch.bfloat16) if gpu else ("cpu", torch.float32)
    net, _, transform = open_clip.create_model_and_transforms(model, pretrained=str(weights(model)))
    net = net.eval().to(device=device, dtype=kind)
    tokenizer = open_clip.get_tokenizer(model)
    how, done = Decode(), 0
    images: list[object] = []
    texts: list[str] = []

    def forward() -> None:
        with torch.inference_mode():
            image = net.encode_image(torch.stack(images).to(device=device, dtype=kind), normalize=True)
            text = net.encode_text(tokenizer(texts).to(device), normalize=True)
            (image * text).sum(1).cpu()

    for shard in sorted(source.glob("*.tar")):
        for data, caption in samples(shard, part, parts):
            found = decode(data, how)
            if isinstance(found, str):
                continue
            images.append(transform(Image.fromarray(found.data)))
            texts.append(caption)
            if len(images) == batch:
                forward()
                done += batch
                images, texts = [], []
    if images:
        forward()
    queue.put(done + len(images))


def bare(model: str, source: Path, batch: int) -> float:
    """Images/s of the bare loop."""
    spawn = multiprocessing.get_context("spawn")
    queue = spawn.Queue()
    began = time.perf_counter()
    workers = [spawn.Process(target=loop, args=(model, source, i, CORES, batch, queue)) for i in range(CORES)]
    for worker in workers:
        worker.start()
    done = sum(queue.get() for _ in workers)
    for worker in workers:
        worker.join()
    return done / (time.perf_counter() - began)


def ours(model: str, source: Path, out: Path) -> dict[str, float]:
    """Images/s after Ray's start, and that start, of a run in a process of its own."""
    command = [sys.executable, __file__, "--child", model, str(source), str(out)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    shutil.rmtree(out)
    return json.loads(done.stdout.splitlines()[-1])


def _child(model: str, source: str, out: str) -> None:
    from curate.backends.ray import RayBackend

    began = time.perf_counter()
    backend = RayBackend()
    started = time.perf_counter() - began
    plan = make(parse(RECIPE.format(pool=source, model=model, weights=weights(model))))
    began = time.perf_counter()
    run = Run(plan, discover(plan, Path.cwd()), Path(out), (), Meter(quiet=True))
    report = run.execute(lambda: backend)
    seconds = time.perf_counter() - began
    alive = report["images"]["read"] - report["images"]["dropped"]
    print(json.dumps({"rate": alive / seconds, "start": started}))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--pairs", type=int)
    parser.add_argument("--model", default="ViT-B-32")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--child", nargs=3)
    options = parser.parse_args()
    if options.child:
        _child(*options.child)
        return
    pairs = options.pairs or (400 if options.small else 1_600)
    source, few = pool(pairs), pool(max(64, pairs // 8))
    weights(options.model)
    work = Path(tempfile.mkdtemp(prefix="curate-bench-"))
    rates: dict[str, list[float]] = {"bare": [], "one by one": [], "ours": []}
    try:
        for _ in range(1 if options.small else options.runs):
            rates["bare"].append(bare(options.model, source, BATCH))
            told = ours(options.model, source, work / "run")
            rates["ours"].append(told["rate"])
            rates["one by one"].append(bare(options.model, few, 1))
            shown = ", ".join(f"{name} {values[-1]:.1f}" for name, values in rates.items())
            print(f"{options.model} on {CORES} cores, images/s: {shown}; Ray's start {told['start']:.1f} s")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    median = {name: statistics.median(values) for name, values in rates.items()}
    print(f"ours / one by one = {median['ours'] / median['one by one']:.2f}")
    print(f"ours / bare loop = {median['ours'] / median['bare']:.2f}")


if __name__ == "__main__":
    main()
