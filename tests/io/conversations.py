"""Files of conversations beside a few images, and what a source makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pools

from curate import sample
from curate.io.conversation import ReadConversations
from curate.io.llava import ReadLlava
from curate.io.storage import LocalStorage

Row = dict[str, Any]


def put(folder: Path, rows: Any, name: str = "set.json") -> Path:
    """A file of rows beside ten images."""
    (folder / "images").mkdir(exist_ok=True)
    for i in range(10):
        (folder / "images" / f"{i}.png").write_bytes(pools.picture(i))
    lines = name.endswith("l")
    text = "".join(json.dumps(r) + "\n" for r in rows) if lines else json.dumps(rows)
    (folder / name).write_text(text)
    return folder / name


def rows_of(file: Path, stage: type[ReadConversations] = ReadLlava, **fields: Any) -> list[Row]:
    fields = {"id": "set", "path": str(file), "image_root": "images", "faults": "keep", **fields}
    source = stage.model_validate(fields)
    storage = LocalStorage(file.parent)
    parts = source.split(storage, storage.find(file.name))
    found = []
    for part in parts:
        table = source.rows(storage, part)
        sample.check(table)
        assert {d.partition(":")[2] for d in table["drop"].to_pylist() if d} <= source.reasons()
        assert {d.partition(":")[2] for d in sample.flat(table["image_drop"]).to_pylist() if d} <= (
            source.reasons()
        )
        found += table.to_pylist()
    return found


def one(folder: Path, row: Any, **fields: Any) -> Row:
    (found,) = rows_of(put(folder, [row]), **fields)
    return found
