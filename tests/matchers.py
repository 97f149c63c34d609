"""Folders of tiny models that match images and texts, written by numpy alone: torch makes none of them."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Weights = dict[str, npt.NDArray[np.float32]]
Shapes = dict[str, tuple[int, ...]]

_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
VOCABULARY = (
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "caption", "number", "says", "a", "page", "harbour", "."),
    *(letter for letter in _LETTERS if letter != "a"),
    *(f"##{letter}" for letter in _LETTERS),
)
VILT = {
    "architectures": ["ViltForImageAndTextRetrieval"],
    "model_type": "vilt",
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "vocab_size": len(VOCABULARY),
    "image_size": 64,
    "patch_size": 16,
    "max_image_length": -1,
}
VILT_IMAGES = {
    "image_processor_type": "ViltImageProcessor",
    "size": {"shortest_edge": 64},
    "size_divisor": 16,
}

INTERNVL_VISION = {
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 96,
    "image_size": 28,
    "patch_size": 14,
    "qkv_bias": False,
    "qk_normalization": True,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-6,
}
INTERNVL_LANGUAGE = {
    "vocab_size": 300,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 128,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
}
INTERNVL = {
    "architectures": ["InternVLModel"],
    "model_type": "internvl",
    "vision_config": INTERNVL_VISION,
    "qllama_config": INTERNVL_LANGUAGE,
    "clip_embed_dim": 24,
    "attn_pool_num_heads": 4,
    "force_image_size": None,
    "use_backbone_lora": 0,
    "use_qllama_lora": 0,
}


def examples() -> list[dict[str, Any]]:
    """For the contract: a stage `itm`, where its packages are installed."""
    if find_spec("torch") is None or find_spec("transformers") is None:
        return []
    folder = Path(tempfile.mkdtemp(prefix="curate-itm-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return [{"model": str(write_vilt(folder)), "max_texts": 2}]


def drawn(shapes: Mapping[str, tuple[int, ...]], seed: int = 0) -> Weights:
    """Numbers that keep what goes through a model at about its size; the same for the same names."""
    rng = np.random.default_rng(seed)
    found = {}
    for name in sorted(shapes):
        shape = shapes[name]
        values = rng.standard_normal(shape).astype(np.float32)
        if "norm" in name.lower() and name.endswith("weight"):
            values = 1 + 0.2 * values
        elif name.endswith(("ls1", "ls2")):
            values = 0.5 + 0.2 * values
        elif len(shape) < 2 or "embed" in name:
            values = 0.3 * values
        else:
            values = values / np.sqrt(shape[0] if name == "text_projection" else np.prod(shape[1:]))
        found[name] = np.asarray(values, np.float32)
    return found


def write_vilt(folder: Path, config: Mapping[str, Any] = VILT, weights: Weights | None = None) -> Path:
    """A ViLT with the head that ranks."""
    write_json(folder / "config.json", config)
    write_json(folder / "preprocessor_config.json", VILT_IMAGES)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    save(folder / "model.safetensors", vilt_weights() if weights is None else weights)
    return folder


def vilt_weights(seed: int = 0) -> Weights:
    """With a head that tells pairs apart: random layers turn all of them into much the same."""
    weights = drawn(vilt_shapes(), seed)
    weights["rank_output.weight"] *= 20
    weights["rank_output.bias"] -= 12
    return weights


def vilt_shapes() -> Shapes:
    width, inner, side, patch = 24, 40, 64, 16
    text, begin = "vilt.embeddings.text_embeddings.", "vilt.embeddings."
    shapes: Shapes = {
        f"{begin}cls_token": (1, 1, width),
        f"{begin}position_embeddings": (1, (side // patch) ** 2 + 1, width),
        f"{text}word_embeddings.weight": (len(VOCABULARY), width),
        f"{text}position_embeddings.weight": (40, width),
        f"{text}token_type_embeddings.weight": (2, width),
        **_affine(f"{text}LayerNorm", width),
        f"{begin}patch_embeddings.projection.weight": (width, 3, patch, patch),
        f"{begin}patch_embeddings.projection.bias": (width,),
        f"{begin}token_type_embeddings.weight": (2, width),
        **_affine("vilt.layernorm", width),
        **_linear("vilt.pooler.dense", width, width),
        **_linear("rank_output", width, 1),
    }
    for layer in range(2):
        here = f"vilt.encoder.layer.{layer}."
        for what in ("query", "key", "value"):
            shapes |= _linear(f"{here}attention.attention.{what}", width, width)
        shapes |= _linear(f"{here}attention.output.dense", width, width)
        shapes |= _linear(f"{here}intermediate.dense", width, inner)
        shapes |= _linear(f"{here}output.dense", inner, width)
        shapes |= _affine(f"{here}layernorm_before", width) | _affine(f"{here}layernorm_after", width)
    return shapes


def internvl_shapes() -> Shapes:
    """Names as in the checkpoint of InternVL-14B-224px, what InternVL-C does not use left out."""
    wide, inner, size = 48, 96, 14
    vision = "vision_model.embeddings."
    shapes: Shapes = {
        f"{vision}class_embedding": (1, 1, wide),
        f"{vision}position_embedding": (1, 5, wide),
        f"{vision}patch_embedding.weight": (wide, 3, size, size),
        f"{vision}patch_embedding.bias": (wide,),
        "text_projection": (32, 24),
        "logit_scale": (),
        "qllama.model.embed_tokens.weight": (300, 32),
        "qllama.model.norm.weight": (32,),
    }
    for layer in range(2):
        here = f"vision_model.encoder.layers.{layer}."
        shapes |= {f"{here}{name}": (wide,) for name in ("norm1.weight", "norm2.weight", "ls1", "ls2")}
        shapes |= {f"{here}attn.{name}_norm.weight": (wide,) for name in "qk"}
        shapes |= {f"{here}attn.qkv.weight": (3 * wide, wide)}
        shapes |= _linear(f"{here}attn.proj", wide, wide)
        shapes |= _linear(f"{here}mlp.fc1", wide, inner) | _linear(f"{here}mlp.fc2", inner, wide)
        here = f"qllama.model.layers.{layer}."
        shapes |= {f"{here}self_attn.{name}_proj.weight": (32, 32) for name in "qkvo"}
        shapes |= {f"{here}mlp.{name}_proj.weight": (64, 32) for name in ("gate", "up")}
        shapes |= {f"{here}mlp.down_proj.weight": (32, 64)}
        shapes |= {f"{here}{name}_layernorm.weight": (32,) for name in ("input", "post_attention")}
    for what in "qkv":
        shapes |= _affine(f"clip_projector.norm1_{what}", wide)
        shapes |= {f"clip_projector.cross_attn.{what}.weight": (wide, wide)}
        shapes |= {f"clip_projector.cross_attn.{what}_bias": (wide,)}
    return shapes | _linear("clip_projector.cross_attn.proj", wide, 24)


def write_internvl(folder: Path, config: Mapping[str, Any] = INTERNVL) -> Path:
    """An InternVL-C in two files of safetensors, with a tokenizer of a few words."""
    write_json(folder / "config.json", config)
    weights = drawn(internvl_shapes())
    half = len(weights) // 2
    index = {}
    for number, names in enumerate((sorted(weights)[:half], sorted(weights)[half:]), start=1):
        file = f"model-{number:05d}-of-00002.safetensors"
        save(folder / file, {name: weights[name] for name in names})
        index |= dict.fromkeys(names, file)
    write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": index})
    _write_pieces(folder)
    return folder


def _write_pieces(folder: Path) -> None:
    import sentencepiece

    lines = [f"summarize: caption number {i} says {'x' * (i % 7)} of page {i}" for i in range(60)]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=290,
        model_type="bpe",
        byte_fallback=True,
        hard_vocab_limit=False,
        minloglevel=9,
    )


def matching(folder: Path, path: str, reader: str, **more: Any) -> dict[str, Any]:
    """Read, match, bound, write."""
    form = {"form": "documents"} if reader == "read_html" else {}
    return {
        "name": "matching",
        "decode": {"short_side": 64},
        "nodes": [
            {"stage": reader, "id": "raw", "path": path},
            {"stage": "itm", "model": str(folder), **more},
            {"stage": "keep", "id": "bounds", "bounds": {"image_itm": {"min": 0, "max": 1}}},
            {"stage": "write_webdataset", "id": "out", **form},
        ],
    }


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def save(path: Path, weights: Weights) -> None:
    from safetensors.numpy import save_file

    save_file(weights, path, metadata={"format": "pt"})


def _linear(name: str, inputs: int, outputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _affine(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}
