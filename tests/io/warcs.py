"""WARC files for tests, written by warcio."""

from __future__ import annotations

import gzip
import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

WORDS = "A sentence about the picture that stands beside it, long enough to be content. " * 3


class Rec(NamedTuple):
    """A record to be written: a response unless `kind` says otherwise."""

    body: bytes
    url: str = "http://site.org/docs/p.html"
    http: Mapping[str, str] | None = None  # the headers; None: `text/html`
    status: str = "200 OK"
    kind: str = "response"
    headers: Mapping[str, str] = {}  # of the record
    content_type: str | None = None


def page(*items: str, head: str = "") -> bytes:
    body = "".join(f"<p>{item if item.startswith('<img') else f'{item} {WORDS}'}</p>" for item in items)
    return f"<!doctype html><html><head>{head}</head><body><main>{body}</main></body></html>".encode()


def warc(records: Sequence[Rec], packing: str = "records") -> bytes:
    """A file of `records`, each a gzip member (`records`), one for all (`whole`), or `plain`."""
    out = io.BytesIO()
    writer = WARCWriter(out, gzip=packing == "records")
    info = Rec(b"software: test", "", kind="warcinfo", content_type="application/warc-fields")
    for number, record in enumerate([info, *records]):
        options: dict[str, Any] = {}
        if record.kind in ("response", "revisit"):
            http = {"Content-Type": "text/html"} if record.http is None else record.http
            options["http_headers"] = StatusAndHeaders(record.status, list(http.items()), protocol="HTTP/1.1")
        fixed = {
            "WARC-Record-ID": f"<urn:uuid:00000000-0000-0000-0000-{number:012d}>",
            "WARC-Date": "2024-01-02T03:04:05Z",
            **record.headers,
        }
        made = writer.create_warc_record(
            record.url,
            record.kind,
            payload=io.BytesIO(record.body),
            warc_content_type=record.content_type or "",
            warc_headers_dict=fixed,
            **options,
        )
        writer.write_record(made)
    return gzip.compress(out.getvalue(), mtime=0) if packing == "whole" else out.getvalue()
