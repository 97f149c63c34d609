"""OBELICS' row: two lists of one length, a URL (or file name) or a text at each place, and metadata as JSON.

Keys of `metadata` at an image's place, as in HuggingFaceM4/OBELICS: document_url, unformatted_src, src,
formatted_filename, alt_text, original_width, original_height. Other columns of images stand behind them under
their own names; those of the document and its texts in `general_metadata`, whose `url` is OBELICS' own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from curate.export.documents import in_order, web_address
from curate.stage import canonical

COLUMNS = pa.schema(
    [
        ("images", pa.list_(pa.string())),
        ("texts", pa.list_(pa.string())),
        ("metadata", pa.string()),
        ("general_metadata", pa.string()),
    ]
)
_OWN = {
    "unformatted_src": "image_url",
    "alt_text": "image_alt",
    "original_width": "image_width",
    "original_height": "image_height",
}


def row(
    layout: str,
    texts: Sequence[str],
    images: Sequence[tuple[str, Mapping[str, Any]]],
    columns: Mapping[str, Any],
) -> dict[str, Any]:
    """`images`: of each the name of its file and its columns. `columns`: of the document."""
    placed = in_order(layout, texts)
    entries = [_entry(name, own, columns.get("url")) for name, own in images]
    left, urls = iter(entries), iter(entry["src"] or entry["formatted_filename"] for entry in entries)
    return {
        "images": [next(urls) if span == "i" else None for span in layout],
        "texts": placed,
        "metadata": canonical([next(left) if span == "i" else None for span in layout]),
        "general_metadata": canonical({n: v for n, v in columns.items() if v is not None}),
    }


def _entry(name: str, columns: Mapping[str, Any], page: Any) -> dict[str, Any]:
    told = {key: columns.get(column) for key, column in _OWN.items()}
    rest = {n: v for n, v in columns.items() if v is not None and n not in _OWN.values()}
    return {
        "document_url": page,
        "src": web_address(columns),
        "formatted_filename": name,
        **told,
        **rest,
    }
