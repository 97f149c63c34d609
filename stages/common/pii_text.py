"""What all searches for personal data share: a text folded place by place, spans, what stands around them."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple


class Span(NamedTuple):
    """A finding; code points of the text from `start` to before `end`."""

    kind: str
    start: int
    end: int


_IMAGE = "jpe?g|png|gif|webp|svg|tiff?|bmp|heic|avif|pdf|mp4|mov|zip"
# Numbers within an address or a file's name are names of things. ASCII, as Chinese goes on without a space.
_NAMES = re.compile(
    rf"(?:https?://|www\.)[!-~]{{1,2000}}+|(?<![\w.-])[\w-]{{1,200}}+\.(?:{_IMAGE})\b", re.IGNORECASE
)
_BEFORE, _BEHIND = 32, 16  # how far around a number a word says what it is


@lru_cache(maxsize=1)
def _table() -> dict[int, str]:
    """One character for one: digits of any script, full width, dashes and spaces to ASCII."""
    table = {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
    table |= dict.fromkeys((*range(0x2010, 0x2016), 0x2212, 0xFE58, 0xFE63), "-")
    for code in range(0x80, sys.maxunicode + 1):
        category = unicodedata.category(chr(code))
        if category == "Nd":
            table[code] = str(unicodedata.digit(chr(code)))
        elif category == "Zs":
            table[code] = " "
    return table


def fold(text: str) -> str:
    """The text in plain digits, dashes and spaces, every character in its place."""
    return text if text.isascii() else text.translate(_table())


def without_names(text: str) -> str:
    """The text with addresses and file names blanked, every other character in its place."""
    return _NAMES.sub(lambda name: "x" * len(name[0]), text)


def blank(text: str, spans: Iterable[Span]) -> str:
    """The text with spans blanked, every other character in its place."""
    pieces, done = [], 0
    for span in sorted(spans, key=lambda s: s.start):
        pieces += [text[done : span.start], "\0" * (span.end - span.start)]
        done = span.end
    return "".join([*pieces, text[done:]]) if pieces else text


def scan(
    pattern: re.Pattern[str], text: str, accept: Callable[[re.Match[str]], bool]
) -> Iterator[tuple[int, int]]:
    """Matches that are accepted; what is not is searched again from its second character on."""
    place = 0
    while match := pattern.search(text, place):
        if accept(match):
            yield match.start(), match.end()
            place = match.end()
        else:
            place = match.start() + 1


def said(words: re.Pattern[str], match: re.Match[str]) -> bool:
    """Whether one of the words stands shortly before or behind a match."""
    text, start, end = match.string, match.start(), match.end()
    return bool(words.search(text, max(0, start - _BEFORE), start) or words.search(text, end, end + _BEHIND))


def said_before(words: re.Pattern[str], match: re.Match[str]) -> bool:
    """Whether one of the words stands shortly before a match."""
    return words.search(match.string, max(0, match.start() - _BEFORE), match.start()) is not None
