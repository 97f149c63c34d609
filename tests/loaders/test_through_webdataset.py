"""`webdataset` reads our tars: workers, shuffling, epochs and where they go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from venvs import TOGETHER, environment, told_by
from written import COUNT, PAGES, Written, pixels, written

__all__ = ["written"]

pytestmark = [pytest.mark.loaders, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def bin() -> Path:
    return environment(*TOGETHER)


def told(bin: Path, *arguments: object) -> list[dict[str, Any]]:
    return told_by(bin, "loads_webdataset.py", *arguments)


@pytest.mark.parametrize("workers", [0, 3])
def test_pairs(bin: Path, written: Written, workers: int) -> None:
    expected = written.samples("pairs")
    found = told(bin, "read", workers, *written.shards("pairs"))
    if workers:  # each reads shards of its own
        found.sort(key=lambda s: [e.key for e in expected].index(s["key"]))
    assert [s["key"] for s in found] == [e.key for e in expected]
    assert len(found) == COUNT
    for sample, e in zip(found, expected, strict=True):
        assert sample["parts"] == {"jpg": pixels(e.parts["jpg"]), "json": e.body, "txt": e.text}
        source = written.sources[e.text]
        if e.body["image_stored"] == "original":
            assert sample["parts"]["jpg"] == pixels(source)
    assert {e.text for e in expected} == set(written.sources)


@pytest.mark.parametrize("workers", [0, 2])
def test_documents(bin: Path, written: Written, workers: int) -> None:
    expected = {e.key: e for e in written.samples("documents")}
    found = told(bin, "read", workers, *written.shards("documents"))
    assert len(found) == len(expected) == PAGES
    for sample in found:
        e = expected[sample["key"]]
        images = {name: pixels(data) for name, data in e.parts.items() if name != "json"}
        assert len(images) == 4
        assert sample["parts"] == {**images, "json": e.body}


def test_shuffling_is_repeatable_and_loses_nothing(bin: Path, written: Written) -> None:
    keys = [e.key for e in written.samples("pairs")]
    (one,) = told(bin, "shuffled", 4, *written.shards("pairs"))
    (again,) = told(bin, "shuffled", 4, *written.shards("pairs"))
    (other,) = told(bin, "shuffled", 5, *written.shards("pairs"))
    assert one["first"] == again["first"] != other["first"]
    for order in (one["first"], one["second"], other["first"]):
        assert order != keys
        assert sorted(order) == sorted(keys)


def test_epochs_have_the_length_that_is_asked_for_and_go_on(bin: Path, written: Written) -> None:
    keys = [e.key for e in written.samples("pairs")]
    (found,) = told(bin, "epochs", 50, 20, *written.shards("pairs"))
    assert found["first"] == keys[:50]
    assert len(found["second"]) == 50
    assert found["rest"] == keys[20:50]
    (drawn,) = told(bin, "resampled", 130, 2, *written.shards("pairs"))
    assert len(drawn["first"]) == 130
    assert set(drawn["first"]) <= set(keys)
