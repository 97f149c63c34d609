"""`img2dataset: true`: pairs as img2dataset itself would have written them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pools
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webdataset
from workshop import Workshop, encoded, picture, tree

from curate.errors import RecipeError
from curate.io.webdataset_write import WriteWebdataset

# Of img2dataset 1.47 with `save_additional_columns=[]`: the columns of its Parquet, in order.
_COLUMNS = {
    "url": pa.string(),
    "caption": pa.string(),
    "key": pa.string(),
    "status": pa.string(),
    "error_message": pa.string(),
    "width": pa.int32(),
    "height": pa.int32(),
    "original_width": pa.int32(),
    "original_height": pa.int32(),
    "sha256": pa.string(),
}


def rows(shop: Workshop) -> list[dict[str, Any]]:
    return [
        shop.pair(0, encoded(picture(0), "PNG"), image_sha256=["ab" * 32], image_url=["http://a/0.png"]),
        shop.pair(1, image_sha256=[None], image_url=[None]),
        shop.pair(2, encoded(picture(2), "PNG"), image_sha256=[None], image_url=["http://a/2.png"]),
        shop.pair(3, image_width=[None], image_height=[None], image_sha256=["cd" * 32], image_url=[None]),
    ]


def write(shop: Workshop, name: str = "out", **config: Any) -> Path:
    extra = pa.schema([("image_sha256", pa.list_(pa.string())), ("image_url", pa.list_(pa.string()))])
    kept = [("image_width", pa.list_(pa.int32())), ("image_height", pa.list_(pa.int32()))]
    table = shop.table(
        [{k: v for k, v in row.items() if k in _KEPT} for row in rows(shop)],
        pa.unify_schemas([pa.schema(kept), extra]),
    )
    folder, _ = shop.write(WriteWebdataset(img2dataset=True, **config), [table], name)
    return folder


_KEPT = frozenset(
    {
        *("sample_id", "dataset", "source", "shape", "layout", "image_ref", "text_body"),
        *("image_width", "image_height", "image_sha256", "image_url"),
    }
)


def test_the_parquet_has_its_columns_and_ours(shop: Workshop) -> None:
    found = pq.read_table(write(shop) / "00000.parquet")
    assert {name: found.schema.field(name).type for name in _COLUMNS} == _COLUMNS
    assert {"sample_id", "text_body", "image_stored", "image_url"} <= set(found.column_names)
    unchanged = hashlib.sha256(encoded(picture(1), "JPEG")).hexdigest()
    golden = [
        ("http://a/0.png", 0, "ab" * 32),
        (None, 1, unchanged),  # no column tells, but the bytes are the source's
        ("http://a/2.png", 2, None),  # nobody knows what the file was
        (None, 3, "cd" * 32),
    ]
    keys = found["key"].to_pylist()
    assert found.select(list(_COLUMNS)).to_pylist() == [
        {
            "url": url,
            "caption": f"a picture of number {i}",
            "key": keys[i],
            "status": "success",
            "error_message": None,
            **{"width": 64, "height": 48, "original_width": 64, "original_height": 48},
            "sha256": digest,
        }
        for url, i, digest in golden
    ]


def test_the_json_says_the_same_and_names_its_nulls(shop: Workshop) -> None:
    folder = write(shop)
    beside = pq.read_table(folder / "00000.parquet").select(list(_COLUMNS)).to_pylist()
    samples = list(webdataset.WebDataset(str(folder / "00000.tar"), shardshuffle=False))
    bodies = [json.loads(s["json"]) for s in samples]
    for sample, body, row in zip(samples, bodies, beside, strict=True):
        nulls = set(body["nulls"].split(",")) & set(_COLUMNS)
        assert nulls == {n for n, v in row.items() if v is None} - {"error_message"}
        assert {n: None if n in nulls else body[n] for n in _COLUMNS} == row
        assert (sample["__key__"], sample["txt"].decode()) == (body["key"], body["caption"])
    assert len({tuple((k, type(v)) for k, v in body.items()) for body in bodies}) == 1


def test_the_counts_stand_beside_and_hold_no_time(shop: Workshop) -> None:
    folder = write(shop)
    assert json.loads((folder / "00000_stats.json").read_text()) == {
        **{"count": 4, "successes": 4, "failed_to_download": 0, "failed_to_resize": 0},
        **{"duration": 0.0, "start_time": 0.0, "end_time": 0.0, "status_dict": {"success": 4}},
    }
    assert tree(folder) == tree(write(shop, "again")) | {"README.md": tree(folder)["README.md"]}


def test_width_is_what_is_written_and_original_width_what_came(shop: Workshop) -> None:
    targets = {"image_target_width": [32], "image_target_height": [16], "image_fit": ["crop"]}
    types = [pa.int32(), pa.int32(), pa.string()]
    schema = pa.schema([(n, pa.list_(t)) for n, t in zip(targets, types, strict=True)])
    sizes = pa.schema([(n, pa.list_(pa.int32())) for n in ("image_width", "image_height")])
    row = {k: v for k, v in shop.pair(0).items() if k in _KEPT} | targets
    table = shop.table([row], pa.unify_schemas([sizes, schema]))
    folder, _ = shop.write(WriteWebdataset(img2dataset=True, images="resized"), [table], "out")
    (found,) = pq.read_table(folder / "00000.parquet").to_pylist()
    assert [found[n] for n in ("width", "height", "original_width", "original_height")] == [32, 16, 64, 48]
    assert found["sha256"] is None


def test_datasets_reads_it_with_and_without_its_card(
    shop: Workshop, load_dataset: Callable[..., Any]
) -> None:
    folder = write(shop)
    samples = list(webdataset.WebDataset(str(folder / "00000.tar"), shardshuffle=False))
    bodies = [json.loads(s["json"]) for s in samples]
    assert load_dataset(str(folder))["json"][:] == bodies
    assert load_dataset("webdataset", data_files=str(folder / "*.tar"))["json"][:] == bodies


def test_our_reader_takes_urls_and_captions_back(tmp_path: Path) -> None:
    source = pools.write_tars(tmp_path / "in", pools.pairs(12), 1)
    raw = {"id": "raw", "stage": "read_webdataset", "path": source}
    out = {"id": "out", "stage": "write_webdataset", "img2dataset": True}
    pools.run({"name": "first", "nodes": [raw, out]}, tmp_path / "first", modules=())
    again = {**raw, "path": f"{tmp_path}/first/out/*.tar"}
    pools.run({"name": "second", "nodes": [again, out]}, tmp_path / "second", modules=())
    one, two = (
        {row["caption"]: row for row in pools.index(tmp_path / name, "out").to_pylist()}
        for name in ("first", "second")
    )
    assert set(one) == set(two)
    for caption, row in one.items():
        assert two[caption]["text_body"] == row["text_body"] == caption
        assert two[caption]["width"] == row["width"]
        assert two[caption]["sha256"] != row["sha256"]  # of a PNG, and of the JPEG made of it


def test_what_it_cannot_hold_is_refused(shop: Workshop) -> None:
    with pytest.raises(ValueError, match="form: pairs"):
        WriteWebdataset(img2dataset=True, form="documents")
    columns = pa.schema([("caption", pa.string())])
    with pytest.raises(RecipeError, match="column `caption`"):
        WriteWebdataset(img2dataset=True).check_columns(columns)
    WriteWebdataset().check_columns(columns)
