"""See `Quota`."""

from __future__ import annotations

from fractions import Fraction
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field, model_validator

from curate.sample import Level
from curate.stage import Group, Names, Out, Rank
from stages.common.columns import reason_where
from stages.common.draws import draws
from stages.common.near import Prefer
from stages.common.strata import (
    as_keys,
    check_groupable,
    check_number,
    components,
    first_values,
    labels,
)

Ints = npt.NDArray[np.int64]

_LAST = 1e300  # lots beyond it are of samples without a weight


class Quota(Group):
    """At most so many samples of each kind: of each data set, language, cluster, or of all together.

    `{by: [dataset, text_language], max: 10000}` keeps ten thousand of each language of each data set; others
    go as `over_quota`. Without `by` all samples are one kind: `{share: 0.1, prefer: [{column: image_clip}]}`
    is the best tenth. Of an item column the first living item's value counts.

    Chosen are the best by `prefer`, and among equals those that are drawn. The draw is a hash of the sample's
    id: with more data, or a larger quota, those that stay are for the most part those that stayed. With
    `weight` the chances of being drawn are in proportion to that column, without replacement (Efraimidis and
    Spirakis 2006: the largest u^(1/w)); samples of no positive weight come after all others.
    """

    stage: Literal["quota"] = "quota"
    streams: ClassVar[bool] = True

    by: Names = Field(default=(), description="Columns whose values make a kind.")
    max: int | None = Field(default=None, ge=0, description="Samples of a kind that stay at most.")
    share: float | None = Field(
        default=None, gt=0, le=1, description="Share of the samples of a kind that stays at most, rounded up."
    )
    max_of: dict[str, int] = Field(
        default={}, description="`max` of single kinds: the values of `by`, with `/` between several."
    )
    missing: Literal["keep", "group"] = Field(
        default="keep",
        description="Samples without a value in `by`: `keep` them all, or they are a kind, which `max_of` "
        "calls by nothing.",
    )
    prefer: tuple[Prefer, ...] = Field(default=(), description="The better ones stay.")
    weight: str = Field(default="", description="Column of the weights for the draw; all alike without.")
    seed: int = Field(default=0, description="Another one draws others.")

    @model_validator(mode="after")
    def _bounds_something(self) -> Quota:
        if self.max is None and self.share is None and not self.max_of:
            raise ValueError("bounds nothing: give it max, share or max_of")
        if any(limit < 0 for limit in self.max_of.values()):
            raise ValueError("max_of: a quota is not negative")
        if self.max_of and not self.by:
            raise ValueError("max_of: there are no kinds without `by`")
        return self

    def level_(self) -> Level:
        return "sample"

    def reads(self) -> frozenset[str]:
        weight = [self.weight] if self.weight else []
        return frozenset({"sample_id", *self.by, *weight, *(p.column for p in self.prefer)})

    def reasons(self) -> frozenset[str]:
        return frozenset({"over_quota"})

    def rank(self) -> tuple[Rank, ...]:
        return tuple(p.rank() for p in self.prefer)

    def check_columns(self, columns: pa.Schema) -> None:
        check_groupable(columns, self.by, "by")
        if self.weight:
            check_number(columns, self.weight, "weight")

    def keys(self, items: pa.Table) -> pa.Array:
        return as_keys(self._kinds(items))

    def lots(self, items: pa.Table) -> pa.Array:
        lots = draws(f"quota {','.join(self.by)} {self.seed}", items["sample_id"])
        if not self.weight:
            return pa.array(lots)
        weights = first_values(items[self.weight]).cast(pa.float64())
        w = weights.to_numpy(zero_copy_only=False)  # null is NaN
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            # u^(1/w) is the larger, the smaller -log(u)/w; what has no weight follows in the order of u
            return pa.array(np.where(w > 0, np.minimum(-np.log(lots) / w, _LAST), _LAST * (1 + lots)))

    def elect(self, members: pa.Table) -> Out:
        first, _, group = components(members)
        limits = self._limits(members.take(pa.array(first)))
        return Out(drop=reason_where(members["place"].to_numpy() >= limits[group], "over_quota"))

    def _kinds(self, table: pa.Table) -> pa.Array:
        return labels(table, self.by, "" if self.missing == "group" else None)

    def _limits(self, kinds: pa.Table) -> Ints:
        """How many may stay of each kind, of which `kinds` has one member: shape (kinds,)."""
        sizes: Ints = kinds["size"].to_numpy()
        limits = sizes.copy()
        if self.share is not None:
            share = Fraction(str(self.share))  # 0.1 of 30 is 3
            limits = np.array([-(-size * share.numerator // share.denominator) for size in sizes.tolist()])
        told = self._kinds(kinds).to_pylist()
        most = [self.max_of.get(kind, self.max) for kind in told]
        bound = np.array([size if m is None else m for m, size in zip(most, sizes.tolist(), strict=True)])
        found: Ints = np.minimum(limits, bound).astype(np.int64)
        return found
