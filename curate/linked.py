"""The contract of a Group that compares what is alike: near duplicates of images, texts, embeddings."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import ClassVar, NamedTuple

import pyarrow as pa
from pydantic import Field

from curate.stage import Arrays, Group, Names


class Prepared(NamedTuple):
    """What is kept of each item for comparing it. It is the index of a data set: later runs compare theirs
    with it, see `known`."""

    # One row an item; the columns of `signature()`, none of them null where the item has keys.
    signature: pa.Table
    # list<uint64>: its buckets, each named once. Alike items must share one; an item without any is alone.
    keys: pa.Array


class Linked(Group):
    """prepare -> buckets of equal keys -> link -> verify -> components -> survivors -> elect.

    Work is cut by keys, pairs and components into tasks of bounded size; only columns of `signature()` and
    `reads()` travel.

    `signature()` has the column `twin` (uint64): a digest of all the signature says. Items with equal twins
    are equal: they are compared once, all of them are linked, and they share one fate.

    Survivors: the best member of a component by `rank()` survives; a member dies only where it is verified
    against a survivor; whoever is left over is elected again, so that no chain eats a cluster.
    """

    indexed: ClassVar[bool] = True
    # Known runs decide what happens to new data, not what is known of an item.
    incidental: ClassVar[frozenset[str]] = frozenset({"known"})

    known: Names = Field(
        default=(),
        description="Folders of finished runs with a node of the same id and configuration: what they kept "
        "comes before all that is new. Give all of them, not the last alone.",
    )

    def known_runs(self) -> tuple[str, ...]:
        return self.known

    @abstractmethod
    def signature(self) -> pa.Schema:
        """Columns of `Prepared.signature`. `rank()` may name them."""

    @abstractmethod
    def carried(self) -> pa.Schema:
        """Those of them that `link` is shown: they are copied for each key, so they should be small."""

    def keys_each(self) -> int:
        """How many keys an item has, about: it decides the number of tasks."""
        return 1

    def sample_size(self) -> int:
        """How many items `fit` wants to see, at least where there are so many; 0: it has nothing to fit."""
        return 0

    def fit(self, items: pa.Table, total: int) -> Arrays:
        """Something to learn from a sample of all `total` items (those with the smallest hashes of their ids,
        sorted by id), which `prepare` is given. What an earlier run that is `known` has learnt stays."""
        return {}

    @abstractmethod
    def prepare(self, items: pa.Table, fitted: Arrays) -> Prepared:
        """Signature and keys of each item, of that item alone."""

    @abstractmethod
    def link(self, bucket: pa.Table) -> Iterator[pa.Table]:
        """Candidate pairs within equal keys.

        `bucket` has the columns `key` (uint64) and `carried()`, sorted by key and twin, and holds many keys.
        Yields tables of bounded size (about a million rows at most) with the columns `left`, `right` (int64
        row numbers) and, unless the Group `verifies`, `similarity` (float32). A pair may come twice.
        """

    def verifies(self) -> bool:
        """Whether pairs of `link` are candidates that `verify` must confirm, with the whole signature."""
        return True

    def verify(self, left: pa.Table, right: pa.Table) -> pa.Array:
        """float32, one value a pair of signatures: how alike they are; null where they are not."""
        raise AssertionError("a Group that verifies says how")

    def shown(self) -> frozenset[str]:
        """Columns of `reads()` or `signature()` that `elect` wants, beside those that `rank()` names."""
        return frozenset()

    def keys(self, items: pa.Table) -> pa.Array:
        raise AssertionError("see `prepare`")

    # elect() sees no other columns than `component`, `sample_id`, `shape`, `twin`, those of `rank()` and
    # `shown()`, and
    #   leader       int64, the row of the table that holds the survivor; the row itself where it survives
    #   similarity   float32, to the survivor; null where it survives
    # Items that are linked with nothing are not shown.
