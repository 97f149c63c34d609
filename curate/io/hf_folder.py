"""Pairs out of a folder as Hugging Face's `datasets` reads it: an imagefolder, or shards of Parquet."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import pyarrow as pa
import pyarrow.types as types
from pydantic import Field

from curate.errors import RecipeError, nearest
from curate.io.fields import Fields, clean, meta_of
from curate.io.hf_folder_metadata import (
    REASONS,
    Raw,
    fields_of,
    is_metadata,
    metadata_cuts,
    metadata_records,
)
from curate.io.local_image import REASONS as IMAGE_REASONS
from curate.io.local_image import Named, Remote, resolve, with_url
from curate.io.parquet import ReadParquet
from curate.io.parquet_file import Damaged, opened
from curate.io.payload import quote
from curate.io.source import Part, Read, build, file_piece, identity_of, part_id, sample_id
from curate.io.storage import SourceFile, Storage
from curate.sample import PAIR
from curate.stage import Names

# Of the extensions that `datasets` takes for images, those that are in use.
_IMAGES = ("apng", "avif", "bmp", "gif", "jfif", "jp2", "jpe", "jpeg", "jpg", "png", "tif", "tiff", "webp")
_ARCHIVES = ("zip", "tar", "gz", "tgz")
_UNNAMED = "images"  # hint of a part whose files are images that no metadata names


def _end(path: str) -> str:
    return posixpath.splitext(path)[1][1:].lower()


def _is_shard(path: str) -> bool:
    return _end(path) == "parquet" and not is_metadata(path)


class ReadHf(Read):
    """Image-text pairs out of a Hugging Face folder, as `datasets` reads one.

    - An imagefolder: images, and `metadata.csv`, `.jsonl` or `.parquet` with `file_name` (or `file_names`),
      relative to itself. Images under it that it does not name are samples with the reason `missing_text`.
    - Shards of Parquet with a column of the `Image` feature, which are read as `read_parquet` reads them.

    Splits are folders: `path: set/train` reads one. Cells of a CSV are texts; empty ones are missing.
    """

    shape: ClassVar[Literal["pair", "document"]] = "pair"

    stage: Literal["read_hf"] = "read_hf"
    image: str = Field(
        default="",
        description="The image's column. Left out: the only `Image` column of Parquet, `file_name` or "
        "`file_names` of metadata; `x` is `x_file_name` or `x_file_names` there.",
    )
    text: Names = Field(
        default=("text", "caption"), description="Column of the caption, the first that is there."
    )
    remote: Remote = Field(
        default="drop", description="Images that are URLs: `drop` them, or `keep` them for a `fetch` node."
    )
    fields: Fields = Fields()
    max_text_bytes: Annotated[int, Field(gt=0)] = Field(
        default=1 << 20, description="Captions beyond it are cut and dropped."
    )

    def writes(self) -> pa.Schema:
        return with_url(self.fields.schema_(), self.remote)

    def reasons(self) -> frozenset[str]:
        own = {"missing_text", "not_a_string", "not_utf8", "text_too_large", "missing_column"}
        return REASONS | IMAGE_REASONS | own

    # -- files ----------------------------------------------------------------------------------------------

    def check(self, storage: Storage, files: Sequence[SourceFile]) -> None:
        metadata = [f.path for f in files if is_metadata(f.path)]
        shards = [f.path for f in files if _is_shard(f.path)]
        for path in metadata[:1]:
            self._check_metadata(storage, path)
        for path in shards[:1]:
            try:
                self._parquet(storage, path)
            except Damaged:
                return  # a matter of that file alone, as the run will say
        if not metadata and not shards:
            raise RecipeError(f"{self.id}.path", *_nothing([f.path for f in files]))

    def _check_metadata(self, storage: Storage, path: str) -> None:
        names = fields_of(storage, path)
        if names is None:
            return
        for place, wanted in (("image", self._file_fields()), ("text", self.text)):
            if not set(wanted) & set(names):
                called = " or ".join(f"`{name}`" for name in wanted)
                raise RecipeError(f"{self.id}.{place}", f"{path} has no {called}", nearest(wanted[0], names))

    def _file_fields(self) -> tuple[str, str]:
        lead = f"{self.image}_" if self.image else ""
        return f"{lead}file_name", f"{lead}file_names"

    def _parquet(self, storage: Storage, path: str) -> ReadParquet:
        """The reader of a shard. Raises Damaged, or RecipeError where it has no such columns."""
        with storage.open(path) as file:
            schema = opened(file).schema_arrow
        given = {
            name: getattr(self, name) for name in ("id", "name", "path", "part_rows", "remote", "fields")
        }
        text = next((name for name in self.text if name in schema.names), None)
        if text is None:
            called = " or ".join(f"`{name}`" for name in self.text)
            hint = nearest(self.text[0], schema.names)
            raise RecipeError(f"{self.id}.text", f"no column {called} in {path}", hint)
        reader = ReadParquet(
            **given, image=self._column(schema, path), text=text, max_text_bytes=self.max_text_bytes
        )
        reader.check(storage, [storage.stat(path)])
        return reader

    def _column(self, schema: pa.Schema, path: str) -> str:
        found = _image_columns(schema)
        if self.image:
            return self.image
        if len(found) == 1:
            return found[0]
        if not found:
            hint = "name the column as `image`; lists of images are no pairs"
            raise RecipeError(f"{self.id}.image", f"{path} has no column of the Image feature", hint)
        hint = "say which as `image`"
        raise RecipeError(f"{self.id}.image", f"{path} has several image columns: {', '.join(found)}", hint)

    def group(self, files: Sequence[SourceFile]) -> list[list[SourceFile]]:
        """Metadata with all images below its folder, up to other metadata; each shard by itself."""
        owners = {posixpath.dirname(f.path) for f in files if is_metadata(f.path)}
        sets: dict[str | None, list[SourceFile]] = {}
        found: list[list[SourceFile]] = []
        for file in sorted(files, key=lambda f: f.path):
            if _is_shard(file.path):
                found.append([file])
            elif owners and (is_metadata(file.path) or _end(file.path) in _IMAGES):
                sets.setdefault(_owner(file.path, owners), []).append(file)
        return [*sets.values(), *found]

    def split(self, storage: Storage, files: Sequence[SourceFile]) -> list[Part]:
        """Reads metadata whole, as what it does not name is a sample, too. Of shards, the footers."""
        folder = [f for f in files if is_metadata(f.path) or _end(f.path) in _IMAGES]
        parts = self._split_folder(storage, folder)
        for file in files:
            if _is_shard(file.path):
                parts += self._split_shard(storage, file)
        return parts

    def _split_shard(self, storage: Storage, file: SourceFile) -> list[Part]:
        try:
            return self._parquet(storage, file.path).split(storage, [file])
        except Damaged:
            reason = "unreadable_file"
        except RecipeError:
            reason = "missing_column"  # of this shard: the first was looked at before the run
        return [self._part([file], 0, 1, reason)]

    def _split_folder(self, storage: Storage, files: Sequence[SourceFile]) -> list[Part]:
        parts: list[Part] = []
        named: set[str] = set()
        for file in files:
            if is_metadata(file.path):
                own = [self._part([file], *cut) for cut in metadata_cuts(storage, file, self.part_rows)]
                for part in own:
                    for raw in metadata_records(storage, file.path, part):
                        named |= _paths(posixpath.dirname(file.path), self._names(raw.record or {}))
                parts += own
        left = [f for f in files if not is_metadata(f.path) and f.path not in named]
        for start in range(0, len(left), self.part_rows):
            some = left[start : start + self.part_rows]
            parts.append(self._part(some, 0, len(some), _UNNAMED))
        return parts

    def _part(self, files: Sequence[SourceFile], start: int, stop: int, hint: str) -> Part:
        name = part_id(self.id, files[0].path, start)
        return Part(name, self.id, tuple(f.path for f in files), identity_of(files), start, stop, hint)

    # -- rows -----------------------------------------------------------------------------------------------

    def rows(self, storage: Storage, part: Part) -> pa.Table:
        path = part.files[0]
        if part.hint == _UNNAMED:
            return build([self._unnamed(storage, path) for path in part.files], self.writes())
        if _is_shard(path) and "/" in part.hint:
            return self._parquet(storage, path).rows(storage, part)
        return build(
            [self._row(storage, raw) for raw in metadata_records(storage, path, part)], self.writes()
        )

    def _unnamed(self, storage: Storage, path: str) -> dict[str, Any]:
        piece = file_piece(storage, path)
        return {
            **self._place(path, [path.encode("utf-8", "surrogateescape"), piece or b""]),
            "layout": "i",
            "image_ref": [quote(clean(path))],
            "image_drop": [None if piece is not None else f"{self.id}:missing_image"],
            "drop": f"{self.id}:missing_text",
        }

    def _place(self, source: str, members: Sequence[bytes]) -> dict[str, Any]:
        identity = sample_id(self.dataset(), "", members)
        return {"sample_id": identity, "dataset": self.dataset(), "source": clean(source), "shape": PAIR}

    def _row(self, storage: Storage, raw: Raw) -> dict[str, Any]:
        if raw.record is None:
            # nothing of it could be read: it is its place
            members = [raw.source.encode("utf-8", "surrogateescape"), raw.body]
            return {**self._place(raw.source, members), "layout": "", "drop": f"{self.id}:{raw.reason}"}
        record = raw.record
        root = posixpath.dirname(raw.source.rpartition("#")[0])
        names = self._names(record)
        for field in self._file_fields():
            record.pop(field, None)
        images = [self._named(storage, root, name) for name in names]
        field = next((name for name in self.text if record.get(name) is not None), "")
        text, reason = self._text(record.pop(field, None))
        # a record is all its fields: two that differ in their licence alone are two samples
        told = (meta_of(dict(record)) or "").encode()
        members = [*(image.piece for image in images), (text or "").encode(), told]
        row: dict[str, Any] = {
            **self._place(raw.source, members),
            "layout": "i" * len(images) + "t" * (text is not None),
            "image_ref": [image.reference for image in images],
            "image_drop": [f"{self.id}:{image.reason}" if image.reason else None for image in images],
        }
        if text is not None:
            row["text_body"] = [text]
            row["text_drop"] = [f"{self.id}:{reason}" if reason else None]
        row |= self.fields.take(record, len(images))
        if any(image.url is not None for image in images):
            told_url = row.get("image_url") or [None] * len(images)
            row["image_url"] = [image.url or url for image, url in zip(images, told_url, strict=True)]
        row["meta"] = meta_of(record)
        missing = "missing_image" if not images else "missing_text" if text is None else ""
        row["drop"] = f"{self.id}:{missing}" if missing else None
        return row

    def _names(self, record: dict[str, Any]) -> list[Any]:
        """What a record names as its images."""
        for field in self._file_fields():
            if (value := record.get(field)) not in (None, "", []):
                return value if isinstance(value, list) else [value]
        return []

    def _named(self, storage: Storage, root: str, name: Any) -> Named:
        if not isinstance(name, str) or not name:
            return Named(None, b"", "missing_image")
        return resolve(storage, root, name, self.remote)

    def _text(self, value: Any) -> tuple[str | None, str]:
        """A caption, None where there is none, and what is wrong with it."""
        if value is None:
            return None, ""
        if not isinstance(value, str):
            return str(value) if isinstance(value, int | float) else "", "not_a_string"
        raw = value.encode("utf-8", "surrogatepass")
        if len(raw) > self.max_text_bytes:
            return clean(raw[: self.max_text_bytes].decode("utf-8", "ignore")), "text_too_large"
        text = clean(value)
        return text, "" if text == value else "not_utf8"


def _owner(path: str, owners: set[str]) -> str | None:
    """The folder of the metadata that an image is under: the nearest."""
    folder = posixpath.dirname(path)
    while folder not in owners:
        if not folder:
            return None
        folder = posixpath.dirname(folder)
    return folder


def _paths(root: str, names: Sequence[Any]) -> set[str]:
    return {posixpath.normpath(posixpath.join(root, name)) for name in names if isinstance(name, str)}


def _image_columns(schema: pa.Schema) -> list[str]:
    """Columns of single images: those that `datasets` wrote down as such, else those that look like it."""
    try:
        told = json.loads((schema.metadata or {}).get(b"huggingface", b""))["info"]["features"]
        found = [name for name in schema.names if told.get(name, {}).get("_type") == "Image"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        found = []
    return found or [f.name for f in schema if _looks_like_image(f.type)]


def _looks_like_image(kind: pa.DataType) -> bool:
    if not types.is_struct(kind):
        return False
    return {kind.field(i).name for i in range(kind.num_fields)} == {"bytes", "path"}


def _nothing(paths: Sequence[str]) -> tuple[str, str]:
    """(problem, hint) for files that are no set."""
    ends = {_end(path) for path in paths}
    if "arrow" in ends:
        hint = "write Parquet with datasets.load_from_disk(FOLDER).to_parquet(FILE)"
        return "holds Arrow files, as save_to_disk writes them", hint
    if ends & set(_IMAGES):
        hint = "write one with `file_name` and `text`, or read captions beside the images with read_folder"
        return "holds images and no metadata.csv, .jsonl or .parquet", hint
    if ends & set(_ARCHIVES):
        return "holds archives", "unpack them, or read tar files with read_webdataset"
    return "holds neither metadata nor Parquet", "see `curate stages`"
