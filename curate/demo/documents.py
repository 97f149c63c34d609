"""Interleaved documents: articles around rendered scenes, in topic folders, with their planted defects."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from curate.demo import damage
from curate.demo.articles import ARTICLE_LANGUAGES, heading, paragraph, sentence, title
from curate.demo.captions import Content, caption
from curate.demo.charts import Chart
from curate.demo.content import draw, grainy, make, objects_of, relations_of, text_of
from curate.demo.encode import encode
from curate.demo.furniture import furniture
from curate.demo.grammar import capital
from curate.demo.kinds import DOCUMENT_BLOCK, DOCUMENT_COUNTS, DOCUMENT_IMAGE_COUNTS
from curate.demo.pages import Block, Page, Picture, render
from curate.demo.rng import deck, weighted
from curate.demo.samples import Pool
from curate.demo.scenes import make_scene, world

Facts = dict[str, Any]

TOPICS: dict[str, tuple[str, ...]] = {
    "garden": ("apple", "pear", "tree", "flower", "mushroom", "cactus", "leaf", "bird", "butterfly", "bench"),
    "town": ("house", "car", "bus", "boat", "clock", "lamp", "umbrella", "rocket", "bicycle", "ladder"),
    "home": ("cup", "bottle", "book", "chair", "table", "hat", "key", "candle", "envelope", "box", "guitar"),
    "animals": ("cat", "dog", "fish", "bird", "butterfly", "rabbit", "snail"),
    "toys": (
        "balloon",
        "star",
        "heart",
        "moon",
        "circle",
        "square",
        "triangle",
        "robot",
        "kite",
        "ice cream",
    ),
}
_COPIES = ("exact_duplicate_document", "near_duplicate_document")
_CODECS = {"zh": "gb18030", "de": "iso-8859-1", "fr": "windows-1252", "en": "windows-1252"}


@dataclass(frozen=True)
class Document:
    """A document before it becomes HTML; `files` are the images it brings: (name under img/, bytes)."""

    index: int
    topic: str
    language: str
    title: str
    blocks: tuple[Block, ...]
    files: tuple[tuple[str, bytes], ...]


def planned(pool: Pool, index: int) -> str:
    """The defect dealt to a document, "" for none."""
    block, within = divmod(index, DOCUMENT_BLOCK)
    return deck(f"document{pool.held_out}", pool.seed, block, DOCUMENT_COUNTS, DOCUMENT_BLOCK)[within]


def _planned_image(pool: Pool, index: int) -> str:
    block, within = divmod(index, DOCUMENT_BLOCK)
    return deck(f"image{pool.held_out}", pool.seed, block, DOCUMENT_IMAGE_COUNTS, DOCUMENT_BLOCK)[within]


def _earlier(pool: Pool, index: int) -> int:
    """A clean document before this one, or -1."""
    rng = pool.stream("document-original", index)
    free = [k for k in range(max(0, index - 200), index) if planned(pool, k) == ""]
    return rng.choice(free) if free else -1


def _classes(pool: Pool, topic: str) -> tuple[str, ...]:
    """The topic's classes that the pool may draw."""
    kinds = world(pool.held_out)
    return tuple(name for name in TOPICS[topic] if name in kinds.classes) or kinds.classes


def _topic(pool: Pool, index: int) -> str:
    return pool.stream("topic", index).choice(list(TOPICS))


def _content(pool: Pool, index: int, number: int) -> Content:
    """What a document's picture shows: mostly scenes of its topic's things."""
    rng = pool.stream("document-content", index, number)
    kind = weighted(rng, (("scene", 0.84), ("chart", 0.08), ("sign", 0.05), ("landscape", 0.03)))
    if kind != "scene":
        return make(rng, pool.held_out, kind)
    return make_scene(rng, replace(world(pool.held_out), classes=_classes(pool, _topic(pool, index))))


def _file(pool: Pool, index: int, number: int) -> tuple[bytes, str, str]:
    """The picture's clean file: (bytes, extension, variant)."""
    content = _content(pool, index, number)
    rng = pool.stream("document-encode", index, number)
    return encode(draw(content), rng, isinstance(content, Chart), grainy(content))


@lru_cache(maxsize=32)
def compose(pool: Pool, index: int) -> Document:
    """The document of an index without its document-level defect."""
    rng = pool.stream("document", index)
    topic = _topic(pool, index)
    classes = _classes(pool, topic)
    language = weighted(rng, ARTICLE_LANGUAGES)
    blocks: list[Block] = []
    files: list[tuple[str, bytes]] = []
    count = rng.choice((1, 2, 2, 3, 3, 4, 5, 8))
    spoiled, where = _planned_image(pool, index), rng.randrange(count)
    for k in range(count):
        if k and rng.random() < 0.5:
            blocks.append(Block("h2", heading(language, rng)))
        picture, data, about = _picture(pool, index, k, language, spoiled if k == where else "")
        text = Block("p", paragraph(language, classes, rng, about if rng.random() < 0.7 else ""))
        shown = Block("img", picture=picture)
        blocks += [text, shown] if rng.random() < 0.6 else [shown, text]
        if data is not None:
            files.append((picture.src.removeprefix("img/"), data))
    blocks.append(Block("p", paragraph(language, classes, rng)))
    return Document(index, topic, language, title(language, classes, rng), tuple(blocks), tuple(files))


def _picture(
    pool: Pool, index: int, number: int, language: str, spoiled: str
) -> tuple[Picture, bytes | None, str]:
    """(the picture, its file's bytes or None for a broken link, true sentences about it)."""
    rng = pool.stream("document-picture", index, number)
    source, of = (index, number), None
    if spoiled == "duplicate_image":
        free = [
            k
            for k in range(max(0, index - 200), index)
            if not planned(pool, k) and not _planned_image(pool, k)
        ]
        if free:
            source = (rng.choice(free), 0)
            of = {"file": _name(pool, source[0]), "key": _name(pool, source[0]), "content_index": 0}
        else:
            spoiled = ""
    content = _content(pool, *source)
    size = content.size
    objects = objects_of(content)
    data: bytes | None
    data, extension, variant = _file(pool, *source)
    if spoiled == "tiny_image":
        small = damage.tiny(draw(content), [tuple(item["box"]) for item in objects], rng)
        data, extension, variant, size = small.data, small.extension, "", small.size
        for item, box in zip(objects, small.boxes, strict=False):
            item["box"] = list(box)
    elif spoiled == "corrupt_image":
        data, extension = damage.garbage(rng)[0], "jpg"
    elif spoiled == "broken_link":
        data = None
    gone = spoiled in ("corrupt_image", "broken_link")
    true = caption(content, language, rng)
    alt = weighted(rng, ((true, 0.6), ("", 0.15), (f"image{number + 1}", 0.1), (None, 0.15)))
    under = caption(content, language, rng) if rng.random() < 0.55 else ""
    facts: Facts = {
        "role": "content",
        "defects": [spoiled] if spoiled else [],
        "of": of,
        "width": size[0],
        "height": size[1],
        "variant": variant,
        "content": content.kind,
        "objects": [] if gone else objects,
        "relations": [] if gone else relations_of(content),
        "text_in_image": [] if gone else text_of(content),
        "caption_true": true,
        "figcaption": under,
    }
    about = caption(content, language, rng, detail="long")
    about += "" if about[-1] in ".。" else "。" if language == "zh" else "."
    return Picture(f"img/p{index:03d}-{number}.{extension}", alt, facts, under), data, capital(about)


def _name(pool: Pool, index: int) -> str:
    """The page of a document, relative to the documents' folder; a copy stays in its original's topic."""
    kind = planned(pool, index)
    original = _earlier(pool, index) if kind in _COPIES else -1
    return f"{_topic(pool, original if original >= 0 else index)}/page-{index:03d}.html"


def _altered(document: Document, pool: Pool, index: int) -> tuple[Block, ...]:
    """The blocks with one sentence added to a paragraph and another one's end cut off: a near duplicate."""
    rng = pool.stream("near-document", index)
    blocks = list(document.blocks)
    texts = [k for k, block in enumerate(blocks) if block.tag == "p" and len(block.text) > 60]
    more, less = rng.sample(texts, 2) if len(texts) > 1 else (texts[0], -1)
    gap = "" if document.language == "zh" else " "
    extra = sentence(document.language, _classes(pool, document.topic), rng)
    blocks[more] = Block("p", blocks[more].text + gap + extra)
    if less >= 0:
        stop = "。" if document.language == "zh" else ". "
        kept = blocks[less].text.split(stop)
        blocks[less] = Block(
            "p", stop.join(kept[:-2] if len(kept) > 3 else kept[:-1] or kept).rstrip(" 。.") + stop.strip()
        )
    return tuple(blocks)


def _build(pool: Pool, index: int) -> tuple[bytes, Document, Facts]:
    """(the page's bytes, the document whose files it needs, its row of the truth)."""
    kind = planned(pool, index)
    original = _earlier(pool, index) if kind in _COPIES else -1
    kind = "" if kind in _COPIES and original < 0 else kind
    document = compose(pool, original if original >= 0 else index)
    blocks, heading_text, charset, codec = document.blocks, document.title, "utf-8", "utf-8"
    shape = pool.stream("page", original if kind == "exact_duplicate_document" else index)
    if kind == "near_duplicate_document":
        blocks = _altered(document, pool, index)
    elif kind == "no_images":
        blocks = tuple(block for block in blocks if block.picture is None)
        document = replace(document, files=())
    elif kind == "no_text":
        bare = [replace(b.picture, alt="", figcaption="") for b in blocks if b.picture is not None]
        blocks, heading_text = tuple(Block("img", picture=picture) for picture in bare), ""
    elif kind in ("declared_charset", "undeclared_charset"):
        codec = _CODECS[document.language]
        charset = codec if kind == "declared_charset" else ""
    page = render(
        heading_text, document.language, list(blocks), shape, charset or None, bare=kind == "no_images"
    )
    data = page.html.encode(codec, errors="xmlcharrefreplace")
    if kind == "undeclared_charset" and _is_utf8(data):  # an English page without a single curly quote
        data = data.replace(b"</h1>", " – “essay”</h1>".encode(codec), 1)
    if kind == "empty_document":
        data, page = (b"" if index % 2 else b"<html><head></head><body></body></html>\n"), Page("")
        blocks, document = (), replace(document, files=())
    images = _numbered(page.images)
    defects = [kind] if kind and kind != "declared_charset" else []
    facts: Facts = {
        "dataset": "docs",
        "file": _name(pool, index),
        "key": _name(pool, index),
        "index": index,
        "lang": document.language,
        "title": heading_text if blocks else "",
        "paragraphs": [block.text for block in blocks if block.tag == "p" and block.text],
        "headings": [block.text for block in blocks if block.tag == "h2"],
        "chrome": page.chrome,
        "defects": defects,
        "of": {"file": _name(pool, original), "key": _name(pool, original)} if original >= 0 else None,
        "encoding": codec,
        "encoding_declared": bool(charset),
        "images": images,
    }
    return data, document, facts


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _numbered(images: list[Facts]) -> list[Facts]:
    """The images, numbered among the page's ("index") and among its article's ("content_index", or -1)."""
    rows, content = [], 0
    for index, image in enumerate(images):
        own = image["role"] == "content"
        rows.append({"index": index, "content_index": content if own else -1, **image})
        content += own
    return rows


def write_documents(root: Path, pool: Pool, count: int) -> list[Facts]:
    """Writes `count` documents under `root`/<topic>/ and returns their rows of the truth."""
    root.mkdir(parents=True, exist_ok=True)
    rows = []
    for index in range(count):
        data, document, facts = _build(pool, index)
        folder = root / facts["file"].split("/")[0]
        if not folder.exists():
            (folder / "img").mkdir(parents=True)
            for name, content in furniture(pool).items():
                (folder / "img" / name).write_bytes(content)
        (root / facts["file"]).write_bytes(data)
        if facts["of"] is None:  # a copy shows its original's files
            for name, content in document.files:
                (folder / "img" / name).write_bytes(content)
        rows.append(facts)
    by_file = {row["file"]: row["images"] for row in rows}
    for image in (image for row in rows for image in row["images"] if image.get("of")):
        # Where the original stands on its page is known only now that the page is written.
        shown = [other["index"] for other in by_file[image["of"]["file"]] if other["content_index"] == 0]
        image["of"] = {**image["of"], "index": shown[0]}
    return rows
