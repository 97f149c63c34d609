"""Lightning's LitData: see `curate.export.packed` for the file (a chunk), here are the columns and the index.

`jpeg` is loaded as an uint8 tensor (3, height, width), `jpeg_array` as a list of them, `str` as text. `bytes`
are bytes, or a view of them, as the version of the loader has it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from curate.export.forms import Form
from curate.export.packed import Column, File, dumps, listed


def columns(form: Form, ending: str | None) -> list[Column]:
    """In the order of their names. `ending`: of all images, None where they differ."""
    if form == "pairs":
        image = "jpeg" if ending == "jpg" else "bytes"
        return [Column("id", "str"), Column("image", image), Column("json", "str"), Column("text", "str")]
    image = "jpeg_array" if ending == "jpg" else "bytes"
    documents = {"id": "str", "images": image, "json": "str", "layout": "str", "texts": "str"}
    return [Column(*column) for column in documents.items()]


def images(files: Sequence[bytes]) -> bytes:
    """A value of `jpeg_array`."""
    return listed(files)


def _tree(columns: Sequence[Column]) -> str:
    """A mapping of leaves, as the loader spells it."""
    leaf: dict[str, Any] = {"type": None, "context": None, "children_spec": []}
    names = json.dumps([column.name for column in columns])
    spec = {"type": "builtins.dict", "context": names, "children_spec": [leaf] * len(columns)}
    return json.dumps([1, spec])


def config(columns: Sequence[Column], samples: int | None, bytes: int | None) -> dict[str, Any]:
    """`samples`, `bytes`: of a chunk, as they were asked for."""
    return {
        "chunk_bytes": bytes,
        "chunk_size": samples,
        "compression": None,
        "compression_batch_size": None,
        "compression_level": None,
        "data_format": [column.encoding for column in columns],
        "data_spec": _tree(columns),
        "encryption": None,
        "ipc_compression": None,
        "item_loader": "PyTreeLoader",
        "types": {column.name: column.encoding for column in columns},
    }


def index(config: dict[str, Any], files: Sequence[File]) -> dict[str, Any]:
    """`index.json`. `updated_at`, by which loaders tell that a cache is stale, is no time: equal chunks have
    an equal one."""
    chunks = [
        {"chunk_bytes": file.bytes, "chunk_size": file.samples, "dim": None, "filename": file.path}
        for file in files
    ]
    found = {"chunks": chunks, "config": config}
    return {**found, "updated_at": hashlib.sha256(dumps(found)).hexdigest()[:16]}
