"""The walk over a page's tree that writes its text and images in reading order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from curate.io.html_images import (
    best_src,
    declared_size,
    find_captions,
    is_data_uri,
    is_pixel,
    resolve_base,
)
from curate.io.html_rules import BLOCKS, Boilerplate, is_hidden, main_root
from curate.io.html_tree import FALLBACK_IMAGES, Node, Tree
from curate.io.html_types import ImageSpan, TextSpan

_NONE, _SPACE, _CELL, _LINE, _PARAGRAPH = range(5)
_SEPARATORS = ("", " ", " | ", "\n", "\n\n")
_INDENTS = 8  # lists nested deeper are indented no further: each level would cost every item two characters
_CELL_TEXT = 400  # mean characters a cell: more, and the table is there for the layout

# Letters of scripts that part their words with spaces: not Thai, Lao, Khmer, Burmese, nor CJK.
_LETTERS = r"[^\W\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\uffff\U00010000-\U0010ffff]"
_WORD = re.compile(rf"{_LETTERS}+")
_INVISIBLE = {**dict.fromkeys((*range(0x20), 0x7F, 0xAD, 0xFEFF, 0xFFFE, 0xFFFF)), 0x09: 0x09, 0x0A: 0x0A}


class Writer:
    """Collects spans; separators wait until there is text on both of their sides."""

    def __init__(self) -> None:
        self.spans: list[TextSpan | ImageSpan] = []
        self.written = 0  # grows with every piece of text or image: has anything come since?
        self._parts: list[str] = []
        self._pending = _NONE
        self._prefix = ""
        self._broken = False
        self._held: list[ImageSpan] = []

    def need(self, separator: int) -> None:
        """At least this separator before the next text."""
        if self._held and separator:
            self._release()
        self._pending = max(self._pending, separator)

    def line_break(self) -> None:
        """A <br>; two in a row part paragraphs."""
        self.need(_PARAGRAPH if self._broken else _LINE)
        self._broken = True

    def item(self, prefix: str) -> None:
        """A list item's mark, written with its first text."""
        self._prefix = prefix

    def text(self, text: str) -> None:
        words = text.split()
        if not words:
            if text:
                self.need(_SPACE)
            return
        if text[0].isspace():
            self.need(_SPACE)
        chunk = " ".join(words)
        if self._held:
            # Mid-word: the image waits for the word's end. A piece that is all letters may go on in the next.
            match = _WORD.match(chunk)
            if match:
                self._parts.append(match.group())
                chunk = chunk[match.end() :].lstrip()
            if chunk:
                self._release()
        if chunk:
            self._put(chunk)
        if text[-1].isspace():
            self.need(_SPACE)

    def verbatim(self, text: str) -> None:
        """Preformatted text: its white space is kept."""
        if text.strip("\n") or self._parts:
            self._put(text)

    def image(self, image: ImageSpan) -> None:
        self.written += 1
        if self._held or (not self._pending and self._parts and _WORD.match(self._parts[-1][-1:])):
            self._held.append(image)
        else:
            self._emit(image)

    def last_image(self) -> ImageSpan | None:
        """The image that nothing came after, if there is one."""
        if self._held:
            return self._held[-1]
        last = self.spans[-1] if self.spans and not self._parts else None
        return last if isinstance(last, ImageSpan) else None

    def replace_last_image(self, image: ImageSpan) -> None:
        target: list[ImageSpan] | list[TextSpan | ImageSpan] = self._held or self.spans
        target[-1] = image

    def finish(self) -> tuple[TextSpan | ImageSpan, ...]:
        self._release()
        self._close_text()
        return tuple(self.spans)

    def _put(self, chunk: str) -> None:
        if self._parts:
            if self._pending >= _LINE:  # preformatted text brings its own line ends
                self._parts[-1] = self._parts[-1].rstrip()
            self._parts.append(_SEPARATORS[self._pending])
        if self._prefix:
            self._parts.append(self._prefix)
            self._prefix = ""
        self._parts.append(chunk)
        self._pending, self._broken = _NONE, False
        self.written += 1

    def _release(self) -> None:
        held, self._held = self._held, []
        for image in held:
            self._emit(image)

    def _emit(self, image: ImageSpan) -> None:
        self._close_text()
        self.spans.append(image)

    def _close_text(self) -> None:
        body = "".join(self._parts).translate(_INVISIBLE)
        self._parts, self._pending, self._broken = [], _NONE, False
        # Only line ends: the first line of preformatted text keeps its indent.
        if body.strip():
            self.spans.append(TextSpan(body.rstrip().lstrip("\n")))


@dataclass(slots=True)
class _Frame:
    """An open element and what it means for what is in it."""

    node: Node
    children: Iterator[Node | str]
    block: int = _NONE  # the separator that a block in here has around it
    after: int = _NONE  # the separator when this element closes
    fresh: int = -1  # Writer.written when the list item or cell began: its first block needs no separator
    article: bool = False
    images_only: bool = False
    pre: bool = False
    data_table: bool = False
    lists: int = 0
    number: int = 0  # the next item's in an ordered list, 0 in others


def walk(tree: Tree, base: str | None) -> tuple[TextSpan | ImageSpan, ...]:
    """The spans of the page's main content."""
    rules, captions, out = Boilerplate(tree), find_captions(tree), Writer()
    root = main_root(tree)
    stack = [_Frame(root, iter(root.children), block=_PARAGRAPH, article=root.tag == "main")]
    while stack:
        top = stack[-1]
        child = next(top.children, None)
        if child is None:
            out.need(top.after)
            stack.pop()
        elif isinstance(child, str):
            if top.images_only:
                continue
            if top.pre:
                out.verbatim(child)
            else:
                out.text(child)
        elif child.tag == "img":
            image = _image(child, tree, base, captions.lines.get(child.index, []))
            if image is not None and not is_hidden(child):
                if top.node.tag == "noscript":
                    _noscript_image(out, image)
                else:
                    out.image(image)
        elif child.tag == "br":
            if top.pre:
                out.verbatim("\n")
            elif top.data_table:
                out.need(_SPACE)
            else:
                out.line_break()
        elif child.tag in ("html", "body"):  # pages hide them until a script has run
            stack.append(_enter(child, top, out))
        elif rules.drops(child, top.article) or (not top.article and rules.is_menu(child)):
            if child.tag in BLOCKS:
                out.need(top.block)
        else:
            frame = _enter(child, top, out)
            frame.images_only = (
                top.images_only
                or child.index in captions.consumed
                or child.tag == "noscript"
                or child.tag in FALLBACK_IMAGES
            )
            stack.append(frame)
    return out.finish()


def _noscript_image(out: Writer, image: ImageSpan) -> None:
    """What stands in <noscript> is mostly the image before it, for readers without its lazy loading."""
    last = out.last_image()
    if last is not None and last.src == image.src:
        return
    if last is not None and last.is_data_uri:
        out.replace_last_image(replace(image, caption=image.caption or last.caption))
    else:
        out.image(image)


def _image(img: Node, tree: Tree, base: str | None, caption: list[str]) -> ImageSpan | None:
    src = best_src(img, tree)
    if not src or is_pixel(img):
        return None
    attrs = img.attrs
    return ImageSpan(
        src=resolve_base(base, src),
        alt=" ".join(attrs.get("alt", "").split()),
        title=" ".join(attrs.get("title", "").split()),
        caption="\n".join(caption),
        width=declared_size(attrs.get("width")),
        height=declared_size(attrs.get("height")),
        is_data_uri=is_data_uri(src),
    )


def _enter(node: Node, top: _Frame, out: Writer) -> _Frame:
    """The frame for an element, with its separator before it written."""
    tag = node.tag
    frame = _Frame(
        node,
        iter(node.children),
        block=top.block,
        fresh=top.fresh,
        article=top.article or tag in ("main", "article"),
        pre=top.pre,
        data_table=top.data_table,
        lists=top.lists,
    )
    if tag == "hr":
        out.need(top.block)
        return frame
    if tag not in BLOCKS:
        return frame
    before = top.block
    if tag in ("ul", "ol", "menu", "dir"):
        before = _LINE if top.lists else top.block
        frame.lists += 1
        frame.number = 1 if tag == "ol" else 0
    elif tag == "li":
        before = _LINE
        indent = "  " * min(_INDENTS, max(0, top.lists - 1))
        out.need(before)
        out.item(f"{indent}{top.number}. " if top.number else f"{indent}- ")
        top.number += bool(top.number)
    elif tag == "dd":
        before = _LINE
    elif tag == "table":
        # Nested tables or long cells are layout: their blocks are the page's blocks.
        frame.data_table = node.tables <= 1 and node.cells > 1 and node.text_len <= _CELL_TEXT * node.cells
    elif tag in ("tbody", "thead", "tfoot"):
        before = _LINE if top.data_table else top.block
    elif tag == "tr" and top.data_table:
        before = _LINE
    elif tag in ("td", "th") and top.data_table:
        before = _CELL
    elif tag == "pre":
        frame.pre = True
    first = top.fresh == out.written
    if tag == "td" or tag == "th" or tag == "li" or tag == "dd":
        out.need(before)
        frame.fresh = out.written
        frame.block = _SPACE if top.data_table else _LINE if tag == "li" else top.block
    elif not first:
        out.need(before)
    # What follows a term is its definition; cells and rows are parted by the next one's own separator.
    if tag == "dt":
        frame.after = _LINE
    elif not (top.data_table and tag in ("td", "th", "tr")):
        frame.after = before
    return frame
