"""See `Nsfw`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.errors import RecipeError
from curate.sample import Level
from curate.stage import CANONICAL, Map, Op, Out, fingerprint
from stages.common.columns import frames
from stages.common.weight_files import digests

_PACKAGE = "nudenet"
_FILE = "320n.onnx"
# Those of the detector's 18 classes that count; it knows bare feet, armpits, bellies and men's chests too.
EXPOSED = (
    "ANUS_EXPOSED",
    "BUTTOCKS_EXPOSED",
    "FEMALE_BREAST_EXPOSED",
    "FEMALE_GENITALIA_EXPOSED",
    "MALE_GENITALIA_EXPOSED",
)
# The detector sees 320 x 320 and first makes a square in memory, of the long side.
_LONGEST = 1280

Detect = Callable[[npt.NDArray[np.uint8]], list[dict[str, Any]]]


class Nsfw(Map):
    """The highest score of an exposed intimate part of the body that NudeNet finds in the picture, 0 to 1.

        image_nsfw          float32; 0 where it finds none (it gives no score below 0.25)
        image_nsfw_labels   list of string, best first: anus_exposed, buttocks_exposed, female_breast_exposed,
                            female_genitalia_exposed, male_genitalia_exposed

    Suggested: {max: 0.5} for sets meant for everyone; look at what is dropped. Of 400 stamps (photos and
    drawings of animals, fruit, planets) four are above it, all round and pink; of 400 pictures of clip art
    one. It finds parts of bodies, no acts and no violence: a `head` for embeddings errs on other pictures.

    The package nudenet 3.4 holds code and weights: `pip install 'mmcurate[safety]'`. Its licence file is the
    GNU AGPL 3.0 (its metadata say MIT): it is no part of this project, and yours to install. Pictures are
    seen as its own `detect` sees them, in the canonical decode; on the CPU, one thread a worker.
    """

    stage: Literal["nsfw"] = "nsfw"
    level: ClassVar[Level] = "image"
    batch: ClassVar[int] = 64

    def reads(self) -> frozenset[str]:
        return frozenset({CANONICAL})

    def writes(self) -> pa.Schema:
        return pa.schema([("image_nsfw", pa.float32()), ("image_nsfw_labels", pa.list_(pa.string()))])

    def assets(self) -> Mapping[str, str]:
        # its code decides as much as its weights
        return {"code": fingerprint(_PACKAGE, version(_PACKAGE)), **digests([_weights()], "stage")}

    def notices(self) -> frozenset[str]:
        return frozenset({"`nsfw`: NudeNet 320n, AGPL-3.0"})

    def check_columns(self, columns: pa.Schema) -> None:
        _weights()

    def open(self) -> Op:
        detect = _detector()

        def op(table: pa.Table) -> Out:
            found = [None if frame is None else _exposed(detect, frame) for frame in frames(table[CANONICAL])]
            values = {
                "image_nsfw": [None if one is None else max(one.values(), default=0.0) for one in found],
                "image_nsfw_labels": [None if one is None else list(one) for one in found],
            }
            return Out({field.name: pa.array(values[field.name], field.type) for field in self.writes()})

        return op


def _weights() -> Path:
    found = find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise RecipeError(
            "stage", "the detector is in a package of its own", "pip install 'mmcurate[safety]'"
        )
    return Path(found.submodule_search_locations[0], _FILE)


def _detector() -> Detect:
    import cv2
    import onnxruntime
    from nudenet import NudeDetector

    cv2.setNumThreads(1)  # workers are what runs side by side
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    detector = NudeDetector()
    detector.onnx_session = onnxruntime.InferenceSession(
        str(_weights()), options, providers=["CPUExecutionProvider"]
    )
    return detector.detect  # type: ignore[no-any-return]


def _exposed(detect: Detect, frame: npt.NDArray[np.uint8]) -> dict[str, float]:
    """The best score of each label that counts, best first."""
    step = -(-max(frame.shape[:2]) // _LONGEST)
    found = detect(np.ascontiguousarray(frame[::step, ::step, ::-1]))  # as OpenCV has it: BGR
    best: dict[str, float] = {}
    for one in sorted(found, key=lambda one: (-one["score"], one["class"])):
        if one["class"] in EXPOSED:
            best.setdefault(one["class"].lower(), one["score"])
    return best
