"""Luma of a frame, as Pillow's mode L has it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def luma(frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """(height, width) out of (height, width, 3): 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), rounded."""
    from PIL import Image

    height, width, _ = frame.shape
    return np.asarray(Image.frombuffer("RGB", (width, height), frame).convert("L"))
