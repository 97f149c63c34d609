"""See `Flatness`."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.sample import Level
from curate.stage import CANONICAL, Map, Op, Out
from stages.common.columns import frames
from stages.common.luma import every_nth_row, histogram, luma

_SAME = 2  # levels of luma by which neighbours may differ and still be one flat area


class Flatness(Map):
    """How little there is to see: entropy of the luma histogram, and the share of flat area.

        image_entropy      Shannon entropy of the 256-bin histogram of luma, in bits, 0 to 8; that of
                           `skimage.measure.shannon_entropy(grey)`. Shannon 1948, "A mathematical theory of
                           communication"
        image_flat_share   share of pixels whose right and lower neighbours differ by at most 2 of 255
                           levels, 0 to 1; of the last row and column only one neighbour counts

    Of large images, rows at equal distances are counted: at least 48, of 16,384 pixels. Entropy is of the
    histogram, blind to order: a smooth ramp has as much as noise, and only the flat share tells them apart.

    Suggested: image_entropy {min: 0.3}, a blank page or a swatch. It takes 0.04 % of the images of `curate
    demo`, which plants none, no cut-out photo or JPEG picture of a manual, and 2 % of clip art: blank pages
    all. Medians (5 to 95 %): clip art 2.3 bits (0.5 to 4.8) and 0.87 flat (0.57 to 0.98), JPEG pictures of a
    manual 7.0 (3.4 to 7.8) and 0.43 (0.05 to 0.85).
    """

    stage: Literal["flatness"] = "flatness"
    level: ClassVar[Level] = "image"

    def reads(self) -> frozenset[str]:
        return frozenset({CANONICAL})

    def writes(self) -> pa.Schema:
        return pa.schema([("image_entropy", pa.float32()), ("image_flat_share", pa.float32())])

    def open(self) -> Op:
        names = self.writes().names

        def op(table: pa.Table) -> Out:
            found = [(None, None) if f is None else _measured(f) for f in frames(table[CANONICAL])]
            return Out(
                {name: pa.array([row[i] for row in found], pa.float32()) for i, name in enumerate(names)}
            )

        return op


def _measured(frame: npt.NDArray[np.uint8]) -> tuple[float, float]:
    grey = luma(every_nth_row(frame))
    flat = np.ones(grey.shape, dtype=bool)
    flat[:, :-1] = _close(grey[:, :-1], grey[:, 1:])
    below = every_nth_row(frame, below=1)
    if len(below):
        flat[: len(below)] &= _close(grey[: len(below)], luma(below))
    return _entropy(histogram(grey)), np.count_nonzero(flat) / flat.size


def _entropy(counts: npt.NDArray[np.int64]) -> float:
    shares = counts[counts > 0] / counts.sum()
    return abs(float((shares * np.log2(shares)).sum()))


def _close(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    # in uint8: the difference wraps round, and so does the tolerance
    found: npt.NDArray[np.bool_] = (one - other + np.uint8(_SAME)) <= np.uint8(2 * _SAME)
    return found
