"""Exact and near-duplicate texts through the whole engine at two sizes: does a row cost more where there are
more of them?

Captions of 5 to 25 words in Parquet, 2 % copied, 2 % with a word or two changed; images are URLs that nobody
fetches. Read, exact by URL, exact by text, near_text, and a quota over all rows, which is one key; one
process without Ray, CPU seconds of each kind of task for a million rows. The last line is the cost of a row
at the larger size over the smaller.

    python benchmarks/scale.py [--small]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from _metered import Metered

from curate.meter import Meter
from curate.plan import make
from curate.recipe import parse
from curate.run import Run
from curate.sources import discover

RECIPE = """
name: scale
nodes:
  - {{id: raw, stage: read_parquet, path: '{pool}/*.parquet',
     image: url, text: caption, key: key, remote: keep}}
  - {{id: by_url, stage: exact, key: image_url, normalise: url, name: url}}
  - {{id: by_text, stage: exact, key: text_body, normalise: text, name: exact}}
  - {{id: near, stage: near_text}}
  - {{id: budget, stage: quota, share: 0.9}}
"""
_FILE = 50_000  # rows of a file


def write_pool(folder: Path, rows: int) -> None:
    """Captions of words with the frequencies of a language."""
    chance = np.random.default_rng(7)
    words = np.array([f"w{n:x}" for n in range(50_000)])
    weights = 1 / np.arange(2, len(words) + 2)
    weights /= weights.sum()
    for number, start in enumerate(range(0, rows, _FILE)):
        n = min(_FILE, rows - start)
        sizes = chance.integers(5, 26, n)
        drawn = words[chance.choice(len(words), sizes.sum(), p=weights)].tolist()
        ends = np.cumsum(sizes)
        said = [drawn[end - size : end] for end, size in zip(ends, sizes, strict=True)]
        for copy in chance.choice(n, n // 50, replace=False):
            said[copy] = list(said[chance.integers(n)])
        for changed in chance.choice(n, n // 50, replace=False):
            said[changed] = [*said[chance.integers(n)], f"x{chance.integers(99)}"]
        keys = [f"{start + i:09d}" for i in range(n)]
        urls = [f"https://pictures.example/{key}.jpg" for key in keys]
        table = pa.table({"key": keys, "url": urls, "caption": [" ".join(s) for s in said]})
        pq.write_table(table, folder / f"{number:04d}.parquet")


def _child(rows: str) -> None:
    with tempfile.TemporaryDirectory(prefix="curate-scale-") as folder:
        write_pool(Path(folder), int(rows))
        plan = make(parse(RECIPE.format(pool=folder)))
        backend = Metered()
        began = time.perf_counter()
        run = Run(plan, discover(plan, Path.cwd()), Path(folder) / "run", (), Meter(quiet=True))
        report = run.execute(lambda: backend)
        facts = {
            "seconds": time.perf_counter() - began,
            "cpu": {f"{task} {node}": seconds for (task, node), seconds in backend.cpu.items()},
            "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
            "dropped": {n["id"]: n["dropped"] for n in report["nodes"] if n["dropped"]},
            "disk": {
                f"{place.parent.name} {place.name}": sum(
                    f.stat().st_size for f in place.rglob("*") if f.is_file()
                )
                for place in sorted((Path(folder) / "run").glob("state/*/*"))
                + sorted((Path(folder) / "run").glob("index/*"))
                if place.is_dir()
            },
        }
    print(json.dumps(facts))


def measure(rows: int) -> dict[str, Any]:
    """One size, in a process of its own."""
    command = [sys.executable, __file__, "--child", str(rows)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--small", action="store_true", help="20,000 and 100,000 rows, not 100,000 and 1 M")
    parser.add_argument("--child", metavar="ROWS", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        _child(given.child)
        return
    sizes = (20_000, 100_000) if given.small else (100_000, 1_000_000)
    found = {rows: measure(rows) for rows in sizes}
    few, many = sizes
    for rows, facts in found.items():
        print(f"{rows:,} rows: {facts['seconds']:.1f} s, {facts['memory']:.2f} GB peak, {facts['dropped']}")
    names = sorted(found[many]["cpu"], key=lambda name: -found[many]["cpu"][name])
    print(f"{'CPU microseconds a row':40} {few:>10,} {many:>10,}")
    for name in names[:16]:
        told = [1e6 * found[rows]["cpu"].get(name, 0) / rows for rows in sizes]
        print(f"{name:40} {told[0]:10.1f} {told[1]:10.1f}")
    for name in found[many]["disk"]:
        told = [found[rows]["disk"].get(name, 0) / rows for rows in sizes]
        print(f"{'bytes a row: ' + name:40} {told[0]:10.1f} {told[1]:10.1f}")
    cost = [1e6 * sum(found[rows]["cpu"].values()) / rows for rows in sizes]
    print(f"{'all':40} {cost[0]:10.1f} {cost[1]:10.1f}")
    print(f"cost of a row, {many:,} rows over {few:,}: {cost[1] / cost[0]:.2f}")


if __name__ == "__main__":
    main()
