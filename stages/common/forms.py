"""Unicode's normal forms of hostile text: linear in its length."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal, TypeAlias

Form: TypeAlias = Literal["NFC", "NFKC"]

# Sorting a run of marks is quadratic. Beyond Unicode's own limit a run means nothing (UAX #15, section 13).
MOST_MARKS = 30
# One character that is 18 in NFKC: a text of it alone would grow sixfold. It stays as it is.
_LIGATURE = "\ufdfa"


def char_class(codes: Iterable[int]) -> str:
    """Code points in ascending order as the inside of a regular expression's `[...]`."""
    ranges: list[list[int]] = []
    for code in codes:
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)


@lru_cache(maxsize=1)
def _excess() -> re.Pattern[str]:
    marks = char_class(c for c in range(sys.maxunicode + 1) if unicodedata.combining(chr(c)))
    return re.compile(f"([{marks}]{{{MOST_MARKS}}})[{marks}]+")


def normal(text: str, form: Form) -> str:
    """The text in a normal form, marks in a row beyond `MOST_MARKS` cut off; the same when done twice."""
    if text.isascii():
        return text
    short = _excess().sub(r"\1", text)
    whole = _LIGATURE.join(unicodedata.normalize(form, piece) for piece in short.split(_LIGATURE))
    # marks may have come out of characters that were decomposed
    return _excess().sub(r"\1", whole)
