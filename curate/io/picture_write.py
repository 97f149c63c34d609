"""Outputs that hold images: what becomes of those where they are written."""

from __future__ import annotations

from typing import Self

import pyarrow as pa
from pydantic import Field, model_validator

from curate.export import pictures
from curate.export.pictures import Images
from curate.export.resize import Resize
from curate.io.sink import Write


class PictureWrite(Write):
    """Fields that such outputs share, and what follows from them."""

    images: Images = Field(
        default="jpeg",
        description="`jpeg`: what is not an upright RGB JPEG becomes one (quality 95, 4:4:4, alpha on "
        "white), JPEGs stay as they are. `original`: every file as it is, under its own extension. "
        "`resized`: each becomes `image_target_width` x `image_target_height` by `image_fit`, which `bucket` "
        "writes; a file that is just that already stays as it is.",
    )
    resize: Resize = Field(default=Resize(), description="Of `images: resized`.")

    def choice(self) -> pictures.Choice:
        """As `curate.export.pictures` wants it."""
        return pictures.Choice(self.images, self.resize)

    def check_columns(self, columns: pa.Schema) -> None:
        super().check_columns(columns)
        pictures.check(self.choice(), columns)

    @model_validator(mode="after")
    def _resize_is_used(self) -> Self:
        if self.images != "resized" and self.resize != Resize():
            raise ValueError("`resize` is for `images: resized`")
        return self
