"""Web pages out of WARC files, as crawlers and Common Crawl keep them: one HTML response a document."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, BinaryIO, ClassVar, Literal
from urllib.parse import urljoin, urlsplit

import pyarrow as pa
from pydantic import Field

from curate.errors import RecipeError
from curate.io.fields import clean
from curate.io.html_extract import MAX_BYTES, OPT_OUT, extract
from curate.io.html_pages import COLUMNS, PAGE_REASONS, Shown, Texts, page_columns, page_reason
from curate.io.html_types import HtmlError, ImageSpan, Page
from curate.io.json_lines import check_packing
from curate.io.local_image import Remote
from curate.io.source import Part, Read, build, identity_of, part_id, sample_id
from curate.io.storage import SourceFile, Storage
from curate.io.warc_file import BEGINNING, Place, records
from curate.io.warc_http import Response, page_response, plain_body
from curate.sample import DOCUMENT, TEXT_ONLY

_LOOKED_AT = 50  # records, to tell a file that holds no pages at all
_MAX_URL = 2048  # of a page; a longer one would be copied into every image's address
_CHUNK = 64 << 10


class ReadWarc(Read):
    """Interleaved documents out of WARC files, plain or gzip: one document for each HTML response.

    Requests, metadata, revisits and responses that are no HTML (images, style sheets) are no samples. A
    response that is HTML but cannot be used is one, with a reason. Images are the URLs that a page shows,
    absolute by the address it was fetched from; those that a WARC file holds itself are not looked up.

    A file in which every record is a gzip member of its own, as the standard advises, is cut into parts by
    their offsets; of one packed as a whole, each part unpacks what lies before it.
    """

    shape: ClassVar[Literal["pair", "document"]] = "document"
    in_folder: ClassVar[tuple[str, ...]] = ("**/*.warc", "**/*.warc.gz")

    stage: Literal["read_warc"] = "read_warc"
    settle: Literal["drop", "text_only"] = Field(
        default="drop", description="What becomes of a page whose last image is dropped."
    )
    language: str = Field(default="", description="Language of pages that do not declare theirs (`de`).")
    remote: Remote = Field(
        default="drop", description="The images: `drop` them, or `keep` them for a `fetch` node."
    )
    cut: Literal["drop", "keep"] = Field(
        default="drop", description="What becomes of pages that the crawler cut off (WARC-Truncated)."
    )
    texts: Texts = "joined"

    def writes(self) -> pa.Schema:
        return COLUMNS.append(pa.field("url", pa.string()))  # that the page was fetched from

    def reasons(self) -> frozenset[str]:
        own = {"unreadable_record", "bad_http", "http_status", "unknown_encoding", "bad_encoding"}
        own |= {"remote_image"} if self.remote == "drop" else set()
        own |= {"cut_page"} if self.cut == "drop" else set()
        return PAGE_REASONS | own | {"inline_image", "bad_url"}

    def check(self, storage: Storage, files: Sequence[SourceFile]) -> None:
        check_packing(self.id, storage, files)
        for file in files[:1]:
            with storage.open(file.path) as opened:
                found = (record.headers.get("warc-type", "") for record in records(opened, BEGINNING))
                kinds = {kind.lower() for _, kind in zip(range(_LOOKED_AT), found, strict=False)}
            if kinds and kinds <= {"warcinfo", "conversion"} and "conversion" in kinds:
                hint = "WET files hold texts without their pages: read the WARC files they were made from"
                raise RecipeError(self.id, f"{file.path} has no responses", hint)

    def split(self, storage: Storage, files: Sequence[SourceFile]) -> list[Part]:
        """Reads the whole file. `hint` of a part: the place of its first record."""
        parts = []
        for file in files:
            with storage.open(file.path) as opened:
                places = [str(response.record.place) for response in _responses(opened, BEGINNING)]
            for start in range(0, len(places), self.part_rows):
                stop = min(len(places), start + self.part_rows)
                name, print_ = part_id(self.id, file.path, start), identity_of([file])
                parts.append(Part(name, self.id, (file.path,), print_, start, stop, places[start]))
        return parts

    def rows(self, storage: Storage, part: Part) -> pa.Table:
        (path,) = part.files
        with storage.open(path) as opened:
            found = _responses(opened, Place.parse(part.hint))
            wanted = range(part.stop - part.start)
            rows = [self._row(path, response) for _, response in zip(wanted, found, strict=False)]
        return build(rows, self.writes())

    def _row(self, path: str, response: Response) -> dict[str, Any]:
        place, told = response.record.place, response.record.headers
        source = f"{path}@{place}"
        raw, piece = _body(response)
        reason = response.reason or self._refusal(response)
        row: dict[str, Any] = {
            # where nothing could be read, a record is its place
            "sample_id": sample_id(self.dataset(), response.url if piece else source, [piece]),
            "dataset": self.dataset(),
            "source": clean(source),
            "shape": DOCUMENT if self.settle == "drop" else TEXT_ONLY,
            "layout": "",
            "url": clean(response.url) or None,
        }
        if not reason and raw is None:
            reason = "too_large"
        if not reason and raw is not None:
            raw, reason = plain_body(raw, response.headers, MAX_BYTES)
        page = None
        if not reason and raw is not None:
            try:
                page = extract(raw, declared_charset=response.charset)
            except HtmlError as problem:
                reason = page_reason(problem)
        if page is None:
            return {**row, "drop": f"{self.id}:{reason}"}
        page = _told(page.in_paragraphs() if self.texts == "paragraphs" else page, response)
        kept = {"date": "warc-date", "record": "warc-record-id", "cut": "warc-truncated"}
        left = {name: told.get(field) for name, field in kept.items()}
        shown = [self._image(response.url, span) for span in page.images]
        return row | page_columns(self.id, page, shown, self.language, left)

    def _refusal(self, response: Response) -> str:
        """Why a response is no page to be used, by what is said of it."""
        if response.record.damaged:
            return "unreadable_record"
        if response.status not in (None, 200):
            return "http_status"
        if "warc-truncated" in response.record.headers and self.cut == "drop":
            return "cut_page"
        return ""

    def _image(self, page_url: str, span: ImageSpan) -> Shown:
        if span.is_data_uri:
            return Shown(None, None, "inline_image")
        src = clean(span.src)
        try:
            url = urljoin(page_url, src) if len(page_url) <= _MAX_URL else src
            there = urlsplit(url)
        except ValueError:  # `http://[`: a malformed host
            return Shown(None, src, "bad_url")
        if there.scheme not in ("http", "https") or not there.netloc:
            return Shown(None, url, "bad_url")
        return Shown(None, url, "" if self.remote == "keep" else "remote_image")


def _responses(file: BinaryIO, start: Place) -> Iterator[Response]:
    """What is a row: responses that may be pages, and records that cannot be read, from a place on."""
    last = None
    for record in records(file, start):
        if record.headers:
            response = page_response(record)
        elif record.place == last:
            continue  # the damage of a response, which has said so itself
        else:
            response = Response(record, {}, b"", None, "unreadable_record")
        if response is not None:
            last = record.place
            yield response


def _body(response: Response) -> tuple[bytes | None, bytes]:
    """The body as it was sent, None beyond the limit; and what stands for it in an id."""
    record, found = response.record, [response.begin]
    size = len(response.begin)
    while size <= MAX_BYTES and (more := record.read(_CHUNK)):
        found.append(more)
        size += len(more)
    raw = b"".join(found)
    if size <= MAX_BYTES:
        record.finish()
        return raw, raw
    digest = hashlib.sha256(raw)
    while more := record.read(_CHUNK):
        digest.update(more)
    record.finish()
    return None, digest.digest()


def _told(page: Page, response: Response) -> Page:
    """The page with what the server said of its use."""
    robots = response.robots | set(page.robots)
    reserved = response.headers.get("tdm-reservation") == "1"
    objects = page.opt_out or reserved or not OPT_OUT.isdisjoint(robots)
    return replace(page, robots=tuple(sorted(robots)), opt_out=objects)
