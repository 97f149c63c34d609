"""Benchmark files of every form, sound and hostile, read into items."""

from __future__ import annotations

import base64
import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pools
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.errors import RecipeError
from stages.common import benchmark_files, benchmark_rows
from stages.common.benchmark import Asked, Gallery, digests, find, items
from stages.common.benchmark_rows import SameAs


def read(*paths: Path | str) -> tuple[list[Asked], Counter[str]]:
    faults: Counter[str] = Counter()
    found = [one for each in find([str(p) for p in paths], "paths") for one in items(each, faults)]
    return found, faults


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def tsv(path: Path, header: str, *rows: tuple[Any, ...]) -> Path:
    lines = [header.replace(" ", "\t"), *("\t".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_other_tables_of_the_process_are_read_as_before(tmp_path: Path) -> None:
    """The longest field of Python's csv is one number for a whole process."""
    long = "x" * 200_000
    path = tsv(tmp_path / "quiz.tsv", "index question answer", (1, long, "yes"), (2, "Why?", "no"))
    usual = csv.field_size_limit()
    found, faults = read(path)
    assert len(found) == 2
    assert not faults
    assert csv.field_size_limit() == usual < len(long)


def test_vlmevalkit(tmp_path: Path) -> None:
    one, two = pools.picture(1), pools.picture(2)
    path = tsv(
        tmp_path / "quiz.tsv",
        "index question hint A B C answer image",
        (7, "What is it?", "Look.", "a cat", "a dog", "", "A", encoded(one)),
        (8, "And now?", "", "yes", "no", "", "B", "7"),
        (9, "Both?", "", "", "", "", "['one', \"two\"]", f"['{encoded(two)}', '{encoded(one)}']"),
        (10, "None?", "", "", "", "", "no", ""),
    )
    found, faults = read(path)
    assert [one.name for one in found] == ["quiz/7", "quiz/8", "quiz/9", "quiz/10"]
    assert [one.item.question for one in found] == ["What is it?", "And now?", "Both?", "None?"]
    assert found[0].item.options == ("a cat", "a dog")
    assert found[2].item.answers == ("one", "two")
    assert [one.images for one in found] == [(one,), (SameAs("7"),), (two, one), ()]
    assert not faults


def test_an_image_has_the_name_of_the_item_that_showed_it_first(tmp_path: Path) -> None:
    path = tsv(
        tmp_path / "quiz.tsv",
        "index question image",
        (1, "Later?", 2),
        (2, "First?", encoded(pools.picture(1))),
        (3, "Again?", encoded(pools.picture(1))),
        (4, "Lost?", 99),
    )
    found, _ = read(path)
    gallery = Gallery()
    assert [len(gallery.add(one)) for one in found] == [0, 1, 0, 0]
    assert [gallery.names(one) for one in found] == [["quiz/2"], ["quiz/2"], ["quiz/2"], []]


def test_parquet_of_the_hub(tmp_path: Path) -> None:
    one, two = pools.picture(1), pools.picture(2)
    folder = tmp_path / "ScienceQA"
    folder.mkdir()
    rows = [
        {
            "image": {"bytes": one, "path": None},
            "question": "Which is a mammal?",
            "choices": ["a bat", "a trout"],
            "answer": 0,
            "hint": "Think.",
        },
        {"image": None, "question": "Which is true?", "choices": [], "answer": 1, "hint": None},
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "test-00000-of-00002.parquet")
    pq.write_table(pa.Table.from_pylist(rows[:1]), folder / "test-00001-of-00002.parquet")
    found, _ = read(folder)
    assert [f.name for f in found] == [
        "ScienceQA/test-00000-of-00002#0",
        "ScienceQA/test-00000-of-00002#1",
        "ScienceQA/test-00001-of-00002#0",
    ]
    assert found[0].item.options == ("a bat", "a trout")
    assert [f.images for f in found] == [(one,), (), (one,)]
    # a glob of shards is one benchmark, called like them
    assert [f.benchmark for f in read(folder / "*.parquet")[0]] == ["test"] * 3
    mmmu = {"id": "v_1", "question": "<image 1> or <image 2>?", "options": "['$6', 'it\\'s']"}
    both = {"image_1": {"bytes": one, "path": ""}, "image_2": {"bytes": two, "path": ""}, "image_3": None}
    pq.write_table(pa.Table.from_pylist([{**mmmu, **both}]), tmp_path / "mmmu.parquet")
    (item,), _ = read(tmp_path / "mmmu.parquet")
    assert (item.name, item.images) == ("mmmu/v_1", (one, two))
    assert item.item.options[0] == "$6"


def test_json_and_images_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / "bench"
    (folder / "images" / "q").mkdir(parents=True)
    for name, seed in (("images/q/a.png", 1), ("images/q/b.png", 2), ("c.png", 3)):
        (folder / name).write_bytes(pools.picture(seed))
    lines = [
        {"question_id": 1, "image": "a.png", "text": "Is there a dog?"},
        {"question_id": 2, "image": "nowhere.png", "text": "Is there a cat?"},
        {"question_id": 3, "image": "../../secret.png", "text": "Is there?"},
    ]
    (folder / "q.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (folder / "notes.json").write_text('{"made": "by hand"}')
    (tmp_path / "secret.png").write_bytes(pools.picture(9))
    found, faults = read(folder)
    assert [f.name for f in found[:3]] == ["bench/1", "bench/2", "bench/3"]
    assert [f.images for f in found[:3]] == [(pools.picture(1),), (), ()]
    # images that no row names are items of their own
    assert [f.name for f in found[3:]] == ["bench/c.png", "bench/images/q/b.png"]
    assert faults == {"missing_image": 2}
    problems = {"17": {"question": "Why?", "choices": ["x", "y"]}, "18": {"question": "How?", "choices": []}}
    (tmp_path / "problems.json").write_text(json.dumps(problems))
    assert [f.name for f in read(tmp_path / "problems.json")[0]] == ["problems/17", "problems/18"]


def test_bad_rows_are_counted_and_the_others_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark_rows, "LARGEST_IMAGE", 900)
    monkeypatch.setattr(benchmark_files, "_LONGEST_LINE", 4000)
    path = tsv(
        tmp_path / "quiz.tsv",
        "index question image",
        (1, "Fine?", encoded(b"\xff" * 90)),
        (2, "Too", "many", "cells"),
        (3, "No base64?", "=" * 99 + "x"),
        (4, "Too large?", encoded(b"\xff" * 1000)),
        (5, "A long line?", "A" * 5000),
        (6, "Fine too?", encoded(b"\xfe" * 90)),
    )
    path.write_bytes(path.read_bytes() + b'7\t"never closed\n' + b"8\t\xff\xfe not UTF-8\t\n" * 3)
    found, faults = read(path)
    assert [f.item.id for f in found][:4] == ["1", "3", "4", "6"]
    assert [len(f.images) for f in found][:4] == [1, 0, 0, 1]
    assert {name: faults[name] for name in ("bad_base64", "oversized")} == {"bad_base64": 1, "oversized": 2}
    assert faults["bad_row"] >= 1
    lines = tmp_path / "l.jsonl"
    lines.write_text('{"question": "Is it?"}\n{"question": \n[1]\n' + "[" * 3000 + "\n")
    found, faults = read(lines)
    assert (len(found), faults["bad_row"]) == (1, 3)


def test_a_parquet_file_that_breaks_in_the_middle(tmp_path: Path) -> None:
    path = tmp_path / "b.parquet"
    rows = [{"question": f"Question number {i} {'x' * 50}?"} for i in range(400)]
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=100, compression="zstd")
    data = bytearray(path.read_bytes())
    middle = pq.ParquetFile(path).metadata.row_group(2).column(0)
    start = middle.dictionary_page_offset or middle.data_page_offset
    data[start : start + 40] = b"\0" * 40
    path.write_bytes(data)
    found, faults = read(path)
    assert 100 <= len(found) < 400
    assert faults == {"unreadable_rest": 1}


def test_what_a_recipe_may_name(tmp_path: Path) -> None:
    tsv(tmp_path / "quiz.tsv", "index question", (1, "What?"))
    for path, told in (
        ("quizz.tsv", "did you mean `quiz.tsv`"),
        ("none/quiz.tsv", "there is no folder"),
        ("*.parquet", "no file matches"),
    ):
        with pytest.raises(RecipeError, match=told):
            find([str(tmp_path / path)], "paths")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecipeError, match="nothing to compare with"):
        find([str(tmp_path / "empty")], "paths")
    tsv(tmp_path / "other.tsv", "made by", (1, "hand"))
    with pytest.raises(RecipeError, match=r"it has made, by"):
        find([str(tmp_path / "other.tsv")], "paths")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(RecipeError, match=r"broken\.parquet cannot be read"):
        find([str(tmp_path / "broken.parquet")], "paths")
    (tmp_path / "a.doc").write_bytes(b"x")
    with pytest.raises(RecipeError, match="none of the forms"):
        find([str(tmp_path / "a.doc")], "paths")


def test_names_tell_folders_of_one_name_apart(tmp_path: Path) -> None:
    for parent in ("pope", "mme"):
        (tmp_path / parent / "data").mkdir(parents=True)
        (tmp_path / parent / "data" / "x.png").write_bytes(pools.picture(1))
    found = find([str(tmp_path / "*" / "data")], "paths")
    assert [one.name for one in found] == ["mme/data", "pope/data"]


def test_the_digest_is_of_names_and_contents(tmp_path: Path) -> None:
    path = tmp_path / "a" / "x.tsv"
    path.parent.mkdir()

    def digest() -> str:
        (found,) = digests(find([str(path)], "paths"), "paths").values()
        return found

    tsv(path, "index question", (1, "What?"))
    first = digest()
    tsv(path, "index question", (1, "When?"))
    second = digest()
    assert first != second
    tsv(path, "index question", (1, "What?"))
    assert digest() == first
    path = path.rename(tmp_path / "x.tsv")
    assert digest() == first
