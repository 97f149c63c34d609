"""An encoder's process is killed while it answers: the run ends with the bytes of one that was left alone."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pools
import psutil

from curate.backends.ray import RayBackend

COUNT = 240


def encoders() -> set[int]:
    """Processes that hold a model, below this one; a Ray worker's title names what it runs."""
    found = set()
    for process in psutil.Process().children(recursive=True):
        try:
            title = process.cmdline()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if title and title[0].startswith("ray::_Server"):
            found.add(process.pid)
    return found


class Killer(threading.Thread):
    """Kills an encoder as soon as the first part is committed, and remembers all it has seen."""

    def __init__(self, parts: Path) -> None:
        super().__init__(daemon=True)
        self.parts = parts
        self.seen: set[int] = set()
        self.killed = 0
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.02):
            now = encoders()
            self.seen |= now
            if now and not self.killed and list(self.parts.rglob("*.json")):
                self.killed = min(now)
                os.kill(self.killed, signal.SIGKILL)


def test_the_bytes_are_the_same(tmp_path: Path) -> None:
    path = pools.write_tars(tmp_path / "in", pools.pairs(COUNT), 2)
    nodes = [
        {"stage": "read_webdataset", "id": "raw", "path": path, "part_rows": 8},
        {"stage": "clip", "needs": {"actors": 1}},
        {"stage": "write_webdataset", "id": "out", "shard_size": 100},
    ]
    recipe = {"name": "killed", "nodes": nodes}
    alone = tmp_path / "alone"
    pools.run(recipe, alone)
    out = tmp_path / "run"
    killer = Killer(out / "state" / "parts")
    killer.start()
    report = pools.run(recipe, out, start=RayBackend)
    killer.over.set()
    killer.join()
    assert killer.killed, "the run was over before an encoder could be killed"
    assert len(killer.seen) == 2, "one took the place of the one that was killed"
    pools.prove(report)
    assert report["outputs"][0]["samples"]["written"] == COUNT
    assert pools.computed(report)["clip"] == 2 * COUNT
    assert pools.output_bytes(out) == pools.output_bytes(alone)
