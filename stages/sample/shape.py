"""See `Shape`."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from curate.errors import RecipeError
from curate.sample import Level, flat, level_of, single
from curate.stage import Map, Op, Out

_COUNTS = {"n_images": pa.int32(), "n_texts": pa.int32(), "n_chars": pa.int64()}


class Shape(Map):
    """Number of images, texts and text characters of a sample; largest and smallest values of its items.

    Counts what is alive where the node stands: bounds on whole documents (`keep: {n_images: {max: 30}}`)
    belong behind it. `maxima: {max_clip: image_clip}` writes the largest value of a column of images or
    texts, null where there is none; null and NaN do not count. A second node of this kind needs a `name`.
    """

    stage: Literal["shape"] = "shape"
    level: ClassVar[Level] = "sample"
    kept: ClassVar[bool] = False

    maxima: dict[str, str] = Field(
        default={}, description="New column: the item column to take the largest of."
    )
    minima: dict[str, str] = Field(
        default={}, description="New column: the item column to take the smallest of."
    )
    name: str = Field(
        default="", pattern="^([a-z][a-z0-9_]*)?$", description="Tells two apart: `left` gives left_n_images."
    )

    @model_validator(mode="after")
    def _columns_make_sense(self) -> Shape:
        names = [*self._counts(), *self.maxima, *self.minima]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"`{name}` would be written twice")
            if level_of(name) != "sample":
                raise ValueError(
                    f"`{name}` is a value of a whole sample: it cannot begin with {level_of(name)}_"
                )
        for column in (*self.maxima.values(), *self.minima.values()):
            if level_of(column) == "sample":
                raise ValueError(f"`{column}` has one value a sample already")
        return self

    def _counts(self) -> dict[str, pa.DataType]:
        begin = f"{self.name}_" if self.name else ""
        return {f"{begin}{name}": kind for name, kind in _COUNTS.items()}

    def reads(self) -> frozenset[str]:
        return frozenset({"image_ref", "text_body", *self.maxima.values(), *self.minima.values()})

    def writes(self) -> pa.Schema:
        extremes = dict.fromkeys((*self.maxima, *self.minima), pa.float64())
        return pa.schema({**self._counts(), **extremes})

    def check_columns(self, columns: pa.Schema) -> None:
        for which, chosen in (("maxima", self.maxima), ("minima", self.minima)):
            for name, column in chosen.items():
                kind = columns.field(column).type
                if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
                    raise RecipeError(
                        f"{which}.{name}", f"`{column}` holds {kind}, which has no largest value"
                    )

    def open(self) -> Op:
        def op(table: pa.Table) -> Out:
            texts = single(table["text_body"])
            counts = pc.list_value_length(texts)
            chars = pc.fill_null(pc.utf8_length(flat(texts)), 0)
            sums = np.concatenate([[0], np.cumsum(chars.to_numpy(zero_copy_only=False), dtype=np.int64)])
            ends = np.cumsum(counts.to_numpy(zero_copy_only=False), dtype=np.int64)
            starts = ends - counts.to_numpy(zero_copy_only=False)
            found = (
                pc.list_value_length(single(table["image_ref"])).cast(pa.int32()),
                counts.cast(pa.int32()),
                pa.array(sums[ends] - sums[starts], pa.int64()),
            )
            columns = dict(zip(self._counts(), found, strict=True))
            columns |= {name: _extreme(table[column], np.fmax) for name, column in self.maxima.items()}
            columns |= {name: _extreme(table[column], np.fmin) for name, column in self.minima.items()}
            return Out(columns)

        return op


def _extreme(column: pa.ChunkedArray, better: np.ufunc) -> pa.Array:
    """For each list the value that wins over all others; fmax and fmin pass over NaN."""
    values = flat(column).cast(pa.float64()).to_numpy(zero_copy_only=False)
    counts = pc.list_value_length(single(column)).to_numpy(zero_copy_only=False)
    found = np.full(len(counts), np.nan)
    some = counts > 0
    if some.any():
        found[some] = better.reduceat(values, (np.cumsum(counts) - counts)[some])
    return pa.array(found, pa.float64(), from_pandas=True)  # NaN becomes null
