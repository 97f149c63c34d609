"""WebDataset shards for pre-training: one tar and one Parquet index a shard.

    pairs      <key>.jpg  <key>.json  <key>.txt
    documents  <key>.img00.jpg  <key>.img02.jpg  <key>.json       (Megatron Energon's interleaved layout)

Also, where asked, what img2dataset and Megatron Energon keep beside tars: see those two in `curate.export`.

Every sample of `pairs` has the same members and every JSON the same keys and types, because `datasets`
takes both from the first five samples of an output.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import pyarrow as pa
from pydantic import Field, model_validator

from curate import sample
from curate.errors import RecipeError
from curate.export import energon, img2dataset, pictures, shard
from curate.export.forms import AdmitForm, Form, dropped, unseen
from curate.io import card
from curate.io.payload import Payload
from curate.io.picture_write import PictureWrite
from curate.io.sink import Shard
from curate.io.tar_write import Member, TarWriter
from curate.stage import Map, canonical

_PAIR_KEYS = ("image_stored", "nulls")
_DOCUMENT_KEYS = ("images", "texts", "image_stored", "dropped_images", "dropped_texts")


class WriteWebdataset(PictureWrite):
    """Tars that `webdataset`, `datasets` (pairs) and Megatron Energon read."""

    stage: Literal["write_webdataset"] = "write_webdataset"
    form: Form = Field(default="pairs", description="`documents` holds pairs too, as short documents.")
    img2dataset: bool = Field(
        default=False,
        description="Pairs also get what img2dataset writes: `url`, `caption`, `key`, `status`, `width` ... "
        "in Parquet and JSON, and `<shard>_stats.json`.",
    )
    energon: bool = Field(
        default=False,
        description="Also `.nv-meta` and `<shard>.tar.idx`, as Megatron Energon's `prepare` writes them. A "
        "column `split` in `by` makes its split parts.",
    )

    kind: ClassVar[str] = "WebDataset shards (tar) with a Parquet index beside each"

    def admission(self, offered: frozenset[str] = frozenset()) -> Map:
        return AdmitForm(form=self.form, verify=unseen(offered))

    @model_validator(mode="after")
    def _img2dataset_has_pairs(self) -> Self:
        if self.img2dataset and self.form != "pairs":
            raise ValueError("`img2dataset` knows `form: pairs` alone")
        return self

    def check_columns(self, columns: pa.Schema) -> None:
        super().check_columns(columns)
        for name in img2dataset.SCHEMA.names if self.img2dataset else ():
            if name in columns.names:
                problem = f"there is a column `{name}` before it, and img2dataset has its own of that name"
                raise RecipeError("img2dataset", problem, "name that column otherwise")

    def write_shard(
        self, rows: pa.Table, payload: Payload, folder: Path, name: str, schema: pa.Schema
    ) -> Shard:
        """`<name>.tar`, `<name>.parquet` and what else is asked for."""
        choice = self.choice()
        live = pictures.rows(choice, shard.living(rows, schema))
        schema = pictures.schema(choice, schema)
        fields = shard.columns_out(schema, _PAIR_KEYS if self.form == "pairs" else _DOCUMENT_KEYS)
        stored: list[str] = []
        told = img2dataset.Told(live) if self.img2dataset else None
        members = _told(pictures.pictures(live, payload, choice), stored, told)
        if self.form == "pairs":
            samples = _pairs(live, fields, members, stored, told)
        else:
            samples = _documents(live, fields, members, stored)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with TarWriter(folder / f"{name}.tar") as tar:
            tar.extend(samples)
        files = [f"{name}.tar", f"{name}.parquet"]
        if self.energon:
            energon.write_offsets(folder / f"{name}.tar")
            files.append(f"{name}.tar.idx")
        beside = shard.index(live, fields, scalar=self.form == "pairs")
        if self.form == "pairs":
            beside = beside.append_column("image_stored", pa.array(stored, pa.string()))
        if told is not None:
            beside = told.beside(beside)
            told.write_stats(folder / f"{name}_stats.json")
            files.append(f"{name}_stats.json")
        shard.write_index(beside, folder / f"{name}.parquet")
        return Shard(live.table.num_rows, len(stored), files)

    def finish(self, folder: Path, shards: Sequence[Shard]) -> list[str]:
        if not self.energon:
            return []
        counts = {name: s.samples for s in shards for name in s.files if name.endswith(".tar")}
        return energon.write_meta(folder, counts, self.form, self.choice().endings(), self.by)

    def card(self, facts: Mapping[str, Any]) -> str:
        choice = self.choice()
        added = img2dataset.SCHEMA if self.img2dataset else pa.schema([])
        notes = img2dataset.NOTES if self.img2dataset else ""
        notes += energon.notes(self.form, self.by) if self.energon else ""
        return card.webdataset_card(self.kind, pictures.facts(choice, facts), self.form, choice, added, notes)


def _told(
    found: Iterator[pictures.Picture], stored: list[str], told: img2dataset.Told | None
) -> Iterator[Member]:
    """Each image's extension and bytes; `stored` and `told` are told what was done to it."""
    for picture in found:
        stored.append(picture.stored)
        if told is not None:
            told.add(picture)
        yield Member(picture.ending, picture.data)


def _pairs(
    live: shard.Rows,
    fields: list[pa.Field],
    members: Iterator[Member],
    stored: list[str],
    told: img2dataset.Told | None,
) -> Iterator[Member]:
    """The members of pairs, sorted within each sample as `webdataset`'s own writer does it."""
    constants = pair_json(live, fields)
    texts = shard.first_item(live.table["text_body"]).to_pylist()
    for key, text, fixed in zip(live.keys, texts, constants, strict=True):
        ending, data = next(members)
        yield Member(f"{key}.{ending}", data)
        body = {**fixed, "image_stored": stored[-1]}
        body = body if told is None else told.body(body)
        yield Member(f"{key}.json", canonical(body).encode())
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
    live: shard.Rows, fields: list[pa.Field], members: Iterator[Member], stored: list[str]
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
                ending, data = next(members)
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
