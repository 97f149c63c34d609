"""See `NearHash`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from curate.errors import RecipeError
from curate.linked import Prepared
from curate.sample import Level, level_of, scatter, single, wrap
from curate.stage import Arrays
from stages.common.hamming import distance, first_keys, keys, n_keys
from stages.common.near import Near
from stages.common.pairing import mix, pairs

Words = npt.NDArray[np.uint64]

_KIND = np.uint64(1)  # the bit of a key that keeps pairs and documents apart


class NearHash(Near):
    """Items whose hashes differ in at most `max_distance` bits: pHash, dHash, or hashes made elsewhere.

    Exact: no pair within the distance is missed, none beyond is linked. A column of 64-bit integers
    (`image_phash`, `image_dhash` of `phash`) or of bytes whose number of bits is a square (`image_phash256`).
    `similarity` is 1 less the share of bits that differ.

    A hash alone is a coarse judge: figures of the same outline in other colours, logos on white and charts
    have equal ones. Where the images are there, `near_image` looks at them; this is for sets of hashes, and
    for comparing with what other tools find (imagededup's default is 10 bits of 64).
    """

    label: ClassVar[str] = "hash"

    stage: Literal["near_hash"] = "near_hash"

    of: str = Field(default="image_phash", description="The column of hashes; its prefix is the level.")
    max_distance: int = Field(default=6, ge=0, le=24, description="Bits that may differ.")

    def level_(self) -> Level:
        return level_of(self.of)

    def reads(self) -> frozenset[str]:
        return super().reads() | {self.of}

    def check_columns(self, columns: pa.Schema) -> None:
        kind = columns.field(self.of).type if self.of in columns.names else pa.uint64()
        square = pa.types.is_fixed_size_binary(kind) and kind.byte_width in (8, 32, 128)
        if not (square or pa.types.is_uint64(kind) or pa.types.is_int64(kind)):
            raise RecipeError("of", f"`{self.of}` is {kind}: a hash is 64 bits, or 8, 32 or 128 bytes")

    def signature(self) -> pa.Schema:
        return pa.schema([("twin", pa.uint64()), ("bits", pa.list_(pa.uint64()))])

    def carried(self) -> pa.Schema:
        return pa.schema([self.signature().field("bits")])

    def keys_each(self) -> int:
        return n_keys(self.max_distance)

    def verifies(self) -> bool:
        return False

    def prepare(self, items: pa.Table, fitted: Arrays) -> Prepared:
        column = single(items[self.of])
        takes_part = single(column.is_valid()).to_numpy(zero_copy_only=False) & self.in_scope(items)
        rows = np.flatnonzero(takes_part)
        hashes = _words(column.take(pa.array(rows)))
        kinds = self.kinds(items)[rows]
        twins = mix(kinds)
        for word in hashes.T:
            twins = mix(twins ^ word)
        found = keys(hashes, self.max_distance) & ~_KIND | kinds[:, None]
        columns = [pa.array(twins), wrap(pa.array(hashes.reshape(-1)), np.full(len(rows), hashes.shape[1]))]
        lists = wrap(pa.array(found.reshape(-1)), np.full(len(rows), found.shape[1]))
        *spread, lists = (scatter(column, rows, len(takes_part)) for column in (*columns, lists))
        return Prepared(pa.table(spread, schema=self.signature()), lists)

    def link(self, bucket: pa.Table) -> Iterator[pa.Table]:
        key: Words = single(bucket["key"]).to_numpy()
        hashes = single(bucket["bits"]).flatten().to_numpy().reshape(len(key), -1)
        bits = 64 * max(1, hashes.shape[1])
        for left, right in pairs(key):
            apart = distance(hashes[left], hashes[right])
            near = np.flatnonzero(apart <= self.max_distance)
            left, right, apart = left[near], right[near], apart[near]
            # a pair comes by each key that it shares: the first is enough
            once = first_keys(hashes[left], hashes[right], self.max_distance) | _KIND == key[left] | _KIND
            alike = (1 - apart[once] / bits).astype(np.float32)
            yield pa.table({"left": left[once], "right": right[once], "similarity": alike})


def _words(values: pa.Array) -> Words:
    """(n, bits / 64) of a column without nulls."""
    if pa.types.is_integer(values.type):
        found: Words = values.to_numpy(zero_copy_only=False).astype(np.uint64).reshape(-1, 1)
        return found
    width = values.type.byte_width
    whole = np.frombuffer(values.buffers()[1] or b"", dtype=np.uint8)
    rows = whole[values.offset * width : (values.offset + len(values)) * width].reshape(-1, width)
    return np.ascontiguousarray(rows).view(">u8").astype(np.uint64).reshape(-1, width // 8)
