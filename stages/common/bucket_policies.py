"""How `bucket` chooses a size: each policy with its settings."""

from __future__ import annotations

import math
from abc import abstractmethod
from functools import lru_cache
from typing import Annotated, Literal, NamedTuple, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from curate.sample import level_of
from stages.common import buckets
from stages.common.caption_tiers import Tier
from stages.common.resolutions import MAX_RATIO, NEXT_PINPOINTS, ONEVISION_PINPOINTS, Size

Fit: TypeAlias = Literal["crop", "stretch"]
EXTREME = "extreme_ratio"

_Side: TypeAlias = Annotated[int, Field(ge=1, le=1 << 15)]
_Area: TypeAlias = Annotated[int, Field(ge=1, le=1 << 30)]
_PATCH = 14


class Target(NamedTuple):
    """What an image becomes; `tier`: the side of a square of the policy's area."""

    size: Size
    fit: Fit
    tier: int | None


class Policy(BaseModel):
    """Settings of one policy, and the choice itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def reasons(self) -> frozenset[str]:
        """Why it may refuse an image, beside its being too small."""
        return frozenset()

    @abstractmethod
    def target(self, width: int, height: int, wanted: int | None, upscale: float) -> Target | str | None:
        """The target of an image, or a reason; None where it fills none, enlarged `upscale` times at most.

        `wanted`: side of the largest tier that it deserves; None where that is of no interest.
        """

    @abstractmethod
    def own(self, width: int, height: int) -> Size:
        """The bucket of an image that fills no target."""


class ByCaption(Policy):
    """Tiers, and the shape of a bucket within its tier."""

    tiers: tuple[Tier, ...] = Field(
        default=(
            Tier(side=224),
            Tier(side=336, min_length=8),
            Tier(side=448, min_length=16),
            Tier(side=896, min_length=40),
        ),
        min_length=1,
        description="From small to large; the first demands nothing.",
    )
    shapes: Literal["square", "aspect", "native"] = Field(
        default="aspect",
        description="`aspect`: the nearest ratio of about equal area, sides from half to double.",
    )
    step: _Side = Field(default=28, description="Sides are multiples of it; not of `square`.")
    fit: Fit = Field(default="crop", description="Whether other ratios are cut or squashed.")
    max_cut: float = Field(
        default=0.5, ge=0, le=1, description="Where a cut would take a larger share: `extreme_ratio`."
    )
    length: str = Field(default="text_words", description="Column of texts: their lengths, whole numbers.")
    junk: str = Field(
        default="text_junk", description="Column of texts, null where nothing is wrong; empty for none."
    )
    texts: Literal["near", "all"] = Field(
        default="near",
        description="Texts of an image in a document: those directly before and behind it, or all. Of pairs "
        "and conversations, all.",
    )

    @model_validator(mode="after")
    def _tiers_rise(self) -> ByCaption:
        sides = [tier.side for tier in self.tiers]
        if sides != sorted(set(sides)):
            raise ValueError(f"tiers must rise from small to large: {sides}")
        if self.tiers[0].demands():
            raise ValueError("the smallest tier takes what no other does: it demands nothing")
        for column in filter(None, (self.length, self.junk)):
            if level_of(column) != "text":
                raise ValueError(f"`{column}` is no column of texts: its name must begin with text_")
        if self.shapes != "square" and self.step * 2 > sides[0]:
            raise ValueError(f"a step of {self.step} is too coarse for a side of {sides[0]}")
        return self

    def reads(self) -> frozenset[str]:
        """Columns that tell what a text deserves."""
        bounded = {name for tier in self.tiers for name in tier.bounds}
        named = {self.length, *filter(None, (self.junk,))}
        return frozenset({"layout", "shape", "image_ref", "text_body", *named, *bounded})

    def reasons(self) -> frozenset[str]:
        cuts = self.fit == "crop" and self.shapes != "native" and self.max_cut < 1
        return frozenset({EXTREME} if cuts else ())

    def target(self, width: int, height: int, wanted: int | None, upscale: float) -> Target | str | None:
        for tier in reversed(self.tiers):
            if wanted is None or tier.side <= wanted:
                found = self._within(tier.side, width, height, upscale)
                if found is not None:
                    return found
        return None

    def _within(self, side: int, width: int, height: int, upscale: float) -> Target | str | None:
        if self.shapes == "native":
            filled = width * height * upscale * upscale >= side * side
            size = buckets.area_size(width, height, side * side, self.step)
            fits = filled and buckets.fills(width, height, size, upscale)
            return Target(size, "stretch", side) if fits else None
        size = buckets.nearest_bucket(width, height, _in_tier(side, self.shapes, self.step))
        if not buckets.fills(width, height, size, upscale):
            return None
        cut = buckets.share_cut(width, height, size) if self.fit == "crop" else 0.0
        return EXTREME if cut > self.max_cut else Target(size, self.fit, side)

    def own(self, width: int, height: int) -> Size:
        return buckets.own_size(width, height, self.tiers[0].side ** 2, self.step)


@lru_cache(maxsize=256)
def _in_tier(side: int, shapes: str, step: int) -> tuple[Size, ...]:
    if shapes == "square":
        return (Size(side, side),)
    shortest = math.ceil(side / 2 / step) * step
    return buckets.sdxl_buckets(side * side, shortest, 2 * side, step)


class Aspect(Policy):
    """A list of buckets of about equal area."""

    buckets: Literal["novelai", "sdxl"] = Field(default="sdxl", description="How the list is made.")
    area: _Area | None = Field(default=None, description="At most; 1024 * 1024, novelai 512 * 768.")
    min_side: _Side | None = Field(default=None, description="512; novelai 256.")
    max_side: _Side | None = Field(default=None, description="2048; novelai 1024.")
    square: _Side | None = Field(default=None, description="novelai: side of the square added, 512.")
    step: _Side = Field(default=64, description="Sides are multiples of it.")
    fit: Fit = Field(default="crop", description="Whether other ratios are cut or squashed.")
    max_error: float | None = Field(
        default=None,
        gt=0,
        description="From this difference of width / height to the bucket's on, `extreme_ratio`; novelai 4, "
        "sdxl none.",
    )

    @model_validator(mode="after")
    def _there_are_some(self) -> Aspect:
        if self.buckets != "novelai" and self.square is not None:
            raise ValueError("sdxl has its own square, the largest of the area: `square` is for novelai")
        area, least, most = self._bounds()
        if least > most or max(least, self.step) ** 2 > area:
            raise ValueError(f"no bucket has sides of {least} to {most} and an area of {area} at most")
        return self

    def reasons(self) -> frozenset[str]:
        return frozenset({EXTREME} if math.isfinite(self._limit()) else ())

    def target(self, width: int, height: int, wanted: int | None, upscale: float) -> Target | str | None:
        size = buckets.nearest_bucket(width, height, self._list())
        if buckets.ratio_error(width, height, size) >= self._limit():
            return EXTREME
        fits = buckets.fills(width, height, size, upscale)
        return Target(size, self.fit, math.isqrt(self._bounds()[0])) if fits else None

    def own(self, width: int, height: int) -> Size:
        return buckets.own_size(width, height, self._bounds()[0], self.step)

    def _bounds(self) -> tuple[int, int, int]:
        """Area, shortest and longest side."""
        default = (512 * 768, 256, 1024) if self.buckets == "novelai" else (1024 * 1024, 512, 2048)
        given = (self.area, self.min_side, self.max_side)
        area, least, most = (g or d for g, d in zip(given, default, strict=True))
        return area, least, most

    def _limit(self) -> float:
        return self.max_error or (4.0 if self.buckets == "novelai" else math.inf)

    def _list(self) -> tuple[Size, ...]:
        if self.buckets == "novelai":
            return _novelai(*self._bounds(), self.step, self.square or 512)
        return _sdxl(*self._bounds(), self.step)


_novelai = lru_cache(maxsize=16)(buckets.novelai_buckets)
_sdxl = lru_cache(maxsize=16)(buckets.sdxl_buckets)


class Native(Policy):
    """`smart_resize` of Qwen2-VL and later."""

    factor: _Side = Field(default=28, description="Sides are multiples of it; Qwen3-VL: 32.")
    min_pixels: _Area = Field(default=56 * 56, description="Area at least; Qwen3-VL: 65536.")
    max_pixels: _Area = Field(default=16384 * 28 * 28, description="Area at most; Qwen3-VL: 16777216.")

    @model_validator(mode="after")
    def _makes_sense(self) -> Native:
        if not max(self.min_pixels, self.factor**2) <= self.max_pixels:
            raise ValueError("max_pixels must hold min_pixels, and a square of the factor")
        return self

    def reasons(self) -> frozenset[str]:
        return frozenset({EXTREME})

    def target(self, width: int, height: int, wanted: int | None, upscale: float) -> Target | str | None:
        if max(width, height) > MAX_RATIO * min(width, height):
            return EXTREME
        size = buckets.native_size(width, height, self.factor, self.min_pixels, self.max_pixels, upscale)
        return None if size is None else Target(size, "stretch", None)

    def own(self, width: int, height: int) -> Size:
        return buckets.own_size(width, height, self.max_pixels, self.factor)


class Tiles(Policy):
    """The grid of a model that cuts images into tiles."""

    grids: Literal["internvl", "llava_next", "llava_onevision", "minicpm"] = Field(
        default="internvl", description="Whose."
    )
    max_tiles: Annotated[int, Field(ge=1, le=64)] | None = Field(
        default=None, description="internvl 12, minicpm 9 (slices)."
    )
    tile: _Side | None = Field(default=None, description="Side of one; internvl, minicpm 448.")

    @model_validator(mode="after")
    def _fields_of_the_grid(self) -> Tiles:
        if self.grids.startswith("llava") and (self.max_tiles or self.tile):
            raise ValueError(f"{self.grids} has a list of its own: no max_tiles and no tile")
        return self

    def target(self, width: int, height: int, wanted: int | None, upscale: float) -> Target | str | None:
        side = self.tile or 448
        size: Size | None
        if self.grids == "internvl":
            size = buckets.internvl_size(width, height, self.max_tiles or 12, side, upscale)
        elif self.grids == "minicpm":
            size = buckets.minicpm_size(width, height, self.max_tiles or 9, side, upscale)
        else:
            side, pinpoints = (
                (336, NEXT_PINPOINTS) if self.grids == "llava_next" else (384, ONEVISION_PINPOINTS)
            )
            size = buckets.anyres_size(width, height, pinpoints, upscale)
        return None if size is None else Target(size, "stretch", side)

    def own(self, width: int, height: int) -> Size:
        return buckets.own_size(width, height, (self.tile or 448) ** 2, _PATCH)
