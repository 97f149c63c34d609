"""Documents in MMC4's form: a list of sentences, and images that belong to one of them each."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.io.assignment import assign
from curate.io.interleaved import REASONS, ReadInterleaved, file_name
from curate.io.interleaved_types import (
    Document,
    ImageSpan,
    TextSpan,
    listed,
    mapped,
    name_of,
    number,
    take_string,
    text_span,
    whole,
)
from curate.stage import Names

Place: TypeAlias = Literal["before", "after"]

MATCHED = ("text_list", "image_info")
MATCHED_COLUMNS = pa.schema(
    [
        ("image_matched_text", pa.list_(pa.int32())),  # position of its sentence in the source's list, from 0
        ("image_matched_sim", pa.list_(pa.float32())),  # CLIP similarity to it
    ]
)
SIMILARITIES = pa.field("image_similarities", pa.list_(pa.list_(pa.float32())))  # to each sentence
MATCHED_REASONS = frozenset(
    {"bad_match", "bad_similarity", "invalid_image", "bad_valid_image", "too_many_images"}
)
MAX_ASSIGNED = 512  # images that are matched here: that takes time with the square of their number


def matched(
    record: dict[str, Any], names: tuple[str, ...], limit: int, place: Place, similarities: bool
) -> Document:
    """A document of `text_list` and `image_info`, each image beside the sentence it is matched to.

    Images of one sentence stay in their order; those without a place of theirs come last, and are dead. Where
    no image has a `matched_text_index`, they are matched here, by `similarity_matrix`.
    `names`: fields of `image_info` with the name of a file. `limit`: bytes of a text.
    """
    texts, entries = listed(record.pop("text_list")), listed(record.pop("image_info"))
    document = Document(left=record)
    if not document.holds(texts, entries) or texts is None or entries is None:
        return document
    images = [_image(entry, len(texts), names) for entry in entries]
    _validate(document, images, record.pop("valid_image_ids", None))
    matrix = _matrix(document, images, record.pop("similarity_matrix", None), len(texts))
    if matrix is not None and not any(i.columns.get("image_matched_text") is not None for i in images):
        _match(document, images, matrix)
    for image, row in zip(images, matrix or [None] * len(images), strict=True):
        if image.columns.get("image_matched_text") is None:
            image.reason = image.reason or "bad_match"
        if similarities:
            image.columns["image_similarities"] = row
    _arrange(document, images, [text_span(text, limit) for text in texts], place)
    document.columns["url"] = take_string(record, "url")
    document.columns["language"] = take_string(record, "language", "lang")
    document.columns["licence"] = take_string(record, "licence", "license")
    return document


def _image(entry: Any, texts: int, names: tuple[str, ...]) -> ImageSpan:
    left = mapped(entry)
    if left is None:
        return ImageSpan(reason="bad_image")
    left.pop("image_base64", None)  # bytes that some converters put there: no row carries any
    span = ImageSpan(left=left)
    for name in ("raw_url", "image_url"):
        if span.url is None and (found := name_of(left.get(name))) is not None:
            span.url = found
            del left[name]
    span.file = file_name(left, names, span.url)
    if span.url is None and span.file is None:
        span.reason = "bad_image"
    similarity, index = left.pop("matched_sim", None), left.pop("matched_text_index", None)
    span.columns = {"image_matched_text": whole(index, texts), "image_matched_sim": number(similarity)}
    for given, column in ((index, "image_matched_text"), (similarity, "image_matched_sim")):
        if given is not None and span.columns[column] is None:
            span.reason = span.reason or "bad_match"
    span.left = {k: v for k, v in left.items() if v is not None and v != span.file}
    return span


def _validate(document: Document, images: list[ImageSpan], valid: Any) -> None:
    """Images that `valid_image_ids` leaves out are dead."""
    if valid is None:
        return
    ids = listed(valid)
    if ids is None or any(whole(i, len(images)) is None for i in ids):
        document.fail("bad_valid_image")
        return
    for i in set(range(len(images))).difference(ids):
        images[i].reason = images[i].reason or "invalid_image"


def _matrix(
    document: Document, images: list[ImageSpan], given: Any, texts: int
) -> list[list[float] | None] | None:
    """The similarities of each image to each text; None where there are none."""
    if given is None:
        return None
    rows = listed(given)
    if rows is None or len(rows) != len(images):
        document.fail("bad_similarity")
        return None
    found: list[list[float] | None] = []
    for image, row in zip(images, rows, strict=True):
        good = isinstance(row, list) and len(row) == texts and all(number(n) is not None for n in row)
        if not good:
            image.reason = image.reason or "bad_similarity"
        found.append(row if good else None)
    return found


def _match(document: Document, images: list[ImageSpan], matrix: list[list[float] | None]) -> None:
    """Give each living image a sentence of its own, with the largest sum of similarities.

    Images that are left go to their most similar one (MMC4's scripts/compute_assignments.py).
    """
    pairs = [(i, row) for i, row in zip(images, matrix, strict=True) if row and not i.reason]
    if len(pairs) > MAX_ASSIGNED:
        document.fail("too_many_images")
    elif pairs:
        scores = np.asarray([row for _, row in pairs], dtype=np.float64)
        for (image, row), text in zip(pairs, assign(scores), strict=True):
            at = text if text >= 0 else int(np.argmax(row))  # more images than sentences
            image.columns |= {"image_matched_text": at, "image_matched_sim": row[at]}


def _arrange(document: Document, images: list[ImageSpan], texts: list[TextSpan], place: Place) -> None:
    beside: list[list[ImageSpan]] = [[] for _ in range(len(texts) + 1)]
    for image in images:
        text = image.columns.get("image_matched_text")
        beside[len(texts) if text is None else text].append(image)
    for text, its in zip(texts, beside, strict=False):
        document.spans += [*its, text] if place == "before" else [text, *its]
    document.spans += beside[-1]


class ReadMmc4(ReadInterleaved):
    """Interleaved documents as MMC4 has them: `text_list`, and `image_info` with each image's sentence."""

    in_folder: ClassVar[tuple[str, ...]] = ("**/*.jsonl", "**/*.jsonl.gz")
    forms: ClassVar[tuple[tuple[str, ...], ...]] = (MATCHED,)

    stage: Literal["read_mmc4"] = "read_mmc4"
    place: Place = Field(
        default="before",
        description="Where an image stands: right `before` the sentence it is matched to, as OpenFlamingo "
        "puts it, or right `after`.",
    )
    similarities: Literal["drop", "keep"] = Field(
        default="drop",
        description="`keep` the rows of the similarity matrix, as `image_similarities`: one number for each "
        "sentence of the source.",
    )
    file_name: Names = Field(
        default=("image_name",),
        description="Fields of `image_info` that name an image's file in `image_root`, the first that does; "
        "`url_sha256` is the SHA-256 of its URL.",
    )

    def own_columns(self) -> pa.Schema:
        own = MATCHED_COLUMNS.append(pa.field("could_have_url_duplicate", pa.int32()))
        return own.append(SIMILARITIES) if self.similarities == "keep" else own

    def reasons(self) -> frozenset[str]:
        return REASONS | MATCHED_REASONS

    def document(self, record: dict[str, Any]) -> Document:
        twice = record.get("could_have_url_duplicate")
        found = matched(record, self.file_name, self.max_text_bytes, self.place, self.similarities == "keep")
        if (said := whole(twice, 2)) is not None:
            found.columns["could_have_url_duplicate"] = said
            del record["could_have_url_duplicate"]
        return found
