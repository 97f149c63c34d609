"""CenterFace (arXiv 1911.03599, github.com/Star-Clouds/CenterFace, MIT): a face detector in one ONNX file.

From (1, 3, height, width) float32, RGB, 0 to 255, sides of 32 n, it gives maps of a quarter of the side:

    heatmap   (1, 1, h, w)   how sure it is that a face's centre lies in this cell of 4 x 4 pixels
    scale     (1, 2, h, w)   logarithm of the face's height and width in cells
    offset    (1, 2, h, w)   of the centre within the cell, y and x, in cells
    landmark  (1, 10, h, w)  eyes, nose, corners of the mouth; not used here
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from curate.errors import RunError

Boxes: TypeAlias = npt.NDArray[np.float64]  # (faces, 5): x0, y0, x1, y1, score
Detect: TypeAlias = Callable[[npt.NDArray[np.uint8]], Boxes]

_CELL, _STEP = 4, 32
_OVERLAP = 0.3  # intersection over union beyond which two boxes are one face, as in the original
# The published file declares inputs of 10 x 3 x 32 x 32, but computes any. Dimensions as protobuf has them
# (field 1 of TensorShapeProto: a message with field 1, the number, or field 2, a name), of the same length.
_FIXED = bytes.fromhex("0a02080a 0a020803 0a020820 0a020820")
_FREE = bytes.fromhex("0a021200 0a020803 0a021200 0a021200")


def detector(path: Path, side: int, min_score: float) -> Detect:
    """The function from a frame to its faces, best first, in pixels of the frame.

    Frames are reduced to a long side of `side` pixels, smaller ones are not enlarged.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # it warns that outputs are larger than declared
    model = path.read_bytes().replace(_FIXED, _FREE)
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    if len(session.get_outputs()) != 4 or len(given.shape) != 4:
        raise RunError(f"{path} is not CenterFace: its outputs are heatmap, scale, offset and landmarks")

    def detect(frame: npt.NDArray[np.uint8]) -> Boxes:
        from PIL import Image

        height, width = frame.shape[:2]
        wide, tall = _size(width, height, side)
        image = frame
        if (width, height) != (wide, tall):
            resized = Image.fromarray(frame).resize((wide, tall), Image.Resampling.BILINEAR)
            image = np.asarray(resized)
        planes = np.ascontiguousarray(image.transpose(2, 0, 1)[None], dtype=np.float32)
        maps = session.run(None, {given.name: planes})
        boxes = alone(decoded(maps[0], maps[1], maps[2], min_score))
        boxes[:, :4] *= np.array([width / wide, height / tall] * 2)
        return boxes

    return detect


def _size(width: int, height: int, side: int) -> tuple[int, int]:
    ratio = min(1.0, side / max(width, height))
    wide, tall = (max(1, -(-round(n * ratio) // _STEP)) * _STEP for n in (width, height))
    return wide, tall


def decoded(
    heatmap: npt.NDArray[np.float32],
    scale: npt.NDArray[np.float32],
    offset: npt.NDArray[np.float32],
    min_score: float,
) -> Boxes:
    """A box for each cell above `min_score`, best first, cut to the picture; not yet one for each face."""
    y, x = np.nonzero(heatmap[0, 0] > min_score)
    scores = heatmap[0, 0, y, x].astype(np.float64)
    high, wide = (np.exp(scale[0, i, y, x].astype(np.float64)) * _CELL for i in (0, 1))
    limits = [n * _CELL for n in heatmap.shape[2:]]
    top = (y + offset[0, 0, y, x] + 0.5) * _CELL - high / 2
    left = (x + offset[0, 1, y, x] + 0.5) * _CELL - wide / 2
    top, left = np.clip(top, 0, limits[0]), np.clip(left, 0, limits[1])
    bottom, right = np.minimum(top + high, limits[0]), np.minimum(left + wide, limits[1])
    boxes = np.stack([left, top, right, bottom, scores], axis=1)
    return boxes[np.argsort(-scores, kind="stable")]


def alone(boxes: Boxes) -> Boxes:
    """One box for each face: what overlaps a better one is left out."""
    kept: list[Boxes] = []
    while len(boxes):
        best, boxes = boxes[0], boxes[1:]
        kept.append(best)
        low = np.maximum(best[:2], boxes[:, :2])
        high = np.minimum(best[2:4], boxes[:, 2:4])
        shared = np.prod(np.clip(high - low, 0, None), axis=1)
        union = np.prod(best[2:4] - best[:2]) + np.prod(boxes[:, 2:4] - boxes[:, :2], axis=1) - shared
        boxes = boxes[shared < _OVERLAP * union]
    return np.array(kept).reshape(-1, 5)


def covered(boxes: Boxes) -> float:
    """Area of the union of boxes."""
    if not len(boxes):
        return 0.0
    xs, ys = (np.unique(boxes[:, [i, i + 2]]) for i in (0, 1))
    cells = np.zeros((len(ys) - 1, len(xs) - 1), dtype=bool)
    for x0, y0, x1, y1 in boxes[:, :4]:
        rows, columns = (slice(*np.searchsorted(*pair)) for pair in ((ys, (y0, y1)), (xs, (x0, x1))))
        cells[rows, columns] = True
    return float((cells * np.diff(ys)[:, None] * np.diff(xs)).sum())
