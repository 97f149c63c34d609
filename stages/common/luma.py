"""Luma of a frame, the rows of a frame that are enough for a count, and exact sums."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Frame = npt.NDArray[np.uint8]
_ROWS, _PIXELS = 48, 16_384  # enough of them
# Values of at most 1,020: the squares of so many fit 32 bits, in which numpy is several times as fast.
_RUN = 2048


def luma(frame: Frame) -> Frame:
    """(height, width) out of (height, width, 3): 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), rounded."""
    from PIL import Image

    height, width, _ = frame.shape
    return np.asarray(Image.frombuffer("RGB", (width, height), np.ascontiguousarray(frame)).convert("L"))


def histogram(grey: Frame) -> npt.NDArray[np.int64]:
    """How many pixels have each of the 256 levels."""
    from PIL import Image

    height, width = grey.shape
    counts = Image.frombuffer("L", (width, height), np.ascontiguousarray(grey)).histogram()
    return np.array(counts, dtype=np.int64)


def every_nth_row(frame: Frame, below: int = 0) -> Frame:
    """Whole rows at equal distances, at least 48 and 16,384 pixels where there are so many; or those `below`.

    What is counted over all pixels is counted over these as well, in a third to a ninth of the time. The
    distance is odd: dithering and line screens repeat every 2, 4 or 8 rows.
    """
    rows, width = frame.shape[:2]
    step = max(1, (rows // max(_ROWS, -(-_PIXELS // width)) - 1) | 1)
    return frame[step // 2 + below :: step]


def sums(values: npt.NDArray[np.int16]) -> tuple[int, int]:
    """Of the values, at most 1,020 either way, and of their squares: no order of adding shows."""
    row = values.ravel()
    whole = row.size - row.size % _RUN
    total = squares = 0
    for part in (row[:whole].reshape(-1, _RUN), row[whole:].reshape(1, -1)):
        wide = part.astype(np.int32)
        total += int(np.einsum("ij->i", wide).sum(dtype=np.int64))
        squares += int(np.einsum("ij,ij->i", wide, wide).sum(dtype=np.int64))
    return total, squares
