"""MosaicML's MDS: see `curate.export.packed` for the file, here are the columns, the config and the index.

`jpeg`, `png` and lists of them are loaded as `PIL.Image`, `json` as what it says, `str` and `bytes` as such.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from curate.export.forms import Form
from curate.export.packed import Column, File, listed

_OF_ENDING = {"jpg": "jpeg", "png": "png"}  # others are left to whoever reads them


def columns(form: Form, ending: str | None) -> list[Column]:
    """In the order of their names. `ending`: of all images, None where they differ."""
    if form == "pairs":
        image = _OF_ENDING.get(ending or "", "bytes")
        return [Column("id", "str"), Column("image", image), Column("json", "json"), Column("text", "str")]
    # the loader opens each by its own first bytes, whatever the encoding is called
    image = f"list[{_OF_ENDING.get(ending or '', 'jpeg')}]"
    documents = {"id": "str", "images": image, "json": "json", "layout": "str", "texts": "json"}
    return [Column(*column) for column in documents.items()]


def images(files: Sequence[bytes]) -> bytes:
    """A value of `list[...]`: four bytes that stand for nothing yet come first."""
    return bytes(4) + listed(files)


def config(columns: Sequence[Column]) -> dict[str, Any]:
    """What each shard says of itself, in its head and in the index. No value has a fixed size."""
    return {
        "column_encodings": [column.encoding for column in columns],
        "column_names": [column.name for column in columns],
        "column_sizes": [None] * len(columns),
        "compression": None,
        "format": "mds",
        "hashes": [],
        "size_limit": None,
        "version": 2,
    }


def head(columns: Sequence[Column]) -> bytes:
    return json.dumps(config(columns), sort_keys=True).encode()


def index(columns: Sequence[Column], files: Iterable[File]) -> Mapping[str, Any]:
    """`index.json`."""
    shards = [
        {
            **config(columns),
            "raw_data": {"basename": file.path, "bytes": file.bytes, "hashes": {}},
            "samples": file.samples,
            "zip_data": None,
        }
        for file in files
    ]
    return {"shards": shards, "version": 2}
