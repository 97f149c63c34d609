"""Documents as two lists of one length, and the columns that go along with a sample as one JSON object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from curate import sample
from curate.export import shard
from curate.export.forms import dropped
from curate.io.local_image import is_remote


def in_order(layout: str, texts: Sequence[str | None]) -> list[str | None]:
    """Texts in reading order, null where an image stands: the k-th null is the k-th image."""
    left = iter(texts)
    return [None if span == "i" else next(left) or "" for span in layout]


def others(live: shard.Rows, fields: Sequence[pa.Field], scalar: bool) -> Iterator[dict[str, Any]]:
    """Of each row its id and the columns that JSON can hold. `scalar`: item columns have no lists."""
    names, columns = ["sample_id"], [live.table["sample_id"].to_pylist()]
    for field in fields:
        item = scalar and sample.level_of(field.name) != "sample"
        type = field.type.value_type if item else field.type
        if shard.in_json(type):
            column = shard.first_item(live.table[field.name]) if item else live.table[field.name]
            names.append(field.name)
            columns.append([shard.plain(value, type) for value in column.to_pylist()])
    for values in zip(*columns, strict=True):
        yield dict(zip(names, values, strict=True))


def web_address(columns: Mapping[str, Any]) -> str | None:
    """The URL of an image, given its columns; a page's relative link is none."""
    url = columns.get("image_url")
    return url if url and is_remote(url) else None


def losses(live: shard.Rows, row: int) -> dict[str, Any]:
    """What a document lost on the way."""
    return {
        "dropped_images": dropped(live.image_drop[row]),
        "dropped_texts": dropped(live.text_drop[row]),
    }
