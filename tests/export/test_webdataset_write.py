from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import webdataset
from PIL import Image
from workshop import EXTRA, Workshop, encoded, opened, picture, refusals, tree

from curate.errors import RunError
from curate.export import shard
from curate.io.payload import Payload
from curate.io.webdataset_write import WriteWebdataset

FORMATS = ("PNG", "JPEG", "WEBP", "BMP")


def read(folder: Path, decode: str = "") -> list[dict[str, Any]]:
    """All samples by the webdataset library, shards in order."""
    urls = [str(p) for p in sorted(folder.glob("*.tar"))]
    found = webdataset.WebDataset(urls, shardshuffle=False)
    return list(found.decode(decode) if decode else found)


def mixed(shop: Workshop, n: int = 9) -> list[dict[str, Any]]:
    return [shop.pair(i, encoded(picture(i), FORMATS[i % len(FORMATS)])) for i in range(n)]


def test_webdataset_reads_pairs(shop: Workshop) -> None:
    table = shop.table([*mixed(shop), shop.pair(9, text_body=["一只猫坐在窗边。"])])
    folder, shards = shop.write(WriteWebdataset(), [table.slice(0, 6), table.slice(6)], "out")
    assert [(s.samples, s.images) for s in shards] == [(6, 6), (4, 4)]
    assert shards[0].files == ["00000.tar", "00000.parquet"]
    samples = read(folder, "pilrgb")
    assert [s["json"]["sample_id"] for s in samples] == table["sample_id"].to_pylist()
    assert [s["txt"] for s in samples] == [t[0] for t in table["text_body"].to_pylist()]
    for i, found in enumerate(samples):
        assert np.abs(np.asarray(found["jpg"]).astype(int) - np.asarray(picture(i))).max() <= 24
    assert {frozenset(s) for s in samples} == {
        frozenset({"jpg", "json", "txt", "__key__", "__url__", "__local_path__"})
    }


def test_datasets_reads_pairs_without_being_told_anything(
    shop: Workshop, load_dataset: Callable[..., Any]
) -> None:
    # nulls in the first five samples, from which `datasets` infers all types
    unknown: dict[str, Any] = {
        "image_clip": [None],
        "licence": None,
        "image_boxes": [None],
        "opt_out": None,
        "image_width": [None],
    }
    rows = [shop.pair(i, **unknown) for i in range(5)] + mixed(shop, 12)[5:]
    table = shop.table(rows)
    folder, _ = shop.write(WriteWebdataset(), [table.slice(0, 6), table.slice(6)], "out")
    loaded = load_dataset("webdataset", data_files=str(folder / "*.tar"))
    assert loaded["txt"][:] == [t[0] for t in table["text_body"].to_pylist()]
    for i, found in enumerate(loaded):
        assert np.abs(np.asarray(found["jpg"]).astype(int) - np.asarray(picture(i))).max() <= 24
    assert [r["image_clip"] for r in loaded["json"]] == [-1.0] * 5 + [0.31] * 7
    assert [r["nulls"] for r in loaded["json"]][4:6] == [
        "image_width,image_clip,image_boxes,licence,language,opt_out",
        "language",
    ]
    assert json.loads(loaded["json"][6]["image_boxes"]) == [{"label": "cup", "x": 1.5}]
    assert load_dataset(str(folder)).features == loaded.features  # the card says the same


def test_every_json_has_the_same_keys_and_types_and_is_strict(shop: Workshop) -> None:
    rows = [
        shop.pair(0, image_clip=[float("nan")]),
        shop.pair(1, image_clip=[float("inf")], meta=None),
        shop.pair(2, image_clip=[1.0], image_boxes=[[]], opt_out=True),
    ]
    folder, _ = shop.write(WriteWebdataset(), [shop.table(rows)], "out")

    def refuse(name: str) -> None:
        raise AssertionError(name)

    found = [json.loads(s["json"], parse_constant=refuse) for s in read(folder)]
    assert len({tuple((k, type(v)) for k, v in r.items()) for r in found}) == 1
    assert set(found[0]) == {
        *("image_alt", "image_boxes", "image_clip", "image_height", "image_width", "image_stored"),
        *("sample_id", "text_quality", "licence", "language", "opt_out", "phash", "meta", "nulls"),
    }
    assert found[2]["phash"] == str(2**63 + 2)
    assert found[0]["meta"] == '{"from":"nowhere"}'


def test_jpegs_are_passed_through(shop: Workshop) -> None:
    folder, _ = shop.write(WriteWebdataset(), [shop.table(mixed(shop, 4))], "out")
    samples = read(folder)
    stored = [json.loads(s["json"])["image_stored"] for s in samples]
    assert stored == ["jpeg", "original", "jpeg", "jpeg"]
    assert samples[1]["jpg"] == encoded(picture(1), "JPEG")
    assert pq.read_table(folder / "00000.parquet")["image_stored"].to_pylist() == stored


def test_odd_images_are_upright_rgb(shop: Workshop) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    sideways = picture(0).transpose(Image.Transpose.ROTATE_90)
    rows = [
        shop.pair(0, encoded(sideways, "JPEG", exif=exif, quality=95)),
        shop.pair(1, encoded(picture(1, mode="CMYK"), "JPEG", quality=95)),
        shop.pair(2, encoded(Image.new("RGBA", (64, 48), (0, 0, 0, 0)), "PNG")),
    ]
    folder, _ = shop.write(WriteWebdataset(), [shop.table(rows)], "out")
    found = [opened(s["jpg"]) for s in read(folder)]
    assert np.abs(found[0] - np.asarray(picture(0))).max() <= 24
    assert np.abs(found[1] - np.asarray(picture(1).convert("CMYK").convert("RGB"))).max() <= 24
    assert found[2].min() >= 254


def test_original_keeps_every_byte_and_the_card_lets_datasets_read_it(
    shop: Workshop, load_dataset: Callable[..., Any]
) -> None:
    table = shop.table(mixed(shop))
    folder, _ = shop.write(WriteWebdataset(images="original"), [table], "out")
    endings = ["png", "jpg", "webp", "bmp"]
    samples = read(folder)
    for i, found in enumerate(samples):
        assert found[endings[i % 4]] == encoded(picture(i), FORMATS[i % 4])
    loaded = load_dataset(str(folder))
    for i, row in enumerate(loaded):
        assert [e for e in endings if row[e] is not None] == [endings[i % 4]]
        assert np.asarray(row[endings[i % 4]].convert("RGB")).shape == (48, 64, 3)


def test_twins_and_children_have_keys_of_their_own(shop: Workshop) -> None:
    ids = ["a", "a", "a", "a#2", "b"]
    rows = [shop.pair(i, sample_id=id, source=f"s{i}") for i, id in enumerate(ids)]
    folder, _ = shop.write(WriteWebdataset(), [shop.table(rows)], "out")
    samples = read(folder)
    assert [s["__key__"] for s in samples] == ["a", "a_2", "a_3", "a-2", "b"]
    assert [s["jpg"] for s in samples] == [encoded(picture(i), "JPEG") for i in range(5)]
    beside = pq.read_table(folder / "00000.parquet")
    assert beside["sample_id"].to_pylist() == ids
    assert beside["key"].to_pylist() == [s["__key__"] for s in samples]


def test_a_twin_in_the_next_shard_has_a_key_of_its_own(shop: Workshop) -> None:
    table = shop.table([shop.pair(0, sample_id="a"), shop.pair(1, sample_id="a")])
    table = table.append_column("twin", [[0, 1]])
    stage, folder = WriteWebdataset(), shop.folder / "out"
    folder.mkdir()
    for i in range(2):
        stage.write_shard(
            table.slice(i, 1), shop.payload, folder, f"{i:05d}", table.drop_columns("twin").schema
        )
    assert [s["__key__"] for s in read(folder)] == ["a", "a_2"]
    assert "twin" not in json.loads(read(folder)[0]["json"])


def test_the_index_has_the_columns_in_their_types_and_no_places(shop: Workshop) -> None:
    folder, _ = shop.write(WriteWebdataset(), [shop.table([shop.pair(7, image_clip=[None])])], "out")
    beside = pq.read_table(folder / "00000.parquet")
    kept = [n for n in EXTRA.names if "verdict" not in n and "inputs" not in n]
    assert beside.column_names == ["sample_id", "key", "layout", "text_body", "meta", *kept, "image_stored"]
    row = beside.to_pylist()[0]
    assert (row["image_clip"], row["image_width"], row["phash"]) == (None, 64, 2**63 + 7)
    assert row["image_boxes"] == [{"label": "cup", "x": 1.5}]
    assert row["text_body"] == "a picture of number 7"


def test_bytes_follow_from_the_rows_alone(shop: Workshop) -> None:
    rows = mixed(shop)
    moved = [
        {
            **r,
            "source": "elsewhere",
            "image_ref": [shop.put(f"m{i}", (shop.source / r["image_ref"][0]).read_bytes())],
        }
        for i, r in enumerate(rows)
    ]
    chunks = [shop.table(moved[:2]), shop.table(moved[2:])]
    import pyarrow as pa

    first, _ = shop.write(WriteWebdataset(), [shop.table(rows)], "a")
    again, _ = shop.write(WriteWebdataset(), [pa.concat_tables(chunks)], "b")
    names = [n for n in tree(first) if n != "README.md"]
    assert names == ["00000.parquet", "00000.tar"]
    assert [tree(first)[n] for n in names] == [tree(again)[n] for n in names]
    other, _ = shop.write(WriteWebdataset(), [shop.table(rows[::-1])], "c")
    assert [s["__key__"] for s in read(other)] == [s["__key__"] for s in read(first)][::-1]


def test_a_document_says_what_it_lost(shop: Workshop) -> None:
    lost = shop.document(
        1,
        "titit",
        image_drop=["sizes:too_small", None],
        text_drop=[None, "language:other", None],
        text_body=["开头", "gone", "fin"],
    )
    whole = shop.document(2, "itti")
    bare = shop.document(3, "t", shape="document:text_only")
    folder, shards = shop.write(WriteWebdataset(form="documents"), [shop.table([lost, whole, bare])], "out")
    assert (shards[0].samples, shards[0].images) == (3, 3)
    first, second, third = read(folder)
    body = json.loads(first["json"])
    assert (body["images"], body["texts"]) == ([None, "img01.jpg", None], ["开头", None, "fin"])
    assert body["layout"] == "tit"
    assert body["dropped_images"] == [{"index": 0, "reason": "sizes:too_small"}]
    assert body["dropped_texts"] == [{"index": 1, "reason": "language:other"}]
    assert body["image_clip"] == [0.25 + 1 / 64]
    assert body["text_quality"] == [0.0, 0.5]
    assert {k for k in first if k.startswith("img")} == {"img01.jpg"}
    body = json.loads(second["json"])
    assert (body["images"], body["texts"]) == (
        ["img00.jpg", None, None, "img01.jpg"],
        [None, "paragraph 0 of 2", "paragraph 1 of 2", None],
    )
    assert body["dropped_images"] == body["dropped_texts"] == []
    for i, name in enumerate(("img00.jpg", "img01.jpg")):
        assert np.abs(opened(second[name]) - np.asarray(picture(20 + i))).max() <= 24
    assert json.loads(third["json"])["texts"] == ["paragraph 0 of 3"]
    assert body["image_stored"] == ["original", "jpeg"]
    beside = pq.read_table(folder / "00000.parquet").to_pylist()
    assert [r["text_body"] for r in beside] == [
        ["开头", "fin"],
        ["paragraph 0 of 2", "paragraph 1 of 2"],
        ["paragraph 0 of 3"],
    ]
    assert [r["layout"] for r in beside] == ["tit", "itti", "t"]


def test_a_document_of_many_images_keeps_their_order(shop: Workshop) -> None:
    folder, _ = shop.write(
        WriteWebdataset(form="documents", images="original"), [shop.table([shop.document(1, "i" * 102)])], "o"
    )
    (found,) = read(folder)
    names = json.loads(found["json"])["images"]
    assert names[-1] == "img101.png"
    assert [found[n] for n in names] == [encoded(picture(10 + i), ("JPEG", "PNG")[i % 2]) for i in range(102)]


def test_admission(shop: Workshop) -> None:
    table = shop.table(
        [
            shop.pair(0),
            shop.pair(1, text_body=[None]),
            shop.pair(2, text_body=[" \n"]),
            shop.document(3, "titti"),
            shop.document(4, "titti", image_drop=["a:b", None], text_drop=["a:b", None, "a:b"]),
            shop.document(5, "t"),
            shop.document(6, "t", shape="document:text_only"),
        ]
    )
    pairs = [None, "no_text", "no_text", "not_a_pair", None, "no_image", "no_image"]
    assert refusals(WriteWebdataset(), table) == pairs
    assert refusals(WriteWebdataset(form="documents"), table) == [None] * 5 + ["no_image", None]


def test_the_dead_are_not_written(shop: Workshop) -> None:
    rows = [shop.pair(0), shop.pair(1, drop="keep:image_clip.below_min"), shop.pair(2)]
    folder, shards = shop.write(WriteWebdataset(), [shop.table(rows)], "out")
    assert (shards[0].samples, shards[0].images) == (2, 2)
    assert [s["txt"] for s in read(folder)] == [b"a picture of number 0", b"a picture of number 2"]
    assert pq.read_metadata(folder / "00000.parquet").num_rows == 2


def test_an_image_that_vanished_stops_the_run_and_is_named(shop: Workshop) -> None:
    table = shop.table([shop.pair(0), shop.pair(1)])
    (shop.source / "1.bin").unlink()
    with pytest.raises(RunError, match=rf"set: 1\.bin: .* {table['sample_id'][1].as_py()} is missing"):
        shop.write(WriteWebdataset(), [table], "out")


@pytest.mark.parametrize("images", ["jpeg", "original"])
def test_what_is_no_image_stops_the_run_and_is_named(shop: Workshop, images: Any) -> None:
    table = shop.table([shop.pair(0), shop.pair(1, b"<html>404 not found</html>")])
    with pytest.raises(RunError, match=rf"sample {table['sample_id'][1].as_py()}: .*cannot be written"):
        shop.write(WriteWebdataset(images=images), [table], "out")


def test_a_column_named_like_one_of_the_format_is_refused(shop: Workshop) -> None:
    table = shop.table([shop.pair(0)]).append_column("nulls", [["x"]])
    with pytest.raises(RunError, match="column `nulls`"):
        shop.write(WriteWebdataset(), [table], "out")


def test_images_are_asked_for_a_few_at_a_time(shop: Workshop) -> None:
    class Counting(Payload):
        asked: list[int]

        def fetch(self, datasets: Any, references: Any) -> Any:
            self.asked.append(len(references))
            return super().fetch(datasets, references)

    payload = Counting(shop.payload._storages)
    payload.asked = []
    data = b"".join(bytes([i]) * 1000 for i in range(10))
    shop.put("all.tar", data)
    table = shop.table([shop.pair(i, b"", image_ref=[f"all.tar#bytes={i * 1000}+1000"]) for i in range(10)])
    live = shard.living(table, table.schema)
    assert b"".join(shard.images(live.table, payload, budget=4000)) == data
    assert payload.asked == [4, 4, 2]


def test_members_are_in_the_order_of_webdatasets_own_writer(shop: Workshop) -> None:
    folder, _ = shop.write(WriteWebdataset(), [shop.table([shop.pair(0)])], "out")
    with tarfile.open(fileobj=io.BytesIO(tree(folder)["00000.tar"])) as tar:
        assert [n.split(".", 1)[1] for n in tar.getnames()] == ["jpg", "json", "txt"]
