"""Markdown files as interleaved documents: texts and images in reading order, one file a document."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Literal

from curate.io.html_charset import decode
from curate.io.html_extract import OPT_OUT, extract
from curate.io.html_pages import Found, ReadPages
from curate.io.html_types import HtmlError, Page
from curate.io.markdown_page import written

MAX_BYTES = 512 << 10  # of a file; hostile ones take up to 30 s a MiB
_MAX_HTML = 8 << 20


class ReadMarkdown(ReadPages):
    """Interleaved documents out of Markdown files and the image files they show.

    CommonMark with tables and strikethrough; HTML in it is read as `read_html` reads pages. Front matter
    (YAML or TOML) gives `title`, `language` (`lang`), `licence` (`license`), `robots` and `canonical_url`,
    the rest goes into `meta`. Without a title there, the first heading of level 1 is it. Of MDX, import and
    export statements are left out, and components are read as HTML elements.
    """

    in_folder: ClassVar[tuple[str, ...]] = ("**/*.md", "**/*.markdown", "**/*.mdx")
    max_page_bytes: ClassVar[int] = MAX_BYTES

    stage: Literal["read_markdown"] = "read_markdown"

    def reasons(self) -> frozenset[str]:
        return super().reasons() | {"bad_front_matter"}

    def find(self, path: str, raw: bytes) -> Found:
        if not raw.strip(b" \t\r\n\f\0"):
            raise HtmlError("empty")
        # a charset that a sample of HTML names is not the file's own
        text, charset, undecodable = decode(raw, "utf-8" if _is_utf8(raw) else None)
        found = written(text, module=path.lower().endswith(".mdx"), limit=_MAX_HTML)
        page = extract(found.html.encode("utf-8", "replace"), max_bytes=2 * _MAX_HTML)
        page = replace(page, charset=charset, undecodable=undecodable)
        front = dict(found.front)
        page = _told(replace(page, title=found.heading or page.title), front)
        return Found(page, {"front_matter": front}, "" if found.readable else "bad_front_matter")


def _told(page: Page, front: dict[str, Any]) -> Page:
    """The page with what its front matter says, which is taken out of it."""
    robots = {word for word in _take(front, "robots").lower().replace(",", " ").split() if word}
    canonical = _take(front, "canonical_url") if _is_url(front.get("canonical_url")) else ""
    known = robots | set(page.robots)
    return replace(
        page,
        title=_take(front, "title") or page.title,
        lang=_take(front, "language", "lang") or page.lang,
        licence=_take(front, "licence", "license") or page.licence,
        robots=tuple(sorted(known)),
        opt_out=page.opt_out or not OPT_OUT.isdisjoint(known),
        canonical_url=canonical or page.canonical_url,
    )


def _take(front: dict[str, Any], *names: str) -> str:
    """The first of the fields that is a text with anything in it; others stay where they are."""
    for name in names:
        if isinstance(value := front.get(name), str) and value.strip():
            del front[name]
            return value.strip()
    return ""


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_url(value: Any) -> bool:
    return isinstance(value, str) and value.lower().startswith(("http://", "https://"))
