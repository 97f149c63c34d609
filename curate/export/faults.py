"""What is wrong with a row of a conversation set, by the rules of the trainers that read it.

`faults` judges a parsed row alone: no file is opened, no other row is known. The rules are those that the
trainers' own code enforces or silently trips over; `curate.export.consequences` says which does what.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from curate.export.dialogue import (
    LLAVA,
    MESSAGES,
    OTHER_MEDIA,
    Dialect,
    Turn,
    images_of,
    leads,
    path_of,
    turns_of,
)
from curate.export.llava import MARKER, RESERVED

# Codes of faults that are no more once the row is read: nothing of them is in the record.
MENDED = frozenset(
    {
        "bad_id",
        "not_finite",
        "null_image",
        "marker_position",
        "length_field",
        "several_images",
        "system_turn",
        # what becomes of these images is decided where they are looked for
        "absolute_path",
        "backslash_path",
        "url_path",
    }
)
# Those with which a row is not fit for training, in the order in which they are told.
BREAKING = (
    "not_text",
    "bad_roles",
    "empty_turn",
    "bad_image",
    "marker_missing",
    "marker_count",
    "marker_in_answer",
    "reserved_token",
)
CODES = (*BREAKING, *sorted(MENDED))

_SCHEME = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_SHOWN = 40  # characters of a value in a detail
# Placeholders of grounding, which ms-swift fills from a row's `objects`.
_OF_OBJECTS = ("<bbox>", "<ref-object>")


class Fault(NamedTuple):
    """One thing that is wrong."""

    code: str  # of `CODES`
    detail: str

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"


def faults(row: Mapping[str, Any], dialect: Dialect, finite: bool = True) -> list[Fault]:
    """Everything wrong with a row that has turns, the breaking ones first. `finite`: no number was NaN."""
    turns = turns_of(row, dialect)
    if turns is None:
        return []
    images = images_of(row, dialect, turns)
    found = [
        *_texts(turns),
        *_roles(turns, dialect),
        *_images(row, turns, images, dialect),
        *_markers(turns, len(images), dialect),
        *_reserved(row, turns),
    ]
    if not finite:
        found.append(Fault("not_finite", "a number is NaN or infinite, which JSON does not have"))
    if dialect is LLAVA:
        found += _only_llava(row, images)
    elif "id" in row:
        found += _id(row["id"])
    return sorted(found, key=lambda fault: CODES.index(fault.code))


def short(value: Any) -> str:
    """A value as a detail shows it: as JSON."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def _texts(turns: Sequence[Turn]) -> Iterator[Fault]:
    for i, turn in enumerate(turns):
        if turn.content is None:
            yield Fault("not_text", f"turn {i} has no text, nor parts of text and images")
        elif not turn.content.strip():
            yield Fault("empty_turn", f"turn {i} is empty")


def _roles(turns: Sequence[Turn], dialect: Dialect) -> Iterator[Fault]:
    known = dialect.users | dialect.assistants | {"system"}
    for i, turn in enumerate(turns):
        if turn.role not in known:
            yield Fault("bad_roles", f"turn {i} is by {short(turn.role)}")
            return
    said = [turn.role for turn in turns]
    if said[0] == "system":
        said = said[1:]
        if dialect is LLAVA:
            yield Fault("system_turn", "turn 0 is a system prompt")
    if not said:
        yield Fault("bad_roles", "there is a system prompt alone")
    elif "system" in said:
        yield Fault(
            "bad_roles", f"a system prompt stands at turn {len(turns) - len(said) + said.index('system')}"
        )
    elif dialect is MESSAGES and len(turns) == 1 and said[0] in dialect.assistants:
        return  # ms-swift's row of pre-training
    elif said[0] not in dialect.users:
        yield Fault("bad_roles", f"the first turn is by {short(said[0])}")
    elif said[-1] not in dialect.assistants:
        yield Fault("bad_roles", f"the last turn is by {short(said[-1])}")
    else:
        asks = [role in dialect.users for role in said]
        twice = next((i for i in range(1, len(asks)) if asks[i] == asks[i - 1]), None)
        if twice is not None:
            where = twice + len(turns) - len(said)
            yield Fault("bad_roles", f"turns {where - 1} and {where} are both by {short(said[twice])}")


def _images(
    row: Mapping[str, Any], turns: Sequence[Turn], images: Sequence[Any], dialect: Dialect
) -> Iterator[Fault]:
    key = next((key for key in dialect.images if key in row), None)
    if key is not None and (row[key] is None or row[key] == "" or (dialect is LLAVA and row[key] == [])):
        yield Fault("null_image", f"`{key}` is {short(row[key])}")
    for i, named in enumerate(images):
        path = path_of(named)
        if path is None:
            yield Fault("bad_image", f"image {i} is {short(named)}, no path")
            continue
        if dialect is LLAVA and _SCHEME.match(path):
            yield Fault("url_path", f"image {i} is {short(path)}")
        elif dialect is LLAVA and (path.startswith("/") or _DRIVE.match(path)):
            yield Fault("absolute_path", f"image {i} is {short(path)}")
        if "\\" in path:
            yield Fault("backslash_path", f"image {i} is {short(path)}")
    for i, turn in enumerate(turns):
        own = next((name for name in ("image", "images") if turn.rest.get(name)), None)
        if own is not None:
            yield Fault("bad_image", f"turn {i} has a key `{own}` of its own")


def _markers(turns: Sequence[Turn], images: int, dialect: Dialect) -> Iterator[Fault]:
    counts = [(turn.content or "").count(MARKER) for turn in turns]
    total = sum(counts)
    if images and not total:
        yield Fault("marker_missing", f"no {MARKER} for {images} image{'s' * (images > 1)}")
    elif total != images:
        yield Fault("marker_count", f"{total} {MARKER} for {images} image{'s' * (images != 1)}")
    pre_training = dialect is MESSAGES and len(turns) == 1
    for i, (turn, count) in enumerate(zip(turns, counts, strict=True)):
        if count and turn.role in dialect.assistants and not pre_training:
            yield Fault("marker_in_answer", f"turn {i} has {count} {MARKER}")
    if total == images == 1 and turns[0].own is None:
        at = counts.index(1)
        asked = next((i for i, turn in enumerate(turns) if turn.role in dialect.users), 0)
        if turns[at].role in dialect.assistants:
            return
        if turns[at].role in dialect.users and at != asked:
            yield Fault("marker_position", f"{MARKER} stands in turn {at}, not in the first")
        elif not leads(turns[at].content or ""):
            yield Fault("marker_position", f"{MARKER} stands amid the text of turn {at}")


def _reserved(row: Mapping[str, Any], turns: Sequence[Turn]) -> Iterator[Fault]:
    filled = _OF_OBJECTS if "objects" in row else ()
    media = tuple(f"<{name.rstrip('s')}>" for name in OTHER_MEDIA if row.get(name))
    for i, turn in enumerate(turns):
        text = f" {(turn.content or '').replace(MARKER, '')} "
        token = next((m[0] for m in RESERVED.finditer(text) if m[0] not in (*filled, *media)), None)
        if token is not None:
            yield Fault("reserved_token", f"turn {i} has {token.strip()!r}")


def _only_llava(row: Mapping[str, Any], images: Sequence[Any]) -> Iterator[Fault]:
    if "id" in row:
        yield from _id(row["id"])
    else:
        yield Fault("bad_id", "there is no `id`")
    if "length" in row:
        yield Fault("length_field", f"`length` is {short(row['length'])}")
    if isinstance(row.get("image"), list) and images:
        yield Fault("several_images", f"`image` is a list of {len(images)}")


def _id(id: Any) -> Iterator[Fault]:
    if isinstance(id, bool) or not isinstance(id, str | int):
        yield Fault("bad_id", f"`id` is {short(id)}")
    elif not str(id).strip() or not str(id).isascii() or not str(id).isprintable():
        yield Fault("bad_id", f"`id` is {short(id)}, not plain ASCII")
