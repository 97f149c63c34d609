"""What of a benchmark's words is found in texts, and what is no leak though it looks like one."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pools
import pyarrow as pa
import pytest

from curate.errors import RecipeError
from stages.common import cached_index
from stages.text.leak_text import LeakText

LONG = (
    "Between the old harbour and the coast road there are nine lighthouses, but which of them was "
    "the first to be lit by gas in the year of the great storm?"
)
CHINESE = "从车站出发沿着旧城墙步行十五分钟以后，在河边左侧的灯塔是哪一年第一次用煤气点亮的？"
SUFFIX = "Please answer directly with only the letter of the correct option and nothing else at all."


@pytest.fixture
def benchmark(tmp_path: Path) -> Any:
    def made(*rows: dict[str, Any], **config: Any) -> LeakText:
        names = ("index", "question", "A", "B", "C", "answer", "image")
        lines = ["\t".join(names)]
        for number, row in enumerate(rows):
            lines.append("\t".join(str({"index": number, **row}.get(name, "")) for name in names))
        (tmp_path / "quiz.tsv").write_text("\n".join(lines), encoding="utf-8")
        return LeakText(paths=str(tmp_path / "quiz.tsv"), index=str(tmp_path / "index"), **config)

    return made


def told(stage: LeakText, *texts: str | None, images: list[list[str | None]] | None = None) -> pa.Table:
    columns: dict[str, Any] = {"text_body": pa.array(texts, pa.string())}
    if images is not None:
        columns["image_leak"] = pa.array(images, pa.list_(pa.string()))
    out = stage.open()(pa.table(columns))
    assert set(out.columns) == set(stage.writes().names)
    drop = out.drop if out.drop is not None else pa.nulls(len(texts), pa.string())
    return pa.table({**out.columns, "drop": drop})


def leaks(stage: LeakText, *texts: str | None, **more: Any) -> list[str | None]:
    return list(told(stage, *texts, **more)["text_leak"].to_pylist())


def test_both_sides_are_told(benchmark: Any) -> None:
    stage = benchmark({"question": "What?"}, {"question": LONG}, {"question": CHINESE})
    text = f"Quiz night! {LONG.upper().replace(',', ' -')} Think."
    found = told(stage, "nothing of it", text, None, f"有人问：{CHINESE}不知道。").to_pylist()
    assert [row["text_leak"] for row in found] == [None, "quiz/1", None, "quiz/2"]
    assert [row["drop"] for row in found] == [None, "leak", None, "leak"]
    assert [row["text_leak_share"] for row in found] == [0, 1, None, 1]
    assert found[1]["text_leak_ngram"] == LONG.lower().replace(",", "").replace("?", "")
    assert found[1]["text_leak_question"] == LONG
    assert found[3]["text_leak_ngram"] == CHINESE.replace("，", "").replace("？", "")
    assert {row["text_leak_by"] for row in found} == {None, "ngram"}


def test_marks_drop_nothing(benchmark: Any) -> None:
    stage = benchmark({"question": LONG}, action="mark")
    assert stage.reasons() == frozenset()
    assert told(stage, LONG)["drop"].to_pylist() == [None]
    assert leaks(stage, LONG) == ["quiz/0"]


def test_the_share_is_that_of_the_question(benchmark: Any) -> None:
    words = LONG.split()
    stage = benchmark({"question": LONG})
    for held in (12, 13, 20, len(words)):
        text = " ".join(words[:held])
        (share,) = told(stage, f"{text}. {'More follows here. ' * 40}")["text_leak_share"].to_pylist()
        assert share == pytest.approx(held / len(words) if held >= 13 else 0)
    # two stretches count together, words in both once, and a stretch that comes twice once
    cut = " ".join([*words[:15], "or", *words[13:]])
    assert told(stage, cut)["text_leak_share"].to_pylist() == [1]
    twice = " ".join([*words[:14], "and", *words[:14]])
    assert told(stage, twice)["text_leak_share"].to_pylist() == pytest.approx([14 / len(words)])
    # but not what stands far apart
    halves = [" ".join(part) for part in (words[:15], words[14:])]
    (share,) = told(stage, f"{halves[0]} {'so on ' * 30} {halves[1]}")["text_leak_share"].to_pylist()
    assert share == pytest.approx(len(words[14:]) / len(words))
    enough = -(-7 * len(words) // 10)
    assert leaks(stage, " ".join(words[: enough - 1]), " ".join(words[:enough])) == [None, "quiz/0"]
    assert leaks(benchmark({"question": LONG}, min_share=0.01), " ".join(words[:13])) == ["quiz/0"]


def test_of_several_questions_the_one_it_holds_most_of(benchmark: Any) -> None:
    words = LONG.split()
    other = " ".join([*words[:20], "and who else came to see it on that cold evening"])
    stage = benchmark({"question": other}, {"question": LONG}, {"question": f"{LONG} Well?"})
    assert leaks(stage, LONG, other) == ["quiz/1", "quiz/0"]


def test_a_shorter_question_counts_with_its_options(benchmark: Any) -> None:
    options = {"A": "the western approach", "B": "the eastern breakwater", "C": "the quiet mole"}
    stage = benchmark({"question": "Where was the bell buoy laid?", **options})
    joined = "Where was the bell buoy laid? {}the western approach {}the eastern breakwater {}the quiet mole"
    assert leaks(
        stage,
        "Where was the bell buoy laid?",
        joined.format("", "", ""),
        joined.format("A. ", "B. ", "C. "),
        joined.format("(A) ", "(B) ", "(C) "),
    ) == [None, "quiz/0", "quiz/0", "quiz/0"]


def test_options_that_say_nothing_make_no_question_its_own(benchmark: Any) -> None:
    stage = benchmark({"question": "How many people are there in the image?", "A": 1, "B": 2, "C": "3"})
    text = "How many people are there in the image? A. 1 B. 2 C. 3"
    assert leaks(stage, text, text.replace("A. ", "").replace("B. ", "")) == [None, None]


def test_templates_are_nobodys(benchmark: Any) -> None:
    rows = [{"question": f"How is number {i} painted? {SUFFIX}"} for i in range(14)]
    stage = benchmark(*rows, {"question": f"{LONG} {SUFFIX}"}, min_share=0.01)
    assert leaks(stage, f"What is the sum of four and nine? {SUFFIX}", SUFFIX, f"{LONG} Well?") == [
        None,
        None,
        "quiz/14",
    ]
    # a question that stands in fewer is a question
    assert leaks(benchmark(*rows[:8]), f"How is number 3 painted? {SUFFIX}") == ["quiz/3"]


def test_a_long_answer_counts_by_itself(benchmark: Any) -> None:
    stage = benchmark({"question": "Describe it.", "answer": LONG.replace("?", ".")})
    assert leaks(stage, LONG, "Describe it.") == ["quiz/0", None]


def test_a_short_question_counts_with_its_own_image(benchmark: Any) -> None:
    one, two = (base64.b64encode(pools.picture(i)).decode() for i in (1, 2))
    rows = (
        {"question": "What colour is the car?", "image": one},
        {"question": "Is it raining there?", "image": 0},
        {"question": "Why?", "image": one},
        {"question": "Is the bus late today?", "image": two},
    )
    stage = benchmark(*rows, short="with_image")
    texts = ["Q: what colour is the car?\nAnswer briefly.", "Is it raining there?", "Why?"]
    texts += ["Is the bus late today?", "What colour is the carpet?", "What colour is the car?"]
    assert leaks(stage, *texts, images=[[None, "quiz/0"]] * 5 + [["quiz/3"]]) == [
        "quiz/0",
        "quiz/1",
        None,  # too short to say anything
        None,  # is asked about another image
        None,
        None,
    ]
    assert leaks(stage, *texts, images=[[], [None]] * 3) == [None] * 6
    assert leaks(benchmark(*rows), *texts) == [None] * 6
    (row,) = told(stage, texts[0], images=[["quiz/0"]]).to_pylist()
    assert (row["text_leak_by"], row["text_leak_ngram"]) == ("short", "what colour is the car")


def test_the_index_is_made_once_and_again_when_it_must_be(
    benchmark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = 0
    build = LeakText.build

    def counted(self: LeakText) -> Any:
        nonlocal made
        made += 1
        return build(self)

    monkeypatch.setattr(LeakText, "build", counted)

    def found() -> int:
        cached_index._load.cache_clear()  # another process
        assert leaks(stage, LONG) == ["quiz/0"]
        return made

    stage = benchmark({"question": LONG})
    assert [found(), found()] == [1, 1]
    first = stage.identity()
    os.rename(tmp_path / "quiz.tsv", tmp_path / "quiz_.tsv")
    os.rename(tmp_path / "quiz_.tsv", tmp_path / "quiz.tsv")
    assert found() == 1
    (grams,) = (tmp_path / "index").glob("*/grams.arrow")
    data = grams.read_bytes()
    for damaged in (data[:-30], data[:200] + b"\xff" * 8 + data[208:], b""):
        grams.write_bytes(damaged)
        before = made
        assert found() == before + 1
    grams.unlink()
    assert found() == 5
    stage = benchmark({"question": LONG}, {"question": "Another?"})
    assert stage.identity() != first
    assert found() == 6


def test_what_could_not_be_read_is_told(benchmark: Any) -> None:
    stage = benchmark({"question": LONG, "image": "not base64! " * 20}, {"question": "x", "image": "no.png"})
    (notice,) = stage.notices()
    assert "benchmark quiz, SHA-256" in notice
    assert notice.endswith("not compared: 1 bad_base64, 1 missing_image")


def test_recipe_errors(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("index\tquestion\n1\tWhy?\n")
    stage = LeakText(paths=str(tmp_path / "b.tsv"), index=str(tmp_path / "i"))
    with pytest.raises(RecipeError, match=r"paths: there is no .*b\.tsv\n  did you mean `a\.tsv`"):
        stage.check_columns(pa.schema([]))
    stage = LeakText(paths=str(tmp_path / "a.tsv"), index=str(tmp_path / "a.tsv" / "i"))
    with pytest.raises(RecipeError, match=r"index: .* cannot be made"):
        stage.check_columns(pa.schema([]))


def test_a_hostile_text_takes_no_longer_than_another(benchmark: Any) -> None:
    stage = benchmark({"question": LONG}, {"question": "a " * 40})
    assert leaks(stage, "a " * 500_000, "\u0300" * 300_000, "([A-H] " * 50_000, LONG)[3] == "quiz/0"
