"""The Read contract: a source lists its files, cuts each into parts, and reads a part's rows.

Rows carry columns and `image_ref`s, never image bytes. A reference is text and says enough to fetch the
bytes again (`curate.io.payload`):

    pics/a.png                     a file
    00000.tar#bytes=1536+60321     offset + length within a file
    x.parquet#row=3/17/image       row group / row in it / column; a fourth number picks from a list
    page.html#data=2               the third data: URI of a page
    f/1a2b.tar#fetched=1536+60321  offset + length within a file of the run's own store
"""

from __future__ import annotations

import hashlib
import json
import re
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from curate import sample
from curate.io.storage import SourceFile, Storage
from curate.io.tar import HELD
from curate.stage import Names, Stage, fingerprint

PART_ROWS = 2048  # rows of a part at most: the unit of work, of retry and of commit


@dataclass(frozen=True)
class Part:
    """A run of consecutive rows of one source file (or of small neighbouring files).

    `start`/`stop` count samples within the file; `hint` is the reader's own (a byte offset, row groups).
    """

    id: str  # safe as a file name, the same in every run
    node: str
    files: tuple[str, ...]
    identity: str
    start: int
    stop: int
    hint: str = ""

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Part:
        fields = json.loads(text)
        return Part(**{**fields, "files": tuple(fields["files"])})


def part_id(node: str, path: str, start: int) -> str:
    """`<node>-<end of the path>-<start>-<hash of the path>`."""
    tail = re.sub(r"[^A-Za-z0-9]+", "-", path)[-32:].strip("-")
    digest = hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()
    return f"{node}-{tail}-{start:08d}-{digest[:6]}"


class Read(Stage):
    """A source. `reasons()` are those it gives itself, at birth."""

    path: Names = Field(
        description="File, glob (`**` crosses folders) or folder, which stands for all files in it whose "
        "name ends as the format's do; or a list of them."
    )
    root: str = Field(
        default="",
        description="Folder above all that the source may touch. Left out: the longest leading folder of "
        "`path`. Give it where images lie elsewhere than below that.",
    )
    name: str = Field(
        default="", description="Name of the data set, part of every sample_id. Left out: the node's id."
    )
    part_rows: Annotated[int, Field(gt=0)] = Field(
        default=PART_ROWS, description="Rows of a part at most. Changes how work is cut, never its result."
    )

    shape: ClassVar[Literal["pair", "document"]] = "pair"
    # Files that a folder stands for: what else lies there (img2dataset's statistics) is no sample.
    in_folder: ClassVar[tuple[str, ...]] = ("**/*",)
    incidental: ClassVar[frozenset[str]] = frozenset({"path", "root", "name", "part_rows"})

    def dataset(self) -> str:
        return self.name or self.id

    def writes(self) -> pa.Schema:
        """Columns beyond `curate.sample.BASE`, as stored (list types for item columns)."""
        return pa.schema([])

    def check(self, storage: Storage, files: Sequence[SourceFile]) -> None:
        """At plan time: RecipeError where the configuration cannot fit the files. Looks at one of them."""

    @abstractmethod
    def split(self, storage: Storage, files: Sequence[SourceFile]) -> list[Part]:
        """Cut files into parts; called on a worker for files whose cut is not known yet."""

    def group(self, files: Sequence[SourceFile]) -> list[list[SourceFile]]:
        """Files that are cut together. One by one, unless files are rows (pages) themselves."""
        return [[f] for f in files]

    @abstractmethod
    def rows(self, storage: Storage, part: Part) -> pa.Table:
        """The part's rows in source order: BASE and `writes()`; make them with `build`."""


def sample_id(dataset: str, key: str, members: Iterable[bytes]) -> str:
    """32 hex digits of a SHA-256 over data set name, key and the members' bytes, each with its length."""
    digest = hashlib.sha256()
    for piece in (dataset.encode(), key.encode("utf-8", "surrogateescape"), *members):
        digest.update(len(piece).to_bytes(8, "little"))
        digest.update(piece)
    return digest.hexdigest()[:32]


def file_piece(storage: Storage, path: str) -> bytes | None:
    """What stands for a file in a sample's id: its bytes, above `HELD` their SHA-256. None: no such file."""
    try:
        if storage.stat(path).size <= HELD:
            return storage.read(path)
        with storage.open(path) as file:
            return hashlib.file_digest(file, "sha256").digest()  # type: ignore[arg-type]
    except FileNotFoundError:
        return None


def identity_of(files: Sequence[SourceFile]) -> str:
    return fingerprint([[f.path, f.identity] for f in files])


def _spelled(source: str) -> str:
    """A position in text: bytes of a file name that are no UTF-8 are spelled out."""
    try:
        source.encode()
    except UnicodeEncodeError:
        return source.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return source


def build(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows given as mappings into a table of the record.

    A row names `sample_id, dataset, source, shape, layout` and what it has of `image_ref, text_body, meta,
    drop, image_drop, text_drop` and of `schema`; the rest is filled with nulls, item lists to their length.
    Drops are `<node>:<reason>` already.
    """
    full = pa.unify_schemas([sample.BASE, schema])
    columns: dict[str, list[Any]] = {}
    counts = {level: [row["layout"].count(span) for row in rows] for level, span in sample.SPAN.items()}
    for name in full.names:
        level = sample.level_of(name)
        values: list[Any] = [row.get(name) for row in rows]
        if name == "source":
            values = [_spelled(source) for source in values]
        if level != "sample":
            for i, n in enumerate(counts[level]):
                if values[i] is None:
                    values[i] = [None] * n
                elif len(values[i]) != n:
                    place = rows[i]["source"]
                    raise ValueError(f"{place}: {len(values[i])} values of {name} for {n} {level}s")
        columns[name] = values
    return pa.table({n: pa.array(columns[n], full.field(n).type) for n in full.names}, schema=full)
