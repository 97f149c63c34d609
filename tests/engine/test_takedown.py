"""What is taken out later leaves a hole: the shards that do not hold it stay as they are."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pools
import pytest


def recipe(path: str, listed: Path, write: str = "write_webdataset") -> pools.Recipe:
    return {
        "name": "takedown",
        "nodes": [
            {"id": "raw", "stage": "read_webdataset", "path": path, "part_rows": 7},
            {"id": "takedown", "stage": "drop_ids", "lists": [str(listed)]},
            {"id": "out", "stage": write, "shard_size": 10},
        ],
    }


def listing(folder: Path, ids: Iterable[str]) -> Path:
    path = folder / "takedown.csv"
    path.write_text("\n".join(["id", *ids]) + "\n")
    return path


def files(run: Path) -> dict[str, tuple[bytes, int]]:
    """Name -> bytes and inode of the shards."""
    found = sorted((run / "out").glob("*.tar"))
    return {p.name: (p.read_bytes(), p.stat().st_ino) for p in found}


@pytest.fixture
def before(tmp_path: Path) -> tuple[str, Path, list[str]]:
    """A finished run of 45 samples: their source, the run, and the ids in their order."""
    path = pools.write_tars(tmp_path / "in", pools.pairs(45), 3)
    listed = listing(tmp_path, ["0" * 32])
    pools.prove(pools.run(recipe(path, listed), tmp_path / "run"))
    return path, tmp_path / "run", pools.index(tmp_path / "run", "out")["sample_id"].to_pylist()


def test_only_the_shards_that_hold_them_are_rewritten(
    before: tuple[str, Path, list[str]], tmp_path: Path
) -> None:
    path, run, ids = before
    old = files(run)
    assert len(old) == 5
    gone = [ids[3], ids[7], ids[31]]
    report = pools.run(recipe(path, listing(tmp_path, gone)), run)
    pools.prove(report)
    assert pools.index(run, "out")["sample_id"].to_pylist() == [i for i in ids if i not in gone]
    new = files(run)
    assert [name for name in old if new[name] != old[name]] == ["00000.tar", "00003.tar"]
    manifest = json.loads((run / "out" / "manifest.json").read_text())
    assert manifest["taken_out"] == {"00000": 2, "00003": 1}
    assert {i for i, reason in pools.dead(run).items() if reason == "takedown:takedown"} == set(gone)
    # the same as if the list had been there from the beginning
    pools.run(recipe(path, listing(tmp_path, gone)), tmp_path / "fresh")
    assert pools.output_bytes(run) == pools.output_bytes(tmp_path / "fresh")


def test_a_shard_that_loses_all_stays_empty(before: tuple[str, Path, list[str]], tmp_path: Path) -> None:
    path, run, ids = before
    pools.prove(pools.run(recipe(path, listing(tmp_path, ids[10:20])), run))
    assert pools.index(run, "out")["sample_id"].to_pylist() == ids[:10] + ids[20:]
    assert len(files(run)) == 5


def test_what_was_changed_by_hand_is_written_anew(
    before: tuple[str, Path, list[str]], tmp_path: Path
) -> None:
    path, run, ids = before
    old = pools.output_bytes(run)
    (run / "out" / "00002.tar").write_bytes(b"spoilt")
    pools.run(recipe(path, listing(tmp_path, [ids[0]])), run)
    pools.run(recipe(path, listing(tmp_path, [ids[0]])), tmp_path / "fresh")
    assert pools.output_bytes(run) == pools.output_bytes(tmp_path / "fresh") != old


@pytest.mark.parametrize("write", ["write_llava", "write_parquet"])
def test_other_formats_keep_their_places_too(tmp_path: Path, write: str) -> None:
    path = pools.write_tars(tmp_path / "in", pools.pairs(45), 3)
    pools.run(recipe(path, listing(tmp_path, ["0" * 32]), write), tmp_path / "run")
    out = tmp_path / "run" / "out"
    old = {p.name: p.read_bytes() for p in out.glob("0*.parquet")}
    ids = pools.index(tmp_path / "run", "out")["sample_id"].to_pylist()
    pools.prove(pools.run(recipe(path, listing(tmp_path, [ids[12]]), write), tmp_path / "run"))
    new = {p.name: p.read_bytes() for p in out.glob("0*.parquet")}
    assert [name for name in old if new[name] != old[name]] == ["00001.parquet"]
