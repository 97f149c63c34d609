"""Parquet shards with the images in them, as `datasets` reads them: decoded, without a loading script.

The way to documents for `datasets`, whose WebDataset reader wants the same members in every sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from curate import sample
from curate.export import hf, pictures, shard
from curate.export.forms import AdmitForm, Form, dropped, unseen
from curate.export.pictures import Choice, Images
from curate.io import card
from curate.io.payload import Payload
from curate.io.picture_write import PictureWrite
from curate.io.sink import Shard
from curate.stage import Map

GROUP_ROWS = 100  # readers decode and shuffle by row group
GROUP_BYTES = 64 << 20  # far below 2 GiB, where `binary` ends
_DROPPED = pa.list_(pa.struct([("index", pa.int32()), ("reason", pa.string())]))
_PAIR = [("sample_id", pa.string()), ("image", hf.IMAGE), ("text", pa.string())]
_DOCUMENT = [
    ("sample_id", pa.string()),
    ("layout", pa.string()),
    ("images", pa.list_(hf.IMAGE)),
    ("texts", pa.list_(pa.string())),
    ("dropped_images", _DROPPED),
    ("dropped_texts", _DROPPED),
]


class _Image(NamedTuple):
    image: dict[str, Any]  # as `hf.IMAGE`
    stored: str


def stored_schema(schema: pa.Schema, form: Form, choice: Choice) -> pa.Schema:
    """Columns of the files, for the plan's columns."""
    own = _PAIR if form == "pairs" else _DOCUMENT
    if choice.images != "original":
        own = [*own, ("image_stored", pa.string() if form == "pairs" else pa.list_(pa.string()))]
    schema = pictures.schema(choice, schema)
    fields = shard.columns_out(schema, {name for name, _ in own})
    if form == "pairs":
        fields = [
            f if sample.level_of(f.name) == "sample" else f.with_type(f.type.value_type) for f in fields
        ]
    return hf.with_metadata(pa.schema([*own, *fields]))


class WriteParquet(PictureWrite):
    """Parquet with images as Hugging Face's Image feature, original bytes where nothing else is asked for."""

    stage: Literal["write_parquet"] = "write_parquet"
    form: Form = Field(
        default="pairs",
        description="`pairs`: image, text. `documents`: images, and texts with a null where an image stands.",
    )
    images: Images = Field(
        default="original",
        description="`original`: the source's bytes. `jpeg`, `resized`: as in `write_webdataset`.",
    )

    kind: ClassVar[str] = "Parquet shards with the images inside (Hugging Face `datasets`)"

    def admission(self, offered: frozenset[str] = frozenset()) -> Map:
        return AdmitForm(form=self.form, verify=unseen(offered))

    def write_shard(
        self, rows: pa.Table, payload: Payload, folder: Path, name: str, schema: pa.Schema
    ) -> Shard:
        """`<name>.parquet`."""
        choice = self.choice()
        live = pictures.rows(choice, shard.living(rows, schema))
        target = stored_schema(schema, self.form, choice)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        done = Shard(files=[f"{name}.parquet"])
        with pq.ParquetWriter(
            folder / f"{name}.parquet",
            target,
            compression="zstd",
            use_dictionary=[n for n in target.names if n not in ("image", "images")],
            write_statistics=False,
        ) as out:
            start = 0
            for group in self._groups(live, payload):
                stop = start + len(group)
                out.write_table(self._table(live, start, stop, group, target), row_group_size=GROUP_ROWS)
                done.images += sum(len(found) for found in group)
                start = stop
        done.samples = start
        return done

    def _groups(self, live: shard.Rows, payload: Payload) -> Iterator[list[list[_Image]]]:
        """The images of each row, a row group at a time."""
        left = pictures.pictures(live, payload, self.choice())
        group: list[list[_Image]] = []
        size = 0
        for key, numbers in zip(live.keys, live.table["image_index"].to_pylist(), strict=True):
            found = []
            for number in numbers:
                ending, data, stored = next(left)
                path = f"{key}.{ending}" if self.form == "pairs" else f"{key}.img{number:02d}.{ending}"
                found.append(_Image({"bytes": data, "path": path}, stored))
                size += len(data)
            group.append(found)
            if len(group) == GROUP_ROWS or size >= GROUP_BYTES:
                yield group
                group, size = [], 0
        if group:
            yield group

    def _table(
        self, live: shard.Rows, start: int, stop: int, images: list[list[_Image]], target: pa.Schema
    ) -> pa.Table:
        rows = live.table.slice(start, stop - start)
        columns: dict[str, Any] = {}
        if self.form == "pairs":
            columns = {
                "image": [found[0].image for found in images],
                "image_stored": [found[0].stored for found in images],
                "text": shard.first_item(rows["text_body"]),
            }
        else:
            columns = {
                "images": [[one.image for one in found] for found in images],
                "image_stored": [[one.stored for one in found] for found in images],
                "texts": [_texts(*row) for row in _spans(rows)],
                "dropped_images": [dropped(reasons) for reasons in live.image_drop[start:stop]],
                "dropped_texts": [dropped(reasons) for reasons in live.text_drop[start:stop]],
            }
        arrays = []
        for field in target:
            if field.name in columns:
                found = columns[field.name]
                arrays.append(pa.array(found, field.type) if isinstance(found, list) else found)
            elif self.form == "pairs" and sample.level_of(field.name) != "sample":
                arrays.append(shard.first_item(rows[field.name]))
            else:
                arrays.append(sample.single(rows[field.name]))
        return pa.table(arrays, schema=target)

    def card(self, facts: Mapping[str, Any]) -> str:
        schema, choice = facts.get("schema"), self.choice()
        stored = None if schema is None else stored_schema(schema, self.form, choice)
        return card.parquet_card(self.kind, pictures.facts(choice, facts), self.form, stored, choice)


def _spans(rows: pa.Table) -> Iterator[tuple[str, list[str | None]]]:
    return zip(rows["layout"].to_pylist(), rows["text_body"].to_pylist(), strict=True)


def _texts(layout: str, texts: list[str | None]) -> list[str | None]:
    """Texts in reading order, null where an image stands: the k-th null is the k-th image."""
    left = iter(texts)
    return [None if span == "i" else next(left) or "" for span in layout]
