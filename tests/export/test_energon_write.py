"""`energon: true`: what Megatron Energon's `prepare` would have written (it itself: tests/loaders)."""

from __future__ import annotations

import json
import sqlite3
import struct
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pools
import pytest
import yaml
from workshop import Workshop, encoded, picture, tree

from curate.errors import RunError
from curate.export import energon
from curate.io.webdataset_write import WriteWebdataset


def rows_of(folder: Path, table: str) -> list[tuple[Any, ...]]:
    base = sqlite3.connect(folder / ".nv-meta" / "index.sqlite")
    found = base.execute(f"SELECT * FROM {table}").fetchall()
    base.close()
    return found


def members(path: Path) -> Iterator[tuple[str, str, int, int, int]]:
    """Key, part, offsets of header and data, size, by the standard library."""
    with tarfile.open(path) as tar:
        for m in tar:
            key, _, part = m.name.partition(".")
            yield key, part, m.offset, m.offset_data, m.size


@pytest.fixture
def pairs(shop: Workshop) -> Path:
    """Two shards of three pairs and one of two."""
    table = shop.table([shop.pair(i, encoded(picture(i), ("JPEG", "PNG")[i % 2])) for i in range(8)])
    cut = [table.slice(0, 3), table.slice(3, 3), table.slice(6)]
    folder, shards = shop.write(WriteWebdataset(energon=True), cut, "out")
    assert shards[0].files == ["00000.tar", "00000.parquet", "00000.tar.idx"]
    return folder


def test_offsets_are_those_of_samples_and_of_the_end(pairs: Path) -> None:
    for path in pairs.glob("*.tar"):
        found = list(members(path))
        starts = [offset for _, part, offset, _, _ in found if part == "jpg"]
        _, _, _, data, size = found[-1]
        offsets = [*starts, data + -(-size // 512) * 512]
        assert path.with_suffix(".tar.idx").read_bytes() == struct.pack(f"<{len(offsets)}Q", *offsets)
    assert not any(path.read_bytes()[offsets[-1] :])  # nothing but the archive's end


def test_the_index_finds_every_member(pairs: Path) -> None:
    parts = rows_of(pairs, "sample_parts")
    samples = {(tar, place): (key, start, size) for tar, key, place, start, size in rows_of(pairs, "samples")}
    assert [p[:2] for p in parts[::3]] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1)]
    told = [(tar, samples[tar, place][0], *rest) for tar, place, *rest in parts]
    there = [
        (number, key, part, data, size)
        for number, path in enumerate(sorted(pairs.glob("*.tar")))
        for key, part, _, data, size in members(path)
    ]
    assert told == there
    for tar, place, _, data, size in parts:
        _, start, length = samples[tar, place]
        assert start < data <= data + size <= start + length


def test_the_files_of_pairs(pairs: Path) -> None:
    meta = pairs / ".nv-meta"
    assert json.loads((meta / ".info.json").read_text())["shard_counts"] == {
        "00000.tar": 3,
        "00001.tar": 3,
        "00002.tar": 2,
    }
    assert yaml.safe_load((meta / "dataset.yaml").read_text()) == {
        "sample_type": {"__module__": "megatron.energon", "__class__": "CaptioningSample"},
        "field_map": {"image": "jpg", "caption": "txt"},
    }
    assert yaml.safe_load((meta / "split.yaml").read_text()) == {
        "split_parts": {"train": ["00000.tar", "00001.tar", "00002.tar"], "val": [], "test": []},
        "exclude": [],
    }
    assert "get_train_dataset" in (pairs / "README.md").read_text()


def test_any_extension_of_original_images_is_an_image(shop: Workshop) -> None:
    stage = WriteWebdataset(energon=True, images="original")
    folder, _ = shop.write(stage, [shop.table([shop.pair(0, encoded(picture(0), "PNG"))])], "out")
    fields = yaml.safe_load((folder / ".nv-meta" / "dataset.yaml").read_text())["field_map"]
    assert {"png", "jpg", "webp"} <= set(fields["image"].split(","))


def test_the_loader_of_documents_gives_reading_order(shop: Workshop) -> None:
    table = shop.table([shop.document(1, "titit", text_drop=[None, "x:y", None])])
    folder, _ = shop.write(WriteWebdataset(energon=True, form="documents"), [table], "out")
    dataset = yaml.safe_load((folder / ".nv-meta" / "dataset.yaml").read_text())
    assert dataset["sample_type"]["__class__"] == "InterleavedSample"
    space: dict[str, Any] = {}
    exec((folder / ".nv-meta" / "sample_loader.py").read_text(), space)
    (body,) = (json.loads(data) for data in _json_members(folder / "00000.tar"))
    raw = {"__key__": "k", "json": body, "img00.jpg": "first", "img01.jpg": "second"}
    assert space["sample_loader"](raw)["sequence"] == [
        "paragraph 0 of 1",
        "first",
        "second",
        "paragraph 2 of 1",
    ]
    assert space["part_filter"]("img00.jpg")


def _json_members(path: Path) -> Iterator[bytes]:
    with tarfile.open(path) as tar:
        for member in tar:
            if member.name.endswith(".json"):
                file = tar.extractfile(member)
                assert file is not None
                yield file.read()


def test_folders_make_parts_and_files_of_their_own() -> None:
    names = ["train/224x224/00000.tar", "train/448x448/00000.tar", "validation/448x448/00000.tar"]
    assert energon.splits(names, ("split", "image_bucket")) == {
        "split.yaml": {"train": names[:2], "val": names[2:], "test": []},
        "split.224x224.yaml": {"train": names[:1], "val": [], "test": []},
        "split.448x448.yaml": {"train": names[1:2], "val": names[2:], "test": []},
    }
    turned = ["224x224/test/00000.tar", "224x224/held_out/00000.tar"]
    parts = {"train": [], "val": [], "test": turned[:1], "held_out": turned[1:]}
    assert energon.splits(turned, ("image_bucket", "split")) == {
        "split.yaml": parts,
        "split.224x224.yaml": parts,
    }
    # folders named like parts, of another column
    assert energon.splits(["test/00000.tar"], ("licence",))["split.yaml"]["train"] == ["test/00000.tar"]


def test_a_run_with_folders_is_repeatable_and_tells_its_parts(tmp_path: Path) -> None:
    source = pools.write_tars(tmp_path / "in", pools.pairs(40), 2)
    recipe = {
        "name": "parts",
        "nodes": [
            {"id": "raw", "stage": "read_webdataset", "path": source},
            {"stage": "split", "by": "sample_id", "shares": {"train": 0.6, "validation": 0.4}},
            {"id": "out", "stage": "write_webdataset", "energon": True, "by": ["split"], "shard_size": 8},
        ],
    }
    pools.run(recipe, tmp_path / "one", modules=())
    pools.run(recipe, tmp_path / "two", modules=())
    assert pools.output_bytes(tmp_path / "one") == pools.output_bytes(tmp_path / "two")
    out = tmp_path / "one" / "out"
    parts = yaml.safe_load((out / ".nv-meta" / "split.yaml").read_text())["split_parts"]
    tars = sorted(str(p.relative_to(out)) for p in out.rglob("*.tar"))
    assert parts["train"] == [t for t in tars if t.startswith("train/")]
    assert parts["val"] == [t for t in tars if t.startswith("validation/")]
    assert parts["train"]
    assert parts["val"]
    manifest = json.loads((out / "manifest.json").read_text())
    assert {".nv-meta/index.sqlite", ".nv-meta/split.yaml", f"{tars[0]}.idx"} <= set(manifest["files"])


def test_the_uuid_changes_with_the_index_alone(shop: Workshop) -> None:
    found = []
    for name, numbers in (("a", [0, 1]), ("b", [0, 1]), ("c", [0, 2])):
        table = shop.table([shop.pair(i) for i in numbers])
        folder, _ = shop.write(WriteWebdataset(energon=True), [table], name)
        found.append(tree(folder))
    assert found[0][".nv-meta/index.sqlite"] == found[1][".nv-meta/index.sqlite"]
    uuids = [files[".nv-meta/index.uuid"] for files in found]
    assert uuids[0] == uuids[1] != uuids[2]


def test_a_tar_that_the_disk_spoiled_stops_the_run(pairs: Path) -> None:
    path = pairs / "00001.tar"
    data = bytearray(path.read_bytes())
    data[:512] = b"x" * 512
    path.write_bytes(data)
    with pytest.raises(RunError, match=r"00001\.tar"):
        energon.write_offsets(path)
