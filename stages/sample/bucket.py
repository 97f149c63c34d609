"""See `Bucket`."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, ClassVar, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from curate.errors import RecipeError
from curate.sample import Level, single, wrap
from curate.stage import Map, Op, Out
from stages.common.bucket_lots import lot_of
from stages.common.bucket_policies import Aspect, ByCaption, Native, Policy, Target, Tiles
from stages.common.buckets import name_of
from stages.common.caption_tiers import deserved

TOO_SMALL = "too_small"
_WANTED = "image_tier_wanted"
_SECTIONS = ("by_caption", "aspect", "native", "tiles")
_SIZES = 1 << 16  # remembered, for each worker


class Bucket(Map):
    """The size each image is trained at, and so its bucket: by caption, by ratio, native or in tiles.

        image_bucket         `<width>x<height>` of the target; with a writer's `by: image_bucket` a folder
        image_target_width   pixels, with image_target_height: what a writer with `images: resized` makes
        image_fit            `crop`: scaled until the target is covered, and cut about the centre;
                             `stretch`: just that size
        image_tier           side of a square of the bucket's area; of `tiles` the side of a tile; null for
                             `native`
        image_tier_wanted    `by_caption`: what the text deserves, before the image's size is looked at
        image_bucket_lot     what `bucket_floor` goes by: tier, bucket, and what percentage of the target's
                             sides the image has, rounded down

    All are null where `image_width` or `image_height` (of `probe`) is. The policies:

    - `by_caption`: short, noisy texts train well and fast at low resolution, long clean ones deserve more.
      The tier is the largest whose demands hold: `min_length`, of the image's texts together, and `bounds`,
      such as `{image_clip: {min: 0.28}}`. A text for which `junk` names a fault counts for nothing. Then the
      shape: `square`, the nearest ratio of that area (`aspect`, listed as `sdxl` is), or the image's own
      ratio in multiples of the step (`native`).
    - `aspect`: NovelAI's list, or that of kohya's sd-scripts, with which SDXL is trained. The bucket is that
      of least difference of width / height. NovelAI drops a difference of 4 or more (`extreme_ratio`; of
      tall images there is none), kohya takes the nearest, whatever it is.
    - `native`: `smart_resize` of Qwen2-VL and later, which refuses a ratio over 200 (`extreme_ratio`).
    - `tiles`: the grid of InternVL 1.5 and later, or of MiniCPM-V, in pixels. LLaVA-NeXT and LLaVA-OneVision
      pad, which is left to the trainer: the target is what the image takes up of their resolution.

    An image is enlarged `max_upscale` times at most (1: not at all; null: as the originals do). It goes to
    the largest tier or grid that it fills on both sides; of `native` a side that would be enlarged is rounded
    down; of LLaVA's it keeps its size. What fills none is dropped as `too_small`, or kept at a size of its
    own: shrunk to the area of the policy (its smallest tier's, a tile's), cut down to multiples of the step
    as kohya's `no_upscale` does, and without a tier.
    """

    stage: Literal["bucket"] = "bucket"
    level: ClassVar[Level] = "image"
    kept: ClassVar[bool] = False

    policy: Literal["by_caption", "aspect", "native", "tiles"] = Field(
        default="by_caption", description="What decides the size."
    )
    max_upscale: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = Field(
        default=1.0, description="How many times an image may be enlarged; null: without bound."
    )
    too_small: Literal["drop", "keep"] = Field(
        default="drop", description="What becomes of an image that fills no target."
    )
    by_caption: ByCaption = Field(default=ByCaption(), description="Settings of this policy.")
    aspect: Aspect = Field(default=Aspect(), description="Settings of this policy.")
    native: Native = Field(default=Native(), description="Settings of this policy.")
    tiles: Tiles = Field(default=Tiles(), description="Settings of this policy.")

    @model_validator(mode="after")
    def _settings_of_the_policy(self) -> Bucket:
        for name in _SECTIONS:
            unset = type(self).model_fields[name].default
            if name != self.policy and getattr(self, name) != unset:
                raise ValueError(f"`{name}` is set, and the policy is {self.policy}")
        return self

    def chosen(self) -> Policy:
        found: Policy = getattr(self, self.policy)
        return found

    def by_level(self) -> tuple[tuple[Level, Map], ...]:
        plain = self.model_copy(update={"id": "", "from_": ()})
        placed: tuple[tuple[Level, Map], ...] = (("image", Placed(bucket=plain)),)
        if self.policy != "by_caption":
            return placed
        return (("sample", Deserved(settings=self.by_caption)), *placed)

    def reads(self) -> frozenset[str]:
        return frozenset().union(*(part.reads() for _, part in self.by_level())) - {_WANTED}

    def writes(self) -> pa.Schema:
        return pa.schema([field for _, part in self.by_level() for field in part.writes()])

    def reasons(self) -> frozenset[str]:
        return self.chosen().reasons() | ({TOO_SMALL} if self.too_small == "drop" else frozenset())

    def tallies(self) -> frozenset[str]:
        return frozenset({"image_bucket", "image_tier", _WANTED} & set(self.writes().names))

    def open(self) -> Op:
        raise TypeError("bucket works on two levels: open what by_level() gives")


class Deserved(Map):
    """The tier that an image's texts deserve. Cheap: nothing is kept of it."""

    level: ClassVar[Level] = "sample"
    kept: ClassVar[bool] = False

    settings: ByCaption

    def reads(self) -> frozenset[str]:
        return self.settings.reads()

    def writes(self) -> pa.Schema:
        return pa.schema([(_WANTED, pa.int32())])

    def check_columns(self, columns: pa.Schema) -> None:
        """Lengths are counted and bounds compared: only numbers will do."""
        settings, place = self.settings, "by_caption"
        if not pa.types.is_integer(columns.field(settings.length).type):
            kind = columns.field(settings.length).type
            raise RecipeError(f"{place}.length", f"`{settings.length}` holds {kind}, not whole numbers")
        for number, tier in enumerate(settings.tiers):
            for name in tier.bounds:
                kind = columns.field(name).type
                if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
                    problem = f"`{name}` holds {kind}, which has no min and max"
                    raise RecipeError(f"{place}.tiers.{number}.bounds.{name}", problem)

    def open(self) -> Op:
        settings = self.settings
        whole = settings.texts == "all"

        def op(table: pa.Table) -> Out:
            sides = deserved(table, settings.tiers, settings.length, settings.junk, whole)
            counts = pc.list_value_length(single(table["image_ref"])).to_numpy(zero_copy_only=False)
            return Out({_WANTED: wrap(pa.array(sides, pa.int32()), counts)})

        return op


class Placed(Map):
    """The target of an image, from its size and the tier it deserves."""

    level: ClassVar[Level] = "image"
    kept: ClassVar[bool] = False

    bucket: Bucket

    def reads(self) -> frozenset[str]:
        wanted = {_WANTED} if self.bucket.policy == "by_caption" else set()
        return frozenset({"image_width", "image_height", *wanted})

    def writes(self) -> pa.Schema:
        return pa.schema(
            [
                ("image_bucket", pa.string()),
                ("image_target_width", pa.int32()),
                ("image_target_height", pa.int32()),
                ("image_fit", pa.string()),
                ("image_tier", pa.int32()),
                ("image_bucket_lot", pa.string()),
            ]
        )

    def reasons(self) -> frozenset[str]:
        return self.bucket.reasons()

    def open(self) -> Op:
        place = lru_cache(maxsize=_SIZES)(_placing(self.bucket))
        schema = self.writes()

        def op(table: pa.Table) -> Out:
            sizes = [table[name].to_pylist() for name in ("image_width", "image_height")]
            wanted = table[_WANTED].to_pylist() if _WANTED in table.column_names else [None] * table.num_rows
            found = [
                place(width, height, side) if width and height else (None,) * (len(schema) + 1)
                for width, height, side in zip(*sizes, wanted, strict=True)
            ]
            columns = zip(*found, strict=True) if found else [()] * (len(schema) + 1)
            *values, drop = (list(column) for column in columns)
            typed = zip(schema, values, strict=True)
            return Out(
                {field.name: pa.array(column, field.type) for field, column in typed},
                pa.array(drop, pa.string()),
            )

        return op


def _placing(bucket: Bucket) -> Callable[[int, int, int | None], tuple[int | str | None, ...]]:
    """From a size and the tier it deserves to one value for each column, and a reason."""
    policy = bucket.chosen()
    upscale = math.inf if bucket.max_upscale is None else bucket.max_upscale
    keep = bucket.too_small == "keep"

    def place(width: int, height: int, wanted: int | None) -> tuple[int | str | None, ...]:
        found = policy.target(width, height, wanted, upscale)
        if found is None:
            found = Target(policy.own(width, height), "crop", None) if keep else TOO_SMALL
        if isinstance(found, str):
            return (None, None, None, None, None, None, found)
        size, fit, tier = found
        lot = str(lot_of(width, height, size, tier))
        return (name_of(size), size.width, size.height, fit, tier, lot, None)

    return place
