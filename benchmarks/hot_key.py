"""All rows of one key: does an election ask for more memory where there are more of them?

A quota over two sizes of one source, each in a process of its own: the rows are sorted outside of memory and
decided about in pieces; the same at the smaller size as one piece. The last line is what the larger size
takes over the smaller.

    python benchmarks/hot_key.py [--small]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from curate import exchange, members
from curate.steps import GroupStep
from stages.group.quota import Quota

_FILE = 250_000  # rows of a file, as many parts are merged into one


def write_keys(folder: Path, stage: Quota, rows: int) -> None:
    """What the engine sends of each row."""
    for start in range(0, rows, _FILE):
        n = min(_FILE, rows - start)
        ids = [hashlib.blake2b(str(start + i).encode(), digest_size=16).hexdigest() for i in range(n)]
        table = pa.table(
            {
                **{"sample_id": ids, "dataset": ["crawl"] * n, "shape": ["pair"] * n, "key": ["all"] * n},
                "source": [f"{start:09d}.parquet#{i}" for i in range(n)],
                **{name: np.arange(n) for name in ("index", "slot")},
                "unit": np.ones(n, dtype=np.int64),
                "known": np.zeros(n, dtype=np.int8),
                "part": np.full(n, start),
            }
        )
        lots = stage.lots(table)
        table = table.append_column("lot", lots)
        exchange.write(folder, f"{start:09d}", table, np.zeros(n, dtype=np.int64), 1)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def _child(rows: int, piece: int) -> None:
    members.PIECE = piece
    stage = Quota(share=0.5)
    step = GroupStep("quota", stage, "", "sample", tuple(sorted(stage.reads())), "")
    with tempfile.TemporaryDirectory(prefix="curate-hot-") as folder:
        write_keys(Path(folder) / "keys", stage, rows)
        before, began, kept = _peak(), time.process_time(), 0
        for table in members.pieces(step, exchange.files(Path(folder) / "keys"), 0, Path(folder) / "spill"):
            drop = stage.elect(table).drop
            assert drop is not None
            kept += drop.null_count
        seconds = time.process_time() - began
    assert kept == -(-rows // 2)
    print(json.dumps({"before": before, "peak": _peak(), "us": 1e6 * seconds / rows}))


def measure(rows: int, piece: int) -> dict[str, float]:
    """One size, in a process of its own."""
    command = [sys.executable, __file__, "--child", str(rows), str(piece)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--small", action="store_true", help="a quarter of the rows")
    parser.add_argument("--child", nargs=2, type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        _child(*given.child)
        return
    few, many = (500_000, 2_000_000) if given.small else (2_000_000, 8_000_000)
    peaks = {}
    for rows, piece in ((few, members.PIECE), (many, members.PIECE), (few, 1 << 62)):
        found = measure(rows, piece)
        peaks[rows, piece] = found["peak"]
        how = "in pieces" if piece == members.PIECE else "as one"
        told = f"{found['peak']:.2f} GB peak ({found['before']:.2f} before), {found['us']:.2f} us a row"
        print(f"{rows:,} rows of one key, {how}: {told}")
    ratio = peaks[many, members.PIECE] / peaks[few, members.PIECE]
    print(f"memory, {many:,} rows over {few:,}: {ratio:.2f}")


if __name__ == "__main__":
    main()
