"""Unicode: what each code point is, as one table that a whole batch is looked up in."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

import numpy as np
import numpy.typing as npt

SYMBOL, SPACE, DIGIT, MARK, OTHER = range(5)
# Written without spaces between words: a letter is compared where others have words.
SPACELESS = ("Han", "Kana", "Thai", "Lao", "Khmer", "Myanmar")
# Blocks that hold a script's letters. Blocks rather than the Script property, which Python lacks; only
# their letters count, so that punctuation within a block does no harm.
_BLOCKS: dict[str, tuple[tuple[int, int], ...]] = {
    "Latin": (
        (0x41, 0x24F),
        (0x250, 0x2AF),
        (0x1D00, 0x1DBF),
        (0x1E00, 0x1EFF),
        (0x2C60, 0x2C7F),
        (0xA720, 0xA7FF),
        (0xAB30, 0xAB6F),
        (0xFB00, 0xFB06),
        (0xFF21, 0xFF5A),
    ),
    "Greek": ((0x370, 0x3FF), (0x1F00, 0x1FFF)),
    "Cyrillic": ((0x400, 0x52F), (0x1C80, 0x1C8F), (0xA640, 0xA69F)),
    "Armenian": ((0x530, 0x58F),),
    "Hebrew": ((0x590, 0x5FF), (0xFB1D, 0xFB4F)),
    "Arabic": ((0x600, 0x6FF), (0x750, 0x77F), (0x870, 0x8FF), (0xFB50, 0xFDFF), (0xFE70, 0xFEFF)),
    "Devanagari": ((0x900, 0x97F),),
    "Bengali": ((0x980, 0x9FF),),
    "Gurmukhi": ((0xA00, 0xA7F),),
    "Gujarati": ((0xA80, 0xAFF),),
    "Oriya": ((0xB00, 0xB7F),),
    "Tamil": ((0xB80, 0xBFF),),
    "Telugu": ((0xC00, 0xC7F),),
    "Kannada": ((0xC80, 0xCFF),),
    "Malayalam": ((0xD00, 0xD7F),),
    "Sinhala": ((0xD80, 0xDFF),),
    "Thai": ((0xE00, 0xE7F),),
    "Lao": ((0xE80, 0xEFF),),
    "Tibetan": ((0xF00, 0xFFF),),
    "Myanmar": ((0x1000, 0x109F),),
    "Georgian": ((0x10A0, 0x10FF), (0x1C90, 0x1CBF), (0x2D00, 0x2D2F)),
    "Hangul": ((0x1100, 0x11FF), (0x3130, 0x318F), (0xA960, 0xA97F), (0xAC00, 0xD7FF)),
    "Ethiopic": ((0x1200, 0x139F),),
    "Khmer": ((0x1780, 0x17FF),),
    "Mongolian": ((0x1800, 0x18AF),),
    "Kana": ((0x3040, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9F)),
    "Han": (
        (0x2E80, 0x2FDF),
        (0x3005, 0x3007),
        (0x3400, 0x4DBF),
        (0x4E00, 0x9FFF),
        (0xF900, 0xFAFF),
        (0x20000, 0x323AF),
    ),
}
# Index of a script: its class in the table. Letters of no listed script are OTHER.
SCRIPTS = ("Other", *_BLOCKS)
CLASSES = OTHER + len(SCRIPTS)
_LAST = 0x323AF


def script(name: str) -> int:
    return OTHER + SCRIPTS.index(name)


@lru_cache(maxsize=1)
def table() -> npt.NDArray[np.uint8]:
    """The class of every code point, shape (0x110000,). Takes about 50 ms, so: in open()."""
    kinds = np.full(0x110000, SYMBOL, dtype=np.uint8)
    letters = np.zeros(0x110000, dtype=bool)
    for code in range(_LAST + 1):
        category = unicodedata.category(chr(code))
        if category[0] == "L":
            letters[code] = True
        elif category[0] == "N":
            kinds[code] = DIGIT
        elif category[0] == "M":
            kinds[code] = MARK
        elif category[0] == "Z" or category in ("Cc", "Cf"):
            kinds[code] = SPACE
    kinds[[0xAD, 0x200C, 0x200D]] = MARK  # soft hyphen and joiners stand within words
    kinds[0xE0000:0xE01F0] = MARK  # tags and variation selectors, invisible
    kinds[letters] = OTHER
    for name, blocks in _BLOCKS.items():
        for first, last in blocks:
            kinds[first : last + 1][letters[first : last + 1]] = script(name)
    kinds.flags.writeable = False
    return kinds
