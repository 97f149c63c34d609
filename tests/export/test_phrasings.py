from __future__ import annotations

from collections import Counter

import pytest

from curate.export import phrasings
from curate.export.llava import has_reserved

LONG = "A red cup stands on a wooden table near the window " * 3


@pytest.mark.parametrize(
    ("text", "declared", "language"),
    [
        ("a cup", None, "en"),
        ("一个杯子", None, "zh"),
        ("一个杯子", "en", "en"),
        ("机の上のカップ", None, "ja"),
        ("컵", None, "ko"),
        ("чашка на столе", None, "ru"),
        ("كوب على الطاولة", None, "ar"),
        ("eine Tasse", "de-AT", "de"),
        ("eine Tasse", "DE", "de"),
        ("een kopje", "nl", "en"),
    ],
)
def test_the_question_is_in_the_language_of_the_caption(
    text: str, declared: str | None, language: str
) -> None:
    assert phrasings.language_of(text, declared) == language
    assert phrasings.instruction("id", text, declared, 0) in phrasings.POOLS[language]["short"]


def test_a_long_caption_answers_a_detailed_question() -> None:
    assert phrasings.instruction("id", LONG, None, 0) in phrasings.POOLS["en"]["detailed"]
    assert phrasings.length_of("桌子上放着两个红色的杯子。") == "short"
    assert phrasings.length_of("桌子上放着两个红色的杯子，旁边是一本打开的书。" * 3) == "detailed"


def test_all_phrasings_come_about_equally_often() -> None:
    found = Counter(phrasings.instruction(f"{i:032x}", "a cup", None, 0) for i in range(4000))
    pool = phrasings.POOLS["en"]["short"]
    assert set(found) == set(pool)
    assert max(found.values()) < 1.3 * 4000 / len(pool)


def test_no_phrasing_breaks_a_trainer_or_comes_twice() -> None:
    for pools in phrasings.POOLS.values():
        every = [*pools["short"], *pools["detailed"]]
        assert len(set(every)) == len(every)
        assert not any(has_reserved(p) or p != p.strip() for p in every)
