"""One finished run of recipes/quickstart.yaml, shared by all tests that only look at one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from curate.backends.local import LocalBackend
from curate.demo import generate
from curate.meter import Meter
from curate.plan import make
from curate.recipe import load
from curate.run import Run
from curate.sources import discover

RECIPES = Path(__file__).parent.parent / "recipes"


class Finished(NamedTuple):
    pool: Path
    out: Path
    report: dict[str, Any]  # run.json

    @property
    def truth(self) -> Path:
        return self.pool / "truth.jsonl"

    def output(self, id: str) -> Path:
        return self.out / id

    def manifest(self, id: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.out / id / "manifest.json").read_text())
        return found


def run_file(recipe: Path, overrides: Sequence[str], out: Path) -> dict[str, Any]:
    """Run a recipe file as the command line does, in this process; returns run.json."""
    plan = make(load(recipe, tuple(overrides)))
    Run(plan, discover(plan, Path.cwd()), out, (), Meter(quiet=True)).execute(LocalBackend)
    report: dict[str, Any] = json.loads((out / "run.json").read_text())
    return report


@cache
def _quickstart(base: Path) -> Finished:
    pool, out = base / "quickstart-pool", base / "quickstart-run"
    generate(pool, pairs=400, documents=24, seed=0)
    paths = [f"raw.path={pool}/pairs/*.tar", f"pages.path={pool}/docs/**/*.html"]
    return Finished(pool, out, run_file(RECIPES / "quickstart.yaml", paths, out))


@pytest.fixture(scope="session")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A run on 400 pairs and 24 documents. Read it, do not change it."""
    return _quickstart(tmp_path_factory.getbasetemp())
