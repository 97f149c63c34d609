"""An evaluation benchmark beside the pool, part of which was made from the pool: leaks to be found.

benchmark/quiz.tsv      VLMEvalKit's columns; images are base64 JPEGs, or the index of another row
benchmark/leaks.jsonl   for each row what it was made from, null where from nothing in the pool
"""

from __future__ import annotations

import base64
import csv
import io
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image, ImageOps

from curate.demo.articles import ARTICLE_LANGUAGES, paragraph
from curate.demo.charts import Chart
from curate.demo.content import draw, grainy, make
from curate.demo.encode import encode, jpeg
from curate.demo.kinds import BLOCK, DOCUMENT_BLOCK
from curate.demo.quiz import LETTERS, Question, about, copied
from curate.demo.rng import weighted
from curate.demo.samples import Pool, clean, planned
from curate.demo.scenes import world

Facts = dict[str, Any]

IMAGES = 5  # clean pairs of each block whose image leaks: 2 % of all pairs
TEXTS = 4  # clean documents of each block of which a passage leaks: 10 %
_EDITS = ("reencode", "halve", "crop", "crop and halve")
_CROP = 0.02  # of each side
_COLUMNS = ("index", "question", "hint", *LETTERS, "answer", "category", "image")
_COPIED = {f"{how}_duplicate_{what}" for how in ("exact", "near") for what in ("image", "document")}
_SHARED = 5  # every so many leaked images have a second question, whose row points at the first


class _Item(NamedTuple):
    question: Question
    category: str
    image: bytes  # a JPEG
    facts: Facts  # how, edit and the pool sample it was made from
    shared: bool = False  # asked about the image of the item before it


def write_benchmark(root: Path, pool: Pool, pairs: int, rows: Sequence[Facts]) -> None:
    """Writes the benchmark of a pool whose truth is `rows`; nothing of the pool depends on it."""
    leaked = [*_leaked_images(pool, pairs, rows), *_leaked_texts(pool, rows)]
    items = [*leaked, *_fresh(pool, leaked)]
    pool.stream("benchmark-order").shuffle(items)
    items = [each for item in items for each in ([item, _again(pool, item)] if item.shared else [item])]
    root.mkdir(parents=True, exist_ok=True)
    with (root / "quiz.tsv").open("w", encoding="utf-8", newline="") as out:
        table = csv.writer(out, delimiter="\t", lineterminator="\n")
        table.writerow(_COLUMNS)
        for number, item in enumerate(items):
            options = [*item.question.options, *[""] * (len(LETTERS) - len(item.question.options))]
            # VLMEvalKit takes a value of at most 64 characters for another row's index
            image = base64.b64encode(item.image).decode() if item.image else str(number - 1)
            question = (number, item.question.text, "", *options, item.question.answer)
            table.writerow((*question, item.category, image))
    with (root / "leaks.jsonl").open("w", encoding="utf-8", newline="\n") as out:
        for number, item in enumerate(items):
            out.write(json.dumps({"item": str(number), **item.facts}, ensure_ascii=False) + "\n")


def _leaked_images(pool: Pool, pairs: int, rows: Sequence[Facts]) -> Iterator[_Item]:
    found = {row["index"]: row for row in rows if row["dataset"] == "pairs"}
    number = 0
    for block in range(0, pairs, BLOCK):
        end = min(block + BLOCK, pairs)
        rng = pool.stream("benchmark-images", block)
        free = [k for k in range(block, end) if not planned(pool, k) and not found[k]["defects"]]
        for index in sorted(rng.sample(free, min(len(free), IMAGES * (end - block) // BLOCK))):
            rng = pool.stream("benchmark-image", index)
            edit, image = _edited(_stored(pool, index), rng)
            facts = {"how": "image", "edit": edit, **_made_from(found[index], rows)}
            number += 1
            question = about(clean(pool, index).content, rng)
            yield _Item(question, "picture", image, facts, shared=number % _SHARED == 0)


def _stored(pool: Pool, index: int) -> Image.Image:
    """The picture of a clean pair as its file shows it."""
    content = clean(pool, index).content
    rng = pool.stream("encode", index)
    data, _, _ = encode(draw(content), rng, isinstance(content, Chart), grainy(content))
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")


def _edited(image: Image.Image, rng: random.Random) -> tuple[str, bytes]:
    edit = rng.choice(_EDITS)
    if "crop" in edit:
        size = (round(image.width * (1 - _CROP)), round(image.height * (1 - _CROP)))
        left, top = rng.randint(0, image.width - size[0]), rng.randint(0, image.height - size[1])
        image = image.crop((left, top, left + size[0], top + size[1]))
    if "halve" in edit:
        image = image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC)
    return edit, jpeg(image, rng.randint(60, 85))


def _leaked_texts(pool: Pool, rows: Sequence[Facts]) -> Iterator[_Item]:
    pages = [row for row in rows if row["dataset"] == "docs"]
    for start in range(0, len(pages), DOCUMENT_BLOCK):
        block = pages[start : start + DOCUMENT_BLOCK]
        found = []
        for row in block:
            rng = pool.stream("benchmark-text", row["index"])
            question = copied(row["paragraphs"], row["lang"], rng) if not row["defects"] else None
            if question is not None:
                found.append((row, question))
        rng = pool.stream("benchmark-texts", start)
        chosen = rng.sample(range(len(found)), min(len(found), TEXTS * len(block) // DOCUMENT_BLOCK))
        for row, question in (found[k] for k in sorted(chosen)):
            facts = {"how": "text", "edit": "", **_made_from(row, rows)}
            image = _picture(pool, pool.stream("benchmark-picture", row["index"]))
            yield _Item(question, "reading", image, facts)


def _fresh(pool: Pool, leaked: Sequence[_Item]) -> Iterator[_Item]:
    """As many items in the same style that nothing in the pool was used for."""
    nothing: Facts = {"how": None, "edit": "", "dataset": None, "file": None, "key": None, "copies": []}
    classes = world(pool.held_out).classes
    for number, item in enumerate(leaked):
        rng = pool.stream("benchmark-fresh", number)
        content = make(rng, pool.held_out)
        image = jpeg(draw(content), rng.randint(60, 85))
        question = about(content, rng)
        if item.facts["how"] == "text":
            language = weighted(rng, ARTICLE_LANGUAGES)
            texts = [paragraph(language, classes, rng) for _ in range(3)]
            question = copied(texts, language, rng) or question
        yield _Item(question, item.category, image, nothing)


def _picture(pool: Pool, rng: random.Random) -> bytes:
    return jpeg(draw(make(rng, pool.held_out)), rng.randint(60, 85))


def _again(pool: Pool, item: _Item) -> _Item:
    """A second question about the same image."""
    question = Question("Is this a drawing?", ("yes", "no"), "A")
    return _Item(question, item.category, b"", item.facts)


def _made_from(row: Facts, rows: Sequence[Facts]) -> Facts:
    """Where the pool sample lies, and its planted copies, which leak with it."""
    place = {"file": row["file"], "key": row["key"]}
    copies = [other for other in rows if other["of"] == place and _COPIED & {*other["defects"]}]
    told = [{"file": other["file"], "key": other["key"]} for other in copies]
    return {"dataset": row["dataset"], **place, "copies": told}
