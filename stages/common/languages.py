"""Which languages a script leaves to choose from, and texts as a classifier of short texts is shown them."""

from __future__ import annotations

import unicodedata

import numpy as np
import numpy.typing as npt

from curate.sample import Ints
from stages.common import scripts

# Scripts that a living language has for itself, or nearly so; codes are those of lid.176.
_OWN = {
    "Greek": "el",
    "Hebrew": "he yi",
    "Armenian": "hy",
    "Georgian": "ka xmf",
    "Thai": "th",
    "Lao": "lo",
    "Khmer": "km",
    "Tibetan": "bo",
    "Myanmar": "my",
    "Sinhala": "si",
    "Tamil": "ta",
    "Telugu": "te",
    "Kannada": "kn",
    "Malayalam": "ml",
    "Gujarati": "gu",
    "Gurmukhi": "pa",
    "Oriya": "or",
    "Ethiopic": "am",
    "Hangul": "ko",
    "Kana": "ja",
    "Han": "zh ja",
    "Mongolian": "mn",
}
_SHARED = {
    "Cyrillic": "ru uk be rue bg sr sh bs mk kk ky tg tt tk ba cv ce os sah uz az mn ku kv krc lez av mhr mrj"
    " myv bxr xal tyv",
    "Arabic": "ar arz fa ur pnb ps ckb ku sd ug azb az mzn lrc kk ky ms",
    "Devanagari": "hi mr ne new sa mai bh gom dty",
    "Bengali": "bn as bpy",
}
# Those of the above that are written in Latin letters too.
_LATIN_TOO = "sr sh bs az tk uz kk ku mn tt os ms gom"
# Those where a few letters do not tell the language.
SHARED = frozenset({*_SHARED, "Latin", "Han", "Other"})
# A word of these is written in a third of the letters.
_DENSE = ("Han", "Kana", "Hangul")
_DENSITY = 3


def candidates(labels: frozenset[str]) -> dict[str, frozenset[str]]:
    """For each script the labels that a text in it may have: labels of no known script are Latin or Other."""
    named = {name: frozenset(codes.split()) for name, codes in {**_OWN, **_SHARED}.items()}
    elsewhere = frozenset({"dv", "wuu", "yue"}).union(*named.values()) - frozenset(_LATIN_TOO.split())
    found = {name: codes & labels for name, codes in named.items()}
    found["Latin"] = labels - elsewhere
    found["Other"] = labels & {"dv"}  # Thaana
    return found


class _Letters(dict[int, int]):
    """For `str.translate`: everything but letters, marks and apostrophes becomes a space."""

    def __missing__(self, code: int) -> int:
        character = chr(code)
        joins = character in "-'\u200c\u200d"
        kept = joins or unicodedata.category(character)[0] in "LM"
        self[code] = code if kept else 0x20
        return self[code]


_LETTERS = _Letters({0x2019: 0x27})  # the typographic apostrophe


def plain(text: str) -> str:
    """The words of a text in lower case, with one space between them: no digits, no punctuation."""
    return " ".join(text.lower().translate(_LETTERS).split())


def main_script(texts: list[str]) -> tuple[list[str | None], npt.NDArray[np.float64], Ints]:
    """Of each text the script of most letters (None without any), their share, and the number of all letters.

    A Han, kana or Hangul letter weighs three. Han with at least a tenth of kana is Kana, so Japanese.
    """
    rows = len(texts)
    kinds = scripts.table()
    chars = np.fromiter((len(t) for t in texts), dtype=np.int64, count=rows)
    codes = np.frombuffer("".join(texts).encode("utf-32-le"), dtype=np.uint32)
    row = np.repeat(np.arange(rows), chars)
    histogram = np.bincount(row * scripts.CLASSES + kinds[codes], minlength=rows * scripts.CLASSES)
    letters = histogram.reshape(rows, scripts.CLASSES)[:, scripts.OTHER :].astype(np.float64)
    count = letters.sum(axis=1).astype(np.int64)
    for name in _DENSE:
        letters[:, scripts.SCRIPTS.index(name)] *= _DENSITY
    kana, han = (letters[:, scripts.SCRIPTS.index(name)] for name in ("Kana", "Han"))
    alone = kana + han
    japanese = (kana > 0) & (kana * 10 >= alone)
    kana[japanese], han[japanese] = alone[japanese], 0
    best = letters.argmax(axis=1)
    share = letters[np.arange(rows), best] / np.maximum(letters.sum(axis=1), 1)
    names = [scripts.SCRIPTS[i] if n else None for i, n in zip(best.tolist(), count.tolist(), strict=True)]
    return names, share, count
