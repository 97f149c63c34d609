"""See `NearImage`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from curate.linked import Prepared
from curate.sample import Level, scatter, single, wrap
from curate.stage import Arrays
from stages.common import thumbs
from stages.common.hamming import close, first_keys, keys, n_keys
from stages.common.likeness import alike
from stages.common.near import Near
from stages.common.pairing import mix
from stages.common.thumbs import TURNS, Turn

Words = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]

_THUMB = "image_thumb"
# Bits of a key: one keeps pairs and documents apart, one what meets within `crop_distance` from the rest.
_KIND, _CROPPED = np.uint64(1), np.uint64(2)
# Ways in which two images may lie on one another, and those in which each is looked up: any of the first is
# the difference of two of the second.
_TURNS: dict[str, tuple[tuple[Turn, ...], tuple[Turn, ...]]] = {
    "none": (TURNS[:1], TURNS[:1]),
    "flips": (TURNS[:4], TURNS[:3]),
    "all": (TURNS, (*TURNS[:3], TURNS[5])),
}


class NearImage(Near):
    """Copies of an image that are not equal: saved anew, resized, cropped by a little, in another shade.

    Reads `image_thumb` (stage `phash`). Two images are candidates where hashes of 63 bits of their thumbs
    differ in `max_distance` bits at most, or the hash of one and that of one of five crops of the other by
    2 % in `crop_distance`: all such pairs are found. Whether they are one image is decided by the thumbs
    themselves, laid on one another, in luma and in colour: the same figure in another colour stays, and so
    does what a coarse hash cannot tell apart (logos on white, charts, pages); a copy in grey goes.
    `similarity` is 1 less the mean difference of luma in units of the contrast. An image of a single colour
    (luma deviates by 2 levels at most) shows nothing that could be compared: it is linked only to those with
    the very same thumb.

    In 16 pools of `curate demo` of 1,200 pairs recall of exact and near copies is 0.98 to 1, precision 0.991
    to 1 (false: logos with another word). Of real photos, drawings and a manual's pictures it finds 95 to
    100 % again after JPEG of quality 45 to 75, WebP, half or 0.7 of the size, and brightness,
    contrast or colour times 0.9 to 1.1. Cropped by 2 % it finds 98.6 % of stamps (photos and drawings),
    98.1 % of clip art and 94.9 % of the manual's pictures, which have lines of saturated colours; with a
    `crop_distance` of 6 that is 99.1, 98.7 and 95.7 %, and finding pairs takes twice as long.

    Series of drawings are its weak side: cards and signs of a series that differ in small details, buttons
    of which one is grey.
    """

    stage: Literal["near_image"] = "near_image"
    version: ClassVar[int] = 3

    max_distance: int = Field(default=6, ge=0, le=10, description="Bits out of 63 that may differ.")
    crop_distance: int | None = Field(
        default=4,
        ge=0,
        le=10,
        description="The same of one image as it is and another cropped by 2 %; null: do not look for those.",
    )
    min_similarity: float = Field(
        default=0.55,
        ge=0,
        le=1,
        description="How alike copies are at least; 0.9 for series of drawings; it misses a third of crops.",
    )
    orientations: Literal["none", "flips", "all"] = Field(
        default="none",
        description="`flips`: mirrored and upside-down copies too; `all`: also those on their side.",
    )

    def level_(self) -> Level:
        return "image"

    def reads(self) -> frozenset[str]:
        return super().reads() | {_THUMB}

    def signature(self) -> pa.Schema:
        hashes = pa.list_(pa.uint64(), len(self._turns()))
        crops = pa.list_(pa.uint64(), thumbs.CROPS)
        columns = [("twin", pa.uint64()), ("hashes", hashes), ("crops", crops), ("looks", pa.uint64())]
        return pa.schema([*columns, ("thumb", pa.binary(thumbs.SIZE))])

    def carried(self) -> pa.Schema:
        names = ["hashes", "looks"] if self.crop_distance is None else ["hashes", "looks", "crops"]
        return pa.schema([self.signature().field(name) for name in names])

    def keys_each(self) -> int:
        each = n_keys(self.max_distance)
        if self.crop_distance is not None:  # a third of them are those of other crops too
            each += n_keys(self.crop_distance) * (1 + thumbs.CROPS) * 2 // 3
        return each * len(self._looked_up())

    def prepare(self, items: pa.Table, fitted: Arrays) -> Prepared:
        column = single(items[_THUMB])
        takes_part = single(column.is_valid()).to_numpy(zero_copy_only=False) & self.in_scope(items)
        rows = np.flatnonzero(takes_part)
        shown = thumbs.array(column.take(pa.array(rows)))
        kinds = self.kinds(items)[rows]
        twins = np.array([_digest(t, kind) for t, kind in zip(shown, kinds.tolist(), strict=True)], np.uint64)
        hashes, crops = self._hashes(shown)
        columns = [
            pa.array(twins),
            pa.FixedSizeListArray.from_arrays(pa.array(hashes.T.reshape(-1)), len(self._turns())),
            pa.FixedSizeListArray.from_arrays(pa.array(crops[0].reshape(-1)), thumbs.CROPS),
            pa.array(thumbs.looks(shown)),
            column.take(pa.array(rows)),
        ]
        # blank ones are like all blank ones: they meet those alone that are equal
        found = self._keys(hashes, crops) | kinds[:, None]
        blank = thumbs.blank(shown)
        found[blank] = mix(twins[blank])[:, None]
        *spread, lists = (scatter(c, rows, len(takes_part)) for c in (*columns, _once_each(found)))
        return Prepared(pa.table(spread, schema=self.signature()), lists)

    def link(self, bucket: pa.Table) -> Iterator[pa.Table]:
        key: Words = single(bucket["key"]).to_numpy()
        looks: Words = single(bucket["looks"]).to_numpy()
        hashes = _lists(bucket["hashes"])
        own, of_crops = hashes[:, 0], key & _CROPPED != 0
        rows = np.flatnonzero(~of_crops)
        ways = [(own, turned) for turned in hashes.T]
        for left, right in close(key[rows], hashes[rows], self.max_distance):
            yield self._met(rows[left], rows[right], key, looks, ways, self.max_distance)
        if self.crop_distance is None:
            return
        rows, crops = np.flatnonzero(of_crops), _lists(bucket["crops"])
        ways = [way for crop in crops.T for turned in hashes.T for way in ((crop, turned), (turned, crop))]
        # none of a row's crops is further from another image than the row itself and this
        more = np.bitwise_count(own[:, None] ^ crops).max(axis=1, initial=0).astype(np.uint16)
        for left, right in close(key[rows], hashes[rows], self.crop_distance, more[rows]):
            left, right = rows[left], rows[right]
            if self.orientations == "none":  # those that are near as they are have met there
                new = np.bitwise_count(own[left] ^ own[right]) > self.max_distance
                left, right = left[new], right[new]
            yield self._met(left, right, key, looks, ways, self.crop_distance)

    def verify(self, left: pa.Table, right: pa.Table) -> pa.Array:
        of_left, of_right = (thumbs.array(single(side["thumb"])) for side in (left, right))
        found = alike(of_left, of_right, self._turns())
        return pa.array(found, mask=~(found >= np.float32(self.min_similarity)))

    def _hashes(self, shown: Bytes) -> tuple[Words, Words]:
        """(turns, n) of the images in each way they may lie, (looked up, n, 5) of their crops."""
        hashes, crops = [], []
        for turn in self._turns():
            laid = thumbs.turned(shown, turn)
            hashes.append(thumbs.hashes(laid))
            if turn in self._looked_up():
                crops.append(thumbs.crop_hashes(laid))
        return np.array(hashes, np.uint64), np.array(crops, np.uint64)

    def _keys(self, hashes: Words, crops: Words) -> Words:
        """(n, k): of all ways to look an image up."""
        found = []
        for turn, cropped in zip(self._looked_up(), crops, strict=True):
            own = hashes[self._turns().index(turn)]
            found.append(keys(own, self.max_distance) & ~(_CROPPED | _KIND))
            if self.crop_distance is not None:
                each = [keys(words, self.crop_distance) for words in (own, *cropped.T)]
                found.append(np.concatenate(each, axis=1) & ~_KIND | _CROPPED)
        return np.concatenate(found, axis=1)

    def _met(
        self, left: Rows, right: Rows, key: Words, looks: Words, ways: list[tuple[Words, Words]], d: int
    ) -> pa.Table:
        """Of pairs with equal keys those that are within `d` bits of each other in one of the ways."""
        possible = thumbs.may_be_alike(looks[left], looks[right], self.orientations == "all")
        left, right = left[possible], right[possible]
        near, first = _meeting(left, right, ways, d)
        if self.orientations == "none":  # a pair comes by each key that it shares: the first is enough
            near &= (first ^ key[left]) & ~(_CROPPED | _KIND) == 0
        return pa.table({"left": left[near], "right": right[near]})

    def _turns(self) -> tuple[Turn, ...]:
        return _TURNS[self.orientations][0]

    def _looked_up(self) -> tuple[Turn, ...]:
        return _TURNS[self.orientations][1]


def _digest(thumb: Bytes, kind: int) -> int:
    return int.from_bytes(hashlib.blake2b(thumb.tobytes() + bytes([kind]), digest_size=8).digest(), "little")


def _lists(column: pa.ChunkedArray) -> Words:
    """(n, k) of lists of k each."""
    values: Words = single(column).flatten().to_numpy()
    return values.reshape(len(column), column.type.list_size)


def _meeting(
    left: Rows, right: Rows, ways: list[tuple[Words, Words]], d: int
) -> tuple[npt.NDArray[np.bool_], Words]:
    """Which pairs are within `d` bits in one of the ways, and by which key the first such hashes meet."""
    near, first = np.zeros(len(left), dtype=bool), np.zeros(len(left), dtype=np.uint64)
    for mine, theirs in ways:
        rest = np.flatnonzero(~near)
        a, b = mine[left[rest]], theirs[right[rest]]
        close_by = np.bitwise_count(a ^ b) <= d
        now = rest[close_by]
        near[now], first[now] = True, first_keys(a[close_by], b[close_by], d)
    return near, first


def _once_each(found: Words) -> pa.Array:
    """list<uint64> of each row's different values."""
    ordered = np.sort(found, axis=1)
    new = np.ones(ordered.shape, dtype=bool)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    return wrap(pa.array(ordered[new]), new.sum(axis=1))
