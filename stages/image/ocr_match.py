"""See `OcrMatch`."""

from __future__ import annotations

import re
import unicodedata
from typing import ClassVar, Literal

import pyarrow as pa

from curate.sample import Level, single
from curate.stage import Map, Op, Out

# Thai, Lao, Burmese, kana, Han: without spaces between words
_SPACELESS = "\u0e00-\u0eff\u1000-\u109f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_SPACELESS}]|[^\W_{_SPACELESS}]+")


class OcrMatch(Map):
    """What share of a caption's words can be read in the picture, 0 to 1; of several texts, the largest.

        image_ocr_match   null where there is no text with a word in it, or the picture was not read

    Words are compared in NFKC form without case; in scripts without spaces each letter is one. Needs the
    column image_ocr_text of `ocr`. A caption that repeats what stands in the picture makes image and text
    agree whatever else is seen: T-MARS (arXiv 2307.03132) takes such text out before it scores, the text
    spotting filter of CAT (arXiv 2301.02280) drops the pair. Suggested: {max: 0.5}.
    """

    stage: Literal["ocr_match"] = "ocr_match"
    level: ClassVar[Level] = "image"

    def reads(self) -> frozenset[str]:
        return frozenset({"image_ocr_text", "text_body"})

    def writes(self) -> pa.Schema:
        return pa.schema([("image_ocr_match", pa.float32())])

    def open(self) -> Op:
        def op(table: pa.Table) -> Out:
            seen = single(table["image_ocr_text"]).to_pylist()
            texts = single(table["text_body"]).to_pylist()
            shares = [
                None if text is None else _share(text, captions)
                for text, captions in zip(seen, texts, strict=True)
            ]
            return Out({"image_ocr_match": pa.array(shares, pa.float32())})

        return op


def _share(seen: str, captions: list[str | None]) -> float | None:
    there = set(_words(seen))
    captioned = [words for words in map(_words, filter(None, captions)) if words]
    return max((sum(word in there for word in words) / len(words) for words in captioned), default=None)


def _words(text: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
