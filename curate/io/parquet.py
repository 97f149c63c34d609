"""Pairs out of Parquet: image bytes, Hugging Face's image struct or paths of files, and a text column."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import pyarrow as pa
import pyarrow.types as types
from pydantic import Field

from curate.errors import RecipeError, nearest
from curate.io.fields import Fields, meta_of
from curate.io.local_image import Named, Remote, resolve, with_url
from curate.io.parquet_file import (
    Damaged,
    Slice,
    as_python,
    cuts,
    is_bytes,
    is_text,
    opened,
    raw_text,
    slices,
)
from curate.io.payload import row_reference
from curate.io.source import Part, Read, build, identity_of, part_id, sample_id
from curate.io.storage import SourceFile, Storage
from curate.sample import PAIR


def _is_image(kind: pa.DataType) -> bool:
    if types.is_struct(kind):
        fields = {kind.field(i).name: kind.field(i).type for i in range(kind.num_fields)}
        return ("bytes" in fields and is_bytes(fields["bytes"])) or (
            "path" in fields and is_text(fields["path"])
        )
    return is_bytes(kind) or is_text(kind)


class _Row(NamedTuple):
    """One row as read, before it is judged. `image` and `text` are None where the file could not be read."""

    group: int
    row: int
    image: Any
    text: bytes | None
    record: dict[str, Any]
    readable: bool = True


class ReadParquet(Read):
    """Image-text pairs out of Parquet files. Columns that are neither mapped nor binary go into `meta`."""

    shape: ClassVar[Literal["pair", "document"]] = "pair"
    in_folder: ClassVar[tuple[str, ...]] = ("**/*.parquet",)

    stage: Literal["read_parquet"] = "read_parquet"
    image: str = Field(default="image", description="Column of bytes, {bytes, path}, or paths.")
    text: str = Field(default="text", description="Column of the caption.")
    key: str = Field(default="", description="Column that names a row. Left out: its content does.")
    image_root: str = Field(default="", description="Folder that paths start from, below the source's root.")
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
        return frozenset(
            {
                "unreadable_file",
                "missing_column",
                "missing_image",
                "missing_text",
                "remote_image",
                "outside_root",
                "not_utf8",
                "text_too_large",
            }
        )

    def check(self, storage: Storage, files: Sequence[SourceFile]) -> None:
        if not files:
            return
        try:
            with storage.open(files[0].path) as file:
                schema = opened(file).schema_arrow
        except Damaged:
            return  # a matter of that file alone, as the run will say
        problem = self._misfit(schema)
        if problem:
            place, text, hint = problem
            raise RecipeError(f"{self.id}.{place}", f"{text} in {files[0].path}", hint)

    def _misfit(self, schema: pa.Schema) -> tuple[str, str, str] | None:
        """(field, problem, hint) where the columns cannot be what the recipe says they are."""
        wanted: list[tuple[str, str, Callable[[pa.DataType], bool]]] = [
            ("image", self.image, _is_image),
            ("text", self.text, lambda kind: is_text(kind) or is_bytes(kind)),
        ]
        if self.key:
            wanted.append(("key", self.key, lambda kind: is_text(kind) or bool(types.is_integer(kind))))
        for place, name, fits in wanted:
            if schema.get_field_index(name) < 0:
                return place, f"no column `{name}`", nearest(name, schema.names)
            if not fits(schema.field(name).type) and not types.is_null(schema.field(name).type):
                return place, f"column `{name}` is {schema.field(name).type}", "see `curate stages`"
        usual = type(self.fields)()
        for place in sorted(type(self.fields).model_fields):
            given = getattr(self.fields, place)
            if given == getattr(usual, place):
                continue  # the common names are taken where they are; only what a recipe names must be there
            names = (given,) if isinstance(given, str) else given
            if any(names) and not set(names) & set(schema.names):
                return f"fields.{place}", f"no column `{names[0]}`", nearest(names[0], schema.names)
        return None

    def split(self, storage: Storage, files: Sequence[SourceFile]) -> list[Part]:
        """Reads footers only. `hint` of a part: `<row group>/<row in it>` of its first row, or a reason."""
        parts = []
        for source in files:
            cut = cuts(storage, source, self.part_rows, lambda schema: not self._misfit(schema))
            for start, stop, hint in cut:
                name = part_id(self.id, source.path, start)
                parts.append(Part(name, self.id, (source.path,), identity_of([source]), start, stop, hint))
        return parts

    def rows(self, storage: Storage, part: Part) -> pa.Table:
        (path,) = part.files
        if "/" not in part.hint:
            identity = sample_id(self.dataset(), path, [])
            row = {"sample_id": identity, "dataset": self.dataset(), "shape": PAIR, "source": path}
            return build([{**row, "layout": "", "drop": f"{self.id}:{part.hint}"}], self.writes())
        with storage.open(path) as file:
            found = [
                self._row(storage, path, raw)
                for piece in slices(file, part.hint, part.stop - part.start, self._wanted)
                for raw in self._raw_rows(piece)
            ]
        return build(found, self.writes())

    def _wanted(self, field: pa.Field) -> bool:
        return field.name in (self.image, self.text, self.key) or not is_bytes(field.type)

    def _raw_rows(self, piece: Slice) -> Iterator[_Row]:
        if piece.batch is None:
            for i in range(piece.rows):
                yield _Row(piece.group, piece.row + i, None, None, {}, readable=False)
            return
        batch = piece.batch
        images, texts = _image_values(batch.column(self.image)), batch.column(self.text)
        bodies = raw_text(texts) if is_text(texts.type) else texts.to_pylist()
        others = {
            name: as_python(batch.column(i))
            for i, name in enumerate(batch.schema.names)
            if name not in (self.image, self.text) and not is_bytes(batch.schema.field(i).type)
        }
        for i in range(batch.num_rows):
            record = {name: values[i] for name, values in others.items() if values[i] is not None}
            yield _Row(piece.group, piece.row + i, images[i], bodies[i], record)

    def _row(self, storage: Storage, path: str, raw: _Row) -> dict[str, Any]:
        source = f"{path}#{raw.group}/{raw.row}"
        row: dict[str, Any] = {"dataset": self.dataset(), "shape": PAIR, "source": source}
        if not raw.readable:
            identity = sample_id(self.dataset(), source, [])
            return {**row, "sample_id": identity, "layout": "", "drop": f"{self.id}:unreadable_file"}
        image = self._image(storage, path, raw)
        key = str(raw.record.get(self.key, "")) if self.key else ""
        # a row is all its columns: two that differ in their licence alone are two samples
        told = (meta_of(dict(raw.record)) or "").encode()
        row["sample_id"] = sample_id(self.dataset(), key, [image.piece, raw.text or b"", told])
        images, texts = int(raw.image is not None), int(raw.text is not None)
        row["layout"] = "i" * images + "t" * texts
        if images:
            row["image_ref"] = [image.reference]
            row["image_drop"] = [f"{self.id}:{image.reason}" if image.reason else None]
        if raw.text is not None:
            body, reason = _decoded(raw.text, self.max_text_bytes)
            row["text_body"] = [body]
            row["text_drop"] = [f"{self.id}:{reason}" if reason else None]
        row |= self.fields.take(raw.record, images)
        if image.url is not None:
            row["image_url"] = [image.url]
        row["meta"] = meta_of(raw.record)
        missing = "" if images and texts else "missing_text" if images else "missing_image"
        row["drop"] = f"{self.id}:{missing}" if missing else None
        return row

    def _image(self, storage: Storage, path: str, raw: _Row) -> Named:
        if raw.image is None:
            return Named(None, b"", "")
        if isinstance(raw.image, bytes):
            return Named(row_reference(path, raw.group, raw.row, self.image), raw.image, "")
        return resolve(storage, self.image_root, str(raw.image), self.remote)


def _image_values(values: pa.Array) -> list[Any]:
    """bytes, a path, or None for each row."""
    if is_text(values.type):
        return [v if v is None else v.decode("utf-8", "replace") for v in raw_text(values)]
    if not types.is_struct(values.type):
        return values.to_pylist()  # type: ignore[no-any-return]
    names = {values.type.field(i).name for i in range(values.type.num_fields)}
    parts = {n: _image_values(values.field(n)) for n in ("bytes", "path") if n in names}
    nothing = [None] * len(values)
    pairs = zip(parts.get("bytes", nothing), parts.get("path", nothing), strict=True)
    valid = values.is_valid().to_pylist()
    # a path beside bytes is only the name the file once had
    return [(b if b or p is None else p) if v else None for v, (b, p) in zip(valid, pairs, strict=True)]


def _decoded(raw: bytes, limit: int) -> tuple[str, str]:
    """A caption, and what is wrong with it."""
    if len(raw) > limit:
        return raw[:limit].decode("utf-8", "ignore"), "text_too_large"
    try:
        return raw.decode(), ""
    except UnicodeDecodeError:
        return raw.decode("utf-8", "replace"), "not_utf8"
