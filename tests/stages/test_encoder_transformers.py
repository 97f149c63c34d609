from __future__ import annotations

import io
import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from tiny_encoders import TEXTS, apart, decoded, pictures, unit
from tiny_transformers import KINDS, transformers_folder

from curate.errors import RecipeError
from stages.common.encoder_transformers import Transformers

pytestmark = pytest.mark.usefixtures("torchvision")

Rows = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def of(kind: str) -> Path:
        if kind not in made:
            made[kind] = transformers_folder(tmp_path_factory.mktemp(kind), kind)
        return made[kind]

    return of


class Official(NamedTuple):
    pixels: Rows  # normalised
    images: Rows
    texts: Rows
    mean: Rows
    std: Rows


def official(place: Path, kind: str, backend: str = "pil") -> Official:
    """By the folder's own image processor, tokenizer and model, without any of ours."""
    import torch
    import transformers as tf
    from PIL import Image

    model = tf.AutoModel.from_pretrained(place).eval()
    processor = tf.AutoImageProcessor.from_pretrained(place, backend=backend)
    tokenizer = tf.AutoTokenizer.from_pretrained(place)
    padding = "max_length" if kind == "siglip" else "longest"
    longest = min(tokenizer.model_max_length, 512)
    with torch.inference_mode():
        inputs = processor([Image.open(io.BytesIO(data)) for data in pictures()], return_tensors="pt")
        batch = tokenizer(TEXTS, padding=padding, truncation=True, max_length=longest, return_tensors="pt")
        if kind == "siglip":  # trained without a mask
            batch = {"input_ids": batch["input_ids"]}
        images = unit(model.get_image_features(**inputs).pooler_output)
        texts = unit(model.get_text_features(**batch).pooler_output)
    shape = (1, 3, 1, 1)
    mean, std = (np.reshape(v, shape) for v in (processor.image_mean, processor.image_std))
    return Official(inputs["pixel_values"].numpy(), images, texts, mean, std)


def ours(place: Path, precision: Any = "fp32") -> tuple[npt.NDArray[np.uint8], Rows, Rows]:
    encoder = Transformers(str(place))
    front, towers = encoder.front(), encoder.towers(precision, gpu=False)
    pixels = np.stack([front.pixels(frame) for frame in decoded(pictures())])
    return pixels, towers.images(pixels), towers.texts(front.tokens(TEXTS))


@pytest.mark.parametrize("kind", KINDS)
def test_embeddings_and_cosines_are_the_models_own(folder: Callable[[str], Path], kind: str) -> None:
    theirs = official(folder(kind), kind)
    pixels, images, texts = ours(folder(kind))
    assert Transformers(str(folder(kind))).facts() == (theirs.images.shape[1], pixels.shape[1])
    values = (pixels.transpose(0, 3, 1, 2) / 255 - theirs.mean) / theirs.std
    assert np.abs(values - theirs.pixels).max() < 1e-5  # a level is 1e-2
    assert images.dtype == texts.dtype == np.float32
    assert 1 - (images * theirs.images).sum(1).min() < 1e-5
    assert 1 - (texts * theirs.texts).sum(1).min() < 1e-5
    assert np.abs(images @ texts.T - theirs.images @ theirs.texts.T).max() < 1e-5
    assert min(apart(images), 100 * apart(texts)) > 0.1  # else the above says nothing


@pytest.mark.parametrize("kind", ["clip", "siglip", "chinese_clip"])
def test_their_default_processor_differs_by_roundings_of_torchvision(
    folder: Callable[[str], Path], kind: str
) -> None:
    theirs = official(folder(kind), kind, backend="torchvision")
    _, images, _ = ours(folder(kind))
    assert 1 - (images * theirs.images).sum(1).min() < 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_bf16(folder: Callable[[str], Path], kind: str) -> None:
    _, images, texts = ours(folder(kind))
    _, half_images, half_texts = ours(folder(kind), "bf16")
    assert half_images.dtype == np.float32
    assert 1 - (images * half_images).sum(1).min() < 1e-3
    assert 1 - (texts * half_texts).sum(1).min() < 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_neighbours_change_nothing(folder: Callable[[str], Path], kind: str) -> None:
    """Each text and image alone, against all of them together, some twenty in one call."""
    encoder = Transformers(str(folder(kind)))
    front, towers = encoder.front(), encoder.towers("fp32", gpu=False)
    texts = [f"{text} {i}" for i in range(3) for text in TEXTS]
    pixels = np.stack([front.pixels(frame) for frame in decoded(pictures())] * 3)
    alone = np.concatenate([towers.texts(front.tokens([text])) for text in texts])
    assert np.abs((towers.texts(front.tokens(texts)) * alone).sum(1) - 1).max() < 1e-5
    single = np.concatenate([towers.images(pixels[i : i + 1]) for i in range(8)])
    assert np.abs((towers.images(pixels) * np.tile(single, (3, 1))).sum(1) - 1).max() < 1e-5
    none = {name: ids[:0] for name, ids in front.tokens(texts).items()}
    assert towers.texts(none).shape == towers.images(pixels[:0]).shape == (0, encoder.facts().dim)
    assert front.tokens([]).keys() == none.keys()


def test_a_plan_imports_no_model_library(folder: Callable[[str], Path]) -> None:
    code = (
        "import sys\n"
        "from stages.common.encoder_transformers import Transformers\n"
        f"for place in {[str(folder(kind)) for kind in KINDS]}:\n"
        "    encoder = Transformers(place)\n"
        "    encoder.facts(), encoder.assets(), encoder.notices()\n"
        "assert not {'torch', 'transformers', 'torchvision'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_each_file_counts(folder: Callable[[str], Path], tmp_path: Path) -> None:
    place = shutil.copytree(folder("clip"), tmp_path / "copy")
    before = Transformers(str(place)).assets()
    assert before == Transformers(str(folder("clip"))).assets()
    for name in ("model.safetensors", "tokenizer.json", "preprocessor_config.json", "config.json"):
        (place / name).write_bytes((place / name).read_bytes() + b" ")
        after = Transformers(str(place)).assets()
        assert {n for n in after if after[n] != before[n]} == {name}
        before = after


class Trap:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


def towers(encoder: Transformers) -> None:
    encoder.towers("fp32", gpu=False)


def refusal(place: Path, step: Callable[[Transformers], Any] = Transformers.facts, **more: str) -> str:
    encoder = Transformers(str(place), **more)
    with pytest.raises(RecipeError) as raised:
        step(encoder)
    assert raised.value.place == ("weights" if more else "model")
    assert more or str(place) in str(raised.value)
    return str(raised.value)


def test_folders_that_are_no_encoder(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none")
    config = tmp_path / "config.json"
    config.write_text("{")
    assert "not JSON" in refusal(tmp_path)
    config.write_text(json.dumps({"model_type": "siglip2"}))
    assert "any aspect" in refusal(tmp_path)
    config.write_text(json.dumps({"model_type": "chineseclip"}))
    assert "did you mean `chinese_clip`" in refusal(tmp_path)
    assert "leave `weights` out" in refusal(tmp_path, weights="openai")


def test_folders_with_something_missing(folder: Callable[[str], Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    place = shutil.copytree(folder("clip"), tmp_path / "copy")
    state = load_file(place / "model.safetensors")
    name = sorted(state)[5]
    save_file({k: v for k, v in state.items() if k != name}, place / "model.safetensors", {"format": "pt"})
    assert name in refusal(place, towers)  # it would go on with random values
    (place / "model.safetensors").unlink()
    (place / "pytorch_model.bin").write_bytes(pickle.dumps(Trap(tmp_path / "mark")))
    assert "safetensors" in refusal(place, Transformers.assets)
    assert "safetensors" in refusal(place, towers)
    assert not (tmp_path / "mark").exists()
    for wanted in ("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"):
        (place / wanted).unlink()
    assert "tokenizer.json" in refusal(place, Transformers.front)
    (place / "preprocessor_config.json").unlink()
    assert "preprocessor_config.json" in refusal(place, Transformers.front)


def test_the_processor_must_fit_the_model(folder: Callable[[str], Path], tmp_path: Path) -> None:
    place = shutil.copytree(folder("clip"), tmp_path / "copy")
    path = place / "preprocessor_config.json"
    said = json.loads(path.read_text())
    path.write_text(json.dumps({**said, "crop_size": {"height": 80, "width": 80}}))
    assert "80 pixels" in refusal_without_name(place)
    path.write_text(json.dumps({**said, "do_rescale": False}))
    assert "0..1" in refusal_without_name(place)
    path.write_text(json.dumps({**said, "do_center_crop": False}))
    assert "not supported" in refusal_without_name(place)


def refusal_without_name(place: Path) -> str:
    with pytest.raises(RecipeError) as raised:
        Transformers(str(place)).front()
    return str(raised.value)


def test_code_of_a_folder_is_not_run(folder: Callable[[str], Path], tmp_path: Path) -> None:
    place = shutil.copytree(folder("clip"), tmp_path / "copy")
    (place / "mine.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w')\nclass Mine: pass\n")
    for name in ("config.json", "tokenizer_config.json", "preprocessor_config.json"):
        said = json.loads((place / name).read_text())
        said["auto_map"] = {
            "AutoModel": "mine.Mine",
            "AutoConfig": "mine.Mine",
            "AutoTokenizer": ["mine.Mine", "mine.Mine"],
            "AutoImageProcessor": "mine.Mine",
        }
        (place / name).write_text(json.dumps(said))
    encoder = Transformers(str(place))
    encoder.front()
    encoder.towers("fp32", gpu=False)
    assert not (tmp_path / "mark").exists()
