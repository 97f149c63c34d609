"""Draws without random numbers: a hash of the id decides, so that more data moves few decisions."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Floats = npt.NDArray[np.float64]


def draws(salt: str, ids: pa.ChunkedArray | pa.Array) -> Floats:
    """A number between 0 and 1, both excluded, for each id: uniform, and independent for different salts.

    The salt names the stage, its columns and its seed. Two stages with one salt would draw the same numbers,
    and what the first left over would not be a fair sample to the second.
    """
    begun = hashlib.blake2b(f"{salt}\0".encode(), digest_size=8)
    digests = []
    for id_ in ids.to_pylist():
        own = begun.copy()
        own.update(id_.encode())
        digests.append(own.digest())
    words = np.frombuffer(b"".join(digests), dtype="<u8")
    # 53 bits are what a float holds
    found: Floats = ((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    return found
