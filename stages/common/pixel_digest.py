"""The name of an image's pixels: equal for equal pixels, whatever file they are in."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt


def pixel_digest(frame: npt.NDArray[np.uint8], true_height: int, true_width: int) -> str:
    """SHA-256, in hexadecimal, over a canonical decode and the size of the image that it was made from."""
    # The same bytes could be a wide or a tall image, or the reduction of a larger one.
    digest = hashlib.sha256(f"{true_width}x{true_height}:".encode())
    digest.update(frame.data)
    return digest.hexdigest()
