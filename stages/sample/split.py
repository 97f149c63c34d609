"""See `Split`."""

from __future__ import annotations

import re
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator

from curate.errors import RecipeError
from curate.sample import level_of, single
from curate.stage import Map, Op, Out
from stages.common.draws import draws

_NAME = re.compile("[a-z0-9_]+")
_TOLERANCE = 1e-9


class Split(Map):
    """Which part of the data each sample is for: `train`, `validation` or `test`, by a seeded hash.

    `{shares: {train: 0.98, validation: 0.01, test: 0.01}}` writes the column `split`. The hash is of
    `component`, so that what belongs together stays together, and where that is null of the sample's id;
    children of a document go with it. Of the classes of the hash each has the share that it is told, and a
    large component is in one piece: shares are met by components, to within sqrt(share / components).

    More data moves no sample, unless its component gets another name (see `component`); even then it stays in
    its part with a chance of the sum of all squared shares, which is 96 % here. Two nodes of one seed and the
    same shares agree. Select with `keep`: `{bounds: {split: {in: [train]}}}`, in a branch for each part.
    """

    stage: Literal["split"] = "split"
    kept: ClassVar[bool] = False

    shares: dict[str, float] = Field(
        default={"train": 0.98, "validation": 0.01, "test": 0.01}, description="Together 1."
    )
    by: str = Field(
        default="component",
        description="Column of samples whose equal values stay together: `component`, `domain`; `sample_id` "
        "for each sample on its own.",
    )
    seed: int = Field(default=0, description="Another one draws others.")
    name: str = Field(
        default="", pattern="^[a-z0-9_]*$", description="Column `<name>_split` in place of `split`."
    )

    @field_validator("shares")
    @classmethod
    def _whole(cls, shares: dict[str, float]) -> dict[str, float]:
        for name in shares:
            if not _NAME.fullmatch(name):
                raise ValueError(f"`{name}`: names are of a-z, 0-9 and _, as they may become folders")
        if not all(0 <= share <= 1 for share in shares.values()):
            raise ValueError("shares lie between 0 and 1")
        if abs(sum(shares.values()) - 1) > _TOLERANCE:
            raise ValueError(f"shares come to {sum(shares.values()):g}, and not to 1")
        return shares

    @field_validator("by")
    @classmethod
    def _of_samples(cls, by: str) -> str:
        if level_of(by) != "sample":
            raise ValueError(f"`{by}` has a value for each {level_of(by)}: join by it with `component`")
        return by

    def reads(self) -> frozenset[str]:
        return frozenset({"sample_id", self.by})

    def writes(self) -> pa.Schema:
        return pa.schema([(f"{self.name}_split" if self.name else "split", pa.string())])

    def tallies(self) -> frozenset[str]:
        return frozenset(self.writes().names)

    def check_columns(self, columns: pa.Schema) -> None:
        kind = columns.field(self.by).type if self.by in columns.names else pa.string()
        if not pa.types.is_string(kind):
            raise RecipeError("by", f"`{self.by}` holds {kind}, and not text")

    def open(self) -> Op:
        # by name: the order in which a recipe lists them is no part of what the stage is
        names = sorted(self.shares)
        ends = np.cumsum([self.shares[name] for name in names])[:-1]

        def op(table: pa.Table) -> Out:
            own = pa.array([id_.partition("#")[0] for id_ in table["sample_id"].to_pylist()], pa.string())
            together = own if self.by == "sample_id" else pc.coalesce(single(table[self.by]), own)
            lots = draws(f"split {self.seed}", together)
            part = np.searchsorted(ends, lots, side="right")
            return Out({self.writes().names[0]: pa.array(names, pa.string()).take(pa.array(part))})

        return op
