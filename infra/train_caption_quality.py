#!/usr/bin/env python3
"""Train stages/text/caption_quality.ftz: does a text read as a caption, or as web junk in its place?

Usage: python infra/train_caption_quality.py CACHE_DIR [--out FILE] [--real STAMPS_AND_CLIPART_CACHE]

A fastText classifier after DCLM's (arXiv 2406.11794): words, pairs of words and character n-grams. Everything
it learns from is generated, see caption_texts.py: good are the demo's true captions, and captions of CLDR's
names of pictures; junk is what the web puts in a caption's place, fourteen kinds, made with the same words,
so that it is the form that decides. The same CLDR gives the same model (one thread, fixed seeds).

Reported are accuracy at 0.5 and AUC on what it never saw: captions of the demo's held-out classes against the
demo's own junk, which is not used for training; with `--real` also the captions of Tux Paint's stamps against
the file names of Openclipart (fetch both with infra/fetch_real_data.py).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]

import caption_texts  # noqa: E402 - beside this file
import fasttext_venv  # noqa: E402
import numpy as np  # noqa: E402
import train_language_short  # noqa: E402

from stages.common import fasttext_model  # noqa: E402

LINES = 60_000  # of each label
TRAIN = {
    "dim": 12,
    "minn": 2,
    "maxn": 4,
    "wordNgrams": 2,
    "bucket": 200_000,
    "epoch": 5,
    "lr": 0.25,
    "minCount": 5,
}
QUANTIZE = {"cutoff": 60_000, "retrain": False, "qnorm": True, "dsub": 3}


def auc(good: list[float], junk: list[float]) -> float:
    """The share of pairs (good, junk) in which the good one scores higher; ties count half."""
    order = np.sort(np.asarray(junk))
    below, upto = np.searchsorted(order, good, "left"), np.searchsorted(order, good, "right")
    return float((below + upto).sum() / (2 * len(good) * len(junk)))


def report(model: Path, title: str, good: list[str], junk: list[str]) -> None:
    """One line: accuracy at 0.5, AUC, and what a bound of 0.1 would do."""
    predict = fasttext_model.predictor(fasttext_model.checked(model), 2)
    scores = [[dict(predict(text)).get("good", 0.0) for text in texts] for texts in (good, junk)]
    right = sum(s >= 0.5 for s in scores[0]) + sum(s < 0.5 for s in scores[1])
    kept, dropped = np.mean(np.array(scores[0]) >= 0.1), np.mean(np.array(scores[1]) < 0.1)
    print(
        f"{title}: {len(good):,} good, {len(junk):,} junk, accuracy {right / (len(good) + len(junk)):.4f},"
        f" AUC {auc(*scores):.4f}; at 0.1 keeps {kept:.4f} of good, drops {dropped:.4f} of junk"
    )


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description="Train the classifier of captions and junk.")
    parser.add_argument("cache", type=Path, metavar="CACHE_DIR")
    parser.add_argument("--out", type=Path, default=ROOT / "stages/text/caption_quality.ftz")
    parser.add_argument("--real", type=Path, help="CACHE_DIR of infra/fetch_real_data.py")
    options = parser.parse_args()
    cache = options.cache.resolve()
    cache.mkdir(parents=True, exist_ok=True)
    pictures = caption_texts.pictures(train_language_short.cldr(cache))
    lines = caption_texts.training(pictures, LINES)
    learned = cache / "caption_quality.txt"
    learned.write_text("\n".join(lines) + "\n", encoding="utf-8")
    interpreter = fasttext_venv.python(cache / "fasttext-venv")
    fasttext_venv.train(interpreter, learned, options.out.resolve(), TRAIN, QUANTIZE)
    print(f"{options.out}: {options.out.stat().st_size:,} bytes")

    by_language = caption_texts.held_out_captions(12_000)
    junk = caption_texts.demo_junk(4_000)
    everything = [text for _, text in by_language]
    report(options.out, "held-out classes, demo's junk", everything, junk)
    for language in sorted({language for language, _ in by_language}):
        mine = [text for code, text in by_language if code == language]
        report(options.out, f"  {language}", mine, junk)
    if options.real:
        titles = caption_texts.clipart_names(options.real)
        for language, captions in caption_texts.stamp_captions(options.real).items():
            report(options.out, f"stamps in {language}, names of cliparts", captions, titles)
    return 0


if __name__ == "__main__":
    sys.exit(main())
