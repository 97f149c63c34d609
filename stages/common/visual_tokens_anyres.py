"""Visual tokens of LLaVA-NeXT and LLaVA-OneVision: tiles on the best of some resolutions, padding cut off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from curate.sample import Ints
from stages.common.visual_tokens import Counted, Formula, Images

_PATCH = 14
_SHRINK_FROM = 1.1


@dataclass(frozen=True)
class AnyRes(Formula):
    """A `tile` x `tile` view of the whole image, and the image padded into one of `pinpoints`, of whose
    feature map the padding is cut off again; a newline behind each of its rows.

    As `select_best_resolution`, `unpad_image` and `prepare_inputs_labels_for_multimodal` with "spatial_unpad"
    (LLaVA-VL/LLaVA-NeXT, llava/mm_utils.py and llava_arch.py). Images of a sample with several are padded to
    one tile each, with one newline (llava/train/train.py). `max_patches` (anyres_max_N): a map of more than
    1.1^2 times so many tiles is shrunk. No marks stand around an image.
    """

    options: ClassVar[frozenset[str]] = frozenset({"pinpoints", "max_patches"})

    tile: int
    pinpoints: tuple[tuple[int, int], ...]  # (width, height), the first of equally good ones counts
    max_patches: int | None = None

    def __post_init__(self) -> None:
        for width, height in self.pinpoints:
            if width % self.tile or height % self.tile:
                raise ValueError(f"pinpoints: {width} x {height} is no multiple of the tile of {self.tile}")

    def count(self, images: Images) -> Counted:
        side = self.tile // _PATCH
        rows, columns = self._map(images.width, images.height)
        tokens = side * side + rows * (columns + 1)
        tokens[images.together() > 1] = side * side + 1
        every = np.ones(len(tokens), dtype=bool)
        return Counted(tokens, np.zeros_like(tokens), every)

    def resolution(self, width: Ints, height: Ints) -> tuple[Ints, Ints]:
        """Of `pinpoints` the one that shows most of the image, then the one with the least padding."""
        shown, waste = np.zeros_like(width), np.full_like(width, np.iinfo(np.int64).max)
        best_w, best_h = np.zeros_like(width), np.zeros_like(width)
        for w, h in self.pinpoints:
            scale = np.minimum(w / width, h / height)
            scaled = _whole(width * scale) * _whole(height * scale)
            effective = np.minimum(scaled, width * height)
            left = w * h - effective
            better = (effective > shown) | ((effective == shown) & (left < waste))
            shown[better], waste[better] = effective[better], left[better]
            best_w[better], best_h[better] = w, h
        return best_w, best_h

    def _map(self, width: Ints, height: Ints) -> tuple[Ints, Ints]:
        """Rows and columns of features that are left of the padded image."""
        side = self.tile // _PATCH
        across, down = self.resolution(width, height)
        columns, rows = across // self.tile * side, down // self.tile * side
        wide = width / height > columns / rows
        used_rows = _whole(height * (columns / width))
        used_columns = _whole(width * (rows / height))
        rows, columns = (
            np.where(wide, rows - (rows - used_rows) // 2 * 2, rows),
            np.where(wide, columns, columns - (columns - used_columns) // 2 * 2),
        )
        if self.max_patches is not None:
            times = np.sqrt(rows * columns / (self.max_patches * side * side))
            shrunk = times > _SHRINK_FROM
            times[~shrunk] = 1
            rows, columns = _whole(rows // times), _whole(columns // times)
        return rows, columns


def _whole(values: npt.NDArray[Any]) -> Ints:
    """Python's int()."""
    return values.astype(np.int64)
