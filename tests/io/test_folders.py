"""A path that is a folder: the files of the source's kind, and nothing else that lies there."""

from __future__ import annotations

import os
from pathlib import Path

import pools
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.errors import RecipeError
from curate.report.trace import find

# What img2dataset leaves beside its shards, and what one finds in any folder of pages.
BESIDE = ("00000.parquet", "00000_stats.json", "deep/00001.tar.idx", "README.md", "style.css", "x.png")


def files_of(stage: str, path: Path) -> list[str]:
    recipe = {
        "name": "r",
        "nodes": [{"id": "raw", "stage": stage, "path": str(path)}, {"stage": "write_webdataset"}],
    }
    _, found = pools.planned(recipe, ())
    return [file.path for file in found["raw"].files]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in BESIDE:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    pools.write_tar(tmp_path / "00000.tar", pools.pairs(2))
    pools.write_tar(tmp_path / "deep" / "00001.tar", pools.pairs(2, 2))
    for name in ("a.html", "deep/b.htm", "deep/c.xhtml"):
        (tmp_path / name).write_text("<p>words")
    return tmp_path


def test_each_source_takes_its_own_files(folder: Path) -> None:
    assert files_of("read_webdataset", folder) == ["00000.tar", "deep/00001.tar"]
    assert files_of("read_parquet", folder) == ["00000.parquet"]
    assert files_of("read_html", folder) == ["a.html", "deep/b.htm", "deep/c.xhtml"]


def test_side_files_of_img2dataset_are_no_samples(folder: Path, tmp_path: Path) -> None:
    report = pools.run(pools.chain(str(folder), minimum=1), tmp_path / "run")
    assert report["samples"] == {"read": 4, "dropped": 0, "errors": 0, "deferred": 0}


def test_a_glob_takes_what_it_names(folder: Path) -> None:
    assert files_of("read_webdataset", folder / "*") == sorted(
        name for name in (*BESIDE, "00000.tar", "a.html") if "/" not in name
    )


def test_a_folder_without_such_files_is_refused(folder: Path) -> None:
    (folder / "a.html").unlink()
    with pytest.raises(RecipeError, match=r"(?s)path: no \.parquet file in .*deep\n.*00001\.tar"):
        files_of("read_parquet", folder / "deep")


def test_a_root_may_lie_above_the_files(tmp_path: Path) -> None:
    """Annotations here, images there: the usual case of sets made by others."""
    (tmp_path / "ann").mkdir()
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(pools.picture(1))
    pq.write_table(pa.table({"image": ["a.png"], "text": ["a picture"]}), tmp_path / "ann" / "x.parquet")
    raw = {"id": "raw", "stage": "read_parquet", "path": str(tmp_path / "ann" / "x.parquet")}
    raw |= {"image_root": "images"}
    recipe = {"name": "r", "nodes": [raw, {"id": "out", "stage": "write_webdataset"}]}
    assert pools.run(recipe, tmp_path / "without")["outputs"][0]["samples"]["written"] == 0
    rooted = pools.with_node(recipe, "raw", root=str(tmp_path))
    assert pools.run(rooted, tmp_path / "with")["outputs"][0]["samples"]["written"] == 1
    with pytest.raises(RecipeError, match=r"\(raw\).root: .*x.parquet is not below .*images"):
        pools.planned(pools.with_node(recipe, "raw", root=str(tmp_path / "images")), ())


@pytest.mark.parametrize("stage", ["read_webdataset", "read_html", "read_markdown", "read_jsonl"])
def test_a_file_name_that_is_no_utf8_stops_nothing(stage: str, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    pools.write_pages(folder, 1)
    (folder / "page000.md").write_text("Some words.\n\n![x](logo.png)\n")
    (folder / "a.jsonl").write_text('{"image": "logo.png", "text": "a logo"}\n')
    pools.write_tar(folder / "a.tar", pools.pairs(2))
    for path in sorted(folder.glob("*.[hmjt][tsda]*")):
        path.rename(os.fsdecode(os.fsencode(folder) + b"/caf\xe9" + os.fsencode(path.suffix)))
    recipe = {
        "name": "r",
        "nodes": [
            {"id": "raw", "stage": stage, "path": str(folder)},
            {"stage": "probe"},
            {"id": "out", "stage": "write_webdataset", "form": "documents"},
        ],
    }
    out = tmp_path / "run"
    (output,) = pools.run(recipe, out)["outputs"]
    assert output["samples"]["written"] == output["samples"]["entered"] > 0
    assert output["images"]["written"] == output["images"]["entered"] > 0
    id = pools.index(out, "out")["sample_id"][0].as_py()
    assert str(find(out, id)[0]["source"]).startswith("caf")
