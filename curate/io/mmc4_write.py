"""Documents in MMC4's layout: `<shard>.jsonl` and their images, or tars with both in one."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from curate.errors import RecipeError
from curate.export import mmc4, pictures, shard
from curate.export.mmc4 import Match
from curate.io.card_documents import mmc4_card
from curate.io.document_write import Document, DocumentWrite
from curate.io.payload import Payload
from curate.io.sink import Shard
from curate.io.tar_write import Member, TarWriter
from curate.stage import canonical


class WriteMmc4(DocumentWrite):
    """Documents as MMC4 has them: `text_list`, and `image_info` with the sentence of each image.

    By default an image belongs to the text behind it, before which OpenFlamingo's and OmniCorpus's loaders
    put it, so that documents keep their order; images behind the last text get an empty one. `match: clip`
    takes the assignment of the `clip` stage instead, which is MMC4's own, and moves images to it. Where that
    stage's columns are there, records have `similarity_matrix` and `matched_sim` (raw cosines of the stage's
    model; MMC4's are of CLIP ViT-L/14). Every other column is a key of the record, or of the image's entry.

    Images lie in `images/<shard>/`, and `image_name` is their path below `images`; or, with `images_in: tar`,
    in the record itself (`image_base64`), as OpenFlamingo's training reads it from `<shard>.tar`.
    """

    stage: Literal["write_mmc4"] = "write_mmc4"
    match: Match = Field(
        default="place",
        description="`place`: an image belongs to the text behind it; `clip`: to that of the `clip` stage.",
    )
    similarity: str = Field(default="clip", description="`name` of the `clip` stage whose columns are taken.")
    images_in: Literal["folder", "tar"] = Field(
        default="folder",
        description="`folder`: `<shard>.jsonl` and `images/<shard>/<key>.img00.jpg`; `tar`: `<shard>.tar` of "
        "`<key>.json` with the files in base64.",
    )

    kind: ClassVar[str] = "Interleaved documents in MMC4's layout"
    taken: ClassVar[tuple[str, ...]] = (
        *DocumentWrite.taken,
        *("text_list", "image_info", "similarity_matrix", "image_base64"),
    )

    def check_columns(self, columns: pa.Schema) -> None:
        super().check_columns(columns)
        wanted = f"image_{self.similarity}_text"
        if self.match == "clip" and wanted not in columns.names:
            raise RecipeError("match", f"there is no column `{wanted}` before it", "put a `clip` node there")

    def write_shard(
        self, rows: pa.Table, payload: Payload, folder: Path, name: str, schema: pa.Schema
    ) -> Shard:
        """`<name>.jsonl` and `images/<name>/`, or `<name>.tar`; and `<name>.parquet`."""
        live, fields = self.living(rows, schema)
        done = Shard(samples=live.table.num_rows)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if self.images_in == "tar":
            done.files.append(f"{name}.tar")
            with TarWriter(folder / f"{name}.tar") as tar:
                tar.extend(self._members(live, fields, payload, name, done))
        else:
            done.files.append(f"{name}.jsonl")
            with (folder / f"{name}.jsonl").open("w", encoding="utf-8", newline="\n") as out:
                for document, record in self._records(live, fields, payload, name, done):
                    done.files += document.save(folder)
                    out.write(f"{canonical(record)}\n")
        done.files.append(f"{name}.parquet")
        shard.write_index(shard.index(live, fields, scalar=False), folder / f"{name}.parquet")
        return done

    def _records(
        self, live: shard.Rows, fields: list[pa.Field], payload: Payload, name: str, done: Shard
    ) -> Iterator[tuple[Document, dict[str, Any]]]:
        vectors = [self._vectors(live, level) for level in ("image", "text")]
        texts = live.table["text_index"].to_pylist()
        own = f"image_{self.similarity}_text"
        for row, document in enumerate(self.documents(live, fields, payload, name)):
            given = None
            if self.match == "clip":
                # the stage counts texts as the source did, dead ones among them
                place = {original: k for k, original in enumerate(texts[row])}
                given = [place.get(image.columns[own]) for image in document.images]
            matrix = mmc4.similarities(*(column[row].as_py() for column in vectors))
            images = [(image.name, image.columns) for image in document.images]
            done.images += len(images)
            yield (
                document,
                mmc4.record(document.layout, document.texts, images, document.columns, matrix, given),
            )

    def _vectors(self, live: shard.Rows, level: str) -> pa.Array:
        """Embeddings of each document; no one's, where there are none."""
        name = f"{level}_{self.similarity}_embedding"
        if name in live.table.column_names:
            return live.table[name]
        return pa.array([[]] * live.table.num_rows, pa.list_(pa.null()))

    def _members(
        self, live: shard.Rows, fields: list[pa.Field], payload: Payload, name: str, done: Shard
    ) -> Iterator[Member]:
        for document, record in self._records(live, fields, payload, name, done):
            for info, image in zip(record["image_info"], document.images, strict=True):
                info["image_base64"] = base64.b64encode(image.data).decode()
            yield Member(f"{document.key}.json", canonical(record).encode())

    def card(self, facts: Mapping[str, Any]) -> str:
        choice = self.choice()
        return mmc4_card(self.kind, pictures.facts(choice, facts), choice, self.images_in, self.match)
