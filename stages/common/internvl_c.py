"""InternVL-C: InternViT-6B with attention pooling, and LLaMA-7B reading captions; contrastive.

Paper: Chen et al. 2023 (arXiv 2312.14238). Code: github.com/OpenGVLab/InternVL (`encode_image` and
`encode_text` of `InternVL_C`). The model is InternVL-14B-224px, of which QLLaMA's cross attention, the second
pooling and the ITM head belong to InternVL-G and are not loaded. InternViT and LLaMA are those of
transformers; what is here are the pooling, the names of weights, and how captions are read. No code of a
model's folder is run.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.errors import RecipeError
from stages.common.encoder import Facts, Frame, Front, Precision, Tokens, Towers
from stages.common.encoder_resize import Resize
from stages.common.encoder_torch import Batch, Ints, Parts, TorchTowers, device_of, precision_of
from stages.common.model_folder import ModelFolder, require, transformers_offline

if TYPE_CHECKING:
    import torch

_PACKAGES = ("torch", "transformers", "safetensors", "sentencepiece")
_TOKENIZER = "tokenizer.model"
# What the original code reads a caption with: 80 tokens, of which <s> is the first and </s> the last.
_PROMPT, _CONTEXT, _BOS, _EOS = "summarize:", 80, 1, 2
_LONGEST_TEXT = 65_536  # characters; what is cut is beyond the context
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# Defaults of the original's configuration, which a config.json may leave out.
_VISION = {
    "hidden_size": 3200,
    "num_hidden_layers": 48,
    "num_attention_heads": 25,
    "intermediate_size": 12800,
    "image_size": 224,
    "patch_size": 14,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-6,
}
_LANGUAGE = {
    "vocab_size": 32000,
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "intermediate_size": 11008,
    "max_position_embeddings": 2048,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
}
# From the checkpoint's names to those of transformers' InternVLVisionModel.
_RENAMED = (
    (re.compile(r"^embeddings\.class_embedding$"), "embeddings.cls_token"),
    (re.compile(r"^embeddings\.position_embedding$"), "embeddings.position_embeddings"),
    (re.compile(r"^embeddings\.patch_embedding\."), "embeddings.patch_embeddings.projection."),
    (re.compile(r"^encoder\.layers\."), "encoder.layer."),
    (re.compile(r"\.attn\.proj\."), ".attention.projection_layer."),
    (re.compile(r"\.attn\."), ".attention."),
    (re.compile(r"\.norm1\."), ".layernorm_before."),
    (re.compile(r"\.norm2\."), ".layernorm_after."),
    (re.compile(r"\.ls([12])$"), r".lambda_\1"),
)
# Of InternVL-G, of training, and what a checkpoint need not hold.
_UNUSED = re.compile(
    r"^(query_tokens|logit_scale|clip_projector2\..*|itm_head\..*|qllama\.lm_head\..*"
    r"|qllama\.model\.layers\.\d+\.cross_attn\..*|.*\.rotary_emb\..*)$"
)
_VISION_NAME, _LANGUAGE_NAME, _POOL_NAME = "vision_model.", "qllama.model.", "clip_projector."


def is_internvl_c(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is of this model; later ones of the name `internvl` are chat models."""
    return isinstance(config.get("qllama_config"), dict) and isinstance(config.get("vision_config"), dict)


@dataclass(frozen=True)
class InternVLC:
    """An `Encoder` from the folder of a checkpoint: config.json, tokenizer.model, weights."""

    path: str

    @property
    def folder(self) -> ModelFolder:
        """Looked at anew each time: files come and go while a recipe is written."""
        return ModelFolder(self.path)

    def facts(self) -> Facts:
        """Of config.json; RecipeError where the folder lacks a file, or a package is missing."""
        config, size = self._config(), self._image_size()
        require(_PACKAGES, "InternVL-C")
        self.folder.tokenizer((_TOKENIZER,))
        self.folder.weights()
        return Facts(int(config.get("clip_embed_dim", 768)), size)

    def assets(self) -> Mapping[str, str]:
        """SHA-256 of each file it is made of."""
        return self.folder.assets(self.folder.tokenizer((_TOKENIZER,)))

    def notices(self) -> frozenset[str]:
        """The text tower descends from LLaMA, whose first licence forbids commercial use."""
        return frozenset(
            {
                f"InternVL-C (arXiv 2312.14238), weights of {self.folder.path.name}: they have a licence of "
                "their own; the text tower descends from LLaMA"
            }
        )

    def front(self) -> Front:
        """On a worker: the tokenizer alone is loaded."""
        return _Front(self.folder.path / _TOKENIZER, self._image_size())

    def towers(self, precision: Precision, gpu: bool) -> Towers:
        """13 billion parameters: 26 GB in bf16 or fp16, 52 GB in fp32."""
        config = self._config()
        device, dtype = device_of(gpu), precision_of(precision, gpu)
        return TorchTowers(_load(self.folder, config, self._image_size(), device, dtype), device, dtype)

    def _config(self) -> Mapping[str, Any]:
        config = self.folder.config()
        if not is_internvl_c(config):
            raise self.folder.error(f"{self.path} is no InternVL-C: its config.json has no qllama_config")
        for name in ("use_backbone_lora", "use_qllama_lora"):
            if config.get(name):
                raise self.folder.error(
                    f"{self.path} has adapters beside its weights ({name})",
                    "merge them into the weights, and set it to 0 in config.json",
                )
        return config

    def _image_size(self) -> int:
        config = self._config()
        vision = {**_VISION, **config["vision_config"]}
        return int(config.get("force_image_size") or vision["image_size"])


class _Front:
    """See `Front`."""

    def __init__(self, tokenizer: Path, size: int) -> None:
        import sentencepiece

        # the original's transform for retrieval; for classification it crops
        self._resize = Resize(size, "squash")
        try:
            self._pieces = sentencepiece.SentencePieceProcessor(model_file=str(tokenizer))
        except (RuntimeError, OSError) as error:
            raise RecipeError("model", f"{tokenizer} is no tokenizer of sentencepiece: {error}") from error

    def pixels(self, frame: Frame) -> Frame:
        """Both sides to the model's size, bicubic."""
        return self._resize(frame)

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """`tokens`: int64 (n, 80), zeros behind the last. A text's own </s> stands for its letters."""
        found = np.zeros((len(texts), _CONTEXT), dtype=np.int64)
        for row, text in enumerate(texts):
            ids = self._pieces.encode(_PROMPT + text[:_LONGEST_TEXT])[: _CONTEXT - 2]
            found[row, : len(ids) + 2] = [_BOS, *ids, _EOS]
        return {"tokens": found}


def _load(
    folder: ModelFolder, config: Mapping[str, Any], size: int, device: torch.device, dtype: torch.dtype
) -> Parts:
    """All weights on the device, one tensor after the other: beside the model one tensor is in memory."""
    import torch

    transformers = transformers_offline()
    vision_config, language_config = _vision_config(config, size), _language_config(config)
    with torch.device("meta"):
        vision = transformers.InternVLVisionModel(vision_config)
        language = transformers.LlamaModel(language_config)
    state = _state(folder, device, dtype)
    for name, model in ((_VISION_NAME, vision), (_LANGUAGE_NAME, language)):
        own = {key.removeprefix(name): state.pop(key) for key in list(state) if key.startswith(name)}
        try:
            model.load_state_dict(own, assign=True)
        except RuntimeError as error:
            raise _unlike(folder, str(error)) from error
    # what a model computes at its making, and no checkpoint holds
    language.rotary_emb = type(language.rotary_emb)(language_config).to(device)
    for layer in vision.encoder.layer:
        for norm in (layer.attention.q_norm, layer.attention.k_norm):
            norm.variance_epsilon = vision_config.layer_norm_eps  # transformers leaves it at its default
    vision.eval().requires_grad_(False)
    language.eval().requires_grad_(False)
    dim, heads = int(config.get("clip_embed_dim", 768)), int(config.get("attn_pool_num_heads", 16))
    pool = {key.removeprefix(_POOL_NAME): state.pop(key) for key in list(state) if key.startswith(_POOL_NAME)}
    projection = state.pop("text_projection", None)
    _check(folder, state, pool, projection, (dim, vision_config.hidden_size, language_config.hidden_size))

    def images(pixels: torch.Tensor) -> torch.Tensor:
        return pooled(pool, vision(pixel_values=pixels).last_hidden_state, heads)

    def texts(batch: Batch) -> torch.Tensor:
        ids = batch["tokens"]
        mask = ids > 0
        states = language(input_ids=ids, attention_mask=mask.long(), use_cache=False).last_hidden_state
        return states[torch.arange(len(ids), device=device), mask.sum(dim=1) - 1] @ projection  # type: ignore[no-any-return]

    return Parts(dim, _MEAN, _STD, images, texts, _lengths)


def pooled(weights: Mapping[str, torch.Tensor], tokens: torch.Tensor, heads: int) -> torch.Tensor:
    """Attention pooling, (n, length, width) -> (n, dim): the mean of all tokens asks them all."""
    from torch.nn.functional import layer_norm, linear, scaled_dot_product_attention

    def projected(what: str, x: torch.Tensor) -> torch.Tensor:  # (n, heads, length, width of a head)
        scale, shift = weights[f"norm1_{what}.weight"], weights[f"norm1_{what}.bias"]
        normed = layer_norm(x, scale.shape, scale, shift, eps=1e-5)
        y = linear(normed, weights[f"cross_attn.{what}.weight"], weights[f"cross_attn.{what}_bias"])
        return y.reshape(*y.shape[:2], heads, -1).transpose(1, 2)

    query = projected("q", tokens.mean(dim=1, keepdim=True))
    found = scaled_dot_product_attention(query, projected("k", tokens), projected("v", tokens))
    joined = found.transpose(1, 2).flatten(2).squeeze(1)
    return linear(joined, weights["cross_attn.proj.weight"], weights["cross_attn.proj.bias"])


def _lengths(tokens: Tokens) -> Ints:
    """Tokens up to the last that is there."""
    ids = tokens["tokens"]
    found: Ints = ids.shape[1] - (ids[:, ::-1] > 0).argmax(axis=1)
    return found


def _vision_config(config: Mapping[str, Any], size: int) -> Any:
    said = config["vision_config"]
    return transformers_offline().InternVLVisionConfig(
        **{key: said.get(key, default) for key, default in _VISION.items() if key != "image_size"},
        image_size=size,
        attention_bias=said.get("qkv_bias", False),
        use_qk_norm=said.get("qk_normalization", True),
        norm_type="rms_norm",
        use_mean_pooling=True,  # which leaves out a last norm: the original has none
    )


def _language_config(config: Mapping[str, Any]) -> Any:
    said = config["qllama_config"]
    chosen = {key: said.get(key, default) for key, default in _LANGUAGE.items()}
    return transformers_offline().LlamaConfig(**chosen, pad_token_id=None)


def _state(folder: ModelFolder, device: torch.device, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """All tensors by the names of transformers, converted and moved."""

    found: dict[str, torch.Tensor] = {}
    for path in folder.weights():
        try:
            for name, tensor in _tensors(path):
                for key, part in _renamed(name, tensor):
                    found[key] = part.to(device=device, dtype=dtype)
        except pickle.UnpicklingError as error:
            raise folder.error(
                f"{path} holds more than tensors, and is not loaded",
                "save its state_dict as safetensors (safetensors.torch.save_file)",
            ) from error
        except (RuntimeError, OSError, ValueError) as error:
            raise folder.error(f"cannot load {path}: {error}") from error
    return found


def _tensors(path: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of a file that are used, read when they are asked for."""
    import torch
    from safetensors import SafetensorError, safe_open

    if path.suffix == ".safetensors":
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118 - no mapping
                    if not _UNUSED.match(name):
                        yield name, file.get_tensor(name)
        except SafetensorError as error:
            raise ValueError(str(error)) from error
        return
    state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    yield from ((name, tensor) for name, tensor in state.items() if not _UNUSED.match(name))


def _renamed(name: str, tensor: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
    if not name.startswith(_VISION_NAME):
        yield name, tensor
        return
    own = name.removeprefix(_VISION_NAME)
    for pattern, new in _RENAMED:
        own = pattern.sub(new, own)
    if ".qkv." not in own:
        yield _VISION_NAME + own, tensor
        return
    for what, part in zip("qkv", tensor.chunk(3), strict=True):
        yield _VISION_NAME + own.replace(".qkv.", f".{what}_proj."), part


def _unlike(folder: ModelFolder, what: str) -> RecipeError:
    return folder.error(f"{folder.path} holds other weights than its config.json says: {what}")


def _check(
    folder: ModelFolder,
    rest: Mapping[str, Any],
    pool: Mapping[str, torch.Tensor],
    projection: torch.Tensor | None,
    sizes: tuple[int, int, int],
) -> None:
    """RecipeError where the pooling or the projection is not as it must be, or something is left over."""
    dim, vision, language = sizes
    expected = {"cross_attn.proj.weight": (dim, vision), "cross_attn.proj.bias": (dim,)}
    for what in "qkv":
        expected |= {f"norm1_{what}.{part}": (vision,) for part in ("weight", "bias")}
        expected |= {f"cross_attn.{what}.weight": (vision, vision), f"cross_attn.{what}_bias": (vision,)}
    shapes = {name: tuple(tensor.shape) for name, tensor in pool.items()}
    if shapes != expected:
        odd = sorted(set(shapes.items()) ^ set(expected.items()))[0][0]
        raise _unlike(folder, f"{_POOL_NAME}{odd}")
    if projection is None or tuple(projection.shape) != (language, dim):
        raise folder.error(f"{folder.path} holds no text_projection of {language} to {dim}")
    if rest:
        raise folder.error(f"{folder.path} holds weights that are no part of InternVL-C: {sorted(rest)[0]}")
