"""What img2dataset writes beside a picture, for tools that filter, count or join by it.

    00000.parquet       our columns, and `url`, `caption`, `status` ... as img2dataset names them
    00000_stats.json    how many there are
    <key>.json          our keys, and the same

img2dataset 1.47 (writer.py, downloader.py, logger.py) gives the columns, their order and their types. Every
row is a success: what was dropped stands in the ledger. No clock is asked, so times are 0. Its keys are
numbers of nine digits, ours are not; who reads them takes them as text.
"""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
from PIL import Image

from curate.export import shard
from curate.export.pictures import Picture

SCHEMA = pa.schema(
    [
        ("url", pa.string()),  # `image_url`
        ("caption", pa.string()),
        ("key", pa.string()),
        ("status", pa.string()),
        ("error_message", pa.string()),
        ("width", pa.int32()),  # of the image as it is written
        ("height", pa.int32()),
        ("original_width", pa.int32()),  # `image_width`, or as written where no column tells
        ("original_height", pa.int32()),
        ("sha256", pa.string()),  # of the file as it came: `image_sha256`, or of what is written unchanged
    ]
)
_OF_COLUMN = {
    "url": "image_url",
    "original_width": "image_width",
    "original_height": "image_height",
    "sha256": "image_sha256",
}
_SUCCESS = "success"

NOTES = """
`<shard>.parquet` and the JSON also have the columns of img2dataset: `url`, `caption`, `key`, `status`,
`error_message`, `width`, `height` (as written), `original_width`, `original_height` and `sha256` (of the file
as it came), and `<shard>_stats.json` its counts. All rows are successes, and no times are told.
"""


class Told:
    """Collects what img2dataset says of each pair of a shard, as its pictures go by."""

    def __init__(self, live: shard.Rows) -> None:
        table = live.table
        self._given: dict[str, list[Any]] = {
            "caption": shard.first_item(table["text_body"]).to_pylist(),
            "key": live.keys,
        }
        for name, column in _OF_COLUMN.items():
            if column in table.column_names:
                self._given[name] = shard.first_item(table[column]).to_pylist()
        self.rows: list[dict[str, Any]] = []

    def add(self, picture: Picture) -> None:
        """The picture of the next pair."""
        place = len(self.rows)
        row: dict[str, Any] = dict.fromkeys(SCHEMA.names)
        row |= {name: values[place] for name, values in self._given.items()}
        with Image.open(io.BytesIO(picture.data)) as image:
            row["width"], row["height"] = image.size
        if row["original_width"] is None or row["original_height"] is None:
            row["original_width"], row["original_height"] = row["width"], row["height"]
        if row["sha256"] is None and picture.stored == "original":
            row["sha256"] = hashlib.sha256(picture.data).hexdigest()
        self.rows.append({**row, "status": _SUCCESS})

    def body(self, fixed: dict[str, Any]) -> dict[str, Any]:
        """The JSON of the pair whose picture came last, added to `fixed`: the same keys and types in all."""
        row = self.rows[-1]
        missing = [name for name in ("url", "sha256") if row[name] is None]
        nulls = ",".join([*filter(None, [fixed["nulls"]]), *missing])
        return {**fixed, **row, **dict.fromkeys(missing, ""), "nulls": nulls}

    def beside(self, index: pa.Table) -> pa.Table:
        """The index with these columns."""
        for field in SCHEMA:
            if field.name not in index.column_names:
                values = [row[field.name] for row in self.rows]
                index = index.append_column(field, pa.array(values, field.type))
        return index

    def write_stats(self, path: Path) -> None:
        """`<shard>_stats.json`."""
        count = len(self.rows)
        stats = {
            "count": count,
            "successes": count,
            "failed_to_download": 0,
            "failed_to_resize": 0,
            "duration": 0.0,
            "start_time": 0.0,
            "end_time": 0.0,
            "status_dict": {_SUCCESS: count},
        }
        path.write_text(json.dumps(stats, indent=4), encoding="utf-8")
