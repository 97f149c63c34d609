from __future__ import annotations

import time
import unicodedata
from pathlib import Path
from typing import Any

import ftfy
import pools
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from stages.common.cleaning import Step
from stages.common.forms import MOST_MARKS
from stages.text.normalise import Normalise

EVERY = ("mojibake", "entities", "tags", "nfkc", "quotes", "controls", "spaces", "one_line")


def changed(*texts: str | None, **config: Any) -> tuple[list[str | None], list[str | None]]:
    """The texts, and what they were."""
    stage = Normalise.model_validate(config)
    out = stage.open()(pa.table({"text_body": pa.array(texts, pa.string())}))
    assert out.drop is None
    return out.columns["text_body"].to_pylist(), out.columns["text_original"].to_pylist()


def plain(text: str, *steps: Step) -> str:
    (found,), _ = changed(text, steps=steps or EVERY)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("step", "text", "after"),
    [
        ("mojibake", "cafÃ© â€“ naÃ¯ve", "café – naïve"),
        ("mojibake", "两只猫".encode().decode("latin-1").encode().decode("latin-1"), "两只猫"),  # twice over
        ("mojibake", "señor, Größe, 两只猫, &amp; ﬁ", "señor, Größe, 两只猫, &amp; ﬁ"),
        ("entities", "A &amp;amp;amp; B &lt;3 &eacute;&#233;&#xe9; 5 &euro;", "A & B <3 ééé 5 €"),
        ("entities", "AT&T, &nosuch; &amp;nosuch; a&b; &;&#;", "AT&T, &nosuch; &nosuch; a&b; &;&#;"),
        ("tags", "<b>Red</b> <a href='x'>car</a><br/>and <i>more</I>", "Red car\nand more"),
        ("tags", "a < b > c <3 <image> <b", "a < b > c <3 <image> <b"),
        ("nfc", "e\u0301 ﬁ ²", "é ﬁ ²"),
        ("nfkc", "e\u0301 ﬁ ² ＡＢ", "é fi 2 AB"),
        ("quotes", "“It’s” ‘so’ „x‟", '"It\'s" \'so\' "x"'),
        ("controls", "a\x00b\x1bc\u200bd\u00ade\u202ef\u2066g\ufeffh\u2060i\ufffcj", "abcdefghij"),
        ("controls", "tabs\tand\nlines\r\n", "tabs\tand\nlines\r\n"),
        ("controls", "x\ufe0fy \U000e0068\U000e0069 z\u200dz", "xy  zz"),
        ("spaces", "\u3000a\u00a0b \t\r\nc\u2028\n\n\n d  e ", "a b\nc\n\n d  e"),
        ("one_line", " a \n\n b\t c ", "a b c"),
    ],
)
def test_steps(step: Step, text: str, after: str) -> None:
    assert plain(text, step) == after


@pytest.mark.parametrize(
    "text",
    [
        "می‌خواهم",  # Persian, with the zero-width non-joiner
        "क्‍ष श्‍व",  # Devanagari half forms
        "ක්‍රීඩා",  # Sinhala
        "ഹാര്‍മോണിയം",  # Malayalam, in the old way
        "👩‍🚀 👨‍👩‍👧‍👦 🏳️‍🌈 ❤️‍🔥 1️⃣ ☺️",
        "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",  # England
        "葛\U000e0100城市",  # a variant of an ideograph
        "ភាសា​ខ្មែរ",  # Khmer words, told apart by the zero-width space
        "สวัสดี ครับ",
        "שָׁלוֹם",
        "def f(x):\n    return {'<b>': x}  # &lt;",
    ],
)
def test_what_must_survive_the_default(text: str) -> None:
    (found,), (original,) = changed(text)
    assert found == unicodedata.normalize("NFC", text)
    assert original == (None if found == text else text)


def test_a_text_that_becomes_empty_stays_an_item() -> None:
    assert changed("\u200b \ufeff", None, "", "same") == (
        ["", None, "", "same"],
        ["\u200b \ufeff", None, None, None],
    )


def test_the_order_is_the_recipes() -> None:
    assert plain("&lt;b&gt;x", "tags", "entities") == plain("&lt;b&gt;x", "entities", "tags") == "x"
    assert plain("a &#8203;b", "entities", "controls", "one_line") == "a b"
    for steps in (["nfc", "nfkc"], ["nfc", "nfc"], [], ["lower"]):
        with pytest.raises(ValidationError):
            Normalise.model_validate({"steps": steps})


PIECES = st.sampled_from(
    [
        *(
            "&",
            "amp;",
            "&lt;",
            "&#8;",
            "&#x26;",
            "#38;",
            "lt;",
            "<",
            "b",
            ">",
            "<br>",
            "</",
            "Ã",
            "©",
            "â€™",
            "Â",
        ),
        *(
            "\u00ad",
            "\u200b",
            "\u200c",
            "\u200d",
            "\ufe0f",
            "\u0301",
            "\u0316",
            "\u1100",
            "\u1161",
            "ﬁ",
            "＆",
            "＜",
        ),
        *(
            "\u0646",
            "क",
            "👩",
            "🚀",
            "\U0001f3f4",
            "\U000e0067",
            "\U000e007f",
            "\x00",
            "\x85",
            "\xa0",
            "\r",
            "\n",
        ),
        *(" ", "  ", "\t", "“", "a", "é", "è", "Ġ", "\ufdfa", "\u0344", "\u2028"),
    ]
)
TEXTS = st.lists(PIECES | st.text(max_size=2), max_size=40).map(
    lambda p: "".join(p).encode("utf-8", "replace").decode()
)


@given(TEXTS, st.permutations(EVERY), st.integers(1, len(EVERY)))
def test_twice_is_once(text: str, steps: list[Step], count: int) -> None:
    some = tuple(steps[:count])
    once = plain(text, *some)
    assert plain(once, *some) == once


@given(TEXTS)
def test_the_default_twice_is_once(text: str) -> None:
    (once,), (original,) = changed(text)
    assert original == (None if once == text else text)
    assert changed(once) == ([once], [None])


@given(st.text(alphabet="e\u0301\u0316\u0327\u0344\u0345é\u1ebf", max_size=120))
def test_forms_are_unicodes_where_marks_are_few(text: str) -> None:
    found = plain(text, "nfc")
    assert unicodedata.is_normalized("NFC", found)
    if len(text) <= MOST_MARKS // 2:
        assert found == unicodedata.normalize("NFC", text)


def test_nested_beyond_reason_stays_as_it_is() -> None:
    """Each round of the steps lays one layer open; eight are looked at."""
    for layers, after in ((3, "<"), (40, None)):
        deep = "&l" + "&#" * layers + "8;" * layers + "t;"
        found = changed(deep, steps=["entities", "controls"])
        assert found == (([after], [deep]) if after else ([deep], [None]))


def test_mojibake_is_repaired_as_ftfy_repairs_it() -> None:
    for text in ("schÃ¶n â€œso\u009d l\u2019Ã©tÃ©", "à perturber", "LaÃ«titia\nnaïve", "ÃƒÂ©"):
        assert plain(text, "mojibake") == "\n".join(ftfy.fix_encoding(line) for line in text.split("\n"))


def test_in_a_run(tmp_path: Path) -> None:
    rows = pools.pairs(12)
    rows[3] = rows[3]._replace(text="cafÃ©\u200b &amp;  bar")
    path = pools.write_tars(tmp_path / "in", rows, 1)
    read = {"id": "raw", "stage": "read_webdataset", "path": path}
    nodes = [
        read,
        {"stage": "normalise"},
        {"stage": "text_stats"},
        {"id": "out", "stage": "write_webdataset"},
    ]
    pools.run({"name": "x", "nodes": nodes}, tmp_path / "run")
    found = (
        pools.index(tmp_path / "run", "out").select(["text_body", "text_original", "text_chars"]).to_pylist()
    )
    assert [row for row in found if "caf" in row["text_body"]] == [
        {"text_body": "café &amp;  bar", "text_original": "cafÃ©\u200b &amp;  bar", "text_chars": 15}
    ]
    without = [read, {"stage": "normalise", "original": False}, {"id": "out", "stage": "write_webdataset"}]
    pools.run({"name": "x", "nodes": without}, tmp_path / "without")
    assert "text_original" not in pools.index(tmp_path / "without", "out").column_names


HOSTILE = {
    "marks": "e" + "\u0316\u0301" * 250_000,
    "escapes": "&" + "amp;" * 250_000,
    "references": "&lt;" * 250_000,
    "tags": "<b " * 333_000,
    "a tag": "<b" + " " * 999_990,
    "ligatures": "\ufdfa" * 333_000,
    "squares": "\u3300" * 333_000,
    "joiners": "\u200d" * 333_000,
    "selectors": "\ufe0f" * 333_000,
    "hidden": "\U000e0061" * 250_000,
    "mojibake": "ÃÂÃÂ©" * 100_000,
    "nested": "&a" * 100_000 + "&#8;mp;" * 100_000,
    "lines": "a \r\n" * 250_000,
    "spaces": " " * 999_999 + "a",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_megabyte_of(name: str) -> None:
    op = Normalise(steps=EVERY).open()
    op(pa.table({"text_body": ["Ã©\u0301"]}))
    table = pa.table({"text_body": [HOSTILE[name]]})
    start = time.process_time()
    op(table)
    assert time.process_time() - start < 2, "under a second where nothing else runs"
