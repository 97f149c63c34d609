"""See `Keep`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import ClassVar, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    model_validator,
)

from curate.errors import RecipeError, nearest
from curate.sample import ITEM_LEVELS, Level, level_of, single
from curate.stage import Map, Op, Out, Quantile, Thresholds

Value: TypeAlias = StrictBool | StrictInt | StrictFloat | StrictStr
_LEVELS: tuple[Level, ...] = (*ITEM_LEVELS, "sample")
_LOW, _HIGH = "below_min_quantile", "above_max_quantile"


class Bound(BaseModel):
    """What a value must satisfy to stay; both ends are inclusive."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)

    min: StrictInt | StrictFloat | None = None
    max: StrictInt | StrictFloat | None = None
    in_: tuple[Value, ...] | None = Field(
        default=None, min_length=1, alias="in", description="The values that may stay."
    )
    not_in: tuple[Value, ...] | None = Field(
        default=None, min_length=1, description="The values that may not stay."
    )
    min_quantile: float | None = Field(
        default=None, gt=0, lt=1, description="What lies below this quantile goes; 0.3 keeps the best 70 %."
    )
    max_quantile: float | None = Field(
        default=None, gt=0, lt=1, description="What lies above this quantile goes."
    )
    missing: Literal["drop", "keep"] = Field(default="drop", description="What happens to a null.")

    @model_validator(mode="after")
    def _says_something(self) -> Bound:
        if not self.model_fields_set:
            told = "min, max, in, not_in, min_quantile, max_quantile or missing"
            raise ValueError(f"bounds nothing: give it {told}")
        for suffix in ("", "_quantile"):
            low, high = getattr(self, f"min{suffix}"), getattr(self, f"max{suffix}")
            if low is not None and high is not None and low > high:
                raise ValueError(f"min{suffix} {low} is above max{suffix} {high}: nothing could stay")
        return self

    def values(self) -> tuple[Value, ...]:
        return (*(self.in_ or ()), *(self.not_in or ()))

    def quantiles(self) -> dict[str, float]:
        """Reason -> quantile."""
        found = {_LOW: self.min_quantile, _HIGH: self.max_quantile}
        return {reason: q for reason, q in found.items() if q is not None}

    def reasons(self, column: str) -> frozenset[str]:
        found = {
            "missing": self.missing == "drop",
            "below_min": self.min is not None,
            "above_max": self.max is not None,
            "not_in": self.in_ is not None,
            "in": self.not_in is not None,
            **dict.fromkeys(self.quantiles(), True),
        }
        return frozenset(f"{column}.{reason}" for reason, can in found.items() if can)


class Keep(Map):
    """The only filter: drops what lies outside its bounds. `{image_clip: {min: 0.28}}`, both ends inclusive.

    Reasons are `<column>.below_min`, `.above_max`, `.not_in` (it is not among `in`), `.in` (it is among
    `not_in`), `.below_min_quantile`, `.above_max_quantile` and `.missing`; of several the first by column
    name. The column's prefix is the level: an image, a text or a whole sample is dropped. Bounds are compared
    in the column's own type, integers exactly; NaN lies outside every bound.

    `{image_clip: {min_quantile: 0.3}}` drops what lies below the value at quantile 0.3 of all living items
    that come to this node, over the whole data set: the smallest value that at least 30 % of the values do
    not exceed (`numpy.quantile(method="inverted_cdf")`), exactly. Values equal to it stay, all of them. Nulls
    and NaN are not counted, and neither are the other bounds of the node, which judge at the same time.
    """

    stage: Literal["keep"] = "keep"
    kept: ClassVar[bool] = False

    bounds: dict[str, Bound] = Field(min_length=1, description="For each column what may stay.")
    quantiles_by: Literal["all", "dataset"] = Field(
        default="all", description="Quantiles of all values together, or of each data set's own."
    )

    def reads(self) -> frozenset[str]:
        apart = self.quantiles_by == "dataset" and self.quantiles()
        return frozenset({*self.bounds, "dataset"} if apart else self.bounds)

    def reasons(self) -> frozenset[str]:
        return frozenset().union(*(bound.reasons(column) for column, bound in self.bounds.items()))

    def quantiles(self) -> Mapping[str, Quantile]:
        apart = self.quantiles_by == "dataset"
        return {
            f"{column}.{reason}": Quantile(column, q, apart)
            for column, bound in self.bounds.items()
            for reason, q in bound.quantiles().items()
        }

    def at(self, thresholds: Thresholds) -> Map:
        return _KeepAt(**dict(self), thresholds=thresholds) if self.quantiles() else self

    def by_level(self) -> tuple[tuple[Level, Map], ...]:
        parts: list[tuple[Level, Map]] = []
        for level in _LEVELS:
            bounds = {column: bound for column, bound in self.bounds.items() if level_of(column) == level}
            if bounds:
                parts.append((level, self.model_copy(update={"bounds": bounds})))
        return tuple(parts)

    def check_columns(self, schema: pa.Schema) -> None:
        """Refuse bounds that a column of this item type cannot have, before anything runs."""
        for column, bound in self.bounds.items():
            place = f"bounds.{column}"
            if column not in schema.names:
                raise RecipeError(place, "there is no such column here", nearest(column, schema.names))
            kind = schema.field(column).type
            numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind)
            if not (numeric or _is_string(kind) or pa.types.is_boolean(kind)):
                raise RecipeError(place, f"a column of type {kind} cannot be bounded")
            if not numeric and (bound.min is not None or bound.max is not None):
                raise RecipeError(place, f"min and max need numbers, and the column holds {kind}", "use `in`")
            if not numeric and bound.quantiles():
                raise RecipeError(place, f"quantiles need numbers, and the column holds {kind}", "use `in`")
            for value in bound.values():
                if not _fits(value, kind):
                    raise RecipeError(place, f"{value!r} cannot occur in a column of type {kind}")

    def open(self) -> Op:
        assert not self.quantiles(), "opened before its quantiles were measured"
        return lambda table: self._drop(table, {})

    def _drop(self, table: pa.Table, thresholds: Thresholds) -> Out:
        drop = pa.nulls(table.num_rows, pa.string())
        # By name: the order in which a recipe lists its bounds is no part of what the stage is.
        for column, bound in sorted(self.bounds.items()):
            values = single(table[column])
            outside = {reason: test(values) for reason, test in _tests(bound, values.type).items()}
            for reason in bound.quantiles():
                outside[reason] = self._beyond(f"{column}.{reason}", table, values, thresholds)
            for reason, verdict in outside.items():
                told = pc.if_else(verdict, f"{column}.{reason}", pa.scalar(None, pa.string()))
                drop = pc.coalesce(drop, told)
        return Out(drop=drop)

    def _beyond(self, reason: str, table: pa.Table, values: pa.Array, thresholds: Thresholds) -> pa.Array:
        """Which values lie beyond the threshold: the one of all, or of the data set they are from."""
        inside = pc.greater_equal if reason.endswith(_LOW) else pc.less_equal
        beyond = pa.array(np.zeros(len(values), dtype=bool))
        for dataset, found in thresholds.items():
            limit = found[reason]
            # without one no value was there to be measured: what is valid is NaN
            outside = _outside(inside, limit, values.type, int) if limit is not None else pc.is_valid
            here = pc.equal(single(table["dataset"]), dataset) if dataset else True
            beyond = pc.or_(beyond, pc.and_(outside(values), here))
        return beyond


class _KeepAt(Keep):
    """With the values that its quantiles have."""

    thresholds: Thresholds

    def open(self) -> Op:
        return lambda table: self._drop(table, self.thresholds)


Test: TypeAlias = Callable[[pa.Array], pa.Array]


def _tests(bound: Bound, kind: pa.DataType) -> Mapping[str, Test]:
    """For each reason what tells it; true means outside, and a null is only ever `missing`."""
    tests: dict[str, Test] = {}
    if bound.missing == "drop":
        tests["missing"] = pc.is_null
    if bound.min is not None:
        tests["below_min"] = _outside(pc.greater_equal, bound.min, kind, math.ceil)
    if bound.max is not None:
        tests["above_max"] = _outside(pc.less_equal, bound.max, kind, math.floor)
    if bound.in_ is not None:
        allowed = _set(bound.in_, kind)
        tests["not_in"] = lambda v: pc.and_(pc.is_valid(v), pc.invert(pc.is_in(v, allowed)))
    if bound.not_in is not None:
        refused = _set(bound.not_in, kind)
        tests["in"] = lambda v: pc.and_(pc.is_valid(v), pc.is_in(v, refused))
    return tests


def _outside(
    inside: Callable[[pa.Array, pa.Scalar], pa.Array],
    limit: int | float,
    kind: pa.DataType,
    whole: Callable[[int | float], int],
) -> Test:
    """NOT (value >= limit), which unlike value < limit is true of NaN; null stays null."""
    if not pa.types.is_integer(kind):
        # In the column's own precision: 0.7 stored as float32 is not below 0.7.
        return lambda v: pc.invert(inside(v, pa.scalar(limit, kind)))
    # Between integers, for a float would round beyond 2**53. decimal128(38) holds every 64-bit integer, so
    # that a limit outside the column's range compares as it should.
    wide = pa.decimal128(38, 0)
    bounded = max(-(10**37), min(10**37, whole(limit)))
    return lambda v: pc.invert(inside(v.cast(wide), pa.scalar(bounded, wide)))


def _set(values: tuple[Value, ...], kind: pa.DataType) -> pa.Array:
    return pa.array(list(values), kind)


def _is_string(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _fits(value: Value, kind: pa.DataType) -> bool:
    if isinstance(value, bool):
        return bool(pa.types.is_boolean(kind))
    if isinstance(value, str):
        return _is_string(kind)
    if isinstance(value, float):
        return bool(pa.types.is_floating(kind))
    if pa.types.is_integer(kind):
        try:
            pa.scalar(value, kind)
        except (OverflowError, pa.ArrowInvalid):
            return False
        return True
    return bool(pa.types.is_floating(kind))
