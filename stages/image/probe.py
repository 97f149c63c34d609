"""See `Probe`."""

from __future__ import annotations

from typing import ClassVar, Literal

import pyarrow as pa
import pyarrow.compute as pc

from curate.sample import Level
from curate.stage import BYTES, CANONICAL, Map, Op, Out
from stages.common.columns import blobs, field


class Probe(Map):
    """Format, upright size in pixels, aspect (long / short side), bytes; decodes, and so verifies, the file.

    `image_alpha`: some pixel is not opaque; `image_animated`: there is more than one frame or page. There
    are no reasons of its own: an image that cannot be decoded whole never gets this far (`corrupt`,
    `truncated`, `bomb`), and bounds are `keep`'s.
    """

    stage: Literal["probe"] = "probe"
    level: ClassVar[Level] = "image"

    def reads(self) -> frozenset[str]:
        return frozenset({BYTES, CANONICAL})

    def writes(self) -> pa.Schema:
        return pa.schema(
            [
                ("image_format", pa.string()),
                ("image_width", pa.int32()),
                ("image_height", pa.int32()),
                ("image_short_side", pa.int32()),
                ("image_aspect", pa.float32()),
                ("image_n_bytes", pa.int64()),
                ("image_animated", pa.bool_()),
                ("image_alpha", pa.bool_()),
            ]
        )

    def open(self) -> Op:
        def op(table: pa.Table) -> Out:
            pixels = table[CANONICAL]
            width, height = field(pixels, "true_width"), field(pixels, "true_height")
            short = pc.min_element_wise(width, height, skip_nulls=False)
            long = pc.max_element_wise(width, height, skip_nulls=False)
            return Out(
                {
                    "image_format": field(pixels, "format"),
                    "image_width": width,
                    "image_height": height,
                    "image_short_side": short,
                    "image_aspect": pc.divide(long.cast(pa.float32()), short.cast(pa.float32())),
                    "image_n_bytes": pa.array(
                        [None if b is None else len(b) for b in blobs(table[BYTES])], pa.int64()
                    ),
                    "image_animated": field(pixels, "animated"),
                    "image_alpha": field(pixels, "alpha"),
                }
            )

        return op
