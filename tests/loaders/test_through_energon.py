"""Megatron Energon takes an output as it is: its tools, its samples, its workers, its saved states."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from venvs import TOGETHER, environment, told_by
from written import COUNT, PAGES, Written, pixels, written

__all__ = ["written"]

pytestmark = [pytest.mark.loaders, pytest.mark.timeout(900)]

_OUTPUTS = ["pairs", "folders", "documents"]


@pytest.fixture(scope="module")
def bin() -> Path:
    return environment(*TOGETHER)


def told(bin: Path, *arguments: object) -> list[dict[str, Any]]:
    return told_by(bin, "loads_energon.py", *arguments)


def tool(bin: Path, *arguments: object) -> str:
    command = [str(bin / "energon"), *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    return done.stdout


@pytest.mark.parametrize("output", _OUTPUTS)
def test_its_own_preparation_writes_the_same(
    bin: Path, written: Written, tmp_path: Path, output: str
) -> None:
    ours, theirs = written.out / output, tmp_path / output
    shutil.copytree(ours, theirs, ignore=shutil.ignore_patterns(".nv-meta", "*.idx"))
    options = ["--non-interactive", "--no-progress", "--num-workers", 2]
    if output == "folders":
        options += ["--split-parts", "train:train/.*", "--split-parts", "val:validation/.*"]
    else:
        options += ["--split-ratio", "1,0,0"]
    fields = json.dumps({"image": "jpg", "caption": "txt"})
    kind = ["InterleavedSample"] if output == "documents" else ["CaptioningSample", "--field-map", fields]
    tool(bin, "prepare", *options, "--sample-type", *kind, theirs)
    for name in [".nv-meta/.info.json", ".nv-meta/dataset.yaml", *_offsets(theirs)]:
        assert (ours / name).read_bytes() == (theirs / name).read_bytes(), name
    for table in ("samples", "sample_parts"):
        rows = _rows(theirs, table)
        assert _rows(ours, table) == rows
        assert len(rows) > 0
    assert _indices(ours) | {"sqlite_autoindex_samples_1"} == _indices(theirs) | {"idx_samples_sample_key"}
    parts = [_split(folder) for folder in (ours, theirs)]
    assert {k: v for k, v in parts[0].items() if v} == {k: v for k, v in parts[1].items() if v}


def _offsets(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*.tar.idx"))


def _rows(folder: Path, table: str) -> list[tuple[Any, ...]]:
    base = sqlite3.connect(folder / ".nv-meta" / "index.sqlite")
    found = base.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3").fetchall()
    base.close()
    return found


def _indices(folder: Path) -> set[str]:
    base = sqlite3.connect(folder / ".nv-meta" / "index.sqlite")
    found = {name for (name,) in base.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}
    base.close()
    return found


def _split(folder: Path) -> dict[str, list[str]]:
    """Tars of each part, their ranges (`{00000..00003}.tar`) spelled out."""
    parts = yaml.safe_load((folder / ".nv-meta" / "split.yaml").read_text())["split_parts"]
    return {part: [name for text in texts for name in _expanded(text)] for part, texts in parts.items()}


def _expanded(text: str) -> list[str]:
    if "{" not in text:
        return [text]
    before, _, rest = text.partition("{")
    span, _, after = rest.partition("}")
    first, last = span.split("..")
    return [f"{before}{n:0{len(first)}d}{after}" for n in range(int(first), int(last) + 1)]


@pytest.mark.parametrize("output", _OUTPUTS)
def test_its_tools_find_nothing_wrong(bin: Path, written: Written, output: str) -> None:
    count = PAGES if output == "documents" else COUNT
    assert f"({count} samples," in tool(bin, "info", written.out / output)
    tool(bin, "lint", written.out / output)


@pytest.mark.parametrize("workers", [0, 2])
def test_captions(bin: Path, written: Written, workers: int) -> None:
    expected = written.samples("pairs")
    found = told(bin, "captions", written.out / "pairs", "train", workers)
    if workers:  # each reads a slice of its own
        found.sort(key=lambda s: [e.key for e in expected].index(s["key"]))
    assert len(expected) == COUNT
    assert found == [{"key": e.key, "text": e.text, "pixels": pixels(e.parts["jpg"])} for e in expected]


def test_parts_are_the_folders_of_the_split(bin: Path, written: Written) -> None:
    folder = written.out / "folders"
    keys = {}
    for part, name in (("train", "train"), ("val", "validation")):
        found = told(bin, "captions", folder, part, 0)
        keys[part] = [s["key"] for s in found]
        assert keys[part] == [e.key for e in written.samples(f"folders/{name}")]
        one = told(bin, "captions", folder, part, 0, "split.png.yaml")
        assert [s["key"] for s in one] == [e.key for e in written.samples(f"folders/{name}/png")]
        assert 0 < len(one) < len(found)
    assert len(set(keys["train"] + keys["val"])) == COUNT


@pytest.mark.parametrize("workers", [0, 2])
def test_documents_are_interleaved(bin: Path, written: Written, workers: int) -> None:
    expected = {e.key: e for e in written.samples("documents")}
    found = told(bin, "documents", written.out / "documents", "train", workers)
    assert len(found) == len(expected) == PAGES
    for sample in found:
        e = expected[sample["key"]]
        spans = zip(e.body["images"], e.body["texts"], strict=True)
        assert sample["sequence"] == [
            text if image is None else {"pixels": pixels(e.parts[image])} for image, text in spans
        ]
    if not workers:
        assert [s["key"] for s in found] == list(expected)


def test_cookers_get_every_member(bin: Path, written: Written) -> None:
    for output in ("pairs", "documents"):
        found = told(bin, "crude", written.out / output, "train")
        kinds = {"json": "dict", "txt": "str"}
        assert found == [
            {"key": e.key, "parts": {name: kinds.get(name, "Tensor") for name in e.parts}}
            for e in written.samples(output)
        ]


@pytest.mark.parametrize("output", ["pairs", "documents"])
@pytest.mark.parametrize("workers", [0, 2])
def test_training_goes_on_from_a_saved_state(bin: Path, written: Written, output: str, workers: int) -> None:
    keys = [e.key for e in written.samples(output)]
    order = [s["key"] for s in told(bin, "epoch", written.out / output, workers)]
    assert order != keys
    assert sorted(order) == sorted(keys)
    stop, length = len(keys) // 3, 2 * len(keys)  # into the next epochs
    (found,) = told(bin, "state", written.out / output, workers, stop, length)
    assert len(found["before"]) == stop
    assert found["restored"] == found["after"]
    assert len(found["after"]) == length
    assert set(found["before"] + found["after"]) == set(keys)


def test_members_are_found_by_name(bin: Path, written: Written) -> None:
    """As an auxiliary source for other datasets, by index.sqlite."""
    members = {
        f"{e.key}.{part}": hashlib.sha256(data).hexdigest()
        for e in written.samples("documents")[::3]
        for part, data in e.parts.items()
    }
    found = told(bin, "members", written.out / "documents", *members)
    assert {m["name"]: m["sha256"] for m in found} == members
