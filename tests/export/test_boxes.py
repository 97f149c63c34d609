from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from workshop import encoded

from curate.export.boxes import holds_places, move, moved
from curate.export.resize import Target, pixels
from curate.io.fields import OBJECTS

FACES = pa.list_(pa.struct([("score", pa.float32()), *((n, pa.float32()) for n in ("x0", "y0", "x1", "y1"))]))
LINES = pa.list_(pa.struct([("text", pa.string()), *((n, pa.int32()) for n in ("x0", "y0", "x1", "y1"))]))
PARTS = pa.list_(
    pa.struct([("point", pa.list_(pa.float64(), 2)), ("points", pa.list_(pa.list_(pa.int32())))])
)


def one(type: pa.DataType, objects: list[dict[str, object]], size: tuple[int, int], target: Target) -> object:
    return moved(pa.array([objects], type), [move(*size, target)]).to_pylist()[0]


@pytest.mark.parametrize("fit", ["stretch", "crop"])
@pytest.mark.parametrize("size", [(640, 400), (400, 640), (333, 517)])
@pytest.mark.parametrize("sides", [(96, 96), (128, 64), (70, 150)])
def test_a_drawn_rectangle_is_where_its_box_says(
    size: tuple[int, int], sides: tuple[int, int], fit: str
) -> None:
    width, height = size
    target = Target(*sides, fit)  # type: ignore[arg-type]
    box = [width * 0.4, height * 0.35, width * 0.7, height * 0.6]
    box = [float(round(v)) for v in box]
    frame = np.zeros((height, width, 3), np.uint8)
    frame[int(box[1]) : int(box[3]), int(box[0]) : int(box[2])] = 255
    (found,) = one(OBJECTS, [{"label": "a", "box": box, "attributes": []}], size, target)  # type: ignore[misc]
    seen = np.asarray(pixels(encoded(Image.fromarray(frame), "PNG"), target))[..., 0].astype(float) / 255
    # light adds up to the area, and begins and ends where the box does, to half a pixel
    x1, y1, x2, y2 = found["box"]
    rows, columns = np.flatnonzero(seen.max(1) > 0.5), np.flatnonzero(seen.max(0) > 0.5)
    assert abs(columns[0] - x1) <= 0.51
    assert abs(columns[-1] + 1 - x2) <= 0.51
    assert abs(rows[0] - y1) <= 0.51
    assert abs(rows[-1] + 1 - y2) <= 0.51
    assert abs(seen.sum() / ((x2 - x1) * (y2 - y1)) - 1) < 0.02


def test_boxes_are_clipped_and_go_where_nothing_is_left() -> None:
    target = Target(100, 100, "crop")  # of 400 x 200: a quarter of the width goes on each side
    boxes = {
        "whole": [0.0, 0.0, 400.0, 200.0],
        "inside": [150.0, 50.0, 250.0, 150.0],
        "cut": [50.0, 100.0, 150.0, 250.0],
        "gone": [0.0, 0.0, 100.0, 200.0],  # ends just where the cut begins
        "gone too": [310.0, 0.0, 400.0, 200.0],
    }
    given = [{"label": name, "box": box, "attributes": ["red"]} for name, box in boxes.items()]
    given.append({"label": "no box", "box": None, "attributes": []})
    found = one(OBJECTS, given, (400, 200), target)
    assert found == [
        {"label": "whole", "box": [0.0, 0.0, 100.0, 100.0], "attributes": ["red"]},
        {"label": "inside", "box": [25.0, 25.0, 75.0, 75.0], "attributes": ["red"]},
        {"label": "cut", "box": [0.0, 50.0, 25.0, 100.0], "attributes": ["red"]},
        {"label": "no box", "box": None, "attributes": []},
    ]


def test_whole_numbers_are_rounded_outwards() -> None:
    target = Target(100, 100, "crop")
    line = {"text": "a", "x0": 151, "y0": 51, "x1": 249, "y1": 149}
    gone = {"text": "b", "x0": 10, "y0": 51, "x1": 90, "y1": 149}
    found = one(LINES, [line, gone], (400, 200), target)
    assert found == [{"text": "a", "x0": 25, "y0": 25, "x1": 75, "y1": 75}]
    face = {"score": 0.5, "x0": 151.0, "y0": 51.0, "x1": 249.0, "y1": 149.0}
    assert one(FACES, [face], (400, 200), target) == [
        {"score": 0.5, "x0": 25.5, "y0": 25.5, "x1": 74.5, "y1": 74.5}
    ]


def test_points_follow() -> None:
    target = Target(100, 100, "crop")
    given = [
        {"point": [200.0, 100.0], "points": [[100, 0], [300, 200], [99, 0]]},
        {"point": [20.0, 100.0], "points": None},
        {"point": None, "points": [[0, 0]]},
        {"point": None, "points": None},
    ]
    assert one(PARTS, given, (400, 200), target) == [
        {"point": [50.0, 50.0], "points": [[0, 0], [100, 100]]},
        {"point": None, "points": None},
    ]


def test_what_is_not_moved_stays() -> None:
    objects = [{"label": "a", "box": [1.0, 2.0, 3.0, 4.0], "attributes": []}]
    column = pa.array([objects, None, objects], OBJECTS)
    found = moved(column, [None, move(10, 10, Target(5, 5)), move(10, 10, Target(5, 5))])
    assert found.type == OBJECTS
    assert [None if f is None else f[0]["box"] for f in found.to_pylist()] == [
        [1.0, 2.0, 3.0, 4.0],
        None,
        [0.5, 1.0, 1.5, 2.0],
    ]


def test_columns_are_known_by_their_types() -> None:
    assert all(holds_places(type) for type in (OBJECTS, FACES, LINES, PARTS))
    nothing = [pa.string(), pa.list_(pa.float32()), pa.list_(pa.struct([("label", pa.string())]))]
    nothing += [pa.list_(pa.struct([("box", pa.string())])), pa.list_(pa.struct([("x0", pa.float32())]))]
    assert not any(holds_places(type) for type in nothing)
