"""Matching of images and texts against the libraries that the models come from, and in runs."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matchers
import numpy as np
import numpy.typing as npt
import pools
import pyarrow as pa
import pytest
from arrays import WHOLE, encoded, scene
from decoding import decode_column
from PIL import Image

from curate.stage import CANONICAL
from stages.common import matcher_transformers
from stages.common.internvl_c import InternVLC
from stages.common.matcher import Matcher, matcher, packed
from stages.common.matcher_transformers import ViltResize
from stages.image.itm import Itm

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

Pixels = npt.NDArray[np.uint8]

# of five shapes once resized; the third is as long as the model takes, the last is one patch high
IMAGES = [scene(0), scene(1, 150, 90), scene(2, 40, 200), scene(3), scene(4, 64, 64), scene(5, 4, 400)]
TEXTS = [
    "a caption",
    "number 7 says harbour.",
    "",
    "harbour",
    "page " * 60,
    "Ünïcode ねこ A Caption",
]
EVERY = [(i, t) for i in range(len(IMAGES)) for t in range(len(TEXTS))]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def vilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return matchers.write_vilt(tmp_path_factory.mktemp("vilt"))


@pytest.fixture(scope="module")
def blip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("blip")
    small = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 40}
    words = {"vocab_size": len(matchers.VOCABULARY), "encoder_hidden_size": 24, "max_position_embeddings": 48}
    special = {"bos_token_id": 2, "sep_token_id": 3, "eos_token_id": 3, "pad_token_id": 0}
    config = transformers.BlipConfig(
        text_config={**small, **words, **special, "projection_dim": 24},
        vision_config={**small, "image_size": 64, "patch_size": 16},
    )
    model = transformers.BlipForImageTextRetrieval(config)
    shapes = {name: tuple(value.shape) for name, value in model.named_parameters()}
    model.load_state_dict(
        {name: torch.from_numpy(value) for name, value in matchers.drawn(shapes).items()}, strict=False
    )
    model.save_pretrained(folder)
    transformers.BlipImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(matchers.VOCABULARY) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def internvl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return matchers.write_internvl(tmp_path_factory.mktemp("internvl"))


def scored(
    found: Matcher,
    images: Sequence[Pixels] = IMAGES,
    texts: Sequence[str] = TEXTS,
    pairs: Sequence[tuple[int, int]] = EVERY,
) -> npt.NDArray[np.float32]:
    front = found.front()
    run = found.load("fp32", gpu=False)
    return run(packed([front.pixels(i) for i in images], front.tokens(texts), pairs))["score"]


def by_transformers(
    folder: Path, head: str, processor: Any, pairs: Sequence[tuple[int, int]]
) -> npt.NDArray[np.float64]:
    """Pair by pair, by its own processor and its own forward."""
    model = getattr(transformers, head).from_pretrained(folder, local_files_only=True).eval()
    tokenizer = transformers.BertTokenizer.from_pretrained(folder, local_files_only=True)
    context = getattr(model.config, "text_config", model.config).max_position_embeddings
    found = []
    with torch.inference_mode():
        for image, text in pairs:
            words = tokenizer(TEXTS[text], truncation=True, max_length=context, return_tensors="pt")
            words.pop("token_type_ids", None)
            out = model(**words, **processor(images=Image.fromarray(IMAGES[image]), return_tensors="pt"))
            if head.startswith("Blip"):
                found.append(out.itm_score.softmax(dim=-1)[0, 1].item())
            else:
                found.append(out.logits[0, 0].sigmoid().item())
    return np.array(found)


# -- the same as the original --


# torchvision's resize differs from Pillow's by one here and there, and the head of the model is steep
@pytest.mark.parametrize(("kind", "bound"), [("ViltImageProcessorPil", 1e-5), ("ViltImageProcessor", 5e-3)])
def test_vilt_says_what_transformers_says(kind: str, bound: float, vilt: Path) -> None:
    pairs = [(i, t) for i, t in EVERY if i < len(IMAGES) - 1]  # of the last the processor leaves nothing
    processor = getattr(transformers, kind).from_pretrained(vilt)
    expected = by_transformers(vilt, "ViltForImageAndTextRetrieval", processor, pairs)
    found = scored(matcher(str(vilt), "auto"), pairs=pairs)
    assert np.abs(found - expected).max() < bound
    assert expected.std() > 0.02, "it tells them apart"


def test_blip_says_what_transformers_says(blip: Path) -> None:
    processor = transformers.BlipImageProcessorPil.from_pretrained(blip)
    expected = by_transformers(blip, "BlipForImageTextRetrieval", processor, EVERY)
    found = scored(matcher(str(blip), "auto"))
    assert np.abs(found - expected).max() < 1e-6
    assert expected.std() > 0.02


# `encode_image` and `encode_text` of InternVL_C in github.com/OpenGVLab/InternVL (clip_benchmark/models/
# internvl_huggingface), with transformers 4.37 in float32, on the same weights and inputs.
COSINES = [
    [-0.06558137, -0.01826279, 0.04938538, 0.17455631],
    [-0.01577276, -0.18699035, 0.14395350, -0.20320233],
    [-0.11783983, -0.19133556, 0.24639001, -0.15631527],
]


def inputs() -> dict[str, Any]:
    """Images, and tokens of 4, 9, 40 and all 80 in a row."""
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (3, 28, 28, 3), dtype=np.uint8)
    tokens = np.zeros((4, 80), dtype=np.int64)
    for row, count in zip(tokens, (4, 9, 40, 80), strict=True):
        row[:count] = [1, *rng.integers(3, 300, count - 2), 2]
    pairs = np.array([(i, t) for i in range(3) for t in range(4)])
    return {"pixels": pixels, "sizes": np.full((3, 2), 28), "tokens": tokens, "pairs": pairs}


def as_bin(internvl: Path, folder: Path) -> Path:
    """The same weights as torch saves them, in two files."""
    shutil.copytree(internvl, folder, ignore=shutil.ignore_patterns("*.safetensors*"))
    weights = {n: torch.from_numpy(w) for n, w in matchers.drawn(matchers.internvl_shapes()).items()}
    # what InternVL-G has beside it is passed over
    weights |= {
        name: torch.zeros(2)
        for name in (
            *("query_tokens", "itm_head.weight", "clip_projector2.norm1_q.weight"),
            *("qllama.lm_head.weight", "qllama.model.layers.0.cross_attn.q_proj.weight"),
        )
    }
    index = {name: f"pytorch_model-0000{1 + i % 2}.bin" for i, name in enumerate(sorted(weights))}
    for file in set(index.values()):
        torch.save({name: weights[name] for name in index if index[name] == file}, folder / file)
    matchers.write_json(folder / "pytorch_model.bin.index.json", {"weight_map": index})
    return folder


@pytest.mark.parametrize("form", ["safetensors", "bin"])
def test_internvl_c_says_what_the_original_code_says(form: str, internvl: Path, tmp_path: Path) -> None:
    folder = internvl if form == "safetensors" else as_bin(internvl, tmp_path / "bin")
    model = matcher(str(folder), "auto").load("fp32", gpu=False)
    assert np.abs(model(inputs())["score"].reshape(3, 4) - COSINES).max() < 2e-6


def test_internvl_c_in_half_precision_is_near(internvl: Path) -> None:
    model = matcher(str(internvl), "auto").load("bf16", gpu=False)
    assert np.abs(model(inputs())["score"].reshape(3, 4) - COSINES).max() < 0.03


def test_captions_as_internvl_c_reads_them(internvl: Path) -> None:
    import sentencepiece

    pieces = sentencepiece.SentencePieceProcessor(model_file=str(internvl / "tokenizer.model"))
    front = InternVLC(str(internvl)).front()
    tokens = front.tokens(["caption number 3", "", "caption " * 100])["tokens"]
    assert tokens.shape == (3, 80)
    short = [1, *pieces.encode("summarize:caption number 3"), 2]
    assert tokens[0].tolist() == short + [0] * (80 - len(short))
    assert tokens[1].tolist()[:8] == ([1, *pieces.encode("summarize:"), 2] + [0] * 8)[:8]
    assert tokens[2, 0] == 1
    assert tokens[2, -1] == 2
    assert tokens[2].min() > 0, "full"
    frame = scene(1, 50, 90)
    squashed = np.asarray(Image.fromarray(frame).resize((28, 28), Image.Resampling.BICUBIC))
    assert (front.pixels(frame) == squashed).all()


# -- a score is of its pair alone --


@pytest.mark.parametrize("family", ["vilt", "blip", "internvl"])
def test_neighbours_change_nothing(
    family: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = matcher(str(request.getfixturevalue(family)), "auto")
    monkeypatch.setitem(matcher_transformers._AT_ONCE, "cpu", 4)  # as a GPU does it
    together = scored(found)
    order = np.random.default_rng(0).permutation(len(EVERY))
    shuffled = scored(found, pairs=[EVERY[i] for i in order])
    alone = [scored(found, [IMAGES[i]], [TEXTS[t]], [(0, 0)])[0] for i, t in EVERY]
    assert np.abs(together - alone).max() < 1e-5
    assert np.abs(together[order] - shuffled).max() < 1e-5
    assert np.isfinite(together).all()
    low, high = (-1, 1) if family == "internvl" else (0, 1)
    assert low <= together.min() < together.max() <= high


def test_alone_means_alike_to_the_bit(vilt: Path) -> None:
    found = matcher(str(vilt), "auto")
    together = scored(found)
    assert [scored(found, [IMAGES[i]], [TEXTS[t]], [(0, 0)])[0] for i, t in EVERY] == together.tolist()


def test_all_patches_are_seen_whatever_the_model_was_trained_with(vilt: Path, tmp_path: Path) -> None:
    few = matchers.write_vilt(tmp_path / "few", {**matchers.VILT, "max_image_length": 3})
    assert scored(matcher(str(few), "vilt")).tolist() == scored(matcher(str(vilt), "vilt")).tolist()


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (480, 640, (384, 512)),
        (640, 480, (512, 384)),
        (384, 384, (384, 384)),
        (100, 1000, (64, 608)),
        (1000, 999, (384, 384)),
        (1, 10_000, (32, 608)),
        (10_000, 3, (608, 32)),
    ],
)
def test_sizes_of_vilt(height: int, width: int, expected: tuple[int, int]) -> None:
    assert ViltResize().size(height, width) == expected


# -- in runs --


def test_pairs(vilt: Path, tmp_path: Path) -> None:
    pairs = pools.pairs(20)
    report = pools.run(
        matchers.matching(vilt, pools.write_tars(tmp_path / "in", pairs, 1), "read_webdataset"),
        tmp_path / "run",
    )
    pools.prove(report)
    table = pools.index(tmp_path / "run", "out")
    texts = [pair.text for pair in pairs]
    frames = [np.asarray(Image.open(io.BytesIO(pair.image))) for pair in pairs]
    expected = scored(matcher(str(vilt), "auto"), frames, texts, [(i, i) for i in range(20)])
    found = dict(zip(table["text_body"].to_pylist(), table["image_itm"].to_pylist(), strict=True))
    assert found == dict(zip(texts, expected.tolist(), strict=True))
    assert len({round(v, 6) for v in found.values()}) > 10


def test_documents_take_the_best_of_their_first_texts(vilt: Path, tmp_path: Path) -> None:
    path = pools.write_pages(tmp_path / "in", 3)
    for cap in (1, 3):
        out = tmp_path / f"run{cap}"
        pools.prove(pools.run(matchers.matching(vilt, path, "read_html", max_texts=cap), out))
        table = pools.index(out, "out")
        assert table.num_rows == 3
        for row in table.to_pylist():
            texts = row["text_body"][:cap]
            assert len(row["text_body"]) > 3
            frames = [np.asarray(Image.open(tmp_path / "in" / name)) for name in row["image_url"]]
            pairs = [(i, t) for i in range(len(frames)) for t in range(cap)]
            best = scored(matcher(str(vilt), "auto"), frames, texts, pairs).reshape(-1, cap).max(axis=1)
            assert row["image_itm"] == best.tolist()


def test_without_a_text_there_is_no_score(vilt: Path) -> None:
    pixels, _ = decode_column([encoded(image) for image in IMAGES[:4]], WHOLE)
    texts = pa.array([["a caption"], [], None, [None, "", None]], pa.list_(pa.string()))
    table = pa.table({CANONICAL: pixels, "text_body": texts})
    found = Itm(model=str(vilt), max_texts=1).open()(table).columns["image_itm"]
    assert found.is_null().to_pylist() == [False, True, True, False], "an empty text is one"


def test_two_models_stand_in_one_recipe(vilt: Path, internvl: Path, tmp_path: Path) -> None:
    recipe = matchers.matching(vilt, pools.write_tars(tmp_path / "in", pools.pairs(5), 1), "read_webdataset")
    second = {"id": "second", "stage": "itm", "model": str(internvl), "name": "vl", "pixels": "full"}
    nodes = [*recipe["nodes"][:-1], second, recipe["nodes"][-1]]
    pools.run({**recipe, "nodes": nodes}, tmp_path / "run")
    table = pools.index(tmp_path / "run", "out")
    assert table["image_vl"].null_count == table["image_itm"].null_count == 0
    assert table["image_vl"].to_pylist() != table["image_itm"].to_pylist()


def test_where_the_model_lies_is_not_what_it_is(vilt: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(vilt, moved)
    here, there = Itm(model=str(vilt)), Itm(model=str(moved))
    assert here.identity() == there.identity()
    assert here.model_key() == Itm(model=str(moved), name="other", pixels="full").model_key()
    matchers.save(moved / "model.safetensors", matchers.vilt_weights(seed=1))
    assert here.identity() != there.identity()
    assert here.model_key() != there.model_key()
