"""One run that writes WebDataset outputs, and what is in them by plain reading."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pools
import pytest
from PIL import Image

COUNT, PAGES = 90, 14


class Found(NamedTuple):
    """A sample of a tar, undecoded."""

    key: str
    parts: dict[str, bytes]

    @property
    def body(self) -> dict[str, Any]:
        """Its JSON."""
        body: dict[str, Any] = json.loads(self.parts["json"])
        return body

    @property
    def text(self) -> str:
        return self.parts["txt"].decode()


class Written(NamedTuple):
    """A finished run: `pairs`, `folders` (pairs by split and format) and `documents`."""

    out: Path
    sources: dict[str, bytes]  # of each caption the image that came with it

    def shards(self, output: str) -> list[Path]:
        return sorted((self.out / output).rglob("*.tar"))

    def samples(self, *outputs: str) -> list[Found]:
        """What is in the tars, in their order."""
        return [found for output in outputs for path in self.shards(output) for found in opened(path)]


def opened(path: Path) -> list[Found]:
    """The samples of a tar, through the standard library."""
    found: list[Found] = []
    with tarfile.open(path) as tar:
        for member in tar:
            key, _, part = member.name.partition(".")
            if not found or found[-1].key != key:
                found.append(Found(key, {}))
            file = tar.extractfile(member)
            assert file is not None
            found[-1].parts[part] = file.read()
    return found


def pixels(data: bytes) -> str:
    """A digest of an image's RGB pixels, as the scripts beside this make it of what a loader gives."""
    with Image.open(io.BytesIO(data)) as image:
        found = np.asarray(image.convert("RGB"))
    return hashlib.sha256(f"{found.shape}".encode() + found.tobytes()).hexdigest()


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Of pairs every second is a JPEG, which goes through unchanged."""
    base = tmp_path_factory.mktemp("written")
    rows = [
        pools.Pair(
            f"k{i:04d}",
            pools.picture(i, 40 + 4 * (i % 16), form=("png", "jpeg")[i % 2]),
            f"caption number {i}" + (" 图“quoted”\nand a line" if i % 7 == 3 else ""),
        )
        for i in range(COUNT)
    ]
    energon = {"stage": "write_webdataset", "energon": True}
    recipe = {
        "name": "written",
        "nodes": [
            {"id": "raw", "stage": "read_webdataset", "path": pools.write_tars(base / "in", rows, 3)},
            {"stage": "probe"},
            {"id": "split", "stage": "split", "by": "sample_id", "shares": {"train": 0.7, "validation": 0.3}},
            {"id": "pairs", **energon, "shard_size": 16, "img2dataset": True},
            {"id": "folders", **energon, "shard_size": 9, "by": ["split", "image_format"], "from": "split"},
            {"id": "pages", "stage": "read_html", "path": pools.write_pages(base / "pages", PAGES)},
            {"id": "documents", **energon, "form": "documents", "shard_size": 5},
        ],
    }
    report = pools.run(recipe, base / "run", modules=())
    pools.prove(report)
    return Written(base / "run", {row.text: row.image for row in rows})
