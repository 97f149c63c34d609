"""Images resized where they are written, in each of the writers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webdataset
from workshop import EXTRA, Workshop, encoded, opened, picture, refusals, tree

from curate.errors import RecipeError, RunError
from curate.export import llava
from curate.export.resize import Resize, Target, pixels
from curate.io.fields import OBJECTS
from curate.io.llava_write import WriteLlava
from curate.io.parquet_write import WriteParquet
from curate.io.picture_write import PictureWrite
from curate.io.webdataset_write import WriteWebdataset
from curate.pixels import plain
from curate.plan import make
from curate.recipe import parse

TARGETS = pa.schema(
    [
        *EXTRA,
        ("image_target_width", pa.list_(pa.int32())),
        ("image_target_height", pa.list_(pa.int32())),
        ("image_fit", pa.list_(pa.string())),
        ("image_objects", pa.list_(OBJECTS)),
    ]
)
FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
CUP = {"label": "cup", "box": [32.0, 12.0, 64.0, 48.0], "attributes": []}
LEFT = {"label": "left", "box": [0.0, 0.0, 8.0, 48.0], "attributes": []}


def aimed(shop: Workshop, number: int, target: Target | None, data: bytes | None = None) -> dict[str, Any]:
    """A pair of 64 x 48 with a target."""
    data = encoded(picture(number), FORMATS[number % 4]) if data is None else data
    wide, tall, fit = target or (None, None, None)
    aim = {"image_target_width": [wide], "image_target_height": [tall], "image_fit": [fit]}
    return shop.pair(number, data, **aim, image_objects=[[CUP, LEFT]])


def pool(shop: Workshop) -> pa.Table:
    """Three squashed, two cut, one that fits already, one JPEG and one PNG without a target."""
    rows = [aimed(shop, i, Target(32, 32)) for i in range(3)]
    rows += [aimed(shop, i, Target(36, 36, "crop")) for i in range(3, 5)]
    rows.append(aimed(shop, 5, Target(64, 48, "crop")))
    rows += [aimed(shop, 9, None), aimed(shop, 8, None)]
    return shop.table(rows, TARGETS)


STORED = ["resized"] * 5 + ["original", "original", "jpeg"]
SIZES = [(32, 32)] * 3 + [(36, 36)] * 2 + [(64, 48)] * 3
SQUASHED = [{**CUP, "box": [16.0, 8.0, 32.0, 32.0]}, {**LEFT, "box": [0.0, 0.0, 4.0, 32.0]}]
CUT = [{**CUP, "box": [18.0, 9.0, 36.0, 36.0]}]
OBJECTS_OF = [SQUASHED] * 3 + [CUT] * 2 + [[CUP, LEFT]] * 3


def check_pictures(shop: Workshop, files: list[bytes], format: str = "jpeg") -> None:
    table = pool(shop)
    for i, (data, size) in enumerate(zip(files, SIZES, strict=True)):
        assert plain(data) == (format, *size)
        source = (shop.source / table["image_ref"][i].as_py()[0]).read_bytes()
        fit = table["image_fit"][i].as_py()[0]
        wanted = np.asarray(pixels(source, Target(*size, fit or "stretch"))).astype(int)
        assert np.abs(opened(data) - wanted).max() <= 24


@pytest.mark.parametrize("how", [Resize(), Resize(format="webp"), Resize(format="png", filter="lanczos")])
def test_webdataset_and_datasets_read_resized_pairs(
    shop: Workshop, load_dataset: Callable[..., Any], how: Resize
) -> None:
    table = pool(shop)
    stage = WriteWebdataset(images="resized", resize=how)
    folder, _ = shop.write(stage, [table.slice(0, 3), table.slice(3)], "out")
    urls = [str(path) for path in sorted(folder.glob("*.tar"))]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False))
    check_pictures(shop, [s[how.ending] for s in samples], how.format)
    told = [json.loads(s["json"]) for s in samples]
    stored = ["original" if how.format == s else s for s in ("jpeg", "webp", "png")]
    if how.format == "jpeg":
        assert [t["image_stored"] for t in told] == STORED
        assert samples[5]["jpg"] == encoded(picture(5), "JPEG")  # it fits: the same bytes
        assert samples[6]["jpg"] == encoded(picture(9), "JPEG")
    else:
        assert stored[0] == "jpeg"
        assert [t["image_stored"] for t in told][:6] == ["resized"] * 6
        assert {t["image_stored"] for t in told[6:]} <= {how.format, "original"}
    assert [(t["image_stored_width"], t["image_stored_height"]) for t in told] == SIZES
    assert {(t["image_width"], t["image_height"]) for t in told} == {(64, 48)}
    assert [json.loads(t["image_objects"]) for t in told] == OBJECTS_OF
    beside = pa.concat_tables([pq.read_table(p) for p in sorted(folder.glob("*.parquet"))])
    assert beside["image_stored_width"].type == pa.int32()
    assert (
        list(zip(*(beside[f"image_stored_{n}"].to_pylist() for n in ("width", "height")), strict=True))
        == SIZES
    )
    assert beside["image_objects"].to_pylist() == OBJECTS_OF
    loaded = load_dataset("webdataset", data_files=str(folder / "*.tar"))
    assert [row[how.ending].size for row in loaded] == SIZES
    assert load_dataset(str(folder)).features == loaded.features  # the card says the same
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert how.filter in card
    assert "| `image_stored_width` | image |" in card


def test_documents_tell_the_size_of_each_image(shop: Workshop) -> None:
    aims = {
        "image_width": [64, 64, 64],
        "image_height": [48, 48, 48],
        "image_target_width": [16, 32, None],
        "image_target_height": [16, 24, None],
        "image_fit": ["crop", "stretch", None],
        "image_drop": ["a:b", None, None],
        "image_objects": [[CUP], [CUP], None],
    }
    table = shop.table([shop.document(1, "ititi", **aims)], TARGETS)
    folder, _ = shop.write(WriteWebdataset(form="documents", images="resized"), [table], "out")
    (found,) = list(webdataset.WebDataset(str(folder / "00000.tar"), shardshuffle=False))
    body = json.loads(found["json"])
    assert body["image_stored"] == ["resized", "original"]
    assert (body["image_stored_width"], body["image_stored_height"]) == ([32, 64], [24, 48])
    assert opened(found["img01.jpg"]).shape == (24, 32, 3)
    assert body["image_objects"] == [[{**CUP, "box": [16.0, 6.0, 32.0, 24.0]}], None]
    (beside,) = pq.read_table(folder / "00000.parquet").to_pylist()
    assert beside["image_stored_width"] == [32, 64]


def test_parquet_holds_resized_images(shop: Workshop, load_dataset: Callable[..., Any]) -> None:
    folder, _ = shop.write(WriteParquet(images="resized"), [pool(shop)], "out")
    rows = pq.read_table(folder / "00000.parquet").to_pylist()
    check_pictures(shop, [r["image"]["bytes"] for r in rows])
    assert all(r["image"]["path"].endswith(".jpg") for r in rows)
    assert [r["image_stored"] for r in rows] == STORED
    assert [(r["image_stored_width"], r["image_stored_height"]) for r in rows] == SIZES
    assert [r["image_objects"] for r in rows] == OBJECTS_OF
    loaded = load_dataset(str(folder))
    assert [image.size for image in loaded["image"]] == SIZES
    assert loaded.features == load_dataset("parquet", data_files=str(folder / "*.parquet")).features
    pages, _ = shop.write(WriteParquet(form="documents", images="resized"), [pool(shop)], "pages")
    (first, *_) = pq.read_table(pages / "00000.parquet").to_pylist()
    assert (first["image_stored"], first["image_stored_width"]) == (["resized"], [32])


def test_parquet_makes_jpegs_where_it_is_asked_to(shop: Workshop) -> None:
    table = shop.table([shop.pair(i, encoded(picture(i), FORMATS[i])) for i in range(4)])
    folder, _ = shop.write(WriteParquet(images="jpeg"), [table], "out")
    rows = pq.read_table(folder / "00000.parquet").to_pylist()
    assert [r["image_stored"] for r in rows] == ["jpeg", "original", "jpeg", "jpeg"]
    assert {plain(r["image"]["bytes"]) for r in rows} == {("jpeg", 64, 48)}


def test_llava_holds_resized_images(shop: Workshop) -> None:
    for how in (Resize(), Resize(format="png")):
        folder, _ = shop.write(WriteLlava(images="resized", resize=how), [pool(shop)], how.format)
        rows = json.loads((folder / "llava.json").read_text(encoding="utf-8"))
        assert llava.validate(rows, folder) == []
        assert {Path(r["image"]).suffix for r in rows} == {f".{how.ending}"}
        check_pictures(shop, [(folder / r["image"]).read_bytes() for r in rows], how.format)
        beside = pq.read_table(folder / "00000.parquet").to_pylist()
        assert [(r["image_stored_width"], r["image_stored_height"]) for r in beside] == SIZES
        assert [r["image_objects"] for r in beside] == OBJECTS_OF


def test_llava_judges_the_size_that_is_written(shop: Workshop) -> None:
    large = aimed(shop, 0, Target(200, 200))
    rows = [aimed(shop, 0, Target(24, 32)), large, {**large, "image_width": [20]}, aimed(shop, 0, None)]
    table = shop.table(rows, TARGETS)
    assert refusals(WriteLlava(images="resized"), table) == ["image_too_small", None, None, None]
    assert refusals(WriteLlava(), table) == [None, None, "image_too_small", None]


def test_equal_rows_give_equal_bytes(shop: Workshop) -> None:
    for how in (Resize(), Resize(format="webp"), Resize(format="webp", lossless=True), Resize(format="png")):
        stage = WriteWebdataset(images="resized", resize=how)
        name = f"{how.format}-{how.lossless}"
        first, _ = shop.write(stage, [pool(shop)], f"{name}-a")
        again, _ = shop.write(stage, [pool(shop)], f"{name}-b")
        for file in ("00000.tar", "00000.parquet"):
            assert tree(first)[file] == tree(again)[file]


@pytest.mark.parametrize("write", [WriteWebdataset, WriteParquet, WriteLlava])
def test_a_bad_image_or_target_stops_the_run_and_is_named(
    shop: Workshop, write: Callable[..., PictureWrite]
) -> None:
    row = aimed(shop, 0, Target(32, 32), b"<html>404 not found</html>")
    with pytest.raises(RunError, match=rf"sample {row['sample_id']}: .*cannot be written"):
        shop.write(write(images="resized"), [shop.table([row], TARGETS)], "out")
    for i, target in enumerate([Target(0, 32), Target(32, 32, "pad")]):  # type: ignore[arg-type]
        with pytest.raises(RunError, match="cannot be resized to"):
            shop.write(write(images="resized"), [shop.table([aimed(shop, 0, target)], TARGETS)], f"out{i}")


RECIPE = """
name: r
nodes:
  - {{id: raw, stage: read_webdataset, path: '*.tar'}}
  - {before}
  - {{id: out, stage: {writer}, images: resized}}
"""


@pytest.mark.parametrize("writer", ["write_webdataset", "write_parquet", "write_llava"])
def test_without_a_target_the_recipe_is_refused(writer: str) -> None:
    with pytest.raises(RecipeError, match=r"(?s)nodes\.2.*image_target_width.*put a `bucket` node before it"):
        make(parse(RECIPE.format(writer=writer, before="{stage: probe}")))


def test_the_columns_of_a_target_must_be_what_they_are_called() -> None:
    stage = WriteWebdataset(images="resized")
    good = {
        **{
            n: pa.int32()
            for n in ("image_target_width", "image_target_height", "image_width", "image_height")
        },
        "image_fit": pa.string(),
    }
    stage.check_columns(pa.schema(good))
    WriteWebdataset().check_columns(pa.schema([]))
    bad = [
        ({"image_target_height": pa.string()}, "image_target_height"),
        ({"image_fit": pa.int32()}, "image_fit"),
        ({"image_stored_width": pa.int32()}, "image_stored_width"),
    ]
    for change, name in bad:
        with pytest.raises(RecipeError, match=name):
            stage.check_columns(pa.schema({**good, **change}))
    with pytest.raises(RecipeError, match="probe"):
        stage.check_columns(pa.schema({n: t for n, t in good.items() if n != "image_width"}))
    with pytest.raises(ValueError, match="images: resized"):
        WriteWebdataset(resize=Resize(quality=80))
