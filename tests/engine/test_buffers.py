"""Views over foreign memory hold what was put in, whatever its length, and stages read them back in place."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from curate.buffers import view_array
from stages.common.columns import blobs

Blobs = st.lists(st.none() | st.binary(max_size=40), max_size=12)


@given(Blobs, st.integers(0, 12), st.integers(0, 12))
def test_what_goes_in_comes_out(files: list[bytes | None], start: int, length: int) -> None:
    column = view_array(files)
    column.validate(full=True)
    assert column.to_pylist() == files
    part = column.slice(start, length)
    expected = files[start : start + length]
    assert [None if b is None else bytes(b) for b in blobs(part)] == expected


def test_pixels_are_not_copied() -> None:
    frame = np.zeros(1000, dtype=np.uint8)
    column = view_array([frame])
    frame[:] = 7
    assert blobs(column)[0] is not None
    assert set(bytes(blobs(column)[0] or b"")) == {7}
    assert isinstance(column, pa.Array)
