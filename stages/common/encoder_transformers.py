"""Encoders of Hugging Face folders: CLIP, SigLIP and SigLIP 2 of one resolution, Chinese-CLIP, AltCLIP.

Code: github.com/huggingface/transformers. Papers beside those of open_clip: Yang et al. 2022 (Chinese-CLIP,
arXiv 2211.01335), Chen et al. 2022 (AltCLIP, 2211.06679), Tschannen et al. 2025 (SigLIP 2, 2502.14786).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from curate.errors import RecipeError, nearest
from stages.common.encoder import Facts, Frame, Front, Precision, Tokens, Towers
from stages.common.encoder_resize import Resize
from stages.common.encoder_torch import Batch, Ints, Parts, TorchTowers, device_of, precision_of
from stages.common.model_folder import transformers_offline
from stages.common.weight_files import WANTED, digests, has_tokenizer, tokenizer_files

if TYPE_CHECKING:
    import torch

_LONGEST_TEXT = 65_536  # characters: no context is as long


class _Kind(NamedTuple):
    """What differs between `model_type`s. Configurations leave out what equals the class's default."""

    dim: int = 512  # projection_dim, unless said
    projected: bool = True  # else an embedding is as wide as the image tower
    padded: bool = False  # padding is part of the text, as in training
    positions: int = 77  # max_position_embeddings of the text tower, unless said
    offset: int = 0  # positions that no token takes: RoBERTa counts from padding's id + 1


_KINDS = {
    "clip": _Kind(),
    "siglip": _Kind(dim=768, projected=False, padded=True, positions=64),
    "chinese_clip": _Kind(positions=512),
    "altclip": _Kind(dim=768, positions=514, offset=2),
}
_CONFIGS = ("config.json", "preprocessor_config.json", "processor_config.json")


@dataclass(frozen=True)
class Transformers:
    """A folder as `save_pretrained` leaves it: config.json, safetensors, preprocessor and tokenizer.

    Nothing is asked of a hub, no code of the folder is run, and pickled weights are not loaded.
    """

    folder: str
    weights: str = ""  # a folder brings its own

    def facts(self) -> Facts:
        """From config.json."""
        config, kind = self._config()
        vision = config.get("vision_config") or {}
        if kind.projected:
            dim = config.get("projection_dim", kind.dim)
        else:
            dim = vision.get("hidden_size", kind.dim)
        return Facts(int(dim), int(vision.get("image_size", 224)))

    def assets(self) -> Mapping[str, str]:
        """SHA-256 of each file, by its name."""
        self._config()
        folder = Path(self.folder)
        configs = [path for name in _CONFIGS if (path := folder / name).is_file()]
        return digests([*self._weights(), *configs, *tokenizer_files(folder)], "model")

    def notices(self) -> frozenset[str]:
        """The folder's name; licences of weights differ, and no file of it is bound to tell them."""
        name = Path(self.folder).name
        return frozenset({f"{name}, by transformers (Apache-2.0); weights have a licence of their own"})

    def front(self) -> Front:
        """On a worker: nothing of the model is built."""
        config, kind = self._config()
        text = config.get("text_config") or {}
        positions = int(text.get("max_position_embeddings", kind.positions)) - kind.offset
        return _Front(self._processor().resize, self._tokenizer(), kind.padded, positions)

    def towers(self, precision: Precision, gpu: bool) -> Towers:
        """All weights are cast; torch sums in float32 within a layer."""
        _, kind = self._config()
        device, dtype = device_of(gpu), precision_of(precision, gpu)
        model, processor = self._load().to(device=device, dtype=dtype), self._processor()

        def images(pixels: torch.Tensor) -> torch.Tensor:
            return model.get_image_features(pixel_values=pixels).pooler_output  # type: ignore[no-any-return]

        def texts(batch: Batch) -> torch.Tensor:
            return model.get_text_features(**batch).pooler_output  # type: ignore[no-any-return]

        lengths = None if kind.padded else _lengths
        parts = Parts(self.facts().dim, processor.mean, processor.std, images, texts, lengths)
        return TorchTowers(parts, device, dtype)

    def _config(self) -> tuple[dict[str, Any], _Kind]:
        if find_spec("transformers") is None:
            raise RecipeError("model", "transformers is not installed", "pip install 'mmcurate[clip]'")
        if self.weights not in ("", self.folder):
            raise RecipeError("weights", "a folder brings its own weights", "leave `weights` out")
        path = Path(self.folder) / "config.json"
        try:
            config = json.loads(path.read_text("utf-8"))
        except OSError as error:
            raise RecipeError("model", f"cannot read {path}: {error.strerror}") from error
        except ValueError as error:
            raise RecipeError("model", f"{path} is not JSON: {error}") from error
        name = str(config.get("model_type")) if isinstance(config, dict) else "None"
        if name not in _KINDS:
            hint = (
                "siglip2 is the kind with images of any aspect"
                if name == "siglip2"
                else nearest(name, _KINDS)
            )
            raise RecipeError(
                "model", f"{path} has the model_type `{name}`, which is no encoder known here", hint
            )
        return config, _KINDS[name]

    def _weights(self) -> list[Path]:
        found = sorted(Path(self.folder).glob("model*.safetensors*"))
        if not found:
            raise RecipeError(
                "model",
                f"{self.folder} has no model.safetensors",
                "pytorch_model.bin is not loaded: save it again with safe_serialization",
            )
        return found

    def _load(self) -> Any:
        self._weights()
        auto = transformers_offline()
        from safetensors import SafetensorError

        try:
            model, report = auto.AutoModel.from_pretrained(
                self.folder,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                dtype="float32",
                output_loading_info=True,
            )
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise RecipeError("model", f"{self.folder} cannot be loaded: {error}") from error
        # it would go on with random values
        if lost := sorted(report["missing_keys"]) + sorted(map(str, report["mismatched_keys"])):
            raise RecipeError(
                "model", f"the weights of {self.folder} lack {len(lost)} tensors: {lost[0]} ..."
            )
        return model.eval().requires_grad_(False)

    def _tokenizer(self) -> Any:
        if not has_tokenizer(Path(self.folder)):
            raise RecipeError("model", f"{self.folder} has no tokenizer", f"it must hold {WANTED}")
        auto = transformers_offline()
        try:
            return auto.AutoTokenizer.from_pretrained(
                self.folder, local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError, TypeError) as error:
            raise RecipeError("model", f"the tokenizer of {self.folder} cannot be loaded: {error}") from error

    def _processor(self) -> _Processor:
        auto = transformers_offline()
        try:
            loaded = auto.AutoImageProcessor.from_pretrained(
                self.folder, local_files_only=True, trust_remote_code=False, backend="pil"
            )
        except (OSError, ValueError, KeyError) as error:
            raise RecipeError(
                "model", f"{self.folder} has no image processor: {error}", "wanted: preprocessor_config.json"
            ) from error
        return _processor(loaded, self.facts().image_size)


class _Processor(NamedTuple):
    resize: Resize
    mean: Sequence[float]
    std: Sequence[float]


def _processor(loaded: Any, size: int) -> _Processor:
    """The steps of an image processor, which must end in squares of `size`."""
    side, crop = loaded.size, loaded.crop_size if loaded.do_center_crop else None
    resample = int(loaded.resample)
    if side.shortest_edge and crop and not side.longest_edge and crop.height == crop.width:
        resize = Resize(crop.height, "shortest", resample, edge=side.shortest_edge, floor=True)
    elif side.height and side.height == side.width and crop in (None, side):
        resize = Resize(side.height, "squash", resample)
    else:
        raise RecipeError("model", f"images resized to {side} and cropped to {crop} are not supported")
    if not loaded.do_resize or resize.size != size or (resize.edge or size) < size:
        raise RecipeError("model", f"its image processor gives {resize.size} pixels, the model takes {size}")
    if not loaded.do_rescale or abs(loaded.rescale_factor * 255 - 1) > 1e-6:
        raise RecipeError("model", "its image processor does not scale pixels to 0..1")
    plain = not loaded.do_normalize
    mean, std = ([0.0] * 3, [1.0] * 3) if plain else (loaded.image_mean, loaded.image_std)
    return _Processor(resize, mean, std)


class _Front:
    """See `Front`."""

    def __init__(self, resize: Resize, tokenizer: Any, padded: bool, positions: int) -> None:
        self._resize = resize
        self._tokenizer = tokenizer
        self._padded = padded
        self._context = min(int(tokenizer.model_max_length), positions)
        # each call sets padding and length in the tokenizer itself
        self._lock = threading.Lock()

    def pixels(self, frame: Frame) -> Frame:
        """As the folder's image processor, its Pillow variant, up to rescaling."""
        return self._resize(frame)

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """`input_ids` and, where padding is masked, `attention_mask`: int64 (n, context)."""
        names = ["input_ids"] if self._padded else ["input_ids", "attention_mask"]
        if not texts:
            return {name: np.zeros((0, self._context), dtype=np.int64) for name in names}
        with self._lock:
            found = self._tokenizer(
                [text[:_LONGEST_TEXT] for text in texts],
                padding="max_length" if self._padded else "longest",
                truncation=True,
                max_length=self._context,
                return_tensors="np",
                return_attention_mask=True,
                **({} if self._padded else {"padding_side": "right"}),
            )
        return {name: found[name].astype(np.int64, copy=False) for name in names}


def _lengths(tokens: Tokens) -> Ints:
    """Tokens before the padding, which is masked."""
    found: Ints = tokens["attention_mask"].sum(axis=1)
    return found
