"""An interleaved document as its record tells it: spans in reading order, before any file is looked for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from curate.io.fields import clean, meta_of
from curate.io.json_lines import parse

MAX_NAME = 8192  # characters of a URL or path; a longer one is an image's data or an attack
MAX_ITEMS = 20_000  # of a document's two lists together


@dataclass
class TextSpan:
    """One text. `reason`: why it is dead, "" where it is not."""

    body: str
    reason: str = ""


@dataclass
class ImageSpan:
    """One image: what names it, and its columns."""

    url: str | None = None  # or a path, where the record holds one in its place
    file: str | None = None  # its name below a folder of downloaded images
    reason: str = ""
    columns: dict[str, Any] = field(default_factory=dict)
    left: dict[str, Any] = field(default_factory=dict)  # what no column takes


Span: TypeAlias = TextSpan | ImageSpan


@dataclass
class Document:
    """One record. A document with a `reason` is dead whatever its spans are."""

    spans: list[Span] = field(default_factory=list)
    columns: dict[str, Any] = field(default_factory=dict)
    left: dict[str, Any] = field(default_factory=dict)
    reason: str = ""

    def holds(self, *lists: list[Any] | None) -> bool:
        """Whether these can be its items: dead, where there is no list or too much in them together."""
        if any(items is None for items in lists):
            self.fail("wrong_type")
        elif sum(len(items or ()) for items in lists) > MAX_ITEMS:
            self.fail("too_many_items")
        return not self.reason

    def fail(self, reason: str) -> None:
        """Die for this reason, if there is no earlier one."""
        self.reason = self.reason or reason


def text_span(value: Any, limit: int) -> TextSpan:
    """A text of a record with what is wrong with it: no string, not UTF-8, beyond `limit` bytes."""
    if not isinstance(value, str):
        return TextSpan((meta_of({"value": value}) or "")[:MAX_NAME], "not_a_string")
    body = clean(value)
    if len(body) * 4 > limit and len(encoded := body.encode()) > limit:
        return TextSpan(encoded[:limit].decode("utf-8", "ignore"), "text_too_large")
    return TextSpan(body, "" if body is value else "not_utf8")


def name_of(value: Any) -> str | None:
    """A URL, path or file name; None where the value cannot be one."""
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_NAME:
        return None
    return None if value[:5].lower() == "data:" else value


def number(value: Any) -> float | None:
    """A finite number, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e30 and math.isfinite(value) else None  # NaN compares false


def whole(value: Any, limit: int) -> int | None:
    """A whole number from 0 to below `limit`, else None."""
    found = number(value)
    return int(found) if found is not None and 0 <= found < limit and found == int(found) else None


def listed(value: Any) -> list[Any] | None:
    """A list, given as one or as JSON in a string; None where it is neither."""
    found = parse(value) if isinstance(value, str) else value
    return found if isinstance(found, list) else None


def mapped(value: Any) -> dict[str, Any] | None:
    """A mapping, given as one or as JSON in a string; None where it is neither. A copy."""
    found = parse(value) if isinstance(value, str) else value
    return dict(found) if isinstance(found, dict) else None


def is_void(entry: Any) -> bool:
    """No entry: null, or (in Parquet, for a null structure) nothing but nulls."""
    return entry is None or (isinstance(entry, Mapping) and all(v is None for v in entry.values()))


def take_string(record: dict[str, Any], *names: str) -> str | None:
    """The first of the fields that is a string, taken out of the record."""
    for name in names:
        if isinstance(record.get(name), str):
            return clean(record.pop(name))
    return None


def take_pixels(record: dict[str, Any], *names: str) -> int | None:
    """The first of the fields that is a width or height in pixels, taken out of the record."""
    for name in names:
        if found := whole(record.get(name), 2**31):
            del record[name]
            return found
    return None
