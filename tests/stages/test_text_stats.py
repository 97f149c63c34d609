from __future__ import annotations

import time
from typing import Any

import pyarrow as pa
import pytest

from stages.common import scripts
from stages.text.text_stats import TextStats, _phrases


def measured(*texts: str | None) -> dict[str, list[Any]]:
    out = TextStats().open()(pa.table({"text_body": pa.array(texts, pa.string())}))
    assert out.drop is None
    return {name.removeprefix("text_"): values.to_pylist() for name, values in out.columns.items()}


@pytest.mark.parametrize(
    ("text", "chars", "words"),
    [
        ("A man's well-known e-mail - ok.", 31, 5),
        ("两只猫", 3, 3),
        ("リンゴ2個", 5, 5),
        ("three 猫 cats", 12, 3),
        ("고양이 두 마리", 8, 3),
        ("สวัสดีครับ", 10, 1),
        ("می‌خواهم", 8, 1),  # joined by a zero-width non-joiner
        ("नमस्ते दुनिया", 13, 2),
        ("\U0001f469\u200d\U0001f680 in space", 12, 2),
        ("  a \u3000 b\n", 8, 2),
        ("... !?", 6, 0),
        ("", 0, 0),
        (None, 0, 0),
    ],
)
def test_length(text: str | None, chars: int, words: int) -> None:
    found = measured("before", text, "behind")
    assert (found["chars"][1], found["words"][1]) == (chars, words)


def test_shares() -> None:
    found = measured("ab 12 !?", "", "été №5")
    assert found["symbol_ratio"] == pytest.approx([2 / 6, 0, 1 / 5])
    assert found["digit_ratio"] == pytest.approx([2 / 6, 0, 1 / 5])
    assert measured("ab вг", "12")["latin_ratio"] == [0.5, 0.0]


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("A photo of Łódź", "Latin"),
        ("Фото USA и Канады", "Cyrillic"),
        ("صورة 2 cat", "Arabic"),
        ("两只猫 on a sofa bed", "Latin"),
        ("两只猫", "Han"),
        ("東京都庁舎前広場の朝", "Kana"),  # mostly Han, yet Japanese
        ("東京都庁舎", "Han"),
        ("ﾊﾝｶｸ", "Kana"),
        ("고양이", "Hangul"),
        ("ＦＵＬＬ ＷＩＤＴＨ", "Latin"),
        ("γάτα", "Greek"),
        ("แมว", "Thai"),
        ("ᚠᚢᚦ", "Other"),
        ("123 !", None),
    ],
)
def test_script(text: str, script: str | None) -> None:
    assert measured(text)["script"] == [script]


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("A brown dog runs after a red ball on the wet sand.", 0, 0.01),
        ("buy now buy now buy now", 0.59, 0.61),
        ("dog " * 12, 0.9, 1),
        ("aaaaaaaa", 1, 1),
        ("wait... what", 0, 0),
        ("哈哈哈哈哈哈", 0.79, 1),
        ("一只黑色的狗在草地上奔跑", 0, 0.01),
        ("=====  title", 0.5, 0.5),
    ],
)
def test_repetition(text: str, low: float, high: float) -> None:
    assert low - 1e-6 <= measured(text)["repetition"][0] <= high + 1e-6


def test_neighbouring_texts_are_not_one() -> None:
    found = measured("xx", "xx", "12", "34")
    assert found["repetition"] == [0, 0, 0, 0]
    assert found["words"] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("text", "junk"),
    [
        (None, "empty"),
        (" \n\u200b", "empty"),
        ("https://www.example.org/a?b=1", "url"),
        ("www.example.org", "url"),
        ("example.com/img/12", "url"),
        ("IMG_1234.JPG", "file_name"),
        ("DSC00123", "file_name"),
        ("my holiday 03.jpeg", "file_name"),
        ("Screenshot 2023-01-12 at 11.34.56", "file_name"),
        ("3d9f8a7b6c5d4e3f", "file_name"),
        ("1200x800", "file_name"),
        ("Click to enlarge!", "boilerplate"),
        ("Image may be subject to copyright.", "boilerplate"),
        ("ZUM VERGRÖSSERN BITTE KLICKEN", None),  # upper case of ß: not worth a rule
        ("Zum Vergrößern bitte klicken", "boilerplate"),
        ("Cliquez pour agrandir", "boilerplate"),
        ("点击查看大图", "boilerplate"),
        ("クリックで拡大", "boilerplate"),
        ("#cat #dog #bird", "tags"),
        ("cheap shoes, red shoes, buy shoes, best shoes, new shoes, shoes sale", "tags"),
        ("★★★★★ 12,99 €", "symbols"),
        ("*#@!~=_|<>%", "symbols"),
        ("cat cat cat cat cat cat cat", "repeated"),
        ("A red apple, two pears, three plums and a fig on a table", None),
        ("The man said www.example.org was down", None),
        (
            "A man who clicks to enlarge a photo of the sea at dusk in a room, all rights reserved",
            None,
        ),
        ("F-16", None),
        (
            "The cook, a man from Lyon, cut onions, then peeled some carrots, washed leeks, and lit a fire",
            None,
        ),
        ("Photo of a kitten #cute", None),
        ("两只猫和一只狗在桌子上，旁边有一只杯子。", None),
        ("Ein Foto vom Archiv der Stadt", None),
    ],
)
def test_junk(text: str | None, junk: str | None) -> None:
    assert measured(text)["junk"] == [junk]


def test_the_word_list_is_an_asset() -> None:
    (digest,) = TextStats().assets().values()
    assert len(digest) == 64
    assert digest in TextStats().identity()


def test_every_phrase_is_in_its_normal_form() -> None:
    """Otherwise it could never match: texts are compared without case and punctuation."""
    phrases = [*_phrases().whole, *_phrases().within]
    found = measured(*[p.upper() if p.isascii() else p for p in phrases])["junk"]
    assert [p for p, junk in zip(phrases, found, strict=True) if junk != "boilerplate"] == []


def test_the_table_of_classes() -> None:
    table = scripts.table()
    assert table.max() < scripts.CLASSES
    for character, name in zip("aéー々", ("Latin", "Latin", "Kana", "Han"), strict=True):
        assert table[ord(character)] == scripts.script(name)
    assert table[0x10FFFF] == scripts.SYMBOL


def test_speed() -> None:
    """Half of the 30,000 captions a second it should do, for the sake of a busy machine."""
    captions = [
        f"A brown dog number {i} runs after a red ball on the wet sand of a beach." for i in range(20_000)
    ]
    table = pa.table({"text_body": captions})
    op = TextStats().open()
    op(table.slice(0, 10))
    start = time.process_time()
    for i in range(0, 20_000, 1000):
        op(table.slice(i, 1000))
    assert 20_000 / (time.process_time() - start) > 15_000
