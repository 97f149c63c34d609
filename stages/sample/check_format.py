"""See `CheckFormat`."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable, Iterator
from typing import Annotated, Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from curate.sample import Level
from curate.stage import BYTES, CANONICAL, Map, Op, Out
from stages.common.columns import blobs, field
from stages.common.reserved import reserved

MIN_SIDE = 28  # one merged patch of Qwen2-VL, whose processor refuses less
MAX_RATIO = 200  # Qwen2-VL's processor refuses more
# Pillow's modes that `convert("RGB")`, which is all that trainers do, turns into the same colours.
_RGB = frozenset({"RGB", "RGBA", "RGBX", "L", "LA", "PA", "1"})
_ORIENTATION = 0x0112
_PNG_MARKS = (b"eXIf", b"Raw profile type exif", b"XML:com.adobe.xmp")
# What Pillow raises on a malformed EXIF block or header: then there is no orientation to be told.
_MALFORMED = (OSError, SyntaxError, ValueError, LookupError, TypeError, struct.error)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
# Scripts of which tokenisers make about a token a character.
_DENSE = re.compile(r"[\u1100-\u11ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]")
_CHARS_A_TOKEN = 4
_FAULTS = pa.list_(pa.string())


class CheckImages(Map):
    """Faults of image files."""

    stage: Literal["check_format"] = "check_format"
    level: ClassVar[Level] = "image"

    def reads(self) -> frozenset[str]:
        return frozenset({BYTES, CANONICAL})

    def writes(self) -> pa.Schema:
        return pa.schema([("image_faults", _FAULTS)])

    def open(self) -> Op:
        header = _header()

        def op(table: pa.Table) -> Out:
            pixels = table[CANONICAL]
            names = ("true_width", "true_height", "alpha", "animated")
            facts = zip(*(field(pixels, name).to_pylist() for name in names), strict=True)
            found = [
                None if data is None or width is None else list(_image(*header(data), width, *rest))
                for data, (width, *rest) in zip(blobs(table[BYTES]), facts, strict=True)
            ]
            return Out({"image_faults": pa.array(found, _FAULTS)})

        return op


class CheckTexts(Map):
    """Faults of texts."""

    stage: Literal["check_format"] = "check_format"
    level: ClassVar[Level] = "text"
    max_tokens: int

    def reads(self) -> frozenset[str]:
        return frozenset({"text_body"})

    def writes(self) -> pa.Schema:
        return pa.schema([("text_faults", _FAULTS)])

    def open(self) -> Op:
        limit = self.max_tokens

        def op(table: pa.Table) -> Out:
            texts = table["text_body"].to_pylist()
            found = [None if text is None else list(_text(text, limit)) for text in texts]
            return Out({"text_faults": pa.array(found, _FAULTS)})

        return op


class CheckFormat(Map):
    """What trainers would trip over in images and texts, as lists of `code: detail`; nothing is dropped.

    `image_faults`:

    - `not_rgb`: a mode such as CMYK, P (a palette) or 16 bits, which `convert("RGB")` turns into other
      colours, or which a reader that does not convert takes for something else
    - `alpha`: some pixel is not opaque; `convert("RGB")` shows what lies beneath, often black
    - `turned`: an EXIF orientation other than upright, which trainers ignore
    - `animated`: more than one frame, of which trainers see the first
    - `small_side`, `extreme_ratio`: a side of less than 28 pixels, one more than 200 times the other
      (Qwen2-VL's processor refuses both)

    `text_faults`:

    - `reserved_token`: a token of some trainer's template (`<image>`, `</s>`, `<|im_end|>` ...) as plain text
    - `control_character`: other than tab and line breaks; `replacement_character`: U+FFFD, a sign of a
      wrong decoding
    - `too_long`: more than `max_tokens` tokens, estimated as one for each Han, Kana or Hangul character and
      one for four other characters (the rule of thumb for English)
    - `empty_text`: nothing but white space
    """

    stage: Literal["check_format"] = "check_format"

    max_tokens: Annotated[int, Field(gt=0)] = Field(
        default=2048, description="Estimated tokens of a text at most; 2048 is the context of LLaVA 1.5."
    )

    def reads(self) -> frozenset[str]:
        return frozenset().union(*(part.reads() for _, part in self.by_level()))

    def writes(self) -> pa.Schema:
        return pa.unify_schemas([part.writes() for _, part in self.by_level()])

    def by_level(self) -> tuple[tuple[Level, Map], ...]:
        return (("image", CheckImages()), ("text", CheckTexts(max_tokens=self.max_tokens)))

    def open(self) -> Op:
        raise TypeError("works at two levels: see by_level()")


def _header() -> Callable[[memoryview], tuple[str, int]]:
    """The function from a file to its Pillow mode and EXIF orientation; no pixel is decoded."""
    from PIL import Image

    def read(view: memoryview) -> tuple[str, int]:
        data = bytes(view)
        try:
            with Image.open(io.BytesIO(data)) as image:
                # for an orientation behind the pixels of a PNG Pillow decodes them: only where there is one
                known = image.format != "PNG" or any(mark in data for mark in _PNG_MARKS)
                return image.mode, _orientation(image) if known else 1
        except (Image.DecompressionBombError, *_MALFORMED):
            return "RGB", 1  # the canonical decode has read it; there is nothing to tell

    return read


def _orientation(image: Any) -> int:
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except _MALFORMED:
        return 1
    return found if isinstance(found, int) else 1


def _image(
    mode: str, orientation: int, width: int, height: int, alpha: bool, animated: bool
) -> Iterator[str]:
    short, long = min(width, height), max(width, height)
    if mode not in _RGB:
        yield f"not_rgb: mode {mode}"
    if alpha:
        yield "alpha: some pixel is not opaque"
    if 2 <= orientation <= 8:
        yield f"turned: EXIF orientation {orientation}"
    if animated:
        yield "animated: more than one frame"
    if short < MIN_SIDE:
        yield f"small_side: {width} x {height} pixels"
    if long > MAX_RATIO * short:
        yield f"extreme_ratio: {width} x {height} pixels"


def _text(text: str, limit: int) -> Iterator[str]:
    if not text.strip():
        yield "empty_text: nothing but white space" if text else "empty_text: nothing"
    token = reserved(text)
    if token is not None:
        yield f"reserved_token: {token!r}"
    control = _CONTROL.search(text)
    if control is not None:
        yield f"control_character: U+{ord(control[0]):04X} at {control.start()}"
    if "\ufffd" in text:
        yield f"replacement_character: U+FFFD at {text.index(chr(0xFFFD))}"
    tokens = estimated_tokens(text)
    if tokens > limit:
        yield f"too_long: about {tokens} tokens"


def estimated_tokens(text: str) -> int:
    """Tokens that a text takes, about: one for a character of a dense script, one for four others."""
    if len(text) < _CHARS_A_TOKEN:
        return len(text)
    dense = len(_DENSE.findall(text))
    return dense + -(-(len(text) - dense) // _CHARS_A_TOKEN)
