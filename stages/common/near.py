"""What stages that find near duplicates have in common: their configuration and how they decide."""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from curate.linked import Linked
from curate.sample import PAIR, single
from curate.stage import Names, Out, Rank
from stages.common.electing import near

Order: TypeAlias = Literal["ascending", "descending"]


class Prefer(BaseModel):
    """One column of the order in which survivors are elected."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str
    order: Order = "descending"
    first: Names = Field(
        default=(), description="Values that come before all others, the best first, whatever the order."
    )

    def rank(self) -> Rank:
        return Rank(self.column, self.order, self.first)


def reasons(action: str, scope: str, items: bool) -> frozenset[str]:
    """Of a stage that removes duplicates: of pairs and whole samples, and of items of documents."""
    if action == "mark":
        return frozenset()
    capped = scope != "pairs" and items
    elected = scope != "documents" or not items
    return frozenset(["boilerplate"] * capped + ["duplicate"] * elected)


class Near(Linked):
    """Near duplicates: of pairs one survives, items of documents are capped. See `electing.near`.

    A subclass has a level, a signature, and finds what is alike. Its `prepare` gives keys only where
    `in_scope`, and mixes `kinds` into keys and twins: pairs and documents never meet.
    """

    label: ClassVar[str] = "near"  # in the names of its columns, where the node has no `name`

    scope: Literal["pairs", "documents", "all"] = "all"
    prefer: tuple[Prefer, ...] = Field(default=(), description="The better one survives; ties by sample_id.")
    action: Literal["drop", "mark"] = Field(
        default="drop", description="`mark`: write columns, drop nothing."
    )
    max_documents: int = Field(
        default=10, ge=1, description="Documents that may share an item and what is like it."
    )
    name: str = Field(
        default="", pattern="^[a-z0-9_]*$", description="Tells the columns of two such nodes apart."
    )

    def reads(self) -> frozenset[str]:
        """Of its own; a subclass adds what it compares."""
        return frozenset({"sample_id", "shape", *(p.column for p in self.prefer)})

    def writes(self) -> pa.Schema:
        prefix = self.prefix()
        columns = [
            (f"{prefix}cluster", pa.string()),
            (f"{prefix}survivor", pa.string()),
            (f"{prefix}similarity", pa.float32()),
        ]
        marks = [(f"{prefix}component", pa.string()), (f"{prefix}duplicate", pa.bool_())]
        return pa.schema([*columns, *marks] if self.action == "mark" else columns)

    def reasons(self) -> frozenset[str]:
        return reasons(self.action, self.scope, self._items())

    def rank(self) -> tuple[Rank, ...]:
        return tuple(p.rank() for p in self.prefer)

    def elect(self, members: pa.Table) -> Out:
        return near(
            members,
            self.prefix(),
            items=self._items(),
            max_documents=self.max_documents,
            mark=self.action == "mark",
        )

    def prefix(self) -> str:
        """What the names of its columns begin with: `image_near_`, `near_`, `image_<name>_`."""
        level = f"{self.level_()}_" if self._items() else ""
        return f"{level}{self.name or self.label}_"

    def in_scope(self, items: pa.Table) -> npt.NDArray[np.bool_]:
        """Which rows take part, by shape."""
        pair = _pairs(items)
        return {"pairs": pair, "documents": ~pair, "all": np.ones(len(pair), dtype=bool)}[self.scope]

    def kinds(self, items: pa.Table) -> npt.NDArray[np.uint64]:
        """0 or 1 a row; those of different kinds must not be linked. Whole samples are all of one kind."""
        return (~_pairs(items) & self._items()).astype(np.uint64)

    def _items(self) -> bool:
        return self.level_() != "sample"


def _pairs(items: pa.Table) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = single(pc.equal(items["shape"], PAIR)).to_numpy(zero_copy_only=False)
    return found
