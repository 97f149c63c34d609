"""Web pages as interleaved documents: texts and images in reading order, one page a document."""

from __future__ import annotations

import base64
import binascii
import hashlib
import posixpath
import re
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal
from urllib.parse import unquote_to_bytes, urljoin

import pyarrow as pa
from pydantic import Field

from curate.io.fields import clean, meta_of
from curate.io.html_extract import HTML_REASONS, MAX_BYTES, HtmlError, Page, extract, local_path
from curate.io.html_types import ImageSpan
from curate.io.payload import data_reference, quote
from curate.io.source import Part, Read, build, file_piece, identity_of, part_id, sample_id
from curate.io.storage import SourceFile, Storage
from curate.sample import DOCUMENT, TEXT_ONLY

MEAN_PAGES, MAX_PAGES = 64, 256  # of a part
_REMOTE = re.compile(r"^(?:https?:)?//", re.IGNORECASE)
_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_BLANK = re.compile(rb"\s+")
_COLUMNS = pa.schema(
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


def data_uris(html: bytes) -> list[bytes]:
    """The images that a page carries as data: URIs, in the order of its image spans.

    One that cannot be decoded is empty; a page that cannot be extracted has none.
    """
    try:
        page = extract(html)
    except HtmlError:
        return []
    return [_decoded(span.src) for span in page.images if span.is_data_uri]


def _decoded(uri: str) -> bytes:
    """The bytes of `data:[<type>][;base64],<data>`; empty where they cannot be had."""
    head, _, data = clean(uri)[len("data:") :].partition(",")
    body = unquote_to_bytes(data)
    if not head.lower().rstrip().endswith(";base64"):
        return body
    body = _BLANK.sub(b"", body)
    try:
        return base64.b64decode(body + b"=" * (-len(body) % 4))  # browsers do without the padding too
    except binascii.Error:
        return b""


def _starts_part(path: str) -> bool:
    return (
        int.from_bytes(hashlib.sha256(path.encode("utf-8", "surrogateescape")).digest()[:4]) % MEAN_PAGES == 0
    )


class ReadHtml(Read):
    """Interleaved documents out of HTML pages and the image files they show."""

    shape: ClassVar[Literal["pair", "document"]] = "document"
    in_folder: ClassVar[tuple[str, ...]] = ("**/*.html", "**/*.htm", "**/*.xhtml")

    stage: Literal["read_html"] = "read_html"
    settle: Literal["drop", "text_only"] = Field(
        default="drop", description="What becomes of a page whose last image is dropped."
    )
    language: str = Field(default="", description="Language of pages that do not declare theirs (`de`).")

    def writes(self) -> pa.Schema:
        return _COLUMNS

    def reasons(self) -> frozenset[str]:
        own = {"missing_image", "remote_image", "outside_root", "undecodable", "empty_page", "no_content"}
        return frozenset(own | set(HTML_REASONS) - {"empty"})

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
        if storage.stat(path).size > MAX_BYTES:
            row["sample_id"] = sample_id(self.dataset(), path, [file_piece(storage, path) or b""])
            return {**row, "drop": f"{self.id}:too_large"}
        html = storage.read(path)
        try:
            page = extract(html)
        except HtmlError as problem:
            reason = "empty_page" if problem.reason == "empty" else problem.reason
            row["sample_id"] = sample_id(self.dataset(), path, [html])
            return {**row, "drop": f"{self.id}:{reason}"}
        images = [_image(path, page, span) for span in page.images]
        # each file once, however often the page shows it; one at a time, as they may be large
        there: dict[str, bool] = {}
        pieces = _pieces(storage, html, [local for local, _, _ in images if local], there)
        row["sample_id"] = sample_id(self.dataset(), path, pieces)
        ordinals = iter(range(len(images)))
        row["image_ref"], row["image_drop"] = [], []
        for span, (local, _, problem_) in zip(page.images, images, strict=True):
            reference = None if local is None else quote(local)
            if span.is_data_uri:
                reference = data_reference(path, next(ordinals))
            elif local is not None and not there[local]:
                problem_ = "missing_image"
            row["image_ref"].append(reference)
            row["image_drop"].append(f"{self.id}:{problem_}" if problem_ else None)
        row["image_url"] = [None if url is None else clean(url) for _, url, _ in images]
        row["image_alt"] = [clean(span.alt) for span in page.images]
        row["image_caption"] = [clean(span.caption) for span in page.images]
        row["text_body"] = [clean(s.body) for s in page.spans if not isinstance(s, ImageSpan)]
        if page.undecodable:
            row["text_drop"] = [f"{self.id}:undecodable"] * len(row["text_body"])
        row["layout"] = "".join("i" if isinstance(s, ImageSpan) else "t" for s in page.spans)
        for column, value in (
            ("title", page.title),
            ("language", page.lang or self.language or None),
            ("licence", page.licence),
        ):
            row[column] = None if value is None else clean(value)
        row["opt_out"] = page.opt_out
        left = {"canonical_url": page.canonical_url, "robots": list(page.robots), "charset": page.charset}
        row["meta"] = meta_of({k: v for k, v in left.items() if v})
        row["drop"] = None if page.spans else f"{self.id}:no_content"
        return row


def _pieces(storage: Storage, html: bytes, paths: Sequence[str], there: dict[str, bool]) -> Iterator[bytes]:
    """What stands for a page in its id; says in `there` which of its local files exist."""
    yield html
    for path in paths:
        if path not in there:
            piece = file_piece(storage, path)
            there[path] = piece is not None
            if piece is not None:
                yield piece


def _image(path: str, page: Page, span: ImageSpan) -> tuple[str | None, str | None, str]:
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
