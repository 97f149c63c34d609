"""See `Exact`."""

from __future__ import annotations

import hashlib
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from curate.sample import PAIR, Level, level_of, single
from curate.stage import Group, Out
from stages.common.columns import reason_where

Order: TypeAlias = Literal["ascending", "descending"]
Ints: TypeAlias = npt.NDArray[np.int64]

# Longer keys are replaced by their digest, so that buckets stay small.
_LONGEST = 80


class Prefer(BaseModel):
    """One column of the order in which survivors are elected."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str
    order: Order = "descending"


class Exact(Group):
    """Items with the same key: one survivor among pairs, a cap on the number of documents that share it.

    Of pairs the first by `prefer`, then by sample_id, survives, and the others are `duplicate`; where the key
    belongs to whole samples, documents are elected likewise. An image or text inside documents belongs to its
    place, and one survivor would tear holes into all other documents: it stays wherever it is, unless it
    occurs in more than `max_documents` of them. Then it is furniture (logos, buttons, advertisements), and
    every occurrence goes as `boilerplate` (after OBELICS, arXiv 2306.16527, which removes what occurs more
    than ten times).

    Pairs and documents never meet: a key that occurs in both has one survivor among the pairs, and the
    documents are capped on their own. An item whose key is null is left alone.

    `action: mark` drops nothing: a further column, `duplicate`, is true for what would have been dropped,
    false for the others of its cluster and null for an item without one.
    """

    stage: Literal["exact"] = "exact"

    key: str = Field(description="The column to compare; its prefix is the level.")
    scope: Literal["pairs", "documents", "all"] = "all"
    prefer: tuple[Prefer, ...] = Field(default=(), description="The better one survives; ties by sample_id.")
    action: Literal["drop", "mark"] = Field(
        default="drop", description="`mark`: write columns, drop nothing."
    )
    max_documents: int = Field(default=10, ge=1, description="Documents that may share an item.")
    normalise: Literal["none", "casefold", "nfkc"] = Field(
        default="none", description="`casefold` ignores case and spacing, `nfkc` also width and form."
    )
    name: str = Field(
        default="", pattern="^[a-z0-9_]*$", description="Tells the columns of two such nodes apart."
    )

    def level_(self) -> Level:
        return level_of(self.key)

    def reads(self) -> frozenset[str]:
        return frozenset({self.key, "sample_id", "shape", *(p.column for p in self.prefer)})

    def writes(self) -> pa.Schema:
        cluster, survivor, duplicate = self._columns()
        names = pa.schema([(cluster, pa.string()), (survivor, pa.string())])
        return names.append(pa.field(duplicate, pa.bool_())) if self.action == "mark" else names

    def reasons(self) -> frozenset[str]:
        if self.action == "mark":
            return frozenset()
        capped = self.scope != "pairs" and self._items()
        elected = self.scope != "documents" or not self._items()
        return frozenset(["boilerplate"] * capped + ["duplicate"] * elected)

    def rank(self) -> tuple[tuple[str, Order], ...]:
        return tuple((p.column, p.order) for p in self.prefer)

    def keys(self, items: pa.Table) -> pa.Array:
        values = self._key(single(items[self.key]))
        pairs = pc.equal(items["shape"], PAIR)
        kinds = pc.if_else(pairs, "p", "d")
        buckets = pc.binary_join_element_wise(single(kinds), values, ":")  # null where the key is
        wanted = {"pairs": pairs, "documents": pc.invert(pairs), "all": pa.scalar(True)}[self.scope]
        present = pc.and_(pc.is_valid(buckets), wanted)
        present = single(present).to_numpy(zero_copy_only=False)
        offsets = np.zeros(len(present) + 1, dtype=np.int32)
        np.cumsum(present, out=offsets[1:])
        return pa.ListArray.from_arrays(pa.array(offsets), buckets.filter(pa.array(present)))

    def elect(self, members: pa.Table) -> Out:
        component: Ints = single(members["component"]).to_numpy()
        rows = len(component)
        first = np.flatnonzero(np.diff(component, prepend=-1)) if rows else np.zeros(0, dtype=np.int64)
        sizes = np.diff(first, append=rows)
        group = np.repeat(np.arange(len(first)), sizes)
        several = sizes[group] > 1
        ids = single(members["sample_id"])
        pair = single(pc.equal(members["shape"], PAIR)).to_numpy(zero_copy_only=False)
        # A component is of one kind, see keys(): items of documents are capped, all else elects.
        elects = pair if self._items() else np.ones(rows, dtype=bool)
        loses = several & elects & (np.arange(rows) != first[group])
        furniture = np.zeros(rows, dtype=bool)
        suspects = np.flatnonzero(~elects & (sizes[group] > self.max_documents))
        if len(suspects):  # twice in one document counts once
            documents = _distinct(ids.take(pa.array(suspects)), group[suspects])
            furniture[suspects] = documents > self.max_documents
        survivor = ids.take(pa.array(np.where(several & elects, first[group], 0), mask=~(several & elects)))
        names = self._cluster(single(members[self.key]), first, sizes).take(pa.array(group))
        cluster_name, survivor_name, duplicate = self._columns()
        columns = {cluster_name: names, survivor_name: survivor}
        if self.action == "mark":
            # twins share an id, so that the survivor's does not tell them apart
            marks = pa.array(furniture | loses, mask=~several)
            return Out({**columns, duplicate: marks})
        drop = pc.coalesce(reason_where(furniture, "boilerplate"), reason_where(loses, "duplicate"))
        return Out(columns, drop)

    def _items(self) -> bool:
        return self.level_() != "sample"

    def _columns(self) -> tuple[str, str, str]:
        prefix = f"{self.level_()}_" if self._items() else ""
        begin = f"{prefix}{self.name}_" if self.name else prefix
        return f"{begin}cluster", f"{begin}survivor", f"{begin}duplicate"

    def _key(self, values: pa.Array) -> pa.Array:
        """The key as a string of bounded length, equal exactly where the (normalised) values are."""
        text = values.cast(pa.string())
        if self.normalise == "nfkc":
            text = pc.utf8_normalize(text, "NFKC")
        if self.normalise != "none":
            spaced = pc.replace_substring_regex(pc.utf8_lower(text), r"[\s\p{Z}]+", " ")
            text = pc.utf8_trim_whitespace(spaced)
        long = pc.greater(pc.binary_length(text), _LONGEST)
        if not pc.any(long).as_py():
            return text
        digests = [f"#{_digest(t)}" for t in text.filter(long).to_pylist()]
        return pc.replace_with_mask(text, pc.fill_null(long, False), pa.array(digests, pa.string()))

    def _cluster(self, values: pa.Array, first: Ints, sizes: Ints) -> pa.Array:
        """A name for each component of several members, from the key: the same in every run and data set."""
        several = sizes > 1
        keys = self._key(values.take(pa.array(first[several]))).to_pylist()
        names = np.full(len(first), None, dtype=object)
        names[several] = [_digest(key)[:16] for key in keys]
        return pa.array(names, pa.string())


def _distinct(ids: pa.Array, group: Ints) -> Ints:
    """For each row the number of different samples in its component."""
    codes = ids.dictionary_encode().indices.to_numpy().astype(np.int64)
    width = int(codes.max()) + 1
    found: Ints = np.bincount(np.unique(group * width + codes) // width)[group]
    return found


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
