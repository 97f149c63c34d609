"""Which entries of a long list occur in a text, as whole words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from stages.common.normal_forms import normalised

# Scripts written without spaces between words: each letter stands alone.
_ALONE = r"([\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}])"
# Signs are words of their own, so that `c++` is not found where a `c` is; but these join words.
_JOINTS = r"[\-_\x{2010}-\x{2015}]+"
_SIGN = r"([\p{P}\p{S}])"


def words(texts: pa.Array) -> pa.Array:
    """Each text as words with one space between: NFKC, without case; signs, and letters of scripts without
    spaces, stand alone; hyphens and underscores are spaces. Null stays null."""
    plain = pc.replace_substring_regex(normalised(texts, "nfkc"), _JOINTS, " ")
    apart = pc.replace_substring_regex(plain, _SIGN, r" \1 ")
    apart = pc.replace_substring_regex(apart, _ALONE, r" \1 ")
    return pc.utf8_trim_whitespace(pc.replace_substring_regex(apart, r"[\s\p{Z}]+", " "))


class Entries:
    """A list of entries that is looked for in texts.

    A table of the entries and, for each first word, of how many words its entries have: a quarter of the
    memory of an automaton (Aho-Corasick) and as fast within a factor of two, whose speed is not the limit.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        given = list(entries)
        self._known = frozenset(form for form in words(pa.array(given, pa.string())).to_pylist() if form)
        sizes: dict[str, set[int]] = {}
        for form in self._known:
            pieces = form.split(" ")
            sizes.setdefault(pieces[0], set()).add(len(pieces))
        self._sizes: Mapping[str, tuple[int, ...]] = {w: tuple(sorted(n)) for w, n in sizes.items()}

    def __len__(self) -> int:
        return len(self._known)

    def found(self, text: str) -> set[str]:
        """Entries in a text that `words` has made, each once; they may overlap."""
        pieces = text.split(" ")
        found = set()
        for start, word in enumerate(pieces):
            for size in self._sizes.get(word, ()):
                entry = word if size == 1 else " ".join(pieces[start : start + size])
                if entry in self._known:
                    found.add(entry)
        return found
