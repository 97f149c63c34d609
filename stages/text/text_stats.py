"""See `TextStats`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.sample import Ints, Level, Mask, single
from curate.stage import Map, Op, Out
from stages.common import scripts

_PHRASES = Path(__file__).with_name("boilerplate.txt")

# A run of this many equal characters is drawn, not written ("-----", "aaaa"); "..." is written.
_RUN = 4
_REPEATED = 0.6
_LETTERS = 0.25
# Where a `*` phrase counts, and what makes a list a list of search words.
_SHORT_WORDS = 12
_LIST_MARKS, _LIST_WORDS = 5, 2.5
_HASHTAGS = 3

# RE2 through pyarrow: one pass over the batch, linear whatever the text.
_URL = (
    r"(?i)^\s*(?:(?:https?://|ftp://|www\.)\S+"
    r"|(?:[a-z0-9-]+\.)+(?:com|net|org|info|io|co|de|fr|es|it|ru|cn|jp|uk|eu)(?:/\S*)?)\s*$"
)
_EXTENSION = r"jpe?g|jfif|png|gif|webp|bmp|tiff?|svg|heic|avif|psd|cr2|nef|mp4|mov|pdf"
_CAMERA = (
    r"img|dsc[nf]?|dcim|pict?|imag|image|photo|picture|foto|bild|cimg|imgp|sam|gopr|pxl|mvimg|wp|scan"
    r"|screen[ _-]?shot|capture|untitled|unnamed|thumb|thumbnail"
)
_FILE_NAME = (
    rf"(?i)^\s*(?:[^/\\:*?\"<>|\n]{{1,120}}\.(?:{_EXTENSION})"
    rf"|(?:{_CAMERA})[\s_.#-]*\(?\d[\d\s_.:x-]*(?:at\s[\d.]+)?\)?"
    r"|[0-9a-f]{12,}|[0-9a-f]{8}(?:-[0-9a-f]{4,}){3,4}|\d+\s*[x×]\s*\d+(?:\s*px)?)\s*$"
)
_MARKS = r"[,，、|;；•·/]"
_HASHTAG = r"#[\p{L}\p{N}_]"
_NOT_WORD = r"[^\p{L}\p{M}\p{N}]+"


class TextStats(Map):
    """Length, make-up, repetition and script of a text, and whether it is junk; counts, and shares 0 to 1.

        text_chars          code points
        text_words          words between white space that hold a letter or digit; each Han or kana
                            letter is one. Thai, Lao, Khmer and Burmese, written without spaces, count
                            one for each run between spaces: bound their text_chars instead
        text_symbol_ratio   share of visible characters that are neither letter, mark nor number
        text_digit_ratio    share of visible characters that are numbers
        text_latin_ratio    share of letters that are Latin
        text_script         script of most letters (Latin, Han, Kana, Cyrillic, Arabic ...; Other), null
                            without letters. Japanese is Kana: Han next to a tenth of kana counts as Kana
        text_repetition     the larger of: share of word pairs that occurred before; share of visible
                            characters in runs of four or more equal ones
        text_junk           null, or the first that fits: empty, url, file_name, boilerplate (a phrase of
                            boilerplate.txt), symbols (less than a quarter letters), tags (hashtags, or
                            a list of search words), repeated (text_repetition of 0.6 or more)

    After Gopher (arXiv 2112.11446, A.1.1: word counts, symbols, duplicate n-grams) and OBELICS (arXiv
    2306.16527, A.2: special characters, word and character repetition), with word pairs in place of n-grams
    of 5 to 10, for captions are short, and shares of visible characters in place of all.
    """

    stage: Literal["text_stats"] = "text_stats"
    level: ClassVar[Level] = "text"

    def reads(self) -> frozenset[str]:
        return frozenset({"text_body"})

    def writes(self) -> pa.Schema:
        return pa.schema(
            [
                ("text_chars", pa.int32()),
                ("text_words", pa.int32()),
                ("text_symbol_ratio", pa.float32()),
                ("text_digit_ratio", pa.float32()),
                ("text_latin_ratio", pa.float32()),
                ("text_script", pa.string()),
                ("text_repetition", pa.float32()),
                ("text_junk", pa.string()),
            ]
        )

    def assets(self) -> Mapping[str, str]:
        return {_PHRASES.name: _phrases().digest}

    def open(self) -> Op:
        kinds = scripts.table()
        phrases = _phrases()
        whole = pa.array(phrases.whole)
        within = rf"(?:{'|'.join(phrases.within)})"

        def op(table: pa.Table) -> Out:
            bodies = pc.fill_null(single(table["text_body"]).cast(pa.string()), "")
            texts = bodies.to_pylist()
            counted = _count(texts, kinds)
            repetition = np.maximum(_repeated_pairs(texts, counted.spaceless), counted.runs)
            matches = {
                "empty": counted.visible == 0,
                "url": _matches(bodies, _URL),
                "file_name": _matches(bodies, _FILE_NAME),
                "boilerplate": _boilerplate(bodies, whole, within, counted.words),
                "symbols": counted.letters < _LETTERS * counted.visible,
                "tags": _tags(bodies, counted.words),
                "repeated": repetition >= _REPEATED,
            }
            junk = np.select(list(matches.values()), list(matches), default="")
            return Out(
                {
                    "text_chars": pa.array(counted.chars, pa.int32()),
                    "text_words": pa.array(counted.words, pa.int32()),
                    "text_symbol_ratio": _share(counted.symbols, counted.visible),
                    "text_digit_ratio": _share(counted.digits, counted.visible),
                    "text_latin_ratio": _share(counted.latin, counted.letters),
                    "text_script": pa.array(counted.scripts, pa.string()),
                    "text_repetition": pa.array(repetition, pa.float32()),
                    "text_junk": pa.array(junk, pa.string(), mask=junk == ""),
                }
            )

        return op


class _Phrases(NamedTuple):
    whole: list[str]
    within: list[str]
    digest: str


@lru_cache(maxsize=1)
def _phrases() -> _Phrases:
    data = _PHRASES.read_bytes()
    lines = [line.strip() for line in data.decode().splitlines() if line.strip() and not line.startswith("#")]
    within = [line[2:] for line in lines if line.startswith("* ")]
    whole = [line for line in lines if not line.startswith("* ")]
    return _Phrases(whole, within, hashlib.sha256(data).hexdigest())


class _Counts(NamedTuple):
    """One value a text."""

    chars: Ints
    visible: Ints
    words: Ints
    symbols: Ints
    digits: Ints
    letters: Ints  # marks included
    latin: Ints
    scripts: list[str | None]
    spaceless: Mask  # mostly Han or kana
    runs: npt.NDArray[np.float64]


def _count(texts: list[str], kinds: npt.NDArray[np.uint8]) -> _Counts:
    """All texts as one array of code points: no loop over characters, and none over texts."""
    rows = len(texts)
    chars = np.fromiter((len(t) for t in texts), dtype=np.int64, count=rows)
    codes = np.frombuffer("".join(texts).encode("utf-32-le"), dtype=np.uint32)
    row = np.repeat(np.arange(rows), chars)
    kind = kinds[codes]
    histogram = np.bincount(row * scripts.CLASSES + kind, minlength=rows * scripts.CLASSES)
    histogram = histogram.reshape(rows, scripts.CLASSES)
    by_script = histogram[:, scripts.OTHER :].copy()
    latin = by_script[:, scripts.SCRIPTS.index("Latin")].copy()
    kana, han = (by_script[:, scripts.SCRIPTS.index(name)] for name in ("Kana", "Han"))
    alone = kana + han
    japanese = (kana > 0) & (kana * 10 >= alone)
    kana[japanese], han[japanese] = alone[japanese], 0
    only = by_script.sum(axis=1)
    names = np.array(scripts.SCRIPTS, dtype=object)[by_script.argmax(axis=1)]
    names[only == 0] = None
    visible = chars - histogram[:, scripts.SPACE]
    return _Counts(
        chars=chars,
        visible=visible,
        words=_words(kind, row, rows) + alone,
        symbols=histogram[:, scripts.SYMBOL],
        digits=histogram[:, scripts.DIGIT],
        letters=only + histogram[:, scripts.MARK],
        latin=latin,
        scripts=names.tolist(),
        spaceless=2 * alone > only,
        runs=_runs(codes, kind, row, rows) / np.maximum(visible, 1),
    )


def _words(kind: npt.NDArray[np.uint8], row: Ints, rows: int) -> Ints:
    """Stretches without white space, Han or kana that hold a letter or digit."""
    alone = (kind == scripts.script("Kana")) | (kind == scripts.script("Han"))
    stretch = np.cumsum(alone | (kind == scripts.SPACE))
    held = np.flatnonzero(~alone & ((kind == scripts.DIGIT) | (kind >= scripts.OTHER)))
    if not len(held):
        return np.zeros(rows, dtype=np.int64)
    starts = np.r_[True, (np.diff(stretch[held]) != 0) | (np.diff(row[held]) != 0)]
    return np.bincount(row[held[starts]], minlength=rows)


def _runs(codes: npt.NDArray[np.uint32], kind: npt.NDArray[np.uint8], row: Ints, rows: int) -> Ints:
    """Visible characters that stand in long runs of the same one."""
    first = np.flatnonzero(np.r_[True, (np.diff(codes) != 0) | (np.diff(row) != 0)][: len(codes)])
    sizes = np.diff(first, append=len(codes))
    long = (sizes >= _RUN) & (kind[first] != scripts.SPACE)
    return np.bincount(row[first[long]], sizes[long], minlength=rows).astype(np.int64)


def _repeated_pairs(texts: list[str], spaceless: Mask) -> npt.NDArray[np.float64]:
    """Share of neighbouring word pairs that occurred earlier in the text."""
    shares = np.zeros(len(texts))
    for i, text in enumerate(texts):
        words = text.lower().split()
        units = "".join(words) if spaceless[i] else words
        pairs = len(units) - 1
        if pairs > 1:
            shares[i] = 1 - len(set(pairwise(units))) / pairs
    return shares


def _matches(texts: pa.Array, pattern: str) -> Mask:
    found: Mask = pc.match_substring_regex(texts, pattern).to_numpy(zero_copy_only=False)
    return found


def _boilerplate(texts: pa.Array, whole: pa.Array, within: str, words: Ints) -> Mask:
    plain = pc.utf8_trim_whitespace(pc.replace_substring_regex(pc.utf8_lower(texts), _NOT_WORD, " "))
    equal: Mask = pc.is_in(plain, whole).to_numpy(zero_copy_only=False)
    short: Mask = words <= _SHORT_WORDS
    found: Mask = equal | (_matches(plain, within) & short)
    return found


def _tags(texts: pa.Array, words: Ints) -> Mask:
    hashtags = pc.count_substring_regex(texts, _HASHTAG).to_numpy()
    marks = pc.count_substring_regex(texts, _MARKS).to_numpy()
    tagged = (hashtags >= _HASHTAGS) & (2 * hashtags >= words)
    listed = (marks >= _LIST_MARKS) & (words <= _LIST_WORDS * (marks + 1))
    found: Mask = tagged | listed
    return found


def _share(part: Ints, whole: Ints) -> pa.Array:
    return pa.array(part / np.maximum(whole, 1), pa.float32())
