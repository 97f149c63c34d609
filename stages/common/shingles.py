"""Texts as sets of n-grams of words or characters, each a hash; a whole column at once.

A text is compared by what a reader sees of it: NFKC, case folded, punctuation, symbols and spaces one space.
A letter of a script that puts no spaces between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese) is a
word of its own, so that n-grams of words are n-grams of characters there, also within a mixed text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.sample import Ints, single
from stages.common import scripts
from stages.common.pairing import mix

Unit: TypeAlias = Literal["words", "characters"]
Bytes: TypeAlias = npt.NDArray[np.uint8]
Codes: TypeAlias = npt.NDArray[np.uint32]
Words: TypeAlias = npt.NDArray[np.uint64]

# Bytes of text that are worked on at once: what is made of them fits into the cache of a processor.
_BLOCK = 1 << 21
# Rows whose shingles are sorted at once: a row's number takes the upper bits of a word, a hash the rest.
_ROWS = 1 << 8
_HASH_BITS = 56
# Words are hashed eight bytes at a time; one of more than so many bytes goes through hashlib.
_LONG = 64
_MULTIPLIER = np.uint64(0xD1B54A32D192ED03)
_SPACE = 0x20
# Marks that are not seen: soft hyphen, joiners, variation selectors, tags.
_UNSEEN = (0xAD, 0x200C, 0x200D, *range(0xFE00, 0xFE10), *range(0xE0000, 0xE01F0))
_DENSE_BLOCKS = ((0xE00, 0xEFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3099, 0x309A), (0xA9E0, 0xAA7F))
_GAP, _WORD, _MARK, _LETTER, _LETTER_MARK, _NOTHING = range(6)
_ASCII = bytes(ord(chr(b).lower()) if chr(b).isalnum() and b < 128 else _SPACE for b in range(256))


class Sets(NamedTuple):
    """The shingles of each text: row i has `hashes[offsets[i]:offsets[i + 1]]`, sorted, each once."""

    hashes: Codes  # 32 bits of each
    offsets: Ints  # (rows + 1,)
    digests: Words  # (rows,), of the whole set, from 56 bits of each; 0 of the empty one

    @property
    def sizes(self) -> Ints:
        return np.diff(self.offsets)

    def lists(self) -> pa.Array:
        """list<uint32>, one a row."""
        return pa.ListArray.from_arrays(pa.array(self.offsets.astype(np.int32)), pa.array(self.hashes))


def shingles(texts: pa.Array | pa.ChunkedArray, unit: Unit, n: int) -> Sets:
    """The set of n-grams of each text of a string column; one of fewer than n words has one, of all it has.

    Of a null, and of a text without any letter or digit, the set is empty.
    """
    found = [_sets(*_tokens(block, unit), n) for block in _blocks(pc.fill_null(single(texts), ""))]
    if not found:
        return Sets(np.zeros(0, np.uint32), np.zeros(1, np.int64), np.zeros(0, np.uint64))
    hashes, offsets, digests = zip(*found, strict=True)
    sizes = np.concatenate([np.diff(o) for o in offsets])
    return Sets(np.concatenate(hashes), _offsets(sizes), np.concatenate(digests))


def plain(texts: pa.Array, unit: Unit = "words") -> pa.Array:
    """Each text as it is compared: its words with spaces between them (some more at either end or between).

    `texts` is a string array without nulls. For `characters` letters are not set apart.
    """
    ascii_ = pc.string_is_ascii(texts)
    if pc.all(ascii_).as_py() is not False:
        return _plain_ascii(texts)
    if not pc.any(ascii_).as_py():
        return _plain_unicode(texts, unit)
    parts = [_plain_ascii(texts.filter(ascii_)), _plain_unicode(texts.filter(pc.invert(ascii_)), unit)]
    mask = ascii_.to_numpy(zero_copy_only=False)
    place = np.where(mask, np.cumsum(mask) - 1, mask.sum() + np.cumsum(~mask) - 1)
    return pa.concat_arrays(parts).take(pa.array(place))


def _plain_ascii(texts: pa.Array) -> pa.Array:
    data, offsets = _buffers(texts)
    return _strings(data.tobytes().translate(_ASCII), offsets)


def _plain_unicode(texts: pa.Array, unit: Unit) -> pa.Array:
    texts = pc.utf8_normalize(texts, "NFKC")
    codes, counts = _codes(texts)
    fold, kinds, several = _tables()
    if several[codes].any():
        for code in np.unique(codes[several[codes]]).tolist():
            texts = pc.replace_substring(texts, chr(code), chr(code).casefold())
        codes, counts = _codes(texts)
    codes = fold[codes]
    kind = kinds[codes]
    bounds = _offsets(counts)
    if (kind == _NOTHING).any():
        seen = kind != _NOTHING
        codes, kind, bounds = codes[seen], kind[seen], _offsets(seen)[bounds]
    codes[kind == _GAP] = _SPACE
    if unit == "words":
        letter = kind == _LETTER
        apart = letter.copy()  # what a space comes before
        apart[1:] |= (kind[1:] == _WORD) & (letter | (kind == _LETTER_MARK))[:-1]
        if apart.any():
            places = np.flatnonzero(apart)
            codes = np.repeat(codes, 1 + apart.view(np.uint8))
            codes[places + np.arange(len(places))] = _SPACE
            bounds = bounds + _offsets(apart)[bounds]
    data = codes.tobytes().decode("utf-32-le").encode()
    size = (codes >= 0x80).view(np.uint8) + np.uint8(1)
    size += codes >= 0x800
    size += codes >= 0x10000
    return _strings(data, _offsets(size)[bounds])


@lru_cache(maxsize=1)
def _tables() -> tuple[Codes, Bytes, npt.NDArray[np.bool_]]:
    """Of every code point: what it is folded to, its kind, and whether it is folded to several."""
    fold = np.arange(0x110000, dtype=np.uint32)
    several = np.zeros(0x110000, dtype=bool)
    for code in range(0x80, 0x1F000):  # no case beyond
        folded = chr(code).casefold()
        several[code] = len(folded) > 1
        if len(folded) == 1:
            fold[code] = ord(folded)
    fold[0x41:0x5B] += 0x20
    classes = scripts.table()
    kinds = np.full(0x110000, _GAP, dtype=np.uint8)
    kinds[classes >= scripts.DIGIT] = _WORD
    kinds[classes == scripts.MARK] = _MARK
    kinds[np.isin(classes, [scripts.script(name) for name in scripts.SPACELESS])] = _LETTER
    for first, last in _DENSE_BLOCKS:
        block = kinds[first : last + 1]
        block[block == _MARK] = _LETTER_MARK
    kinds[list(_UNSEEN)] = _NOTHING
    return fold, kinds, several


def _tokens(texts: pa.Array, unit: Unit) -> tuple[Words, Ints]:
    """(a hash of each word or character of the texts, offsets of the rows in them)."""
    texts = plain(texts, unit)
    return _words(*_buffers(texts)) if unit == "words" else _characters(texts)


def _words(data: Bytes, offsets: Ints) -> tuple[Words, Ints]:
    inside = data != _SPACE
    begins = inside.copy()
    begins[1:] &= ~inside[:-1]
    edges = offsets[:-1][offsets[:-1] < len(data)]
    begins[edges] = inside[edges]
    starts = np.flatnonzero(begins)
    ends = inside
    ends[:-1] &= begins[1:] | ~inside[1:]  # begins: of the next row
    sizes = np.flatnonzero(ends) + 1 - starts
    padded = np.concatenate([data, np.zeros(8, np.uint8)])
    eights = np.ndarray((len(data) + 1,), dtype="<u8", buffer=padded, strides=(1,))
    hashes = _absorb(mix(sizes.astype(np.uint64)), eights[starts], sizes)
    for k in range(8, _LONG, 8):
        more = np.flatnonzero(sizes > k)
        if not len(more):
            break
        hashes[more] = _absorb(hashes[more], eights[starts[more] + k], sizes[more] - k)
    for i in np.flatnonzero(sizes > _LONG).tolist():
        word = data[starts[i] : starts[i] + sizes[i]].tobytes()
        hashes[i] = int.from_bytes(hashlib.blake2b(word, digest_size=8).digest())
    return hashes, np.searchsorted(starts, offsets)


def _absorb(hashes: Words, eights: Words, left: Ints) -> Words:
    """The hashes with up to eight bytes more, of which `left` count."""
    unused = ((8 - np.minimum(left, 8)) * 8).astype(np.uint64)
    return mix(hashes ^ ((eights << unused) >> unused))


def _characters(texts: pa.Array) -> tuple[Words, Ints]:
    codes, counts = _codes(texts)
    row = np.repeat(np.arange(len(counts)), counts)
    gap = codes == _SPACE
    first, last = np.ones(len(row), dtype=bool), np.ones(len(row), dtype=bool)
    first[1:] = row[1:] != row[:-1]
    last[:-1] = first[1:]
    doubled = gap.copy()  # a space before another one, or at either end
    doubled[:-1] &= gap[1:]
    kept = ~(doubled | (gap & (first | last)))
    # spaces that a row begins with: all up to its first letter
    letters = np.cumsum(~gap)
    before = np.zeros(len(counts) + 1, dtype=np.int64)
    before[1:] = np.cumsum(np.bincount(row, weights=~gap, minlength=len(counts)))
    kept &= letters > before[row]
    sizes = np.bincount(row[kept], minlength=len(counts))
    return mix(codes[kept]), _offsets(sizes)


def _sets(tokens: Words, offsets: Ints, n: int) -> Sets:
    counts = np.diff(offsets)
    sizes = np.where(counts < n, np.minimum(counts, 1), counts - n + 1)
    places = _offsets(sizes)
    first = np.arange(places[-1]) + np.repeat(offsets[:-1] - places[:-1], sizes)
    grams = tokens[first]
    # of texts that are long enough all at once, of the others what there is
    length = np.minimum(np.repeat(counts, sizes), n)
    for k in range(1, n):
        more = length > k
        following = tokens[np.minimum(first + k, len(tokens) - 1)] if len(tokens) else tokens
        grams = np.where(more, grams * _MULTIPLIER + following, grams)
    grams = mix(grams) >> np.uint64(64 - _HASH_BITS)
    return _distinct(grams, places)


def _distinct(grams: Words, offsets: Ints) -> Sets:
    rows = len(offsets) - 1
    row = np.repeat(np.arange(rows), np.diff(offsets))
    grams |= (row % _ROWS).astype(np.uint64) << np.uint64(_HASH_BITS)
    for start in range(0, rows, _ROWS):
        grams[offsets[start] : offsets[min(start + _ROWS, rows)]].sort()
    new = np.ones(len(grams), dtype=bool)
    new[1:] = (grams[1:] != grams[:-1]) | (row[1:] != row[:-1])
    grams, row = grams[new], row[new]
    grams &= np.uint64((1 << _HASH_BITS) - 1)
    digests = _sums(mix(grams, 1), _offsets(np.bincount(row, minlength=rows)))
    short = (grams >> np.uint64(_HASH_BITS - 32)).astype(np.uint32)
    once = np.ones(len(short), dtype=bool)  # two of 56 bits that have 32 in common
    once[1:] = (short[1:] != short[:-1]) | (row[1:] != row[:-1])
    return Sets(short[once], _offsets(np.bincount(row[once], minlength=rows)), digests)


def _sums(values: Words, offsets: Ints) -> Words:
    """Of each row, modulo 2**64."""
    total = np.zeros(len(values) + 1, dtype=np.uint64)
    np.cumsum(values, out=total[1:])
    found: Words = total[offsets[1:]] - total[offsets[:-1]]
    return found


def _blocks(texts: pa.Array) -> Iterator[pa.Array]:
    """Slices of about `_BLOCK` bytes."""
    _, offsets = _buffers(texts)
    start = 0
    while start < len(texts):
        stop = int(np.searchsorted(offsets, offsets[start] + _BLOCK, side="right")) - 1
        stop = min(max(stop, start + 1), len(texts))
        yield texts.slice(start, stop - start)
        start = stop


def _buffers(texts: pa.Array) -> tuple[Bytes, Ints]:
    """(all bytes, offsets of the rows in them) of a string array without nulls; the bytes are a view."""
    kind = np.int64 if pa.types.is_large_string(texts.type) else np.int32
    _, places, data = texts.buffers()
    if places is None or len(texts) == 0:
        return np.zeros(0, np.uint8), np.zeros(1, np.int64)
    offsets = np.frombuffer(places, kind)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    if data is None:
        return np.zeros(0, np.uint8), offsets
    return np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]], offsets - offsets[0]


def _strings(data: bytes, offsets: Ints) -> pa.Array:
    places = pa.py_buffer(offsets.astype(np.int32))
    return pa.StringArray.from_buffers(len(offsets) - 1, places, pa.py_buffer(data))


def _codes(texts: pa.Array) -> tuple[Codes, Ints]:
    """(the code points of all texts, how many each has)."""
    data, _ = _buffers(texts)
    codes = np.frombuffer(data.tobytes().decode().encode("utf-32-le"), dtype=np.uint32)
    return codes, pc.utf8_length(texts).to_numpy(zero_copy_only=False).astype(np.int64)


def _offsets(sizes: npt.NDArray[Any]) -> Ints:
    """Where each begins that is so long, and where the last ends."""
    places = np.zeros(len(sizes) + 1, dtype=np.int64)
    np.cumsum(sizes, out=places[1:])
    return places
