"""Lightning's LitData: `<shard>.bin`, and `index.json` in each folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import pyarrow as pa
import pyarrow.compute as pc

from curate.export import litdata, pictures
from curate.export.forms import AdmitForm, unseen
from curate.export.packed import Column, File
from curate.io.card_packed import litdata_card
from curate.io.packed_write import PackedWrite
from curate.stage import Map, Op, Out


class AdmitLitdata(AdmitForm):
    """As of the form, but for documents without an image: the loader cannot read an empty list of them."""

    def open(self) -> Op:
        judge = super().open()

        def admit(table: pa.Table) -> Out:
            bare = pc.invert(pc.match_substring(table["layout"], "i"))
            nothing = pc.if_else(bare, pa.scalar("no_image"), pa.scalar(None, pa.string()))
            return Out(drop=pc.coalesce(judge(table).drop, nothing))

        return admit


class WriteLitdata(PackedWrite):
    """LitData's chunks, for `litdata.StreamingDataset`.

    Samples of `pairs` have `id`, `image`, `json`, `text`; of `documents` `id`, `images`, `json`, `layout`,
    `texts`. `image` is loaded as an uint8 tensor (3, height, width), `images` as a list of them (`jpeg`,
    `jpeg_array`), by torchvision. Where images are not all JPEG (`original`, `resize.format`) they are
    `bytes`: the file, or of documents an uint32 number of files, an uint32 size of each, and the files. The
    rest is text, `json` and `texts` JSON. A chunk ends below 4 GiB.

    Each folder that `by` makes has an `index.json` of all chunks below it.
    """

    stage: Literal["write_litdata"] = "write_litdata"

    kind: ClassVar[str] = "LitData chunks with a Parquet index beside each"
    ending: ClassVar[str] = "bin"

    def admission(self, offered: frozenset[str] = frozenset()) -> Map:
        return AdmitLitdata(form=self.form, verify=unseen(offered))

    def layout(self) -> list[Column]:
        return litdata.columns(self.form, self.image_ending())

    def images_value(self, files: Sequence[bytes]) -> bytes:
        return litdata.images(files)

    def index(self, files: Sequence[File]) -> Mapping[str, Any]:
        samples = None if self.shard_bytes else self.shard_size
        return litdata.index(litdata.config(self.layout(), samples, self.shard_bytes), files)

    def card(self, facts: Mapping[str, Any]) -> str:
        choice = self.choice()
        return litdata_card(self.kind, pictures.facts(choice, facts), self.form, choice, self.layout())
