from __future__ import annotations

import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from curate.demo.articles import ARTICLE_LANGUAGES, paragraph
from curate.demo.classes import CLASSES
from curate.demo.samples import Pool, clean
from curate.errors import RecipeError
from stages.common import fasttext_model, languages
from stages.text import language
from stages.text.language import Language

COLUMNS = pa.schema([("text_body", pa.string())])


def told(*texts: str | None, **config: Any) -> list[tuple[str, float, str | None]]:
    """(language, score, Chinese) of each text."""
    stage = Language(**config)
    stage.check_columns(COLUMNS)
    out = stage.open()(pa.table({"text_body": pa.array(texts, pa.string())}))
    assert out.drop is None
    return list(zip(*(values.to_pylist() for values in out.columns.values()), strict=True))


def codes(*texts: str | None, **config: Any) -> list[str]:
    return [code for code, _, _ in told(*texts, **config)]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("A brown dog runs after a ball on the wet sand.", "en"),
        ("Ein brauner Hund läuft über den nassen Sand.", "de"),
        ("Un perro marrón corre por la playa.", "es"),
        ("Um cão castanho corre na praia.", "pt"),
        ("Un chien brun court sur la plage.", "fr"),
        ("Un cane marrone corre sulla spiaggia.", "it"),
        ("Brązowy pies biegnie po mokrym piasku.", "pl"),
        ("Ruskea koira juoksee hiekalla.", "fi"),
        ("Kahverengi bir köpek kumsalda koşuyor.", "tr"),
        ("Коричневая собака бежит по песку.", "ru"),
        ("Коричневий собака біжить по піску.", "uk"),
        ("कुत्ता समुद्र तट पर दौड़ रहा है।", "hi"),
        ("كلب بني يركض على الشاطئ.", "ar"),
        ("سگ قهوه‌ای روی شن‌ها می‌دود.", "fa"),
        ("Con chó nâu chạy trên bãi cát.", "vi"),
        ("一只棕色的狗在沙滩上奔跑。", "zh"),
        ("茶色い犬が砂浜を走っています。", "ja"),
    ],
)
def test_sentences(text: str, code: str) -> None:
    (found,) = told("before", text, "behind")[1:2]
    assert found[0] == code
    assert 0.4 <= found[1] <= 1


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("γάτα", "el"),
        ("חתול", "he"),
        ("แมว", "th"),
        ("고양이", "ko"),
        ("ねこ", "ja"),
        ("ﾈｺ", "ja"),
        ("კატა", "ka"),
        ("կատու", "hy"),
        ("பூனை", "ta"),
        ("ድመት", "am"),
        ("ឆ្មា", "km"),
        ("東京都庁舎前広場の朝", "ja"),  # one kana among nine Han
        ("γάτα IMG 12", "el"),
        ("苹果 iPhone 手机壳", "zh"),
    ],
)
def test_a_script_of_its_own_decides(text: str, code: str) -> None:
    assert codes(text) == [code]


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        " \n\u200b",
        "1234 - 56 %",
        "★★★ !!!",
        "😀😀",
        "https://www.example.org/the/quick-brown-fox?over=the-lazy-dog",
        "holiday-with-the-family.jpg",
        "someone.else@mail.example.org",
        "OK",
        "cat",
        "猫",
        "мир",
        "ᐊᒥᐊᕆᑲᒥ ᑖᓚ ᐊᑕᐅᓯᖅ",  # Inuktitut, which lid.176 does not know and takes for English
        "ᚠᚢᚦᚨᚱᚲ ᚷᚹᚺᚾ",
    ],
)
def test_what_cannot_be_told_is_undetermined(text: str | None) -> None:
    assert codes(text) == ["und"]


def test_addresses_and_file_names_say_nothing() -> None:
    german = "Ein Hund am Strand"
    assert codes(
        f"{german} https://example.com/the-best-picture-of-all-the-dogs this-is-the-picture.png"
    ) == ["de"]


def test_a_script_excludes_the_languages_of_others() -> None:
    """Words of no language, in a script each: the answer is one that is written so, or none."""
    cyrillic, latin = codes("шрдлу этаоин", "etaoin shrdlu", min_score=0)
    choice = languages.candidates(frozenset(Language()._models()[0].labels))
    assert cyrillic in choice["Cyrillic"] - choice["Latin"]
    assert latin in choice["Latin"] - choice["Cyrillic"]


def test_every_label_can_be_given() -> None:
    labels = frozenset(Language()._models()[0].labels)
    told = frozenset().union(*languages.candidates(labels).values())
    assert labels - told == {"wuu", "yue"}  # Chinese is one language here


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("一只猫坐在桌子上，旁边有书", "Hans"),
        ("一隻貓坐在桌子上，旁邊有書", "Hant"),
        ("小山上的牛", "both"),
        ("白い猫が机の上にいる", None),
        ("A cat sits on the table", None),
    ],
)
def test_chinese(text: str, kind: str | None) -> None:
    ((code, _, chinese),) = told(text)
    assert chinese == kind
    assert (code == "zh") == (kind is not None)


def test_han_alone_is_chinese_but_for_japanese_forms() -> None:
    """lid.176 takes a fifth of such names for Japanese."""
    assert codes("三只猫", "两只猫和一只狗", "黄山风景区", "國立故宮博物院") == ["zh"] * 4
    assert codes("東京大学総合図書館") == ["ja"]


def test_a_choice_of_languages() -> None:
    danish = "Et lille rødt hus ved en sø"
    assert codes(danish, "Маленький дом у озера", languages=["en", "da"]) == ["da", "und"]
    assert codes(danish, languages="sv", min_score=0) == ["sv"]
    assert codes(LONG["de"], languages=["en", "fr"], min_score=0)[0] != "de"
    with pytest.raises(RecipeError, match=r"languages: the model knows no language `jp`(.|\n)*valid|mean"):
        codes("x", languages=["jp"])


def test_bounds_of_certainty() -> None:
    text = "Un gato"
    assert codes(text) == ["es"]
    assert codes(text, min_chars=7) == ["und"]
    assert codes(text, min_score=1) == ["und"]
    ((_, score, _),) = told(text, min_score=1)
    assert 0 < score < 1, "how close it was is still told"


LONG = {
    "en": "The museum in the old town counted more visitors than ever before, and most of the people who"
    " came to see the pictures had to wait in front of the door for an hour or two, because there was room"
    " for only thirty of them at a time.",
    "de": "Das Museum in der Altstadt zählte mehr Besucher als je zuvor, und die meisten Leute, die"
    " gekommen waren, um die Bilder zu sehen, mussten eine oder zwei Stunden vor der Tür warten, denn es"
    " war nur Platz für dreißig von ihnen.",
}


def test_a_long_text_is_judged_by_lid_176_alone() -> None:
    """Golden values: the original fastText 0.9.2 on the text in lower case."""
    found = told(*LONG.values())
    assert [code for code, _, _ in found] == list(LONG)
    assert [score for _, score, _ in found] == pytest.approx(
        [0.9944318532943726, 0.9967746734619141], abs=1e-6
    )


def test_a_model_of_ones_own() -> None:
    """Its labels are taken as they are, and nothing is known of their scripts."""
    path = str(Path(fasttext_model.__file__).parents[1] / "text" / "caption_quality.ftz")
    assert codes("Two dogs play in the snow.", "#a #b #c #d #e #f", model=path) == ["good", "junk"]
    assert Language(model=path).assets() != Language().assets()
    with pytest.raises(RecipeError, match=r"model: cannot read /no/such\.bin"):
        codes("x", model="/no/such.bin")


def test_all_models_are_assets_and_in_the_data_card() -> None:
    digests = Language().assets()
    assert set(digests) == {"model", "short", "third"}
    assert any("CC BY-SA 3.0" in notice for notice in Language().notices())
    assert all(digest in Language().identity() for digest in digests.values())


def test_the_third_opinion_decides_between_two() -> None:
    """The first two alone say Spanish, Gaelic of Scotland, and Danish."""
    texts = ("Un tren trece peste pod", "Bád beag ar an loch", "Cerveny vlak jede pres most")
    assert codes(*texts) == ["ro", "ga", "cs"]


def test_the_third_has_no_opinion_on_a_language_that_it_does_not_know() -> None:
    """Asturian keeps the share that the others gave it; counted as a no, it could never win."""
    ask = language._byte_classifier()
    found = ask("una vaca pastando nel prau", frozenset({"ast", "es", "it"}), {"ast": 0.6, "es": 0.3})
    assert found["ast"] == 0.6
    assert found["es"] + found["it"] == pytest.approx(0.4)


def test_odd_characters_are_spaces() -> None:
    parts = ("Ein brauner Hund", "läuft über den Sand")
    plain, *odd = told(*(joint.join(parts) for joint in (" ", "\n", "\x00", "\r\n", "\u2028", "\t \x0b")))
    assert all(found == plain for found in odd)


@pytest.mark.parametrize("language", ["en", "zh", "de", "fr", "es", "ja"])
def test_captions_of_the_demo(language: str) -> None:
    made = [clean(Pool(11), i) for i in range(1200)]
    texts = [one.caption for one in made if one.language == language]
    found = codes(*texts)
    assert len(texts) > 50
    assert sum(code == language for code in found) >= 0.95 * len(texts)


@pytest.mark.parametrize("language", dict(ARTICLE_LANGUAGES))
def test_paragraphs_of_the_demo(language: str) -> None:
    rng = random.Random(1)
    texts = [paragraph(language, tuple(rng.sample(sorted(CLASSES), 2)), rng) for _ in range(60)]
    assert codes(*texts) == [language] * 60


def _seconds(texts: Sequence[str]) -> float:
    op = Language().open()
    op(pa.table({"text_body": texts[:10]}))
    start = time.process_time()
    op(pa.table({"text_body": texts}))
    return time.process_time() - start


def test_speed() -> None:
    """Half of the 20,000 captions a second it should do, for the sake of a busy machine."""
    texts = [f"A brown dog number {i} runs after a red ball on the wet sand." for i in range(5000)]
    assert 5000 / _seconds(texts) > 10_000


def test_no_text_takes_long() -> None:
    for text in ("a" * 2_000_000, "a." * 1_000_000, "@a" * 1_000_000, "猫" * 1_000_000):
        assert _seconds([text]) < 1
