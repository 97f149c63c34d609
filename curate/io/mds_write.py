"""MosaicML's MDS: `<shard>.mds`, and `index.json` in each folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from curate.export import mds, pictures
from curate.export.packed import Column, File
from curate.io.card_packed import mds_card
from curate.io.packed_write import PackedWrite


class WriteMds(PackedWrite):
    """MosaicML Streaming's shards (MDS), for `streaming.StreamingDataset`.

    Columns of `pairs`: `id` (str), `image` (jpeg; png with `resize.format: png`; else bytes), `json` (json),
    `text` (str); of `documents`: `id`, `images` (list[jpeg], list[png]), `json`, `layout` (str), `texts`
    (json). Images are loaded as `PIL.Image`, `bytes` are the file. A shard ends below 4 GiB.

    Each folder that `by` makes has an `index.json` of all shards below it: `by: [split, image_bucket]` gives
    what `StreamingDataset(local=OUT, split="train")` and `split="train/448x448"` read.
    """

    stage: Literal["write_mds"] = "write_mds"

    kind: ClassVar[str] = "MosaicML Streaming shards (MDS) with a Parquet index beside each"
    ending: ClassVar[str] = "mds"

    def layout(self) -> list[Column]:
        return mds.columns(self.form, self.image_ending())

    def head(self) -> bytes:
        return mds.head(self.layout())

    def images_value(self, files: Sequence[bytes]) -> bytes:
        return mds.images(files)

    def index(self, files: Sequence[File]) -> Mapping[str, Any]:
        return mds.index(self.layout(), files)

    def card(self, facts: Mapping[str, Any]) -> str:
        choice = self.choice()
        return mds_card(self.kind, pictures.facts(choice, facts), self.form, choice, self.layout())
