"""Which resolution the text of an image deserves: tiers, each with what it demands of the text."""

from __future__ import annotations

import operator
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, model_validator

from curate.sample import DOCUMENT, Ints, Mask, flat, level_of, single


class Range(BaseModel):
    """What a value must lie in; both ends are inclusive. A null or NaN lies outside."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    min: StrictInt | StrictFloat | None = None
    max: StrictInt | StrictFloat | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Range:
        if self.min is None and self.max is None:
            raise ValueError("bounds nothing: give it min or max")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}: nothing could be within")
        return self


class Tier(BaseModel):
    """A resolution and what it demands."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    side: int = Field(ge=14, description="Side of a square of its area, in pixels.")
    min_length: int = Field(default=0, ge=0, description="Least length of the image's texts together.")
    bounds: dict[str, Range] = Field(
        default={},
        description="Columns of numbers and what they must lie in: of the image, of the sample, or of texts, "
        "where those outside count for nothing.",
    )

    def demands(self) -> bool:
        return bool(self.min_length or self.bounds)


def deserved(table: pa.Table, tiers: Sequence[Tier], length: str, junk: str, whole: bool) -> Ints:
    """For each image of a table of samples the side of the largest tier whose demands hold, shape (images,).

    `tiers` from small to large, the first without demands. `length` is a column of whole numbers; a text for
    which the column `junk` ("": there is none) names a fault counts for nothing. The texts of an image are
    all of its sample, in a document those directly before and behind it unless `whole`.
    """
    n_images = _counts(table["image_ref"])
    first, last = _own_texts(table, n_images, whole)
    lengths = pc.fill_null(flat(table[length]).cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
    heard = np.ones(len(lengths), dtype=bool)
    if junk:
        heard = pc.is_null(flat(table[junk])).to_numpy(zero_copy_only=False)
    found = np.full(len(first), tiers[0].side, dtype=np.int64)
    for tier in tiers[1:]:
        holds = np.ones(len(first), dtype=bool)
        counted = heard.copy()
        for name, range_ in tier.bounds.items():
            if level_of(name) == "text":
                counted &= _within(flat(table[name]), range_)
            elif level_of(name) == "image":
                holds &= _within(flat(table[name]), range_)
            else:
                holds &= np.repeat(_within(single(table[name]), range_), n_images)
        holds &= _sums(np.where(counted, lengths, 0), first, last) >= tier.min_length
        if any(level_of(name) == "text" for name in tier.bounds):
            holds &= _sums(counted.astype(np.int64), first, last) > 0
        found[holds] = tier.side
    return found


def _own_texts(table: pa.Table, n_images: Ints, whole: bool) -> tuple[Ints, Ints]:
    """The texts of each image: from the first to before the last, among all texts of the table."""
    ends = np.cumsum(_counts(table["text_body"]))
    starts = ends - np.diff(ends, prepend=0)
    first, last = np.repeat(starts, n_images), np.repeat(ends, n_images)
    if whole:
        return first, last
    spans = np.frombuffer("".join(table["layout"].to_pylist()).encode(), dtype=np.uint8)
    before = np.cumsum(spans == ord("t"))[spans == ord("i")]  # texts before each image, over all rows
    shapes = table["shape"].to_pylist()
    near = np.repeat([shape.startswith(DOCUMENT) for shape in shapes], n_images)
    return (
        np.where(near, np.maximum(first, before - 1), first),
        np.where(near, np.minimum(last, before + 1), last),
    )


def _counts(lists: pa.ChunkedArray) -> Ints:
    found: Ints = pc.list_value_length(single(lists)).to_numpy(zero_copy_only=False).astype(np.int64)
    return found


def _within(values: pa.Array, range_: Range) -> Mask:
    inside: Mask = pc.is_valid(values).to_numpy(zero_copy_only=False)
    numbers = pc.fill_null(values, 0).to_numpy(zero_copy_only=False)
    for limit, holds in ((range_.min, operator.ge), (range_.max, operator.le)):
        if limit is not None:
            # in the column's own precision: 0.7 stored as float32 is not below 0.7
            floating = np.issubdtype(numbers.dtype, np.floating)
            inside = inside & holds(numbers, numbers.dtype.type(limit) if floating else limit)
    return inside


def _sums(values: Ints, first: Ints, last: Ints) -> Ints:
    """The sum of values[first:last] for each pair of the two."""
    running = np.r_[0, np.cumsum(values)]
    found: Ints = running[last] - running[first]
    return found
