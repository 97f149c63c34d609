"""What outputs of documents share whose images may lie beside them as files: OBELICS' and MMC4's layouts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pyarrow as pa

from curate import sample
from curate.export import pictures, shard
from curate.export.documents import losses, others
from curate.export.forms import AdmitForm, unseen
from curate.io.payload import Payload
from curate.io.picture_write import PictureWrite
from curate.stage import Map

IMAGES = "images"  # the folder of files


class Held(NamedTuple):
    """An image of a document, with the columns that belong to it."""

    name: str  # of its file, below `images/`
    data: bytes
    columns: dict[str, Any]  # by name, `image_stored` among them


class Document(NamedTuple):
    """What is alive of a document."""

    key: str
    layout: str
    texts: list[str]
    images: list[Held]
    columns: dict[str, Any]  # of the sample and its texts, and what it has lost

    def save(self, folder: Path) -> list[str]:
        """Its images as files; their paths relative to the folder."""
        paths = [f"{IMAGES}/{image.name}" for image in self.images]
        for path, image in zip(paths, self.images, strict=True):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(image.data)
        return paths


class DocumentWrite(PictureWrite):
    """An output of documents."""

    # Names that the format, or this class, gives to something else.
    taken: ClassVar[tuple[str, ...]] = ("image_stored", "dropped_images", "dropped_texts", "layout")

    def admission(self, offered: frozenset[str] = frozenset()) -> Map:
        return AdmitForm(form="documents", verify=unseen(offered))

    def living(self, rows: pa.Table, schema: pa.Schema) -> tuple[shard.Rows, list[pa.Field]]:
        """The rows, and the columns that leave with them."""
        choice = self.choice()
        live = pictures.rows(choice, shard.living(rows, schema))
        return live, shard.columns_out(pictures.schema(choice, schema), self.taken)

    def documents(
        self, live: shard.Rows, fields: Sequence[pa.Field], payload: Payload, name: str
    ) -> Iterator[Document]:
        """The documents of a shard in order, one of them with its images in memory at a time."""
        left = pictures.pictures(live, payload, self.choice())
        lists = (live.table[c].to_pylist() for c in ("layout", "text_body", "image_index"))
        rows = zip(live.keys, others(live, fields, scalar=False), *lists, strict=True)
        for row, (key, columns, layout, texts, numbers) in enumerate(rows):
            of_images, rest = _apart(columns)
            found = []
            for k, number in enumerate(numbers):
                picture = next(left)
                # numbered as in the source, so that a hole in the numbers is a dropped image
                file = f"{name}/{key}.img{number:02d}.{picture.ending}"
                own = {column: values[k] for column, values in of_images.items()}
                found.append(Held(file, picture.data, {**own, "image_stored": picture.stored}))
            rest |= {"layout": layout, **losses(live, row)}
            yield Document(key, layout, [text or "" for text in texts], found, rest)


def _apart(columns: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Columns of images, and those of the sample and its texts."""
    images = {n: v for n, v in columns.items() if sample.level_of(n) == "image"}
    return images, {n: v for n, v in columns.items() if n not in images}
