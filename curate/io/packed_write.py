"""What the outputs that stream from packed shards share: MosaicML's MDS, Lightning's LitData.

    pairs      id  image  json  text
    documents  id  images  json  layout  texts

`id` is a name that no other sample has, `json` the other columns, `texts` the document in reading order with
a null where an image stands (the k-th null is the k-th of `images`), `layout` the same, one letter a span.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pyarrow as pa
from pydantic import Field

from curate.export import pictures, shard
from curate.export.documents import in_order, losses, others
from curate.export.forms import AdmitForm, Form, unseen
from curate.export.packed import Column, File, PackedWriter, by_folder, dumps
from curate.export.pictures import Picture
from curate.io.payload import Payload
from curate.io.picture_write import PictureWrite
from curate.io.sink import Shard
from curate.stage import Map, canonical

INDEX = "index.json"
# Keys of `json`, beside the columns.
_PAIR_KEYS = ("image_stored",)
_DOCUMENT_KEYS = ("image_stored", "dropped_images", "dropped_texts")


class PackedWrite(PictureWrite):
    """One file a shard, and in each folder an index of all shards below it."""

    ending: ClassVar[str]

    form: Form = Field(default="pairs", description="`documents` holds pairs too, as short documents.")
    # Loaders fetch whole shards: both packages' own writers stop at 64 MB.
    shard_size: Annotated[int, Field(gt=0)] = Field(default=1_000, description="Samples of a shard.")

    @abstractmethod
    def layout(self) -> list[Column]:
        """The columns, in the order of their names."""

    @abstractmethod
    def images_value(self, files: Sequence[bytes]) -> bytes:
        """The images of a document as one value."""

    @abstractmethod
    def index(self, files: Sequence[File]) -> Mapping[str, Any]:
        """What the loader reads first, for the shards of a folder."""

    def head(self) -> bytes:
        """What stands between a shard's offsets and its samples."""
        return b""

    def image_ending(self) -> str | None:
        """The extension that all images have; None where they differ."""
        endings = self.choice().endings()
        return endings[0] if endings is not None and len(endings) == 1 else None

    def admission(self, offered: frozenset[str] = frozenset()) -> Map:
        return AdmitForm(form=self.form, verify=unseen(offered))

    def write_shard(
        self, rows: pa.Table, payload: Payload, folder: Path, name: str, schema: pa.Schema
    ) -> Shard:
        """The shard, and `<name>.parquet`."""
        choice, pairs = self.choice(), self.form == "pairs"
        live = pictures.rows(choice, shard.living(rows, schema))
        fields = shard.columns_out(pictures.schema(choice, schema), _PAIR_KEYS if pairs else _DOCUMENT_KEYS)
        stored: list[str] = []
        left = _told(pictures.pictures(live, payload, choice), stored)
        samples = self._pairs if pairs else self._documents
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        file = f"{name}.{self.ending}"
        with PackedWriter(folder / file, live.table.num_rows, self.head()) as out:
            for values in samples(live, fields, left, stored):
                out.add(values)
        beside = shard.index(live, fields, scalar=pairs)
        if pairs:
            beside = beside.append_column("image_stored", pa.array(stored, pa.string()))
        shard.write_index(beside, folder / f"{name}.parquet")
        return Shard(live.table.num_rows, len(stored), [file, f"{name}.parquet"])

    def _pairs(
        self, live: shard.Rows, fields: list[pa.Field], left: Iterator[Picture], stored: list[str]
    ) -> Iterator[list[bytes]]:
        texts = shard.first_item(live.table["text_body"]).to_pylist()
        for key, text, body in zip(live.keys, texts, others(live, fields, scalar=True), strict=True):
            image = next(left).data
            told = canonical({**body, "image_stored": stored[-1]})
            yield [key.encode(), image, told.encode(), text.encode()]

    def _documents(
        self, live: shard.Rows, fields: list[pa.Field], left: Iterator[Picture], stored: list[str]
    ) -> Iterator[list[bytes]]:
        layouts, bodies = live.table["layout"].to_pylist(), live.table["text_body"].to_pylist()
        for row, body in enumerate(others(live, fields, scalar=False)):
            layout, first = layouts[row], len(stored)
            images = self.images_value([next(left).data for _ in range(layout.count("i"))])
            told = canonical({**body, **losses(live, row), "image_stored": stored[first:]})
            texts = canonical(in_order(layout, bodies[row]))
            yield [live.keys[row].encode(), images, told.encode(), layout.encode(), texts.encode()]

    def finish(self, folder: Path, shards: Sequence[Shard]) -> list[str]:
        """`index.json` of the output, and of each folder in it, so that one can be read alone."""
        files = []
        for done in shards:
            (name,) = (file for file in done.files if file.endswith(f".{self.ending}"))
            files.append(File(name, done.samples, (folder / name).stat().st_size))
        whole = []
        for below, found in by_folder(files).items() if files else [("", [])]:
            name = f"{below}/{INDEX}" if below else INDEX
            part = (folder / name).with_name(f".{INDEX}.part")
            part.write_bytes(dumps(self.index(found)))
            os.replace(part, folder / name)
            whole.append(name)
        return sorted(whole)


def _told(found: Iterator[Picture], stored: list[str]) -> Iterator[Picture]:
    """The images; `stored` is told what was done to each."""
    for picture in found:
        stored.append(picture.stored)
        yield picture
