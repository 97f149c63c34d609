"""Files to the PIXELS column that a stage is shown."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from curate.pixels import Decode, column, decode


def decode_column(
    files: Sequence[bytes | str | None], how: Decode
) -> tuple[pa.StructArray, list[str | None]]:
    """The column, null where a file has a reason, and the reasons. A str is one, None is `missing`."""
    found = [decode(f, how) if isinstance(f, bytes) else (f or "missing") for f in files]
    images = [None if isinstance(f, str) else f for f in found]
    return column(images), [f if isinstance(f, str) else None for f in found]
