"""What a plan knows of open_clip's models, without importing it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curate.errors import RecipeError
from stages.common.encoder_open_clip import OpenClip
from stages.common.open_clip_names import package, published
from stages.common.open_clip_source import resolve, weights_in

pytestmark = pytest.mark.usefixtures("torchvision")

CLIP = {"embed_dim": 64, "vision_cfg": {"image_size": 64}, "text_cfg": {}}


def names() -> list[str]:
    return sorted(path.stem for path in (package() / "model_configs").glob("*.json"))


def test_names_tags_and_transforms_are_those_of_open_clip() -> None:
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

    assert set(names()) == set(open_clip.list_models())
    for name in names():
        tags = published(name)
        assert list(tags) == list_pretrained_tags_by_model(name)
        assert {tag: dict(tags[tag]) for tag in tags} == {tag: get_pretrained_cfg(name, tag) for tag in tags}


def test_facts_of_all_models_without_torch() -> None:
    code = (
        "import sys\n"
        "from stages.common.encoder_open_clip import OpenClip\n"
        "from stages.common.open_clip_names import published\n"
        f"for name in {names()}:\n"
        "    for tag in published(name):\n"
        "        encoder = OpenClip(name, tag)\n"
        "        print(name, tag, *encoder.facts(), encoder.assets(), encoder.notices(), sep='|')\n"
        "assert not {'torch', 'open_clip', 'transformers', 'timm', 'huggingface_hub'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    lines = [line.split("|") for line in done.stdout.splitlines()]
    found = {(name, tag): (int(dim), int(size)) for name, tag, dim, size, _, _ in lines}
    assert len(found) > 180
    assert found["ViT-B-32", "laion2b_s34b_b79k"] == (512, 224)
    assert found["EVA02-E-14-plus", "laion2b_s9b_b144k"] == (1024, 224)
    assert found["ViT-SO400M-14-SigLIP-384", "webli"] == (1152, 384)
    assert found["ViT-B-16-SigLIP2-512", "webli"] == (768, 512)
    assert found["xlm-roberta-base-ViT-B-32", "laion5b_s13b_b90k"] == (512, 224)


@pytest.mark.parametrize(
    ("model", "weights", "place", "said"),
    [
        ("ViT-B-31", "openai", "model", "did you mean `ViT-B-32`"),
        ("ViT-B-32", "opanai", "weights", "did you mean `openai`"),
        ("ViT-B-32", "laion2b", "weights", "laion2b_s34b_b79k"),
        ("ViT-B-32", "", "weights", "a file, a folder, or a tag; valid: commonpool"),
        ("ViT-B-32", "none/b32.pt", "weights", "no such file or folder: none/b32.pt"),
        ("ViT-B-32", "b32.safetensors", "weights", "no such file or folder"),
        ("ViT-M-32", "openai", "weights", "open_clip knows no weights of ViT-M-32: give a file"),
        ("ViT-B-32-quickgelu", "laion2b_s34b_b79k", "weights", "no weights of ViT-B-32-quickgelu"),
        ("hf-hub:laion/CLIP", "", "model", "local-dir:/folder"),
        ("local-dir:/none", "", "model", "no such folder: /none"),
    ],
)
def test_what_there_is_not(model: str, weights: str, place: str, said: str) -> None:
    for step in (OpenClip.facts, OpenClip.assets, OpenClip.front, OpenClip.notices):
        with pytest.raises(RecipeError) as raised:
            step(OpenClip(model, weights))
        assert raised.value.place == place
        assert said in str(raised.value)


def test_spellings_that_open_clip_takes() -> None:
    assert resolve("ViT-B/32", "OpenAI") == resolve("ViT-B-32", "openai")
    assert resolve("ViT-B-32", "laion2B-s34B-b79K").tag == "laion2b_s34b_b79k"


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    def made(*files: str, **config: Any) -> Path:
        if config:
            (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
        for name in files:
            (tmp_path / name).write_bytes(name.encode())
        return tmp_path

    return made


def test_a_folder_by_either_field_is_one_model(folder: Callable[..., Path]) -> None:
    place = folder(
        "model.safetensors", "tokenizer.json", model_cfg={**CLIP, "embed_dim": 512}, preprocess_cfg={}
    )
    here = OpenClip(f"local-dir:{place}", "")
    assert here.facts() == (512, 64)
    assert here.assets() == OpenClip(f"local-dir:{place}", str(place)).assets()
    assert set(here.assets()) == {"model.safetensors", "tokenizer.json", "open_clip_config.json"}
    with pytest.raises(RecipeError, match="images of 64, ViT-B-32 has 224"):
        OpenClip("ViT-B-32", str(place)).facts()
    with pytest.raises(RecipeError, match="leave `weights` out"):
        OpenClip(f"local-dir:{place}", "openai").facts()
    config = {**CLIP, "embed_dim": 512, "vision_cfg": {"image_size": 224}}
    assert OpenClip("ViT-B-32", str(folder(model_cfg=config))).facts() == (512, 224)


def test_one_file_under_two_architectures_is_two_models(folder: Callable[..., Path]) -> None:
    file = str(folder("b32.pt") / "b32.pt")
    plain, quick = OpenClip("ViT-B-32", file), OpenClip("ViT-B-32-quickgelu", file)
    assert plain.facts() == quick.facts()
    assert plain.assets() != quick.assets()
    assert OpenClip("ViT-B-32", "openai").assets() != OpenClip("ViT-B-32", "laion400m_e32").assets()


def test_a_data_card_shows_no_path(folder: Callable[..., Path], tmp_path: Path) -> None:
    place = folder("model.bin", model_cfg=CLIP)
    for encoder in (OpenClip(f"local-dir:{place}", ""), OpenClip("ViT-B-32", str(place / "model.bin"))):
        (notice,) = encoder.notices()
        assert "model.bin" in notice
        assert str(tmp_path) not in notice


def test_folders_that_are_no_model(folder: Callable[..., Path], tmp_path: Path) -> None:
    encoder = OpenClip(f"local-dir:{tmp_path}", "")
    with pytest.raises(RecipeError, match="cannot read"):
        encoder.facts()
    folder(model_cfg={"embed_dim": 3})
    with pytest.raises(RecipeError, match="embed_dim, text_cfg, vision_cfg"):
        encoder.facts()
    folder(model_cfg=CLIP)
    with pytest.raises(RecipeError, match="holds no"):
        encoder.facts()
    folder("model.pth", model_cfg={**CLIP, "vision_cfg": {"image_size": [64, 96]}})
    with pytest.raises(RecipeError, match="only squares"):
        encoder.facts()
    (tmp_path / "open_clip_config.json").write_text("{")
    with pytest.raises(RecipeError, match="not JSON"):
        encoder.facts()


@pytest.mark.parametrize(
    "files",
    [
        ["model.safetensors", "open_clip_model.safetensors", "a.safetensors"],
        ["pytorch_model.bin", "z.safetensors"],
        ["a.bin", "z.safetensors"],
        ["b.pth", "a.pth"],
        ["open_clip_pytorch_model.bin", "model.safetensors"],
    ],
)
def test_the_weights_of_a_folder_are_those_that_open_clip_loads(
    files: list[str], folder: Callable[..., Path]
) -> None:
    from open_clip.factory import _find_checkpoint_in_dir

    place = folder(*files)
    assert str(weights_in(place)) == _find_checkpoint_in_dir(place)


def test_weights_are_hashed_once_and_when_they_change(folder: Callable[..., Path], tmp_path: Path) -> None:
    """Bytes that change under the same size and time are not seen: that is what spares reading them again."""
    encoder = OpenClip("ViT-B-32", str(folder("b32.pt") / "b32.pt"))
    before = encoder.assets()
    path = tmp_path / "b32.pt"
    status = path.stat()
    path.write_bytes(b"B32.pt")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert encoder.assets() == before
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert encoder.assets() != before


@pytest.mark.parametrize(
    ("model", "mean", "mode"),
    [
        ("ViT-B-16-SigLIP", 0.5, "squash"),  # open_clip itself would take OpenAI's for a file
        ("MobileCLIP-S1", 0.0, "shortest"),
        ("ViT-B-32", 0.48145466, "shortest"),
        ("ViT-H-14-quickgelu", 0.48145466, "shortest"),  # its published weights differ: as open_clip
    ],
)
def test_the_transform_of_a_file_is_that_of_the_published_weights(
    folder: Callable[..., Path], model: str, mean: float, mode: str
) -> None:
    source = resolve(model, str(folder("w.pt") / "w.pt"))
    assert (source.transform["mean"][0], source.transform["resize_mode"]) == (mean, mode)


def test_quick_gelu_goes_with_the_weights() -> None:
    assert resolve("ViT-B-32", "openai").quick_gelu
    assert not resolve("ViT-B-32", "laion2b_s34b_b79k").quick_gelu
