"""Training data on disk: images in one memory map, captions as numbers of tokens, tokens in one table."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scenes import Block

from stages.common.encoder_mini import FEATURES, SIZE

STEP = 500  # samples made at once


@dataclass(frozen=True)
class Corpus:
    """Samples and their captions. Caption j of sample i is `tokens[start[i, j]:][:lengths[i, j]]`."""

    images: npt.NDArray[np.uint8]  # (n, SIZE, SIZE, 3)
    keys: npt.NDArray[np.int64]  # this and the next: see scenes.Block
    alike: npt.NDArray[np.int64]
    cells: npt.NDArray[np.uint8]
    kinds: npt.NDArray[np.uint8]
    lengths: npt.NDArray[np.uint8]
    starts: npt.NDArray[np.int64]
    tokens: npt.NDArray[np.int32]
    table: npt.NDArray[np.int64]  # (different tokens, FEATURES)

    def captions(self, samples: Any, which: Any) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
        """Token numbers of one caption each, padded with 0, and what is none; shapes (n, longest)."""
        starts, lengths = self.starts[samples, which], self.lengths[samples, which].astype(np.int64)
        along = np.arange(max(1, int(lengths.max())))
        mask = along < lengths[:, None]
        return np.where(mask, self.tokens[np.where(mask, starts[:, None] + along, 0)], 0), mask


def write(folder: Path, count: int, make: Callable[[tuple[int, int]], Block], size: int = SIZE) -> None:
    """Make samples 0 to `count` on all cores, into `folder`; images of `size` pixels a side, 1 for none."""
    folder.mkdir(parents=True, exist_ok=True)
    shape = (count, size, size, 3)
    images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, shape)
    rest: list[Block] = []
    for place, made in zip(range(0, count, STEP), _blocks(count, make), strict=True):
        images[place : place + STEP] = made.images
        rest.append(made._replace(images=made.images[:0]))
    images.flush()
    tokens = np.concatenate([made.tokens for made in rest])
    # a row as one number of 128 bits: numpy sorts numbers faster than rows
    flat = (
        np.ascontiguousarray(tokens).view(np.dtype((np.void, tokens.dtype.itemsize * FEATURES))).reshape(-1)
    )
    _, first, numbers = np.unique(flat, return_index=True, return_inverse=True)
    fields = ("keys", "alike", "cells", "kinds", "lengths")
    named = {field: np.concatenate([getattr(made, field) for made in rest]) for field in fields}
    np.savez(
        folder / "rest.npz", tokens=numbers.astype(np.int32), table=tokens[first].astype(np.int64), **named
    )


def read(folder: Path) -> Corpus:
    """What `write` left; images stay on disk."""
    rest = np.load(folder / "rest.npz")
    lengths = rest["lengths"]
    ends = np.cumsum(lengths.reshape(-1), dtype=np.int64)
    starts = (ends - lengths.reshape(-1)).reshape(lengths.shape)
    images = np.load(folder / "images.npy", mmap_mode="r")
    return Corpus(
        images,
        rest["keys"],
        rest["alike"],
        rest["cells"],
        rest["kinds"],
        lengths,
        starts,
        rest["tokens"],
        rest["table"],
    )


def _blocks(count: int, make: Callable[[tuple[int, int]], Block]) -> Iterator[Block]:
    spans: Sequence[tuple[int, int]] = [(at, min(count, at + STEP)) for at in range(0, count, STEP)]
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(make, spans)
