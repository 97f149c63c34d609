"""A stage for tests only, which counts over the whole data before it opens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from curate.sample import Level
from curate.stage import Map, Op, Out


class Common(Map):
    """Drops what fewer than `least` texts of the whole data have in letters: counts over everything."""

    stage: Literal["common"] = "common"
    level: ClassVar[Level] = "text"
    kept: ClassVar[bool] = False

    least: int
    known: dict[str, int] = Field(default={})

    def reads(self) -> frozenset[str]:
        return frozenset({"text_letters"})

    def reasons(self) -> frozenset[str]:
        return frozenset({"rare"})

    def counts(self) -> frozenset[str]:
        return frozenset({"text_letters"})

    def counted(self, counts: Mapping[str, Mapping[str, int]]) -> Map:
        return self.model_copy(update={"known": dict(counts["text_letters"])})

    def open(self) -> Op:
        def op(table: pa.Table) -> Out:
            found = [self.known[str(n)] for n in table["text_letters"].to_pylist()]
            return Out(drop=pa.array([None if n >= self.least else "rare" for n in found], pa.string()))

        return op
