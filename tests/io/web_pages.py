"""Pages from a line of markup, and what is extracted from them."""

from __future__ import annotations

from curate.io.html_extract import Page, TextSpan, extract


def page(body: str, head: str = "") -> Page:
    return extract(f"<!DOCTYPE html><html><head>{head}</head><body>{body}</body></html>".encode())


def shape(body: str) -> list[str]:
    """The spans as text: images as [src]."""
    spans = page(body).spans
    return [span.body if isinstance(span, TextSpan) else f"[{span.src}]" for span in spans]
