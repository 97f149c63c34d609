"""Texts as sequences of words, and runs of n words as numbers: what a leak of a text is found by."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.sample import Ints
from stages.common import scripts
from stages.common.pairing import mix
from stages.common.shingles import plain

Words = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]

_MULTIPLIER = np.uint64(0x9E6C63D0876A9A35)


class Tokens(NamedTuple):
    """The words of a column of texts, all in a row; text i has those from `offsets[i]` to `offsets[i + 1]`.

    A letter of a script without spaces is a word of its own, and `letter` is true of it.
    """

    vocabulary: pa.Array  # each word once
    words: Ints  # (m,), places in the vocabulary
    hashes: Words  # (m,)
    letter: Mask  # (m,)
    offsets: Ints  # (texts + 1,)

    def only(self, text: int) -> Tokens:
        """One of the texts by itself."""
        part = slice(int(self.offsets[text]), int(self.offsets[text + 1]))
        ends = np.array([0, part.stop - part.start])
        return Tokens(self.vocabulary, self.words[part], self.hashes[part], self.letter[part], ends)

    def text(self, start: int, stop: int) -> str:
        """Words in a row as they are compared; letters stand without a space between."""
        parts: list[str] = []
        for place in range(start, stop):
            if place > start and not (self.letter[place] and self.letter[place - 1]):
                parts.append(" ")
            parts.append(self.vocabulary[int(self.words[place])].as_py())
        return "".join(parts)


class Grams(NamedTuple):
    """Runs of words, within one text each."""

    hashes: Words  # (k,)
    starts: Ints  # (k,), the place of the first word among all words
    lengths: Ints  # (k,)
    texts: Ints  # (k,)

    def take(self, which: Ints) -> Grams:
        """Some of them."""
        return Grams(self.hashes[which], self.starts[which], self.lengths[which], self.texts[which])


def tokens(texts: pa.Array) -> Tokens:
    """Of strings, nulls not among them: NFKC, case folded, without punctuation; see `shingles.plain`."""
    split = pc.split_pattern(plain(texts), " ")
    counts = pc.list_value_length(split).to_numpy(zero_copy_only=False).astype(np.int64)
    whole = split.flatten()
    held: Mask = pc.greater(pc.binary_length(whole), 0).to_numpy(zero_copy_only=False)
    row = np.repeat(np.arange(len(counts)), counts)[held]
    encoded = whole.filter(pa.array(held)).dictionary_encode()
    vocabulary = encoded.dictionary
    words = encoded.indices.to_numpy().astype(np.int64)
    each = vocabulary.to_pylist()
    # not Python's own hash, which differs from process to process
    digests = [int.from_bytes(hashlib.blake2b(w.encode(), digest_size=8).digest()) for w in each]
    spaceless = _spaceless()
    letter = np.array([bool(spaceless[ord(word[0])]) for word in each], dtype=bool)
    offsets = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(np.bincount(row, minlength=len(counts)), out=offsets[1:])
    return Tokens(vocabulary, words, np.array(digests, dtype=np.uint64)[words], letter[words], offsets)


def grams(found: Tokens, n: int, n_letters: int) -> Grams:
    """Every run of n words, or of `n_letters` where it begins with a letter of a script without spaces.

    What a run begins with decides its length, so that it is the same run in whatever text it stands.
    """
    m = len(found.words)
    text = np.repeat(np.arange(len(found.offsets) - 1), np.diff(found.offsets))
    lengths = np.where(found.letter, n_letters, n)
    starts = np.arange(m)
    inside = starts + lengths <= found.offsets[1:][text] if m else np.zeros(0, dtype=bool)
    starts, lengths, text = starts[inside], lengths[inside], text[inside]
    hashes = lengths.astype(np.uint64)
    with np.errstate(over="ignore"):  # modulo 2**64
        for k in range(max(n, n_letters)):
            longer = np.flatnonzero(lengths > k)
            hashes[longer] = hashes[longer] * _MULTIPLIER + found.hashes[starts[longer] + k]
    return Grams(mix(hashes), starts, lengths, text)


def covered(m: int, starts: Ints, lengths: Ints) -> Mask:
    """(m,): which of m words lie in any of the runs."""
    edges = np.zeros(m + 1, dtype=np.int64)
    np.add.at(edges, starts, 1)
    np.add.at(edges, starts + lengths, -1)
    return np.cumsum(edges[:-1]) > 0


def longest_run(mask: Mask) -> tuple[int, int]:
    """[start, stop) of the first of the longest stretches that are true; (0, 0) where nothing is."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    if not len(edges):
        return 0, 0
    starts, stops = edges[::2], edges[1::2]
    best = int(np.argmax(stops - starts))
    return int(starts[best]), int(stops[best])


@lru_cache(maxsize=1)
def _spaceless() -> Mask:
    """(0x110000,): letters of scripts without spaces between words."""
    return np.isin(scripts.table(), [scripts.script(name) for name in scripts.SPACELESS])
