"""What a row of an evaluation benchmark asks: which of its fields is the question, which are images."""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

# What is wrong with rows and images, and how often.
Faults: TypeAlias = Counter[str]

LARGEST_IMAGE = 64 << 20  # bytes, encoded
_LONGEST_TEXT = 1 << 16  # characters that are compared
_IDS = ("index", "question_id", "questionid", "id", "pid", "qid")
_QUESTIONS = ("question", "query", "problem", "prompt", "instruction", "text")
_OPTIONS = ("options", "choices", "multi-choice options", "candidates")
_ANSWERS = ("answer", "answers", "caption", "captions")
_IMAGE = re.compile(r"(decoded_|query_)?(image|img|picture|jpg|png)s?([_ ]?\d+)?")
_PATH = re.compile(r"(image|img|file)_?(path|name)s?")
# VLMEvalKit: a value of at most so many characters is the index of the row that has the image.
_POINTER = 64
# Within the text of a list, as Python or JSON write it.
_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"", re.DOTALL)
_DATA_URI = re.compile(r"data:[\w/+.-]{0,64};base64,")
_OPTION_COLUMN = re.compile(r"[A-Z]")


class SameAs(NamedTuple):
    """The image, or images, of another row."""

    id: str


class Named(NamedTuple):
    """An image that lies in a file beside the table."""

    path: str


Image: TypeAlias = bytes | SameAs | Named


class Item(NamedTuple):
    """One question of a benchmark, or an image alone."""

    id: str
    images: tuple[Image, ...]
    question: str = ""
    options: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()


def columns_known(names: Iterable[str]) -> bool:
    """Whether a table with these columns asks anything that can be compared."""
    lower = [name.lower() for name in names]
    return any(name in (*_QUESTIONS, *_ANSWERS) or _is_image(name) for name in lower)


def item(row: Mapping[str, Any], number: str, faults: Faults) -> Item:
    """The item of a row; `number` is its name where it has none of its own."""
    fields = {str(name).lower(): value for name, value in row.items() if value is not None}
    own = next((fields[name] for name in _IDS if isinstance(fields.get(name), str | int)), "")
    letters = sorted(str(name) for name in row if _OPTION_COLUMN.fullmatch(str(name)))
    options = [text for name in letters for text in _texts(row[name])]
    images = [
        image for name, value in fields.items() if _IMAGE.fullmatch(name) for image in _images(value, faults)
    ]
    if not images:
        paths = [text for name, value in fields.items() if _PATH.fullmatch(name) for text in _listed(value)]
        images = [Named(path) for path in paths]
    return Item(
        str(own).strip()[:200] or number,
        tuple(images),
        next(iter(_first(fields, _QUESTIONS)), ""),
        tuple(options) or _first(fields, _OPTIONS),
        _first(fields, _ANSWERS),
    )


def _is_image(name: str) -> bool:
    return bool(_IMAGE.fullmatch(name) or _PATH.fullmatch(name))


def _first(fields: Mapping[str, Any], names: Iterable[str]) -> tuple[str, ...]:
    """The texts of the first of the fields that holds any."""
    return next((found for name in names if (found := _texts(fields.get(name)))), ())


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(text[:_LONGEST_TEXT] for text in _listed(value) if text.strip())


def _listed(value: Any) -> list[str]:
    """A text, a list of texts, or a text that is a list as Python or JSON write it."""
    if isinstance(value, bytes):
        return []
    if isinstance(value, str):
        inner = value.strip()
        if inner.startswith("[") and inner.endswith("]"):
            return [single or double for single, double in _QUOTED.findall(inner)] or [value]
        return [value]
    if isinstance(value, Mapping):
        return [str(each) for each in value.values() if isinstance(each, str | int | float)]
    if isinstance(value, list | tuple):
        return [str(each) for each in value if isinstance(each, str | int | float)]
    return [str(value)] if isinstance(value, int | float) else []


def _images(value: Any, faults: Faults) -> list[Image]:
    """Out of bytes, a struct {bytes, path}, base64, the index of another row, or a list of such."""
    if isinstance(value, Mapping):
        held, path = value.get("bytes"), value.get("path")
        if held is None and isinstance(path, str) and path:
            return [Named(path)]
        return [] if held is None else _images(held, faults)
    if isinstance(value, list | tuple):
        return [image for each in value for image in _images(each, faults)]
    if isinstance(value, bytes):
        if len(value) > LARGEST_IMAGE:
            faults["oversized"] += 1
            return []
        return [value] if value else []
    if isinstance(value, int) and not isinstance(value, bool):
        return [SameAs(str(value))]
    if not isinstance(value, str) or not value.strip():
        return []
    text = value.strip()
    if text.startswith("["):
        return [image for each in _listed(text) if each != value for image in _images(each, faults)]
    if len(text) <= _POINTER:
        return [Named(text)] if re.search(r"\.[A-Za-z]{3,4}$", text) else [SameAs(text)]
    return _base64(text, faults)


def _base64(text: str, faults: Faults) -> list[Image]:
    if re.search(r"\.[A-Za-z]{3,4}$", text) and len(text) < 1024:
        return [Named(text)]
    start = found.end() if (found := _DATA_URI.match(text)) else 0
    if (len(text) - start) // 4 * 3 > LARGEST_IMAGE:
        faults["oversized"] += 1
        return []
    try:
        data = base64.b64decode("".join(text[start:].split()).encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        faults["bad_base64"] += 1
        return []
    return [data]
