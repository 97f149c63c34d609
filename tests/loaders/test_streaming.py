"""MosaicML's StreamingDataset reads what `write_mds` writes, and its writer makes the same bytes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from streams import (
    Streams,
    assert_documents,
    assert_epochs,
    assert_originals,
    assert_pairs,
    made,
    samples_of,
)

from curate.export import mds
from curate.export.forms import Form

pytestmark = [pytest.mark.loaders, pytest.mark.timeout(900)]
SCRIPT = "loads_mds.py"


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> Streams:
    return made(tmp_path_factory.mktemp("mds"), "write_mds")


def test_pairs(streams: Streams, tmp_path: Path) -> None:
    read = streams.told(SCRIPT, "read", streams.output("pairs"), tmp_path / "pixels.npz")
    assert_pairs(streams, "pairs", read, tmp_path / "pixels.npz")


@pytest.mark.parametrize("below", ["", "jpeg", "webp/48"])
def test_folders_are_splits(streams: Streams, tmp_path: Path, below: str) -> None:
    read = streams.told(SCRIPT, "read", streams.output("folders"), tmp_path / "pixels.npz", below)
    assert_pairs(streams, "folders", read, tmp_path / "pixels.npz", below)


def test_documents(streams: Streams, tmp_path: Path) -> None:
    read = streams.told(SCRIPT, "read", streams.output("documents"), tmp_path / "pixels.npz")
    assert_documents(streams, read, tmp_path / "pixels.npz")


def test_originals(streams: Streams, tmp_path: Path) -> None:
    read = streams.told(SCRIPT, "read", streams.output("originals"), tmp_path / "pixels.npz")
    assert_originals(streams, read, tmp_path / "pixels.npz")


@pytest.mark.parametrize(("workers", "shuffle"), [(0, False), (2, False), (2, True)])
def test_workers_shuffle_resume(streams: Streams, workers: int, shuffle: bool) -> None:
    (told,) = streams.told(SCRIPT, "order", streams.output("pairs"), workers, int(shuffle), 3)
    assert_epochs(streams, told, shuffle)


@pytest.mark.parametrize("form", ["pairs", "documents"])
def test_the_packages_own_writer_makes_the_same_bytes(streams: Streams, tmp_path: Path, form: Form) -> None:
    columns = mds.columns(form, "jpg")
    ours = streams.output(form) / "00000.mds"
    request = {"columns": dict(columns), "samples": samples_of(ours, columns, tmp_path)}
    (tmp_path / "samples.json").write_text(json.dumps(request), encoding="utf-8")
    streams.told(SCRIPT, "write", tmp_path / "samples.json", tmp_path / "out")
    assert (tmp_path / "out" / "shard.00000.mds").read_bytes() == ours.read_bytes()
    (theirs,) = json.loads((tmp_path / "out" / "index.json").read_text())["shards"]
    first = json.loads((streams.output(form) / "index.json").read_text())["shards"][0]
    assert first == {**theirs, "raw_data": {**theirs["raw_data"], "basename": "00000.mds"}}
