"""See `Ocr`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate.errors import RecipeError
from curate.sample import Level, single
from curate.stage import Map, Op, Out, fingerprint
from stages.common.columns import Detail, frames, pixels_of
from stages.common.weight_files import digests

_PACKAGE = "rapidocr"
_FILES = ("PP-OCRv6_det_small.onnx", "PP-OCRv6_rec_small.onnx")
# Nothing can be read in a picture lower than that, or in a line this many times as wide as high; the
# package raises on some of them.
_LEAST, _WIDEST = 8, 100
# Round and angular shapes pass for letters, above all where they fill the picture: as RapidOCR has it by
# default, two of three plain drawings hold text. So its detector must be surer than it asks (0.5); a box over
# more than this share of the picture must be this many times as long as high; and one letter alone is read
# with this probability.
_SURE, _SURE_UNREAD = 0.6, 0.7
_LARGE, _LONG = 0.25, 2.0
_LONE = 0.95
BOX = pa.struct(
    [
        ("text", pa.string()),
        ("score", pa.float32()),
        ("x0", pa.int32()),
        ("y0", pa.int32()),
        ("x1", pa.int32()),
        ("y1", pa.int32()),
    ]
)


class Ocr(Map):
    """Text in the picture, read by PP-OCRv6 (Chinese, English, Japanese and languages in Latin letters).

        image_text_area   share of the picture that lines of text cover, 0 to 1; overlaps count once
        image_ocr_text    the lines from top to bottom, joined by line ends; "" where there are none
        image_ocr_boxes   list of {text, score, x0, y0, x1, y1}: the upright rectangle around each line, in
                          pixels of the upright file

    With `detect_only` text_area alone, in half the time. Lines that are read with a probability (mean over
    characters) below `min_score` are in none of the three, nor are lone letters of less than 0.95, nor squat
    shapes over a quarter of the picture. Of the demo's signs it reads 97 % of the words; it sees text that is
    none in 3 % of drawings of things (`detect_only`: in 15 %); in five of 115 photos and stamps it saw text,
    plausible words all.

    Pairs whose picture shows the caption's own words teach a model to read, not to see: what share of the
    words that is tells `ocr_match`. Suggested for photos: image_text_area {max: 0.3}.

    Weights and code come from the package RapidOCR 3 (both Apache-2.0): `pip install 'mmcurate[ocr]'`. It
    runs on the CPU, in one thread of each worker: about 55 ms for a picture of 500 x 350, 30 ms with
    `detect_only`. Text that stands on its head is not turned round.
    """

    stage: Literal["ocr"] = "ocr"
    level: ClassVar[Level] = "image"
    batch: ClassVar[int] = 64

    detect_only: bool = Field(default=False, description="Only how much text there is.")
    min_score: float = Field(default=0.7, ge=0, le=1, description="Of a line's reading.")
    side: int = Field(default=960, ge=64, le=4096, description="The detector's long side in pixels, at most.")
    pixels: Detail = Field(default="full", description="`canonical`: faster, but small print is lost.")

    def reads(self) -> frozenset[str]:
        return frozenset({self._source})

    @property
    def _source(self) -> str:
        return pixels_of(self.pixels)

    def writes(self) -> pa.Schema:
        area = [("image_text_area", pa.float32())]
        text = [("image_ocr_text", pa.string()), ("image_ocr_boxes", pa.list_(BOX))]
        return pa.schema(area if self.detect_only else area + text)

    def assets(self) -> Mapping[str, str]:
        found = find_spec(_PACKAGE)
        if found is None or not found.submodule_search_locations:
            raise RecipeError("stage", "reading text needs RapidOCR", "pip install 'mmcurate[ocr]'")
        folder = Path(found.submodule_search_locations[0], "models")
        # its code decides as much as its weights
        return {
            "code": fingerprint(_PACKAGE, version(_PACKAGE)),
            **digests(map(folder.joinpath, _FILES), "stage"),
        }

    def notices(self) -> frozenset[str]:
        return frozenset({"`ocr`: PP-OCRv6 by the PaddleOCR authors, as packed by RapidOCR, Apache-2.0"})

    def check_columns(self, columns: pa.Schema) -> None:
        self.assets()

    def open(self) -> Op:
        engine = self._engine()

        def op(table: pa.Table) -> Out:
            images = single(table[self._source])
            sides = zip(*(pc.struct_field(images, n).to_pylist() for n in _TRUE), strict=True)
            found = [
                None if frame is None else _read(engine, frame, width, height)
                for frame, (width, height) in zip(frames(images), sides, strict=True)
            ]
            values = {
                "image_text_area": [one and one.area for one in found],
                "image_ocr_text": [one and "\n".join(line["text"] for line in one.lines) for one in found],
                "image_ocr_boxes": [one and one.lines for one in found],
            }
            return Out({field.name: pa.array(values[field.name], field.type) for field in self.writes()})

        return op

    def _engine(self) -> Any:
        import cv2
        from rapidocr import RapidOCR

        cv2.setNumThreads(1)  # workers are what runs side by side
        threads = {f"EngineConfig.onnxruntime.{kind}_op_num_threads": 1 for kind in ("intra", "inter")}
        return RapidOCR(
            params={
                **threads,
                "Global.log_level": "critical",  # it warns of each picture without text
                "Global.text_score": self.min_score,
                "Global.use_cls": False,  # it turns round more lines than it should
                "Global.use_rec": not self.detect_only,
                "Det.box_thresh": _SURE_UNREAD if self.detect_only else _SURE,
                "Det.limit_type": "max",
                "Det.limit_side_len": self.side,
            }
        )


_TRUE = ("true_width", "true_height")


class _Found(NamedTuple):
    area: float
    lines: list[dict[str, Any]]


def _read(engine: Any, frame: npt.NDArray[np.uint8], width: int, height: int) -> _Found:
    """What is read in a frame of a file that is `width` x `height`."""
    tall, wide = frame.shape[:2]
    if min(tall, wide) < _LEAST or max(tall, wide) > _WIDEST * min(tall, wide):
        return _Found(0.0, [])
    told = engine(np.ascontiguousarray(frame[..., ::-1]))  # as OpenCV has it: BGR
    if told.boxes is None or not len(told.boxes):
        return _Found(0.0, [])
    every = np.asarray(told.boxes, dtype=np.float64)  # (lines, 4, 2)
    read = getattr(told, "txts", None)
    kept = _lines(every, tall * wide)
    if read is not None:
        kept &= [len(t.strip()) > 1 or s >= _LONE for t, s in zip(read, told.scores, strict=True)]
    corners = every[kept]
    upright = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    scaled = np.rint(upright * np.array([width / wide, height / tall] * 2)).astype(int).tolist()
    boxes = [dict(zip(("x0", "y0", "x1", "y1"), box, strict=True)) for box in scaled]
    lines = [
        {"text": read[i] if read is not None else "", "score": told.scores[i], **box}
        for i, box in zip(np.flatnonzero(kept), boxes, strict=True)
    ]
    return _Found(_covered(corners) / (tall * wide), lines)


def _lines(corners: npt.NDArray[np.float64], whole: int) -> npt.NDArray[np.bool_]:
    """Which quadrilaterals have the shape of a line of text in a picture of `whole` pixels."""
    wide, high = (np.linalg.norm(corners[:, 0] - corners[:, i], axis=1) for i in (1, 3))
    long = np.maximum(wide, high) >= _LONG * np.minimum(wide, high)
    found: npt.NDArray[np.bool_] = long | (wide * high <= _LARGE * whole)
    return found


def _covered(corners: npt.NDArray[np.float64]) -> float:
    """Area of the union of quadrilaterals."""
    import shapely

    return float(shapely.union_all(shapely.convex_hull(shapely.multipoints(corners))).area)
