"""What the stages around an image-text encoder share: loading it, its columns, and cosines."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import RecipeError
from curate.sample import single
from curate.stage import Arrays, Model, canonical
from stages.common.encoder import Floats, Precision
from stages.common.encoders import encoder


def encoder_key(model: str, weights: str, precision: Precision) -> str:
    """Stages with the same encoder share one loaded model."""
    return canonical(["encoder", model, sorted(encoder(model, weights).assets().items()), precision])


def load_encoder(model: str, weights: str, precision: Precision, gpu: bool) -> Model:
    """Both towers as one model: `pixels` or `tokens...` in, `embedding` out."""
    towers = encoder(model, weights).towers(precision, gpu)

    def run(arrays: Arrays) -> Arrays:
        if "pixels" in arrays:
            return {"embedding": towers.images(arrays["pixels"])}
        return {"embedding": towers.texts(arrays)}

    return run


class Recent:
    """Embeddings of what was seen lately: an image or text that occurs often is encoded once."""

    def __init__(self, dim: int, compute: Callable[[list[int]], Floats], size: int = 16_384) -> None:
        self._none = np.zeros((0, dim), dtype=np.float16)
        self._compute = compute
        self._size = size
        self._known: dict[bytes, npt.NDArray[np.float16]] = {}

    def __call__(self, keys: Sequence[bytes]) -> npt.NDArray[np.float16]:
        """Embeddings for keys; those of unknown ones are computed from their positions, each once."""
        first = {key: i for i, key in reversed(list(enumerate(keys))) if key not in self._known}
        fresh = sorted(first.values())
        if fresh:
            embeddings = self._compute(fresh).astype(np.float16)
            self._known |= {keys[i]: row for i, row in zip(fresh, embeddings, strict=True)}
        found = np.stack([self._known[key] for key in keys]) if keys else self._none
        for key in list(self._known)[: max(0, len(self._known) - self._size)]:  # the oldest
            del self._known[key]
        return found


def vector_type(dim: int) -> pa.DataType:
    """Of an embedding column: cosines change by less than 1e-4 against float32, at half its size."""
    return pa.list_(pa.float16(), dim)


def embedding_width(columns: pa.Schema, name: str) -> int:
    """Numbers of an embedding; RecipeError at `embedding` where the column (item types) holds none."""
    kind = columns.field(name).type
    if not (pa.types.is_fixed_size_list(kind) and pa.types.is_floating(kind.value_type)):
        raise RecipeError("embedding", f"{name} is no embedding: its type is {kind}")
    return int(kind.list_size)


def vectors(rows: npt.NDArray[np.float16], present: npt.NDArray[np.bool_], dim: int) -> pa.Array:
    """An embedding column from those of the items that are `present`; null elsewhere.

    Null as well where a number is none: fp16 overflows in some models.
    """
    values = np.zeros((len(present), dim), dtype=np.float16)
    values[present] = rows
    there = present & np.isfinite(values).all(axis=1)
    values[~there] = 0
    mask = None if there.all() else pa.array(~there)
    column = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), dim, mask=mask)
    return column.cast(vector_type(dim))


def matrix(column: pa.Array | pa.ChunkedArray) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """An embedding column as unit vectors, shape (rows, dim), and which of them are there."""
    values = single(column)
    present: npt.NDArray[np.bool_] = pc.is_valid(values).to_numpy(zero_copy_only=False)
    dim = values.type.list_size
    found = np.zeros((len(values), dim))
    if present.any():
        found[present] = values.drop_null().flatten().to_numpy(zero_copy_only=False).reshape(-1, dim)
    length = np.sqrt((found * found).sum(axis=1, keepdims=True))
    return found / np.where(length > 0, length, 1), present
