"""Batches: scenes, clip art, icons, each with one of its captions, and nouns with what is said of them."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import clipart
import glossary
import numpy as np
import numpy.typing as npt
import pictures
import torch
from corpus import read
from scenes import GRID, KINDS, NAMES, NEGATIVES, POSITIVES, key_of
from torch import Tensor

from curate.demo.classes import CLASSES
from curate.demo.colours import OBJECT_COLOURS

SCENES, DRAWINGS, PICTURES, NOUNS = 48, 20, 68, 128  # of a worker's batch
FALSE = 2  # captions for each scene, from those it has
THINNED = 0.1  # of the words of a caption of clip art or an icon, left out
OWN = {
    "none": 0.0,
    "object": 2.0,
    "attribute": 2.0,
    "count": 1.0,
    "relation": 1.0,
    "value": 0.05,
    "other": 0.3,
}
ALIKE = 0.03  # weight of a pair of those alike

Ints: TypeAlias = npt.NDArray[np.int64]
Captions: TypeAlias = tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]


class Batches:
    """Batch k is a function of k: each sample once in an epoch, with another of its captions each time."""

    def __init__(self, work: Path, chosen: Ints, shown: Ints) -> None:
        """Of the corpora in a folder; of clip art `chosen`, of pictures `shown`."""
        self.scenes, self.drawings = read(work / "scenes"), read(work / "clipart")
        self.pictures, self.nouns = read(work / "pictures"), read(work / "glossary")
        self.chosen, self.shown = chosen, shown
        parts = (self.scenes, self.drawings, self.pictures, self.nouns)
        self.table = torch.from_numpy(np.concatenate([part.table for part in parts]))
        self.offsets = np.cumsum([len(part.table) for part in parts])
        self.things = np.unique(self.scenes.keys)  # -1 first: nothing
        self.names = names_of(self.things)

    def __call__(self, step: int) -> dict[str, Tensor]:
        """Images, token numbers with their mask for true then false captions, weights, labels; nouns."""
        rng = np.random.default_rng([7, step])
        ours = np.sort(self._deal(np.arange(len(self.scenes.images)), step, SCENES))
        theirs = np.sort(self._deal(self.chosen, step, DRAWINGS))
        icons = np.sort(self._deal(self.shown, step, PICTURES))
        nouns = self._deal(np.arange(len(self.nouns.keys)), step, NOUNS)
        true = rng.integers(POSITIVES, size=SCENES)
        false = POSITIVES + rng.permuted(np.tile(np.arange(NEGATIVES), (SCENES, 1)), axis=1)[:, :FALSE]
        parts = [
            self.scenes.captions(ours, true),
            self._others(1, theirs, rng.integers(clipart.TEXTS, size=DRAWINGS), rng),
            self._others(2, icons, rng.integers(pictures.TEXTS, size=PICTURES), rng),
            *(self.scenes.captions(ours, false[:, k]) for k in range(FALSE)),
        ]
        several = ((self.scenes, ours), (self.drawings, theirs), (self.pictures, icons))
        keys = np.concatenate([part.keys[rows] for part, rows in several])
        alike = np.concatenate([part.alike[rows] - (k << 40) for k, (part, rows) in enumerate(several)])
        kinds = self.scenes.kinds[ours[:, None], false]
        kinds[self.scenes.lengths[ours[:, None], false] == 0] = 0
        own = np.array([OWN[kind] for kind in KINDS])[kinds]
        labels = self.names[np.searchsorted(self.things, self.scenes.keys[ours])].max(axis=1)
        cells = np.unpackbits(self.scenes.cells[ours], axis=1, count=GRID * GRID * len(NAMES))
        return {
            "images": torch.from_numpy(np.concatenate([part.images[rows] for part, rows in several])),
            **_padded(parts),
            "weights": torch.from_numpy(_weights(keys, alike).astype(np.float32)),
            "own": torch.from_numpy(own.astype(np.float32)),
            "labels": torch.from_numpy(labels),
            "cells": torch.from_numpy(cells.reshape(SCENES, GRID, GRID, len(NAMES)).astype(np.float32)),
            **self._said(nouns, rng),
        }

    def _others(self, part: int, rows: Ints, which: Ints, rng: np.random.Generator) -> Captions:
        """Captions of clip art (1) or icons (2), thinned."""
        found, mask = (self.drawings, self.pictures)[part - 1].captions(rows, which)
        return _thinned((found + np.int32(self.offsets[part - 1]), mask), rng)

    def _said(self, nouns: Ints, rng: np.random.Generator) -> dict[str, Tensor]:
        """Tokens of nouns, then of what is said of them; and which two have the same wider term."""
        called = self.nouns.captions(nouns, rng.integers(glossary.LEMMAS, size=NOUNS))
        which = glossary.LEMMAS + rng.integers(glossary.SAID, size=NOUNS)
        said = _thinned(self.nouns.captions(nouns, which), rng)
        moved = [(tokens + np.int32(self.offsets[2]), mask) for tokens, mask in (called, said)]
        wider = self.nouns.keys[nouns, 0]
        siblings = (wider[:, None] == wider) & ~np.eye(NOUNS, dtype=bool)
        padded = _padded(moved)
        return {
            "nouns": padded["tokens"],
            "nouns_mask": padded["mask"],
            "siblings": torch.from_numpy(siblings),
        }

    def _deal(self, samples: Ints, step: int, size: int) -> Ints:
        a_round = len(samples) // size
        order = np.random.default_rng([11, step // a_round, size]).permutation(samples)
        return order[step % a_round * size :][:size]


def names_of(things: Ints) -> npt.NDArray[np.float32]:
    """What a thing is called, a row for each: itself, and of "red car" also "car" and "red"."""
    found = np.zeros((len(things), len(things) + len(CLASSES) + len(OBJECT_COLOURS)), dtype=np.float32)
    found[1:, : len(things)] = np.eye(len(things))[1:]
    for k, cls in enumerate(CLASSES):
        for j, colour in enumerate(OBJECT_COLOURS):
            row = things == key_of(f"{colour} {cls}")
            found[row, len(things) + k] = found[row, len(things) + len(CLASSES) + j] = 1
    return found


def _thinned(part: Captions, rng: np.random.Generator) -> Captions:
    """Some words left out, but never the opening nor all of a short text."""
    tokens, mask = part
    keep = mask & ((rng.random(mask.shape) >= THINNED) | (mask.sum(axis=1) <= 3)[:, None])
    keep[:, 0] = mask[:, 0]
    order = np.argsort(~keep, axis=1, kind="stable")
    return np.take_along_axis(tokens, order, 1), np.take_along_axis(keep, order, 1)


def _weights(keys: Ints, alike: Ints) -> npt.NDArray[np.float64]:
    """Of each pair (image, caption): 0 where the caption may be true of another's image."""
    shared = np.zeros((len(keys), len(keys)), dtype=bool)
    for k in range(keys.shape[1]):
        mine = np.where(keys[:, k] < 0, -2, keys[:, k])
        shared |= (mine[:, None, None] == keys[None]).any(axis=2)
    weights = np.where(alike[:, None] == alike, ALIKE, 1.0) * ~shared
    np.fill_diagonal(weights, 1.0)
    return weights


def _padded(parts: list[Captions]) -> dict[str, Tensor]:
    longest = max(mask.shape[1] for _, mask in parts)
    both = [
        np.concatenate([np.pad(part[k], ((0, 0), (0, longest - part[k].shape[1]))) for part in parts])
        for k in (0, 1)
    ]
    return {"tokens": torch.from_numpy(both[0].astype(np.int64)), "mask": torch.from_numpy(both[1])}
