"""The engine's transient columns: bytes and decoded pixels of the images of one micro-batch.

An image is fetched once and decoded once for all the ops of a segment. Nothing of this is stored.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from curate.io.payload import Payload
from curate.pixels import Decode, decode_column
from curate.sample import View
from curate.stage import BYTES, FULL, PIXELS


class Frames:
    """Keyed by the view's flat positions, which stay the same for all ops of a micro-batch."""

    # Images decoded at once at most. Micro-batches are cut to hold about as many; only a document with more
    # images than this is decoded anew for each op that asks, which bounds memory.
    BATCH = 128

    def __init__(self, payload: Payload, decode: Decode, size: int) -> None:
        self._payload = payload
        self._decode = decode
        self._remember = size <= 2 * self.BATCH
        self._bytes: dict[int, bytes | str] = {}
        self._pixels: dict[str, tuple[dict[int, int], pa.StructArray, dict[int, str]]] = {}

    def reasons(self, name: str, part: View) -> Iterator[tuple[int, str]]:
        """Items of the view whose bytes or pixels cannot be had, with the reason."""
        self._load(part)
        if name != BYTES:
            self._decode_items(name, part)
        for i, slot in enumerate(part.slots.tolist()):
            data = self._bytes[slot]
            if isinstance(data, str):
                yield i, data
            elif name != BYTES and slot in self._pixels[name][2]:
                yield i, self._pixels[name][2][slot]

    def column(self, name: str, part: View) -> pa.Array:
        """The transient column of items that have no reason against them."""
        slots = part.slots.tolist()
        if name == BYTES:
            return pa.array([self._bytes[slot] for slot in slots], pa.large_binary())
        places, values, _ = self._pixels[name]
        wanted = [places[slot] for slot in slots]
        if wanted == list(range(len(values))):
            return values
        return values.take(pa.array(wanted, pa.int64()))

    def _load(self, part: View) -> None:
        if not self._remember:
            self._bytes = {}
        new = [i for i, slot in enumerate(part.slots.tolist()) if slot not in self._bytes]
        if not new:
            return
        some = part.table.select(["dataset", "image_ref"]).take(pa.array(new))
        found = self._payload.fetch(some["dataset"].to_pylist(), some["image_ref"].to_pylist())
        for i, data in zip(new, found, strict=True):
            self._bytes[int(part.slots[i])] = data if data != b"" else "empty"

    def _decode_items(self, name: str, part: View) -> None:
        known = self._pixels.get(name) if self._remember else None
        places, values, bad = known or ({}, pa.array([], PIXELS), {})
        slots = part.slots.tolist()
        new = [s for s in slots if s not in places and s not in bad and isinstance(self._bytes[s], bytes)]
        if new or known is None:
            fresh, reasons = decode_column([self._bytes[s] for s in new], self._decode, full=name == FULL)
            whole = [i for i, reason in enumerate(reasons) if reason is None]
            bad = bad | {s: r for s, r in zip(new, reasons, strict=True) if r is not None}
            if len(whole) < len(new):
                fresh = fresh.take(pa.array(whole, pa.int64()))
            places = places | {new[i]: len(values) + k for k, i in enumerate(whole)}
            values = fresh if len(values) == 0 else pa.concat_arrays([values, fresh])
            self._pixels[name] = (places, values, bad)
