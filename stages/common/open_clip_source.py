"""Which open_clip model a recipe means: its configuration, its transform, and the files it is made of."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from curate.errors import RecipeError, nearest
from stages.common.encoder_resize import Resize
from stages.common.open_clip_names import (
    Config,
    architecture,
    architecture_file,
    folder_config,
    published,
    tag_of,
)
from stages.common.weight_files import has_tokenizer, tokenizer_files

LOCAL = "local-dir:"
_SUFFIXES = (".pt", ".pth", ".bin", ".safetensors", ".ckpt")
# The order in which open_clip itself looks for a folder's weights.
_PREFERRED = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
    "model.safetensors",
    "pytorch_model.bin",
    "pytorch_model.pth",
    "model.pth",
)
# PreprocessCfg of open_clip: OpenAI's transform.
_TRANSFORM: Mapping[str, Any] = {
    "mean": (0.48145466, 0.4578275, 0.40821073),
    "std": (0.26862954, 0.26130258, 0.27577711),
    "interpolation": "bicubic",
    "resize_mode": "shortest",
    "fill_color": 0,
}


class Source(NamedTuple):
    """A model, resolved."""

    name: str  # as open_clip.create_model takes it
    model: Config  # model_cfg
    transform: Mapping[str, Any]  # the keys of `_TRANSFORM`
    file: Path | None  # weights; None with `tag`
    tag: str  # "" with `file`
    folder: Path | None  # local files that belong to it

    @property
    def label(self) -> str:
        """For people: no paths of the machine."""
        if self.file is None:
            return f"{self.name}, weights {self.tag}"
        name = self.file.parent.name if self.name.startswith(LOCAL) else self.name
        return f"{name}, weights {self.file.name}"

    @property
    def image_size(self) -> int:
        size = self.model["vision_cfg"].get("image_size", 224)
        sides = {size} if isinstance(size, int) else set(size)
        if len(sides) != 1:
            raise RecipeError("model", f"{self.name} takes images of {size}: only squares are supported")
        return int(sides.pop())

    @property
    def resize(self) -> Resize:
        # "random" is for training only: open_clip then uses bicubic
        resample = 2 if self.transform["interpolation"] == "bilinear" else 3
        return Resize(self.image_size, self.transform["resize_mode"], resample, self.transform["fill_color"])

    @property
    def text(self) -> Config:
        return dict(self.model["text_cfg"])

    @property
    def quick_gelu(self) -> bool:
        """Whether weights by tag were trained with it: where a name says otherwise, open_clip only warns."""
        return bool(self.tag and published(self.name)[self.tag].get("quick_gelu"))

    def tokenizer_folder(self) -> Path | None:
        """Its own folder, where that holds a tokenizer; else a name on the hub says which it is."""
        return self.folder if self.folder is not None and has_tokenizer(self.folder) else None

    def text_folder(self) -> Path | None:
        """The folder with config.json of a text tower that is one of transformers, where it is local."""
        name = str(self.text.get("hf_model_name") or "")
        if not name or self.folder is None:
            return None
        for place in (self.folder / name, self.folder / name.rsplit("/", 1)[-1]):
            if (place / "config.json").is_file():
                return place
        return None

    def files(self) -> list[Path]:
        """All local files that decide an embedding; of a named model the package's configuration too."""
        found = [] if self.name.startswith(LOCAL) else [architecture_file(self.name)]
        found += [] if self.file is None else [self.file]
        if self.folder is not None:
            config = self.folder / "open_clip_config.json"
            found += [config] if config.is_file() else []
            found += tokenizer_files(self.folder)
        text = self.text_folder()
        return found if text is None else [*found, text / "config.json"]


def resolve(model: str, weights: str) -> Source:
    """RecipeError, at `model` or `weights`, where there is no such thing."""
    if model.startswith("hf-hub:"):
        raise RecipeError(
            "model", "models by a hub's address are not supported", f"download it and give `{LOCAL}/folder`"
        )
    if model.startswith(LOCAL):
        return _of_folder(Path(model.removeprefix(LOCAL)), weights)
    name = model.replace("/", "-")
    config = architecture(name)
    path = Path(weights)
    if not weights:
        raise RecipeError(
            "weights", f"{name} needs weights", f"a file, a folder, or a tag; {nearest('', published(name))}"
        )
    if path.is_dir():
        if (path / "open_clip_config.json").is_file():
            source = _of_folder(path, "")
            _alike(name, config, source)
            return source
        path = weights_in(path)
    elif not path.is_file():
        if path.suffix in _SUFFIXES or os.sep in weights:
            raise RecipeError("weights", f"no such file or folder: {weights}")
        tag = tag_of(name, weights)
        return Source(name, config, _merged(published(name)[tag]), None, tag, None)
    return Source(name, config, _of_name(name), path, "", path.parent)


def _of_folder(folder: Path, weights: str) -> Source:
    if not folder.is_dir():
        raise RecipeError("model", f"no such folder: {folder}")
    if weights and Path(weights) != folder:
        raise RecipeError("weights", "a folder brings its own weights", "leave `weights` out")
    config = folder_config(folder)
    transform = _merged(config.get("preprocess_cfg") or {})
    return Source(f"{LOCAL}{folder}", config["model_cfg"], transform, weights_in(folder), "", folder)


def _alike(name: str, config: Config, source: Source) -> None:
    named = Source(name, config, {}, None, "", None)
    for what, one, other in (
        ("embeddings", config["embed_dim"], source.model["embed_dim"]),
        ("images", named.image_size, source.image_size),
    ):
        if one != other:
            raise RecipeError("weights", f"{source.folder} has {what} of {other}, {name} has {one}")


def weights_in(folder: Path) -> Path:
    """The file that open_clip takes of a folder."""
    found = sorted(p for suffix in (".safetensors", ".bin", ".pth") for p in folder.glob(f"*{suffix}"))
    if not found:
        raise RecipeError("weights", f"{folder} holds no *.safetensors, *.bin or *.pth")
    by_name = {p.name: p for p in found}
    preferred = [by_name[name] for name in _PREFERRED if name in by_name]
    return (preferred or sorted(found, key=lambda p: p.suffix != ".safetensors"))[0]


def _of_name(name: str) -> Mapping[str, Any]:
    """Of a model whose weights are a file: the transform of all its published weights, if they have one.

    open_clip itself takes OpenAI's for any file, which is wrong for SigLIP and others.
    """
    distinct = {json.dumps(_merged(c)): _merged(c) for c in published(name).values()}
    return distinct.popitem()[1] if len(distinct) == 1 else _TRANSFORM


def _merged(config: Mapping[str, Any]) -> Mapping[str, Any]:
    return {k: default if config.get(k) is None else config[k] for k, default in _TRANSFORM.items()}
