from __future__ import annotations

import random
import re
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from arrays import Pixels, encoded, plain, scene
from decoding import decode_column
from PIL import Image

from curate.demo import fonts
from curate.demo.charts import draw_sign, make_sign
from curate.demo.content import draw, faces, make
from curate.errors import RecipeError
from curate.pixels import Decode
from curate.stage import CANONICAL, FULL
from stages.image import ocr
from stages.image.ocr import Ocr
from stages.image.ocr_match import OcrMatch


def found(*images: Pixels | bytes, short_side: int = 100_000, **config: Any) -> list[dict[str, Any]]:
    stage = Ocr(**config)
    column = FULL if stage.pixels == "full" else CANONICAL
    files = [image if isinstance(image, bytes) else encoded(image) for image in images]
    pixels, reasons = decode_column(files, Decode(short_side=short_side))
    assert reasons == [None] * len(files)
    out = stage.open()(pa.table({column: pixels}))
    assert out.drop is None
    columns = {name: values.to_pylist() for name, values in out.columns.items()}
    return [{name: values[i] for name, values in columns.items()} for i in range(len(files))]


def written(*lines: str, size: tuple[int, int] = (480, 320)) -> Pixels:
    """Lines of dark text, 32 pixels high, on a light ground; the first at (240, 60), others 80 below."""
    image = Image.new("RGB", size, (240, 238, 230))
    for number, line in enumerate(lines):
        font = "plain" if fonts.writable(line, "plain") else "stroke"
        fonts.write(image, line, font, 32, (size[0] // 2, 60 + 80 * number), (20, 20, 30))
    return np.asarray(image)


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))


def test_signs_of_the_demo_are_read() -> None:
    rng = random.Random(1)
    signs = [make_sign(rng, faces(held_out=False)) for _ in range(25)]
    logos = [make(random.Random(i), held_out=False, kind="logo") for i in range(10)]
    pictures = [*map(draw_sign, signs), *map(draw, logos)]
    truth = [*("\n".join(sign.lines) for sign in signs), *(logo.label for logo in logos)]
    read = found(*map(np.asarray, pictures))
    known = [
        (word, one["image_ocr_text"].casefold())
        for text, one in zip(truth, read, strict=True)
        for word in words(text)
    ]
    assert len(known) > 80
    assert sum(word in text for word, text in known) >= 0.97 * len(known)


def test_hardly_anything_is_read_in_pictures_of_things() -> None:
    """As the package is by default, it sees text in every other of them, and finds letters in many."""
    scenes = [make(random.Random(i), held_out=False, kind="scene") for i in range(60)]
    pictures = [np.asarray(draw(content)) for content in scenes]
    read = [one["image_text_area"] > 0 for one in found(*pictures)]
    assert sum(read) <= 0.08 * len(read)


@pytest.mark.parametrize("detect_only", [False, True])
def test_nothing_is_read_where_nothing_is(detect_only: bool) -> None:
    shapes = [plain(200, 300), plain(1, 1), plain(3, 900), plain(20, 4000), scene(), scene(1, 8, 8)]
    for one in found(*shapes, detect_only=detect_only):
        assert one["image_text_area"] == 0
        assert not one.get("image_ocr_text")
        assert not one.get("image_ocr_boxes")


def test_lines_come_in_reading_order_with_their_boxes() -> None:
    (one,) = found(written("First line", "Second 42", "出口"))
    assert one["image_ocr_text"] == "First line\nSecond 42\n出口"
    boxes = one["image_ocr_boxes"]
    assert [box["text"] for box in boxes] == one["image_ocr_text"].split("\n")
    for number, box in enumerate(boxes):
        middle = 60 + 80 * number
        assert middle - 34 < box["y0"] < middle - 8 < middle + 8 < box["y1"] < middle + 34
        assert 0 <= box["x0"] < 240 < box["x1"] <= 480
        assert 0.8 < box["score"] <= 1


def test_boxes_are_in_pixels_of_the_upright_file() -> None:
    picture = written("Harbour view", "Room 7", size=(960, 640))
    (upright,) = found(picture)
    turned = Image.fromarray(np.rot90(picture))  # 6: to be turned by 90 degrees clockwise
    exif = turned.getexif()
    exif[0x0112] = 6
    reduced = encoded(np.asarray(turned), "JPEG", quality=95, exif=exif.tobytes())
    (small,) = found(reduced, short_side=200, pixels="canonical")
    assert small["image_ocr_text"] == upright["image_ocr_text"] == "Harbour view\nRoom 7"
    for one, other in zip(upright["image_ocr_boxes"], small["image_ocr_boxes"], strict=True):
        for side in ("x0", "y0", "x1", "y1"):
            assert one[side] == pytest.approx(other[side], abs=12)


def test_area_is_the_share_of_the_picture() -> None:
    one, wider = found(
        written("A line of text"), np.pad(written("A line of text"), ((0, 320), (0, 0), (0, 0)), "edge")
    )
    (box,) = one["image_ocr_boxes"]
    share = (box["x1"] - box["x0"]) * (box["y1"] - box["y0"]) / (480 * 320)
    assert one["image_text_area"] == pytest.approx(share, rel=0.1)
    assert wider["image_text_area"] == pytest.approx(one["image_text_area"] / 2, rel=0.1)
    (detected,) = found(written("A line of text"), detect_only=True)
    assert detected == {"image_text_area": pytest.approx(one["image_text_area"], rel=0.01)}


def test_overlaps_count_once() -> None:
    square = np.array([[0, 0], [10, 0], [10, 10], [0, 10]], dtype=float)
    assert ocr._covered(np.stack([square, square + 5])) == pytest.approx(175)
    assert ocr._covered(np.stack([square, square + 50, square])) == pytest.approx(200)


def test_a_squat_shape_over_much_of_the_picture_is_no_line() -> None:
    def upright(wide: float, high: float) -> list[list[float]]:
        return [[0, 0], [wide, 0], [wide, high], [0, high]]

    shapes = np.array([upright(60, 60), upright(20, 20), upright(95, 40), upright(40, 95)])
    assert ocr._lines(shapes, 100 * 100).tolist() == [False, True, True, True]


def test_min_score_leaves_out_what_is_not_legible() -> None:
    rng = np.random.default_rng(0)
    picture = written("Legible words")
    noisy = np.clip(picture + rng.normal(0, 90, picture.shape), 0, 255).astype(np.uint8)
    (least,) = found(noisy, min_score=0)
    scores = [box["score"] for box in least["image_ocr_boxes"]]
    (none,) = found(noisy, min_score=1)
    assert scores
    assert none["image_ocr_boxes"] == []
    assert none["image_ocr_text"] == ""


def test_a_picture_is_read_alone() -> None:
    pictures = [written("One"), written("Two words", "and more"), plain(), written("三")]
    together = found(*pictures)
    assert [found(picture)[0] for picture in pictures] == together
    assert found(*pictures[::-1]) == together[::-1]


def test_without_the_package_the_plan_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocr, "_PACKAGE", "no_such_package_at_all")
    with pytest.raises(RecipeError, match=r"mmcurate\[ocr\]"):
        Ocr().check_columns(pa.schema([]))


# -- ocr_match --


def match(seen: str | None, *captions: str | None) -> float | None:
    table = pa.table(
        {
            "image_ocr_text": pa.array([seen], pa.string()),
            "text_body": pa.array([captions], pa.list_(pa.string())),
        }
    )
    (value,) = OcrMatch().open()(table).columns["image_ocr_match"].to_pylist()
    return value  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("seen", "captions", "share"),
    [
        ("FRESH BREAD", ["A sign that says fresh bread"], 2 / 6),
        ("Fresh\nBREAD", ["fresh bread"], 1),
        ("Bakery", ["bake"], 0),
        ("出口", ["出口标志"], 2 / 4),
        ("", ["a dog"], 0),
        ("ＤＯＧ", ["dog"], 1),
        ("dog", ["a cat", "dog"], 1),
        ("dog", ["dog dog cat"], 2 / 3),
        ("dog", [], None),
        ("dog", [None, "", "!?"], None),
        (None, ["dog"], None),
    ],
)
def test_the_share_of_a_captions_words(
    seen: str | None, captions: list[str | None], share: float | None
) -> None:
    assert match(seen, *captions) == (share if share is None else pytest.approx(share))
