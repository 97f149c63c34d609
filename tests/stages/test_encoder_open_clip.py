from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from tiny_encoders import (
    TEXTS,
    VIT,
    apart,
    config,
    decoded,
    model_configs,
    open_clip_folder,
    pictures,
    sentence_tokenizer,
    unit,
)

from curate.errors import RecipeError, RunError
from stages.common.encoder_open_clip import OpenClip

pytestmark = pytest.mark.usefixtures("torchvision")

KINDS = (
    "clip",
    "clip quickgelu",
    "custom text",
    "eos",
    "resnet",
    "eva02",
    "siglip",
    "bilinear",
    "longest",
    "coca",
)
Rows = npt.NDArray[np.float32]
Made = Callable[[str], str]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The model's name for each kind; its folder is made once."""
    folders: dict[str, Path] = {}

    def of(kind: str) -> str:
        if kind not in folders:
            folders[kind] = open_clip_folder(tmp_path_factory.mktemp(kind), model_configs()[kind])
        return f"local-dir:{folders[kind]}"

    return of


class Official(NamedTuple):
    pixels: Rows  # normalised
    images: Rows
    texts: Rows


def official(model: str, tokenizer: str = "", **more: Any) -> Official:
    """By open_clip alone, from the files as Pillow reads them."""
    import open_clip
    import torch
    from PIL import Image

    built, _, preprocess = open_clip.create_model_and_transforms(model, **more)
    built.eval()
    with torch.inference_mode():
        pixels = torch.stack([preprocess(Image.open(io.BytesIO(data))) for data in pictures()])
        images = unit(built.encode_image(pixels))
        texts = unit(built.encode_text(open_clip.get_tokenizer(tokenizer or model)(TEXTS)))
    return Official(pixels.numpy(), images, texts)


def ours(
    encoder: OpenClip, precision: Any = "fp32", gpu: bool = False
) -> tuple[npt.NDArray[np.uint8], Rows, Rows]:
    front, towers = encoder.front(), encoder.towers(precision, gpu)
    pixels = np.stack([front.pixels(frame) for frame in decoded(pictures())])
    return pixels, towers.images(pixels), towers.texts(front.tokens(TEXTS))


def assert_same(encoder: OpenClip, theirs: Official, far: float = 0.05) -> None:
    pixels, images, texts = ours(encoder)
    transform = encoder.source().transform
    mean, std = (np.reshape(transform[key], (1, 3, 1, 1)) for key in ("mean", "std"))
    assert np.abs((pixels.transpose(0, 3, 1, 2) / 255 - mean) / std - theirs.pixels).max() < 1e-5
    assert encoder.facts() == (theirs.images.shape[1], pixels.shape[1])
    assert images.dtype == texts.dtype == np.float32
    assert np.abs((images * images).sum(1) - 1).max() < 1e-5
    assert 1 - (images * theirs.images).sum(1).min() < 1e-5
    assert np.abs(texts - theirs.texts).max() < 1e-6  # also where texts are cut to their length
    assert np.abs(images @ texts.T - theirs.images @ theirs.texts.T).max() < 1e-5
    assert min(apart(images), apart(texts)) > far  # else the above says nothing


@pytest.mark.parametrize("kind", KINDS)
def test_embeddings_and_cosines_are_those_of_open_clip(tiny: Made, kind: str) -> None:
    assert_same(OpenClip(tiny(kind), ""), official(tiny(kind)))


@pytest.mark.slow
def test_a_model_of_billions_of_parameters_at_two_layers(tmp_path: Path) -> None:
    """EVA02-E-14-plus: all but the depth is that of the configuration in open_clip's package."""
    import open_clip

    found = open_clip.get_model_config("EVA02-E-14-plus")
    found["text_cfg"]["layers"] = 2
    found["vision_cfg"]["timm_model_name"] = "eva02_enormous_of_two"
    model_configs()  # makes that name known
    place = open_clip_folder(tmp_path, {"model_cfg": found, "preprocess_cfg": {}}, grow=1)
    assert_same(OpenClip(f"local-dir:{place}", ""), official(f"local-dir:{place}"), far=1e-4)


@pytest.mark.slow
def test_a_named_model_by_file_and_by_tag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ViT-B-32 itself. A hub's cache holds its weights for the tag `openai`, which open_clip runs without
    QuickGELU under this name; they were trained with it."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    place = tmp_path / "hub/models--timm--vit_base_patch32_clip_224.openai"
    file = place / "snapshots/0/open_clip_model.safetensors"
    file.parent.mkdir(parents=True)
    (place / "refs").mkdir()
    (place / "refs/main").write_text("0")
    save_file({k: v.half() for k, v in open_clip.create_model("ViT-B-32").state_dict().items()}, file)
    assert_same(OpenClip("ViT-B/32", str(file)), official("ViT-B-32", pretrained=str(file)), far=1e-3)
    theirs = official("ViT-B-32-quickgelu", pretrained=str(file))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    assert_same(OpenClip("ViT-B-32", "openai"), theirs, far=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_bf16(tiny: Made, kind: str) -> None:
    _, images, texts = ours(OpenClip(tiny(kind), ""))
    _, half_images, half_texts = ours(OpenClip(tiny(kind), ""), "bf16")
    assert half_images.dtype == half_texts.dtype == np.float32
    assert 1 - (images * half_images).sum(1).min() < 2e-3
    assert 1 - (texts * half_texts).sum(1).min() < 2e-3


@pytest.mark.parametrize("kind", ["clip", "siglip", "eva02"])
def test_on_a_gpu(tiny: Made, kind: str) -> None:
    import torch

    encoder = OpenClip(tiny(kind), "")
    if not torch.cuda.is_available():
        with pytest.raises(RunError, match="cannot use it"):
            encoder.towers("auto", gpu=True)
        return
    _, images, texts = ours(encoder)
    for precision, far in (("auto", 2e-3), ("bf16", 2e-3), ("fp16", 2e-3), ("fp32", 1e-5)):
        _, gpu_images, gpu_texts = ours(encoder, precision, gpu=True)
        assert 1 - (images * gpu_images).sum(1).min() < far
        assert 1 - (texts * gpu_texts).sum(1).min() < far


@pytest.mark.parametrize("kind", ["clip", "custom text", "eos", "eva02", "siglip", "coca"])
def test_neighbours_change_nothing(tiny: Made, kind: str) -> None:
    """Texts and images alone, all together, and backwards."""
    encoder = OpenClip(tiny(kind), "")
    front, towers = encoder.front(), encoder.towers("fp32", gpu=False)
    texts = [f"{text} {i}" for i in range(5) for text in TEXTS]
    pixels = np.stack([front.pixels(frame) for frame in decoded(pictures())] * 5)
    alone = np.concatenate([towers.texts(front.tokens([text])) for text in texts])
    single = np.concatenate([towers.images(pixels[i : i + 1]) for i in range(len(pixels))])
    for order in (slice(None), slice(None, None, -1)):
        together = towers.texts(front.tokens(texts[order])), towers.images(pixels[order])
        for one, all_ in zip((alone[order], single[order]), together, strict=True):
            assert np.abs((one * all_).sum(1) - 1).max() < 1e-5
    assert towers.texts(front.tokens([])).shape == towers.images(pixels[:0]).shape == (0, 64)


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_two_threads_at_once(tiny: Made, kind: str) -> None:
    encoder = OpenClip(tiny(kind), "")
    front, towers = encoder.front(), encoder.towers("fp32", gpu=False)
    pixels = np.stack([front.pixels(frame) for frame in decoded(pictures())])
    pixels.setflags(write=False)  # as a view of an Arrow buffer
    wanted = towers.images(pixels), towers.texts(front.tokens(TEXTS))
    batches = [TEXTS[i % 5 :] * (i % 3 + 1) for i in range(40)]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda batch: towers.texts(front.tokens(batch)), batches))
        images = list(pool.map(towers.images, [pixels] * 6))
    for i, rows in enumerate(found):
        assert np.abs(rows - np.concatenate([wanted[1][i % 5 :]] * (i % 3 + 1))).max() < 1e-5
    assert all(np.abs(rows - wanted[0]).max() < 1e-5 for rows in images)


@pytest.mark.timeout(120)
def test_texts_that_would_hold_up_the_tokenizer(tiny: Made) -> None:
    """Its time grows with the square of a word's length: a million letters would take days."""
    import open_clip

    front = OpenClip(tiny("clip"), "").front()
    rng = np.random.default_rng(0)
    letters = "".join(map(chr, rng.integers(97, 123, 1_000_000)))
    long = ["word " * 5000, " " * 3000 + "late", "a,b;" * 900, "年" * 2000, "😂" * 600, letters[:1500]]
    front.tokens([letters, "&amp;" * 10**6, *long])
    assert np.array_equal(front.tokens(long)["tokens"], open_clip.get_tokenizer(tiny("clip"))(long).numpy())
    front = OpenClip(tiny("siglip"), "").front()
    tokens = front.tokens(["dog " * 2_000_000, "dog " * 100])["tokens"]
    assert np.array_equal(*tokens)


def test_a_tokenizer_forgets_words(tiny: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.common.encoder_open_clip._KNOWN_WORDS", 50)
    front = OpenClip(tiny("clip"), "").front()
    texts = [*TEXTS, "a <end_of_text> b"]
    first = front.tokens(texts)["tokens"]
    for i in range(40):
        front.tokens([f"word{i} thing{i * i}"])
        assert len(front._tokenizer.cache) <= 60  # type: ignore[attr-defined]
    assert np.array_equal(front.tokens(texts)["tokens"], first)


# -- text towers of transformers --


@pytest.fixture
def multilingual(tmp_path: Path) -> Path:
    """A folder as published ones are, and the text tower's config.json under its own name within."""
    import transformers as tf

    small = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = tf.XLMRobertaConfig(**small, vocab_size=400, max_position_embeddings=90, pad_token_id=0)
    place = tmp_path / "multilingual"
    text.save_pretrained(place / "xlm-roberta-base")
    cfg = {
        "hf_model_name": str(place / "xlm-roberta-base"),
        "hf_tokenizer_name": "xlm-roberta-base",
        "hf_pooler_type": "mean_pooler",
    }
    return open_clip_folder(place, config(64, VIT, cfg), pad="<pad>")


def test_a_text_tower_of_transformers(multilingual: Path) -> None:
    model = f"local-dir:{multilingual}"
    theirs = official(model)
    path = multilingual / "open_clip_config.json"
    said = json.loads(path.read_text())
    said["model_cfg"]["text_cfg"]["hf_model_name"] = "xlm-roberta-base"
    path.write_text(json.dumps(said))
    encoder = OpenClip(model, "")
    assert_same(encoder, theirs)
    assert "config.json" in encoder.assets()
    assert 1 - (ours(encoder, "bf16")[2] * theirs.texts).sum(1).min() < 2e-3
    (multilingual / "xlm-roberta-base/config.json").unlink()
    assert f"belongs into {multilingual}/xlm-roberta-base" in refusal(encoder, towers)


# -- what cannot be loaded --


def towers(encoder: OpenClip) -> None:
    encoder.towers("fp32", gpu=False)


def refusal(encoder: OpenClip, step: Callable[[OpenClip], Any]) -> str:
    with pytest.raises(RecipeError) as raised:
        step(encoder)
    from huggingface_hub import constants

    assert constants.HF_HUB_OFFLINE, "a hub would be asked"
    return str(raised.value)


def test_a_tokenizer_that_is_missing_is_told_at_once(tiny: Made, tmp_path: Path) -> None:
    place = shutil.copytree(tiny("siglip").removeprefix("local-dir:"), tmp_path / "copy")
    (place / "tokenizer.json").unlink()
    said = refusal(OpenClip(f"local-dir:{place}", ""), OpenClip.front)
    assert "timm/ViT-B-16-SigLIP" in said
    assert f"{place} must hold one of tokenizer.json" in said
    named = refusal(OpenClip("ViT-B-16-SigLIP", str(place / "open_clip_model.safetensors")), OpenClip.front)
    assert f"{place} must hold one of tokenizer.json" in named
    sentence_tokenizer().save_pretrained(place)
    for encoder in (
        OpenClip(f"local-dir:{place}", ""),
        OpenClip("ViT-B-16-SigLIP", str(place / "open_clip_model.safetensors")),
    ):
        assert encoder.front().tokens(["a dog"])["tokens"].shape == (1, 64)


def test_no_hub_is_asked_though_its_library_was_imported_before(tiny: Made, tmp_path: Path) -> None:
    place = shutil.copytree(tiny("siglip").removeprefix("local-dir:"), tmp_path / "copy")
    (place / "tokenizer.json").unlink()
    code = f"""
import huggingface_hub.constants as hub
assert not hub.HF_HUB_OFFLINE
from curate.errors import RecipeError
from stages.common.encoder_open_clip import OpenClip
try:
    OpenClip("local-dir:{place}", "").front()
except RecipeError as error:
    assert "must hold one of" in str(error)
    assert hub.HF_HUB_OFFLINE
else:
    raise SystemExit("a tokenizer was found")
"""
    environment = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"}
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], env=environment, check=True)


class Trap:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("suffix", ["pt", "bin", "safetensors"])
def test_files_that_are_no_weights(tiny: Made, tmp_path: Path, suffix: str) -> None:
    import torch

    place = shutil.copytree(tiny("clip").removeprefix("local-dir:"), tmp_path / "copy")
    (place / "open_clip_model.safetensors").unlink()
    file = place / f"open_clip_pytorch_model.{suffix}".replace(".pt", ".pth")
    encoder = OpenClip(f"local-dir:{place}", "")
    file.write_bytes(b"no weights at all")
    assert str(file) in refusal(encoder, towers)
    file.write_bytes(pickle.dumps({"state_dict": Trap(tmp_path / "mark")}, protocol=2))
    assert str(file) in refusal(encoder, towers)
    if suffix != "safetensors":
        torch.save({"state_dict": Trap(tmp_path / "mark")}, file)
        assert "more than tensors" in refusal(encoder, towers)
    assert not (tmp_path / "mark").exists()


def test_weights_of_another_model(tiny: Made, tmp_path: Path) -> None:
    place = shutil.copytree(tiny("clip").removeprefix("local-dir:"), tmp_path / "copy")
    said = json.loads((place / "open_clip_config.json").read_text())
    said["model_cfg"]["vision_cfg"]["layers"] = 4
    (place / "open_clip_config.json").write_text(json.dumps(said))
    assert "visual.transformer.resblocks.3" in refusal(OpenClip(f"local-dir:{place}", ""), towers)


def test_a_training_checkpoint(tiny: Made, tmp_path: Path) -> None:
    """As open_clip's own training leaves it: wrapped, and each name behind `module.`."""
    import torch
    from safetensors.torch import load_file

    place = shutil.copytree(tiny("clip").removeprefix("local-dir:"), tmp_path / "copy")
    state = load_file(place / "open_clip_model.safetensors")
    (place / "open_clip_model.safetensors").unlink()
    named = {f"module.{k}": v for k, v in state.items()}
    torch.save({"epoch": 3, "name": "run", "state_dict": named}, place / "epoch_3.pth")
    _, images, texts = ours(OpenClip(f"local-dir:{place}", ""))
    _, wanted, wanted_texts = ours(OpenClip(tiny("clip"), ""))
    assert np.array_equal(images, wanted)
    assert np.array_equal(texts, wanted_texts)


def test_without_open_clip_the_extra_is_named() -> None:
    code = (
        "import importlib.util, sys\n"
        "real = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, package=None: None if name == 'open_clip' else real(name)\n"
        "from stages.common.encoder_open_clip import OpenClip\n"
        "OpenClip('ViT-B-32', 'openai').facts()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'mmcurate[clip]'" in done.stderr
