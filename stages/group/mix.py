"""See `Mix`."""

from __future__ import annotations

from fractions import Fraction
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator

from curate.sample import Level, single
from curate.stage import Group, Names, Out
from stages.common.columns import reason_where
from stages.common.draws import draws
from stages.common.strata import as_keys, check_groupable, check_number, components, labels, summed

Ints = npt.NDArray[np.int64]

_UNNAMED = "\0"  # key of samples without a value
_FRACTIONS = 1 << 16  # in which a column of other than whole numbers is counted


class Mix(Group):
    """How often each sample is taken, so that sources have target shares: the column `repeats`.

    `{by: dataset, weights: {curated: 3, crawl: 7}, total: 1000000}` wants 300,000 samples of the one and
    700,000 of the other. A source that has more is drawn from by a hash of the ids, and the others of it go
    as `over_target`. One that has less is repeated: by the whole part of what is wanted of what there is, and
    a drawn part of it once more, at most `max_repeats` times in all (four epochs are nearly as good as new
    data, Muennighoff et al., arXiv 2305.16264). What has no weight goes as `no_weight`.

    `unit: text_words` counts a column instead of samples (of an item column the sum over living items); of
    each source units x repeats come to its target but for less than one sample, unless `max_repeats` ends it.
    More data of one source changes no decision about another.
    """

    stage: Literal["mix"] = "mix"
    streams: ClassVar[bool] = True

    by: Names = Field(default=("dataset",), min_length=1, description="Columns whose values make a source.")
    weights: dict[str, float] = Field(
        min_length=1, description="Weight of each source: the value of `by`, with `/` between several."
    )
    total: float = Field(gt=0, allow_inf_nan=False, description="Units of all sources together.")
    unit: str = Field(default="samples", description="`samples`, or a column of numbers to count.")
    max_repeats: int = Field(default=4, ge=1, description="1: nothing is repeated.")
    name: str = Field(
        default="", pattern="^[a-z0-9_]*$", description="Column `<name>_repeats` in place of `repeats`."
    )
    seed: int = Field(default=0, description="Another one draws others.")

    @field_validator("weights")
    @classmethod
    def _weigh(cls, weights: dict[str, float]) -> dict[str, float]:
        if not all(0 <= w < float("inf") for w in weights.values()) or not any(weights.values()):
            raise ValueError("weights are not negative, and not all 0")
        return weights

    def level_(self) -> Level:
        return "sample"

    def reads(self) -> frozenset[str]:
        return frozenset({"sample_id", *self.by, *([] if self.unit == "samples" else [self.unit])})

    def writes(self) -> pa.Schema:
        return pa.schema([(f"{self.name}_repeats" if self.name else "repeats", pa.int32())])

    def reasons(self) -> frozenset[str]:
        return frozenset({"over_target", "no_weight"})

    def check_columns(self, columns: pa.Schema) -> None:
        check_groupable(columns, self.by, "by")
        if self.unit != "samples":
            check_number(columns, self.unit, "unit")

    def keys(self, items: pa.Table) -> pa.Array:
        return as_keys(single(pc.fill_null(labels(items, self.by), _UNNAMED)))

    def lots(self, items: pa.Table) -> pa.Array:
        return pa.array(draws(f"mix {','.join(self.by)} {self.seed}", items["sample_id"]))

    def units(self, items: pa.Table, keys: pa.Array) -> pa.Array:
        return pa.array(self._counted(items)[np.repeat(np.arange(items.num_rows), _lengths(keys))])

    def elect(self, members: pa.Table) -> Out:
        first, sizes, group = components(members)
        kinds = members.take(pa.array(first))
        sources = labels(kinds, self.by).to_pylist()
        taken = members["before"].to_numpy() + self._counted(members)
        repeats = np.zeros(members.num_rows, dtype=np.int32)
        whole = sum(Fraction(str(w)) for w in self.weights.values())
        there = kinds["total"].to_pylist()
        for source, all_, start, size in zip(sources, there, first.tolist(), sizes.tolist(), strict=True):
            target = Fraction(str(self.weights.get(source, 0))) / whole * Fraction(str(self.total))
            rows = slice(start, start + size)
            repeats[rows] = self._repeats(taken[rows], all_, target * self._scale(members))
        weighed = np.array([source in self.weights for source in sources], dtype=bool)[group]
        unwanted = reason_where(~weighed, "no_weight")
        drop = pc.coalesce(unwanted, reason_where(repeats == 0, "over_target"))
        return Out({self.writes().names[0]: pa.array(repeats)}, drop)

    def _counted(self, table: pa.Table) -> Ints:
        """Units of each sample, whole numbers: their sums are the same in any order."""
        if self.unit == "samples":
            return np.ones(table.num_rows, dtype=np.int64)
        units = np.maximum(summed(table[self.unit]).to_numpy(zero_copy_only=False), 0)
        found: Ints = np.rint(units * self._scale(table)).astype(np.int64)
        return found

    def _scale(self, table: pa.Table) -> int:
        kind = pa.int64() if self.unit == "samples" else table.schema.field(self.unit).type
        return _FRACTIONS if pa.types.is_floating(kind.value_type if pa.types.is_list(kind) else kind) else 1

    def _repeats(self, taken: Ints, there: int, target: Fraction) -> Ints:
        """How often samples of a source are taken, which come after others: `taken` with each of them, of
        the units that are `there`; shape (samples,)."""
        if not there or not target:
            return np.full(len(taken), int(target > 0))
        every, rest = divmod(target, there)
        if every >= self.max_repeats:
            return np.full(len(taken), self.max_repeats)
        once_more = (taken <= float(rest)) & (rest > 0)
        return int(every) + once_more.astype(np.int64)


def _lengths(lists: pa.Array) -> Ints:
    found: Ints = single(pc.fill_null(pc.list_value_length(lists), 0)).to_numpy(zero_copy_only=False)
    return found
