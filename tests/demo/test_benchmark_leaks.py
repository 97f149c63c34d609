"""The demo's benchmark: what was planted in it is found in the pool, and nothing else is."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pools
import pytest
from finished import RECIPES, run_file
from PIL import Image

from curate.demo import generate

PAIRS, DOCUMENTS = 250, 40


class Scored(NamedTuple):
    planted: set[str]
    copies: set[str]
    found: set[str]


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def quiz(pool: Path) -> list[dict[str, str]]:
    usual = csv.field_size_limit(1 << 24)
    try:
        with (pool / "benchmark" / "quiz.tsv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file, delimiter="\t"))
    finally:
        csv.field_size_limit(usual)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("leaks")
    generate(root, PAIRS, DOCUMENTS, seed=11)
    return root


@pytest.fixture(scope="module")
def out(pool: Path) -> Path:
    paths = [f"{node}.paths={pool}/benchmark/quiz.tsv" for node in ("images", "words")]
    paths += [f"{node}.index={pool}/index" for node in ("images", "words")]
    paths += [f"raw.path={pool}/pairs/*.tar", f"pages.path={pool}/docs/**/*.html"]
    run_file(RECIPES / "decontaminate.yaml", paths, pool / "run")
    return pool / "run"


def key(source: str) -> str:
    """As the truth names a sample."""
    return source.partition("#")[2].partition("@")[0] or source


def score(pool: Path, out: Path, how: str, node: str) -> Scored:
    leaks = [leak for leak in rows(pool / "benchmark" / "leaks.jsonl") if leak["how"] == how]
    copies = {copy["key"] for leak in leaks for copy in leak["copies"]}
    dead = [row for row in pools.ledger(out, "documents") if (row["node"], row["reason"]) == (node, "leak")]
    return Scored({leak["key"] for leak in leaks}, copies, {key(row["source"]) for row in dead})


@pytest.mark.parametrize(("how", "node", "least"), [("image", "images", 5), ("text", "words", 4)])
def test_what_was_planted_is_found_and_nothing_else(
    pool: Path, out: Path, how: str, node: str, least: int
) -> None:
    scored = score(pool, out, how, node)
    assert len(scored.planted) >= least
    assert scored.planted <= scored.found
    assert scored.found <= scored.planted | scored.copies


def test_each_hit_names_the_item_that_was_made_from_it(pool: Path, out: Path) -> None:
    made = {
        leak["item"]: {leak["key"], *(c["key"] for c in leak["copies"])}
        for leak in rows(pool / "benchmark" / "leaks.jsonl")
    }
    asked = {row["index"]: row["question"] for row in quiz(pool)}
    dead = [row for row in pools.ledger(out, "documents") if row["reason"] == "leak"]
    assert dead
    for row in dead:
        name = row["image_leak"] or row["text_leak"]
        item = name.removeprefix("quiz/")
        assert key(row["source"]) in made[item]
        if row["text_leak"]:
            assert row["text_leak_question"] == asked[item]
            assert len(row["text_leak_ngram"]) > 30


def test_the_benchmark_is_half_leaks(pool: Path) -> None:
    table, leaks = quiz(pool), rows(pool / "benchmark" / "leaks.jsonl")
    assert (
        [row["index"] for row in table]
        == [leak["item"] for leak in leaks]
        == list(map(str, range(len(table))))
    )
    images = {row["index"]: row["image"] for row in table}
    pointers = {row["index"] for row in table if len(row["image"]) <= 64}
    assert pointers
    for index in pointers:
        assert len(images[images[index]]) > 64
    hows = Counter(leak["how"] for leak in leaks if leak["item"] not in pointers)
    assert hows == {
        "image": 2 * PAIRS // 100,
        "text": DOCUMENTS // 10,
        None: 2 * PAIRS // 100 + DOCUMENTS // 10,
    }
    for row in table:
        options = [row[letter] for letter in "ABCD" if row[letter]]
        assert len(set(options)) == len(options) >= 2
        assert row[row["answer"]]
        if row["index"] not in pointers:
            image = Image.open(io.BytesIO(base64.b64decode(row["image"])))
            image.load()
            assert image.format == "JPEG"


def test_leaks_come_from_clean_samples_and_name_all_copies(pool: Path) -> None:
    truth = {row["key"]: row for row in rows(pool / "truth.jsonl")}
    copied = {
        "exact_duplicate_image",
        "near_duplicate_image",
        "exact_duplicate_document",
        "near_duplicate_document",
    }
    for leak in rows(pool / "benchmark" / "leaks.jsonl"):
        if leak["how"] is None:
            assert (leak["file"], leak["key"], leak["copies"]) == (None, None, [])
            continue
        assert truth[leak["key"]]["defects"] == []
        place = {"file": leak["file"], "key": leak["key"]}
        told = [c["key"] for c in leak["copies"]]
        assert told == [k for k, row in truth.items() if row["of"] == place and copied & set(row["defects"])]


def test_no_byte_of_the_pool_depends_on_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generate(tmp_path / "with", 30, 4, seed=1)
    monkeypatch.setattr("curate.demo.pool.write_benchmark", lambda *_: None)
    generate(tmp_path / "without", 30, 4, seed=1)
    bytes_ = [
        {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}
        for root in (tmp_path / "with", tmp_path / "without")
    ]
    assert bytes_[0].keys() - bytes_[1].keys() == {"benchmark/quiz.tsv", "benchmark/leaks.jsonl"}
    assert bytes_[0] | bytes_[1] == bytes_[0]


def test_an_own_folder_of_that_name_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "benchmark").mkdir()
    with pytest.raises(FileExistsError, match="benchmark exists"):
        generate(tmp_path, 1, 0)


def test_a_small_pool_has_one_too(tmp_path: Path) -> None:
    for pairs, documents in ((0, 0), (3, 2)):
        generate(tmp_path, pairs, documents)
        assert len(quiz(tmp_path)) == len(rows(tmp_path / "benchmark" / "leaks.jsonl"))
