"""Web pages as interleaved documents: texts and images in reading order, one page a document."""

from __future__ import annotations

import base64
import binascii
import re
from typing import ClassVar, Literal
from urllib.parse import unquote_to_bytes

from curate.io.fields import clean
from curate.io.html_extract import MAX_BYTES, HtmlError, extract
from curate.io.html_pages import Found, ReadPages

_BLANK = re.compile(rb"\s+")


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


class ReadHtml(ReadPages):
    """Interleaved documents out of HTML pages and the image files they show."""

    in_folder: ClassVar[tuple[str, ...]] = ("**/*.html", "**/*.htm", "**/*.xhtml")
    max_page_bytes: ClassVar[int] = MAX_BYTES
    inline: ClassVar[bool] = True

    stage: Literal["read_html"] = "read_html"

    def find(self, path: str, raw: bytes) -> Found:
        return Found(extract(raw))
