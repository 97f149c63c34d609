"""See `Exact`."""

from __future__ import annotations

import hashlib
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from curate.errors import RecipeError
from curate.sample import PAIR, Level, level_of, single
from curate.stage import Group, Names, Out, Rank
from stages.common.electing import Fates, told
from stages.common.near import Prefer, reasons
from stages.common.normal_forms import NormalForm, normalised
from stages.common.strata import as_keys, components

# Longer keys are replaced by their digest, so that buckets stay small.
_LONGEST = 80


class Exact(Group):
    """Items with the same key: one survivor among pairs, a cap on the number of documents that share it.

    Of pairs the first by `prefer`, then by sample_id, survives, and the others are `duplicate`; where the key
    belongs to whole samples, documents are elected likewise. An image or text inside documents belongs to its
    place, and one survivor would tear holes into all other documents: it stays wherever it is, unless it
    occurs in more than `max_documents` of them. Then it is furniture (logos, buttons, advertisements), and
    every occurrence goes as `boilerplate` (after OBELICS, arXiv 2306.16527, which removes what occurs more
    than ten times).

    `within: domain` compares only what has the same domain: with `key: text_body` and `normalise: text` that
    finds the paragraphs that a site repeats on more than `max_documents` of its pages. An item without a
    value there is left alone.

    Pairs and documents never meet: a key that occurs in both has one survivor among the pairs, and the
    documents are capped on their own. An item whose key is null is left alone.

    `action: mark` drops nothing: a further column, `duplicate`, is true for what would have been dropped,
    false for the others of its cluster and null for an item without one.
    """

    stage: Literal["exact"] = "exact"
    indexed: ClassVar[bool] = True
    streams: ClassVar[bool] = True
    # the engine knows what the runs hold
    incidental: ClassVar[frozenset[str]] = frozenset({"known"})

    key: str = Field(description="The column to compare; its prefix is the level.")
    scope: Literal["pairs", "documents", "all"] = "all"
    prefer: tuple[Prefer, ...] = Field(default=(), description="The better one survives; ties by sample_id.")
    action: Literal["drop", "mark"] = Field(
        default="drop", description="`mark`: write columns, drop nothing."
    )
    max_documents: int = Field(default=10, ge=1, description="Documents that may share an item.")
    normalise: NormalForm = Field(
        default="none",
        description="`casefold` ignores case and spacing, `nfkc` also width and form, `text` also "
        "punctuation, symbols and what is not seen; `url` how an address is written, and who was led by it.",
    )
    within: Names = Field(
        default=(), description="Columns that must agree too: of the samples, or of the key's own level."
    )
    known: Names = Field(
        default=(),
        description="Folders of finished runs with a node of the same id and configuration: what they kept "
        "comes before all that is new. Give all of them, not the last alone.",
    )
    name: str = Field(
        default="", pattern="^[a-z0-9_]*$", description="Tells the columns of two such nodes apart."
    )

    @model_validator(mode="after")
    def _one_level(self) -> Exact:
        for name in self.within:
            if level_of(name) not in ("sample", self.level_()):
                raise ValueError(f"within: `{name}` is of each {level_of(name)}, and `{self.key}` is not")
        return self

    def level_(self) -> Level:
        return level_of(self.key)

    def known_runs(self) -> tuple[str, ...]:
        return self.known

    def check_columns(self, columns: pa.Schema) -> None:
        for name, place in ((self.key, "key"), *((name, "within") for name in self.within)):
            kind = columns.field(name).type if name in columns.names else pa.string()
            if pa.types.is_nested(kind) or pa.types.is_binary(kind):
                raise RecipeError(place, f"`{name}` holds {kind}, which is not compared", "hash it first")
            if place == "key" and self.normalise != "none" and not pa.types.is_string(kind):
                raise RecipeError("normalise", f"`{name}` holds {kind}, and only text has a normal form")

    def reads(self) -> frozenset[str]:
        prefer = (p.column for p in self.prefer)
        return frozenset({self.key, "sample_id", "source", "shape", *self.within, *prefer})

    def writes(self) -> pa.Schema:
        cluster, survivor, duplicate = self._columns()
        names = pa.schema([(cluster, pa.string()), (survivor, pa.string())])
        return names.append(pa.field(duplicate, pa.bool_())) if self.action == "mark" else names

    def reasons(self) -> frozenset[str]:
        return reasons(self.action, self.scope, self._items())

    def rank(self) -> tuple[Rank, ...]:
        return tuple(p.rank() for p in self.prefer)

    def keys(self, items: pa.Table) -> pa.Array:
        values = self._key(items)
        pairs = pc.equal(items["shape"], PAIR)
        kinds = pc.if_else(pairs, "p", "d")
        buckets = pc.binary_join_element_wise(single(kinds), values, ":")  # null where the key is
        wanted = {"pairs": pairs, "documents": pc.invert(pairs), "all": pa.scalar(True)}[self.scope]
        return as_keys(single(pc.if_else(wanted, buckets, pa.scalar(None, pa.string()))))

    def units(self, items: pa.Table, keys: pa.Array) -> pa.Array:
        """Documents: what occurs in one twice counts once."""
        there = pc.equal(pc.fill_null(pc.list_value_length(keys), 0), 1)
        here = items.filter(there)
        shared = pa.table({"sample_id": here["sample_id"], "source": here["source"], "key": keys.flatten()})
        shared = shared.append_column("row", pa.array(np.arange(len(shared)), pa.int64()))
        first = shared.group_by(["sample_id", "source", "key"]).aggregate([("row", "min")])["row_min"]
        units = pc.equal(here["shape"], PAIR).to_numpy(zero_copy_only=False).astype(np.int64)
        units[first.to_numpy()] = 1
        return pa.array(units)

    def elect(self, members: pa.Table) -> Out:
        # A component is of one kind, see keys(): items of documents are capped, all else elects.
        several = members["size"].to_numpy() > 1
        pair = pc.equal(members["shape"], PAIR).to_numpy(zero_copy_only=False)
        elects = several & (pair if self._items() else np.ones_like(pair))
        fates = Fates(
            several,
            elects & (members["place"].to_numpy() > 0),
            several & ~elects & (members["total"].to_numpy() > self.max_documents),
            pc.if_else(pa.array(elects), single(members["first"]), pa.scalar(None, pa.string())),
        )
        cluster, survivor, duplicate = self._columns()
        columns = {cluster: self._cluster(members, several), survivor: fates.survivor}
        return told(columns, fates, duplicate if self.action == "mark" else "")

    def _items(self) -> bool:
        return self.level_() != "sample"

    def _columns(self) -> tuple[str, str, str]:
        prefix = f"{self.level_()}_" if self._items() else ""
        begin = f"{prefix}{self.name}_" if self.name else prefix
        return f"{begin}cluster", f"{begin}survivor", f"{begin}duplicate"

    def _key(self, table: pa.Table) -> pa.Array:
        """What is compared, as a string of bounded length; null where the key or a column of `within` is."""
        key = _bounded(normalised(single(table[self.key]).cast(pa.string()), self.normalise))
        if not self.within:
            return key
        others = [_bounded(single(table[name]).cast(pa.string())) for name in self.within]
        # with their lengths, so that no value can run into the next
        told = [a for v in others for a in (pc.binary_length(v).cast(pa.string()), v)]
        return single(pc.binary_join_element_wise(*told, key, ":"))

    def _cluster(self, members: pa.Table, several: npt.NDArray[np.bool_]) -> pa.Array:
        """A name for each component of several members, from the key: the same in every run and data set."""
        first, _, group = components(members)
        wanted = several[first]
        keys = self._key(members.take(pa.array(first[wanted]))).to_pylist()
        names = np.full(len(first), None, dtype=object)
        names[wanted] = [_digest(key)[:16] for key in keys]
        return pa.array(names[group], pa.string())


def _bounded(text: pa.Array) -> pa.Array:
    """Equal exactly where the texts are."""
    long = pc.greater(pc.binary_length(text), _LONGEST)
    if not pc.any(long).as_py():
        return text
    digests = [f"#{_digest(t)}" for t in text.filter(long).to_pylist()]
    return pc.replace_with_mask(text, pc.fill_null(long, False), pa.array(digests, pa.string()))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
