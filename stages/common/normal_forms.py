"""Strings in forms in which those that should count as equal are equal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from curate.sample import single
from stages.common.forms import normal
from stages.common.urls import normal_url

NormalForm: TypeAlias = Literal["none", "casefold", "nfkc", "text", "url"]

# What is not seen: format characters (joiners, soft hyphens, marks of direction) and variation selectors.
_UNSEEN = r"[\p{Cf}\x{034f}\x{fe00}-\x{fe0f}\x{e0100}-\x{e01ef}]+"
_SPACE = r"[\s\p{Z}]+"
_WIDE_SPACE = r"[\s\p{Z}\p{Cc}]+"
_MARKS = r"[\p{P}\p{S}]+"


def normalised(values: pa.Array, form: NormalForm) -> pa.Array:
    """`values`, strings, in a normal form; null stays null.

    casefold  lower case, and one space for all white space
    nfkc      the same of Unicode's NFKC: width and form of letters do not count
    text      NFKC, case-folded, without what is not seen and without punctuation and symbols; a text of
              nothing else keeps them
    url       see `urls.normal_url`
    """
    if form == "none":
        return values
    if form == "url":
        return _each(values, normal_url)
    if form == "text":
        return _text(values)
    if form == "nfkc":
        values = pc.utf8_normalize(values, "NFKC")
    return _spaced(pc.utf8_lower(values), _SPACE)


def _text(values: pa.Array) -> pa.Array:
    seen = pc.replace_substring_regex(values, _UNSEEN, "")
    folded = _spaced(_each(seen, _folded), _WIDE_SPACE)
    bare = _spaced(pc.replace_substring_regex(folded, _MARKS, ""), _WIDE_SPACE)
    return pc.if_else(pc.equal(pc.binary_length(bare), 0), folded, bare)


def _folded(text: str) -> str:
    # case-folding takes some characters out of their normal form
    return text.lower() if text.isascii() else normal(normal(text, "NFKC").casefold(), "NFKC")


def _spaced(values: pa.Array, space: str) -> pa.Array:
    return pc.utf8_trim_whitespace(pc.replace_substring_regex(values, space, " "))


def _each(values: pa.Array, form: Callable[[str], str]) -> pa.Array:
    found = [None if value is None else form(value) for value in single(values).to_pylist()]
    return pa.array(found, pa.string())
