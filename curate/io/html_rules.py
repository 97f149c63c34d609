"""Which parts of a page are not its content: structure, ARIA roles, class and id hints, link density.

The rules follow what OBELICS used for its 141 million pages (structural tags and hints over a learned
classifier), because they keep images: trafilatura, which scores text, loses half of a manual's.
"""

from __future__ import annotations

import re

from curate.io.html_tree import FALLBACK_IMAGES, UNREAD, Node, Tree, words

BLOCKS = words(
    "address article aside blockquote body center dd details dialog dir div dl dt fieldset figcaption figure"
    " footer form h1 h2 h3 h4 h5 h6 header hgroup hr html legend li main menu nav ol optgroup p pre section"
    " summary table tbody tfoot thead tr ul caption td th listing xmp plaintext"
)
# Where class hints and link density are asked: a <span class="menu"> names a thing, it isn't one.
_BOXES = words("div section ul ol dl table aside header footer form nav p center menu")

_DROPPED_TAGS = (UNREAD - FALLBACK_IMAGES) | {"nav", "menu"}
_DROPPED_ROLES = words(
    "navigation banner contentinfo complementary search menu menubar toolbar dialog alertdialog tablist"
)
# Any element with one of these: not shown, or a handle and not text.
_DROPPED_CLASSES = words(
    "sr-only visually-hidden visuallyhidden screen-reader-text screen-reader-only mw-editsection headerlink"
    " mw-jump-link skip-link noprint"
)
_WORDS = (
    "nav|navbar|navigation|navheader|navfooter|menu|menubar|submenu|breadcrumbs?|sidebar|footer|masthead|cookies?"
    "|consent|gdpr|comments?|commentlist|respond|disqus|share|sharing|social|sharedaddy|related|recommended"
    "|recommendations|adverts?|advertisement|ads|adsense|sponsored|promo|newsletter|subscribe|popup|modal"
    "|pagination|pager|paging|toolbar|toc|skip|login|signup|signin|searchform|searchbox|tagcloud|widget|colophon"
    "|navbox|catlinks|printfooter"
)
# As a whole token, or a part of one between - and _ ...
_HINT = re.compile(rf"(?:^|[-_])(?:{_WORDS})(?:$|[-_])")
_EXACT = re.compile(rf"(?:{_WORDS})")
# ... but not where the token describes the page around it ("has-sidebar") or its text ("comment-content").
_NOT_HINT = re.compile(
    r"^(?:has|no|with|without|is|js|not)[-_]|[-_](?:open|closed|enabled|none)$|^(?:main|page|post|entry|article)$"
)
_ASIDE_CONTENT = re.compile(r"note|warning|tip|caution|important|admonition|callout|footnote|pullquote|info")
_HEADER_CONTENT = re.compile(r"entry|post|article|title|content")
_HIDDEN_STYLE = re.compile(r"(?:display\s*:\s*none|visibility\s*:\s*hidden)", re.IGNORECASE)

_SHARE = 0.5  # a box with more of the page's text than this isn't dropped on a hint...
_EXACT_SHARE = 0.9  # ... nor, where the hint is the token itself, with more than this (stub pages)
_DENSITY = 0.75  # of a box's text in links: more makes it a menu
_MENU_PROSE = 200  # ... and no more characters than this outside of them: an index page has a preface
_MENU_LINKS = 4  # ... if it has at least this many: one or two links are a sentence's


def is_hidden(node: Node) -> bool:
    """Not shown to a reader, as far as attributes say."""
    attrs = node.attrs
    if attrs.get("aria-hidden", "").strip().lower() == "true":
        return True
    # hidden="until-found" is shown by the browser's own search: folded content, not hidden.
    if "hidden" in attrs and attrs["hidden"].strip().lower() != "until-found":
        return True
    style = attrs.get("style")
    return bool(style and _HIDDEN_STYLE.search(style))


class Boilerplate:
    """The rules, for one page: some need to know how much text it has."""

    def __init__(self, tree: Tree) -> None:
        self._total = max(1, tree.root.text_len)

    def drops(self, node: Node, inside_article: bool) -> bool:
        """Whether the element and all that is in it is left out."""
        tag = node.tag
        if tag in _DROPPED_TAGS:
            return True
        if not node.attrs:  # nothing to hint at
            return tag in ("aside", "footer", "header") and self._sectioning(node, "", inside_article)
        if is_hidden(node) or node.attrs.get("role", "").strip().lower() in _DROPPED_ROLES:
            return True
        tokens = node.classes
        if not _DROPPED_CLASSES.isdisjoint(tokens):
            return True
        if tag in ("aside", "footer", "header") and self._sectioning(node, " ".join(tokens), inside_article):
            return True
        return tag in _BOXES and self._hinted(node, tokens)

    def is_menu(self, node: Node) -> bool:
        """Nearly nothing but links, and no image: a menu or a list of contents, whatever it is called."""
        return (
            node.tag in _BOXES
            and node.links >= _MENU_LINKS
            and node.images == 0
            and node.link_len > _DENSITY * node.text_len
            and node.text_len - node.link_len < _MENU_PROSE
        )

    def _sectioning(self, node: Node, hints: str, inside_article: bool) -> bool:
        """The page's own header, footer and sidebars, but not a note's, a quotation's or an article's."""
        if node.tag == "aside":
            return not _ASIDE_CONTENT.search(hints)
        if node.tag == "header":
            return not inside_article and not _HEADER_CONTENT.search(hints)
        return not (inside_article and node.links == 0)  # a footer

    def _hinted(self, node: Node, tokens: list[str]) -> bool:
        share = node.text_len / self._total
        for token in tokens:
            if not _HINT.search(token) or _NOT_HINT.search(token):
                continue
            exact = _EXACT.fullmatch(token) is not None
            if share < (_EXACT_SHARE if exact else _SHARE) or node.link_len > 0.5 * node.text_len:
                return True
        return False


def main_root(tree: Tree) -> Node:
    """The element to walk: the page's only `<main>` where it holds the content, else all of it."""
    mains = [
        node
        for node in tree.nodes
        if node.tag == "main" or node.attrs.get("role", "").strip().lower() == "main"
    ]
    # A <main> inside another counts once; several beside each other mean that the page misuses the tag.
    if mains and all(node.end <= mains[0].end for node in mains):
        main = mains[0]
        if main.text_len >= 0.2 * tree.root.text_len or main.images:
            return main
    return tree.root
