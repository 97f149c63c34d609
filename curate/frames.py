"""The engine's transient columns: bytes and decoded pixels of the images of one micro-batch.

An image is fetched once and decoded once for all the ops of a segment. Nothing of this is stored.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from curate.buffers import view_array
from curate.io.payload import Payload
from curate.pixels import Decode, Pixels, column, decode
from curate.sample import View
from curate.stage import BYTES, FULL


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
        self._pixels: dict[str, dict[int, Pixels | str]] = {}

    def reasons(self, name: str, part: View) -> Iterator[tuple[int, str]]:
        """Items of the view whose bytes or pixels cannot be had, with the reason."""
        self._load(part)
        if name != BYTES:
            self._decode_items(name, part)
        for i, slot in enumerate(part.slots.tolist()):
            found: object = self._bytes[slot]
            if not isinstance(found, str) and name != BYTES:
                found = self._pixels[name][slot]
            if isinstance(found, str):
                yield i, found

    def column(self, name: str, part: View) -> pa.Array:
        """The transient column of items that have no reason against them."""
        slots = part.slots.tolist()
        if name == BYTES:
            return view_array([self._bytes[slot] for slot in slots])
        known = self._pixels[name]
        found = [known[slot] for slot in slots]
        return column([f for f in found if not isinstance(f, str)])

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
        known = self._pixels.setdefault(name, {})
        if not self._remember:
            known.clear()
        for slot in part.slots.tolist():
            data = self._bytes[slot]
            if slot not in known and not isinstance(data, str):
                known[slot] = decode(data, self._decode, full=name == FULL)
