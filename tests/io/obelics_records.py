"""Records in OBELICS' form, whole and with fields changed."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

A, B = "https://cdn.example/a%20b.jpg", "http://cdn.example/b.png?x=1#f"
META: list[Any] = [
    None,
    {
        "document_url": "https://site.example/p",
        "unformatted_src": "/a b.jpg",
        "src": A,
        "formatted_filename": "a b",
        "alt_text": "An alt",
        "original_width": 640,
        "original_height": 480,
        "rendered_width": 320,
    },
    None,
    {"document_url": "https://site.example/p", "src": B, "formatted_filename": "b", "original_width": 10},
]
GENERAL = {"url": "https://site.example/p", "warc_filename": "w.gz", "warc_record_offset": 7}


def record(**changes: Any) -> dict[str, Any]:
    """One document: text, image, text, image."""
    return {
        "images": [None, A, None, B],
        "texts": ["One.", None, "Two.", None],
        "metadata": json.dumps(META),
        "general_metadata": json.dumps(GENERAL),
        **changes,
    }


def columns(records: list[dict[str, Any]]) -> dict[str, Any]:
    kinds = {"images": pa.list_(pa.string()), "texts": pa.list_(pa.string())}
    return {name: pa.array([r.get(name) for r in records], kinds.get(name, pa.string())) for name in record()}
