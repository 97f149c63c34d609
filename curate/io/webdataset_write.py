"""WebDataset shards for pre-training: one tar and one Parquet index a shard.

    pairs      <key>.jpg  <key>.json  <key>.txt
    documents  <key>.img00.jpg  <key>.img02.jpg  <key>.json       (Megatron Energon's interleaved layout)

Every sample of `pairs` has the same members and every JSON the same keys and types, because `datasets`
takes both from the first five samples of an output.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from curate import sample
from curate.export import shard
from curate.export.forms import AdmitForm, Form, dropped, unseen
from curate.export.jpeg import Undecodable, extension, training_jpeg
from curate.io import card
from curate.io.payload import Payload
from curate.io.sink import Shard, Write
from curate.io.tar_write import Member, TarWriter
from curate.stage import Map, canonical

_PAIR_KEYS = ("image_stored", "nulls")
_DOCUMENT_KEYS = ("images", "texts", "image_stored", "dropped_images", "dropped_texts")


class WriteWebdataset(Write):
    """Tars that `webdataset`, `datasets` (pairs) and Megatron Energon read."""

    stage: Literal["write_webdataset"] = "write_webdataset"
    form: Form = Field(default="pairs", description="`documents` holds pairs too, as short documents.")
    images: Literal["jpeg", "original"] = Field(
        default="jpeg",
        description="`jpeg`: what is not an upright RGB JPEG becomes one (quality 95, 4:4:4, alpha on "
        "white), JPEGs stay as they are. `original`: every file as it is, under its own extension.",
    )

    kind: ClassVar[str] = "WebDataset shards (tar) with a Parquet index beside each"

    def admission(self, offered: frozenset[str] = frozenset()) -> Map:
        return AdmitForm(form=self.form, verify=unseen(offered))

    def write_shard(
        self, rows: pa.Table, payload: Payload, folder: Path, name: str, schema: pa.Schema
    ) -> Shard:
        """`<name>.tar` and `<name>.parquet`."""
        live = shard.living(rows, schema)
        fields = shard.columns_out(schema, _PAIR_KEYS if self.form == "pairs" else _DOCUMENT_KEYS)
        stored: list[str] = []
        pictures = self._pictures(live, payload, stored)
        samples = _pairs if self.form == "pairs" else _documents
        with TarWriter(folder / f"{name}.tar") as tar:
            tar.extend(samples(live, fields, pictures, stored))
        beside = shard.index(live, fields, scalar=self.form == "pairs")
        if self.form == "pairs":
            beside = beside.append_column("image_stored", pa.array(stored, pa.string()))
        shard.write_index(beside, folder / f"{name}.parquet")
        return Shard(live.table.num_rows, len(stored), [f"{name}.tar", f"{name}.parquet"])

    def _pictures(self, live: shard.Rows, payload: Payload, stored: list[str]) -> Iterator[Member]:
        """Each image's extension and bytes, in order; `stored` is told whether they are the original."""
        table = live.table
        declared = [None] * len(sample.flat(table["image_ref"]))
        if "image_format" in table.column_names:
            declared = sample.flat(table["image_format"]).to_pylist()
        of_image = [
            key for key, found in zip(live.keys, table["image_ref"].to_pylist(), strict=True) for _ in found
        ]
        for data, key, format in zip(shard.images(table, payload), of_image, declared, strict=True):
            try:
                if self.images == "original":
                    stored.append("original")
                    yield Member(extension(data, format), data)
                else:
                    jpeg = training_jpeg(data)
                    stored.append("original" if jpeg is data else "jpeg")
                    yield Member("jpg", jpeg)
            except Undecodable as error:
                raise shard.broken_image(key, error) from error

    def card(self, facts: Mapping[str, Any]) -> str:
        return card.webdataset_card(self.kind, facts, self.form, self.images)


def _pairs(
    live: shard.Rows, fields: list[pa.Field], pictures: Iterator[Member], stored: list[str]
) -> Iterator[Member]:
    """The members of pairs, sorted within each sample as `webdataset`'s own writer does it."""
    constants = pair_json(live, fields)
    texts = shard.first_item(live.table["text_body"]).to_pylist()
    for key, text, fixed in zip(live.keys, texts, constants, strict=True):
        ending, data = next(pictures)
        yield Member(f"{key}.{ending}", data)
        yield Member(f"{key}.json", canonical({**fixed, "image_stored": stored[-1]}).encode())
        yield Member(f"{key}.txt", text.encode())


def pair_json(live: shard.Rows, fields: list[pa.Field]) -> Iterator[dict[str, Any]]:
    """For each pair its JSON object: the same keys and types in every one of them."""
    ids = live.table["sample_id"].to_pylist()
    names: list[str] = ["sample_id"]
    columns: list[list[Any]] = [ids]
    nulls: list[list[str]] = [[] for _ in ids]
    for field in fields:
        item = sample.level_of(field.name) != "sample"
        type = field.type.value_type if item else field.type
        if shard.in_json(type):
            column = live.table[field.name]
            found, missing = shard.constants(shard.first_item(column) if item else column, type)
            names.append(field.name)
            columns.append(found)
            for row in missing:
                nulls[row].append(field.name)
    for values, told in zip(zip(*columns, strict=True), nulls, strict=True):
        yield {**dict(zip(names, values, strict=True)), "nulls": ",".join(told)}


def _documents(
    live: shard.Rows, fields: list[pa.Field], pictures: Iterator[Member], stored: list[str]
) -> Iterator[Member]:
    """The members of documents: images in reading order, then the JSON that names them."""
    table = live.table
    shown = [f for f in fields if shard.in_json(f.type)]
    columns = [(f.name, f.type, table[f.name].to_pylist()) for f in shown]
    layouts, bodies = table["layout"].to_pylist(), table["text_body"].to_pylist()
    indices, ids = table["image_index"].to_pylist(), table["sample_id"].to_pylist()
    for row, key in enumerate(live.keys):
        first = len(stored)
        numbers, texts = iter(indices[row]), iter(bodies[row])
        spans: list[tuple[str | None, str | None]] = []
        for span in layouts[row]:
            if span == "i":
                ending, data = next(pictures)
                # numbered as in the source, so that a hole in the numbers is a dropped image
                part = f"img{next(numbers):02d}.{ending}"
                yield Member(f"{key}.{part}", data)
                spans.append((part, None))
            else:
                spans.append((None, next(texts) or ""))
        body: dict[str, Any] = {name: shard.plain(values[row], type) for name, type, values in columns}
        body |= {
            "sample_id": ids[row],
            "layout": layouts[row],
            "images": [image for image, _ in spans],
            "texts": [text for _, text in spans],
            "image_stored": stored[first:],
            "dropped_images": dropped(live.image_drop[row]),
            "dropped_texts": dropped(live.text_drop[row]),
        }
        yield Member(f"{key}.json", canonical(body).encode())
