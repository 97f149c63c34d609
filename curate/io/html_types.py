"""What extraction from HTML gives: spans in reading order, the page's facts, and the one error it raises."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

HtmlReason: TypeAlias = Literal["empty", "too_large", "too_many_elements", "too_deep", "not_html"]
HTML_REASONS: tuple[HtmlReason, ...] = get_args(HtmlReason)


class HtmlError(ValueError):
    """A page that can't be extracted; `reason` is one of HTML_REASONS, for counting."""

    def __init__(self, reason: HtmlReason, detail: str = "") -> None:
        # Both go to Exception, so that the error survives the pickling between Ray's workers.
        super().__init__(reason, detail)
        self.reason: HtmlReason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


def _blocks(body: str) -> list[str]:
    """Of a text without blank lines at its ends."""
    return re.split(r"\n(?:[^\S\n]*\n)+", body)


@dataclass(frozen=True, slots=True)
class TextSpan:
    """All text between two images: blocks joined by a blank line, list items and table rows by a newline."""

    body: str


@dataclass(frozen=True, slots=True)
class ImageSpan:
    """One image at its place in the text.

    `src` is the best candidate as written in the page, resolved against `<base href>` only; see `local_path`
    for finding the file. `caption` holds the figure's title and captions, one a line; they are not repeated
    in the text. `width` and `height` are what the page declares, not what the file has.
    """

    src: str
    alt: str = ""
    title: str = ""
    caption: str = ""
    width: int | None = None
    height: int | None = None
    is_data_uri: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """A page's main content in reading order, and what it says of itself.

    `licence` is None where the page says nothing or names several that differ. `robots` has the lower-case
    directives of its robots metas, sorted; `opt_out` is true where one of them, or a text-and-data-mining
    reservation, asks not to be used. `undecodable`: some bytes fit no charset and were replaced by U+FFFD.
    """

    spans: tuple[TextSpan | ImageSpan, ...]
    title: str | None
    lang: str | None
    licence: str | None
    canonical_url: str | None
    robots: tuple[str, ...]
    opt_out: bool
    charset: str
    undecodable: bool

    @property
    def images(self) -> tuple[ImageSpan, ...]:
        """The image spans, in reading order."""
        return tuple(span for span in self.spans if isinstance(span, ImageSpan))

    def in_paragraphs(self) -> Page:
        """The same with a text span for each of its blocks."""
        spans: list[TextSpan | ImageSpan] = []
        for span in self.spans:
            blocks = [span] if isinstance(span, ImageSpan) else [TextSpan(b) for b in _blocks(span.body)]
            spans.extend(blocks)
        return replace(self, spans=tuple(spans))

    @property
    def text(self) -> str:
        """The text spans, joined by a blank line."""
        return "\n\n".join(span.body for span in self.spans if isinstance(span, TextSpan))
