"""Images of a page: which candidate to take, which captions are theirs, and where a local one lies."""

from __future__ import annotations

import posixpath
import re
from bisect import bisect_left
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes, urljoin, urlsplit

from curate.io.html_tree import Node, Tree, plain_text, words

_LAZY_SRC = ("data-src", "data-original", "data-lazy-src", "data-lazy", "data-original-src", "data-full-src")
_LAZY_SRCSET = ("data-srcset", "data-lazy-srcset")
_CAPTION_CLASSES = words(
    "caption wp-caption-text thumbcaption gallerytext image-caption img-caption photo-caption figcaption"
    " caption-text media-caption figure-caption"
)
_FIGURE_CLASSES = words("figure informalfigure equation informalequation mediaobject screenshot")
_CLIMB = 5  # levels from a caption up to what holds its image; real ones need at most 3
_GALLERY = 16  # a "figure" with more images than this is a gallery, and its title says nothing of each
_MAX_BASE = 2048  # a longer <base href> is ignored: it would be copied into every image's src
_MAX_CAPTION = 4000  # a longer text is no caption; it would be copied into every image of its figure
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def _clean(src: str) -> str:
    """As browsers read a URL attribute: no white space around it, no line breaks or tabs within."""
    return src.strip().replace("\n", "").replace("\r", "").replace("\t", "")


def is_data_uri(src: str) -> bool:
    return src[:5].lower() == "data:"


def _srcset(value: str) -> list[tuple[float, str]]:
    """(size, url) of each candidate; a candidate without a descriptor counts as 1x."""
    found: list[tuple[float, str]] = []
    # A comma separates candidates only with white space behind it: URLs have commas too.
    for candidate in re.split(r",\s+", value.strip().strip(",")):
        url, _, descriptor = candidate.strip().partition(" ")
        size = 1.0
        unit = descriptor.strip()
        if unit[-1:] in ("w", "x"):
            try:
                size = float(unit[:-1])
            except ValueError:
                size = 1.0
        if url:
            found.append((size, _clean(url)))
    return found


def best_src(img: Node, tree: Tree) -> str | None:
    """The candidate to take: the largest declared one, else the lazily loaded, else `src`; None for none.

    A lazily loaded image has a placeholder in `src`, so what is in its data attributes goes before it; a
    data: URI is taken only where there is nothing else.
    """
    attrs = img.attrs
    sets = [attrs[name] for name in ("srcset", *_LAZY_SRCSET) if attrs.get(name)]
    # The parser doesn't know that <source> is empty, so an <img> may lie in one or more of them.
    above = tree.nodes[img.parent]
    for _ in range(8):
        if above.tag == "picture":
            # Not all of its nodes: a hostile page asks this for 100,000 images of one <picture>.
            nodes = tree.nodes[above.index : min(above.end, above.index + 32)]
            inside = (node for node in nodes if node.tag == "source")
            sets += [
                value
                for node in inside
                for name in ("srcset", "data-srcset")
                if (value := node.attrs.get(name))
            ]
            break
        if above.tag != "source" or above.parent < 0:
            break
        above = tree.nodes[above.parent]

    sized = [pair for value in sets for pair in _srcset(value) if not is_data_uri(pair[1])]
    lazy = [_clean(attrs[name]) for name in _LAZY_SRC if attrs.get(name, "").strip()]
    plain = _clean(attrs.get("src", ""))
    if sized:
        # max() keeps the first of equals: the page's own order says which it likes best.
        size, src = max(sized, key=lambda pair: pair[0])
        if size > 1.0 or is_data_uri(plain) or not (lazy or plain):
            return src
    for src in (*lazy, plain):
        if src and not is_data_uri(src):
            return src
    return plain or (lazy[0] if lazy else None)


def resolve_base(base: str | None, src: str) -> str:
    """`src` against the page's `<base href>`; a relative base gives a `src` relative to the page."""
    base = _clean(base or "")
    if not base or len(base) > _MAX_BASE or is_data_uri(src):
        return src
    try:
        parts = urlsplit(base)
        if parts.scheme or parts.netloc or base.startswith("/"):
            return urljoin(base, src)
    except ValueError:  # a malformed host: no page is better off for it
        return src
    # urljoin drops the leading ".." of a relative base, which here still means something.
    if _SCHEME.match(src) or src.startswith(("/", "\\", "?", "#")):
        return src
    return posixpath.join(posixpath.dirname(parts.path), src)


def local_path(page_path: str, src: str) -> str | None:
    """The file that `src` means, as a path below the source's root; None where it isn't one.

    `page_path` is the page's own path below that root. None is given for remote URLs and every other scheme,
    absolute paths, drive letters, paths that leave the root (percent-encoded or not), names that can't be a
    file's, and the page itself. Query and fragment are stripped. Symbolic links are the caller's to judge:
    no file is looked at here.
    """
    # Browsers read a backslash as a slash; after decoding, one can only be an attempt at something.
    path = re.split(r"[?#]", _clean(src), maxsplit=1)[0].replace("\\", "/")
    if not path or path.startswith("/") or _SCHEME.match(path):
        return None
    try:
        path = unquote_to_bytes(path).decode("utf-8")
    except UnicodeError:
        return None
    if "\\" in path or _CONTROL.search(path) or re.match(r"[A-Za-z][:|]", path):
        return None
    if path.endswith(("/", "/.", "/..")) or path in (".", ".."):
        return None
    # An absolute path, of the page or by a "%2F" in front, makes the joined one absolute.
    whole = posixpath.normpath(posixpath.join(posixpath.dirname(page_path), path))
    if whole.startswith(("/", "../")) or whole in (".", ".."):
        return None
    return whole


def declared_size(value: str | None) -> int | None:
    """A width or height attribute in pixels; None for percentages and nonsense."""
    match = re.fullmatch(r"\s*(\d{1,6})(?:\.\d+)?\s*(?:px)?\s*", value or "")
    return int(match.group(1)) if match else None


def is_pixel(img: Node) -> bool:
    """A declared 1x1 (or 0x0) image: a counter, not content."""
    width, height = declared_size(img.attrs.get("width")), declared_size(img.attrs.get("height"))
    return width is not None and height is not None and width <= 1 and height <= 1


@dataclass(slots=True)
class Captions:
    """`lines` per image's node number; `consumed`, the numbers of nodes whose text is a caption."""

    lines: dict[int, list[str]] = field(default_factory=dict)
    consumed: set[int] = field(default_factory=set)


def _images_in(images: list[int], node: Node) -> list[int]:
    return images[bisect_left(images, node.index) : bisect_left(images, node.end)]


def _is_figure(node: Node) -> bool:
    return node.tag == "figure" or not _FIGURE_CLASSES.isdisjoint(node.classes)


def find_captions(tree: Tree) -> Captions:
    """Give each caption in the page to its images.

    A figure's caption or title is every image's in that figure; a caption that only has an image near it
    (WordPress, wikis, DocBook's mediaobject) is that image's, or the one's just before it.
    """
    found = Captions()
    usable = [number for number in tree.images if not is_pixel(tree.nodes[number])]
    if not usable:
        return found
    inside_until = 0  # a caption in a caption belongs to the outer one's text
    for node in tree.nodes:
        if node.index < inside_until or not 0 < node.text_len <= _MAX_CAPTION:
            continue
        whole_figure = node.tag == "figcaption"
        if not whole_figure:
            if not node.attrs or "class" not in node.attrs:
                continue
            tokens = node.classes
            whole_figure = "title" in tokens and _is_figure(tree.nodes[node.parent])
            if not whole_figure and _CAPTION_CLASSES.isdisjoint(tokens):
                continue
        targets = _targets(tree, usable, node, whole_figure)
        if not targets:
            continue
        text = plain_text(node)
        if text:
            found.consumed.add(node.index)
            inside_until = node.end
            for number in targets:
                found.lines.setdefault(number, []).append(text)
    return found


def _targets(tree: Tree, usable: list[int], caption: Node, whole_figure: bool) -> list[int]:
    above = caption
    for _ in range(_CLIMB):
        if above.parent <= 0:
            return []
        above = tree.nodes[above.parent]
        if above.tag in ("body", "main", "article"):
            return []
        if whole_figure and not _is_figure(above):
            continue
        if above.images > 4 * _GALLERY:  # before listing them: hostile nesting would make that quadratic
            return []
        images = [n for n in _images_in(usable, above) if not caption.index < n < caption.end]
        if not images:
            continue
        if whole_figure:
            return images if len(images) <= _GALLERY else []
        before = [number for number in images if number < caption.index]
        return [before[-1] if before else images[0]]
    return []
