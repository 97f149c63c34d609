"""The description of a drawing out of an SVG's metadata: RDF with Dublin Core, as Inkscape writes it.

Nothing is rendered: reading stops where the metadata end, and after `HEAD` bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

HEAD = 4 << 20  # bytes in which metadata end; they are among the first of a file
MAX_FIELD = 64 << 10  # characters of one field
MAX_TAGS = 1000

_CHUNK = 64 << 10
_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_DC = "{http://purl.org/dc/elements/1.1/}"
_LISTS = frozenset({"subject"})

Problem: TypeAlias = Literal["bad_xml", "no_metadata"]


class NoMetadata(ValueError):
    """An SVG that does not describe itself; `reason` for counting."""

    def __init__(self, reason: Problem) -> None:
        super().__init__(reason)
        self.reason = reason


def described(raw: bytes) -> dict[str, Any]:
    """The fields of the first work in the metadata: `title`, `description`, `creator`, `language` ... as
    text, `subject` as a list, `license` as the URL. Empty fields are empty texts. Raises NoMetadata.
    Faults behind the metadata are none.

    No DTD is loaded, no entity resolved, nothing fetched; libxml2 bounds depth, names and what attributes
    with entities grow to.
    """
    work = _work(raw)
    found: dict[str, Any] = {}
    for child in work:
        name = child.tag.rpartition("}")[2]
        if name in _LISTS:
            tags = [_words(item) for item in child.iter(f"{_RDF}li")][:MAX_TAGS]
            found.setdefault(name, [tag for tag in tags if tag])
            continue
        body = child.get(f"{_RDF}resource") or _words(child)
        if not found.get(name):
            found[name] = body
    return found


def _work(raw: bytes) -> Any:
    """The element that describes the drawing."""
    for metadata in _metadata(raw):
        for child in metadata.iter():
            if isinstance(child.tag, str) and child.tag.endswith("}Work"):
                return child
        # Inkscape's older files and others describe themselves without Creative Commons' vocabulary
        for child in metadata.iter(f"{_RDF}Description"):
            if any(isinstance(c.tag, str) and c.tag.startswith(_DC) for c in child):
                return child
    raise NoMetadata("no_metadata")


def _metadata(raw: bytes) -> Iterator[Any]:
    """Each metadata element as soon as it has ended."""
    from lxml import etree

    parser = etree.XMLPullParser(
        events=("end",),
        tag="{*}metadata",
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    problem = None
    try:
        for start in range(0, min(len(raw), HEAD), _CHUNK):
            parser.feed(raw[start : min(start + _CHUNK, HEAD)])
            yield from (element for _, element in parser.read_events())
        if len(raw) <= HEAD:
            parser.close()
    except etree.XMLSyntaxError as found:
        problem = found
    if problem is not None:
        # what was read before it counts, wherever the chunks end
        yield from (element for _, element in parser.read_events())
        raise NoMetadata("bad_xml") from problem


def _words(element: Any) -> str:
    """All text in an element, spaces joined."""
    text = "".join(part for part in element.itertext() if isinstance(part, str))
    return " ".join(text[:MAX_FIELD].split())
