"""See `Sha256`."""

from __future__ import annotations

import hashlib
from typing import ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from curate.sample import Level
from curate.stage import BYTES, CANONICAL, Map, Op, Out
from stages.common.columns import blobs, field, frames
from stages.common.pixel_digest import pixel_digest


class Sha256(Map):
    """SHA-256 of the file and of its pixels, in hexadecimal: keys to find exact copies by.

    `image_pixel_sha256` is taken over the canonical decode (upright, sRGB, reduced as the recipe's `decode`
    says) and the true size. Two files with the same pixels in different lossless containers (PNG, WebP) or
    with different metadata share it; two encodings that lose differently do not: that is near-duplicate work.
    """

    stage: Literal["sha256"] = "sha256"
    level: ClassVar[Level] = "image"

    pixels: bool = Field(default=True, description="Also hash the pixels, which takes a decode.")

    def reads(self) -> frozenset[str]:
        return frozenset({BYTES, CANONICAL}) if self.pixels else frozenset({BYTES})

    def writes(self) -> pa.Schema:
        names = ["image_sha256", "image_pixel_sha256"] if self.pixels else ["image_sha256"]
        return pa.schema([(name, pa.string()) for name in names])

    def open(self) -> Op:
        def op(table: pa.Table) -> Out:
            files = [None if b is None else hashlib.sha256(b).hexdigest() for b in blobs(table[BYTES])]
            columns = {"image_sha256": pa.array(files, pa.string())}
            if self.pixels:
                column = table[CANONICAL]
                sizes = zip(
                    field(column, "true_height").to_pylist(),
                    field(column, "true_width").to_pylist(),
                    strict=True,
                )
                found = [
                    None if frame is None else pixel_digest(frame, *size)
                    for frame, size in zip(frames(column), sizes, strict=True)
                ]
                columns["image_pixel_sha256"] = pa.array(found, pa.string())
            return Out(columns)

        return op
