from __future__ import annotations

import unicodedata
from typing import Literal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.common.shingles import Sets, plain, shingles


def rows(sets: Sets) -> list[list[int]]:
    return [sets.hashes[a:b].tolist() for a, b in zip(sets.offsets, sets.offsets[1:], strict=False)]


def words(text: str) -> list[str]:
    return plain(pa.array([text], pa.string()))[0].as_py().split()  # type: ignore[no-any-return]


def grams(tokens: list[str], n: int) -> set[tuple[str, ...]]:
    if not tokens:
        return set()
    return {tuple(tokens[i : i + n]) for i in range(max(1, len(tokens) - n + 1))}


def one(text: str, unit: Literal["words", "characters"] = "words", n: int = 2) -> list[int]:
    return rows(shingles(pa.array([text], pa.string()), unit, n))[0]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The  quick, brown FOX!", "the quick brown fox"),
        ("don't stop—now", "don t stop now"),
        ("Straße und STRASSE", "strasse und strasse"),
        ("ΣΊΣΥΦΟΣ σίσυφος", "σίσυφοσ σίσυφοσ"),
        ("ＡＢＣ ｶﾞ ①", "abc ガ 1"),
        ("一只红色的猫 and a dog", "一 只 红 色 的 猫 and a dog"),
        ("猫cat猫", "猫 cat 猫"),
        ("カタカナとひらがな", "カ タ カ ナ と ひ ら が な"),
        ("ภาษาไทย", "ภ า ษ า ไ ท ย"),
        ("ที่นี่", "ที่ นี่"),  # marks belong to the letter before them
        ("ខ្មែរ", "ខ្ មែ រ"),
        ("မြန်မာ", "မြ န် မာ"),
        ("ພາສາ", "ພ າ ສ າ"),
        ("한국어 문장", "한국어 문장"),  # Korean has spaces
        ("नमस्ते दुनिया", "नमस्ते दुनिया"),
        ("co\u00adop zero\u200bwidth می\u200cروم", "coop zero width میروم"),
        ("🔥🔥 ❤️ !?", ""),
        ("", ""),
    ],
)
def test_words_are_those_a_reader_sees(text: str, found: str) -> None:
    assert words(text) == found.split()


@given(st.lists(st.text(max_size=40) | st.none(), max_size=30), st.integers(1, 6))
@settings(max_examples=150, deadline=None)
def test_sets_are_those_of_the_definition(texts: list[str | None], n: int) -> None:
    """Equal sets of n-grams, equal digests; sizes and intersections as sets of tuples have them."""
    texts = [t.encode("utf-8", "ignore").decode() if t is not None else None for t in texts]
    sets = shingles(pa.array(texts, pa.string()), "words", n)
    expected = [grams(words(t or ""), n) for t in texts]
    found = [set(r) for r in rows(sets)]
    assert [len(f) for f in found] == [len(e) for e in expected] == sets.sizes.tolist()
    assert all(r == sorted(r) for r in rows(sets))
    for i in range(len(texts)):
        for k in range(i):
            assert len(found[i] & found[k]) == len(expected[i] & expected[k])
            assert (sets.digests[i] == sets.digests[k]) == (expected[i] == expected[k])


@given(st.lists(st.text(alphabet="ab 中ก.é", max_size=30), min_size=1, max_size=20), st.data())
@settings(max_examples=60, deadline=None)
def test_a_text_has_the_same_set_wherever_it_stands(texts: list[str], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(texts) - 1))
    for unit in ("words", "characters"):
        whole = shingles(pa.array(texts), unit, 3)
        part = shingles(pa.array(texts).slice(start), unit, 3)
        assert rows(whole)[start:] == rows(part)
        assert whole.digests[start:].tolist() == part.digests.tolist()


@given(st.text(max_size=60))
@settings(deadline=None)
def test_form_case_and_punctuation_do_not_count(text: str) -> None:
    text = text.encode("utf-8", "ignore").decode()
    for other in (unicodedata.normalize("NFD", text), f"  «{text}» ...", text.replace(" ", " – \t")):
        assert one(other) == one(text)


def test_a_plain_text_is_plain_already() -> None:
    texts = pa.array(["Ein Straßenfoto, 3 Mal!", "ΐ ǰ ﬁn", "a 中文 b", "x" * 100])
    again = plain(plain(texts))
    assert [t.split() for t in again.to_pylist()] == [t.split() for t in plain(texts).to_pylist()]


def test_few_words_are_one_shingle() -> None:
    assert len(one("red rose", n=5)) == len(one("rose", n=5)) == 1
    assert one("red rose", n=5) != one("rose", n=5)
    assert one("red rose", n=5) == one("Red rose.", n=2)
    assert one("a b a b a b", n=2) == one("a b a", n=2), "a set, not a list"


def test_characters_go_across_words_but_not_over_doubled_spaces() -> None:
    assert one("ab  cd", "characters", 3) == one(" ab, cd ", "characters", 3)
    assert len(one("ab cd", "characters", 3)) == 3
    assert one("abcd", "characters", 3) != one("ab cd", "characters", 3)
    assert len(one("红色的猫", "characters", 2)) == 3


def test_long_words_differ_in_their_last_letter() -> None:
    for length in (7, 8, 9, 16, 63, 64, 65, 5000):
        assert one("x" * length) != one("x" * (length - 1) + "y")
        assert one("x" * length) != one("x" * (length + 1))
        assert one("x" * length + " é") == one("X" * length + " É")


def test_neither_the_cut_nor_slices_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = pa.array([f"text number {i} of {'many 中文 ' * (i % 7)}" for i in range(700)] + [None, ""])
    whole = shingles(texts, "words", 3)
    for block in (1, 50, 333):
        monkeypatch.setattr("stages.common.shingles._BLOCK", block)
        cut = shingles(texts, "words", 3)
        assert np.array_equal(whole.hashes, cut.hashes)
        assert np.array_equal(whole.offsets, cut.offsets)
        assert np.array_equal(whole.digests, cut.digests)
    chunked = pa.chunked_array([texts.slice(0, 10), texts.slice(10)])
    assert np.array_equal(shingles(chunked, "words", 3).digests, whole.digests)


def test_hashes_are_the_same_in_every_process() -> None:
    """They are in the index of a data set: later runs compare theirs with them."""
    assert one("A red rose in a garden.") == [884400661, 1478433304, 1957336378, 2476496436, 2730395228]
    assert one("一只红色的猫", "characters", 3) == [1763697497, 2802333419, 3283926879, 3373207567]


def test_hashes_do_not_collide() -> None:
    sets = shingles(pa.array([str(i) for i in range(300_000)]), "words", 1)
    assert len(np.unique(sets.digests)) == 300_000
    # 32 bits: n * n / 2**33 pairs, give or take
    assert 300_000 - len(np.unique(sets.hashes)) < 30
