"""Sizes of images for checks against original functions: the same in every run, ties of ratios among them."""

from __future__ import annotations

import hashlib

import numpy as np

from curate.sample import Ints
from stages.common.visual_tokens import Images


def sizes(count: int) -> list[tuple[int, int]]:
    """(width, height): a third anywhere up to 4,000 pixels, a third of small whole ratios, a third small."""
    found = []
    for i in range(count):
        a, b, c = (i * 7919) % 3989, (i * 104729) % 3001, (i * 1299709) % 97
        if i % 3 == 0:
            found.append((1 + a, 1 + b))
        elif i % 3 == 1:
            found.append(((1 + a % 13) * (1 + c), (1 + b % 13) * (1 + c)))
        else:
            found.append((1 + a % 600, 1 + b % 600))
    return found


def alone(found: list[tuple[int, int]]) -> Images:
    """Each image in a sample of its own."""
    return together([[size] for size in found])


def together(samples: list[list[tuple[int, int]]]) -> Images:
    """The images of some samples."""
    flat = np.array([size for sample in samples for size in sample], dtype=np.int64).reshape(-1, 2)
    rows = np.repeat(np.arange(len(samples)), [len(sample) for sample in samples])
    return Images(flat[:, 0], flat[:, 1], rows)


def print_of(counts: list[int] | Ints) -> str:
    """What long lists of counts are compared by."""
    return hashlib.sha256(np.asarray(counts, dtype="<i8").tobytes()).hexdigest()[:16]
