"""ViLT and BLIP of transformers as matchers: one network sees image and text together.

ViLT: Kim et al. 2021 (arXiv 2102.03334), github.com/dandelin/ViLT. BLIP: Li et al. 2022 (arXiv 2201.12086),
github.com/salesforce/BLIP.
"""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from curate.stage import Arrays, Model
from stages.common.encoder import Frame, Precision, Tokens
from stages.common.encoder_resize import Resize
from stages.common.encoder_torch import Inputs, device_of, precision_of
from stages.common.matcher import MatchFacts, MatchFront
from stages.common.model_folder import ModelFolder, require, transformers_offline

if TYPE_CHECKING:
    import torch

Channels: TypeAlias = Sequence[float]  # a number for red, green and blue

_PACKAGES = ("torch", "transformers")
_TOKENIZER = ("tokenizer.json", "vocab.txt")
_TOKENIZER_MORE = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
_LONGEST_TEXT = 65_536  # characters; what is cut is beyond the context
# Images, and pairs, at once. On a CPU more than one is no faster, and alone a score is the same to the bit.
_AT_ONCE = {"cpu": 1, "cuda": 64}

_HALF = (0.5, 0.5, 0.5)
_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


class Judge(NamedTuple):
    """A loaded model: what differs between families."""

    mean: Channels  # of channels, over 0..1
    std: Channels
    images: Callable[[torch.Tensor], torch.Tensor]  # normalised (n, 3, h, w) -> (n, length, width)
    # such features, ids and mask (n, width) -> probabilities (n,), float32
    match: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


class Judged:
    """Scores of pairs. Only images of one size are computed together: none is padded."""

    def __init__(self, judge: Judge, device: torch.device, dtype: torch.dtype, at_once: int) -> None:
        self._judge = judge
        self._inputs = Inputs(judge.mean, judge.std, device, dtype)
        self._at_once = at_once

    def __call__(self, arrays: Arrays) -> Arrays:
        import torch

        sizes, group = np.unique(arrays["sizes"], axis=0, return_inverse=True)
        order = np.argsort(group, kind="stable")
        scores = np.zeros(len(arrays["pairs"]), dtype=np.float32)
        with torch.inference_mode():
            for number, (height, width) in enumerate(sizes):
                for images in self._cut(order[group[order] == number]):
                    pixels = arrays["pixels"][images, :height, :width]
                    features = self._judge.images(self._inputs.normalised(pixels))
                    for pairs, found in self._pairs(arrays, images, features):
                        scores[pairs] = found.cpu().numpy()
        return {"score": scores}

    def _pairs(
        self, arrays: Arrays, images: npt.NDArray[np.int64], features: torch.Tensor
    ) -> Iterator[tuple[npt.NDArray[np.int64], torch.Tensor]]:
        """Positions of the pairs with these images, and their scores; texts of like length together."""

        place = np.full(len(arrays["sizes"]), -1, dtype=np.int64)
        place[images] = np.arange(len(images))
        image, text = arrays["pairs"].T
        lengths = arrays["lengths"][text]
        own = np.flatnonzero(place[image] >= 0)
        for pairs in self._cut(own[np.argsort(lengths[own], kind="stable")]):
            width = int(lengths[pairs].max())
            ids = self._inputs.moved(arrays["tokens"][text[pairs], :width])
            mask = self._inputs.moved((np.arange(width) < lengths[pairs, None]).astype(np.int64))
            chosen = features[self._inputs.moved(place[image[pairs]])]
            yield pairs, self._judge.match(chosen, ids, mask)

    def _cut(self, places: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
        return (places[i : i + self._at_once] for i in range(0, len(places), self._at_once))


class _Front:
    """See `MatchFront`."""

    def __init__(self, resize: Callable[[Frame], Frame], tokenizer: Any, context: int) -> None:
        self._resize = resize
        self._tokenizer = tokenizer
        self._context = context
        self._lock = threading.Lock()  # a tokenizer is changed by a call that cuts

    def pixels(self, frame: Frame) -> Frame:
        return self._resize(frame)

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """`tokens`: int64 (n, longest), zeros behind the last; `lengths`: int64 (n,)."""
        with self._lock:
            found = self._tokenizer(
                [text[:_LONGEST_TEXT] for text in texts], truncation=True, max_length=self._context
            )["input_ids"]
        lengths = np.array([len(ids) for ids in found], dtype=np.int64)
        tokens = np.zeros((len(found), lengths.max(initial=0)), dtype=np.int64)
        for row, ids in zip(tokens, found, strict=True):
            row[: len(ids)] = ids
        return {"tokens": tokens, "lengths": lengths}


@dataclass(frozen=True)
class _Fused:
    """What the two have in common."""

    folder: ModelFolder

    name: ClassVar[str]
    architecture: ClassVar[str]  # the class of transformers with the head that matches
    published: ClassVar[str]

    def assets(self) -> Mapping[str, str]:
        return self.folder.assets(self._tokenizer_files())

    def notices(self) -> frozenset[str]:
        return frozenset(
            {f"{self.name}, weights of {self.folder.path.name}: they have a licence of their own"}
        )

    def _tokenizer_files(self) -> Any:
        return self.folder.tokenizer(_TOKENIZER, _TOKENIZER_MORE)

    def _check(self) -> Mapping[str, Any]:
        """What config.json says of a model that is all there."""
        config = self.folder.config()
        said = config.get("architectures") or [self.architecture]
        if self.architecture not in said:
            raise self.folder.error(
                f"{self.folder.path} holds a {said[0]}: without the head that matches",
                f"{self.architecture} is needed, such as {self.published}",
            )
        require(_PACKAGES, self.name)
        self._tokenizer_files()
        self.folder.weights()
        return config

    def _tokenizer(self) -> Any:
        tokenizer = transformers_offline().BertTokenizer
        try:
            return tokenizer.from_pretrained(str(self.folder.path), local_files_only=True)
        except (OSError, ValueError) as error:
            raise self.folder.error(f"{self.folder.path} holds no tokenizer of BERT's: {error}") from error

    def _loaded(self, device: torch.device, dtype: torch.dtype) -> Any:
        import torch

        cls = getattr(transformers_offline(), self.architecture)
        path = self.folder.path
        try:
            model, info = cls.from_pretrained(
                str(path), local_files_only=True, dtype=torch.float32, output_loading_info=True
            )
        except pickle.UnpicklingError as error:
            raise self.folder.error(
                f"{path} holds more than tensors, and is not loaded", "save it as safetensors"
            ) from error
        except (OSError, ValueError, RuntimeError) as error:
            raise self.folder.error(f"cannot load {path}: {error}") from error
        if missing := sorted(info["missing_keys"]):
            # transformers fills them with random numbers, and warns
            raise self.folder.error(
                f"{path} lacks {len(missing)} weights of a {self.architecture}: {missing[0]}"
            )
        return model.to(device=device, dtype=dtype).eval().requires_grad_(False)

    def _statistics(self, mean: Channels, std: Channels) -> tuple[Channels, Channels]:
        said = self.folder.images()
        return said.get("image_mean", mean), said.get("image_std", std)


class Vilt(_Fused):
    """ViLT: patches and words go through one transformer; the head ranks texts for an image."""

    name: ClassVar[str] = "ViLT (arXiv 2102.03334)"
    architecture: ClassVar[str] = "ViltForImageAndTextRetrieval"
    published: ClassVar[str] = "dandelin/vilt-b32-finetuned-coco"

    def facts(self) -> MatchFacts:
        self._check()
        return MatchFacts(self._resize().shorter)

    def front(self) -> MatchFront:
        config = self.folder.config()
        return _Front(
            self._resize().__call__, self._tokenizer(), int(config.get("max_position_embeddings", 40))
        )

    def _resize(self) -> ViltResize:
        said = self.folder.images()
        size = said.get("size", 384)
        shorter = size.get("shortest_edge", 384) if isinstance(size, dict) else size
        return ViltResize(int(shorter), int(said.get("size_divisor", 32)), int(said.get("resample", 3)))

    def load(self, precision: Precision, gpu: bool) -> Model:
        device, dtype = device_of(gpu), precision_of(precision, gpu)
        model = self._loaded(device, dtype)
        mean, std = self._statistics(_HALF, _HALF)
        return Judged(_vilt(model, mean, std), device, dtype, _AT_ONCE[device.type])


class ViltResize(NamedTuple):
    """As transformers' ViltImageProcessor: the shorter side to `shorter`, the longer to 5/3 of it at most."""

    shorter: int = 384
    divisor: int = 32
    resample: int = 3  # Pillow's number: bicubic

    def __call__(self, frame: Frame) -> Frame:
        from PIL import Image

        height, width = self.size(*frame.shape[:2])
        return np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling(self.resample)))

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Both sides multiples of `divisor`. One patch where the processor itself would leave nothing."""
        longest = int(1333 / 800 * self.shorter)  # the aspect of COCO's largest
        scale = self.shorter / min(height, width)
        sides = [self.shorter if side == min(height, width) else scale * side for side in (height, width)]
        if max(sides) > longest:
            shrink = longest / max(sides)
            sides = [shrink * side for side in sides]
        tall, wide = (max(1, int(side + 0.5) // self.divisor) * self.divisor for side in sides)
        return tall, wide


def _vilt(model: Any, mean: Channels, std: Channels) -> Judge:
    """The model's own parts, but for the choice of patches.

    Its embedding takes `max_image_length` patches at random, and all of them in random order where there are
    no more. Here all are taken, in order: the same to a transformer, and the same each time.
    """
    import torch

    parts = model.vilt.embeddings

    def images(pixels: torch.Tensor) -> torch.Tensor:
        patches = parts.patch_embeddings(pixels)
        first, others = parts.position_embeddings.split([1, parts.position_embeddings.shape[1] - 1], dim=1)
        side = model.config.image_size // model.config.patch_size
        places = torch.nn.functional.interpolate(
            others.transpose(1, 2).unflatten(2, (side, side)),
            size=patches.shape[2:],
            mode="bilinear",
            align_corners=True,
        )
        placed = (patches + places).flatten(2).transpose(1, 2)
        start = (parts.cls_token + first).expand(len(placed), -1, -1)
        return torch.cat([start, placed], dim=1)

    def match(features: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        seen = torch.ones(features.shape[:2], dtype=mask.dtype, device=mask.device)
        found = model(input_ids=ids, attention_mask=mask, image_embeds=features, pixel_mask=seen)
        return found.logits[:, 0].float().sigmoid()  # type: ignore[no-any-return]

    return Judge(mean, std, images, match)


class Blip(_Fused):
    """BLIP: a text encoder that attends to the image, and a head of two classes, the second is `match`."""

    name: ClassVar[str] = "BLIP (arXiv 2201.12086)"
    architecture: ClassVar[str] = "BlipForImageTextRetrieval"
    published: ClassVar[str] = "Salesforce/blip-itm-base-coco"

    def facts(self) -> MatchFacts:
        return MatchFacts(self._size(self._check()))

    def _size(self, config: Mapping[str, Any]) -> int:
        return int((config.get("vision_config") or {}).get("image_size", 384))

    def front(self) -> MatchFront:
        config = self.folder.config()
        resample = int(self.folder.images().get("resample", 3))
        context = int((config.get("text_config") or {}).get("max_position_embeddings", 512))
        resize = Resize(self._size(config), "squash", resample)
        return _Front(resize.__call__, self._tokenizer(), context)

    def load(self, precision: Precision, gpu: bool) -> Model:
        device, dtype = device_of(gpu), precision_of(precision, gpu)
        model = self._loaded(device, dtype)
        mean, std = self._statistics(_CLIP_MEAN, _CLIP_STD)
        return Judged(_blip(model, mean, std), device, dtype, _AT_ONCE[device.type])


def _blip(model: Any, mean: Channels, std: Channels) -> Judge:
    import torch

    def images(pixels: torch.Tensor) -> torch.Tensor:
        return model.vision_model(pixel_values=pixels).last_hidden_state  # type: ignore[no-any-return]

    def match(features: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        states = model.text_encoder(
            input_ids=ids,
            attention_mask=mask,
            encoder_hidden_states=features,
            encoder_attention_mask=torch.ones(features.shape[:2], dtype=mask.dtype, device=mask.device),
        ).last_hidden_state
        return model.itm_head(states[:, 0]).float().softmax(dim=-1)[:, 1]  # type: ignore[no-any-return]

    return Judge(mean, std, images, match)
