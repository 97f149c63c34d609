"""A real run with outputs in packed shards, and what must come out of them."""

from __future__ import annotations

import io
import itertools
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pools
import pyarrow.parquet as pq
from PIL import Image
from venvs import environment, told_by

from curate.export.jpeg import training_jpeg
from curate.export.packed import Column

# torchvision must be one that is built for just this torch, and both loaders want one.
LOADERS = ("torch==2.14.1", "torchvision==0.29.1", "mosaicml-streaming==0.13.0", "litdata==0.2.76")
PAIRS, PAGES, SHARD = 48, 16, 7


class Streams(NamedTuple):
    """`stage` has written `pairs`, `documents`, and `folders`: pairs by format and width."""

    folder: Path
    images: dict[str, bytes]  # caption, or alternative text, -> the source's file

    def output(self, name: str) -> Path:
        return self.folder / "run" / name

    def index(self, name: str, below: str = "") -> list[dict[str, Any]]:
        """What was written, as the run tells it, shard after shard."""
        files = sorted((self.output(name) / below).rglob("*.parquet"))
        return [row for file in files for row in pq.read_table(file).to_pylist()]

    def told(self, script: str, *arguments: object) -> list[dict[str, Any]]:
        return told_by(environment(*LOADERS), script, *arguments)


def made(folder: Path, stage: str) -> Streams:
    source = folder / "in"
    rows = [
        pools.Pair(f"k{i:03d}", pools.picture(i, 40 + 8 * (i % 2), 32, form), f"caption {i} 图\n“{form}”")
        for i, form in ((i, ("png", "jpeg", "webp")[i % 3]) for i in range(PAIRS))
    ]
    glob = pools.write_tars(source / "tars", rows, 3)
    pages = pools.write_pages(source / "pages", PAGES)
    common = {"stage": stage, "shard_size": SHARD}
    nodes = [
        {"id": "raw", "stage": "read_webdataset", "path": glob},
        {"id": "probe", "stage": "probe"},
        {"id": "pairs", **common},
        {"id": "folders", **common, "from": ["probe"], "by": ["image_format", "image_width"]},
        {"id": "originals", **common, "from": ["probe"], "images": "original"},
        {"id": "web", "stage": "read_html", "path": pages},
        {"id": "documents", **common, "form": "documents"},
    ]
    pools.run({"name": "streams", "nodes": nodes}, folder / "run", modules=())
    images = {row.text: row.image for row in rows}
    for page in range(PAGES):
        for k in range(3):
            file = source / "pages" / f"p{page}-{k}.png"
            images[f"picture {k} of page {page}"] = file.read_bytes()
    images["the logo"] = (source / "pages" / "logo.png").read_bytes()
    return Streams(folder, images)


def shown(file: bytes, training: bool = True) -> npt.NDArray[np.int64]:
    """The pixels of a file as it is written: as a JPEG, where it is for `training`."""
    with Image.open(io.BytesIO(training_jpeg(file) if training else file)) as image:
        return np.asarray(image.convert("RGB")).astype(np.int64)


def assert_alike(found: npt.NDArray[np.uint8], expected: npt.NDArray[np.int64]) -> None:
    """Equal but for what decoders of JPEG may differ in."""
    assert found.shape == expected.shape
    assert np.abs(found.astype(np.int64) - expected).max() <= 3


def assert_pairs(
    streams: Streams, name: str, read: list[dict[str, Any]], pixels: Path, below: str = ""
) -> None:
    """What a loader read of an output is what was written: order, captions, pixels, columns."""
    index = streams.index(name, below)
    assert [sample["id"] for sample in read] == [row["key"] for row in index]
    assert [sample["text"] for sample in read] == [row["text_body"] for row in index]
    with np.load(pixels) as arrays:
        for sample, row in zip(read, index, strict=True):
            assert_alike(arrays[f"{sample['id']}/0"], shown(streams.images[sample["text"]]))
            told = sample["json"] if isinstance(sample["json"], dict) else json.loads(sample["json"])
            assert told["sample_id"] == row["sample_id"]
            assert {n: told[n] for n in ("image_width", "image_format", "image_stored")} == {
                n: row[n] for n in ("image_width", "image_format", "image_stored")
            }


def assert_originals(streams: Streams, read: list[dict[str, Any]], pixels: Path) -> None:
    """Files as they came in: PNG, JPEG and WebP, opened by whoever reads them."""
    assert {sample["text"] for sample in read} == {c for c in streams.images if c.startswith("caption")}
    with np.load(pixels) as arrays:
        for sample in read:
            assert_alike(arrays[f"{sample['id']}/0"], shown(streams.images[sample["text"]], training=False))


def assert_documents(streams: Streams, read: list[dict[str, Any]], pixels: Path) -> None:
    index = streams.index("documents")
    assert len(index) == PAGES
    assert [sample["id"] for sample in read] == [row["key"] for row in index]
    with np.load(pixels) as arrays:
        for sample, row in zip(read, index, strict=True):
            texts = sample["texts"] if isinstance(sample["texts"], list) else json.loads(sample["texts"])
            assert sample["layout"] == row["layout"] == "".join("i" if t is None else "t" for t in texts)
            assert [t for t in texts if t is not None] == row["text_body"]
            for k, name in enumerate(row["image_alt"]):
                assert_alike(arrays[f"{sample['id']}/{k}"], shown(streams.images[name]))
            assert f"{sample['id']}/{len(row['image_alt'])}" not in arrays


def assert_epochs(streams: Streams, told: dict[str, list[str]], shuffle: bool) -> None:
    """Each sample once an epoch; a loader that goes on where another stopped gives just what was left."""
    keys = [row["key"] for row in streams.index("pairs")]
    assert sorted(told["epoch"]) == sorted(told["next"]) == sorted(keys)
    assert told["before"] + told["after"] == told["epoch"]
    assert 0 < len(told["before"]) < len(keys)
    if shuffle:
        assert told["epoch"] != told["next"]
        assert told["epoch"] != keys


def samples_of(path: Path, columns: list[Column], image_files: Path) -> list[dict[str, Any]]:
    """A shard taken apart again: the values of each sample, images as paths of files."""
    data = path.read_bytes()
    (count,) = np.frombuffer(data, "<u4", 1)
    offsets = np.frombuffer(data, "<u4", count + 1, 4)
    found = []
    for k, (start, end) in enumerate(itertools.pairwise(offsets.tolist())):
        sizes = np.frombuffer(data, "<u4", len(columns), start)
        ends = np.cumsum(sizes) + start + sizes.nbytes
        assert ends[-1] == end
        values = {}
        for column, size, stop in zip(columns, sizes, ends, strict=True):
            value = data[stop - size : stop]
            if column.name not in ("image", "images"):
                values[column.name] = value.decode()
                continue
            parts = [value] if column.name == "image" else _files(value, column)
            paths = []
            for i, part in enumerate(parts):
                paths.append(image_files / f"{path.stem}-{k}-{i}.jpg")
                paths[-1].write_bytes(part)
            values[column.name] = str(paths[0]) if column.name == "image" else [str(p) for p in paths]
        found.append(values)
    return found


def _files(value: bytes, column: Column) -> list[bytes]:
    value = value[4:] if column.encoding.startswith("list[") else value
    (count,) = np.frombuffer(value, "<u4", 1)
    ends = np.cumsum(np.frombuffer(value, "<u4", count, 4)) + 4 + 4 * count
    return [value[a:b] for a, b in itertools.pairwise([4 + 4 * int(count), *ends.tolist()])]
