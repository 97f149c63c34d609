"""Arrow columns as what stages compute on: views of bytes and pixels, never copies."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.sample import single


def blobs(column: pa.ChunkedArray | pa.Array) -> list[memoryview | None]:
    """A view of each value of a large_binary column; None where it is null."""
    values = single(column)
    _, offsets, data = values.buffers()
    if data is None or not len(values):
        return [None] * len(values)
    bounds = np.frombuffer(offsets, dtype=np.int64)[values.offset : values.offset + len(values) + 1].tolist()
    whole = memoryview(data)
    valid = pc.is_valid(values).to_pylist()
    return [whole[a:b] if ok else None for ok, a, b in zip(valid, bounds[:-1], bounds[1:], strict=True)]


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


def field(column: pa.ChunkedArray | pa.Array, name: str) -> pa.Array:
    """One field of a struct column, null where the struct is."""
    return pc.struct_field(single(column), name)


def reason_where(mask: pa.Array | npt.NDArray[np.bool_] | Iterable[bool], reason: str) -> pa.Array:
    """A drop column: the reason where the mask is true, null elsewhere."""
    chosen = mask if isinstance(mask, pa.Array) else pa.array(mask, pa.bool_())
    return pc.if_else(chosen, pa.scalar(reason), pa.scalar(None, pa.string()))
