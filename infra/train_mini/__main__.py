#!/usr/bin/env python3
"""Train stages/common/mini_image.onnx and mini_text.onnx, the encoder `mini`.

Usage: python infra/train_mini CACHE WORK [prepare] [train] [evaluate]

    prepare    Open Clip Art (infra/fetch_real_data.py), icons and WordNet (fetch.py) into CACHE, then data
               into WORK: 120,000 drawings of the demo with 14 captions each (scenes.py), 6,841 pieces of clip
               art (clipart.py), 27,094 icons (pictures.py), 13,535 nouns (glossary.py); 5 GB
    train      WORK/cycle<k>.pt (train.py), then the ONNX files into the package (export.py)
    evaluate   the figures of docs/models.md (evaluate.py); stamps too, which are for this alone

Needs torch, onnx, onnxscript and resvg-py; npm and apt. All three when none is named. Data are the same in
each run; weights, on another processor or number of threads, are alike but not the same.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import TypeAlias

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import clipart  # noqa: E402 - beside this file
import corpus  # noqa: E402
import evaluate  # noqa: E402
import export  # noqa: E402
import fetch  # noqa: E402
import glossary  # noqa: E402
import numpy as np  # noqa: E402
import numpy.typing as npt  # noqa: E402
import pictures  # noqa: E402
import scenes  # noqa: E402
import train  # noqa: E402

from stages.common.encoder_mini import Mini  # noqa: E402

Ints: TypeAlias = npt.NDArray[np.int64]

SCENES = 120_000
CYCLES = (3000, 2000, 2000, 2000)  # steps
POOL, PAIRS = 4242, 5000  # a pool that nobody else draws
STEPS = ("prepare", "train", "evaluate")


def prepare(cache: Path, work: Path) -> None:
    """Data into `work`: scenes, clipart, pictures, glossary."""
    script = str(ROOT / "infra" / "fetch_real_data.py")
    real = [sys.executable, script, str(cache), "--only", "openclipart", "tuxpaint"]
    subprocess.run(real, check=True)  # noqa: S603 - our own script
    fetch.fetch(cache)
    corpus.write(work / "scenes", SCENES, scenes.block)
    corpus.write(work / "clipart", len(clipart.drawings(cache)), clipart.maker(cache))
    corpus.write(work / "pictures", len(pictures.pictures(cache)), pictures.maker(cache))
    corpus.write(work / "glossary", len(glossary.read(cache).chosen), glossary.maker(cache), size=1)


def split(cache: Path, work: Path) -> tuple[Ints, Ints, Ints]:
    """Clip art to learn from, and for the test; icons to learn from, none of them near one of the test."""
    drawings, icons = corpus.read(work / "clipart"), corpus.read(work / "pictures")
    found = clipart.drawings(cache)
    cluster = clipart.clusters(drawings.images, found)
    test, told = clipart.sides(cluster, found) & (drawings.lengths[:, 0] > 0), drawings.lengths[:, 0] > 0
    shown = icons.images.max(axis=(1, 2, 3)) - icons.images.min(axis=(1, 2, 3)) >= 8
    hashes = clipart.perceptual(icons.images)
    for own in clipart.perceptual(drawings.images[test]):
        shown &= np.bitwise_count(hashes ^ own) > clipart.NEAR
    chosen = ~clipart.sides(cluster, found) & told & clipart.few(cluster)
    return np.flatnonzero(chosen), np.flatnonzero(test), np.flatnonzero(shown)


def learn(cache: Path, work: Path) -> None:
    """Train and export."""
    chosen, _, shown = split(cache, work)
    net = train.train(work, chosen, shown, CYCLES)
    export.export(net.image, net.text, ROOT / "stages" / "common")


def tell(cache: Path, work: Path) -> None:
    """Print all figures."""
    mini = Mini()
    learned, test, _ = split(cache, work)
    chosen = test.tolist()
    met = evaluate.met(cache, learned.tolist(), chosen)
    seen = evaluate.embed(mini, evaluate.pool_pairs(POOL, PAIRS, held_out=False))
    bound, found = evaluate.bounds(seen)
    print("demo, another seed:", evaluate.ranking(seen.only("")), found, sep="\n")
    print(evaluate.clean_by_sort(seen, bound))
    unseen = evaluate.embed(mini, evaluate.pool_pairs(POOL, PAIRS, held_out=True))
    print("demo, held out:", evaluate.ranking(unseen.only("")), evaluate.bounds(unseen, bound)[1], sep="\n")
    print(evaluate.bounds(unseen)[1])
    for which, name in enumerate(("title", "description or title", "title and tags")):
        pairs = evaluate.embed(mini, evaluate.drawing_pairs(cache, chosen, which))
        print(f"clip art, {name}:", evaluate.ranking(pairs), evaluate.by_group(pairs, met))
    print("stamps:", evaluate.ranking(evaluate.embed(mini, evaluate.stamp_pairs(cache))))


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description="Train the encoder `mini`.")
    parser.add_argument("cache", type=Path, metavar="CACHE")
    parser.add_argument("work", type=Path, metavar="WORK")
    parser.add_argument("steps", nargs="*", metavar="STEP", help=f"of {', '.join(STEPS)}; all when left out")
    options = parser.parse_args()
    if unknown := set(options.steps) - set(STEPS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    work = {"prepare": prepare, "train": learn, "evaluate": tell}
    for step in STEPS:
        if not options.steps or step in options.steps:
            work[step](options.cache.resolve(), options.work.resolve())
    return 0


if __name__ == "__main__":
    sys.exit(main())
