"""See `Flatness`."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.sample import Level
from curate.stage import CANONICAL, Map, Op, Out
from stages.common.columns import frames
from stages.common.luma import luma

_SAME = 2  # levels of luma by which neighbours may differ and still be one flat area


class Flatness(Map):
    """How little there is to see: entropy of the luma histogram, and the share of flat area.

        image_entropy     Shannon entropy of the 256-bin histogram of luma, in bits, 0 to 8; equals
                          `skimage.measure.shannon_entropy(grey)`. Shannon 1948
        image_flat_share  share of pixels whose right and lower neighbours differ by at most 2 of 255
                          levels, 0 to 1; of the last row and column only one neighbour counts

    A blank page or a swatch has 0 bits. Medians (5 to 95 %): clip art 2.3 bits (0.5 to 4.8) and 0.88 flat
    (0.57 to 0.98); JPEG pictures of a manual 7.0 (3.4 to 7.8) and 0.42 (0.05 to 0.84). Entropy is of the
    histogram, blind to order: a smooth ramp has as much as noise, and only the flat share tells them apart.
    """

    stage: Literal["flatness"] = "flatness"
    level: ClassVar[Level] = "image"

    def reads(self) -> frozenset[str]:
        return frozenset({CANONICAL})

    def writes(self) -> pa.Schema:
        return pa.schema([("image_entropy", pa.float32()), ("image_flat_share", pa.float32())])

    def open(self) -> Op:
        def op(table: pa.Table) -> Out:
            greys = [None if f is None else luma(f) for f in frames(table[CANONICAL])]
            return Out(
                {
                    "image_entropy": pa.array(
                        [None if g is None else _entropy(g) for g in greys], pa.float32()
                    ),
                    "image_flat_share": pa.array(
                        [None if g is None else _flat_share(g) for g in greys], pa.float32()
                    ),
                }
            )

        return op


def _entropy(grey: npt.NDArray[np.uint8]) -> float:
    counts = np.bincount(grey.ravel(), minlength=256)
    shares = counts[counts > 0] / grey.size
    return abs(float((shares * np.log2(shares)).sum()))


def _flat_share(grey: npt.NDArray[np.uint8]) -> float:
    flat = np.ones(grey.shape, dtype=bool)
    flat[:, :-1] &= _close(grey[:, :-1], grey[:, 1:])
    flat[:-1] &= _close(grey[:-1], grey[1:])
    return float(np.count_nonzero(flat)) / flat.size


def _close(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    # in uint8: the difference wraps round, and so does the tolerance
    found: npt.NDArray[np.bool_] = (one - other + np.uint8(_SAME)) <= np.uint8(2 * _SAME)
    return found
