"""Boxes and points of an image, moved to where they are once it was resized and cut.

What holds them is told by its type: an image column of lists of objects that have one of

    box                 [x1, y1, x2, y2]      image_objects
    x0, y0, x1, y1      a number each         image_ocr_boxes, image_face_boxes
    point               [x, y]
    points              [[x, y], ...]

in pixels of the upright image, (0, 0) its upper left corner and (width, height) its lower right one. Boxes
are clipped. An object is taken out when its box or point lies outside of what is left, or all of its points
do; one that has none of these stays. Whole numbers are rounded outwards: a box holds all that it held.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from curate.export.resize import Target, cut

_CORNERS = ("x0", "y0", "x1", "y1")


class Move(NamedTuple):
    """From the upright image to the one that is written: (x * across - left, y * down - top)."""

    across: float
    down: float
    left: int
    top: int
    width: int
    height: int


def move(width: int, height: int, target: Target) -> Move:
    """By the law of `curate.export.resize`, for an upright image of width x height."""
    whole = cut(width, height, target)
    return Move(whole.width / width, whole.height / height, *whole[2:], *target[:2])


def holds_places(type: pa.DataType) -> bool:
    """Whether the values of one image hold boxes or points."""
    if not (pa.types.is_list(type) or pa.types.is_large_list(type)):
        return False
    return pa.types.is_struct(type.value_type) and bool(_places(type.value_type))


def _places(type: pa.StructType) -> dict[str, bool]:
    """Which fields hold places, `x0` for all four corners, and whether in whole numbers."""
    fields = {field.name: field.type for field in type}
    found = {}
    for name, depth in (("box", 1), ("point", 1), ("points", 2)):
        inner = fields.get(name)
        for _ in range(depth):
            inner = inner.value_type if inner is not None and _is_list(inner) else None
        if inner is not None and _is_number(inner):
            found[name] = pa.types.is_integer(inner)
    if all(name in fields and _is_number(fields[name]) for name in _CORNERS):
        found["x0"] = pa.types.is_integer(fields["x0"])
    return found


def _is_list(type: pa.DataType) -> bool:
    return isinstance(type, pa.ListType | pa.LargeListType | pa.FixedSizeListType)


def _is_number(type: pa.DataType) -> bool:
    return bool(pa.types.is_integer(type) or pa.types.is_floating(type))


def moved(column: pa.Array, moves: Sequence[Move | None]) -> pa.Array:
    """The objects of each image, moved; those of an image that is not moved stay as they are."""
    places = _places(column.type.value_type)
    found = []
    for objects, way in zip(column.to_pylist(), moves, strict=True):
        if objects is None or way is None:
            found.append(objects)
        else:
            new = (None if one is None else _object(one, way, places) for one in objects)
            found.append([one for one in new if one is not None])
    return pa.array(found, column.type)


def _object(found: dict[str, Any], way: Move, places: dict[str, bool]) -> dict[str, Any] | None:
    """One object as it is afterwards; None where nothing of it is left."""
    changed = dict(found)
    for name, whole in places.items():
        if name == "x0":
            corners = [found[corner] for corner in _CORNERS]
            if None in corners:
                continue
            box = _box(corners, way, whole)
            if box is None:
                return None
            changed.update(zip(_CORNERS, box, strict=True))
            continue
        value = found[name]
        if value is None:
            continue
        new: list[Any] | None
        if name == "box":
            new = _box(value, way, whole)
        elif name == "point":
            new = _point(value, way, whole)
        else:
            new = [p for p in (_point(point, way, whole) for point in value) if p is not None]
            new = new or (None if value else [])
        if new is None:
            return None
        changed[name] = new
    return changed


def _box(box: Sequence[float], way: Move, whole: bool) -> list[float] | None:
    if len(box) != 4:
        return list(box)
    x1, x2 = (x * way.across - way.left for x in (box[0], box[2]))
    y1, y2 = (y * way.down - way.top for y in (box[1], box[3]))
    if x2 <= 0 or y2 <= 0 or x1 >= way.width or y1 >= way.height:
        return None
    if whole:
        x1, y1, x2, y2 = math.floor(x1), math.floor(y1), math.ceil(x2), math.ceil(y2)
    return [max(0, x1), max(0, y1), min(way.width, x2), min(way.height, y2)]


def _point(point: Sequence[float], way: Move, whole: bool) -> list[float] | None:
    if len(point) != 2:
        return list(point)
    x, y = point[0] * way.across - way.left, point[1] * way.down - way.top
    if not (0 <= x <= way.width and 0 <= y <= way.height):
        return None
    return [math.floor(x), math.floor(y)] if whole else [x, y]
