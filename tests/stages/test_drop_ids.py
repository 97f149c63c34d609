from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pools
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.errors import RecipeError
from curate.sample import Level
from stages.sample.drop_ids import DropIds

ID, OTHER = "0a" * 16, "0b" * 16
HASH = "c1" * 32


def write(folder: Path, name: str, *lines: str) -> str:
    path = folder / name
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(path)


def taken(stage: DropIds, level: Level, **columns: Any) -> list[bool]:
    part = dict(stage.by_level())[level]
    table = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    assert part.reads() == set(columns)
    drop = part.open()(table).drop
    assert drop is not None
    assert set(drop.to_pylist()) <= {None, "takedown"}
    return [reason is not None for reason in drop.to_pylist()]


def test_a_sample_and_what_was_made_of_it(tmp_path: Path) -> None:
    stage = DropIds.model_validate(
        {"lists": write(tmp_path, "l.txt", "# ids", f" {ID.upper()} ", "", f"{OTHER}#3")}
    )
    ids = [ID, f"{ID}#0", f"{ID}#1#2", OTHER, f"{OTHER}#3", f"{OTHER}#3#0", f"{OTHER}#30", ID[:-1] + "b"]
    assert taken(stage, "sample", sample_id=ids) == [True, True, True, False, True, True, False, False]
    assert [level for level, _ in stage.by_level()] == ["sample"], "no image is looked at"


def test_images_by_hash_and_url(tmp_path: Path) -> None:
    path = write(tmp_path, "l.txt", HASH.upper(), "http://www.Example.com:80/a%7e?utm_source=x&b=1#top")
    stage = DropIds.model_validate(
        {"lists": path, "hashes": ["image_sha256", "image_pixel_sha256"], "urls": ["image_url", "url"]}
    )
    images = {
        "image_sha256": [HASH, None, None, "f" * 64],
        "image_pixel_sha256": [None, HASH, None, None],
        "image_url": [None, None, "https://example.com/a~?b=1", "https://example.com/a"],
    }
    assert taken(stage, "image", **images) == [True, True, True, False]
    pages = ["https://example.com/a~/?b=1", "https://example.com", None]
    assert taken(stage, "sample", sample_id=[ID, ID, ID], url=pages) == [True, False, False]


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("l.csv", ["Asked for,SAMPLE_ID,image_sha256,note", f'2026-01-01,{ID},,"a, b"', f",,{HASH},", ",,,"]),
        ("l.tsv", ["image_url\tid", f"\t{ID}", "https://a.example/b\t"]),
        (
            "l.jsonl",
            [json.dumps({"sample_id": ID, "why": 7}), json.dumps({"url": None, "sha256": [HASH]}), ""],
        ),
    ],
)
def test_lists_as_people_keep_them(tmp_path: Path, name: str, lines: list[str]) -> None:
    fields = {"hashes": "sample_digest", "urls": "url"}
    stage = DropIds.model_validate({"lists": write(tmp_path, name, *lines), **fields})
    stage.check_columns(pa.schema([]))
    by_hash = taken(stage, "sample", sample_id=[ID, OTHER], sample_digest=[None, HASH], url=[None, None])
    assert by_hash == [True, name != "l.tsv"]


@pytest.mark.parametrize(
    ("name", "line", "told"),
    [
        ("l.txt", "photo-7.jpg", "line 2 has `photo-7.jpg`, which is not 32 hex digits, 64 hex"),
        ("l.txt", ID[:-1], "which is not 32 hex"),
        ("l.csv", "7", "line 2 has `7`, which is not 32 hex digits$"),
        ("l.jsonl", '{"sample_id": 7}', "line 2 has `7`"),
        ("l.jsonl", "[]", "line 2 is no object"),
        ("l.jsonl", "{", "line 2 is no JSON"),
        ("l.jsonl", '{"row": 3}', "line 2 names `row`, nothing to find samples by"),
    ],
)
def test_no_line_is_skipped_in_silence(tmp_path: Path, name: str, line: str, told: str) -> None:
    first = {"l.csv": "id,why", "l.jsonl": json.dumps({"id": ID})}.get(name, ID)
    stage = DropIds.model_validate({"lists": write(tmp_path, name, first, line)})
    with pytest.raises(RecipeError, match=f"lists: .*{told}"):
        stage.check_columns(pa.schema([]))


def test_a_table_without_a_column_to_find_samples_by(tmp_path: Path) -> None:
    stage = DropIds.model_validate({"lists": write(tmp_path, "l.csv", "name,why", "a,b")})
    with pytest.raises(RecipeError, match="line 1 names `name`, `why`, nothing to find samples by"):
        stage.check_columns(pa.schema([]))
    gone = DropIds(lists=(str(tmp_path / "none.txt"),))
    with pytest.raises(RecipeError, match=r"lists: .*cannot be read: No such file(.|\n)*holds: l.csv"):
        gone.check_columns(pa.schema([]))


@pytest.mark.parametrize(("field", "line"), [("hashes", HASH), ("urls", "https://a.example/b")])
def test_what_is_compared_with_nothing_is_an_error(tmp_path: Path, field: str, line: str) -> None:
    path = write(tmp_path, "l.txt", line)
    with pytest.raises(RecipeError, match=f"{field}: the lists hold 1 .*no column is named"):
        DropIds.model_validate({"lists": path}).check_columns(pa.schema([]))
    with pytest.raises(RecipeError, match=f"{field}: `n` holds int32"):
        DropIds.model_validate({"lists": path, field: "n"}).check_columns(pa.schema([("n", pa.int32())]))
    with pytest.raises(ValueError, match="`text_sha256` is of texts"):
        DropIds.model_validate({"lists": path, field: "text_sha256"})


def test_an_empty_list_takes_nothing(tmp_path: Path) -> None:
    stage = DropIds.model_validate({"lists": write(tmp_path, "l.txt", "# none yet")})
    stage.check_columns(pa.schema([]))
    assert taken(stage, "sample", sample_id=[ID]) == [False]


def test_identity_is_what_is_listed(tmp_path: Path) -> None:
    one = write(tmp_path, "a.txt", ID, HASH)
    same = [write(tmp_path, "b.csv", "sha256,id", f"{HASH},", f",{ID}"), write(tmp_path, "c.txt", ID)]

    def identity(*paths: str) -> str:
        return DropIds(lists=paths, hashes=("image_sha256",)).identity()

    assert identity(one) == identity(*same) == identity(same[0])
    assert identity(one) != identity(same[1])
    write(tmp_path, "a.txt", OTHER, HASH)
    assert identity(one) != identity(same[0]), "a list that changed is read again"


def test_takedown_in_a_run(tmp_path: Path) -> None:
    """Of pairs the sample goes; of a document the image alone, until none is left."""
    path = pools.write_tars(tmp_path / "in", pools.pairs(20), 2)

    def recipe(lists: str) -> pools.Recipe:
        nodes: list[dict[str, Any]] = [
            {"id": "raw", "stage": "read_webdataset", "path": path},
            {"stage": "sha256"},
            {"id": "gone", "stage": "drop_ids", "lists": lists, "hashes": "image_sha256"},
            {"id": "out", "stage": "write_webdataset"},
        ]
        return {"name": "taken", "nodes": nodes}

    nothing = write(tmp_path, "none.txt")
    pools.run(recipe(nothing), tmp_path / "run")
    index = pools.index(tmp_path / "run", "out")
    assert index.num_rows == 20
    ids, hashes = index["sample_id"].to_pylist(), index["image_sha256"].to_pylist()
    ((twice, count), *_, (once, _)) = Counter(hashes).most_common()
    copies = [i for i, found in zip(ids, hashes, strict=True) if found == twice]
    assert len(copies) == count == 2
    single = ids[hashes.index(once)]
    report = pools.run(recipe(write(tmp_path, "some.txt", single, twice)), tmp_path / "run")
    pools.prove(report)
    assert pools.dead(tmp_path / "run") == dict.fromkeys((single, *copies), "gone:takedown")
    assert pools.node(report, "gone")["computed"] == 0
    pools.run(recipe(nothing), tmp_path / "run")
    assert pools.index(tmp_path / "run", "out").num_rows == 20


def test_takedown_in_documents(tmp_path: Path) -> None:
    path = pools.write_pages(tmp_path / "in", 4)

    def recipe(lists: str) -> pools.Recipe:
        nodes: list[dict[str, Any]] = [
            {"id": "raw", "stage": "read_html", "path": path},
            {"stage": "sha256"},
            {"id": "gone", "stage": "drop_ids", "lists": lists, "hashes": "image_sha256"},
            {"id": "out", "stage": "write_parquet", "form": "documents"},
        ]
        return {"name": "taken", "nodes": nodes}

    pools.run(recipe(write(tmp_path, "none.txt")), tmp_path / "run")
    files = sorted((tmp_path / "run" / "out").glob("*.parquet"))
    pages = pq.read_table(files[0]).select(["sample_id", "image_sha256"]).to_pylist()
    logo = pages[0]["image_sha256"][0]
    assert all(page["image_sha256"][0] == logo for page in pages)
    lists = write(tmp_path, "some.txt", logo, *pages[1]["image_sha256"], pages[2]["sample_id"])
    pools.prove(pools.run(recipe(lists), tmp_path / "run"))
    assert pools.dead(tmp_path / "run") == {
        pages[1]["sample_id"]: "gone:no_image_left",
        pages[2]["sample_id"]: "gone:takedown",
    }
    left = pq.read_table(sorted((tmp_path / "run" / "out").glob("*.parquet"))[0])
    assert set(left["sample_id"].to_pylist()) == {pages[0]["sample_id"], pages[3]["sample_id"]}
