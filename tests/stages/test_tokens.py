from __future__ import annotations

import json
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from image_sizes import sizes, together
from pydantic import ValidationError

from curate.errors import RecipeError
from curate.stage import Out
from stages.common.text_tokens import estimated
from stages.common.training_cost import Cost, costs
from stages.common.visual_models import MODELS
from stages.sample.tokens import Tokens

EVERY = tuple(MODELS)
COLUMNS = ("image_width", "image_height", "image_target_width", "image_target_height")


def table(
    samples: list[list[Any]], texts: list[list[str | None]], target: list[list[Any]] | None = None
) -> pa.Table:
    """Samples of (width, height) and texts, as a stage of level sample sees them."""
    columns: dict[str, pa.Array] = {"text_body": pa.array(texts, pa.list_(pa.string()))}
    for i, name in enumerate(COLUMNS):
        given = (
            samples if i < 2 else target if target is not None else [[(None, None)] * len(s) for s in samples]
        )
        columns[name] = pa.array([[size[i % 2] for size in s] for s in given], pa.list_(pa.int32()))
    return pa.table(columns)


def columns(out: Out) -> dict[str, list[Any]]:
    return {name: values.to_pylist() for name, values in out.columns.items()}


def run(stage: Tokens, data: pa.Table) -> dict[str, list[Any]]:
    return columns(stage.open()(data.select(sorted(stage.reads()))))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tokenizer.json of a byte-level BPE that adds a template, cuts and pads."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<s>"], initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(["a red cat on a red mat"] * 9, trainer)
    bpe.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    bpe.enable_truncation(4)
    bpe.enable_padding(length=16)
    folder = tmp_path_factory.mktemp("model")
    bpe.save(str(folder / "tokenizer.json"))
    return folder


def test_columns_of_a_pair_and_a_document() -> None:
    data = table(
        [[(640, 480)], [(640, 480), (1920, 1080)], []],
        [["a cat"], ["one", None, "two words"], ["only text"]],
    )
    found = run(Tokens(models=["qwen2.5-vl", "internvl2.5", "llava-next"]), data)
    texts = estimated(pa.array(["a cat", "one", "two words", "only text"])).to_pylist()
    assert found == {
        "text_tokens": [[texts[0]], [texts[1], None, texts[2]], [texts[3]]],
        "tokens_text": [texts[0], texts[1] + texts[2], texts[3]],
        "image_tokens_qwen2_5_vl": [[391], [391, 2691], []],
        "image_tokens_internvl2_5": [[3328], [1792, 768], []],  # 6 tiles each where there are two
        "image_tokens_llava_next": [[2340], [577, 577], []],
        "tokens_qwen2_5_vl": [391 + 2 + texts[0], 391 + 2691 + 4 + texts[1] + texts[2], texts[3]],
        "tokens_internvl2_5": [3328 + 2 + texts[0], 1792 + 768 + 4 + texts[1] + texts[2], texts[3]],
        "tokens_llava_next": [2340 + texts[0], 577 * 2 + texts[1] + texts[2], texts[3]],
    }


@pytest.mark.parametrize("model", EVERY)
def test_laws(model: str) -> None:
    """tokens = images + wrappers + texts; the same in any batch; a pair is a document of one image."""
    some = [size for size in sizes(400) if max(size) <= 200 * min(size)]
    samples = [some[i : i + i // 5 % 4] for i in range(0, len(some), 5)]
    texts: list[list[str | None]] = [["a cat on a mat"] * (i % 3) for i in range(len(samples))]
    data = table(samples, texts)
    stage = Tokens(models=[model])
    found = run(stage, data)
    slug = stage.models[0].slug()
    counted = stage.models[0].formula().count(together(samples))
    wrappers = np.split(counted.wrapper, np.cumsum([len(s) for s in samples])[:-1])
    for row, total in enumerate(found[f"tokens_{slug}"]):
        images = sum(found[f"image_tokens_{slug}"][row])
        assert total == images + wrappers[row].sum() + sum(found["text_tokens"][row])
    for size in (1, 7):
        parts = [run(stage, data.slice(i, size)) for i in range(0, len(samples), size)]
        assert {name: list(chain(*(part[name] for part in parts))) for name in found} == found
    assert "shape" not in stage.reads()


def test_images_without_a_count() -> None:
    """Unknown size, or one that the model refuses: null, and so is the sample's sum, but not the texts'."""
    data = table([[(None, None), (64, 64)], [(9000, 30)], [(6000, 30)]], [["a"], ["b"], ["c"]])
    found = run(Tokens(models=["qwen3-vl", "llava-1.5"]), data)
    assert found["image_tokens_qwen3_vl"][:2] == [[None, 64], [None]]
    assert found["image_tokens_qwen3_vl"][2][0] > 0
    assert [n is None for n in found["tokens_qwen3_vl"]] == [True, True, False]
    assert found["image_tokens_llava_1_5"] == [[None, 576], [576], [576]]
    assert None not in found["tokens_text"]


def test_the_size_that_a_bucket_chose() -> None:
    data = table([[(1344, 1344), (1344, 1344)]], [["x"]], target=[[(448, 448), (None, None)]])
    assert run(Tokens(models="qwen2.5-vl", size="target"), data)["image_tokens_qwen2_5_vl"] == [[256, 2304]]
    assert run(Tokens(models="qwen2.5-vl"), data)["image_tokens_qwen2_5_vl"] == [[2304, 2304]]
    assert "image_target_width" not in Tokens(models="qwen2.5-vl").reads()
    assert Tokens(size="target").reads() == {"text_body"}, "texts alone need no sizes"


def test_options_and_names() -> None:
    stage = Tokens(
        models=[
            "Qwen2.5-VL",
            {"model": "qwen2.5-vl", "max_pixels": 1003520, "name": "Small Qwen"},
            {"model": "internvl3", "max_tiles": 6},
            {"model": "llava-next", "pinpoints": [[336, 336]]},
        ],
        name="vicuna",
    )
    found = run(stage, table([[(4000, 3000)]], [["a"]]))
    assert {name: values[0] for name, values in found.items() if name.startswith("image_")} == {
        "image_tokens_qwen2_5_vl": [15301],
        "image_tokens_small_qwen": [1230],
        "image_tokens_internvl3": [1792],
        "image_tokens_llava_next": [576 + 18 * 25],
    }
    assert {"text_vicuna_tokens", "vicuna_tokens_text"} <= set(found)
    slugs = ("qwen2_5_vl", "small_qwen", "internvl3", "llava_next")
    assert stage.totals() == {"vicuna_tokens_text", *(f"tokens_{slug}" for slug in slugs)}


@pytest.mark.parametrize(
    ("models", "said"),
    [
        (["qwen2.5vl"], "no model `qwen2.5vl`; did you mean .*`qwen2.5-vl`"),
        ([{"model": "internvl2", "max_slices": 4}], "internvl2 has no option `max_slices`"),
        (["qwen2-vl", {"model": "qwen2-vl", "max_pixels": 9999}], "tokens_qwen2_vl would be written twice"),
        ([{"model": "qwen2-vl", "name": "text"}], "tokens_text would be written twice"),
        ([{"model": "qwen2-vl", "max_pixel": 9999}], "max_pixel"),
    ],
)
def test_models_that_make_no_sense(models: list[Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Tokens(models=models)


# -- texts --


def test_a_tokenizer_by_path(trained: Path) -> None:
    from tokenizers import Tokenizer

    bodies = ["a red cat on a red mat", "", "红", None, "a red cat " * 50]
    data = table([[]], [bodies])
    raw = Tokenizer.from_file(str(trained / "tokenizer.json"))
    raw.no_truncation()
    raw.no_padding()
    pieces = [None if t is None else raw.encode(t, add_special_tokens=False).tokens for t in bodies]
    expected = [None if p is None else len(p) for p in pieces]
    assert expected[1:4] == [0, 3, None], "nothing is added, bytes are counted"
    assert expected[4] > 100, "nothing is cut"
    for path in (trained, trained / "tokenizer.json"):
        stage = Tokens(tokenizer=str(path))
        stage.check_columns(pa.schema([]))
        assert run(stage, data)["text_tokens"] == [expected]


def test_another_tokenizer_is_another_fingerprint(trained: Path, tmp_path: Path) -> None:
    here = Tokens(tokenizer=str(trained))
    copy = tmp_path / "copy.json"
    copy.write_bytes((trained / "tokenizer.json").read_bytes())
    assert Tokens(tokenizer=str(copy)).identity() == here.identity(), "what counts is the file, not its place"
    told = json.loads(copy.read_text())
    copy.write_text(json.dumps({**told, "truncation": None}))
    assert len({here.identity(), Tokens(tokenizer=str(copy)).identity(), Tokens().identity()}) == 3
    assert Tokens(cost={"params": 7e9}).identity() == Tokens().identity(), "a price changes no column"


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "there is no file"), ("{", "no JSON"), ("[]", "no tokenizer"), ('{"model": {}}', "no tokenizer")],
)
def test_no_tokenizer(content: str | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(RecipeError, match=said) as caught:
        Tokens(tokenizer=str(path)).check_columns(pa.schema([]))
    assert caught.value.place == "tokenizer"
    with pytest.raises(RecipeError, match=r"holds no tokenizer\.json"):
        Tokens(tokenizer=str(tmp_path.parent)).check_columns(pa.schema([]))


# Tokens by Qwen's, Llama 3's and DeepSeek's vocabularies.
TOLD = {
    "A red bicycle leans against a wall.": (8, 8, 8),
    "两只猫在桌子上睡觉，窗外下着雨。": (11, 16, 11),
    "Zwei Katzen schlafen auf dem Küchentisch.": (13, 13, 13),
    "Две кошки спят на кухонном столе.": (14, 13, 14),
    "2 cats, 14 dogs & 100 birds": (13, 10, 10),
    "猫が台所のテーブルで寝ている。": (12, 11, 12),
}


@pytest.mark.parametrize("text", TOLD)
def test_the_estimate_is_near(text: str) -> None:
    (found,) = estimated(pa.array([text])).to_pylist()
    assert 0.8 * min(TOLD[text]) <= found <= 1.25 * max(TOLD[text])


def test_the_estimate_of_nothing_and_of_more() -> None:
    assert estimated(pa.array(["", None], pa.string())).to_pylist() == [0, None]
    text = "A photo of 3 dogs, 两只猫, и Ёж — ☂ 😀\n"
    one, ten = estimated(pa.array([text, text * 10])).to_pylist()
    assert 9 * one <= ten <= 10 * one
    assert estimated(pa.array(["x", text]).slice(1)).to_pylist() == [one]


# -- cost --


def test_cost() -> None:
    """1.2 million pairs of 700 tokens, 7 B parameters, three epochs, on H100s of 2.5 an hour."""
    found = costs(840_000_000, 7e9, Cost(params=7e9, flops=989e12, mfu=0.4, hour=2.5, epochs=3))
    assert found["tokens"] == 2_520_000_000
    assert found["flops"] == pytest.approx(6 * 7e9 * 2.52e9)
    assert found["accelerator_hours"] == pytest.approx(1.0584e20 / 3.956e14 / 3600)
    assert found["money"] == pytest.approx(found["accelerator_hours"] * 2.5)
    assert "money" not in costs(1, 1, Cost(params=1))


def test_costs_of_each_model() -> None:
    written = """
    models: [qwen2.5-vl, {model: internvl3, name: big}]
    cost: {params: {Qwen2.5-VL: 3e9, big: 38e9}, hour: 2, flops: 989e12}
    """
    stage = Tokens.model_validate(yaml.safe_load(written))
    found = stage.costs({"tokens_qwen2_5_vl": 1000, "tokens_big": 1000, "tokens_text": 9})
    assert set(found) == {"qwen2_5_vl", "big"}
    assert found["big"]["flops"] == pytest.approx(6 * 38e9 * 1000)
    assert found["big"]["money"] / found["qwen2_5_vl"]["money"] == pytest.approx(38 / 3)
    assert Tokens(models="qwen-vl").costs({"tokens_qwen_vl": 9}) == {}


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"qwen2.5-vl": 1e9}, "how many parameters `qwen3_vl`"),
        ({"qwen2.5-vl": 1e9, "qwen3-vl": 1e9, "qwen4-vl": 1e9}, "no model `qwen4-vl` is counted"),
        (-1, "greater than 0"),
    ],
)
def test_costs_that_make_no_sense(params: Any, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Tokens(models=["qwen2.5-vl", "qwen3-vl"], cost={"params": params})
