"""What sources of interleaved documents share: files of records, images by URL or from a folder, rows.

Records come from Parquet, JSON Lines (plain or gzip) or a JSON array (`.json`), told by the name of a file.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import pyarrow as pa
import pyarrow.types as types
from pydantic import Field

from curate.errors import RecipeError, nearest
from curate.io import json_lines, json_rows
from curate.io.fields import clean, meta_of
from curate.io.interleaved_types import Document, ImageSpan, TextSpan, name_of
from curate.io.json_lines import check_packing, parse
from curate.io.local_image import Named, Remote, is_remote, resolve
from curate.io.parquet_file import Damaged, as_python, cuts, is_bytes, is_text, opened, raw_text, slices
from curate.io.source import Part, Read, build, identity_of, part_id, sample_id
from curate.io.storage import SourceFile, Storage
from curate.sample import DOCUMENT, TEXT_ONLY, level_of
from curate.stage import canonical

URL_SHA256 = "url_sha256"

COLUMNS = pa.schema(
    [
        ("image_url", pa.list_(pa.string())),
        ("image_name", pa.list_(pa.string())),  # the file's, by `file_name`
        ("image_meta", pa.list_(pa.string())),  # what is left of an image's own fields, as JSON
        ("url", pa.string()),  # of the document
        ("language", pa.string()),
        ("licence", pa.string()),
    ]
)
REASONS = frozenset(
    {
        # files and records
        "unreadable_file",
        "missing_column",
        "bad_json",
        "line_too_large",
        "missing_field",
        "wrong_type",
        "too_many_items",
        "empty_document",
        # texts
        "not_a_string",
        "not_utf8",
        "text_too_large",
        # images
        "bad_image",
        "missing_image",
        "remote_image",
        "outside_root",
    }
)


class _Raw(NamedTuple):
    """A record as it stands in its file; None: what is there is none, for the reason."""

    source: str
    record: dict[str, Any] | None
    body: bytes  # what stands for it in an id
    reason: str = ""


class ReadInterleaved(Read):
    """Interleaved documents out of JSON Lines or Parquet."""

    shape: ClassVar[Literal["pair", "document"]] = "document"
    # Sets of fields of which a record must have one whole.
    forms: ClassVar[tuple[tuple[str, ...], ...]]

    settle: Literal["drop", "text_only"] = Field(
        default="drop", description="What becomes of a document whose last image is dropped."
    )
    image_root: str = Field(
        default="",
        description="Folder of downloaded images below the source's root (`.` is the root itself). "
        "Left out: images are the URLs that the records name.",
    )
    remote: Remote = Field(
        default="drop",
        description="Images that are URLs, or not in `image_root`: `drop` them, or `keep` them for a "
        "`fetch` node.",
    )
    language: str = Field(default="", description="Language of documents that do not declare theirs.")
    licence: str = Field(default="", description="Licence of documents that do not declare theirs.")
    max_text_bytes: Annotated[int, Field(gt=0)] = Field(
        default=1 << 20, description="Texts beyond it are cut and dropped."
    )
    max_line_bytes: Annotated[int, Field(gt=0)] = Field(
        default=json_lines.MAX_LINE_BYTES, description="Lines of JSON beyond it are dropped unread."
    )

    @abstractmethod
    def document(self, record: dict[str, Any]) -> Document:
        """The document of a record that has one of `forms`. May take the record apart."""

    def own_columns(self) -> pa.Schema:
        """Columns beyond `COLUMNS`."""
        return pa.schema([])

    def writes(self) -> pa.Schema:
        return pa.unify_schemas([COLUMNS, self.own_columns()])

    def reasons(self) -> frozenset[str]:
        return REASONS

    # -- files ----------------------------------------------------------------------------------------------

    def check(self, storage: Storage, files: Sequence[SourceFile]) -> None:
        for file in files[:1]:
            names = self._names(storage, file)
            if names is not None and not self._has_form(names):
                wanted = " or ".join(", ".join(f"`{name}`" for name in form) for form in self.forms)
                missing = next((n for n in self.forms[0] if n not in names), self.forms[0][0])
                raise RecipeError(
                    self.id, f"{file.path} has no {wanted}, or not as lists", nearest(missing, names)
                )

    def _names(self, storage: Storage, file: SourceFile) -> frozenset[str] | None:
        """The fields that the first record of a file has; None where that is for the run to say."""
        if _is_parquet(file.path):
            try:
                with storage.open(file.path) as opened_file:
                    return _fitting(opened(opened_file).schema_arrow)
            except Damaged:
                return None
        check_packing(self.id, storage, [file])
        if _is_array(file.path):
            record = json_rows.first(storage, file.path, self.max_line_bytes)
        else:
            found = json_lines.lines(storage, file.path, json_lines.FIRST, self.max_line_bytes)
            record = next((parse(line.body) for line in found if not line.problem), None)
            if isinstance(record, list):
                hint = "it is read as such where its name ends in .json"
                raise RecipeError(self.id, f"{file.path} is a JSON array", hint)
        return frozenset(record) if isinstance(record, dict) else None

    def _has_form(self, names: frozenset[str]) -> bool:
        return any(names.issuperset(form) for form in self.forms)

    def split(self, storage: Storage, files: Sequence[SourceFile]) -> list[Part]:
        """`hint` of a part: where its first row is, or the reason for the file as one row."""
        parts = []
        found: Sequence[tuple[int, int, str]]
        for file in files:
            if _is_parquet(file.path):
                found = cuts(storage, file, self.part_rows, lambda schema: self._has_form(_fitting(schema)))
            else:
                cut = json_rows.cuts if _is_array(file.path) else json_lines.cuts
                found = cut(storage, file.path, self.part_rows)
            for start, stop, hint in found:
                name = part_id(self.id, file.path, start)
                parts.append(Part(name, self.id, (file.path,), identity_of([file]), start, stop, hint))
        return parts

    def rows(self, storage: Storage, part: Part) -> pa.Table:
        (path,) = part.files
        raw = _parquet_records(storage, path, part) if _is_parquet(path) else self._lines(storage, path, part)
        return build([self._row(storage, found) for found in raw], self.writes())

    def _lines(self, storage: Storage, path: str, part: Part) -> Iterator[_Raw]:
        read = json_rows.rows if _is_array(path) else json_lines.lines
        for line in read(storage, path, part, self.max_line_bytes):
            source = f"{path}#{line.number}"
            if line.problem:
                yield _Raw(source, None, line.body, line.problem)
                continue
            record = parse(line.body)
            reason = "" if isinstance(record, dict) else "wrong_type" if record is not None else "bad_json"
            yield _Raw(source, None if reason else record, line.body, reason)

    # -- rows -----------------------------------------------------------------------------------------------

    def _row(self, storage: Storage, raw: _Raw) -> dict[str, Any]:
        document = Document(reason=raw.reason)
        if raw.record is not None:
            if self._has_form(frozenset(raw.record)):
                document = self.document(raw.record)
            else:
                document = Document(left=raw.record, reason="missing_field")
        if not document.spans:
            document.fail("empty_document")
        images = [span for span in document.spans if isinstance(span, ImageSpan)]
        texts = [span for span in document.spans if isinstance(span, TextSpan)]
        located: list[Named] = []
        members = [raw.body, *self._pieces(storage, images, located)]
        key = raw.source if raw.reason == "unreadable_file" else ""
        own = [name for name in self.own_columns().names if level_of(name) == "image"]
        row = {
            "sample_id": sample_id(self.dataset(), key, members),
            "dataset": self.dataset(),
            "source": clean(raw.source),
            "shape": DOCUMENT if self.settle == "drop" else TEXT_ONLY,
            "layout": "".join("i" if isinstance(span, ImageSpan) else "t" for span in document.spans),
            "drop": self._reason(document.reason),
            "text_body": [span.body for span in texts],
            "text_drop": [self._reason(span.reason) for span in texts],
            "image_ref": [named.reference for named in located],
            "image_drop": [self._reason(named.reason) for named in located],
            "image_url": [clean(s.url) if s.url and is_remote(s.url) else None for s in images],
            "image_name": [_name(span) for span in images],
            "image_meta": [meta_of(span.left) for span in images],
            **{name: [span.columns.get(name) for span in images] for name in own},
            **document.columns,
            "meta": meta_of(document.left),
        }
        row["language"] = row.get("language") or self.language or None
        row["licence"] = row.get("licence") or self.licence or None
        return row

    def _reason(self, reason: str) -> str | None:
        return f"{self.id}:{reason}" if reason else None

    def _pieces(self, storage: Storage, images: Sequence[ImageSpan], located: list[Named]) -> Iterator[bytes]:
        """The bytes of each local file once, for the id; says in `located` where the images are."""
        seen: dict[tuple[str | None, str | None], Named] = {}
        for image in images:
            if image.reason:
                located.append(Named(None, b"", image.reason))
                continue
            key = (image.file, image.url)
            if key not in seen:
                named = self._locate(storage, image)
                if named.reference is not None and not named.reason:
                    yield named.piece
                seen[key] = named._replace(piece=b"")  # files may be large: one at a time
            located.append(seen[key])

    def _locate(self, storage: Storage, image: ImageSpan) -> Named:
        if self.image_root and image.file is not None:
            found = resolve(storage, self.image_root, image.file)
            if found.reason != "missing_image" or self.remote == "drop" or image.url is None:
                return found
        elif image.url is None:
            return Named(None, b"", "missing_image" if image.file is not None else "bad_image")
        return resolve(storage, self.image_root, image.url, self.remote)


def file_name(entry: dict[str, Any], names: Sequence[str], url: str | None) -> str | None:
    """The name of an image's file: the first of the entry's fields that is one, else by its URL.

    `names` may end in `url_sha256`: 64 hex digits, as OmniCorpus's own loader names files.
    """
    for name in names:
        if name == URL_SHA256 and url is not None and is_remote(url):
            return hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()
        if (found := name_of(entry.get(name))) is not None and not is_remote(found):
            return found
    return None


def _name(image: ImageSpan) -> str | None:
    """What an image's file is called; of one that is named by a path, that path."""
    name = image.url if image.file is None and image.url and not is_remote(image.url) else image.file
    return None if name is None else clean(name)


def _is_parquet(path: str) -> bool:
    return path.lower().endswith(".parquet")


def _is_array(path: str) -> bool:
    """Whether a file may be one JSON array: by its name, as OmniCorpus's loader tells them."""
    return path.lower().endswith(".json")


def _list_of(kind: pa.DataType) -> pa.DataType | None:
    """What a list's items are; None: it is no list."""
    return kind.value_type if types.is_list(kind) or types.is_large_list(kind) else None


def _fitting(schema: pa.Schema) -> frozenset[str]:
    """Columns that may hold a list: one, or JSON in a string."""
    return frozenset(f.name for f in schema if _list_of(f.type) is not None or is_text(f.type))


def _parquet_records(storage: Storage, path: str, part: Part) -> Iterator[_Raw]:
    if "/" not in part.hint:
        yield _Raw(path, None, path.encode("utf-8", "surrogateescape"), part.hint)
        return
    with storage.open(path) as file:
        for piece in slices(file, part.hint, part.stop - part.start, lambda field: not is_bytes(field.type)):
            sources = [f"{path}#{piece.group}/{piece.row + i}" for i in range(piece.rows)]
            if piece.batch is None:
                yield from (_Raw(source, None, b"", "unreadable_file") for source in sources)
                continue
            columns = {
                name: _values(piece.batch.column(i)) for i, name in enumerate(piece.batch.schema.names)
            }
            for i, source in enumerate(sources):
                # a row is all its columns, in whatever order; one that is null says nothing
                record = {name: values[i] for name, values in columns.items() if values[i] is not None}
                yield _Raw(source, record, canonical(record).encode("utf-8", "surrogatepass"))


def _values(values: pa.Array) -> list[Any]:
    """A column as Python values; strings in lists have lone surrogates where they are not UTF-8."""
    inner = _list_of(values.type)
    if inner is None or not is_text(inner):
        return as_python(values)
    items = [v if v is None else v.decode("utf-8", "surrogateescape") for v in raw_text(values.flatten())]
    found: list[Any] = []
    at = 0
    for length in values.value_lengths().to_pylist():
        found.append(None if length is None else items[at : at + length])
        at += length or 0
    return found
