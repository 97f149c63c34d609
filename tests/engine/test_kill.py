"""A run that is killed and goes on ends with the bytes of a run that was never killed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pools
import pytest
import yaml

from curate import output
from curate.commit import RunFolder

SCRIPT = str(Path(__file__).with_name("kill_me.py"))


class Killed(BaseException):
    """Stands for SIGKILL at an exact place."""


@pytest.fixture
def recipe(tmp_path: Path) -> dict[str, Any]:
    """Many small parts, so that there is much to interrupt; Groups, a quantile, an Expand."""
    tars = pools.write_tars(tmp_path / "in", pools.pairs(48), 2)
    chain = pools.chain(tars, part_rows=5, shard_size=9)
    more = [
        {
            "id": "pages",
            "stage": "read_html",
            "path": pools.write_pages(tmp_path / "pages", 6),
            "part_rows": 3,
        },
        {"id": "phash", "stage": "sha256"},
        {"id": "furniture", "stage": "exact", "key": "image_sha256", "max_documents": 2},
        {"id": "docs", "stage": "write_webdataset", "form": "documents", "shard_size": 2},
        {"id": "born", "stage": "halves", "from": "furniture"},
        {"id": "sft", "stage": "write_llava", "shard_size": 5},
    ]
    *nodes, last = chain["nodes"]
    bound = {"id": "long", "stage": "keep", "bounds": {"text_letters": {"min_quantile": 0.2}}}
    return {**chain, "nodes": [*nodes, bound, last, *more]}


@pytest.fixture
def expected(recipe: dict[str, Any], tmp_path: Path) -> tuple[dict[str, str], dict[str, Any], list[Any]]:
    report = pools.run(recipe, tmp_path / "whole")
    return pools.output_bytes(tmp_path / "whole"), report, ledger_of(tmp_path / "whole")


@pytest.fixture
def short_chain(tmp_path: Path) -> pools.Recipe:
    return pools.chain(pools.write_tars(tmp_path / "in", pools.pairs(24), 2), shard_size=9)


def ledger_of(out: Path) -> list[Any]:
    return sorted(map(repr, pools.ledger(out)))


def assert_like(out: Path, expected: tuple[dict[str, str], dict[str, Any], list[Any]]) -> None:
    files, report, rows = expected
    assert pools.output_bytes(out) == files  # every file there is: no stray one either
    told = json.loads((out / "run.json").read_text())
    assert told["status"] == "done"
    for key in ("outputs", "samples", "images"):
        assert told[key] == report[key]
    assert ledger_of(out) == rows
    assert not [p for p in (out / "ledger").iterdir() if p.suffix != ".parquet"]


@pytest.mark.slow
def test_ten_kills_at_random_moments(recipe: dict[str, Any], expected: Any, tmp_path: Path) -> None:
    """Each time the run gets a random share of the work that is left done before SIGKILL."""
    chance, out = random.Random(7), tmp_path / "run"
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(recipe))
    kills = 0
    for _ in range(10):
        child = subprocess.Popen([sys.executable, SCRIPT, str(file), str(out)], start_new_session=True)
        _wait_for_progress(child, out, chance.randint(2, 16))
        time.sleep(chance.random() * 0.02)
        kills += child.poll() is None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    assert kills >= 7  # it was not over before the kills were
    subprocess.run([sys.executable, SCRIPT, str(file), str(out)], check=True)
    assert_like(out, expected)


@pytest.mark.slow
def test_two_kills_on_ray(recipe: dict[str, Any], expected: Any, tmp_path: Path, short: Path) -> None:
    out, file = tmp_path / "run", tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(recipe))
    for attempt, steps in enumerate((3, 6)):
        folder = short / str(attempt)
        child = subprocess.Popen(
            [sys.executable, SCRIPT, str(file), str(out), str(folder)],
            start_new_session=True,
            stderr=subprocess.DEVNULL,
        )
        _wait_for_progress(child, out, steps)
        assert child.poll() is None
        child.kill()  # the driver alone: its workers find out by themselves
        child.wait()
    pools.run(recipe, out)
    assert_like(out, expected)


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short name, as Ray's sockets need it."""
    folder = Path(tempfile.mkdtemp(prefix="ck", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def _wait_for_progress(child: subprocess.Popen[bytes], out: Path, steps: int) -> None:
    """Until the run has committed so many things more."""
    start = _commits(out)
    deadline = time.monotonic() + 60
    while child.poll() is None and _commits(out) < start + steps:
        assert time.monotonic() < deadline, "no progress"
        time.sleep(0.005)


def _commits(out: Path) -> int:
    # os.walk, unlike rglob, does not mind folders that go away meanwhile
    return sum(name.endswith(".json") for _, _, names in os.walk(out / "state") for name in names)


@pytest.mark.parametrize("place", ["before", "between", "after"])
def test_a_kill_while_an_output_is_swapped_in(
    short_chain: pools.Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Before the old output goes, between the two renames, and before the note that it is there."""
    out = tmp_path / "run"
    pools.run(short_chain, out)
    first = pools.output_bytes(out)
    changed = pools.with_node(short_chain, "size", bounds={"image_width": {"min": 60}})
    with monkeypatch.context() as patch:
        _kill_at(patch, place)
        with pytest.raises(Killed):
            pools.run(changed, out)
    # the old one is whole, or the new one, or for a moment none: never something in between
    found = sorted(p.name for p in (out / "out").glob("*")) if (out / "out").exists() else []
    assert found == [] if place == "between" else "manifest.json" in found
    # going back must not take the new output for the old one
    pools.run(short_chain, out)
    assert pools.output_bytes(out) == first
    pools.run(changed, out)
    pools.run(changed, tmp_path / "fresh")
    assert pools.output_bytes(out) == pools.output_bytes(tmp_path / "fresh")


def _kill_at(patch: pytest.MonkeyPatch, place: str) -> None:
    real = Path.rename

    def rename(self: Path, target: Any) -> Path:
        if place == "before" or (place == "between" and self.name == "building"):
            raise Killed
        done = real(self, target)
        if place == "after" and self.name == "building":
            raise Killed
        return done

    patch.setattr(Path, "rename", rename)


@pytest.mark.parametrize("after", ["first", "second"])
@pytest.mark.parametrize("victim", ["commit_part", "ledger"])
def test_a_kill_between_manifest_and_ledger(
    short_chain: pools.Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, victim: str, after: str
) -> None:
    """Whichever recipe runs next: a ledger part of the other must not pass for its own."""
    out = tmp_path / "run"
    pools.run(short_chain, out)
    changed = pools.with_node(short_chain, "size", bounds={"image_width": {"min": 60}})
    with monkeypatch.context() as patch:
        if victim == "commit_part":
            patch.setattr(RunFolder, "commit_part", _killed)
        else:
            patch.setattr("curate.segment.write_parquet", _killed)
        with pytest.raises(Killed):
            pools.run(changed, out)
    following = short_chain if after == "first" else changed
    pools.run(following, out)
    pools.run(following, tmp_path / "fresh")
    assert ledger_of(out) == ledger_of(tmp_path / "fresh")


def _killed(*_: Any, **__: Any) -> None:
    raise Killed


def test_what_a_killed_attempt_left_is_not_published(
    recipe: dict[str, Any], expected: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shards of an attempt with smaller shards lie there; the attempt that ends has fewer."""
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(output, "publish", _killed)
        with pytest.raises(Killed):
            pools.run(pools.with_node(recipe, "out", shard_size=3), out)
    assert len(list((out / "state" / "writes" / "out" / "building").glob("*.tar"))) > 4
    pools.run(recipe, out)
    assert_like(out, expected)
