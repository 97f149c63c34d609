"""MinHash of sets of 32-bit hashes, keys of its bands, and sketches; Jaccard of sets.

Broder 1997, "On the resemblance and containment of documents": the smallest value that a random permutation
gives to a set is the same for two sets with the probability of their Jaccard index. Bands: Leskovec,
Rajaraman and Ullman, "Mining of Massive Datasets", 3.4.
"""

from __future__ import annotations

import math
from importlib.util import find_spec
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from curate.errors import RecipeError
from stages.common.pairing import mix
from stages.common.shingles import Codes, Sets, Words

Engine: TypeAlias = Literal["fast", "datasketch"]

# So many hashes are worked on at once: what fits into a cache.
_BLOCK = 1 << 16
# What two sets may be missed with that are so far on the way from the threshold to 1.
_MISSED = 1e-3
_MARGIN = 1 / 6
_SKETCH = 64


class Bands(NamedTuple):
    """A pair is a candidate where all `rows` values of one of `bands` bands are the same."""

    bands: int
    rows: int

    def missed(self, jaccard: float) -> float:
        """The probability that a pair so alike is no candidate."""
        return float((1 - jaccard**self.rows) ** self.bands)


def bands(permutations: int, threshold: float) -> Bands:
    """The widest bands, so the fewest candidates, that miss less than one in a thousand of the pairs a sixth
    of the way from the threshold to 1 (32 bands of 4 for 0.7: 5 in a million at 0.75, 2 in 10,000 at 0.7)."""
    jaccard = threshold + _MARGIN * (1 - threshold)
    fitting = [Bands(permutations // rows, rows) for rows in range(permutations, 0, -1)]
    return next((b for b in fitting if b.missed(jaccard) < _MISSED), fitting[-1])


def signatures(sets: Sets, permutations: int, engine: Engine = "fast", seed: int = 0) -> Codes:
    """The smallest value of each set under each permutation, shape (rows, permutations); an empty set's are
    all the greatest. Permutations are x -> (x ^ b) * a modulo 2**32 with odd a."""
    if engine == "datasketch":
        return _datasketch(sets, permutations, seed)
    numbers = mix(np.arange(2 * permutations, dtype=np.uint64), seed)
    factors, masks = (numbers >> np.uint64(32)).astype(np.uint32).reshape(2, -1)
    factors |= np.uint32(1)
    found = np.full((len(sets.sizes), permutations), np.uint32(2**32 - 1))
    filled = np.flatnonzero(sets.sizes)
    begins, ends = sets.offsets[:-1][filled], sets.offsets[1:][filled]
    start = 0
    while start < len(filled):
        stop = max(start + 1, int(np.searchsorted(ends, begins[start] + _BLOCK, side="right")))
        hashes = sets.hashes[begins[start] : ends[stop - 1]]
        first = begins[start:stop] - begins[start]
        values, least = np.empty_like(hashes), np.empty((permutations, stop - start), np.uint32)
        for factor, mask, row in zip(factors, masks, least, strict=True):
            np.bitwise_xor(hashes, mask, out=values)
            np.multiply(values, factor, out=values)
            np.minimum.reduceat(values, first, out=row)
        found[filled[start:stop]] = least.T
        start = stop
    return found


def _datasketch(sets: Sets, permutations: int, seed: int) -> Codes:
    from datasketch import MinHash

    texts = (sets.hashes[a:b].tolist() for a, b in zip(sets.offsets, sets.offsets[1:], strict=False))
    options: dict[str, Any] = {"num_perm": permutations, "seed": seed + 1, "scheme": "affine32"}
    made = [m.hashvalues for m in MinHash.bulk(texts, hashfunc=int, **options)]
    return np.array(made, dtype=np.uint32).reshape(len(sets.sizes), permutations)


def need(engine: Engine, place: str) -> None:
    """RecipeError where the engine's package is not installed."""
    if engine == "datasketch" and find_spec(engine) is None:
        problem = "the engine datasketch is a package, which is not installed"
        raise RecipeError(place, problem, "pip install 'mmcurate[datasketch]'")


def band_keys(values: Codes, shape: Bands) -> Words:
    """A key for each band of each row of signatures, shape (rows, bands)."""
    used = values[:, : shape.bands * shape.rows].reshape(len(values), shape.bands, shape.rows)
    keys = np.broadcast_to(np.arange(shape.bands, dtype=np.uint64), used.shape[:2]).copy()
    for row in range(shape.rows):
        keys = mix(keys ^ used[:, :, row], row)
    return keys


def sketches(values: Codes) -> Words:
    """64 bits of each row of signatures, one of each value (with fewer permutations each serves several
    times): sets with Jaccard J have (1 + J) / 2 of them in common (Li and König 2010, b-bit minwise hashing).
    """
    chosen = values[:, np.arange(_SKETCH) % values.shape[1]]
    bits = mix(chosen, 2) >> np.uint64(63)
    found: Words = (bits << np.arange(_SKETCH, dtype=np.uint64)).sum(axis=1, dtype=np.uint64)
    return found


def fewest_in_common(jaccard: float) -> int:
    """How many bits of two sketches are the same at least, but for one in a thousand of the pairs that are so
    alike: a quantile of the binomial distribution."""
    same = (1 + jaccard) / 2
    below = 0.0
    for bits in range(_SKETCH + 1):
        below += math.comb(_SKETCH, bits) * same**bits * (1 - same) ** (_SKETCH - bits)
        if below >= _MISSED:
            return bits
    return _SKETCH
