"""What stages at image level are shown, from encoded files."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa
import pytest
from decoding import decode_column

from curate.pixels import Decode
from curate.stage import BYTES, CANONICAL


@pytest.fixture
def image_table() -> Callable[[Sequence[bytes]], pa.Table]:
    def made(files: Sequence[bytes]) -> pa.Table:
        pixels, reasons = decode_column(files, Decode(short_side=16))
        assert reasons == [None] * len(files)
        return pa.table({BYTES: pa.array(files, pa.binary_view()), CANONICAL: pixels})

    return made


@pytest.fixture(scope="session")
def torchvision() -> None:
    """For tests that import open_clip, or torchvision, themselves: importable, as the stages make it."""
    from stages.common.torchvision_cure import cure_torchvision

    cure_torchvision()
