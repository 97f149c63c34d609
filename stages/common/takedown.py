"""Lists of what must go: ids, hashes and URLs out of text, CSV and JSON Lines."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from curate.errors import RecipeError, nearest
from stages.common.list_file import stamp, text_of
from stages.common.urls import normal_url

_ID = re.compile(r"[0-9a-f]{32}(?:#\d+)*")
_HASH = re.compile(r"[0-9a-f]{64}")
_URL = re.compile(r"(?:https?:)?//[^\s/?#]+.*", re.IGNORECASE)
# Columns and fields that are read; whatever else a list tells (dates, reasons) is for people.
_FIELDS = {
    "id": "ids",
    "sample_id": "ids",
    "sha256": "hashes",
    "image_sha256": "hashes",
    "image_pixel_sha256": "hashes",
    "sample_digest": "hashes",
    "url": "urls",
    "image_url": "urls",
    "page_url": "urls",
}
_TELL = {"ids": "32 hex digits", "hashes": "64 hex digits (SHA-256)", "urls": "a URL with http or https"}


class Listed(NamedTuple):
    """What is on lists; hashes in lower case, URLs in their normal form."""

    ids: frozenset[str]
    hashes: frozenset[str]
    urls: frozenset[str]
    digest: str  # 64 hex digits of what is listed, in whatever order, spelling and file


def listed(paths: tuple[str, ...], place: str) -> Listed:
    """All that is on the lists. RecipeError at `place` where a line is not understood: none is skipped."""
    return _merged(paths, place, tuple(stamp(path, place) for path in paths))


@lru_cache(maxsize=4)
def _merged(paths: tuple[str, ...], place: str, stamps: tuple[tuple[int, int], ...]) -> Listed:
    found: dict[str, set[str]] = {kind: set() for kind in _TELL}
    for path, stamped in zip(paths, stamps, strict=True):
        _load(path, place, stamped, found)
    digest = hashlib.sha256()
    for kind, values in found.items():
        for value in (kind, *sorted(values)):
            digest.update(f"{value}\n".encode())
    ids, hashes, urls = (frozenset(found[kind]) for kind in ("ids", "hashes", "urls"))
    return Listed(ids, hashes, urls, digest.hexdigest())


def _load(path: str, place: str, stamped: tuple[int, int], found: dict[str, set[str]]) -> None:
    text = text_of(path, place, stamped)
    suffix = path.rpartition(".")[2].lower()
    rows = {"csv": _csv, "tsv": _csv, "jsonl": _jsonl, "ndjson": _jsonl}.get(suffix, _lines)
    for line, kind, value in rows(text, path, place):
        form = _understood(kind, value.strip())
        if form is None:
            wanted = _TELL.get(kind, ", ".join(_TELL.values()))
            raise RecipeError(place, f"{path}: line {line} has `{value[:80]}`, which is not {wanted}")
        found[form[0]].add(form[1])


def _understood(kind: str, value: str) -> tuple[str, str] | None:
    """The kind of a value and its form in comparisons; `kind` is empty where the list does not tell."""
    lower = value.lower()
    if kind in ("", "ids") and _ID.fullmatch(lower):
        return "ids", lower
    if kind in ("", "hashes") and _HASH.fullmatch(lower):
        return "hashes", lower
    if kind in ("", "urls") and _URL.fullmatch(value):
        return "urls", normal_url(value)
    return None


Rows = Iterator[tuple[int, str, str]]  # line, kind, value


def _lines(text: str, path: str, place: str) -> Rows:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, "", line


def _csv(text: str, path: str, place: str) -> Rows:
    # `split` would cut quoted values with line ends in them
    reader = csv.reader(
        text.splitlines(keepends=True), delimiter="," if path.lower().endswith("csv") else "\t"
    )
    header = next(reader, [])
    columns = {
        i: _FIELDS[name.strip().lower()] for i, name in enumerate(header) if name.strip().lower() in _FIELDS
    }
    if not columns:
        raise _no_field(path, place, header)
    for row in reader:
        for i, value in enumerate(row):
            if i in columns and value.strip():
                yield reader.line_num, columns[i], value


def _jsonl(text: str, path: str, place: str) -> Rows:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise RecipeError(place, f"{path}: line {number} is no JSON") from error
        if not isinstance(record, dict):
            raise RecipeError(place, f"{path}: line {number} is no object", '{"sample_id": ...}')
        if not set(record) & set(_FIELDS):
            raise _no_field(path, place, list(record), number)
        for name, value in record.items():
            for one in value if isinstance(value, list) else [value]:
                if name in _FIELDS and one is not None:
                    yield number, _FIELDS[name], str(one)


def _no_field(path: str, place: str, names: Iterable[str], line: int = 1) -> RecipeError:
    told = ", ".join(f"`{name}`" for name in names) or "nothing"
    return RecipeError(
        place, f"{path}: line {line} names {told}, nothing to find samples by", nearest("", _FIELDS)
    )
