"""Pairs out of Parquet: image bytes, Hugging Face's image struct or paths of files, and a text column."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, BinaryIO, ClassVar, Literal, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as types
from pydantic import Field

from curate.errors import RecipeError, nearest
from curate.io.fields import Fields, meta_of
from curate.io.local_image import Named, Remote, resolve, with_url
from curate.io.payload import row_reference
from curate.io.source import Part, Read, build, identity_of, part_id, sample_id
from curate.io.storage import SourceFile, Storage
from curate.sample import PAIR

_BATCH = 64  # rows decoded at once: images of a whole row group may be gigabytes
_BUFFER = 1 << 20  # bytes of a column chunk read at once
_ROWS_A_BYTE = 1000  # a footer that claims more than that is damaged
# Python values that Arrow's own could not be made into: a nanosecond too many, an unknown time zone.
_INCONVERTIBLE = (pa.ArrowException, ValueError, OverflowError, LookupError)


class _Damaged(Exception):
    """The file, or one of its row groups, cannot be read."""


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if types.is_dictionary(kind) else kind
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind))


def _is_image(kind: pa.DataType) -> bool:
    if types.is_struct(kind):
        fields = {kind.field(i).name: kind.field(i).type for i in range(kind.num_fields)}
        return ("bytes" in fields and _is_bytes(fields["bytes"])) or (
            "path" in fields and _is_text(fields["path"])
        )
    return _is_bytes(kind) or _is_text(kind)


def _without_bytes(value: Any) -> Any:
    """A value with binary parts left out: what JSON can hold."""
    if isinstance(value, dict):
        return {k: _without_bytes(v) for k, v in value.items() if not isinstance(v, bytes)}
    if isinstance(value, (list, tuple)):
        return [_without_bytes(v) for v in value if not isinstance(v, bytes)]
    return value


def _python(values: pa.Array) -> list[Any]:
    """The column as Python values, null where one cannot be converted; strings made UTF-8."""
    if _is_text(values.type):
        return [v if v is None else v.decode("utf-8", "replace") for v in _raw(values)]
    if types.is_timestamp(values.type):
        values = values.cast(pa.timestamp(values.type.unit))  # UTC: no time zone data needed
    try:
        # as Arrow spells them: Python's own types depend on whether pandas is installed
        found = (values.cast(pa.string()) if types.is_temporal(values.type) else values).to_pylist()
    except _INCONVERTIBLE:
        found = [_one(v) for v in values]
    return [_without_bytes(v) for v in found] if types.is_nested(values.type) else found


def _one(value: pa.Scalar) -> Any:
    try:
        return value.as_py()
    except _INCONVERTIBLE:
        return None


def _raw(values: pa.Array) -> list[bytes | None]:
    """A text column as bytes: Parquet promises UTF-8, nobody checks it, and `as_py` would raise."""
    if types.is_dictionary(values.type):
        values = values.dictionary.cast(pa.large_binary()).take(values.indices)
    return values.cast(pa.large_binary()).to_pylist()  # type: ignore[no-any-return]


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
                schema = _opened(file).schema_arrow
        except _Damaged:
            return  # a matter of that file alone, as the run will say
        problem = self._misfit(schema)
        if problem:
            place, text, hint = problem
            raise RecipeError(f"{self.id}.{place}", f"{text} in {files[0].path}", hint)

    def _misfit(self, schema: pa.Schema) -> tuple[str, str, str] | None:
        """(field, problem, hint) where the columns cannot be what the recipe says they are."""
        wanted: list[tuple[str, str, Callable[[pa.DataType], bool]]] = [
            ("image", self.image, _is_image),
            ("text", self.text, lambda kind: _is_text(kind) or _is_bytes(kind)),
        ]
        if self.key:
            wanted.append(("key", self.key, lambda kind: _is_text(kind) or bool(types.is_integer(kind))))
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
            for start, stop, hint in self._cuts(storage, source):
                name = part_id(self.id, source.path, start)
                parts.append(Part(name, self.id, (source.path,), identity_of([source]), start, stop, hint))
        return parts

    def _cuts(self, storage: Storage, source: SourceFile) -> list[tuple[int, int, str]]:
        """(first row, last row + 1, hint): small row groups together, large ones sliced."""
        try:
            with storage.open(source.path) as file:
                opened = _opened(file)
                sizes = [opened.metadata.row_group(g).num_rows for g in range(opened.num_row_groups)]
                if self._misfit(opened.schema_arrow):
                    return [(0, 1, "missing_column")]
        except _Damaged:
            return [(0, 1, "unreadable_file")]
        if min(sizes, default=0) < 0 or sum(sizes) > max(source.size, 1) * _ROWS_A_BYTE:
            return [(0, 1, "unreadable_file")]
        cuts: list[tuple[int, int, str]] = []
        first = 0
        for group, size in enumerate(sizes):
            if cuts and first + size - cuts[-1][0] <= self.part_rows:
                cuts[-1] = (cuts[-1][0], first + size, cuts[-1][2])
            else:
                for row in range(0, size, self.part_rows):
                    stop = min(size, row + self.part_rows)
                    cuts.append((first + row, first + stop, f"{group}/{row}"))
            first += size
        return cuts

    def rows(self, storage: Storage, part: Part) -> pa.Table:
        (path,) = part.files
        if "/" not in part.hint:
            identity = sample_id(self.dataset(), path, [])
            row = {"sample_id": identity, "dataset": self.dataset(), "shape": PAIR, "source": path}
            return build([{**row, "layout": "", "drop": f"{self.id}:{part.hint}"}], self.writes())
        group, row_in_group = (int(n) for n in part.hint.split("/"))
        with storage.open(path) as file:
            read = self._read(file, group, row_in_group, part.stop - part.start)
            found = [self._row(storage, path, raw) for raw in read]
        return build(found, self.writes())

    def _read(self, file: BinaryIO, group: int, row: int, count: int) -> Iterator[_Row]:
        """`count` rows from (group, row) on. Rows of a row group that breaks come as unreadable ones."""
        opened = _opened(file)
        names = [
            f.name
            for f in opened.schema_arrow
            if f.name in (self.image, self.text, self.key) or not _is_bytes(f.type)
        ]
        while count > 0:
            size = opened.metadata.row_group(group).num_rows
            stop = min(size, row + count)
            read = 0
            try:
                for batch in _batches(opened, group, names):
                    end = min(read + batch.num_rows, stop)
                    if end > row:
                        # judged from the batch's own beginning: what is readable must not depend on the cut
                        yield from self._batch(batch, group, read, max(row, read), end)
                    read += batch.num_rows
                    if read >= stop:
                        break
            except _Damaged:
                pass
            for lost in range(max(row, read), stop):
                yield _Row(group, lost, None, None, {}, readable=False)
            count -= stop - row
            group, row = group + 1, 0

    def _batch(self, batch: pa.RecordBatch, group: int, first: int, start: int, stop: int) -> Iterator[_Row]:
        batch = batch.slice(start - first, stop - start)
        images, texts = _image_values(batch.column(self.image)), batch.column(self.text)
        raw = _raw(texts) if _is_text(texts.type) else texts.to_pylist()
        others = {
            name: _python(batch.column(i))
            for i, name in enumerate(batch.schema.names)
            if name not in (self.image, self.text) and not _is_bytes(batch.schema.field(i).type)
        }
        for i in range(batch.num_rows):
            record = {name: values[i] for name, values in others.items() if values[i] is not None}
            yield _Row(group, start + i, images[i], raw[i], record)

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


def _opened(file: BinaryIO) -> pq.ParquetFile:
    """The file with its footer read. Raises _Damaged."""
    try:
        opened = pq.ParquetFile(file, buffer_size=_BUFFER)
        opened.schema_arrow.names  # noqa: B018 - names that are not UTF-8 raise only when looked at
    except OSError as problem:
        raise _damage(problem) from problem
    except (pa.ArrowException, ValueError) as problem:
        raise _Damaged(str(problem)) from problem
    return opened


def _batches(opened: pq.ParquetFile, group: int, names: list[str]) -> Iterator[pa.RecordBatch]:
    """Batches of one row group. Raises _Damaged where its pages cannot be read."""
    try:
        yield from opened.iter_batches(_BATCH, row_groups=[group], columns=names, use_threads=False)
    except OSError as problem:
        raise _damage(problem) from problem
    except (pa.ArrowException, ValueError) as problem:
        raise _Damaged(str(problem)) from problem


def _damage(problem: OSError) -> Exception:
    """Arrow raises OSError for damaged files too, but only an error of the storage has a number."""
    return _Damaged(str(problem)) if problem.errno is None else problem


def _image_values(values: pa.Array) -> list[Any]:
    """bytes, a path, or None for each row."""
    if _is_text(values.type):
        return [v if v is None else v.decode("utf-8", "replace") for v in _raw(values)]
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
