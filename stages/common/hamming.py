"""Binary hashes that differ in few bits: all of them are found, none within the distance is missed.

A hash is cut into bands. Two hashes that differ in at most d bits differ in at most d bands, so that of
d + t bands at least t are equal: each choice of t bands is a key, and what is alike shares one (the
pigeonhole principle; after Manku, Jain and Das Sarma 2007, "Detecting near-duplicates for web crawling").
More bands make more keys, each of which fewer hashes share.

Hashes are uint64 arrays of shape (n, bits / 64), for 64 bits also (n,), whose bits are the frequencies of an
image row by row, the highest bit the mean: 8 x 8 or 16 x 16 of them. The bits of a band lie far apart:
neighbours say much the same, and so do all columns of the same parity in a symmetric picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import chain, combinations
from math import comb, isqrt

import numpy as np
import numpy.typing as npt

from stages.common.pairing import mix, pairs

Words = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]
Shorts = npt.NDArray[np.uint16]
Bytes = npt.NDArray[np.uint8]

# Nanoseconds, about: to look a key up, and to count the bits of a candidate.
_LOOK_UP, _COMPARE = 60, 6
_BLOCK = 1 << 20  # candidates at a time
_LONG = 64  # rows of a run that are worth a tile of their own
_TILE = (32, 4096)
_MOST_CHOICES = 4000


def distance(a: Words, b: Words) -> npt.NDArray[np.uint16]:
    """The number of bits in which they differ, row by row."""
    differ = np.bitwise_count(_wide(a) ^ _wide(b))
    found: npt.NDArray[np.uint16] = differ.sum(axis=1, dtype=np.uint16)
    return found


def keys(hashes: Words, d: int, t: int = 2) -> Words:
    """(n, k): two hashes within `d` bits of each other have at least one column in which they are equal.

    k is the number of choices of t out of d + t bands: 28 for d = 6 and t = 2.
    """
    words = _wide(hashes)
    masks = _masks(words.shape[1] * 64, d, t)
    found = np.empty((len(words), len(masks)), dtype=np.uint64)
    for number, mask in enumerate(masks):
        found[:, number] = _key(words, mask, number)
    return found


def n_keys(d: int, t: int = 2) -> int:
    """How many columns `keys` gives."""
    return comb(d + t, t)


def first_keys(a: Words, b: Words, d: int, t: int = 2) -> Words:
    """(n,): the first of the `keys` that each pair shares; they must lie within `d` bits of each other."""
    a, b = _wide(a), _wide(b)
    masks = _masks(a.shape[1] * 64, d, t)
    found, left = np.zeros(len(a), dtype=np.uint64), np.arange(len(a))
    for number, mask in enumerate(masks):
        shared = ((a[left] ^ b[left]) & mask == 0).all(axis=1)
        found[left[shared]] = _key(a[left[shared]], mask, number)
        left = left[~shared]
    return found


def close(keys: Words, hashes: Words, d: int, more: Shorts | None = None) -> Iterator[tuple[Ints, Ints]]:
    """Row numbers (left, right) of pairs with equal keys whose hashes differ in at most `d` bits, about
    `_BLOCK` at a time.

    `keys` (n,) are sorted. `hashes` (n, k) are of 64 bits: k of each item, the first of which is its own; the
    first of one is compared with all of the other (an image with another's turns). `more` (n,) is what the
    bits of a pair may differ beside `d`: the larger one of the two rows.
    """
    allowed = np.full(len(keys), d, dtype=np.uint8) if more is None else (d + more).astype(np.uint8)
    sizes = np.diff(np.append(np.flatnonzero(np.diff(keys, prepend=~keys[:1])), len(keys)))
    long = np.repeat(sizes > _LONG, sizes)
    columns = np.ascontiguousarray(hashes.T)
    lefts, rights, waiting = [], [], 0
    found = (_in_short(keys, columns, allowed, np.flatnonzero(~long)), _in_long(sizes, columns, allowed))
    for left, right in chain(*found):
        lefts.append(left)
        rights.append(right)
        waiting += len(left)
        if waiting >= _BLOCK:
            yield np.concatenate(lefts), np.concatenate(rights)
            lefts, rights, waiting = [], [], 0
    if waiting:
        yield np.concatenate(lefts), np.concatenate(rights)


def _in_short(keys: Words, columns: Words, allowed: Bytes, rows: Ints) -> Iterator[tuple[Ints, Ints]]:
    own, chosen, limit = columns[0, rows], columns[:, rows], allowed[rows]
    for left, right in pairs(keys[rows], _TILE[0] * _TILE[1]):
        d = np.maximum(limit[left], limit[right])
        near = np.bitwise_count(own[left] ^ chosen[0, right]) <= d
        for others in chosen[1:]:
            near |= np.bitwise_count(own[left] ^ others[right]) <= d
        yield rows[left[near]], rows[right[near]]


def _in_long(sizes: Ints, columns: Words, allowed: Bytes) -> Iterator[tuple[Ints, Ints]]:
    """Tile by tile: without the gathering of pairs it takes a tenth of the time."""
    ends = np.cumsum(sizes)
    high, wide = _TILE
    for number in np.flatnonzero(sizes > _LONG):
        end = int(ends[number])
        for top in range(end - int(sizes[number]), end, high):
            own = columns[0, top : min(top + high, end), None]
            for first in range(top + 1, end, wide):
                others = columns[:, None, first : min(first + wide, end)]
                d = np.maximum(
                    allowed[top : min(top + high, end), None],
                    allowed[first : first + wide][: others.shape[2]],
                )
                near = np.bitwise_count(own ^ others[0]) <= d
                for other in others[1:]:
                    near |= np.bitwise_count(own ^ other) <= d
                left, right = np.divmod(np.flatnonzero(near), near.shape[1])
                below = right + first > left + top
                yield left[below] + top, right[below] + first


class HammingIndex:
    """A fixed set of hashes in which those near to others are looked up."""

    def __init__(self, hashes: Words, d: int) -> None:
        self.hashes = _wide(hashes)
        self.d = d
        rows = len(self.hashes)
        self._masks = _masks(self.hashes.shape[1] * 64, d, _cheapest(self.hashes.shape[1] * 64, d, rows))
        # a table for each mask: rows sorted by the first bits of their keys, and where those begin
        self._shift = np.uint64(64 - max(1, min(24, rows.bit_length())))
        self._tables = [self._table(number) for number in range(len(self._masks))]

    def search(self, queries: Words) -> tuple[Ints, Ints, npt.NDArray[np.uint16]]:
        """All (query, item, distance) within d bits, sorted by query, then item; row numbers of both."""
        asked = _wide(queries)
        size = len(self.hashes)
        pairs, apart = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.uint16)
        for query, item in self._candidates(asked):
            found = distance(asked[query], self.hashes[item])
            near = np.flatnonzero(found <= self.d)
            new = query[near] * size + item[near]
            # a pair comes once for each key that it shares
            pairs, first = np.unique(np.concatenate([pairs, new]), return_index=True)
            apart = np.concatenate([apart, found[near]])[first]
        return pairs // max(1, size), pairs % max(1, size), apart

    def _table(self, number: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        slot = self._slot(self.hashes, number)
        begin = np.zeros((1 << (64 - int(self._shift))) + 1, dtype=np.int32)
        np.cumsum(np.bincount(slot, minlength=len(begin) - 1), out=begin[1:])
        return begin, np.argsort(slot, kind="stable").astype(np.int32)

    def _slot(self, words: Words, number: int) -> Ints:
        return (_key(words, self._masks[number], number) >> self._shift).astype(np.int64)

    def _candidates(self, asked: Words) -> Iterator[tuple[Ints, Ints]]:
        for number, (begin, rows) in enumerate(self._tables):
            slot = self._slot(asked, number)
            start = begin[slot].astype(np.int64)
            counts = begin[slot + 1] - start
            before = np.zeros(len(asked) + 1, dtype=np.int64)
            np.cumsum(counts, out=before[1:])
            for first in range(0, int(before[-1]), _BLOCK):
                place = np.arange(first, min(first + _BLOCK, int(before[-1])))
                query = np.searchsorted(before, place, side="right") - 1
                yield query, rows[start[query] + place - before[query]].astype(np.int64)


def _wide(hashes: Words) -> Words:
    return hashes.reshape(-1, 1) if hashes.ndim == 1 else hashes


def _key(words: Words, mask: Words, number: int) -> Words:
    key = mix(words[:, 0] & mask[0], number)
    for word, part in zip(words.T[1:], mask[1:], strict=True):
        key = mix(key ^ (word & part))
    return key


@lru_cache(maxsize=64)
def _masks(bits: int, d: int, t: int) -> Words:
    """(k, bits / 64): the bits of each choice of t out of d + t bands."""
    side = isqrt(bits)
    if side * side != bits or not 0 <= d < d + t <= bits or comb(d + t, t) > _MOST_CHOICES:
        raise ValueError(f"{t} of {d + t} bands of {bits} bits")
    row, column = np.divmod(np.arange(bits), side)
    band = np.empty(bits, dtype=np.int64)
    band[np.lexsort((row, row + column))] = np.arange(bits) % (d + t)  # dealt out diagonal by diagonal
    masks = [_packed(np.isin(band, choice)) for choice in combinations(range(d + t), t)]
    return np.array(masks, dtype=np.uint64)


def _packed(bits: npt.NDArray[np.bool_]) -> Words:
    words: Words = np.packbits(bits).view(">u8").astype(np.uint64)
    return words


def _cheapest(bits: int, d: int, rows: int) -> int:
    """The t at which a search is likely to be cheapest, if bits were even and independent."""

    def cost(t: int) -> float:
        choices = comb(d + t, t)
        return choices * (_LOOK_UP + rows / 2 ** (bits * t / (d + t)) * _COMPARE)

    possible = [t for t in range(1, bits - d + 1) if t <= 4 and comb(d + t, t) <= 128] or [1]
    return min(possible, key=cost)
