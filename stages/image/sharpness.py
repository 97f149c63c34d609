"""See `Sharpness`."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.sample import Level
from curate.stage import CANONICAL, Map, Op, Out
from stages.common.columns import frames
from stages.common.luma import luma


class Sharpness(Map):
    """How much fine detail there is: variance of the Laplacian and gradient energy of the luma.

        image_sharpness   variance of the 4-neighbour Laplacian (0 1 0 / 1 -4 1 / 0 1 0, edges reflected
                          without repeating them) over luma of 0 to 255; equals
                          `cv2.Laplacian(grey, cv2.CV_64F).var()`. Pech-Pacheco et al. 2000, "Diatom
                          autofocusing in brightfield microscopy", who call it LAPV
        image_tenengrad   mean of Gx^2 + Gy^2 of the 3 x 3 Sobel operator, edges the same. Krotkov 1987,
                          "Focusing", without his threshold

    Both are of the canonical decode, whose short side is below twice `decode.short_side` whatever the
    file's: a large photo is not sharp just for being large. Blur lowers both, noise raises them.
    image_sharpness of the demo pool: clean scenes 24 to 5,700 (1 to 99 %: 53 to 4,500), blurred and upscaled
    ones 0.8 to 4.7, noisy ones above 23,000, so {min: 10, max: 15000} parts them; JPEG blocks do not show.
    Real collections: JPEG pictures of a manual 6 to 49,000 (1 to 99 %), photos cut out on white 260 to
    26,000, clip art 0 (a blank page) to 19,000: hard edges count as detail.
    """

    stage: Literal["sharpness"] = "sharpness"
    level: ClassVar[Level] = "image"

    def reads(self) -> frozenset[str]:
        return frozenset({CANONICAL})

    def writes(self) -> pa.Schema:
        return pa.schema([("image_sharpness", pa.float32()), ("image_tenengrad", pa.float32())])

    def open(self) -> Op:
        def op(table: pa.Table) -> Out:
            greys = [None if f is None else _padded(luma(f)) for f in frames(table[CANONICAL])]
            return Out(
                {
                    "image_sharpness": pa.array(
                        [None if g is None else laplacian_variance(g) for g in greys], pa.float32()
                    ),
                    "image_tenengrad": pa.array(
                        [None if g is None else _gradient_energy(g) for g in greys], pa.float32()
                    ),
                }
            )

        return op


def _padded(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.int16]:
    """One pixel more on each side: mirrored about the edge pixel; a single row or column is repeated."""
    rows, columns = grey.shape
    wide = np.empty((rows + 2, columns + 2), dtype=np.int16)
    wide[1:-1, 1:-1] = grey
    wide[0, 1:-1], wide[-1, 1:-1] = grey[min(1, rows - 1)], grey[max(rows - 2, 0)]
    wide[:, 0], wide[:, -1] = wide[:, 1 + min(1, columns - 1)], wide[:, 1 + max(columns - 2, 0)]
    return wide


def laplacian_variance(padded: npt.NDArray[np.int16]) -> float:
    """Exact: values are whole numbers of at most 1,020, their squares are summed in 64 bits."""
    found = padded[:-2, 1:-1] + padded[2:, 1:-1]
    found += padded[1:-1, :-2]
    found += padded[1:-1, 2:]
    found -= 4 * padded[1:-1, 1:-1]
    return _mean_square(found) - float(found.mean(dtype=np.float64)) ** 2


def _gradient_energy(padded: npt.NDArray[np.int16]) -> float:
    smooth = padded[:-2] + padded[2:]
    smooth += padded[1:-1]
    smooth += padded[1:-1]
    across = smooth[:, 2:] - smooth[:, :-2]
    smooth = padded[:, :-2] + padded[:, 2:]
    smooth += padded[:, 1:-1]
    smooth += padded[:, 1:-1]
    down = smooth[2:] - smooth[:-2]
    return _mean_square(across) + _mean_square(down)


def _mean_square(values: npt.NDArray[np.int16]) -> float:
    flat = values.ravel().astype(np.float32)
    # of whole numbers; float64 sums of float32 products of at most 2**20 are exact enough for float32
    return float(np.square(flat, out=flat).sum(dtype=np.float64)) / flat.size
