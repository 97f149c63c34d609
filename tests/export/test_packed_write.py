"""MDS and LitData: bytes known from the packages' own writers, and what a run needs of any writer."""

from __future__ import annotations

import itertools
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from workshop import EXTRA, Workshop, encoded, opened, picture, refusals, tree

from curate.errors import RunError
from curate.export import litdata, mds, packed
from curate.export.packed import Column, File, PackedWriter
from curate.io.litdata_write import WriteLitdata
from curate.io.mds_write import WriteMds
from curate.io.packed_write import PackedWrite

SAMPLES = [[b"a", b"\xff\xd8", b"{}", b"one"], [b"bc", b"\xff\xd8\xff", b"[1]", "二".encode()]]
# Both as the packages' own writers made them of these samples: MDSWriter (mosaicml-streaming 0.13.0) with
# columns id: str, image: jpeg, json: json, text: str and no size limit; BinaryWriter (litdata 0.2.76) of
# mappings with `Jpeg(bytes=...)` and chunk_size=2.
CONFIG = (
    '{"column_encodings": ["str", "jpeg", "json", "str"], "column_names": ["id", "image", "json", "text"], '
    '"column_sizes": [null, null, null, null], "compression": null, "format": "mds", "hashes": [], '
    '"size_limit": null, "version": 2}'
)
BODY = (
    b"\x01\0\0\0\x02\0\0\0\x02\0\0\0\x03\0\0\0a\xff\xd8{}one"
    b"\x02\0\0\0\x03\0\0\0\x03\0\0\0\x03\0\0\0bc\xff\xd8\xff[1]\xe4\xba\x8c"
)
MDS = b"\x02\0\0\0\xf5\0\0\0\x0d\x01\0\0\x28\x01\0\0" + CONFIG.encode() + BODY
_BEFORE = CONFIG.partition('"size_limit"')[0]
MDS_INDEX = (
    f'{{"shards": [{_BEFORE}"raw_data": {{"basename": "shard.00000.mds", "bytes": 296, '
    '"hashes": {}}, "samples": 2, "size_limit": null, "version": 2, "zip_data": null}], "version": 2}'
)
LITDATA = b"\x02\0\0\0\x10\0\0\0\x28\0\0\0\x43\0\0\0" + BODY
_LEAF = r"{\"type\": null, \"context\": null, \"children_spec\": []}"
LITDATA_INDEX = (
    '{"chunks": [{"chunk_bytes": 67, "chunk_size": 2, "dim": null, "filename": "chunk-0-0.bin"}], '
    '"config": {"chunk_bytes": null, "chunk_size": 2, "compression": null, "compression_batch_size": null, '
    '"compression_level": null, "data_format": ["str", "jpeg", "str", "str"], '
    r'"data_spec": "[1, {\"type\": \"builtins.dict\", '
    r"\"context\": \"[\\\"id\\\", \\\"image\\\", \\\"json\\\", \\\"text\\\"]\", "
    rf'\"children_spec\": [{_LEAF}, {_LEAF}, {_LEAF}, {_LEAF}]}}]", '
    '"encryption": null, "ipc_compression": null, "item_loader": "PyTreeLoader", '
    '"types": {"id": "str", "image": "jpeg", "json": "str", "text": "str"}}'
)
WRITERS: tuple[type[PackedWrite], ...] = (WriteMds, WriteLitdata)


def packed_bytes(path: Path, head: bytes = b"") -> bytes:
    with PackedWriter(path, len(SAMPLES), head) as out:
        for sample in SAMPLES:
            out.add(sample)
    return path.read_bytes()


def test_mds_is_what_its_own_writer_makes(tmp_path: Path) -> None:
    columns = mds.columns("pairs", "jpg")
    assert packed_bytes(tmp_path / "a.mds", mds.head(columns)) == MDS
    index = mds.index(columns, [File("shard.00000.mds", 2, len(MDS))])
    assert packed.dumps(index).decode() == MDS_INDEX
    # of two equal images of 3 bytes
    assert mds.images([b"abc", b"abc"]) == struct.pack("<4I", 0, 2, 3, 3) + b"abcabc"


def test_litdata_is_what_its_own_writer_makes(tmp_path: Path) -> None:
    columns = litdata.columns("pairs", "jpg")
    assert packed_bytes(tmp_path / "a.bin") == LITDATA
    files = [File("chunk-0-0.bin", 2, len(LITDATA))]
    index = packed.dumps(litdata.index(litdata.config(columns, 2, None), files)).decode()
    assert index.rpartition(', "updated_at"')[0] == LITDATA_INDEX
    assert litdata.images([b"abc", b"d"]) == struct.pack("<3I", 2, 3, 1) + b"abcd"


def samples(path: Path, columns: list[Column]) -> list[dict[str, bytes]]:
    """What a loader finds by offsets and sizes."""
    data = path.read_bytes()
    (count,) = struct.unpack_from("<I", data)
    offsets = struct.unpack_from(f"<{count + 1}I", data, 4)
    assert offsets[-1] == len(data)
    found = []
    for start in offsets[:-1]:
        sizes = struct.unpack_from(f"<{len(columns)}I", data, start)
        ends = np.cumsum([start + 4 * len(columns), *sizes]).tolist()
        found.append({c.name: data[a:b] for c, a, b in zip(columns, ends, ends[1:], strict=False)})
    return found


@pytest.mark.parametrize("writer", WRITERS)
def test_pairs(shop: Workshop, writer: type[PackedWrite]) -> None:
    formats = ("PNG", "JPEG", "WEBP")
    rows = [shop.pair(i, encoded(picture(i), formats[i % 3]), image_clip=[None]) for i in range(7)]
    table, stage = shop.table(rows), writer()
    folder, shards = shop.write(stage, [table.slice(0, 4), table.slice(4)], "out")
    ending = stage.ending
    assert [(s.samples, s.images, s.files) for s in shards] == [
        (4, 4, [f"00000.{ending}", "00000.parquet"]),
        (3, 3, [f"00001.{ending}", "00001.parquet"]),
    ]
    found = [s for name in ("00000", "00001") for s in samples(folder / f"{name}.{ending}", stage.layout())]
    beside = pq.read_table(folder / "00000.parquet").to_pylist()
    for i, (one, row) in enumerate(zip(found, rows, strict=True)):
        assert (one["id"].decode(), one["text"].decode()) == (row["sample_id"], row["text_body"][0])
        assert np.abs(opened(one["image"]) - np.asarray(picture(i))).max() <= 24
        told = json.loads(one["json"])
        assert told["sample_id"] == row["sample_id"]
        assert told["image_boxes"] == [{"label": "cup", "x": 1.5}]
        assert told["image_clip"] is None
        assert told["image_stored"] == ("original" if i % 3 == 1 else "jpeg")
        assert "image_embedding" not in told
    assert found[1]["image"] == encoded(picture(1), "JPEG")  # passed through
    assert [row["key"] for row in beside] == [s["id"].decode() for s in found[:4]]
    assert beside[1]["image_stored"] == "original"
    assert beside[1]["image_embedding"] == [0.5, 0.25]


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("images", ["jpeg", "original"])
def test_documents(shop: Workshop, writer: type[PackedWrite], images: str) -> None:
    rows = [
        shop.document(1, "titit", image_drop=["sizes:too_small", None], text_drop=[None, "a:b", None]),
        shop.document(2, "iitit", text_body=["第一段", "第二段"]),
    ]
    stage = writer.model_validate({"form": "documents", "images": images})
    folder, (made,) = shop.write(stage, [shop.table(rows)], "out")
    assert (made.samples, made.images) == (2, 4)
    first, second = samples(folder / f"00000.{stage.ending}", stage.layout())
    assert first["layout"] == b"tit"
    assert json.loads(first["texts"]) == ["paragraph 0 of 1", None, "paragraph 2 of 1"]
    assert json.loads(second["texts"]) == [None, None, "第一段", None, "第二段"]
    told = json.loads(first["json"])
    assert told["dropped_images"] == [{"index": 0, "reason": "sizes:too_small"}]
    assert told["dropped_texts"] == [{"index": 1, "reason": "a:b"}]
    assert told["image_clip"] == [0.265625]
    assert told["text_quality"] == [0.0, 0.5]
    value = second["images"][4 if writer is WriteMds else 0 :]
    count, *sizes = struct.unpack_from("<4I", value)
    assert count == 3
    ends = np.cumsum([16, *sizes]).tolist()
    files = [value[a:b] for a, b in itertools.pairwise(ends)]
    assert ends[-1] == len(value)
    for file, name in zip(files, rows[1]["image_ref"], strict=True):
        source = (shop.source / name).read_bytes()
        assert np.abs(opened(file) - opened(source)).max() <= (24 if images == "jpeg" else 0)


def test_encodings_say_what_the_loader_can_open() -> None:
    def of(stage: PackedWrite) -> str:
        return {c.name: c.encoding for c in stage.layout()}[
            "images" if stage.form == "documents" else "image"
        ]

    png = {"images": "resized", "resize": {"format": "png"}}
    webp = {"images": "resized", "resize": {"format": "webp"}}
    kinds: list[dict[str, Any]] = [{}, {"images": "original"}, png, webp, {"images": "resized"}]
    assert [of(WriteMds.model_validate(k)) for k in kinds] == ["jpeg", "bytes", "png", "bytes", "jpeg"]
    assert [of(WriteLitdata.model_validate(k)) for k in kinds] == ["jpeg", "bytes", "bytes", "bytes", "jpeg"]
    documents = [{**k, "form": "documents"} for k in kinds]
    lists = ["list[jpeg]", "list[jpeg]", "list[png]", "list[jpeg]", "list[jpeg]"]
    assert [of(WriteMds.model_validate(k)) for k in documents] == lists
    assert [of(WriteLitdata.model_validate(k)) for k in documents] == [
        "jpeg_array",
        *["bytes"] * 3,
        "jpeg_array",
    ]


def test_litdata_takes_no_document_without_an_image(shop: Workshop) -> None:
    table = shop.table(
        [shop.document(1, "tit"), shop.document(2, "tt", shape="document:text_only"), shop.pair(3)]
    )
    assert refusals(WriteLitdata(form="documents"), table) == [None, "no_image", None]
    assert refusals(WriteMds(form="documents"), table) == [None, None, None]
    assert refusals(WriteLitdata(), table) == ["not_a_pair", "no_image", None]


@pytest.mark.parametrize("writer", WRITERS)
def test_each_folder_has_an_index_of_what_lies_below_it(shop: Workshop, writer: type[PackedWrite]) -> None:
    stage, folder = writer(), shop.folder / "out"
    table = shop.table([shop.pair(i) for i in range(6)])
    names = ["train/224x224/00000", "train/448x448/00000", "validation/224x224/00000"]
    folder.mkdir()
    shards = [
        stage.write_shard(table.slice(i, i + 1), shop.payload, folder, name, table.schema)
        for i, name in enumerate(names)
    ]
    whole = stage.finish(folder, shards)
    assert stage.finish(folder, shards) == whole  # again, after it was cut off
    below = ["", "train/", "train/224x224/", "train/448x448/", "validation/", "validation/224x224/"]
    assert whole == sorted(f"{folder}index.json" for folder in below)
    for name in below:
        index = json.loads((folder / name / "index.json").read_text())
        if writer is WriteMds:
            told = {
                s["raw_data"]["basename"]: (s["samples"], s["raw_data"]["bytes"]) for s in index["shards"]
            }
        else:
            told = {c["filename"]: (c["chunk_size"], c["chunk_bytes"]) for c in index["chunks"]}
        files = {f"{n}.{stage.ending}": i + 1 for i, n in enumerate(names) if n.startswith(name)}
        assert told == {
            f.removeprefix(name): (count, (folder / f).stat().st_size) for f, count in files.items()
        }
    assert {f for f in tree(folder) if f.endswith(".part")} == set()


@pytest.mark.parametrize("writer", WRITERS)
def test_images_are_resized_where_it_is_asked_for(shop: Workshop, writer: type[PackedWrite]) -> None:
    target = {"image_target_width": [32], "image_target_height": [24], "image_fit": ["stretch"]}
    types = {n: pa.list_(pa.string() if n == "image_fit" else pa.int32()) for n in target}
    schema = pa.unify_schemas([EXTRA, pa.schema(list(types.items()))])
    table = shop.table([shop.pair(1, **target), shop.pair(2)], schema)
    stage = writer.model_validate({"images": "resized"})
    folder, _ = shop.write(stage, [table], "out")
    found = samples(folder / f"00000.{stage.ending}", stage.layout())
    assert [opened(one["image"]).shape for one in found] == [(24, 32, 3), (48, 64, 3)]
    told = [json.loads(one["json"]) for one in found]
    assert [(t["image_stored"], t["image_stored_width"]) for t in told] == [("resized", 32), ("original", 64)]
    assert "resized" in (folder / "README.md").read_text("utf-8")


@pytest.mark.parametrize("writer", WRITERS)
def test_bytes_follow_from_the_rows_alone(shop: Workshop, writer: type[PackedWrite]) -> None:
    rows = [shop.pair(i) for i in range(5)]
    moved = [
        {**row, "source": "elsewhere", "image_ref": [shop.put(f"m{i}", encoded(picture(i), "JPEG"))]}
        for i, row in enumerate(rows)
    ]
    first, _ = shop.write(writer(), [shop.table(rows)], "a")
    chunks = pa.concat_tables([shop.table(moved[:2]), shop.table(moved[2:])])
    again, _ = shop.write(writer(), [chunks], "b")
    one, two = (tree(folder) for folder in (first, again))
    assert {n: d for n, d in one.items() if n != "README.md"} == {n: two[n] for n in two if n != "README.md"}


def test_what_offsets_cannot_tell_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "LIMIT", 60)
    with PackedWriter(tmp_path / "a", 1) as out:
        out.add([b"x" * 20])
    with PackedWriter(tmp_path / "b", 1) as out:
        with pytest.raises(RunError, match="shard_bytes"):
            out.add([b"x" * 60])
        out.add([b"x"])


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("form", ["pairs", "documents"])
def test_the_card_tells_how_to_load_it(shop: Workshop, writer: type[PackedWrite], form: str) -> None:
    stage = writer.model_validate({"form": form})
    table = shop.table([shop.pair(i) for i in range(3)])
    folder, _ = shop.write(stage, [table], "out")
    card = (folder / "README.md").read_text("utf-8")
    assert yaml.safe_load(card.split("---")[1])["size_categories"] == ["n<1K"]
    for column in stage.layout():
        assert f"| `{column.name}` | {column.encoding} |" in card
    block = card.split("```python\n")[1].split("```")[0]
    compile(block, "card", "exec")
