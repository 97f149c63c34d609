"""What sources of pages share: pages as rows of the record, and files of which each is a page."""

from __future__ import annotations

import hashlib
import posixpath
import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, TypeAlias
from urllib.parse import urljoin

import pyarrow as pa
from pydantic import Field

from curate.io.fields import clean, meta_of
from curate.io.html_images import local_path
from curate.io.html_types import HTML_REASONS, HtmlError, ImageSpan, Page
from curate.io.local_image import Remote
from curate.io.payload import data_reference, quote
from curate.io.source import Part, Read, build, file_piece, identity_of, part_id, sample_id
from curate.io.storage import SourceFile, Storage
from curate.sample import DOCUMENT, TEXT_ONLY

COLUMNS = pa.schema(
    [
        ("image_url", pa.list_(pa.string())),  # absolute where the page says what its own address is
        ("image_alt", pa.list_(pa.string())),
        ("image_caption", pa.list_(pa.string())),
        ("language", pa.string()),
        ("title", pa.string()),
        ("licence", pa.string()),
        ("opt_out", pa.bool_()),
    ]
)
# Why a page has no rows of texts and images, or its texts cannot be used.
PAGE_REASONS = frozenset({"undecodable", "empty_page", "no_content", *HTML_REASONS} - {"empty"})

# What one entry of `text_body` is.
Texts: TypeAlias = Annotated[
    Literal["joined", "paragraphs"],
    Field(
        description="`joined`: all text between two images is one; `paragraphs`: each block is one, and can "
        "be dropped alone."
    ),
]

MEAN_PAGES, MAX_PAGES = 64, 256  # of a part
_REMOTE = re.compile(r"^(?:https?:)?//", re.IGNORECASE)
_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*:", re.IGNORECASE)


class Shown(NamedTuple):
    """An image of a page as a row carries it."""

    reference: str | None
    url: str | None
    reason: str  # or "": alive


class Found(NamedTuple):
    """A page out of its file, and what else the file says: `left` goes to meta, `reason` drops it."""

    page: Page
    left: Mapping[str, Any] = {}
    reason: str = ""


def page_columns(
    node: str, page: Page, images: Sequence[Shown], language: str, left: Mapping[str, Any]
) -> dict[str, Any]:
    """All of a page's row but its identity and place. `images`: one for each image of the page."""
    reasons = [f"{node}:{image.reason}" if image.reason else None for image in images]
    row: dict[str, Any] = {
        "layout": "".join("i" if isinstance(s, ImageSpan) else "t" for s in page.spans),
        "image_ref": [image.reference for image in images],
        "image_drop": reasons,
        "image_url": [None if image.url is None else clean(image.url) for image in images],
        "image_alt": [clean(span.alt) for span in page.images],
        "image_caption": [clean(span.caption) for span in page.images],
        "text_body": [clean(s.body) for s in page.spans if not isinstance(s, ImageSpan)],
        "opt_out": page.opt_out,
        "drop": None if page.spans else f"{node}:no_content",
    }
    if page.undecodable:
        row["text_drop"] = [f"{node}:undecodable"] * len(row["text_body"])
    facts = {"title": page.title, "language": page.lang or language or None, "licence": page.licence}
    row |= {column: None if value is None else clean(value) for column, value in facts.items()}
    said = {"canonical_url": page.canonical_url, "robots": list(page.robots), "charset": page.charset, **left}
    row["meta"] = meta_of({k: v for k, v in said.items() if v})
    return row


def page_reason(problem: HtmlError) -> str:
    """An extraction's problem as a reason."""
    return "empty_page" if problem.reason == "empty" else problem.reason


def _starts_part(path: str) -> bool:
    return (
        int.from_bytes(hashlib.sha256(path.encode("utf-8", "surrogateescape")).digest()[:4]) % MEAN_PAGES == 0
    )


class ReadPages(Read):
    """Interleaved documents out of files of which each is a page, and of the image files they show."""

    shape: ClassVar[Literal["pair", "document"]] = "document"
    # Files beyond it are not read.
    max_page_bytes: ClassVar[int]
    # Whether `payload` finds images that a page carries as data: URIs.
    inline: ClassVar[bool] = False

    settle: Literal["drop", "text_only"] = Field(
        default="drop", description="What becomes of a page whose last image is dropped."
    )
    language: str = Field(default="", description="Language of pages that do not declare theirs (`de`).")
    remote: Remote = Field(
        default="drop",
        description="Images that are URLs: `drop` them, or `keep` those with an address of their own for a "
        "`fetch` node.",
    )
    texts: Texts = "joined"

    @abstractmethod
    def find(self, path: str, raw: bytes) -> Found:
        """The page in a file. Raises HtmlError where there is none."""

    def writes(self) -> pa.Schema:
        return COLUMNS

    def reasons(self) -> frozenset[str]:
        found = PAGE_REASONS | {"missing_image", "remote_image", "outside_root"}
        return found if self.inline else found | {"inline_image"}

    def group(self, files: Sequence[SourceFile]) -> list[list[SourceFile]]:
        """Pages of one folder, cut where a hash of the path says so: a new page changes one part only."""
        folders: dict[str, list[SourceFile]] = {}
        for file in files:
            folders.setdefault(posixpath.dirname(file.path), []).append(file)
        largest = min(MAX_PAGES, self.part_rows)
        found: list[list[SourceFile]] = []
        for pages in folders.values():
            found.append([])
            for page in sorted(pages, key=lambda f: f.path):
                if found[-1] and (_starts_part(page.path) or len(found[-1]) == largest):
                    found.append([])
                found[-1].append(page)
        return found

    def split(self, storage: Storage, files: Sequence[SourceFile]) -> list[Part]:
        return [
            Part(
                part_id(self.id, pages[0].path, 0),
                self.id,
                tuple(page.path for page in pages),
                identity_of(pages),
                0,
                len(pages),
            )
            for pages in self.group(files)
        ]

    def rows(self, storage: Storage, part: Part) -> pa.Table:
        return build([self._row(storage, path) for path in part.files], self.writes())

    def _row(self, storage: Storage, path: str) -> dict[str, Any]:
        row: dict[str, Any] = {
            "dataset": self.dataset(),
            "source": path,
            "shape": DOCUMENT if self.settle == "drop" else TEXT_ONLY,
            "layout": "",
        }
        if storage.stat(path).size > self.max_page_bytes:
            row["sample_id"] = sample_id(self.dataset(), path, [file_piece(storage, path) or b""])
            return {**row, "drop": f"{self.id}:too_large"}
        raw = storage.read(path)
        try:
            found = self.find(path, raw)
        except HtmlError as problem:
            row["sample_id"] = sample_id(self.dataset(), path, [raw])
            return {**row, "drop": f"{self.id}:{page_reason(problem)}"}
        page = found.page.in_paragraphs() if self.texts == "paragraphs" else found.page
        images = [_located(path, page, span) for span in page.images]
        # each file once, however often the page shows it; one at a time, as they may be large
        there: dict[str, bool] = {}
        pieces = _pieces(storage, raw, [local for local, _, _ in images if local], there)
        row["sample_id"] = sample_id(self.dataset(), path, pieces)
        shown: list[Shown] = []
        ordinal = 0
        for span, (local, url, reason) in zip(page.images, images, strict=True):
            reference = None if local is None else quote(local)
            if span.is_data_uri and self.inline:
                reference, ordinal = data_reference(path, ordinal), ordinal + 1
            elif span.is_data_uri:
                reason = "inline_image"
            elif local is not None and not there[local]:
                reason = "missing_image"
            elif reason == "remote_image" and self.remote == "keep":
                reason = ""
            shown.append(Shown(reference, url, reason))
        row |= page_columns(self.id, page, shown, self.language, found.left)
        if found.reason and row["drop"] is None:
            row["drop"] = f"{self.id}:{found.reason}"
        return row


def _pieces(storage: Storage, raw: bytes, paths: Sequence[str], there: dict[str, bool]) -> Iterator[bytes]:
    """What stands for a page in its id; says in `there` which of its local files exist."""
    yield raw
    for path in paths:
        if path not in there:
            piece = file_piece(storage, path)
            there[path] = piece is not None
            if piece is not None:
                yield piece


def _located(path: str, page: Page, span: ImageSpan) -> tuple[str | None, str | None, str]:
    """(path of the local file, URL, reason or '') of an image of the page at `path`."""
    if span.is_data_uri:
        return None, None, ""
    src = clean(span.src)
    try:
        url = urljoin(page.canonical_url, src) if page.canonical_url else src
    except ValueError:  # `http://[`: a malformed host
        url = src
    if _REMOTE.match(src):
        return None, "https:" + src if src.startswith("//") and url == src else url, "remote_image"
    local = local_path(path, src)
    if local is not None:
        return local, url, ""
    # `/img/a.png` means the site's root, which only the page's own address can tell
    if src.startswith("/") and _REMOTE.match(url):
        return None, url, "remote_image"
    return None, None if _SCHEME.match(src) else url, "outside_root"
