"""See `Component`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate.errors import RecipeError
from curate.linked import Linked, Prepared
from curate.sample import Level, single, wrap
from curate.stage import Arrays, Names, Out, Rank
from stages.common.near import Prefer
from stages.common.pairing import mix
from stages.common.strata import components

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

_BLOCK = 1 << 20  # pairs that are handed over at once
_OWN = "sample_id"


class Component(Linked):
    """What belongs together: samples that share a value, those that share one with these, and so on.

    `columns` are what near copies are joined by (`image_near_component`, `text_near_component` of stages with
    `action: mark`, `image_near_cluster` of what others left), hashes (`image_pixel_sha256`), or any other
    text, whole numbers or bytes, of samples, images and texts: two samples with an equal value in one of them
    belong together. A document with several images belongs to all their clusters, and joins them. Nulls and
    empty values join nothing, nor do dropped items. Children of one document (`pairs`) belong together in any
    case.

        component   sample_id of the first member by `prefer`, else of the one whose id is the smallest,
                    without the number of a child; null where a sample is alone

    Nothing is dropped. `split` keeps a component in one piece. Put both before a fork, and before `pairs`,
    which takes them over.

    When there are more data, a component of n samples that m new ones join gets another name with a chance of
    m / (n + m), namely when the smallest id is a new one; two that are joined have one name of the two. A
    sample that was alone counts as one whose name is its own id. With `prefer: {column: dataset, first: old}`
    or with `known` the old ones come first, and only joining changes a name.

    Put it behind what takes out furniture: a logo that all pages show makes one component of them.
    A cluster of near duplicates is what is like its survivor. Of a chain of likenesses that is marked, links
    may lie in several clusters, which nothing joins; where they are dropped, none are left to part.
    """

    stage: Literal["component"] = "component"

    columns: Names = Field(min_length=1, description="Columns whose equal values join samples.")
    prefer: tuple[Prefer, ...] = Field(default=(), description="The first one gives the name.")
    name: str = Field(
        default="", pattern="^[a-z0-9_]*$", description="Column `<name>_component` in place of `component`."
    )

    def level_(self) -> Level:
        return "sample"

    def reads(self) -> frozenset[str]:
        return frozenset({_OWN, *self.columns, *(p.column for p in self.prefer)})

    def writes(self) -> pa.Schema:
        return pa.schema([(f"{self.name}_component" if self.name else "component", pa.string())])

    def rank(self) -> tuple[Rank, ...]:
        return tuple(p.rank() for p in self.prefer)

    def check_columns(self, columns: pa.Schema) -> None:
        known = (pa.types.is_string, pa.types.is_binary, pa.types.is_integer, pa.types.is_fixed_size_binary)
        for name in self.columns:
            kind = columns.field(name).type if name in columns.names else pa.string()
            if not any(is_kind(kind) for is_kind in known):
                raise RecipeError("columns", f"`{name}` holds {kind}: neither text nor bytes nor integers")

    def signature(self) -> pa.Schema:
        return pa.schema([("twin", pa.uint64())])

    def carried(self) -> pa.Schema:
        return self.signature()

    def keys_each(self) -> int:
        return len(self.columns)

    def prepare(self, items: pa.Table, fitted: Arrays) -> Prepared:
        found = [_hashed(items[name], name) for name in self.columns]
        found.append(_hashed(_documents(items[_OWN]), _OWN))
        row, key = (np.concatenate(parts) for parts in zip(*found, strict=True))
        order = np.lexsort((key, row))
        row, key = row[order], key[order]
        fresh = np.r_[True, (row[1:] != row[:-1]) | (key[1:] != key[:-1])][: len(row)]
        row, key = row[fresh], key[fresh]
        counts = np.bincount(row, minlength=items.num_rows).astype(np.int64)
        # samples with the same values are equal: a sum over a set of hashes is a hash of the set
        twin = np.zeros(items.num_rows, dtype=np.uint64)
        np.add.at(twin, row, mix(key))
        signature = pa.table({"twin": pa.array(twin)}, schema=self.signature())
        return Prepared(signature, wrap(pa.array(key), counts))

    def link(self, bucket: pa.Table) -> Iterator[pa.Table]:
        key = single(bucket["key"]).to_numpy()
        # a chain does for what is to be one component
        left = np.flatnonzero(key[1:] == key[:-1])
        for start in range(0, len(left), _BLOCK):
            here = left[start : start + _BLOCK]
            ones = np.ones(len(here), dtype=np.float32)
            yield pa.table({"left": here, "right": here + 1, "similarity": ones})

    def verifies(self) -> bool:
        return False

    def elect(self, members: pa.Table) -> Out:
        first, _, group = components(members)
        names = single(members["sample_id"]).take(pa.array(first)).to_pylist()
        column = pa.array([name.partition("#")[0] for name in names], pa.string())
        return Out({self.writes().names[0]: column.take(pa.array(group))})


def _documents(ids: pa.ChunkedArray) -> pa.Array:
    """Of children the id of the document that they are out of; null for others."""
    names = [name.partition("#") for name in ids.to_pylist()]
    return pa.array([document if mark else None for document, mark, _ in names], pa.string())


def _hashed(column: pa.ChunkedArray | pa.Array, salt: str) -> tuple[Ints, Words]:
    """Row and a 64-bit hash of each value of a column, or of its lists, that says something."""
    values = single(column)
    if pa.types.is_list(values.type):
        rows, flat = single(pc.list_parent_indices(values)).to_numpy(), values.flatten()
    else:
        rows, flat = np.arange(len(values)), values
    encoded = flat.dictionary_encode()
    hashes = [_hash(value, salt) for value in encoded.dictionary.to_pylist()]
    says = np.array([h is not None for h in hashes], dtype=bool)
    words = np.array([h or 0 for h in hashes], dtype=np.uint64)
    there = pc.is_valid(flat).to_numpy(zero_copy_only=False)
    codes = pc.fill_null(encoded.indices, 0).to_numpy(zero_copy_only=False)
    if not len(words):
        return np.zeros(0, dtype=np.int64), words
    there = there & says[codes]
    return rows[there].astype(np.int64), words[codes[there]]


def _hash(value: Any, salt: str) -> int | None:
    data = value if isinstance(value, bytes) else str(value).encode()
    if not data:
        return None
    return int.from_bytes(hashlib.blake2b(salt.encode() + b"\0" + data, digest_size=8).digest(), "little")
