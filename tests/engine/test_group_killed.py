"""A Group that is killed before any of its files appears goes on to the same end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pools
import pytest

from curate import election, exchange, group, links


class Killed(BaseException):
    """Stands for SIGKILL at an exact place."""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pools.Recipe:
    """Few rows, cut into many tasks of every kind."""
    for module, name, value in (
        (election, "_BUCKET_BYTES", 600),
        (links, "_PAIRS", 2),
        (group, "PIECE", 8),
        (exchange, "FAN", 2),
    ):
        monkeypatch.setattr(module, name, value)
    said = [f"{i % 9:02d} @w{i % 4} text {'y' * (i % 5)}" for i in range(24)]
    rows = [pools.Pair(f"k{i:04d}", pools.picture(i % 4), text) for i, text in enumerate(said)]
    path = pools.write_tars(tmp_path / "in", rows, 2)
    return {
        "name": "linked",
        "nodes": [
            {"id": "raw", "stage": "read_webdataset", "path": path, "part_rows": 5},
            {"id": "words", "stage": "letters"},
            {"id": "kin", "stage": "linked", "reach": 2},
            {"id": "out", "stage": "write_webdataset", "shard_size": 5},
        ],
    }


def _kill_before(patch: pytest.MonkeyPatch, number: int) -> list[str]:
    """Die before file `number` of a Group or index appears. Returns the names of those that did."""
    real, appeared = Path.replace, list[str]()

    def replace(self: Path, target: Any) -> Path:
        name = str(target)
        if "/groups/" in name or "/index/" in name:
            if len(appeared) == number:
                raise Killed
            appeared.append(name)
        return real(self, target)

    patch.setattr(Path, "replace", replace)
    return appeared


def test_wherever_it_is_killed_it_ends_the_same(recipe: pools.Recipe, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        files = _kill_before(patch, 10_000)
        report = pools.run(recipe, tmp_path / "whole")
    assert report["outputs"][0]["samples"]["dropped"] > 4
    kinds = ("items/", "keys/", "keys/merged/", "pairs/", "edges/", "members/", "decisions/", "decided/")
    assert all(any(kind in name for name in files) for kind in (*kinds, "index/"))
    expected = pools.output_bytes(tmp_path / "whole")
    index = {p.name: p.read_bytes() for p in (tmp_path / "whole" / "index" / "kin").iterdir()}
    for number in range(0, len(files), max(1, len(files) // 25)):
        out = tmp_path / f"run{number}"
        with pytest.MonkeyPatch.context() as patch:
            _kill_before(patch, number)
            with pytest.raises(Killed):
                pools.run(recipe, out)
        again = pools.run(recipe, out)
        assert pools.output_bytes(out) == expected
        assert {p.name: p.read_bytes() for p in (out / "index" / "kin").iterdir()} == index
        assert again["outputs"] == report["outputs"]
