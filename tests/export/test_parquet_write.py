from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from workshop import Workshop, encoded, picture, refusals, tree

from curate.errors import RunError
from curate.io import parquet_write
from curate.io.parquet_write import WriteParquet

MESSAGES = pa.list_(
    pa.struct([("role", pa.string()), ("content", pa.string()), ("images", pa.list_(pa.int32()))])
)


def test_datasets_reads_pairs(shop: Workshop, load_dataset: Callable[..., Any]) -> None:
    formats = ("PNG", "JPEG", "WEBP", "GIF")
    rows = [shop.pair(i, encoded(picture(i, mode="L"), formats[i % 4]), image_clip=[None]) for i in range(7)]
    table = shop.table(rows)
    folder, shards = shop.write(WriteParquet(), [table.slice(0, 4), table.slice(4)], "out")
    assert [(s.samples, s.images, s.files) for s in shards] == [
        (4, 4, ["00000.parquet"]),
        (3, 3, ["00001.parquet"]),
    ]
    loaded = load_dataset("parquet", data_files=str(folder / "*.parquet"))
    assert loaded["text"][:] == [t[0] for t in table["text_body"].to_pylist()]
    for i, found in enumerate(loaded["image"]):
        assert (
            np.abs(np.asarray(found.convert("L")).astype(int) - np.asarray(picture(i, mode="L"))).max() <= 8
        )
    assert loaded[0]["image_boxes"] == [{"label": "cup", "x": 1.5}]
    assert loaded[0]["image_clip"] is None
    assert loaded[3]["phash"] == 2**63 + 3
    assert load_dataset(str(folder)).features == loaded.features
    stored = pq.read_table(folder / "00000.parquet")["image"].to_pylist()
    assert stored[2]["bytes"] == encoded(picture(2, mode="L"), "WEBP")
    assert stored[2]["path"].endswith(".webp")


def test_datasets_reads_documents(shop: Workshop, load_dataset: Callable[..., Any]) -> None:
    rows = [
        shop.document(1, "titit", image_drop=["sizes:too_small", None], text_drop=[None, "a:b", None]),
        shop.document(2, "iitit", text_body=["第一段", "第二段"]),
        shop.document(3, "tt", shape="document:text_only"),
    ]
    folder, shards = shop.write(WriteParquet(form="documents"), [shop.table(rows)], "out")
    assert (shards[0].samples, shards[0].images) == (3, 4)
    loaded = load_dataset("parquet", data_files=str(folder / "*.parquet"))
    assert loaded["layout"][:] == ["tit", "iitit", "tt"]
    assert loaded["texts"][:] == [
        ["paragraph 0 of 1", None, "paragraph 2 of 1"],
        [None, None, "第一段", None, "第二段"],
        ["paragraph 0 of 3", "paragraph 1 of 3"],
    ]
    numbers = [[11], [20, 21, 22], []]
    for found, expected in zip(loaded["images"], numbers, strict=True):
        assert len(found) == len(expected)
        for image, number in zip(found, expected, strict=True):
            assert np.abs(np.asarray(image).astype(int) - np.asarray(picture(number))).max() <= 24
    assert loaded[0]["dropped_images"] == [{"index": 0, "reason": "sizes:too_small"}]
    assert loaded[0]["dropped_texts"] == [{"index": 1, "reason": "a:b"}]
    assert loaded[0]["image_clip"] == [0.25 + 1 / 64]
    assert load_dataset(str(folder)).features == loaded.features
    paths = pq.read_table(folder / "00000.parquet")["images"].to_pylist()
    assert [i["path"].split(".", 1)[1] for i in paths[1]] == ["img00.jpg", "img01.png", "img02.jpg"]
    assert paths[0][0]["path"].endswith(".img01.png")


def test_messages_stay_lists_of_structs(shop: Workshop, load_dataset: Callable[..., Any]) -> None:
    said = [
        {"role": "user", "content": "What?", "images": [0]},
        {"role": "assistant", "content": "A cup.", "images": []},
    ]
    table = shop.table([shop.pair(0)]).append_column("messages", pa.array([said], MESSAGES))
    folder, _ = shop.write(WriteParquet(form="documents"), [table], "out")
    assert load_dataset("parquet", data_files=str(folder / "*.parquet"))[0]["messages"] == said


def test_older_versions_of_datasets_can_read_the_types(shop: Workshop) -> None:
    folder, _ = shop.write(WriteParquet(form="documents"), [shop.table([shop.pair(0)])], "out")
    metadata = json.loads(pq.read_schema(folder / "00000.parquet").metadata[b"huggingface"])
    features = metadata["info"]["features"]
    assert features["images"] == {"feature": {"_type": "Image"}, "_type": "Sequence"}
    # a Sequence of a struct would be a struct of lists
    assert [set(f) for f in features["dropped_images"]] == [{"index", "reason"}]
    assert '"List"' not in json.dumps(features)
    assert list(features) == pq.read_schema(folder / "00000.parquet").names


def test_row_groups_are_small(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(picture(0), "JPEG")
    table = shop.table([shop.pair(i, data) for i in range(230)])
    folder, _ = shop.write(WriteParquet(), [table], "rows")
    file = pq.ParquetFile(folder / "00000.parquet")
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [100, 100, 30]
    assert file.read()["sample_id"].to_pylist() == table["sample_id"].to_pylist()
    monkeypatch.setattr(parquet_write, "GROUP_BYTES", 3 * len(data))
    folder, _ = shop.write(WriteParquet(), [table.slice(0, 7)], "bytes")
    file = pq.ParquetFile(folder / "00000.parquet")
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [3, 3, 1]


@pytest.mark.parametrize("form", ["pairs", "documents"])
def test_bytes_follow_from_the_rows_alone(shop: Workshop, form: Any) -> None:
    rows = [shop.pair(i) for i in range(5)]
    chunks = pa.concat_tables([shop.table(rows[:2]), shop.table([{**r, "source": "x"} for r in rows[2:]])])
    first, _ = shop.write(WriteParquet(form=form), [shop.table(rows)], "a")
    again, _ = shop.write(WriteParquet(form=form), [chunks], "b")
    assert tree(first)["00000.parquet"] == tree(again)["00000.parquet"]


def test_admission_and_what_is_no_image(shop: Workshop) -> None:
    table = shop.table([shop.pair(0, b"<html>404 not found</html>"), shop.document(1, "titti")])
    assert refusals(WriteParquet(), table) == [None, "not_a_pair"]
    assert refusals(WriteParquet(form="documents"), table) == [None, None]
    with pytest.raises(RunError, match="cannot be written"):
        shop.write(WriteParquet(), [table.slice(0, 1)], "out")


def test_a_column_named_like_one_of_the_format_is_refused(shop: Workshop) -> None:
    table = shop.table([shop.pair(0)]).append_column("text", [["x"]])
    with pytest.raises(RunError, match="column `text`"):
        shop.write(WriteParquet(), [table], "out")
