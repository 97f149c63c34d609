"""Documents of OmniCorpus: its streaming form with scores, and MMC4's form as its loader reads it."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from curate.io.interleaved import REASONS, URL_SHA256, ReadInterleaved
from curate.io.interleaved_types import Document, ImageSpan, listed, number
from curate.io.mmc4 import MATCHED, MATCHED_COLUMNS, MATCHED_REASONS, Place, matched
from curate.io.obelics import STREAM, STREAM_COLUMNS, STREAM_REASONS, stream
from curate.stage import Names

# Scores that the corpus comes with, under its own names.
_IMAGE_SCORES = ("aesthetic_prob", "unsafe_prob")
_SCORES = ("fluency_prob", "non_advertisement_prob", "politics_prob", "porn_prob", "toxic_prob")
_COLUMNS = pa.schema(
    [
        *STREAM_COLUMNS,
        *MATCHED_COLUMNS,
        *((f"image_{name}", pa.list_(pa.float64())) for name in _IMAGE_SCORES),
        *((name, pa.float64()) for name in _SCORES),
    ]
)


class ReadOmnicorpus(ReadInterleaved):
    """Interleaved documents as OmniCorpus has them: `images` and `texts`, or MMC4's form, as a record is."""

    in_folder: ClassVar[tuple[str, ...]] = ("**/*.parquet", "**/*.jsonl", "**/*.jsonl.gz")
    forms: ClassVar[tuple[tuple[str, ...], ...]] = (STREAM, MATCHED)

    stage: Literal["read_omnicorpus"] = "read_omnicorpus"
    place: Place = Field(
        default="before",
        description="In MMC4's form, where an image stands: right `before` the sentence it is matched to, or "
        "right `after`.",
    )
    file_name: Names = Field(
        default=("filename", "image_name", "img_url_sha", URL_SHA256),
        description="Fields of an image's metadata that name its file in `image_root`, the first that does; "
        "`url_sha256` is the SHA-256 of its URL.",
    )

    def own_columns(self) -> pa.Schema:
        return _COLUMNS

    def reasons(self) -> frozenset[str]:
        return REASONS | STREAM_REASONS | MATCHED_REASONS

    def document(self, record: dict[str, Any]) -> Document:
        if not set(STREAM) <= set(record):
            return matched(record, self.file_name, self.max_text_bytes, self.place, similarities=False)
        valid = record.pop("valid_image", None)
        found = stream(record, self.file_name, self.max_text_bytes)
        images = [span for span in found.spans if isinstance(span, ImageSpan)]
        _validate(found, images, valid)
        for image in images:
            image.columns |= _scores(image.left, _IMAGE_SCORES, "image_")
        general = found.left.get("general_metadata")
        if isinstance(general, dict):
            found.columns |= _scores(general, _SCORES)
            if not general:
                del found.left["general_metadata"]
        return found


def _validate(document: Document, images: list[ImageSpan], given: Any) -> None:
    """`valid_image` has one flag for each image, not for each place."""
    if given is None:
        return
    flags = listed(given)
    if flags is None or len(flags) != len(images) or not all(flag in (True, False) for flag in flags):
        document.fail("bad_valid_image")
        return
    for image, flag in zip(images, flags, strict=True):
        if not flag:
            image.reason = image.reason or "invalid_image"


def _scores(left: dict[str, Any], names: tuple[str, ...], prefix: str = "") -> dict[str, float]:
    """Scores by column, taken out of what is left."""
    found = {name: score for name in names if (score := number(left.get(name))) is not None}
    for name in found:
        del left[name]
    return {f"{prefix}{name}": score for name, score in found.items()}
