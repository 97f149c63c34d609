"""HTML bytes into a light tree of our own, in one pass and within limits.

lxml's parser drives a target that builds the nodes, instead of building libxml2's tree first. Measured on
libxml2 2.14: its tree takes 155 s for one tag with 200,000 attributes (each is appended behind a walk over
all before it) and silently cuts a page off below 256 levels; the target interface is linear in both, and lets
a limit stop the parse where it is passed. Nodes know their parent by number only, so that a page is freed by
reference counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from lxml import etree

from curate.io.html_types import HtmlError


def words(text: str) -> frozenset[str]:
    """A set of names, written as one would say them."""
    return frozenset(text.split())


# Elements whose text is never shown as such.
UNREAD = words(
    "script style template head iframe frame frameset object embed applet audio video canvas svg map"
    " input select option textarea button datalist meter progress dialog noembed noframes rp rt"
)
# Of these, the ones that may still have an image meant for readers: <object> falls back to one.
FALLBACK_IMAGES = frozenset({"object"})


@dataclass(slots=True)
class Node:
    """An element. The counts are over its whole subtree; `end` is the number of the next node outside it."""

    index: int
    parent: int
    depth: int
    tag: str
    attrs: dict[str, str]
    children: list[Node | str] = field(default_factory=list)
    end: int = 0
    text_len: int = 0
    link_len: int = 0
    links: int = 0
    images: int = 0
    tables: int = 0
    cells: int = 0

    @property
    def classes(self) -> list[str]:
        """Class and id tokens, lower case."""
        return f"{self.attrs.get('class', '')} {self.attrs.get('id', '')}".lower().split()


@dataclass(slots=True)
class Tree:
    """All nodes in document order; the first is a root above whatever the page starts with."""

    nodes: list[Node]
    images: list[int]  # the numbers of the <img> nodes, ascending

    @property
    def root(self) -> Node:
        return self.nodes[0]


class _Builder:
    """The parser's target."""

    def __init__(self, max_elements: int, max_depth: int) -> None:
        self.max_elements = max_elements
        self.max_depth = max_depth
        root = Node(0, -1, 0, "", {})
        self.tree = Tree([root], [])
        self.open = [root]
        self.text_len = self.link_len = self.links = self.tables = self.cells = 0
        self.unread = self.in_link = 0

    def start(self, tag: str, attrs: Any) -> None:
        nodes, parent = self.tree.nodes, self.open[-1]
        if len(nodes) > self.max_elements:
            raise HtmlError("too_many_elements", f"more than {self.max_elements} elements")
        if len(self.open) > self.max_depth:
            raise HtmlError("too_deep", f"elements nested more than {self.max_depth} deep")
        tag = tag.lower()
        node = Node(len(nodes), parent.index, len(self.open), tag, dict(attrs))
        # Totals so far; end() turns them into the subtree's own.
        node.text_len, node.link_len, node.links = self.text_len, self.link_len, self.links
        node.images, node.tables, node.cells = len(self.tree.images), self.tables, self.cells
        nodes.append(node)
        parent.children.append(node)
        self.open.append(node)
        if tag == "img":
            self.tree.images.append(node.index)
        elif tag == "a":
            self.links += 1
            self.in_link += 1
        elif tag == "table":
            self.tables += 1
        elif tag in ("td", "th"):
            self.cells += 1
        elif tag in UNREAD:
            self.unread += 1

    def end(self, tag: str) -> None:
        if len(self.open) > 1:
            self._leave(self.open.pop())

    def _leave(self, node: Node) -> None:
        node.end = len(self.tree.nodes)
        node.text_len = self.text_len - node.text_len
        node.link_len = self.link_len - node.link_len
        node.links = self.links - node.links
        node.images = len(self.tree.images) - node.images
        node.tables = self.tables - node.tables
        node.cells = self.cells - node.cells
        if node.tag == "a":
            self.in_link -= 1
        elif node.tag in UNREAD:
            self.unread -= 1

    def data(self, text: str) -> None:
        # In the pieces that the parser gives: it cuts at every entity, and joining here would be quadratic.
        self.open[-1].children.append(text)
        if not self.unread:
            size = len(text.strip())
            self.text_len += size
            if self.in_link:
                self.link_len += size

    def close(self) -> Tree:
        while self.open:
            self._leave(self.open.pop())
        return self.tree


def parse(text: str, *, max_elements: int, max_depth: int) -> Tree:
    """The tree of `text`; raises HtmlError where it passes a limit or has nothing that looks like markup."""
    parser = etree.HTMLParser(
        target=_Builder(max_elements, max_depth),
        encoding="utf-8",  # always what we decoded and encoded again: the page's own claim is not asked
        huge_tree=True,  # else text nodes over 10 MB and depths over 256 are cut off silently
        no_network=True,
        remove_comments=True,
        remove_pis=True,
    )
    # Null bytes would end libxml2's strings early; lone surrogates (from UTF-16) have no UTF-8.
    raw = text.replace("\0", "").encode("utf-8", errors="replace")
    try:
        tree = etree.fromstring(raw, parser)
    except etree.LxmlError as error:
        raise HtmlError("not_html", "the parser found no document") from error
    if not isinstance(tree, Tree):
        raise HtmlError("not_html", "the parser found no document")
    return tree


_SPACES = re.compile(r"\s+")


def plain_text(node: Node) -> str:
    """The subtree's text on one line, for titles and captions."""
    parts: list[str] = []
    stack: list[Node | str] = [node]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            parts.append(item)
        elif item.tag not in UNREAD:
            if item.tag in ("p", "div", "br", "li", "td"):
                parts.append(" ")
            stack.extend(reversed(item.children))
    return _SPACES.sub(" ", "".join(parts)).strip()
