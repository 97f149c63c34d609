"""litdata's StreamingDataset reads what `write_litdata` writes, and its writer makes the same bytes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from streams import (
    SHARD,
    Streams,
    assert_documents,
    assert_epochs,
    assert_originals,
    assert_pairs,
    made,
    samples_of,
)

from curate.export import litdata
from curate.export.forms import Form

pytestmark = [pytest.mark.loaders, pytest.mark.timeout(900)]
SCRIPT = "loads_litdata.py"


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> Streams:
    return made(tmp_path_factory.mktemp("litdata"), "write_litdata")


def test_pairs(streams: Streams, tmp_path: Path) -> None:
    read = streams.told(SCRIPT, "read", streams.output("pairs"), tmp_path / "pixels.npz")
    assert_pairs(streams, "pairs", read, tmp_path / "pixels.npz")


@pytest.mark.parametrize("below", ["", "jpeg", "webp/48"])
def test_each_folder_can_be_read_alone(streams: Streams, tmp_path: Path, below: str) -> None:
    read = streams.told(SCRIPT, "read", streams.output("folders") / below, tmp_path / "pixels.npz")
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
    columns = litdata.columns(form, "jpg")
    ours = streams.output(form) / "00000.bin"
    samples = samples_of(ours, columns, tmp_path)
    request = {"columns": dict(columns), "samples": samples, "chunk_size": SHARD}
    (tmp_path / "samples.json").write_text(json.dumps(request), encoding="utf-8")
    streams.told(SCRIPT, "write", tmp_path / "samples.json", tmp_path / "out")
    assert (tmp_path / "out" / "chunk-0-0.bin").read_bytes() == ours.read_bytes()
    theirs = json.loads((tmp_path / "out" / "index.json").read_text())
    index = json.loads((streams.output(form) / "index.json").read_text())
    assert index["config"] == theirs["config"]
    assert index["chunks"][0] == {**theirs["chunks"][0], "filename": "00000.bin"}
    assert set(index) == set(theirs)
