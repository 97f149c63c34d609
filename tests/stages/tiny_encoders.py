"""Small encoders of the real architectures with random weights, as folders that a hub would hold."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.pixels import Decode, Pixels, decode

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before any import of open_clip

TEXTS = [
    "a dog",
    "Two dogs play in the snow.",
    "",
    "A red apple, two pears, three plums and a fig on a table beside the window of an old house " * 3,
    "Ein roter Apfel liegt auf dem Tisch",
    "女人穿着红色裙子站在海边",
    "IMG_0001.JPG &amp; <b>bold</b>   spaces",
    "an owl",
]
TEXT: Mapping[str, Any] = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 3}
VIT: Mapping[str, Any] = {"image_size": 64, "layers": 3, "width": 64, "head_width": 32, "patch_size": 16}
SIGLIP_TEXT: Mapping[str, Any] = {
    "context_length": 64,
    "vocab_size": 400,
    "hf_tokenizer_name": "timm/ViT-B-16-SigLIP",
    "tokenizer_kwargs": {"clean": "canonicalize"},
    "width": 64,
    "heads": 2,
    "layers": 2,
    "no_causal_mask": True,
    "proj_bias": True,
    "pool_type": "last",
    "norm_kwargs": {"eps": 1e-6},
}
TINY: Mapping[str, Any] = {"img_size": 64, "depth": 2, "embed_dim": 64, "num_heads": 2}
_HALF = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}


def model_configs() -> dict[str, dict[str, Any]]:
    """open_clip_config.json by kind: the classes of the models people use, a few layers each."""
    _register()
    eva = {"timm_pool": "token", "timm_proj": None}
    siglip = {"timm_pool": "map", "timm_proj": "none"}
    return {
        "clip": config(64, VIT, TEXT),
        "clip quickgelu": config(48, VIT, TEXT) | {"quick_gelu": True},
        "custom text": config(64, VIT, TEXT, custom_text=True),
        "eos": config(
            64, VIT, {**TEXT, "pool_type": "eos", "eos_id": 49407, "proj_bias": True}, custom_text=True
        ),
        "resnet": config(
            64, {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "patch_size": None}, TEXT
        ),
        "eva02": config(
            64, {"image_size": 64, "timm_model_name": "tiny_eva02", **eva}, TEXT, custom_text=True
        ),
        "siglip": config(
            64,
            {"image_size": 64, "timm_model_name": "tiny_siglip", **siglip},
            SIGLIP_TEXT,
            {**_HALF, "interpolation": "bicubic", "resize_mode": "squash"},
            custom_text=True,
            init_logit_bias=-10,
        ),
        "bilinear": config(64, VIT, TEXT, {"mean": [0, 0, 0], "std": [1, 1, 1], "interpolation": "bilinear"}),
        "longest": config(64, VIT, TEXT, {**_HALF, "resize_mode": "longest", "fill_color": 114}),
        "coca": config(
            64,
            VIT | {"output_tokens": True},
            {**TEXT, "context_length": 76, "embed_cls": True, "output_tokens": True},
            custom_text=True,
            multimodal_cfg={**TEXT, "context_length": 76},
        ),
    }


def config(
    dim: int,
    vision: Mapping[str, Any],
    text: Mapping[str, Any],
    preprocess: Mapping[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    model = {"embed_dim": dim, "vision_cfg": dict(vision), "text_cfg": dict(text), **more}
    return {"model_cfg": model, "preprocess_cfg": dict(preprocess or {})}


def _register() -> None:
    """timm's own functions with fewer and narrower layers, under names that open_clip can ask it for."""
    import timm
    from timm.models import eva, register_model, vision_transformer

    if timm.is_model("tiny_eva02"):
        return

    def tiny_eva02(pretrained: bool = False, **kwargs: Any) -> Any:
        return eva.eva02_base_patch16_clip_224(**TINY, **kwargs)

    def tiny_siglip(pretrained: bool = False, **kwargs: Any) -> Any:
        return vision_transformer.vit_base_patch16_siglip_224(**TINY, **kwargs)

    def eva02_enormous_of_two(pretrained: bool = False, **kwargs: Any) -> Any:
        return eva.eva02_enormous_patch14_clip_224(depth=2, **kwargs)

    for function in (tiny_eva02, tiny_siglip, eva02_enormous_of_two):
        function.__module__ = eva.__name__
        register_model(function)


def open_clip_folder(folder: Path, said: Mapping[str, Any], grow: float = 2, pad: str = "</s>") -> Path:
    """Config and random weights, wide enough that images and texts come out apart."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps(said))
    if "hf_tokenizer_name" in said["model_cfg"]["text_cfg"]:
        sentence_tokenizer(pad=pad).save_pretrained(folder)
    torch.manual_seed(0)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False, pretrained_text=False)
    save_file(spread(model, grow), folder / "open_clip_model.safetensors")
    return folder


def spread(model: Any, grow: float = 2) -> dict[str, Any]:
    """The state of a model, its matrices enlarged: as initialised, all images have nearly one embedding."""
    state = model.state_dict()
    grown = {k: v * grow if v.ndim > 1 and v.is_floating_point() else v for k, v in state.items()}
    return {k: v.clone().contiguous() for k, v in grown.items()}


def sentence_tokenizer(_: Path | None = None, pad: str = "</s>") -> Any:
    """As T5's of SigLIP: unigrams of sentencepiece's kind, `</s>` at the end and, there, as padding."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = sorted({word for text in TEXTS for word in text.split()})
    letters = sorted({letter for text in TEXTS for letter in text if letter != " "})
    special = ["<pad>", "</s>", "<unk>"]
    pieces = dict.fromkeys([*special, "▁", *letters, *(f"▁{word}" for word in words)])
    tokenizer = Tokenizer(models.Unigram([(p, -1.0 - 2 * (len(p) == 1)) for p in pieces], unk_id=2))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="</s>", unk_token="<unk>", pad_token=pad, model_max_length=64
    )


def pictures() -> list[bytes]:
    """JPEG files of several sizes and aspects: coloured waves under noise."""
    from PIL import Image

    files = []
    sizes = [(480, 640), (224, 224), (1000, 300), (90, 60), (257, 399), (64, 64), (33, 1500), (601, 600)]
    for i, (height, width) in enumerate(sizes):
        out = io.BytesIO()
        Image.fromarray(waves(height, width, i)).save(out, "JPEG", quality=90)
        files.append(out.getvalue())
    return files


def waves(height: int, width: int, seed: int) -> npt.NDArray[np.uint8]:
    """An image with structure at several scales, and some noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    layers = []
    for _ in range(3):
        a, b, c = rng.uniform(2, 40, 3)
        layers.append(np.sin(a * x + b * y) + np.sin(c * np.hypot(x - rng.uniform(), y - rng.uniform())))
    picture = np.stack(layers, axis=-1) * 50 + rng.uniform(80, 170, 3) + rng.normal(0, 8, (height, width, 3))
    return picture.clip(0, 255).astype(np.uint8)


def unit(rows: Any) -> npt.NDArray[np.float32]:
    """Tensors or arrays as float32 rows of length one."""
    found = np.asarray(rows, dtype=np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def apart(rows: npt.NDArray[np.float32]) -> float:
    """The largest 1 - cosine between any two rows."""
    return float((1 - rows @ rows.T).max())


def decoded(files: Sequence[bytes]) -> list[npt.NDArray[np.uint8]]:
    """As the engine decodes them undiminished."""
    found = [decode(data, Decode(), full=True) for data in files]
    assert all(isinstance(pixels, Pixels) for pixels in found)
    return [pixels.data for pixels in found if isinstance(pixels, Pixels)]
