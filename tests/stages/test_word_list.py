from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pools
import pyarrow as pa
import pytest
from pydantic import ValidationError

from curate.errors import RecipeError
from stages.text.word_list import WordList


@pytest.fixture
def listed(tmp_path: Path) -> Any:
    def made(entries: str | bytes, name: str = "words.txt") -> WordList:
        path = tmp_path / name
        path.write_bytes(entries if isinstance(entries, bytes) else entries.encode())
        return WordList(lists={"words": str(path)})

    return made


def count(stage: WordList, *texts: str | None) -> list[Any]:
    table = pa.table({"text_body": pa.array(texts, pa.string())})
    return stage.open()(table).columns["text_hits_words"].to_pylist()


@pytest.mark.parametrize(
    ("entry", "text", "hits"),
    [
        ("ass", "An ASS, two Ass's ears, ass!", 3),
        ("ass", "a class, glasses, ass2, assign", 0),
        ("ass", "ａｓｓ and a\u200bss", 2),
        ("hello kitty", "Hello  Kitty; hello-kitty and HELLO_KITTY", 3),
        ("hello-kitty", "hello kitty", 1),
        ("hello kitty", "hello, kitty; hellokitty; hello big kitty", 0),
        ("don't", "Don’t, don't", 2),
        ("s&m", "S&M s & m", 1),
        ("c++", "c++ and c", 1),
        ("🖕", "🖕🏽🖕", 2),
        ("straße", "STRASSE Straße", 2),
        ("café", "CAFE\u0301 cafe", 1),
        ("ﬁne", "fine", 1),
        ("猫", "两只猫和一只小猫", 2),
        ("法轮", "练法轮的人，法 轮", 1),
        ("ねこ", "かわいいねこです", 1),
        ("แมว", "แมวดำ กับแมว", 2),
        ("แม", "แม้ว่า", 0),  # another letter: its tone mark belongs to it
        ("T恤", "一件t恤", 1),
        ("दुनिया", "नमस्ते दुनिया, दुनियादारी", 1),
        ("слово", "Слово, словом", 1),
        ("می‌خواهم", "می‌خواهم", 1),
        ("a a", "a a a a", 3),
    ],
)
def test_matches(listed: Any, entry: str, text: str, hits: int) -> None:
    assert count(listed(entry), "before", text) == [0, hits]


def test_a_place_counts_once(listed: Any) -> None:
    stage = listed("red\nred car\n")
    assert count(stage, "red car, red", "car", "", None) == [2, 0, 0, None]


def test_the_file(listed: Any) -> None:
    stage = listed("\ufeff# comment\n\n  one  \r\ntwo words\n")
    assert count(stage, "# comment", "one", "two words two") == [0, 1, 1]


def test_lists_have_a_column_each(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text(name)
    stage = WordList(lists={"b": str(tmp_path / "b"), "a": str(tmp_path / "a")})
    assert stage.writes() == pa.schema([("text_hits_a", pa.int32()), ("text_hits_b", pa.int32())])
    found = stage.open()(pa.table({"text_body": ["a b b"]})).columns
    assert {name: values.to_pylist() for name, values in found.items()} == {
        "text_hits_a": [1],
        "text_hits_b": [2],
    }


def test_content_decides_and_not_the_path(listed: Any, tmp_path: Path) -> None:
    stage = listed("one\n")
    other = listed("one\n", "moved.txt")
    assert stage.identity() == other.identity()
    assert WordList(lists={"others": stage.lists["words"]}).identity() != stage.identity()
    before = stage.identity()
    os.utime(stage.lists["words"], (1, 1))
    assert stage.identity() == before
    (tmp_path / "words.txt").write_text("one\ntwo\n")
    assert stage.identity() != before
    assert count(stage, "two") == [1]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\xff\xfe\x00a", "not UTF-8"),
        (b"a\x00b", "null byte"),
        (b"", "holds no entry"),
        (b"# nothing\n\n", "holds no entry"),
        ("one\n\u200b\u200b\n".encode(), "line 2"),
    ],
)
def test_files_that_are_no_lists(listed: Any, content: bytes, told: str) -> None:
    stage = listed(content)
    with pytest.raises(RecipeError, match=told) as caught:
        stage.check_columns(pa.schema([]))
    assert caught.value.place == "lists.words"
    assert "words.txt" in str(caught.value)


def test_a_missing_file_is_told_when_planning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slurs.txt").write_text("a\n")
    path = pools.write_tars(tmp_path / "in", pools.pairs(2), 1)
    read = {"id": "raw", "stage": "read_webdataset", "path": path}

    def recipe(file: str) -> pools.Recipe:
        nodes = [read, {"stage": "word_list", "lists": {"bad": file}}, {"stage": "write_parquet"}]
        return {"name": "x", "nodes": nodes}

    monkeypatch.chdir(tmp_path)
    plan, _ = pools.planned(recipe("slurs.txt"))
    with pytest.raises(RecipeError, match=r"nodes\.1.*lists\.bad.*slur\.txt") as caught:
        pools.planned(recipe("slur.txt"))
    assert "holds: slurs.txt" in str(caught.value)
    for lists in ({}, {"A b": "slurs.txt"}, {"a": ""}):
        with pytest.raises(ValidationError):
            WordList.model_validate({"lists": lists})
    monkeypatch.chdir("/")  # where a worker may run
    stage = next(op.stage for segment in plan.segments() for op in segment.ops if op.node == "word_list")
    assert stage.assets()


def test_in_a_run(tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_text("number 3\n")
    path = pools.write_tars(tmp_path / "in", pools.pairs(12), 1)
    recipe = {
        "name": "x",
        "nodes": [
            {"id": "raw", "stage": "read_webdataset", "path": path},
            {"stage": "word_list", "lists": {"bad": str(tmp_path / "bad.txt")}},
            {"id": "clean", "stage": "keep", "bounds": {"text_hits_bad": {"max": 0}}},
            {"id": "out", "stage": "write_webdataset"},
        ],
    }
    first = pools.run(recipe, tmp_path / "run")
    assert set(pools.dead(tmp_path / "run").values()) == {"clean:text_hits_bad.above_max"}
    assert pools.computed(first)["word_list"] == 12
    (tmp_path / "elsewhere.txt").write_text("number 3\n")
    moved = pools.with_node(recipe, "word_list", lists={"bad": str(tmp_path / "elsewhere.txt")})
    assert pools.computed(pools.run(moved, tmp_path / "run")) == {}, "the same words at another place"
    (tmp_path / "longer.txt").write_text("number 3\nnumber 4\n")
    grown = pools.with_node(recipe, "word_list", lists={"bad": str(tmp_path / "longer.txt")})
    assert pools.computed(pools.run(grown, tmp_path / "run"))["word_list"] == 12


@pytest.mark.parametrize(
    "text",
    [
        "a" * 10**6,
        "a " * 500_000,
        "\ufdfa" * 333_000,
        "e" + "\u0316\u0301" * 250_000,
        "你" * 333_000,
        "*" * 10**6,
    ],
    ids=["word", "words", "ligatures", "marks", "letters", "symbols"],
)
def test_a_megabyte(listed: Any, text: str) -> None:
    stage = listed("a b\na a a b\n你好\n* a\n")
    count(stage, "é")
    start = time.process_time()
    count(stage, text)
    assert time.process_time() - start < 2, "under a second where nothing else runs"
