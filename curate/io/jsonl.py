"""Pairs out of JSON Lines (or a JSON array): an image by path or URL, and its caption."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from curate.errors import RecipeError, nearest
from curate.io import json_lines, json_rows
from curate.io.fields import Fields, clean, meta_of
from curate.io.interleaved_types import TextSpan, name_of, text_span
from curate.io.json_lines import FIRST, LINE_REASONS, MAX_LINE_BYTES, Line, check_packing, parse
from curate.io.local_image import REASONS as IMAGE_REASONS
from curate.io.local_image import Named, Remote, is_remote, resolve, with_url
from curate.io.source import Part, Read, build, identity_of, part_id, sample_id
from curate.io.storage import SourceFile, Storage
from curate.sample import PAIR

_LOOKED_AT = 40  # rows, at plan time
_MANY = 1000  # images or texts: a row with more of them is dropped as a whole


class ReadJsonl(Read):
    """Image-text pairs out of JSON Lines, plain or gzip, or (`.json`) out of a JSON array of any size.

    A row is an object. `image` is a path below the source's root, a URL, or `{path: ...}`; a list of one is
    as good as its item. A row of several images or texts is no pair, and is dropped as `several_images` or
    `several_texts` with all of them in the ledger; one with an image within the JSON (`data:`, bytes) is
    `inline_image`. Fields that are not mapped go into `meta`.

    `source` is the file and the number of the row in it, from 1: of the line, or of the array's element. The
    id is made of `key`, the image's bytes (where there are none, its name), the text and all other fields.
    """

    shape: ClassVar[Literal["pair", "document"]] = "pair"
    in_folder: ClassVar[tuple[str, ...]] = ("**/*.jsonl", "**/*.jsonl.gz", "**/*.ndjson", "**/*.json")

    stage: Literal["read_jsonl"] = "read_jsonl"
    image: str = Field(default="image", description="Field of the image's path or URL.")
    text: str = Field(default="text", description="Field of the caption.")
    key: str = Field(default="", description="Field that names a row. Left out: its content does.")
    image_root: str = Field(default="", description="Folder that paths start from, below the source's root.")
    remote: Remote = Field(
        default="drop", description="Images that are URLs: `drop` them, or `keep` them for a `fetch` node."
    )
    fields: Fields = Fields()
    max_text_bytes: Annotated[int, Field(gt=0)] = Field(
        default=1 << 20, description="Captions beyond it are cut and dropped."
    )
    max_line_bytes: Annotated[int, Field(gt=0)] = Field(
        default=MAX_LINE_BYTES, description="Rows beyond it are dropped unread."
    )

    def writes(self) -> pa.Schema:
        return with_url(self.fields.schema_(), self.remote)

    def reasons(self) -> frozenset[str]:
        own = "not_an_object missing_text several_images several_texts inline_image bad_image not_a_string"
        return frozenset({*own.split(), "not_utf8", "text_too_large", *LINE_REASONS, *IMAGE_REASONS})

    # -- files ----------------------------------------------------------------------------------------------

    def check(self, storage: Storage, files: Sequence[SourceFile]) -> None:
        """Refuses fields that no row has, and folders where no image is, by the first rows of a file."""
        if not files:
            return
        check_packing(f"{self.id}.path", storage, files)
        path = files[0].path
        if not _may_be_array(path):
            first = json_lines.lines(storage, path, FIRST, self.max_line_bytes)
            if any(isinstance(parse(line.body), list) for line in first if not line.problem):
                hint = "it is read as such where its name ends in .json"
                raise RecipeError(f"{self.id}.path", f"{path} is a JSON array", hint)
        found = json_rows.head(storage, path, _LOOKED_AT, self.max_line_bytes)
        rows = [row for row in found if isinstance(row, dict)]
        if not rows:
            return
        there = {name for row in rows for name in row}
        for place, wanted in (("image", self.image), ("text", self.text), ("key", self.key)):
            if wanted and wanted not in there:
                raise RecipeError(
                    f"{self.id}.{place}",
                    f"no field `{wanted}` in the first rows of {path}",
                    nearest(wanted, map(clean, there)),
                )
        named = [name for row in rows if (name := _path(row.get(self.image))) and not is_remote(name)]
        if len(named) >= _LOOKED_AT // 2 and all(
            resolve(storage, self.image_root, name).reason == "missing_image" for name in named
        ):
            sought = clean(posixpath.join(self.image_root, named[0]))
            raise RecipeError(
                f"{self.id}.image_root",
                f"none of the first {len(named)} images of {path} is there",
                f"looked for {sought} below the source's root: `root` is the folder above all that it may "
                "touch, `image_root` the one below it that paths start from",
            )

    def split(self, storage: Storage, files: Sequence[SourceFile]) -> list[Part]:
        parts = []
        for file in files:
            cut = json_rows.cuts if _may_be_array(file.path) else json_lines.cuts
            for start, stop, hint in cut(storage, file.path, self.part_rows):
                name = part_id(self.id, file.path, start)
                parts.append(Part(name, self.id, (file.path,), identity_of([file]), start, stop, hint))
        return parts

    def rows(self, storage: Storage, part: Part) -> pa.Table:
        (path,) = part.files
        read = json_rows.rows if _may_be_array(path) else json_lines.lines
        found = read(storage, path, part, self.max_line_bytes)
        return build([self._row(storage, path, line) for line in found], self.writes())

    # -- rows -----------------------------------------------------------------------------------------------

    def _row(self, storage: Storage, path: str, line: Line) -> dict[str, Any]:
        source = f"{path}#{line.number}"
        row = {"dataset": self.dataset(), "source": clean(source), "shape": PAIR, "layout": ""}
        value, wrong = (None, line.problem) if line.problem else json_rows.parsed(line.body)
        if isinstance(value, dict):
            return row | self._pair(storage, value)
        reason = line.problem or ("bad_json" if wrong and value is None else "not_an_object")
        # of a row that cannot be read nothing is known but its place
        key = source if reason == "unreadable_file" else ""
        return {
            **row,
            "sample_id": sample_id(self.dataset(), key, [line.body]),
            "drop": f"{self.id}:{reason}",
        }

    def _pair(self, storage: Storage, record: dict[str, Any]) -> dict[str, Any]:
        """The columns of a row that is an object."""
        key = "" if record.get(self.key) is None else str(record[self.key])
        named, spoken = _items(record.get(self.image)), _items(record.get(self.text))
        if len(named) > _MANY or len(spoken) > _MANY:
            whole = meta_of(record) or ""
            many = "several_images" if len(named) > _MANY else "several_texts"
            identity = sample_id(self.dataset(), key, [whole.encode()])
            return {"sample_id": identity, "drop": self._reason(many), "meta": whole}
        record = {name: value for name, value in record.items() if name not in (self.image, self.text)}
        images = [self._image(storage, item) for item in named]
        texts = [text_span(item, self.max_text_bytes) for item in spoken]
        pieces = [image.piece for image in images] + [text.body.encode() for text in texts]
        told = (meta_of(record) or "").encode()  # two rows that differ in their licence alone are two samples
        row: dict[str, Any] = {
            "sample_id": sample_id(self.dataset(), key, [*pieces, told]),
            "layout": "i" * len(images) + "t" * len(texts),
            "drop": self._reason(_no_pair(images, texts)),
            "image_ref": [image.reference for image in images],
            "image_drop": [self._reason(image.reason) for image in images],
            "text_body": [text.body for text in texts],
            "text_drop": [self._reason(text.reason) for text in texts],
            **self.fields.take(record, len(images)),
        }
        if any(image.url is not None for image in images):
            row["image_url"] = [image.url for image in images]
        row["meta"] = meta_of(record)
        return row

    def _image(self, storage: Storage, item: Any) -> Named:
        name = _path(item)
        if name is not None:
            return resolve(storage, self.image_root, name, self.remote)
        inline = isinstance(item, dict) and item.get("bytes")
        inline = inline or (isinstance(item, str) and item[:5].lower() == "data:")
        return Named(None, (meta_of({"": item}) or "").encode(), "inline_image" if inline else "bad_image")

    def _reason(self, reason: str) -> str | None:
        return f"{self.id}:{reason}" if reason else None


def _may_be_array(path: str) -> bool:
    """By its name: lines that begin with a bracket are lines."""
    return path.lower().endswith(".json")


def _items(value: Any) -> list[Any]:
    """What a field holds: nothing, one, or the items of a list, without those that are null."""
    values = value if isinstance(value, list) else [value]
    return [item for item in values if item is not None]


def _path(item: Any) -> str | None:
    """The path or URL of an image; None where there is none."""
    return name_of(item.get("path") if isinstance(item, dict) and not item.get("bytes") else item)


def _no_pair(images: Sequence[Named], texts: Sequence[TextSpan]) -> str:
    """Why so many images and texts are no pair; "" where they are."""
    if len(images) != 1:
        return "several_images" if images else "missing_image"
    return "" if len(texts) == 1 else "several_texts" if texts else "missing_text"
