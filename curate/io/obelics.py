"""Documents in OBELICS' form: two lists of one length, a URL or a text at each place."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from curate.io.fields import clean
from curate.io.interleaved import REASONS, ReadInterleaved, file_name
from curate.io.interleaved_types import (
    Document,
    ImageSpan,
    TextSpan,
    is_void,
    listed,
    mapped,
    name_of,
    take_pixels,
    take_string,
    text_span,
)
from curate.stage import Names

STREAM = ("images", "texts")
STREAM_COLUMNS = pa.schema(
    [
        ("image_alt", pa.list_(pa.string())),
        # as the source declares them: what the file has is for `probe` to say
        ("image_declared_width", pa.list_(pa.int32())),
        ("image_declared_height", pa.list_(pa.int32())),
    ]
)
STREAM_REASONS = frozenset(
    {
        "lengths_differ",
        "two_at_one_place",
        "nothing_at_place",
        "bad_metadata",
        "bad_general_metadata",
    }
)


def stream(record: dict[str, Any], names: tuple[str, ...], limit: int) -> Document:
    """A document of `images` and `texts`, with `metadata` for each place and `general_metadata` for all.

    A place that holds both gives two dead spans, the image first; one that holds neither, a dead empty text.
    `names`: fields of an image's metadata with the name of its file. `limit`: bytes of a text.
    """
    images, texts = listed(record.pop("images")), listed(record.pop("texts"))
    document = Document(left=record)
    if not document.holds(images, texts) or images is None or texts is None:
        return document
    if len(images) != len(texts):
        document.fail("lengths_differ")
    entries = _entries(document, record.pop("metadata", None), len(images))
    for image, text, entry in zip_longest(images, texts, entries or []):
        both = "two_at_one_place" if image is not None and text is not None else ""
        if image is not None:
            document.spans.append(_image(image, entry, entries is not None, names, both))
        if text is not None:
            span = text_span(text, limit)
            if not both and not is_void(entry):
                span.reason = span.reason or "bad_metadata"
            span.reason = both or span.reason
            document.spans.append(span)
        if image is None and text is None:
            document.spans.append(TextSpan("", "nothing_at_place"))
    _general(document, record)
    return document


def _entries(document: Document, given: Any, places: int) -> list[Any] | None:
    """The metadata of each place; None where there is none, or it cannot be told whose it is."""
    if given is None:
        return None
    found = listed(given)
    if found is None or len(found) != places:
        document.fail("bad_metadata")
        return None
    return found


def _image(value: Any, entry: Any, told: bool, names: tuple[str, ...], reason: str) -> ImageSpan:
    """The image at a place with its metadata. `told`: the document has metadata."""
    span = ImageSpan(url=name_of(value), reason=reason)
    if span.url is None:
        span.reason = reason or "bad_image"
    left = {} if entry is None else mapped(entry)
    if left is None or (told and is_void(entry)):
        span.reason = span.reason or "bad_metadata"
    span.file = file_name(left or {}, names, span.url)
    if left:
        span.columns = {
            "image_alt": take_string(left, "alt_text"),
            "image_declared_width": take_pixels(left, "original_width", "width"),
            "image_declared_height": take_pixels(left, "original_height", "height"),
        }
        # what a column says need not be said again
        span.left = {k: v for k, v in left.items() if v is not None and v not in (span.url, span.file)}
    return span


def _general(document: Document, record: dict[str, Any]) -> None:
    """URL, language and licence of a document, out of `general_metadata` or the record itself."""
    given = record.pop("general_metadata", None)
    general = {} if given is None else mapped(given)
    if general is None:
        document.fail("bad_general_metadata")
        general = {"unparsed": clean(str(given))[:2000]}
    for column, names in (
        ("url", ("url",)),
        ("language", ("language", "lang")),
        ("licence", ("licence", "license")),
    ):
        document.columns[column] = take_string(general, *names) or take_string(record, *names)
    if left := {k: v for k, v in general.items() if v is not None}:
        record["general_metadata"] = left


class ReadObelics(ReadInterleaved):
    """Interleaved documents as OBELICS has them: lists `images` and `texts`, metadata as JSON in strings."""

    in_folder: ClassVar[tuple[str, ...]] = ("**/*.parquet",)
    forms: ClassVar[tuple[tuple[str, ...], ...]] = (STREAM,)

    stage: Literal["read_obelics"] = "read_obelics"
    file_name: Names = Field(
        default=("formatted_filename",),
        description="Fields of an image's metadata that name its file in `image_root`, the first that does; "
        "`url_sha256` is the SHA-256 of its URL.",
    )

    def own_columns(self) -> pa.Schema:
        return STREAM_COLUMNS

    def reasons(self) -> frozenset[str]:
        return REASONS | STREAM_REASONS

    def document(self, record: dict[str, Any]) -> Document:
        return stream(record, self.file_name, self.max_text_bytes)
