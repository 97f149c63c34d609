"""See `Target`: a module of its own, because a run loads stages by the name of a module."""

from __future__ import annotations

from typing import ClassVar, Literal

import pyarrow as pa

from curate.sample import Level
from curate.stage import Map, Op, Out


class Target(Map):
    """Gives every image the same target."""

    stage: Literal["target"] = "target"
    level: ClassVar[Level] = "image"
    side: int

    def reads(self) -> frozenset[str]:
        return frozenset({"image_width"})

    def writes(self) -> pa.Schema:
        names = ("image_target_width", "image_target_height")
        return pa.schema([*((name, pa.int32()) for name in names), ("image_fit", pa.string())])

    def open(self) -> Op:
        def op(table: pa.Table) -> Out:
            side = pa.array([self.side] * table.num_rows, pa.int32())
            fit = pa.array(["crop"] * table.num_rows)
            return Out({"image_target_width": side, "image_target_height": side, "image_fit": fit})

        return op


STAGES = (Target,)
