"""See `BucketFloor`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from curate.sample import Level
from curate.stage import Map, Op, Out
from stages.common.bucket_lots import Lot, lot_of, moves, read_lot
from stages.common.buckets import name_of
from stages.common.columns import reason_where
from stages.common.resolutions import Size

_LOT = "image_bucket_lot"
_REASON = "rare_bucket"
_COLUMNS = {
    "image_bucket": pa.string(),
    "image_target_width": pa.int32(),
    "image_target_height": pa.int32(),
    "image_tier": pa.int32(),
    _LOT: pa.string(),
}


class BucketFloor(Map):
    """Least number of images of a bucket: those of rarer ones go to the nearest one, or are dropped.

    A batch has images of one bucket, so that a bucket of fewer than a batch is never trained on, or only in
    part. Counted are all living images that come to this node, over the whole data set; filters belong
    before it.

    `fallback: nearest`: the rarest bucket is dissolved first, then the next, until each has `min`. Its images
    go to the bucket of the same tier that has the nearest ratio, of equally near ones to the largest; where
    the tier has none, to the nearest tier's. No image is enlarged more than `max_upscale` times on the way
    (give it `bucket`'s), and no ratio changes more than by the factor `max_change`. What has no such bucket
    is dropped as `rare_bucket`. Where all images together are fewer than `min`, all stay as they are.

    `fallback: drop`: images of buckets with fewer than `min` are dropped.

    How far an image may still be reduced is known to a few percent (`image_bucket_lot`), which errs on the
    side of not enlarging it. `image_fit` stays as it is.
    """

    stage: Literal["bucket_floor"] = "bucket_floor"
    level: ClassVar[Level] = "image"
    kept: ClassVar[bool] = False

    min: int = Field(ge=1, description="Images of a bucket at least; a batch of training, or some.")
    fallback: Literal["nearest", "drop"] = Field(
        default="nearest", description="What becomes of images of rarer buckets."
    )
    max_upscale: float = Field(
        default=1.0, ge=1, allow_inf_nan=False, description="nearest: how many times one may be enlarged."
    )
    max_change: float = Field(
        default=1.5,
        ge=1,
        allow_inf_nan=False,
        description="nearest: factor by which width / height of its bucket may change; 1.5 cuts a third.",
    )

    def reads(self) -> frozenset[str]:
        return frozenset({"image_width", "image_height", *_COLUMNS})

    def writes(self) -> pa.Schema:
        return pa.schema(_COLUMNS)

    def rewrites(self) -> frozenset[str]:
        return frozenset(_COLUMNS)

    def reasons(self) -> frozenset[str]:
        return frozenset({_REASON})

    def tallies(self) -> frozenset[str]:
        return frozenset({"image_bucket", "image_tier"})

    def counts(self) -> frozenset[str]:
        return frozenset({_LOT})

    def counted(self, counts: Mapping[str, Mapping[str, int]]) -> Map:
        lots = {lot: n for text, n in counts[_LOT].items() if (lot := read_lot(text)) is not None}
        return _BucketFloorOf(**dict(self), moved=self._moved(lots))

    def _moved(self, lots: Mapping[Lot, int]) -> dict[str, tuple[int | None, int, int] | None]:
        """Of each lot that leaves its bucket the tier and size it goes to, None where it is dropped."""
        if self.fallback == "nearest":
            found = moves(lots, self.min, self.max_upscale, self.max_change)
            return {str(lot): None if to is None else (to.tier, *to.size) for lot, to in found.items()}
        totals: dict[tuple[int, int], int] = {}
        for lot, n in lots.items():
            totals[lot.size] = totals.get(lot.size, 0) + n
        return {str(lot): None for lot in lots if totals[lot.size] < self.min}

    def open(self) -> Op:
        # as it is opened only where nothing was counted: nothing leaves its bucket
        return _BucketFloorOf(**dict(self), moved={}).open()


class _BucketFloorOf(BucketFloor):
    """With the lots that leave their buckets."""

    moved: dict[str, tuple[int | None, int, int] | None]

    def open(self) -> Op:
        moved = self.moved

        def op(table: pa.Table) -> Out:
            lots = table[_LOT].to_pylist()
            width, height = table["image_width"], table["image_height"]
            columns = {name: table[name].to_pylist() for name in _COLUMNS}
            dropped = [lot in moved and moved[lot] is None for lot in lots]
            for row, lot in enumerate(lots):
                to = moved.get(lot)
                if to is not None:
                    tier, size = to[0], Size(*to[1:])
                    own = lot_of(width[row].as_py(), height[row].as_py(), size, tier)
                    new = (name_of(size), *size, tier, str(own))
                    for name, value in zip(_COLUMNS, new, strict=True):
                        columns[name][row] = value
            arrays = {name: pa.array(columns[name], kind) for name, kind in _COLUMNS.items()}
            return Out(arrays, reason_where(dropped, _REASON))

        return op
