"""See `NearSet`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import ClassVar, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator

from curate.errors import RecipeError
from curate.linked import Prepared
from curate.sample import Level, level_of, single, wrap
from curate.stage import Arrays
from stages.common.crowds import groups
from stages.common.jaccard import jaccard
from stages.common.near import Near
from stages.common.pairing import mix, pairs

Ints: TypeAlias = npt.NDArray[np.int64]
Values: TypeAlias = npt.NDArray[np.uint32]

# Jaccard similarities are fractions of whole numbers: what is this near to the threshold is at it.
_TOLERANCE = 1e-9


class NearSet(Near):
    """Documents that hold nearly the same images: Jaccard similarity of their sets, at least `threshold`.

    OBELICS (arXiv 2306.16527) drops documents that have the same set of image URLs; here sets may differ,
    and they may be of any column of images or texts: `image_pixel_sha256` (of `sha256`), `image_url`, hashes,
    `text_body` (the same paragraphs). Equal values count once, null ones and dropped items not at all. The
    similarity of two documents is the number of values in both over the number in either.

        set_cluster      what belongs together (16 hex digits)
        set_survivor     sample_id of the one that is kept
        set_similarity   Jaccard similarity with it, 0 to 1

    Documents with fewer than `min_items` different values are left alone: two that share their one picture
    are not the same document. Put it behind what removes furniture (`exact` with `max_documents`), as
    OBELICS does.

    No pair is missed: two sets as similar as that have a value in common among the rarest
    n - ceil(threshold * n) + 1 of either (prefix filtering: Chaudhuri, Ganti and Kaushik, ICDE 2006; Bayardo,
    Ma and Srikant, WWW 2007). Which values are common is learnt from `sample` documents. Only where more than
    512 different documents share a rare value, each is compared with some of them.
    """

    label: ClassVar[str] = "set"

    stage: Literal["near_set"] = "near_set"

    of: str = Field(
        default="image_pixel_sha256", description="Column of images or texts: strings, bytes, integers."
    )
    threshold: float = Field(
        default=0.7, gt=0, le=1, description="Jaccard similarity from which on documents are alike."
    )
    min_items: int = Field(default=3, ge=1, description="Different values that a document has at least.")
    sample: int = Field(default=20_000, ge=1, description="Documents from which it is learnt what is common.")

    @field_validator("of")
    @classmethod
    def _of_items(cls, of: str) -> str:
        if level_of(of) == "sample":
            raise ValueError(f"`{of}` has one value a sample: a set is made of a column of images or texts")
        return of

    def level_(self) -> Level:
        return "sample"

    def reads(self) -> frozenset[str]:
        return super().reads() | {self.of}

    def check_columns(self, columns: pa.Schema) -> None:
        kind = columns.field(self.of).type
        known = (pa.types.is_string, pa.types.is_binary, pa.types.is_integer, pa.types.is_fixed_size_binary)
        if not any(is_kind(kind) for is_kind in known):
            raise RecipeError("of", f"{self.of} is of type {kind}: neither strings nor bytes nor integers")

    def signature(self) -> pa.Schema:
        numbers = [("twin", pa.uint64()), ("sketch", pa.uint64()), ("size", pa.int32())]
        return pa.schema([*numbers, ("values", pa.list_(pa.uint32()))])

    def carried(self) -> pa.Schema:
        return pa.schema([self.signature().field(name) for name in ("twin", "sketch", "size")])

    def keys_each(self) -> int:
        return 2

    def sample_size(self) -> int:
        return self.sample

    def fit(self, items: pa.Table, total: int) -> Arrays:
        """In how many of the sampled documents each value is, where in several: sorted `values`, `counts`."""
        values, counts = np.unique(self._sets(items).values, return_counts=True)
        return {"values": values[counts > 1], "counts": counts[counts > 1]}

    def prepare(self, items: pa.Table, fitted: Arrays) -> Prepared:
        sets = self._sets(items)
        twins, sketches = np.zeros((2, len(sets.sizes)), dtype=np.uint64)
        ends = np.cumsum(sets.sizes)
        some = np.flatnonzero(sets.sizes)
        for row in some:
            own = sets.values[ends[row] - sets.sizes[row] : ends[row]].tobytes()
            twins[row] = int.from_bytes(hashlib.blake2b(own, digest_size=8).digest(), "little")
        if len(some):
            # the least of a set's hashes is that of a like one, as often as they are alike
            least = np.minimum.reduceat(mix(sets.values), (ends - sets.sizes)[some])
            sketches[some] = mix(least)
        columns = [
            pa.array(twins),
            pa.array(sketches),
            pa.array(sets.sizes.astype(np.int32)),
            wrap(pa.array(sets.values), sets.sizes),
        ]
        signature = pa.Table.from_arrays(columns, schema=self.signature())
        rarest = np.lexsort((sets.values, _counts(sets.values, fitted), sets.rows))
        place = np.arange(len(rarest)) - np.repeat(ends - sets.sizes, sets.sizes)
        shared = np.ceil(sets.sizes * self.threshold - _TOLERANCE).astype(np.int64)
        first = np.where(sets.sizes > 0, sets.sizes - shared + 1, 0)
        keys = sets.values[rarest][place < np.repeat(first, sets.sizes)]
        return Prepared(signature, wrap(pa.array(mix(keys)), first))

    def link(self, bucket: pa.Table) -> Iterator[pa.Table]:
        key, twin, sketch, sizes = (single(bucket[n]).to_numpy() for n in ("key", "twin", "sketch", "size"))
        order, group = groups(key, twin, sketch)
        for left, right in pairs(group):
            a, b = order[left], order[right]
            small, large = np.minimum(sizes[a], sizes[b]), np.maximum(sizes[a], sizes[b])
            likely = small >= self.threshold * large - _TOLERANCE
            yield pa.table({"left": a[likely], "right": b[likely]})

    def verify(self, left: pa.Table, right: pa.Table) -> pa.Array:
        similarity = jaccard(left["values"], right["values"])
        return pa.array(similarity.astype(np.float32), mask=similarity < self.threshold - _TOLERANCE)

    def _sets(self, items: pa.Table) -> _Sets:
        """The set of each document that takes part, an empty one of others."""
        lists = single(items[self.of])
        counts = pc.list_value_length(lists).to_numpy(zero_copy_only=False).astype(np.int64)
        rows = np.repeat(np.arange(len(lists)), counts)
        flat = lists.flatten()
        there = pc.is_valid(flat).to_numpy(zero_copy_only=False)
        rows, values = rows[there], _numbers(flat.drop_null())
        order = np.lexsort((values, rows))
        rows, values = rows[order], values[order]
        fresh = np.ones(len(rows), dtype=bool)
        fresh[1:] = (rows[1:] != rows[:-1]) | (values[1:] != values[:-1])
        rows, values = rows[fresh], values[fresh]
        sizes = np.bincount(rows, minlength=len(lists)).astype(np.int64)
        sizes[(sizes < self.min_items) | ~self.in_scope(items)] = 0
        chosen = sizes[rows] > 0
        return _Sets(rows[chosen], values[chosen], sizes)


class _Sets(NamedTuple):
    rows: Ints  # of each value, ascending
    values: Values  # ascending within a row
    sizes: Ints  # of each row


def _numbers(values: pa.Array) -> Values:
    """A 32-bit number for each value, equal for equal ones; others are equal once in 4 billion pairs."""
    if pa.types.is_integer(values.type):
        found = mix(values.to_numpy(zero_copy_only=False).astype(np.uint64))
        return (found >> np.uint64(32)).astype(np.uint32)
    encoded = values.dictionary_encode()
    digests = [
        hashlib.blake2b(value.encode() if isinstance(value, str) else value, digest_size=4).digest()
        for value in encoded.dictionary.to_pylist()
    ]
    numbers = np.frombuffer(b"".join(digests), dtype="<u4").astype(np.uint32)
    named: Values = numbers[encoded.indices.to_numpy()]
    return named


def _counts(values: Values, fitted: Arrays) -> Ints:
    """How common each value was in the sample; 0 for those that were not, or once."""
    known, counts = fitted["values"], fitted["counts"]
    if not len(known):
        return np.zeros(len(values), dtype=np.int64)
    place = np.minimum(np.searchsorted(known, values), len(known) - 1)
    return np.where(known[place] == values, counts[place], 0).astype(np.int64)
