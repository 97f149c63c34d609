"""See `Normalise`."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from itertools import cycle, islice
from typing import ClassVar, Literal

import pyarrow as pa
from pydantic import Field, model_validator

from curate.sample import Level, single
from curate.stage import Map, Op, Out
from stages.common.cleaning import Step, functions

# A step may give another one work (an entity that hides a control character that hides an entity).
_ROUNDS = 8


class Normalise(Map):
    """Rewrites `text_body` in a plain form, and keeps what it was.

        text_original   the text as it was; null where nothing changed, and not written with `original: false`

    `steps`, in the order given, all of them linear in the text:

        mojibake   UTF-8 that was read as another encoding, repaired by ftfy ("cafÃ©" to "café"); not in texts
                   of more than 100,000 characters
        entities   HTML's character references ("&amp;amp;" and "&amp;" to "&")
        tags       tags of HTML's text elements are taken out, those of blocks become line breaks
        nfc        Unicode's composed form; marks in a row beyond 30 are cut off (UAX #15)
        nfkc       the compatibility form: ligatures, full width, superscripts ("x²" to "x2")
        quotes     curly quotation marks to straight ones
        controls   control, bidi, zero-width and tag characters are taken out. Joiners stay where they shape
                   letters (Arabic, Indic ...) or join emoji, zero-width spaces in Thai, Khmer and the like
        spaces     white space to plain spaces and line breaks; none at line ends, one empty line at most
        one_line   any run of white space to one space

    The default suits texts of any kind. Captions off the web want `entities`, `tags` and `one_line` too,
    which would ruin code in a conversation. The steps are repeated until nothing changes, so that doing it
    twice is doing it once; a text that has not settled after eight rounds, which takes malice, stays as it
    is. An item that becomes empty stays an item.

    Where `pii` masks behind it, `text_original` would still hold what was masked: give `original: false`.
    """

    stage: Literal["normalise"] = "normalise"
    level: ClassVar[Level] = "text"

    steps: tuple[Step, ...] = Field(
        default=("mojibake", "nfc", "controls", "spaces"), min_length=1, description="What is done, in order."
    )
    original: bool = Field(default=True, description="Whether `text_original` is written.")

    @model_validator(mode="after")
    def _makes_sense(self) -> Normalise:
        if len(set(self.steps)) < len(self.steps):
            raise ValueError("steps: a step is named twice; they are repeated anyway")
        if {"nfc", "nfkc"} <= set(self.steps):
            raise ValueError("steps: nfc and nfkc exclude each other")
        return self

    def reads(self) -> frozenset[str]:
        return frozenset({"text_body"})

    def rewrites(self) -> frozenset[str]:
        return frozenset({"text_body"})

    def writes(self) -> pa.Schema:
        kept = [("text_original", pa.string())] if self.original else []
        return pa.schema([("text_body", pa.string()), *kept])

    def assets(self) -> Mapping[str, str]:
        # the tables that decide what a step does come with the installation
        found = {"unicode": f"Unicode {unicodedata.unidata_version} of Python"}
        if "mojibake" in self.steps:
            found["ftfy"] = f"version {version('ftfy')} of ftfy"
        return found

    def open(self) -> Op:
        steps = functions(self.steps)

        def op(table: pa.Table) -> Out:
            before = single(table["text_body"]).cast(pa.string()).to_pylist()
            after = [None if text is None else settled(text, steps) for text in before]
            columns = {"text_body": pa.array(after, pa.string())}
            if self.original:
                was = [old if old != new else None for old, new in zip(before, after, strict=True)]
                columns["text_original"] = pa.array(was, pa.string())
            return Out(columns)

        return op


def settled(text: str, steps: Sequence[Callable[[str], str]]) -> str:
    """The text after the steps, repeated until nothing changes; as it was where that does not happen."""
    found = text
    quiet = 0
    for step in islice(cycle(steps), _ROUNDS * len(steps)):
        before, found = found, step(found)
        quiet = quiet + 1 if found == before else 0
        if quiet == len(steps):
            return found
    return text
