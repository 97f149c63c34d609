"""What becomes of the members of a cluster of near duplicates."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.sample import PAIR, single
from curate.stage import Out
from stages.common.columns import reason_where
from stages.common.strata import components

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def near(members: pa.Table, prefix: str, *, items: bool, max_documents: int, mark: bool) -> Out:
    """The columns `<prefix>cluster`, `survivor`, `similarity` (and `duplicate`) of members with leaders.

    `members` is what `Linked` shows to `elect`. Pairs, and whole samples, are `duplicate` unless they lead.
    Items of documents (`items`, and the shape is no pair's) have no survivor: where a leader's cluster occurs
    in more than `max_documents` of them, all its members are `boilerplate`. A leader without followers has
    no cluster. With `mark` nothing is dropped, but a column says what would have been, and another,
    `<prefix>component`, names all that a chain of likenesses joins: a cluster is what is like its survivor,
    and two of its members, or members of two clusters, may be alike all the same.
    """
    leader: Ints = single(members["leader"]).to_numpy()
    fates = _decided(members, leader, items=items, max_documents=max_documents)
    columns = {
        f"{prefix}cluster": _names(members, leader, fates.several),
        f"{prefix}survivor": fates.survivor,
        f"{prefix}similarity": single(members["similarity"]).cast(pa.float32()),
    }
    if not mark:
        return told(columns, fates, "")
    first, _, group = components(members)
    named = _names(members, first[group], np.ones(len(leader), dtype=bool))
    return told({**columns, f"{prefix}component": named}, fates, f"{prefix}duplicate")


class Fates(NamedTuple):
    """Of the members of clusters, one value each."""

    several: Mask  # whether its cluster has other members
    loses: Mask  # to a survivor
    furniture: Mask  # of too many documents
    survivor: pa.Array  # sample_id, its own where it survives; null where nobody is elected


def _decided(members: pa.Table, leader: Ints, *, items: bool, max_documents: int) -> Fates:
    """What becomes of members with `sample_id` and `shape`, by the row that each belongs to."""
    rows = len(leader)
    several = np.bincount(leader, minlength=rows)[leader] > 1
    ids = single(members["sample_id"])
    pair = single(pc.equal(members["shape"], PAIR)).to_numpy(zero_copy_only=False)
    elects = pair if items else np.ones(rows, dtype=bool)
    furniture = np.zeros(rows, dtype=bool)
    capped = np.flatnonzero(several & ~elects)
    if len(capped):  # twice in one document counts once
        furniture[capped] = _distinct_samples(ids.take(pa.array(capped)), leader[capped]) > max_documents
    elects &= several
    survivor = ids.take(pa.array(leader, mask=~elects))
    return Fates(several, elects & (leader != np.arange(rows)), furniture, survivor)


def told(columns: Mapping[str, pa.Array], fates: Fates, duplicate: str) -> Out:
    """The columns with the drops, or with the column `duplicate` that says who would have been dropped."""
    if duplicate:
        # twins share an id, so that the survivor's does not tell them apart
        marks = pa.array(fates.furniture | fates.loses, mask=~fates.several)
        return Out({**columns, duplicate: marks})
    furniture, loses = reason_where(fates.furniture, "boilerplate"), reason_where(fates.loses, "duplicate")
    return Out(columns, pc.coalesce(furniture, loses))


def _distinct_samples(ids: pa.Array, group: Ints) -> Ints:
    """For each row the number of different ids in its group."""
    codes = ids.dictionary_encode().indices.to_numpy().astype(np.int64)
    width = int(codes.max()) + 1
    found: Ints = np.bincount(np.unique(group * width + codes) // width)[group]
    return found


def _names(members: pa.Table, leader: Ints, several: npt.NDArray[np.bool_]) -> pa.Array:
    """A name for each cluster from what its leader is: the same in every run and for any cut of the input."""
    leaders, place = np.unique(leader[several], return_inverse=True)
    led = members.take(pa.array(leaders))
    parts = led["sample_id"].to_pylist()
    if "twin" in members.column_names:  # two items of one sample may lead
        parts = [f"{own}:{twin}" for own, twin in zip(parts, led["twin"].to_pylist(), strict=True)]
    names = np.full(len(leader), None, dtype=object)
    names[several] = np.array([hashlib.sha256(p.encode()).hexdigest()[:16] for p in parts], object)[place]
    return pa.array(names, pa.string())
