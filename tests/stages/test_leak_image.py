"""Which images are a benchmark's, after what was done to them, and which only look like one."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from decoding import decode_column
from PIL import Image, ImageEnhance, ImageOps

from curate.demo.charts import Sign
from curate.demo.content import draw, make
from curate.demo.rng import stream
from curate.demo.scenes import Scene, recoloured
from curate.errors import RecipeError
from curate.pixels import Decode
from stages.image.clip import ImageTower
from stages.image.leak_image import LeakImage
from stages.image.phash import Phash
from stages.image.sha256 import Sha256

Edit = Callable[[Image.Image], Image.Image]


@cache
def scene(number: int) -> Scene:
    found = make(stream("leaks", number), False, "scene")
    assert isinstance(found, Scene)
    return found


def picture(number: int) -> Image.Image:
    return draw(scene(number))


def saved(image: Image.Image, form: str = "jpeg", **options: Any) -> bytes:
    sink = io.BytesIO()
    image.save(sink, form, **options)
    return sink.getvalue()


def column(files: Sequence[bytes | None]) -> pa.StructArray:
    return decode_column(files, Decode())[0]


def table(*files: bytes | None) -> pa.Table:
    """What the nodes before it write."""
    shown = pa.table({"image_pixels": column(files), "image_bytes": pa.array(files, pa.binary_view())})
    made = [stage.open()(shown).columns for stage in (Sha256(), Phash(kinds=("thumb",)))]
    return (
        shown.select(["image_pixels"])
        .append_column("image_pixel_sha256", made[0]["image_pixel_sha256"])
        .append_column("image_thumb", made[1]["image_thumb"])
    )


@pytest.fixture
def benchmark(tmp_path: Path) -> Any:
    """A folder of images as the benchmark `set`, item `<name>`."""

    def made(images: dict[str, bytes], **config: Any) -> LeakImage:
        (tmp_path / "set").mkdir(exist_ok=True)
        for name, data in images.items():
            (tmp_path / "set" / name).write_bytes(data)
        return LeakImage(paths=str(tmp_path / "set"), index=str(tmp_path / "index"), **config)

    return made


def told(stage: LeakImage, *files: bytes | None) -> list[dict[str, Any]]:
    out = stage.open()(table(*files))
    assert set(out.columns) == set(stage.writes().names)
    drop = out.drop if out.drop is not None else pa.nulls(len(files), pa.string())
    return list(pa.table({**out.columns, "drop": drop}).to_pylist())


def leaks(stage: LeakImage, *files: bytes | None) -> list[str | None]:
    return [row["image_leak"] for row in told(stage, *files)]


def crop(image: Image.Image, left: float, top: float, share: float = 0.02) -> Image.Image:
    width, height = round(image.width * (1 - share)), round(image.height * (1 - share))
    x, y = round((image.width - width) * left), round((image.height - height) * top)
    return image.crop((x, y, x + width, y + height))


def half(image: Image.Image) -> Image.Image:
    return image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC)


EDITS: dict[str, Edit] = {
    "saved anew": lambda image: image,
    "halved": half,
    "cropped": lambda image: crop(image, 0.3, 0.8),
    "cropped at a corner": lambda image: crop(image, 1, 0),
    "cropped and halved": lambda image: half(crop(image, 0.5, 0.1)),
    "brightened": lambda image: ImageEnhance.Brightness(image).enhance(1.06),
    "grey": lambda image: image.convert("L"),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
@pytest.mark.parametrize("whose", ["ours", "theirs"])
def test_copies_are_found_whichever_side_was_edited(benchmark: Any, edit: Edit, whose: str) -> None:
    pictures = [picture(k) for k in range(12)]
    plain = [saved(image, "png") for image in pictures]
    edited = [saved(edit(image), quality=70) for image in pictures]
    ours, theirs = (edited, plain) if whose == "ours" else (plain, edited)
    stage = benchmark({f"{k:02d}.png": data for k, data in enumerate(theirs)})
    rows = told(stage, *ours)
    assert [row["image_leak"] for row in rows] == [f"set/{k:02d}.png" for k in range(12)]
    assert {row["image_leak_by"] for row in rows} == {"thumb"}
    assert {row["drop"] for row in rows} == {"leak"}
    assert all(0.6 < row["image_leak_similarity"] <= 1 for row in rows)


@pytest.mark.parametrize("whose", ["ours", "theirs"])
def test_a_crop_may_lose_the_frame_of_a_drawing(benchmark: Any, whose: str) -> None:
    """A rim of another colour, of which nothing is left after a crop by 2 %: it cannot be guessed."""
    framed, cropped = [], []
    for number in (0, 1, 2, 4, 6, 7):  # whose hashes the frame leaves near
        image = Image.new("RGB", (300, 300), "white")
        image.paste((0, 0, 0), (0, 0, 300, 3))
        image.paste((0, 0, 0), (297, 0, 300, 300))
        sketch = picture(number).convert("L").resize((240, 240)).point(lambda v: 0 if v < 128 else 255)
        image.paste(sketch, (30, 30))
        framed.append(saved(image, "png"))
        cropped.append(saved(crop(image, 0.0, 1.0), quality=70))
    ours, theirs = (cropped, framed) if whose == "ours" else (framed, cropped)
    stage = benchmark({f"{k}.png": data for k, data in enumerate(theirs)})
    assert leaks(stage, *ours) == [f"set/{k}.png" for k in range(6)]


def test_others_stay(benchmark: Any) -> None:
    stage = benchmark({f"{k}.png": saved(picture(k), "png") for k in range(20)})
    others = [saved(picture(k)) for k in range(100, 160)]
    # the same layout in another colour
    others += [saved(draw(recoloured(scene(k), stream("colour", k)))) for k in range(20)]
    assert leaks(stage, *others) == [None] * len(others)


def test_a_sign_with_another_word_is_another_sign(benchmark: Any) -> None:
    """Where the word is large: one that is small in the picture is not seen."""
    words = {0: "OPEN", 2: "KEIN ZUTRITT", 3: "Sale", 4: "OPEN"}
    signs = {k: make(stream("signs", k), False, "sign") for k in words}
    stage = benchmark({f"{k}.png": saved(draw(sign), "png") for k, sign in signs.items()})
    others = [
        replace(sign, lines=(words[k], *sign.lines[1:]))
        for k, sign in signs.items()
        if isinstance(sign, Sign)
    ]
    assert leaks(stage, *(saved(draw(sign)) for sign in others)) == [None] * 4
    assert leaks(stage, *(saved(draw(sign)) for sign in signs.values())) == [f"set/{k}.png" for k in words]


def test_equal_pixels_are_told_as_such_also_of_one_colour(benchmark: Any) -> None:
    white, black = (Image.new("RGB", (300, 200), colour) for colour in ("white", "black"))
    stage = benchmark({"a.png": saved(picture(1), "png"), "b.png": saved(white, "png")})
    other = Image.new("RGB", (300, 210), "white")
    files = [
        saved(picture(1), "webp", lossless=True),
        *(saved(i, "bmp") for i in (white, black, other)),
        None,
    ]
    rows = told(stage, *files)
    assert [row["image_leak"] for row in rows] == ["set/a.png", "set/b.png", None, None, None]
    assert [row["image_leak_by"] for row in rows[:2]] == ["sha256"] * 2
    assert [row["image_leak_similarity"] for row in rows[:2]] == [1, 1]
    # an almost blank page is like all almost blank pages
    faint = Image.fromarray(np.random.default_rng(0).integers(253, 255, (200, 300, 3), dtype=np.uint8))
    assert leaks(stage, saved(faint)) == [None]


def test_turned_copies_only_where_they_are_asked_for(benchmark: Any) -> None:
    images = {f"{k}.png": saved(picture(k), "png") for k in (3, 4)}
    mirrored = saved(ImageOps.mirror(picture(3)))
    turned = saved(crop(picture(4).transpose(Image.Transpose.ROTATE_90), 0.2, 0.9))
    assert leaks(benchmark(images), mirrored, turned) == [None, None]
    assert leaks(benchmark(images, orientations="flips"), mirrored, turned) == ["set/3.png", None]
    assert leaks(benchmark(images, orientations="all"), mirrored, turned) == ["set/3.png", "set/4.png"]


def test_marks_drop_nothing(benchmark: Any) -> None:
    stage = benchmark({"a.png": saved(picture(1), "png")}, action="mark")
    assert stage.reasons() == frozenset()
    (row,) = told(stage, saved(picture(1)))
    assert (row["image_leak"], row["drop"]) == ("set/a.png", None)


def test_of_equal_images_the_first_item_is_named(benchmark: Any) -> None:
    data = saved(picture(1), "png")
    stage = benchmark({"b.png": data, "a.png": data, "c.png": saved(picture(1), "bmp")})
    assert leaks(stage, data, saved(picture(1))) == ["set/a.png"] * 2


def test_embeddings_find_what_was_cropped_by_more(benchmark: Any) -> None:
    images = {f"{k}.png": saved(picture(k), "png") for k in range(6)}
    cropped = [saved(crop(picture(k), 0.5, 0.5, 0.15)) for k in range(3)]
    shown = table(*cropped, saved(picture(200)))
    tower = ImageTower(model="mini", weights="", precision="fp32", pixels="canonical", name="clip", needs={})
    embeddings = tower.open()(shown).columns["image_clip_embedding"]
    everything = shown.append_column("image_clip_embedding", embeddings)
    stage = benchmark(images, model="mini", min_cosine=0.75)
    rows = pa.table(stage.open()(everything).columns).to_pylist()
    assert [row["image_leak"] for row in rows] == ["set/0.png", "set/1.png", "set/2.png", None]
    assert {row["image_leak_by"] for row in rows[:3]} == {"embedding"}
    assert all(row["image_leak_similarity"] == row["image_leak_cosine"] for row in rows[:3])
    assert rows[3]["image_leak_cosine"] < 0.75
    # each row by itself
    for k in range(4):
        (alone,) = pa.table(stage.open()(everything.slice(k, 1)).columns).to_pylist()
        assert alone == rows[k]
    columns = pa.schema([("image_clip_embedding", pa.list_(pa.float16(), 512))])
    with pytest.raises(RecipeError, match="model: mini gives embeddings of 256 numbers"):
        stage.check_columns(columns)


def test_pictures_of_one_colour_are_compared_by_their_pixels_and_told(benchmark: Any) -> None:
    white = saved(Image.new("RGB", (120, 90), "white"), "png")
    stage = benchmark({"a.png": white, "b.png": saved(picture(1), "png")})
    cut = saved(Image.new("RGB", (118, 88), "white"), "png")
    assert leaks(stage, white, cut, saved(picture(1))) == ["set/a.png", None, "set/b.png"]
    (notice,) = stage.notices()
    assert notice.endswith("; not compared: 1 blank_image")


def test_what_cannot_be_decoded_is_told_and_the_rest_compared(benchmark: Any) -> None:
    data = saved(picture(1), "png")
    stage = benchmark({"a.png": data, "b.png": data[:500], "c.jpg": b"\xff\xd8\xffno", "d.png": b""})
    assert leaks(stage, saved(picture(1))) == ["set/a.png"]
    (notice,) = stage.notices()
    assert "the benchmark set, SHA-256 " in notice
    assert notice.endswith("; not compared: 1 empty, 2 truncated")
