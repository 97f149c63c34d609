"""Near-duplicate texts: documents a second and what is found, beside other programs.

50,000 documents of 200 random words: 2,500 are a copy of another with some words changed (Jaccard index of
their word 5-grams, computed exactly: 0.75 to 0.99), 500 one with many changed (0.3 to 0.62), which are no
duplicates. Each program has a process of its own, one after the other. `recall` is the share of copies of
which one of the two is removed, `hard` the number of the 500 so removed, `lost` that of all other documents.
`engine` is the same in a run of a recipe: what the run takes longer than one without the stage.

rensa and datasketch are compared where they can be imported (datasketch in its bulk mode); datatrove and
Data-Juicer where a Python is named that has them. Then the time of a row, with more and more short texts.
Last line: our documents a second of CPU time over those of rensa.

    python benchmarks/dedup.py [--small] [--datatrove PYTHON] [--data-juicer PYTHON]
"""

from __future__ import annotations

import argparse
import io
import json
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.compute as pc
import pyarrow.parquet as pq
from _dedup_peers import THRESHOLD, N, peak, spent
from PIL import Image

from curate.backends.local import LocalBackend
from curate.io.tar_write import Member, TarWriter
from curate.meter import Meter
from curate.plan import make
from curate.recipe import parse
from curate.run import Run
from curate.sources import discover

WORDS, VOCABULARY = 200, 20_000
PEERS = Path(__file__).with_name("_dedup_peers.py")


class Planted(NamedTuple):
    """Document `row` was made from document `of`."""

    row: int
    of: int
    jaccard: float


def grams(words: Sequence[str]) -> set[tuple[str, ...]]:
    return {tuple(words[i : i + N]) for i in range(len(words) - N + 1)}


def changed(words: list[str], jaccard: float, vocabulary: list[str], rng: random.Random) -> list[str]:
    """Words replaced, in runs of one to four, until the n-grams are about so much alike."""
    found, before = list(words), grams(words)
    while True:
        start = rng.randrange(len(found))
        for place in range(start, min(len(found), start + rng.randint(1, 4))):
            found[place] = rng.choice(vocabulary)
        after = grams(found)
        if len(before & after) / len(before | after) <= jaccard + 0.01:
            return found


def documents(count: int, seed: int = 0) -> tuple[list[str], list[Planted]]:
    """One in twenty a near duplicate, one in a hundred a hard negative, in any order."""
    rng = random.Random(seed)
    letters = "abcdefghijklmnoprstuvwyz"
    vocabulary = ["".join(rng.choices(letters, k=rng.randint(3, 10))) for _ in range(VOCABULARY)]
    near, hard = count // 20, count // 100
    originals = count - near - hard
    made = [rng.choices(vocabulary, k=WORDS) for _ in range(originals)]
    planted = []
    for number, of in enumerate(rng.sample(range(originals), near + hard)):
        wanted = rng.uniform(0.75, 0.99) if number < near else rng.uniform(0.3, 0.62)
        made.append(changed(made[of], wanted, vocabulary, rng))
        a, b = grams(made[of]), grams(made[-1])
        planted.append(Planted(len(made) - 1, of, len(a & b) / len(a | b)))
    place = list(range(count))
    rng.shuffle(place)
    texts = [""] * count
    for row, words in enumerate(made):
        texts[place[row]] = " ".join(words)
    return texts, [Planted(place[p.row], place[p.of], p.jaccard) for p in planted]


def measured(name: str, python: str, path: Path, folder: Path) -> dict[str, Any] | None:
    """What the program says of itself; None where it failed."""
    own = folder / f"{name}-{path.stem}"
    own.mkdir()
    command = [python, str(PEERS), name, str(path), str(own)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=own)
    if done.returncode:
        print(f"{name:<12} failed: {done.stderr.strip().splitlines()[-1:]}")
        return None
    found: dict[str, Any] = json.loads((own / "result.json").read_text())
    return found


def report(name: str, found: Mapping[str, Any], count: int, planted: list[Planted]) -> None:
    removed = set(found["removed"])
    near = [p for p in planted if p.jaccard >= THRESHOLD]
    low = [p for p in near if 0.75 <= p.jaccard < 0.85]
    broken = {p for p in planted if {p.row, p.of} & removed}
    others = removed - {r for p in planted for r in (p.row, p.of)}
    shares = [len(broken & set(some)) / max(1, len(some)) for some in (near, low)]
    cpu = f"{count / found['cpu']:>7,.0f}" if found["cpu"] else f"{'?':>7}"
    print(
        f"{name:<12} {count / found['seconds']:>8,.0f} documents/s, {cpu} of CPU "
        f"{found['peak']:>6,.0f} MB  recall {shares[0]:.4f}, at 0.75 to 0.85 {shares[1]:.4f}  "
        f"hard {len(broken - set(near))}, lost {len(others)}",
        flush=True,
    )


def engine(texts: list[str], folder: Path) -> dict[str, Any]:
    """What `measured` tells, of a run that decides less one that does not."""
    image = io.BytesIO()
    Image.new("RGB", (8, 8)).save(image, "png")
    with TarWriter(folder / "texts.tar") as tar:
        for i, text in enumerate(texts):
            tar.add(Member(f"{i:09d}.png", image.getvalue()))
            tar.add(Member(f"{i:09d}.txt", text.encode()))
    near: dict[str, Any] = {"id": "near", "stage": "near_text", "n": N, "threshold": THRESHOLD}
    took: list[Any] = []
    removed: set[int] = set()
    for nodes in ([near], []):
        raw = {"id": "raw", "stage": "read_webdataset", "path": str(folder / "texts.tar")}
        nodes = [raw, *nodes, {"id": "out", "stage": "write_webdataset"}]
        plan = make(parse(json.dumps({"name": "dedup", "nodes": nodes}), (), ()))
        out = folder / f"run{len(took)}"
        start = spent()
        Run(plan, discover(plan, folder), out, (), Meter(quiet=True)).execute(LocalBackend)
        took.append(spent() - start)
        dead = pq.read_table(out / "ledger").filter(pc.field("level") == "sample")["source"].to_pylist()
        removed |= {int(re.findall(r"#(\d+)@", source)[0]) for source in dead}
    seconds, cpu = took[0] - took[1]
    return {"seconds": seconds, "cpu": cpu, "removed": removed, "peak": peak()}


def short(count: int) -> list[str]:
    """Captions of 12 words, one in twenty with a word changed in a copy of another."""
    rng = random.Random(1)
    vocabulary = [f"{i:x}" for i in range(VOCABULARY)]
    texts = [" ".join(rng.choices(vocabulary, k=12)) for _ in range(count * 19 // 20)]
    return texts + [f"{rng.choice(texts)} more" for _ in range(count - len(texts))]


def lines(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"id": str(i), "text": t}) + "\n" for i, t in enumerate(texts)))
    return path


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    arguments.add_argument("--small", action="store_true", help="5,000 documents, up to 100,000 short texts")
    arguments.add_argument("--datatrove", metavar="PYTHON", help="of an environment with datatrove")
    arguments.add_argument("--data-juicer", metavar="PYTHON", help="of an environment with py-data-juicer")
    options = arguments.parse_args()
    count = 5_000 if options.small else 50_000
    here = {name: sys.executable if find_spec(name) else None for name in ("rensa", "datasketch")}
    others = {"datatrove": options.datatrove, "data_juicer": options.data_juicer}
    rates = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts, planted = documents(count)
        path = lines(folder / "documents.jsonl", texts)
        for peer, python in {"ours": sys.executable, **here, **others}.items():
            if python is None:
                print(f"{peer:<12} is not installed")
                continue
            found = measured(peer, python, path, folder)
            if found is not None:
                rates[peer] = count / (found["cpu"] or found["seconds"])
                report(peer, found, count, planted)
        report("engine", engine(texts, folder), count, planted)
        for rows in (25_000, 100_000) if options.small else (100_000, 300_000, 1_000_000):
            found = measured("ours", sys.executable, lines(folder / f"{rows}.jsonl", short(rows)), folder)
            if found is not None:
                each = found["cpu"] / rows * 1e6
                print(f"{rows:>9,} short texts: {each:.1f} us of CPU a text, {found['peak']:,.0f} MB")
    for peer in ("datasketch", "rensa"):
        print(f"ours / {peer}: {rates['ours'] / rates[peer]:.2f}" if peer in rates else f"ours / {peer}: -")


if __name__ == "__main__":
    main()
