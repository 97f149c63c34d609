"""Random numbers addressed by name.

Every choice of the generator is drawn from a generator keyed by (seed, labels), never from a shared one whose
state depends on what was drawn before: sample 7 is the same sample whether the pool holds 10 or 10,000.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

T = TypeVar("T")


def stream(*labels: object) -> random.Random:
    """A generator keyed by the labels; the same labels give the same stream in every process."""
    digest = hashlib.blake2b("\x1f".join(map(str, labels)).encode(), digest_size=16).digest()
    return random.Random(int.from_bytes(digest, "big"))  # noqa: S311 - pictures, not secrets


def weighted(rng: random.Random, table: Sequence[tuple[T, float]]) -> T:
    """One entry of (value, weight) pairs, drawn by weight."""
    return rng.choices([value for value, _ in table], [weight for _, weight in table])[0]


@lru_cache(maxsize=256)
def deck(label: str, seed: int, block: int, cards: tuple[tuple[str, int], ...], size: int) -> tuple[str, ...]:
    """A shuffled deck of `size` cards: each (card, count) exactly count times, "" for the rest.

    Dealing kinds from a deck per block gives the documented rates exactly, instead of only on average.
    """
    dealt = [card for card, count in cards for _ in range(count)]
    dealt += [""] * (size - len(dealt))
    stream(label, seed, block).shuffle(dealt)
    return tuple(dealt)
