"""Arrow columns as what stages compute on: views of bytes and pixels, never copies."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.sample import single
from curate.stage import CANONICAL, FULL

Detail: TypeAlias = Literal["canonical", "full"]

# Arrow keeps values of so many bytes within the view itself.
_INLINE = 12


def blobs(column: pa.ChunkedArray | pa.Array) -> list[memoryview | None]:
    """A view of each value of a binary_view column; None where it is null."""
    values = single(column)
    _, views, *data = values.buffers()
    valid = pc.is_valid(values).to_pylist()
    inline = memoryview(views)[16 * values.offset :]
    words = np.frombuffer(views, dtype=np.int32).reshape(-1, 4)[values.offset :].tolist()
    found: list[memoryview | None] = []
    for i, ok in enumerate(valid):
        size, _, buffer, start = words[i]
        if not ok:
            found.append(None)
        elif size <= _INLINE:
            found.append(inline[16 * i + 4 : 16 * i + 4 + size])
        else:
            found.append(memoryview(data[buffer])[start : start + size])
    return found


def frames(column: pa.ChunkedArray | pa.Array) -> list[npt.NDArray[np.uint8] | None]:
    """A read-only (height, width, 3) view of each image of a PIXELS column; None where it is null."""
    images = single(column)
    heights, widths = (images.field(name).to_pylist() for name in ("height", "width"))
    views = blobs(images.field("data"))
    valid = pc.is_valid(images).to_pylist()
    return [
        np.frombuffer(view, dtype=np.uint8).reshape(height, width, 3) if ok and view is not None else None
        for ok, view, height, width in zip(valid, views, heights, widths, strict=True)
    ]


def pixels_of(detail: Detail) -> str:
    """The engine's column that a stage's `pixels:` asks for."""
    return CANONICAL if detail == "canonical" else FULL


def field(column: pa.ChunkedArray | pa.Array, name: str) -> pa.Array:
    """One field of a struct column, null where the struct is."""
    return pc.struct_field(single(column), name)


def reason_where(mask: pa.Array | npt.NDArray[np.bool_] | Iterable[bool], reason: str) -> pa.Array:
    """A drop column: the reason where the mask is true, null elsewhere."""
    chosen = mask if isinstance(mask, pa.Array) else pa.array(mask, pa.bool_())
    return pc.if_else(chosen, pa.scalar(reason), pa.scalar(None, pa.string()))
