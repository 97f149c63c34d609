"""Documents in OBELICS' layout: `<shard>.parquet`, and their images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from curate.errors import RecipeError
from curate.export import hf, obelics, pictures
from curate.export.forms import AdmitForm, unseen
from curate.io.card_documents import obelics_card
from curate.io.document_write import Document, DocumentWrite
from curate.io.local_image import is_remote
from curate.io.parquet_write import GROUP_BYTES, GROUP_ROWS
from curate.io.payload import Payload
from curate.io.sink import Shard
from curate.stage import Map, Op, Out

_INDEX = [("sample_id", pa.string()), ("key", pa.string())]
_FILES = "image_files"


class AdmitUrls(AdmitForm):
    """As documents, and each image must have a URL: nothing else is written of it."""

    def reads(self) -> frozenset[str]:
        return super().reads() | {"image_url"}

    def reasons(self) -> frozenset[str]:
        return super().reasons() | {"no_url"}

    def open(self) -> Op:
        judge = super().open()

        def admit(table: pa.Table) -> Out:
            found = judge(table).drop
            assert found is not None
            urls = table["image_url"].to_pylist()
            without = [None if all(u and is_remote(u) for u in of) else "no_url" for of in urls]
            drops = [first or second for first, second in zip(found.to_pylist(), without, strict=True)]
            return Out(drop=pa.array(drops, pa.string()))

        return admit


class WriteObelics(DocumentWrite):
    """Documents as OBELICS has them: `images`, `texts`, `metadata` and `general_metadata` in Parquet.

    `images` and `texts` have one length, and just one of them is not null at each place. `images` has the
    image's URL (`image_url`), or the name of its file where it has none; `metadata` names the file in any
    case (`formatted_filename`), with `alt_text`, `original_width`, `original_height` and the other columns of
    images. The columns of the document and its texts are in `general_metadata`.

    OBELICS itself has no images, only URLs. Loaders that open files want the `folder`; those that take
    decoded images, as IDEFICS' training does, the `column`, a list with a null where a text stands.
    """

    stage: Literal["write_obelics"] = "write_obelics"
    images_in: Literal["folder", "column", "nowhere"] = Field(
        default="folder",
        description="`folder`: files `images/<shard>/<key>.img00.jpg`; `column`: `image_files`, a list of "
        "Hugging Face's Image feature; `nowhere`: URLs alone, and documents with an image that has none "
        "are dropped.",
    )

    kind: ClassVar[str] = "Interleaved documents in OBELICS' layout (Parquet)"

    def admission(self, offered: frozenset[str] = frozenset()) -> Map:
        if self.images_in == "nowhere":
            return AdmitUrls(form="documents", verify=unseen(offered))
        return super().admission(offered)

    def check_columns(self, columns: pa.Schema) -> None:
        super().check_columns(columns)
        if self.images_in == "nowhere" and "image_url" not in columns.names:
            raise RecipeError(
                "images_in", "`nowhere` leaves URLs alone, and no column `image_url` is before it"
            )

    def stored_schema(self) -> pa.Schema:
        """Columns of the files."""
        files = [(_FILES, pa.list_(hf.IMAGE))] if self.images_in == "column" else []
        return hf.with_metadata(pa.schema([*obelics.COLUMNS, *files, *_INDEX]))

    def write_shard(
        self, rows: pa.Table, payload: Payload, folder: Path, name: str, schema: pa.Schema
    ) -> Shard:
        """`<name>.parquet`, and `images/<name>/`."""
        live, fields = self.living(rows, schema)
        target = self.stored_schema()
        done = Shard(files=[f"{name}.parquet"])
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with pq.ParquetWriter(
            folder / f"{name}.parquet",
            target,
            compression="zstd",
            use_dictionary=[n for n in target.names if n != _FILES],
            write_statistics=False,
        ) as out:
            ids = iter(live.table["sample_id"].to_pylist())
            for group in _groups(self.documents(live, fields, payload, name)):
                found = []
                for document in group:
                    if self.images_in == "folder":
                        done.files += document.save(folder)
                    found.append({**self._row(document), "sample_id": next(ids), "key": document.key})
                    done.images += len(document.images)
                done.samples += len(group)
                out.write_table(pa.Table.from_pylist(found, target), row_group_size=GROUP_ROWS)
        return done

    def _row(self, document: Document) -> dict[str, Any]:
        images = [(image.name, image.columns) for image in document.images]
        row = obelics.row(document.layout, document.texts, images, document.columns)
        if self.images_in == "column":
            left = ({"bytes": image.data, "path": image.name} for image in document.images)
            row[_FILES] = [next(left) if span == "i" else None for span in document.layout]
        return row

    def card(self, facts: Mapping[str, Any]) -> str:
        choice = self.choice()
        told = pictures.facts(choice, facts)
        return obelics_card(self.kind, told, choice, self.stored_schema(), self.images_in)


def _groups(documents: Iterator[Document]) -> Iterator[list[Document]]:
    """Documents of a row group at a time."""
    group: list[Document] = []
    size = 0
    for document in documents:
        group.append(document)
        size += sum(len(image.data) for image in document.images)
        if len(group) == GROUP_ROWS or size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group
