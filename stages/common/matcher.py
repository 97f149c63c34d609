"""Models that say how well an image and a text match, as the stage that uses one sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from curate.stage import Arrays, Model
from stages.common.encoder import Encoder, Frame, Precision, Tokens
from stages.common.internvl_c import InternVLC, is_internvl_c
from stages.common.model_folder import ModelFolder

Family: TypeAlias = Literal["auto", "vilt", "blip", "internvl_c"]
Pixels: TypeAlias = Sequence[Frame]


class MatchFacts(NamedTuple):
    """What is known without loading weights."""

    short_side: int  # pixels that an image is resized to, at least


class MatchFront(Protocol):
    """From what a sample holds to what the model takes."""

    def pixels(self, frame: Frame) -> Frame:
        """One image, resized as the model's own processor does: (height, width, 3) uint8."""

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """Texts as the model's own tokenizer gives them, cut to its context."""


class Matcher(Protocol):
    """A model of one of the families, from its folder."""

    def facts(self) -> MatchFacts:
        """RecipeError (place `model`) where there is no such model, or a package is missing."""

    def assets(self) -> Mapping[str, str]:
        """SHA-256 of the files it is made of."""

    def notices(self) -> frozenset[str]:
        """What a data card says of it."""

    def front(self) -> MatchFront:
        """On a worker."""

    def load(self, precision: Precision, gpu: bool) -> Model:
        """Where the model lives. What `packed` makes goes in, `score` (pairs,) float32 comes out."""


def packed(images: Pixels, tokens: Tokens, pairs: Sequence[tuple[int, int]]) -> Arrays:
    """What crosses to the model.

    pixels   uint8 (images, height, width, 3), each at the top left, zeros beside smaller ones
    sizes    int64 (images, 2), height and width of each
    pairs    int64 (pairs, 2), the image and the text that are judged together
    and the tokens, whose first axis is texts.
    """
    sizes = np.array([image.shape[:2] for image in images], dtype=np.int64)
    pixels = np.zeros((len(images), *sizes.max(axis=0), 3), dtype=np.uint8)
    for place, image in zip(pixels, images, strict=True):
        place[: image.shape[0], : image.shape[1]] = image
    return {"pixels": pixels, "sizes": sizes, "pairs": np.array(pairs, dtype=np.int64), **tokens}


def matcher(model: str, family: Family) -> Matcher:
    """The model in a folder; `auto` reads its family off config.json."""
    folder = ModelFolder(model)
    if family == "auto":
        family = _family(folder)
    if family == "internvl_c":
        return _Contrastive(InternVLC(model))
    from stages.common import matcher_transformers as fused

    return fused.Vilt(folder) if family == "vilt" else fused.Blip(folder)


def _family(folder: ModelFolder) -> Family:
    config = folder.config()
    kind = config.get("model_type")
    if is_internvl_c(config):
        return "internvl_c"
    if kind == "vilt":
        return "vilt"
    if kind == "blip":
        return "blip"
    raise folder.error(
        f"{folder.path} holds a model of type {kind}, which matches no images and texts here",
        "types: vilt, blip, internvl (InternVL-14B-224px). For CLIP and its like there is the stage `clip`",
    )


@dataclass(frozen=True)
class _Contrastive:
    """An encoder of images and texts as a matcher: the cosine of their embeddings."""

    encoder: Encoder

    def facts(self) -> MatchFacts:
        return MatchFacts(self.encoder.facts().image_size)

    def assets(self) -> Mapping[str, str]:
        return self.encoder.assets()

    def notices(self) -> frozenset[str]:
        return self.encoder.notices()

    def front(self) -> MatchFront:
        return self.encoder.front()

    def load(self, precision: Precision, gpu: bool) -> Model:
        towers = self.encoder.towers(precision, gpu)

        def run(arrays: Arrays) -> Arrays:
            image, text = (arrays["pairs"][:, i] for i in (0, 1))
            images = towers.images(arrays["pixels"])
            texts = towers.texts({"tokens": arrays["tokens"]})
            score: npt.NDArray[np.float32] = np.einsum("nd,nd->n", images[image], texts[text])
            return {"score": score}

        return run
