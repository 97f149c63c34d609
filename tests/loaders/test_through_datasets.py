"""`datasets` reads our pairs as their card describes them: at once, as a stream, on workers, resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from venvs import TOGETHER, environment, told_by
from written import COUNT, Written, pixels, written

__all__ = ["written"]

pytestmark = [pytest.mark.loaders, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def bin() -> Path:
    return environment(*TOGETHER)


def told(bin: Path, *arguments: object) -> list[dict[str, Any]]:
    return told_by(bin, "loads_datasets.py", *arguments)


@pytest.mark.parametrize("streaming", [0, 1])
def test_pairs(bin: Path, written: Written, tmp_path: Path, streaming: int) -> None:
    expected = written.samples("pairs")
    found = told(bin, "read", written.out / "pairs", tmp_path, streaming)
    assert len(found) == len(expected) == COUNT
    for row, e in zip(found, expected, strict=True):
        assert row == {
            "__key__": e.key,
            "jpg": {"pixels": pixels(e.parts["jpg"])},
            "json": e.body,
            "txt": e.text,
        }


@pytest.mark.parametrize("split", ["train", "validation"])
def test_folders_are_splits(bin: Path, written: Written, tmp_path: Path, split: str) -> None:
    expected = written.samples(f"folders/{split}")
    found = told(bin, "read", written.out / "folders", tmp_path, 1, split)
    assert 0 < len(expected) < COUNT
    assert {row["__key__"]: row["jpg"]["pixels"] for row in found} == {
        e.key: pixels(e.parts["jpg"]) for e in expected
    }


@pytest.mark.parametrize("shuffle", [0, 1])
def test_a_stream_goes_on_from_a_saved_state(
    bin: Path, written: Written, tmp_path: Path, shuffle: int
) -> None:
    keys = [e.key for e in written.samples("pairs")]
    (found,) = told(bin, "state", written.out / "pairs", tmp_path, shuffle, 37)
    assert (found["before"] == keys[:37]) is not bool(shuffle)
    assert sorted(found["before"] + found["after"]) == sorted(keys)
    if shuffle:  # it starts the buffer anew and says so: nothing comes twice, some may not come again
        assert not set(found["restored"]) & set(found["before"])
    else:
        assert found["restored"] == found["after"]


def test_workers_read_shards_of_their_own(bin: Path, written: Written, tmp_path: Path) -> None:
    (found,) = told(bin, "workers", written.out / "pairs", tmp_path, 2)
    assert found["shards"] == len(written.shards("pairs"))
    assert sorted(found["keys"]) == sorted(e.key for e in written.samples("pairs"))
