from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from stages.sample.check_format import CheckFormat, estimated_tokens

Table = Callable[[Sequence[bytes]], pa.Table]
PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8))


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    sink = io.BytesIO()
    image.save(sink, form, **options)
    return sink.getvalue()


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def part(level: str, **fields: Any) -> Any:
    return dict(CheckFormat(**fields).by_level())[level].open()  # type: ignore[index]


def image_faults(table: pa.Table) -> list[list[str]]:
    return part("image")(table).columns["image_faults"].to_pylist()  # type: ignore[no-any-return]


def text_faults(*texts: str | None, **fields: Any) -> list[list[str] | None]:
    table = pa.table({"text_body": pa.array(texts, pa.string())})
    return part("text", **fields)(table).columns["text_faults"].to_pylist()  # type: ignore[no-any-return]


SEE_THROUGH = PICTURE.convert("RGBA")
SEE_THROUGH.putalpha(Image.linear_gradient("L").resize(PICTURE.size))
FILES = {
    "jpeg": (encoded(PICTURE, "JPEG"), []),
    "png": (encoded(PICTURE, "PNG"), []),
    "grey": (encoded(PICTURE.convert("L"), "PNG"), []),
    "opaque alpha": (encoded(PICTURE.convert("RGBA"), "PNG"), []),
    "orientation 1": (encoded(PICTURE, "JPEG", exif=turned(1)), []),
    "orientation of no camera": (encoded(PICTURE, "JPEG", exif=turned(0)), []),
    "cmyk": (encoded(PICTURE.convert("CMYK"), "JPEG"), ["not_rgb: mode CMYK"]),
    "palette": (encoded(PICTURE.convert("P"), "PNG"), ["not_rgb: mode P"]),
    "16 bits": (
        encoded(Image.fromarray(np.arange(2400, dtype=np.uint16).reshape(40, 60) * 20), "PNG"),
        ["not_rgb: mode I;16"],
    ),
    "alpha": (encoded(SEE_THROUGH, "PNG"), ["alpha: some pixel is not opaque"]),
    "orientation 6": (encoded(PICTURE, "JPEG", exif=turned(6)), ["turned: EXIF orientation 6"]),
    "orientation 3, webp": (encoded(PICTURE, "WEBP", exif=turned(3)), ["turned: EXIF orientation 3"]),
    "orientation 8, png": (encoded(PICTURE, "PNG", exif=turned(8)), ["turned: EXIF orientation 8"]),
    "small": (encoded(PICTURE.resize((60, 27)), "JPEG"), ["small_side: 60 x 27 pixels"]),
    "least": (encoded(PICTURE.resize((28, 28)), "JPEG"), []),
    "long": (encoded(PICTURE.resize((28 * 200 + 1, 28)), "JPEG"), ["extreme_ratio: 5601 x 28 pixels"]),
    "longest": (encoded(PICTURE.resize((28 * 200, 28)), "JPEG"), []),
    "animated": (
        encoded(PICTURE, "WEBP", save_all=True, append_images=[PICTURE.rotate(90)]),
        ["animated: more than one frame"],
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_images(image_table: Table, name: str) -> None:
    data, expected = FILES[name]
    assert image_faults(image_table([data])) == [expected]


def test_a_turned_image_is_measured_upright_and_has_all_its_faults(image_table: Table) -> None:
    data = encoded(PICTURE.convert("CMYK").resize((20, 50)), "JPEG", exif=turned(6))
    assert image_faults(image_table([data])) == [
        ["not_rgb: mode CMYK", "turned: EXIF orientation 6", "small_side: 50 x 20 pixels"]
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A plain <b>text</b>, 1 < 2 > 0.\n\tTwo lines: 一个杯子。", []),
        ("", ["empty_text: nothing"]),
        (" \n\u3000", ["empty_text: nothing but white space"]),
        ("see <image>", ["reserved_token: '<image>'"]),
        ("a</s>b<|im_end|>", ["reserved_token: '</s>'"]),
        ("ASSISTANT: yes", ["reserved_token: 'ASSISTANT:'"]),
        ("a\x00b", ["control_character: U+0000 at 1"]),
        ("a\x85b", ["control_character: U+0085 at 1"]),
        ("caf\ufffd", ["replacement_character: U+FFFD at 3"]),
    ],
)
def test_texts(text: str, expected: list[str]) -> None:
    assert text_faults(text) == [expected]


def test_null_in_null_out() -> None:
    assert text_faults(None, "x") == [None, []]


def test_too_long_is_an_estimate_of_tokens() -> None:
    assert text_faults("word " * 40, max_tokens=50) == [[]]
    assert text_faults("word " * 41, max_tokens=50) == [["too_long: about 52 tokens"]]
    assert text_faults("杯" * 51, max_tokens=50) == [["too_long: about 51 tokens"]]
    assert estimated_tokens("") == 0
    assert estimated_tokens("杯子 cup.") == 2 + 2


def test_it_takes_no_longer_than_the_text_is() -> None:
    begin = time.process_time()
    text_faults("<|" * 200_000, "<image_" + "1" * 400_000, " ASSISTANT" * 40_000, "</" * 200_000)
    assert time.process_time() - begin < 2
