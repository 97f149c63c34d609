"""Conversations as trainers' files spell them: turns, markers and images of a row, whatever its keys are.

A row is a JSON object with a list of turns and the names of its images. In the texts a marker, `<image>`,
stands where an image belongs; images are used up from left to right over the whole conversation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from curate.export.llava import MARKER

_LEADING = re.compile(rf"\s*(?:{re.escape(MARKER)}\s*)+")
# Where a part of a message may name its image (OpenAI, Axolotl, ms-swift).
_IN_PART = ("image", "path", "url", "image_url", "base64")


class Dialect(NamedTuple):
    """How a family of files names things; of several keys the first that a row has."""

    turns: tuple[str, ...]
    role: tuple[str, ...]
    content: tuple[str, ...]
    images: tuple[str, ...]
    users: frozenset[str]  # roles that ask
    assistants: frozenset[str]  # roles that answer


LLAVA = Dialect(
    ("conversations",), ("from",), ("value",), ("image",), frozenset({"human"}), frozenset({"gpt"})
)
# What ms-swift renames by itself, and the tool roles of LLaMA-Factory and TRL.
MESSAGES = Dialect(
    ("messages", "conversations", "conversation"),
    ("role", "from"),
    ("content", "value"),
    ("images", "image"),
    frozenset({"user", "human", "tool", "tool_response", "observation", "observations", "function_response"}),
    frozenset({"assistant", "gpt", "bot", "tool_call", "function_call"}),
)
# The record's names of roles; all others are kept as they are.
ROLES = {"human": "user", "gpt": "assistant", "bot": "assistant"}
# Media that a row of images and text has no place for.
OTHER_MEDIA = ("video", "videos", "audio", "audios")


class Turn(NamedTuple):
    """One turn as read."""

    role: str | None  # as given; None where it is no text
    content: str | None  # parts joined, a marker for each image part; None where it is neither text nor parts
    own: tuple[Any, ...] | None  # of a turn in parts, for each marker the image it names itself, or None
    rest: dict[str, Any]  # keys that are neither role nor content


class Placed(NamedTuple):
    """A turn with its images: `content` without the markers whose place `images` tells anyway."""

    content: str | None
    images: list[int]


def turns_of(row: Mapping[str, Any], dialect: Dialect) -> list[Turn] | None:
    """The turns of a row; None where there is no list of them, or nothing in it."""
    given = _first(row, dialect.turns)
    if not isinstance(given, list) or not given:
        return None
    return [_turn(turn, dialect) for turn in given]


def images_of(row: Mapping[str, Any], dialect: Dialect, turns: Sequence[Turn]) -> list[Any]:
    """What names the images of a row, in order: those of the row, and those that parts of turns bring."""
    given = _first(row, dialect.images)
    listed = given if isinstance(given, list) else [] if given is None or given == "" else [given]
    if not any(turn.own and any(own is not None for own in turn.own) for turn in turns):
        return list(listed)
    rest = iter(listed)
    return [*(name for name in _in_order(turns, rest) if name is not None), *rest]


def path_of(named: Any) -> str | None:
    """The path or URL in what names an image: a text, or Hugging Face's `{bytes, path}`; else None."""
    if isinstance(named, dict):
        named = next((named[key] for key in ("path", "url") if isinstance(named.get(key), str)), None)
    return named if isinstance(named, str) and named else None


def place(turns: Sequence[Turn], dialect: Dialect, count: int) -> list[Placed]:
    """Where the `count` images of a row belong.

    A run of markers that leads a turn, and a single one at its end, only say that the turn has these images:
    they are taken out. Any other marker is a place within the text and stays. Images without a marker go to
    the turn of the last image that has one, or else to the first that asks; markers without an image stay.
    """
    placed: list[Placed] = []
    used = 0
    for turn in turns:
        taken = min((turn.content or "").count(MARKER), count - used)
        placed.append(Placed(_without(turn.content, taken), list(range(used, used + taken))))
        used += taken
    if used < count and placed:
        asks = (i for i, turn in enumerate(turns) if turn.role in dialect.users)
        home = next((i for i in reversed(range(len(placed))) if placed[i].images), next(asks, 0))
        placed[home].images.extend(range(used, count))
    return placed


def leads(content: str) -> bool:
    """Whether the markers of a text stand where trainers put them: a run in front, or a single one behind."""
    found = _LEADING.match(content)
    count = content.count(MARKER)
    return (found is not None and found[0].count(MARKER) == count) or (
        count == 1 and content.rstrip().endswith(MARKER)
    )


def _without(content: str | None, taken: int) -> str | None:
    if content is None or not taken or taken < content.count(MARKER) or not leads(content):
        return content
    return content.replace(MARKER, "").strip()


def _first(row: Mapping[str, Any], keys: Sequence[str]) -> Any:
    return next((row[key] for key in keys if key in row), None)


def _turn(turn: Any, dialect: Dialect) -> Turn:
    if not isinstance(turn, dict):
        return Turn(None, turn if isinstance(turn, str) else None, None, {})
    role, content = _first(turn, dialect.role), _first(turn, dialect.content)
    rest = {k: v for k, v in turn.items() if k not in dialect.role and k not in dialect.content}
    role = role if isinstance(role, str) else None
    if isinstance(content, list) and dialect is MESSAGES:
        parts = [_part(part) for part in content]
        if None in parts:
            return Turn(role, None, None, rest)
        known = [part for part in parts if part is not None]
        own = tuple(image for text, image in known if text is None)
        return Turn(role, "".join(MARKER if text is None else text for text, _ in known), own, rest)
    return Turn(role, content if isinstance(content, str) else None, None, rest)


def _part(part: Any) -> tuple[str | None, Any] | None:
    """(text, nothing) or (no text, the image it names itself); None for what is neither."""
    if isinstance(part, str):
        return part, None
    if not isinstance(part, dict):
        return None
    if part.get("type") == "text" and isinstance(part.get("text"), str):
        return part["text"], None
    if part.get("type") in ("image", "image_url"):
        named = next((part[key] for key in _IN_PART if part.get(key) is not None), None)
        return None, named
    return None


def _in_order(turns: Sequence[Turn], listed: Iterator[Any]) -> Iterator[Any]:
    for turn in turns:
        marks = turn.own if turn.own is not None else (None,) * (turn.content or "").count(MARKER)
        for own in marks:
            yield own if own is not None else next(listed, None)
