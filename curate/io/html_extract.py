"""Interleaved documents from HTML: text and images of a page's main content, in reading order.

`extract` is a pure function from bytes to a `Page`: it opens no file and no connection, resolves no entity,
and raises nothing but `HtmlError`. How it works: `html_charset` decodes, `html_tree` parses within limits,
`html_rules` says what is navigation and other boilerplate, `html_images` picks sources and captions, and
`html_walk` writes the spans.
"""

from __future__ import annotations

import re

from curate.io.html_charset import decode
from curate.io.html_images import local_path
from curate.io.html_tree import Tree, parse, plain_text, words
from curate.io.html_types import HTML_REASONS, HtmlError, HtmlReason, ImageSpan, Page, TextSpan
from curate.io.html_walk import walk

__all__ = [
    "HTML_REASONS",
    "HtmlError",
    "HtmlReason",
    "ImageSpan",
    "Page",
    "TextSpan",
    "extract",
    "local_path",
]

MAX_BYTES = 8 << 20  # web crawls cut a page at 1 MiB; a page saved with its images inlined has a few
MAX_ELEMENTS = 100_000  # about 100 MB of nodes, 3 s; a real page has a few thousand
MAX_DEPTH = 512  # where browsers themselves stop nesting

# What files named .html turn out to be.
_OTHER_FORMATS = (
    b"%PDF-",
    b"\x89PNG",
    b"\xff\xd8\xff",
    b"GIF8",
    b"PK\x03\x04",
    b"\x1f\x8b",
    b"RIFF",
    b"\x7fELF",
)
_TAG = re.compile(r"<[a-zA-Z!?/]")
# The first element of a document that begins as XML, behind comments, doctype and processing instructions.
# Atomic: a comment could else end at every later "-->", which is exponential on hostile input.
_XML_ROOT = re.compile(
    r"(?>\s*(?><\?[^>]{0,500}>|<!--.{0,2000}?-->|<!(?!--)[^>]{0,500}>)){0,8}\s*<([\w:.-]{1,40})", re.DOTALL
)
_XML_ROOTS = words("rss feed rdf:rdf svg svg:svg urlset sitemapindex opml plist wml error")

# Directives for robots that ask not to be used.
OPT_OUT = frozenset({"noai", "noimageai", "noindex", "none"})
_ROBOT_METAS = frozenset({"robots", "googlebot", "bingbot"})
_LICENCE_METAS = (
    "dcterms.license",
    "dcterms.licence",
    "dc.rights.license",
    "dc.license",
    "license",
    "dcterms.rights",
    "dc.rights",
    "rights",
)


def extract(
    html: bytes,
    *,
    declared_charset: str | None = None,
    max_bytes: int = MAX_BYTES,
    max_elements: int = MAX_ELEMENTS,
    max_depth: int = MAX_DEPTH,
) -> Page:
    """The page's main content and facts; `declared_charset` is what a server or catalogue said.

    Raises HtmlError: "empty" (nothing but white space), "too_large", "too_many_elements", "too_deep" (the
    limits), or "not_html" (another format, or no markup). A page without any main content is no error: it has
    no spans.
    """
    if len(html) > max_bytes:
        raise HtmlError("too_large", f"{len(html)} bytes, {max_bytes} allowed")
    if not html.strip(b" \t\r\n\f\0"):
        raise HtmlError("empty")
    if html.startswith(_OTHER_FORMATS):
        raise HtmlError("not_html", "another format's signature")
    text, charset, undecodable = decode(html, declared_charset)
    root = _XML_ROOT.match(text)
    if not _TAG.search(text) or (root and root.group(1).lower() in _XML_ROOTS):
        raise HtmlError("not_html", "no HTML markup")
    tree = parse(text, max_elements=max_elements, max_depth=max_depth)
    facts = _Facts(tree)
    robots = facts.robots
    return Page(
        spans=walk(tree, facts.base),
        title=facts.title,
        lang=facts.lang,
        licence=facts.licence,
        canonical_url=facts.canonical_url,
        robots=tuple(sorted(robots)),
        opt_out=facts.tdm_reserved or not robots.isdisjoint(OPT_OUT),
        charset=charset,
        undecodable=undecodable,
    )


class _Facts:
    """What a page says of itself, in its head mostly; the licence often stands in the footer."""

    def __init__(self, tree: Tree) -> None:
        self.base: str | None = None
        self.title: str | None = None
        self.lang: str | None = None
        self.canonical_url: str | None = None
        self.robots: set[str] = set()
        self.tdm_reserved = False
        self._metas: dict[str, list[str]] = {}
        links: list[str] = []
        anchors: list[str] = []
        for node in tree.nodes:
            tag, attrs = node.tag, node.attrs
            if tag == "meta":
                self._meta(attrs)
            elif tag in ("link", "a") and "rel" in attrs and "href" in attrs:
                rel, href = attrs["rel"].lower().split(), attrs["href"].strip()
                if "license" in rel and href:
                    (links if tag == "link" else anchors).append(href)
                elif tag == "link" and "canonical" in rel and self.canonical_url is None:
                    self.canonical_url = href if href.lower().startswith(("http://", "https://")) else None
            elif tag == "base" and self.base is None:
                self.base = attrs.get("href")
            # Only the head's: an inline <svg> has a <title> too.
            elif (
                tag == "title" and self.title is None and tree.nodes[node.parent].tag in ("head", "html", "")
            ):
                self.title = plain_text(node) or None
            elif tag == "html" and self.lang is None:
                self.lang = attrs.get("lang", "").strip() or attrs.get("xml:lang", "").strip() or None
        if self.title is None:
            self.title = self._first("og:title")
        if self.lang is None:
            self.lang = self._first("content-language", "dc.language", "dcterms.language")
        # Each kind of statement speaks for the page; several that differ (a list of works) speak for none.
        named = [values for name in _LICENCE_METAS if (values := self._metas.get(name))]
        self.licence: str | None = None
        for values in (links, *named, anchors):
            if values:
                self.licence = values[0] if len(set(values)) == 1 else None
                break

    def _meta(self, attrs: dict[str, str]) -> None:
        name = (attrs.get("name") or attrs.get("property") or attrs.get("http-equiv") or "").strip().lower()
        content = " ".join(attrs.get("content", "").split())
        if not name or not content:
            return
        if name in _ROBOT_METAS:
            self.robots.update(part for part in re.split(r"[,\s]+", content.lower()) if part)
        elif name == "tdm-reservation":
            self.tdm_reserved = self.tdm_reserved or content == "1"
        else:
            self._metas.setdefault(name, []).append(content)

    def _first(self, *names: str) -> str | None:
        return next((self._metas[name][0] for name in names if name in self._metas), None)
