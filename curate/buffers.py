"""Arrow arrays over memory that is there already: image bytes and pixels are handed to stages, not copied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

_INLINE = 12  # bytes: what the binary_view layout keeps within the view itself


def view_array(blobs: Sequence[Any]) -> pa.Array:
    """A binary_view array over the given buffers (bytes or C-contiguous arrays); None makes a null.

    Gathering a few megabytes of pixels for every stage anew costs more than many a stage: a view is 16 bytes.
    """
    views = np.zeros((len(blobs), 16), dtype=np.uint8)
    words = views.view(np.int32)
    buffers: list[pa.Buffer] = []
    for i, blob in enumerate(blobs):
        if blob is None:
            continue
        buffer = pa.py_buffer(blob)
        words[i, 0] = buffer.size
        if buffer.size <= _INLINE:
            views[i, 4 : 4 + buffer.size] = np.frombuffer(buffer, np.uint8)
        else:
            views[i, 4:8] = np.frombuffer(buffer, np.uint8, 4)
            words[i, 2] = len(buffers)
            buffers.append(buffer)
    valid = pa.array([blob is not None for blob in blobs], pa.bool_())
    # a bitmap has the layout of a validity bitmap
    return pa.Array.from_buffers(
        pa.binary_view(), len(blobs), [valid.buffers()[1], pa.py_buffer(views), *buffers]
    )
