"""OBELICS' and MMC4's layouts: read again by our own sources, documents are what they were."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webdataset
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from workshop import Workshop, opened, refusals, tree

from curate.errors import RecipeError
from curate.export import mmc4
from curate.io.mmc4 import ReadMmc4
from curate.io.mmc4_write import WriteMmc4
from curate.io.obelics import ReadObelics
from curate.io.obelics_write import WriteObelics
from curate.io.payload import Payload
from curate.io.source import Read
from curate.io.storage import LocalStorage

WEB = pa.schema(
    [
        ("image_url", pa.list_(pa.string())),
        ("image_alt", pa.list_(pa.string())),
        ("image_name", pa.list_(pa.string())),
        ("image_width", pa.list_(pa.int32())),
        ("image_height", pa.list_(pa.int32())),
        ("image_clip", pa.list_(pa.float32())),
        ("image_clip_text", pa.list_(pa.int32())),
        ("image_clip_embedding", pa.list_(pa.list_(pa.float16(), 2))),
        ("text_clip_embedding", pa.list_(pa.list_(pa.float16(), 2))),
        ("text_quality", pa.list_(pa.float32())),
        ("url", pa.string()),
        ("language", pa.string()),
        ("licence", pa.string()),
        ("n_images", pa.int32()),
    ]
)
# Unit vectors whose dot products are exact in float16.
EAST, NORTH, WEST = [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]
BETWEEN = [0.75, 0.25]  # as float16 would have it; its length is not one, cosines are of unit vectors
NEAR, FAR = (float(str(np.float32(v / np.sqrt(0.625)))) for v in BETWEEN)


def web(shop: Workshop, number: int, layout: str, **fields: Any) -> dict[str, Any]:
    """A document as a page gives it; every second image has a URL."""
    images, texts = layout.count("i"), layout.count("t")
    own = {
        "image_url": [f"https://h.example/{number}-{i}.png" if i % 2 == 0 else None for i in range(images)],
        "image_alt": [f"picture {i}" for i in range(images)],
        "image_name": [f"{number}/{i}.png" for i in range(images)],
        "image_width": [64] * images,
        "image_height": [48] * images,
        "image_clip_text": [None] * images,
        "image_clip_embedding": [BETWEEN] * images,
        "text_clip_embedding": [EAST] * texts,
        "url": f"https://h.example/{number}.html",
        "language": "en",
        "licence": "cc-by-4.0",
        "n_images": images,
    }
    return shop.document(number, layout, **{**own, **fields})


def again(folder: Path, source: Read) -> list[dict[str, Any]]:
    """All rows that a source makes of an output, with the pixels of their images."""
    storage = LocalStorage(folder)
    files = [file for pattern in source.in_folder for file in storage.find(pattern)]
    parts = [part for group in source.group(files) for part in source.split(storage, group)]
    rows: list[dict[str, Any]] = pa.concat_tables([source.rows(storage, p) for p in parts]).to_pylist()
    for row in rows:
        assert row["drop"] is None
        assert {*row["image_drop"], *row["text_drop"]} <= {None}
        references = row["image_ref"]
        row["pixels"] = [
            opened(d) for d in Payload({"r": storage}).fetch(["r"] * len(references), references)
        ]
    return rows


def node(cls: type[Read], **config: Any) -> Read:
    return cls.model_validate({"path": "x", "id": "read", "name": "r", "image_root": "images", **config})


def pixels(shop: Workshop, row: dict[str, Any]) -> list[np.ndarray[Any, Any]]:
    return [opened((shop.source / name).read_bytes()) for name in row["image_ref"]]


LAYOUTS = ("titit", "iitit", "itt", "ttitiit", "it")
WRITERS = (
    (WriteObelics(images="original"), node(ReadObelics)),
    (WriteMmc4(images="original"), node(ReadMmc4)),
)


@pytest.mark.parametrize(("writer", "reader"), WRITERS)
def test_what_is_written_is_read_again(shop: Workshop, writer: Any, reader: Read) -> None:
    rows = [web(shop, i, layout) for i, layout in enumerate(LAYOUTS)]
    table = shop.table(rows, WEB)
    folder, shards = shop.write(writer, [table.slice(0, 2), table.slice(2)], "out")
    assert [s.samples for s in shards] == [2, 3]
    assert [s.images for s in shards] == [5, 5]
    found = again(folder, reader)
    assert [row["layout"] for row in found] == list(LAYOUTS)
    for row, old in zip(found, rows, strict=True):
        assert row["text_body"] == old["text_body"]
        for new, before in zip(row["pixels"], pixels(shop, old), strict=True):
            assert np.array_equal(new, before)
        assert row["image_url"] == old["image_url"]
        assert {n: row[n] for n in ("url", "language", "licence")} == {
            n: old[n] for n in ("url", "language", "licence")
        }


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from("it"), min_size=1, max_size=12).map("".join))
def test_mmc4_keeps_the_order_of_any_layout(layout: str) -> None:
    texts = [f"T{i}" for i in range(layout.count("t"))]
    images = [(f"I{i}", {}) for i in range(layout.count("i"))]
    record = mmc4.record(layout, texts, images, {})
    beside: list[list[str]] = [[] for _ in record["text_list"]]
    for info in record["image_info"]:
        beside[info["matched_text_index"]].append(info["image_name"])
    read = [span for own, text in zip(beside, record["text_list"], strict=True) for span in (*own, text)]
    # the empty text that images at the end stand before
    assert [s[:1].lower() or "-" for s in read] == [*layout, *("-" * layout.endswith("i"))]
    assert [s for s in read if s[:1] == "I"] == [name for name, _ in images]
    assert [s for s in read if s[:1] == "T"] == texts


def test_obelics_rows_are_as_obelics_has_them(shop: Workshop, load_dataset: Callable[..., Any]) -> None:
    rows = [
        web(shop, 1, "titit", image_drop=["size:too_small", None], text_drop=[None, "a:b", None]),
        web(shop, 2, "it"),
    ]
    folder, (made,) = shop.write(WriteObelics(), [shop.table(rows, WEB)], "out")
    key = f"{1:032x}"
    assert made.files == [
        "00000.parquet",
        f"images/00000/{key}.img01.jpg",
        f"images/00000/{2:032x}.img00.jpg",
    ]
    first, second = load_dataset(str(folder))
    assert first["images"] == [None, f"00000/{key}.img01.jpg", None]  # no URL: its file
    assert first["texts"] == ["paragraph 0 of 1", None, "paragraph 2 of 1"]
    assert second["images"] == ["https://h.example/2-0.png", None]
    entries = json.loads(first["metadata"])
    assert [e is None for e in entries] == [True, False, True]
    assert entries[1] == {
        "document_url": "https://h.example/1.html",
        "unformatted_src": None,
        "src": None,
        "formatted_filename": f"00000/{key}.img01.jpg",
        "alt_text": "picture 1",
        "original_width": 64,
        "original_height": 48,
        "image_clip": 0.265625,
        "image_name": "1/1.png",
        "image_stored": "jpeg",
    }
    general = json.loads(first["general_metadata"])
    assert general["url"] == "https://h.example/1.html"
    assert general["text_quality"] == [0.0, 0.5]
    assert general["dropped_images"] == [{"index": 0, "reason": "size:too_small"}]
    assert first["sample_id"] == key
    for row in load_dataset(str(folder)):
        assert len(row["images"]) == len(row["texts"]) == len(json.loads(row["metadata"]))
        assert all((i is None) != (t is None) for i, t in zip(row["images"], row["texts"], strict=True))


def test_obelics_column_holds_the_images(shop: Workshop, load_dataset: Callable[..., Any]) -> None:
    rows = [web(shop, 1, "titit"), web(shop, 2, "iit")]
    writer = WriteObelics(images_in="column", images="original")
    folder, (made,) = shop.write(writer, [shop.table(rows, WEB)], "out")
    assert made.files == ["00000.parquet"]
    for row, old in zip(load_dataset(str(folder)), rows, strict=True):
        assert [image is None for image in row["image_files"]] == [s == "t" for s in old["layout"]]
        shown = [image for image in row["image_files"] if image is not None]
        for image, before in zip(shown, pixels(shop, old), strict=True):
            assert np.array_equal(np.asarray(image.convert("RGB")).astype(int), before)


def test_obelics_of_urls_alone(shop: Workshop) -> None:
    writer = WriteObelics(images_in="nowhere")
    table = shop.table([web(shop, 1, "it"), web(shop, 2, "iit"), web(shop, 3, "ti")], WEB)
    assert refusals(writer, table) == [None, "no_url", None]
    folder, (made,) = shop.write(writer, [table.filter(pa.array([True, False, True]))], "out")
    assert made.files == ["00000.parquet"]
    assert pq.read_table(folder / "00000.parquet")["images"].to_pylist() == [
        ["https://h.example/1-0.png", None],
        [None, "https://h.example/3-0.png"],
    ]
    with pytest.raises(RecipeError, match="image_url"):
        writer.check_columns(pa.schema([("image_width", pa.int32())]))


def test_a_relative_link_is_no_url(shop: Workshop) -> None:
    table = shop.table([web(shop, 1, "it", image_url=["pics/a.png"])], WEB)
    assert refusals(WriteObelics(images_in="nowhere"), table) == ["no_url"]
    folder, _ = shop.write(WriteObelics(), [table], "obelics")
    (row,) = pq.read_table(folder / "00000.parquet").to_pylist()
    (entry, _) = json.loads(row["metadata"])
    assert row["images"] == [entry["formatted_filename"], None]
    assert (entry["unformatted_src"], entry["src"]) == ("pics/a.png", None)
    folder, _ = shop.write(WriteMmc4(), [table], "mmc4")
    assert records(folder)[0]["image_info"][0]["raw_url"] is None


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "00000.jsonl").read_text("utf-8").splitlines()]


def test_mmc4_has_the_similarities_of_the_clip_stage(shop: Workshop) -> None:
    row = web(
        shop,
        1,
        "tittii",
        image_clip_embedding=[EAST, NORTH, BETWEEN],
        text_clip_embedding=[EAST, WEST, NORTH],
        text_drop=[None, "a:b", None],
        image_clip_text=[2, 0, None],
    )
    folder, _ = shop.write(WriteMmc4(), [shop.table([row], WEB)], "place")
    (found,) = records(folder)
    assert found["text_list"] == ["paragraph 0 of 1", "paragraph 2 of 1", ""]
    # the empty text has the similarities of the one before it
    assert found["similarity_matrix"] == [[1.0, 0.0, 0.0], [0.0, 1.0, 1.0], [NEAR, FAR, FAR]]
    assert [i["matched_text_index"] for i in found["image_info"]] == [1, 2, 2]
    assert [i["matched_sim"] for i in found["image_info"]] == [0.0, 1.0, FAR]
    assert found["image_info"][0]["raw_url"] == "https://h.example/1-0.png"
    assert found["image_info"][1]["raw_url"] is None

    folder, _ = shop.write(WriteMmc4(match="clip"), [shop.table([row], WEB)], "clip")
    (found,) = records(folder)
    assert found["text_list"] == ["paragraph 0 of 1", "paragraph 2 of 1"]
    # text 2 of the source is the second that is left; the third image, assigned to none, goes to the likest
    assert [i["matched_text_index"] for i in found["image_info"]] == [1, 0, 0]
    assert [i["matched_sim"] for i in found["image_info"]] == [0.0, 0.0, NEAR]


def test_mmc4_does_without_the_clip_stage(shop: Workshop) -> None:
    fields = [f for f in WEB if "clip" not in f.name]
    folder, _ = shop.write(WriteMmc4(), [shop.table([web(shop, 1, "iti")], pa.schema(fields))], "out")
    (found,) = records(folder)
    assert "similarity_matrix" not in found
    assert [i["matched_text_index"] for i in found["image_info"]] == [0, 1]
    assert not any("matched_sim" in info for info in found["image_info"])
    with pytest.raises(RecipeError, match="image_clip_text"):
        WriteMmc4(match="clip").check_columns(pa.schema(fields))
    # one embedding is missing: nothing is said of the document's similarities
    row = web(shop, 2, "it", image_clip_embedding=[None])
    folder, _ = shop.write(WriteMmc4(), [shop.table([row], WEB)], "missing")
    assert "similarity_matrix" not in records(folder)[0]


def test_mmc4_tars_hold_all_as_open_flamingo_reads_it(shop: Workshop) -> None:
    rows = [web(shop, i, layout) for i, layout in enumerate(LAYOUTS)]
    writer = WriteMmc4(images_in="tar", images="original")
    folder, (made,) = shop.write(writer, [shop.table(rows, WEB)], "out")
    assert made.files == ["00000.tar", "00000.parquet"]
    samples = list(webdataset.WebDataset(str(folder / "00000.tar"), shardshuffle=False).to_tuple("json"))
    for (sample,), old in zip(samples, rows, strict=True):
        info = json.loads(sample)
        assert info["text_list"][: len(old["text_body"])] == old["text_body"]
        for image, before in zip(info["image_info"], pixels(shop, old), strict=True):
            raw = base64.b64decode(image["image_base64"], validate=True)
            shown = np.asarray(Image.open(io.BytesIO(raw)).convert("RGB")).astype(int)
            assert np.array_equal(shown, before)
            assert image["matched_sim"] == info["similarity_matrix"][0][image["matched_text_index"]]


@pytest.mark.parametrize("writer", [WriteObelics(), WriteMmc4(), WriteMmc4(images_in="tar")])
def test_a_shard_lies_in_its_folder_and_bytes_follow_from_the_rows(shop: Workshop, writer: Any) -> None:
    table = shop.table([web(shop, i, layout) for i, layout in enumerate(LAYOUTS)], WEB)
    for name in ("a", "b"):
        folder = shop.folder / name
        folder.mkdir()
        made = writer.write_shard(table, shop.payload, folder, "train/64x48/00000", table.schema)
        assert set(made.files) == set(tree(folder))
        assert "train/64x48/00000.parquet" in made.files
    assert tree(shop.folder / "a") == tree(shop.folder / "b")


def test_text_only_documents(shop: Workshop) -> None:
    table = shop.table([web(shop, 1, "tt", shape="document:text_only")], WEB)
    for writer, reader in WRITERS:
        folder, (made,) = shop.write(writer, [table], type(writer).__name__)
        assert (made.samples, made.images) == (1, 0)
        reader = node(type(reader), settle="text_only")
        assert [row["layout"] for row in again(folder, reader)] == ["tt"]
