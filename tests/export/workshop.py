"""Records and images made by hand, in a folder that a real storage reads."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image, ImageCms

from curate import sample
from curate.io.payload import Payload
from curate.io.sink import Shard, Write
from curate.io.source import build
from curate.io.storage import LocalStorage

EXTRA = pa.schema(
    [
        ("image_width", pa.list_(pa.int32())),
        ("image_height", pa.list_(pa.int32())),
        ("image_clip", pa.list_(pa.float32())),
        ("image_alt", pa.list_(pa.string())),
        ("image_boxes", pa.list_(pa.list_(pa.struct([("label", pa.string()), ("x", pa.float32())])))),
        ("image_embedding", pa.list_(pa.list_(pa.float16(), 2))),
        ("text_quality", pa.list_(pa.float32())),
        ("licence", pa.string()),
        ("language", pa.string()),
        ("opt_out", pa.bool_()),
        ("phash", pa.uint64()),
        ("verdict.keep", pa.string()),
        ("image_verdict.clip", pa.list_(pa.string())),
        ("image_inputs.clip", pa.list_(pa.string())),
    ]
)


def picture(number: int, size: tuple[int, int] = (64, 48), mode: str = "RGB") -> Image.Image:
    """A smooth picture that differs from number to number: its left end is dark, its right end bright."""
    width, height = size
    ramp = np.linspace(0, 200, width, dtype=np.float32)[None, :].repeat(height, 0)
    tall = np.linspace(0, 50, height, dtype=np.float32)[:, None].repeat(width, 1)
    layers = [ramp + number % 7, (ramp + tall) * 0.9, tall + number * 3 % 120]
    return Image.fromarray(np.stack(layers, -1).clip(0, 255).astype(np.uint8)).convert(mode)


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def opened(data: bytes) -> np.ndarray[Any, Any]:
    """Pixels as a trainer sees them."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def swapped_profile() -> bytes:
    """sRGB with the colours of its red and green primaries exchanged: the entries of the tag table are."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = (profile.index(tag, 128) for tag in (b"rXYZ", b"gXYZ"))
    profile[red + 4 : red + 12], profile[green + 4 : green + 12] = (
        profile[green + 4 : green + 12],
        profile[red + 4 : red + 12],
    )
    return bytes(profile)


class Workshop:
    """Makes records whose images lie in `folder/in`, and outputs of them in `folder/<name>`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.source = folder / "in"
        self.source.mkdir()
        self.payload = Payload({"set": LocalStorage(self.source)})

    def put(self, name: str, data: bytes) -> str:
        (self.source / name).write_bytes(data)
        return name

    def pair(self, number: int, data: bytes | None = None, **fields: Any) -> dict[str, Any]:
        data = encoded(picture(number), "JPEG") if data is None else data
        row = {
            "sample_id": f"{number * 2654435761 % 2**32:032x}",
            "dataset": "set",
            "source": f"a.tar#{number}",
            "shape": "pair",
            "layout": "it",
            "image_ref": [self.put(f"{number}.bin", data)],
            "text_body": [f"a picture of number {number}"],
            "meta": '{"from":"nowhere"}',
            "image_width": [64],
            "image_height": [48],
            "image_clip": [0.31],
            "image_alt": ["alt"],
            "image_boxes": [[{"label": "cup", "x": 1.5}]],
            "image_embedding": [[0.5, 0.25]],
            "text_quality": [0.5],
            "licence": "CC-BY-4.0",
            "language": None,
            "opt_out": False,
            "phash": 2**63 + number,
            "verdict.keep": "",
            "image_verdict.clip": [""],
            "image_inputs.clip": [""],
        }
        return {**row, **fields}

    def document(self, number: int, layout: str, **fields: Any) -> dict[str, Any]:
        images, texts = layout.count("i"), layout.count("t")
        names = [
            self.put(f"d{number}-{i}.bin", encoded(picture(number * 10 + i), ("JPEG", "PNG")[i % 2]))
            for i in range(images)
        ]
        row = {
            "sample_id": f"{number:032x}",
            "dataset": "set",
            "source": f"page{number}.html",
            "shape": "document",
            "layout": layout,
            "image_ref": names,
            "text_body": [f"paragraph {i} of {number}" for i in range(texts)],
            "image_clip": [0.25 + i / 64 for i in range(images)],
            "text_quality": [i / 4 for i in range(texts)],
        }
        return {**row, **fields}

    def table(self, rows: list[dict[str, Any]], extra: pa.Schema = EXTRA) -> pa.Table:
        return build(rows, extra)

    def write(self, stage: Write, tables: list[pa.Table], name: str) -> tuple[Path, list[Shard]]:
        """Each table as one shard, then what comes after all shards."""
        folder = self.folder / name
        folder.mkdir()
        shards = [
            stage.write_shard(t, self.payload, folder, f"{i:05d}", t.schema) for i, t in enumerate(tables)
        ]
        stage.finish(folder, shards)
        facts = {"output": name, "schema": tables[0].schema, "columns": tables[0].schema.names}
        totals = {"samples": sum(s.samples for s in shards), "images": sum(s.images for s in shards)}
        card = stage.card({**facts, **totals, "shards": len(shards)})
        (folder / "README.md").write_text(card, encoding="utf-8")
        return folder, shards


def refusals(stage: Write, table: pa.Table) -> list[str | None]:
    """What admission says about each row, shown what the engine would show it."""
    admission = stage.admission(frozenset(table.schema.names))
    assert admission is not None
    seen = sample.view(table, "sample", admission.reads())
    out = admission.open()(seen.table)
    found: list[str | None] = [None] * table.num_rows if out.drop is None else out.drop.to_pylist()
    assert {r for r in found if r} <= admission.reasons()
    return found


def tree(folder: Path) -> Mapping[str, bytes]:
    """Every file below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
