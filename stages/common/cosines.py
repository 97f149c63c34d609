"""Cosines of float16 vectors: which pairs reach a threshold, the same on every machine and for every cut.

A product of two float16 numbers up to 1 is a multiple of 2**-48, so that sums over two vectors of about unit
length are exact in float64, in whatever order they are added. Float32 products only tell candidates.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from curate.errors import RunError

Device: TypeAlias = Literal["auto", "cpu", "cuda"]
Halves: TypeAlias = npt.NDArray[np.float16]
Singles: TypeAlias = npt.NDArray[np.float32]
Ints: TypeAlias = npt.NDArray[np.int64]
# (n, width) and (m, width) to (n, m): every row's product with every other
Product: TypeAlias = Callable[[Singles, Singles], Singles]

# Rows of a block of pairs: a million pairs, 4 MB of float32 products.
_TILE = 1024
# Pairs whose vectors are looked up one by one, of 512 numbers each: 32 MB. More than this share of a block
# is cheaper to compute whole.
_LOOKUP = 4096
_DENSE = 1 / 64


class Pairs(NamedTuple):
    """Rows that are alike, left < right, and their cosines."""

    left: Ints
    right: Ints
    cosine: Singles


def alike(vectors: Halves, threshold: float, product: Product | None = None) -> Iterator[Pairs]:
    """All pairs of rows of `vectors` (n, width), none of length zero, whose cosine is `threshold` or more.

    In blocks of at most a million pairs, of which only those that are alike are given.
    """
    product = product or product_on_cpu
    # what float32 may be wrong by: half a unit in the last place for each addition, twice that to be safe
    bound = threshold - 2.0**-23 * (vectors.shape[1] + 8)
    for top in range(0, len(vectors), _TILE):
        above = vectors[top : top + _TILE]
        left = _unit(above)
        for start in range(top, len(vectors), _TILE):
            below = vectors[start : start + _TILE]
            right = left if start == top else _unit(below)
            rows, columns = np.divmod(np.flatnonzero(product(left, right) >= bound), len(right))
            if start == top:
                upper = rows < columns
                rows, columns = rows[upper], columns[upper]
            if not len(rows):
                continue
            cosine = cosines(above, below, rows, columns)
            true = cosine >= threshold
            yield Pairs(rows[true] + top, columns[true] + start, cosine[true].astype(np.float32))


def cosines(left: Halves, right: Halves, rows: Ints, columns: Ints) -> npt.NDArray[np.float64]:
    """The cosine of `left[rows[i]]` and `right[columns[i]]` for each i, shape (len(rows),)."""
    if len(rows) > _DENSE * len(left) * len(right):
        products = (left.astype(np.float64) @ right.astype(np.float64).T)[rows, columns]
    else:
        products = np.empty(len(rows))
        for start in range(0, len(rows), _LOOKUP):
            some = slice(start, start + _LOOKUP)
            one, other = left[rows[some]].astype(np.float64), right[columns[some]].astype(np.float64)
            products[some] = np.einsum("nd,nd->n", one, other)
    lengths = _squares(left)[rows] * _squares(right)[columns]
    found: npt.NDArray[np.float64] = products / np.sqrt(lengths)
    return found


def product_on_cpu(left: Singles, right: Singles) -> Singles:
    """By numpy's BLAS."""
    found: Singles = left @ right.T
    return found


def product_on(device: Device) -> Product:
    """By torch on a GPU (`cuda`, or `auto` where this process sees one and torch is there), else by numpy."""
    if device == "cpu" or (device == "auto" and not _sees_gpu()):
        return product_on_cpu
    if not _sees_gpu():
        raise RunError("`device: cuda`, but torch is not installed here or sees no GPU")
    return product_by_torch("cuda")


def product_by_torch(device: str) -> Product:
    """In float32 throughout."""
    import torch

    # TF32 would round whole numbers above 2,048
    torch.backends.cuda.matmul.allow_tf32 = False

    def product(left: Singles, right: Singles) -> Singles:
        one, other = (torch.from_numpy(np.ascontiguousarray(a)).to(device) for a in (left, right))
        found: Singles = (one @ other.T).cpu().numpy()
        return found

    return product


def _sees_gpu() -> bool:
    # before torch, which is slow to load
    if not os.path.exists("/dev/nvidia0") or not importlib.util.find_spec("torch"):
        return False
    import torch

    return torch.cuda.is_available()


def _squares(vectors: Halves) -> npt.NDArray[np.float64]:
    wide = vectors.astype(np.float64)
    found: npt.NDArray[np.float64] = np.einsum("nd,nd->n", wide, wide)
    return found


def _unit(vectors: Halves) -> Singles:
    wide = vectors.astype(np.float32)
    found: Singles = wide / np.sqrt(np.einsum("nd,nd->n", wide, wide))[:, None]
    return found
