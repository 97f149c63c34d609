"""Hugging Face folders: what `datasets` itself reads from them, and sets with something wrong."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from documents import Row, drop, fates, node, read
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from curate.errors import RecipeError
from curate.io.hf_folder import ReadHf
from curate.io.payload import Payload
from curate.io.storage import LocalStorage

Load = Callable[..., Any]
CAPTIONS = ["a red square", 'with "quotes", commas', "two\nlines", "Ünïcode 图", " spaces ", "NA is a word"]


def png(number: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), (number % 256, number // 256, 77)).save(out, "png")
    return out.getvalue()


def images(folder: Path, names: Sequence[str]) -> None:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(png(number))


def metadata(folder: Path, kind: str, rows: Sequence[dict[str, Any]]) -> None:
    """As `datasets` writes tables: by pandas' and Arrow's own writers."""
    folder.mkdir(parents=True, exist_ok=True)
    table, path = pa.Table.from_pylist(list(rows)), folder / f"metadata.{kind}"
    if kind == "parquet":
        pq.write_table(table, path)
    elif kind == "csv":
        table.to_pandas().to_csv(path, index=False)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def rows(folder: Path, **config: Any) -> list[Row]:
    return read(folder, node(ReadHf, **config), "**/*")


def shown(folder: Path, row: Row) -> list[bytes | str]:
    references = row["image_ref"]
    return Payload({"ds": LocalStorage(folder)}).fetch(["ds"] * len(references), references)


def pairs(folder: Path, found: Sequence[Row]) -> list[tuple[Any, ...]]:
    return sorted((*shown(folder, row), *row["text_body"]) for row in found if row["drop"] is None)


def theirs(loaded: Any, image: str, text: str) -> list[tuple[Any, ...]]:
    """(bytes of the image, caption) of each row, as `datasets` yields them."""
    import datasets

    found = []
    for row in loaded.cast_column(image, datasets.Image(decode=False)):
        value = row[image]
        found.append((value["bytes"] or Path(value["path"]).read_bytes(), row[text]))
    return sorted(found)


# -- imagefolder --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_an_imagefolder_is_read_as_datasets_reads_it(tmp_path: Path, load_dataset: Load, kind: str) -> None:
    names = ["0.png", "sub/1.png", "sub/a b#%.png", "3.png", "4.PNG", "ü.png"]
    images(tmp_path, names)
    metadata(tmp_path, kind, [{"file_name": n, "text": t} for n, t in zip(names, CAPTIONS, strict=True)])
    expected = theirs(load_dataset("imagefolder", data_dir=os.fspath(tmp_path)), "image", "text")
    for part_rows in (1, 4, 2048):
        found = rows(tmp_path, part_rows=part_rows)
        assert [row["drop"] for row in found] == [None] * 6
        assert pairs(tmp_path, found) == expected


def test_metadata_of_each_folder(tmp_path: Path, load_dataset: Load) -> None:
    for number, folder in enumerate(("a", "b/c")):
        images(tmp_path / folder, [f"{number}{i}.png" for i in range(3)])
        rows_ = [{"file_name": f"{number}{i}.png", "caption": f"{folder} {i}"} for i in range(3)]
        metadata(tmp_path / folder, "jsonl", rows_)
    expected = theirs(load_dataset("imagefolder", data_dir=os.fspath(tmp_path)), "image", "caption")
    assert pairs(tmp_path, rows(tmp_path)) == expected
    source = node(ReadHf)
    assert len(source.group(LocalStorage(tmp_path).find("**/*"))) == 2


def test_a_column_of_another_name(tmp_path: Path, load_dataset: Load) -> None:
    images(tmp_path, ["0.png", "1.png"])
    both = [
        {"left_file_name": "0.png", "right_file_name": "1.png", "said": "words", "licence": "cc0", "n": 1}
    ]
    metadata(tmp_path, "jsonl", both)
    loaded = load_dataset("imagefolder", data_dir=os.fspath(tmp_path))
    found = rows(tmp_path, image="right", text="said")
    good = [row for row in found if row["drop"] is None]
    assert pairs(tmp_path, found) == theirs(loaded, "right", "said")
    assert good[0]["licence"] == "cc0"
    assert json.loads(good[0]["meta"]) == {"left_file_name": "0.png", "n": 1}


def test_several_images_of_one_row(tmp_path: Path, load_dataset: Load) -> None:
    images(tmp_path, ["0.png", "1.png", "2.png"])
    metadata(
        tmp_path,
        "jsonl",
        [{"file_names": ["2.png", "0.png"], "text": "two"}, {"file_names": ["1.png"], "text": "x"}],
    )
    loaded = load_dataset("imagefolder", data_dir=os.fspath(tmp_path))
    import datasets

    loaded = loaded.cast_column("images", datasets.List(datasets.Image(decode=False)))
    found = rows(tmp_path)
    assert [row["layout"] for row in found] == ["iit", "it"]
    expected = [[Path(i["path"]).read_bytes() for i in row["images"]] for row in loaded]
    assert [shown(tmp_path, row) for row in found] == expected


def test_what_metadata_may_name(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    images(folder, ["there.png", "sub/x.png"])
    (tmp_path / "secret.png").write_bytes(png(1))
    names = {
        "there.png": "",
        "./sub/../there.png": "",
        "none.png": "missing_image",
        "sub": "missing_image",
        "../secret.png": "outside_root",
        "/etc/passwd": "outside_root",
        "https://h/x.png": "remote_image",
        "file:///etc/passwd": "remote_image",
        "sub/x.png\0": "outside_root",
    }
    metadata(folder, "jsonl", [{"file_name": name, "text": "t"} for name in names])
    found = rows(folder)
    assert [fates(row)[0] for row in found[: len(names)]] == list(names.values())
    # the one that no row names as it should
    assert [(row["source"], drop(row)) for row in found[len(names) :]] == [("sub/x.png", "missing_text")]
    kept = rows(folder, remote="keep")[6]
    assert (kept["image_url"], kept["image_ref"], fates(kept)) == (["https://h/x.png"], [None], ["", ""])


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"file_name": "0.png"}, "missing_text"),
        ({"file_name": "0.png", "text": None}, "missing_text"),
        ({"text": "words"}, "missing_image"),
        ({"file_name": None, "text": "words"}, "missing_image"),
        ({"file_names": [], "text": "words"}, "missing_image"),
        ([1], "not_an_object"),
    ],
)
def test_rows_that_are_no_pairs(tmp_path: Path, record: Any, reason: str) -> None:
    images(tmp_path, ["0.png"])
    good = {"file_name": "0.png", "text": "good"}
    metadata_lines(tmp_path, [good, record])
    assert [drop(row) for row in rows(tmp_path)] == ["", reason]


def metadata_lines(folder: Path, records: Sequence[Any]) -> None:
    lines = [r if isinstance(r, bytes) else json.dumps(r).encode() for r in records]
    (folder / "metadata.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))


def test_captions_that_are_no_texts(tmp_path: Path) -> None:
    images(tmp_path, ["0.png"])
    texts = [7, "x" * 101, "\ud800 lone", ["a"]]
    metadata_lines(tmp_path, [{"file_name": "0.png", "text": text} for text in texts])
    found = rows(tmp_path, max_text_bytes=100)
    assert [fates(row)[1] for row in found] == ["not_a_string", "text_too_large", "not_utf8", "not_a_string"]
    assert [row["text_body"][0][:5] for row in found] == ["7", "xxxxx", "\ufffd lon", ""]


def test_images_without_a_row_are_accounted_for(tmp_path: Path) -> None:
    names = [f"{i}.png" for i in range(7)] + ["sub/deep/x.jpg", "other/y.png"]
    images(tmp_path / "set", names)
    (tmp_path / "set" / "README.md").write_text("no image")
    (tmp_path / "alone").mkdir()
    images(tmp_path / "alone", ["z.png"])
    metadata(
        tmp_path / "set",
        "csv",
        [{"file_name": "0.png", "text": "t"}, {"file_name": "sub/deep/x.jpg", "text": "t"}],
    )
    for part_rows in (2, 100):
        found = rows(tmp_path, part_rows=part_rows)
        left = [row for row in found if row["drop"]]
        assert {drop(row) for row in left} == {"missing_text"}
        expected = {f"set/{name}" for name in names[1:7]} | {"set/other/y.png", "alone/z.png"}
        assert {row["source"] for row in left} == expected
        assert all(shown(tmp_path, row) != ["missing"] for row in left)
        assert len(found) == 10


def test_twins_and_ids(tmp_path: Path) -> None:
    images(tmp_path, ["0.png", "1.png"])
    same = {"file_name": "0.png", "text": "t"}
    versions = [same, same, {**same, "licence": "x"}, {**same, "text": "u"}, {**same, "file_name": "1.png"}]
    metadata_lines(tmp_path, versions)
    found = rows(tmp_path)
    assert [row["drop"] for row in found] == [None] * 5
    ids = [row["sample_id"] for row in found]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 4
    assert len({row["source"] for row in found}) == 5


# -- damaged metadata ---------------------------------------------------------------------------------------


def test_broken_lines_of_json(tmp_path: Path) -> None:
    images(tmp_path, ["0.png"])
    good = {"file_name": "0.png", "text": "t"}
    metadata_lines(tmp_path, [good, b'{"file_name": "0.png", "te', b"\xff\xfe", good])
    assert [drop(row) for row in rows(tmp_path)] == ["", "bad_json", "bad_json", ""]


def test_broken_lines_of_csv(tmp_path: Path) -> None:
    images(tmp_path, ["0.png"])
    lines = [
        b"\xef\xbb\xbffile_name,text,n",
        b"0.png,one,1",
        b"0.png,two,2,more",
        b"",
        b"0.png",
        b'0.png,"three\r\nlines",3',
        b"0.png,caf\xe9,4",
        b'0.png,"never closed',
        *[b"x" * 1000] * 200,
        b"0.png,last,5",
    ]
    (tmp_path / "metadata.csv").write_bytes(b"\r\n".join(lines))
    for part_rows in (1, 3, 500):
        found = rows(tmp_path, part_rows=part_rows)
        assert [drop(row) for row in found[:6]] == ["", "bad_csv", "missing_text", "", "", "bad_csv"]
        assert found[3]["text_body"] == ["three\r\nlines"]
        assert fates(found[4]) == ["", "not_utf8"]
        # lines of words behind it are rows without a text; the file's last one is whole
        assert {drop(row) for row in found[6:-1]} <= {"missing_text"}
        assert (found[-1]["text_body"], drop(found[-1])) == (["last"], "")
        assert [row["source"].partition("#")[2] for row in found[:6]] == ["2", "3", "5", "6", "8", "9"]


def test_quotes_of_csv_that_are_none(tmp_path: Path) -> None:
    images(tmp_path, ["0.png"])
    cells = {'"a"b': "bad_csv", 'six" pipe': "", '"a ""quoted"" b"': "", '"not closed': "bad_csv"}
    text = "file_name,text\n" + "".join(f"0.png,{cell}\n" for cell in cells)
    (tmp_path / "metadata.csv").write_text(text)
    found = rows(tmp_path)
    assert [drop(row) for row in found] == list(cells.values())
    assert [row["text_body"] for row in found[1:3]] == [['six" pipe'], ['a "quoted" b']]


def test_a_record_of_csv_beyond_all_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images(tmp_path, ["0.png"])
    monkeypatch.setattr("curate.io.hf_folder_csv.MAX_LINE_BYTES", 5000)
    text = (
        b"file_name,text\n0.png,one\n"
        + b"x" * 200_000
        + b'\n0.png,two\n0.png,"'
        + b"y\n" * 4000
        + b'"\n0.png,t\n'
    )
    (tmp_path / "metadata.csv").write_bytes(text)
    found = rows(tmp_path)
    assert [drop(row) for row in found[:4]] == ["", "line_too_large", "", "line_too_large"]
    assert drop(found[-1]) == "bad_csv"  # from where it goes on, the closing quote opens one


def test_damaged_parquet(tmp_path: Path) -> None:
    images(tmp_path, ["0.png"])
    metadata(tmp_path, "parquet", [{"file_name": "0.png", "text": "t" * 500}] * 4)
    path = tmp_path / "metadata.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert [drop(row) for row in rows(tmp_path)] == ["unreadable_file", "missing_text"]
    path.write_bytes(whole[:20] + b"\xff" * 30 + whole[50:])
    assert {drop(row) for row in rows(tmp_path)} <= {"unreadable_file", "missing_text"}
    path.write_bytes(b"")
    assert drop(rows(tmp_path)[0]) == "unreadable_file"


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(["csv", "jsonl", "parquet"]))
def test_hostile_metadata_raises_nothing(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes, kind: str
) -> None:
    folder = tmp_path_factory.mktemp("hf")
    images(folder, ["0.png"])
    begin = b'file_name,text\n0.png,"' if kind == "csv" else b'{"file_name": "0.png", "text": "a"}\n'
    for data in (raw, begin + raw):
        (folder / f"metadata.{kind}").write_bytes(data)
        found = [rows(folder, part_rows=n) for n in (1, 100)]
        assert found[0] == found[1]
        assert any(row["image_ref"] == ["0.png"] for row in found[0])


# -- parquet ------------------------------------------------------------------------------------------------


def shard(folder: Path, number: int, names: Sequence[str]) -> None:
    """A shard as `datasets` writes it, with the images in it."""
    import datasets

    features = datasets.Features({"pic": datasets.Image(), "text": datasets.Value("string")})
    pics = [{"bytes": (folder / name).read_bytes(), "path": name} for name in names]
    made = datasets.Dataset.from_dict(
        {"pic": pics, "text": [f"{number} {n}" for n in names]}, features=features
    )
    folder.joinpath("data").mkdir(exist_ok=True)
    made.to_parquet(os.fspath(folder / "data" / f"train-{number:05d}-of-00002.parquet"))


def test_shards_are_read_as_datasets_reads_them(tmp_path: Path, load_dataset: Load) -> None:
    pool, folder = tmp_path / "pool", tmp_path / "pool" / "data"
    images(pool, [f"{i}.png" for i in range(6)])
    for number in range(2):
        shard(pool, number, [f"{i}.png" for i in range(number, 6, 2)])
    expected = theirs(load_dataset("parquet", data_files=os.fspath(folder / "*.parquet")), "pic", "text")
    assert len(expected) == 6
    for part_rows in (2, 100):
        found = read(folder, node(ReadHf, part_rows=part_rows), "*")
        assert pairs(folder, found) == expected


def test_which_column_is_the_image(tmp_path: Path) -> None:
    one = {"bytes": png(1), "path": "x.png"}
    told = {"info": {"features": {"b": {"_type": "Image"}}}}
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"a": pa.array([one], kind), "b": pa.array([one], kind), "text": ["t"]})
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(told)}), tmp_path / "x.parquet")
    assert rows(tmp_path)[0]["image_ref"] == ["x.parquet#row=0/0/b"]
    assert rows(tmp_path, image="a")[0]["image_ref"] == ["x.parquet#row=0/0/a"]
    pq.write_table(table, tmp_path / "x.parquet")
    storage = LocalStorage(tmp_path)
    with pytest.raises(RecipeError, match="several image columns: a, b"):
        node(ReadHf).check(storage, storage.find("*"))


def test_shards_that_do_not_fit(tmp_path: Path) -> None:
    images(tmp_path / "p", ["0.png"])
    shard(tmp_path / "p", 0, ["0.png"])
    pq.write_table(pa.table({"x": [1]}), tmp_path / "p" / "data" / "y.parquet")
    (tmp_path / "p" / "data" / "z.parquet").write_bytes(b"PAR1 no")
    found = read(tmp_path / "p" / "data", node(ReadHf), "*")
    assert [drop(row) for row in found] == ["", "missing_column", "unreadable_file"]


# -- recipes that do not fit --------------------------------------------------------------------------------


def test_what_is_refused_before_a_run(tmp_path: Path, load_dataset: Load) -> None:
    import datasets

    def problem(folder: Path, **config: Any) -> str:
        storage = LocalStorage(folder)
        with pytest.raises(RecipeError) as raised:
            node(ReadHf, **config).check(storage, storage.find("**/*"))
        return str(raised.value)

    made = datasets.Dataset.from_dict({"text": ["a"]})
    made.save_to_disk(os.fspath(tmp_path / "arrow"))
    assert "load_from_disk(FOLDER).to_parquet(FILE)" in problem(tmp_path / "arrow")
    images(tmp_path / "bare", ["0.png"])
    assert "no metadata.csv" in problem(tmp_path / "bare")
    metadata(tmp_path / "bare", "csv", [{"file_name": "0.png", "captoin": "t"}])
    assert "captoin" in problem(tmp_path / "bare", text="caption")
    assert "no `x_file_name`" in problem(tmp_path / "bare", image="x", text="captoin")
