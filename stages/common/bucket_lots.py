"""Images that may go to the same other buckets, and where those of rare buckets go."""

from __future__ import annotations

import heapq
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from stages.common.buckets import name_of
from stages.common.resolutions import Size

# How large an image is beside its target, on the side where it is smaller: percent, rounded down to these.
ROOMS = (0, 25, 33, 50, 67, 80, 90, 95, 100, 105, 110, 120, 130, 150, 175, 200, 250, 300, 400)
_LOT = re.compile(r"(-|\d+)/(\d+)x(\d+)/(\d+)")


class Lot(NamedTuple):
    """Images of one bucket and tier that have about as many pixels to spare."""

    tier: int | None
    size: Size
    room: int

    def __str__(self) -> str:
        return f"{'-' if self.tier is None else self.tier}/{name_of(self.size)}/{self.room}"


def lot_of(width: int, height: int, target: Size, tier: int | None) -> Lot:
    """The lot of an image."""
    spare = [p for p in ROOMS if p * target.width <= 100 * width and p * target.height <= 100 * height]
    return Lot(tier, target, spare[-1])


def read_lot(text: str) -> Lot | None:
    """What `str` wrote; None of anything else."""
    found = _LOT.fullmatch(text)
    if found is None:
        return None
    tier, width, height, room = found.groups()
    return Lot(None if tier == "-" else int(tier), Size(int(width), int(height)), int(room))


class Place(NamedTuple):
    """A bucket, as images of a tier are in it."""

    tier: int | None
    size: Size


def moves(counts: Mapping[Lot, int], least: int, upscale: float, change: float) -> dict[Lot, Place | None]:
    """Of each lot that leaves its bucket, where to; None where there is no place for it. Afterwards no bucket
    has fewer than `least` images; where all together are fewer, none leaves.

    The rarest bucket is dissolved first, and each of its lots goes to the nearest one that is left: of the
    same tier, else of the nearest; there of the nearest ratio; of those the largest. What has a tier keeps
    one. Its images are enlarged
    `upscale` times at most, and the ratio changes at most by the factor `change`, both as against the bucket
    that they were in at first. That is repeated until each bucket has enough. A bucket with a lot that can go
    nowhere waits until no other is rare: it may have gained enough by then.
    """
    if sum(counts.values()) < least:
        return {}
    places = _Places(counts)
    home: dict[Lot, Place | None] = {}
    held: dict[Size, list[Lot]] = defaultdict(list)
    number = Counter[Size]()
    for lot in sorted(counts, key=str):
        held[lot.size].append(lot)
        number[lot.size] += counts[lot]
    rare = [(count, size) for size, count in number.items() if count < least]
    heapq.heapify(rare)
    waiting: list[tuple[int, Size]] = []
    while rare or waiting:
        last = not rare
        if last:
            rare, waiting = sorted(waiting), []
        count, size = heapq.heappop(rare)
        if count != number[size]:  # it has grown since
            if number[size] < least:
                heapq.heappush(rare, (number[size], size))
            continue
        places.close(size)
        found = {lot: places.nearest(lot, upscale, change) for lot in held[size]}
        if None in found.values() and not last:
            places.open(size)
            waiting.append((count, size))
            continue
        home |= found
        for lot, place in found.items():
            if place is not None:
                held[place.size].append(lot)
                number[place.size] += counts[lot]
    return home


class _Places:
    """All places, in a fixed order, and which of them are open."""

    def __init__(self, lots: Iterable[Lot]) -> None:
        distinct = {Place(lot.tier, lot.size) for lot in lots}
        self._all = sorted(distinct, key=lambda place: (place.size, place.tier or 0))
        self._width = np.array([place.size.width for place in self._all], dtype=np.int64)
        self._height = np.array([place.size.height for place in self._all], dtype=np.int64)
        self._tier = np.array([place.tier or np.nan for place in self._all], dtype=np.float64)
        self._open = np.ones(len(self._all), dtype=bool)

    def close(self, size: Size) -> None:
        self._open[(self._width == size.width) & (self._height == size.height)] = False

    def open(self, size: Size) -> None:
        self._open[(self._width == size.width) & (self._height == size.height)] = True

    def nearest(self, lot: Lot, upscale: float, most: float) -> Place | None:
        """The nearest open place that the images of the lot fill."""
        width, height = lot.size
        grown = 100 * np.maximum(self._width / width, self._height / height)
        one, other = self._width * height, self._height * width
        change = np.maximum(one, other) / np.minimum(one, other)
        fitting = self._open & (grown <= lot.room * upscale) & (change <= most)
        if lot.tier is None:
            apart = np.where(np.isnan(self._tier), 0.0, self._tier)
        else:  # what no tier was right for is too small for those that have one
            fitting &= ~np.isnan(self._tier)
            apart = np.maximum(self._tier, lot.tier) / np.minimum(self._tier, lot.tier)
        left = np.flatnonzero(fitting)
        if not len(left):
            return None
        for measure in (apart, change, -self._width * self._height):
            left = left[measure[left] == measure[left].min()]
        return self._all[int(left[0])]
