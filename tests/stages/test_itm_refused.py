"""What `itm` does not take: folders that lack something, other models, odd weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import matchers
import pools
import pytest

from curate.errors import RecipeError
from stages.common import model_folder
from stages.common.matcher import matcher

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def vilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return matchers.write_vilt(tmp_path_factory.mktemp("vilt"))


@pytest.fixture(scope="module")
def internvl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return matchers.write_internvl(tmp_path_factory.mktemp("internvl"))


# -- what is wrong is said before anything starts --


def refused(folder: Path, **more: Any) -> str:
    with pytest.raises(RecipeError) as error:
        pools.planned(matchers.matching(folder, "no/*.tar", "read_webdataset", **more))
    return str(error.value)


def test_no_folder(tmp_path: Path) -> None:
    said = refused(tmp_path / "none")
    assert f"model: there is no folder {tmp_path / 'none'}" in said


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ("config.json", "cannot read {}/config.json: No such file or directory"),
        ("vocab.txt", "{} holds no tokenizer\n  it takes one of tokenizer.json, vocab.txt"),
        ("model.safetensors", "{} holds no weights\n  it takes one of model.safetensors"),
    ],
)
def test_a_file_is_missing(lost: str, said: str, tmp_path: Path) -> None:
    folder = matchers.write_vilt(tmp_path / "vilt")
    (folder / lost).unlink()
    assert said.format(folder) in refused(folder)


def test_a_part_of_the_weights_is_missing(internvl: Path, tmp_path: Path) -> None:
    folder = tmp_path / "part"
    shutil.copytree(internvl, folder)
    (folder / "model-00002-of-00002.safetensors").unlink()
    assert "names model-00002-of-00002.safetensors, which is not there" in refused(folder)


def test_an_index_leads_nowhere_else(internvl: Path, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    shutil.copytree(internvl, folder)
    shutil.copy(folder / "model-00001-of-00002.safetensors", tmp_path / "outside.safetensors")
    index = {"weight_map": {"text_projection": "../outside.safetensors"}}
    matchers.write_json(folder / "model.safetensors.index.json", index)
    assert "names outside.safetensors, which is not there" in refused(folder)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"model_type": "clip"}, "type clip, which matches no images and texts"),
        ({"architectures": ["ViltForMaskedLM"]}, "a ViltForMaskedLM: without the head that matches"),
    ],
)
def test_another_model(changed: dict[str, Any], said: str, tmp_path: Path) -> None:
    assert said in refused(matchers.write_vilt(tmp_path / "vilt", {**matchers.VILT, **changed}))


def test_chat_models_of_the_name_and_adapters(internvl: Path, tmp_path: Path) -> None:
    chat = {key: value for key, value in matchers.INTERNVL.items() if key != "qllama_config"}
    assert "type internvl, which matches no" in refused(matchers.write_internvl(tmp_path / "chat", chat))
    tuned = matchers.write_internvl(tmp_path / "tuned", {**matchers.INTERNVL, "use_backbone_lora": 128})
    assert "adapters beside its weights (use_backbone_lora)" in refused(tuned)


def test_pixels_that_the_decode_does_not_give(tmp_path: Path) -> None:
    folder = matchers.write_vilt(tmp_path / "vilt")
    matchers.write_json(folder / "preprocessor_config.json", {"size": {"shortest_edge": 384}})
    assert "wants images of 384 pixels a side" in refused(folder)
    tars = pools.write_tars(tmp_path / "in", pools.pairs(1), 1)
    pools.planned(matchers.matching(folder, tars, "read_webdataset", pixels="full"))


@pytest.mark.parametrize(("family", "package"), [("vilt", "transformers"), ("internvl", "sentencepiece")])
def test_a_package_is_missing(
    family: str, package: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = request.getfixturevalue(family)
    there = model_folder.find_spec
    monkeypatch.setattr(model_folder, "find_spec", lambda name: None if name == package else there(name))
    said = refused(folder)
    assert f"needs {package}, not installed here" in said
    assert "pip install 'mmcurate[clip]'" in said


# -- weights that are not what config.json says are never run --


def test_weights_without_the_head_are_refused(tmp_path: Path) -> None:
    weights = matchers.vilt_weights()
    del weights["rank_output.weight"]
    folder = matchers.write_vilt(tmp_path / "headless", weights=weights)
    with pytest.raises(RecipeError, match="lacks 1 weights of a ViltForImageAndTextRetrieval: rank_output"):
        matcher(str(folder), "auto").load("fp32", gpu=False)


@pytest.mark.parametrize("changed", [{"clip_embed_dim": 16}, {"vision_config": {"num_hidden_layers": 3}}])
def test_weights_of_another_shape_are_refused(
    changed: dict[str, Any], internvl: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "other"
    shutil.copytree(internvl, folder)
    config = json.loads((folder / "config.json").read_text())
    vision = {**config["vision_config"], **changed.get("vision_config", {})}
    matchers.write_json(folder / "config.json", {**config, **changed, "vision_config": vision})
    with pytest.raises(RecipeError, match="holds other weights than its"):
        matcher(str(folder), "auto").load("fp32", gpu=False)


class _Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("sprung"),)


@pytest.mark.parametrize("family", ["vilt", "internvl"])
def test_weights_that_would_run_code_are_refused(
    family: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "trap"
    shutil.copytree(request.getfixturevalue(family), folder, ignore=shutil.ignore_patterns("*.safetensors*"))
    torch.save({"x": _Trap()}, folder / "pytorch_model.bin")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError, match="holds more than tensors, and is not loaded"):
        matcher(str(folder), "auto").load("fp32", gpu=False)
    assert not Path("sprung").exists()
