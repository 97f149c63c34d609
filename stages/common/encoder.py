"""What an image-text encoder is to the stages that use one, whatever library it comes from.

Three parts, because they live in three places: facts, which a plan needs before anything is loaded; a front,
light, on every worker; the towers, where the model's GPU is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Frame: TypeAlias = npt.NDArray[np.uint8]  # (height, width, 3), upright sRGB
Floats: TypeAlias = npt.NDArray[np.float32]
Tokens: TypeAlias = Mapping[str, npt.NDArray[Any]]  # first axis: texts

Precision: TypeAlias = Literal["auto", "fp32", "bf16", "fp16"]


class Facts(NamedTuple):
    """What is known without loading weights."""

    dim: int  # of an embedding
    image_size: int  # pixels a side that the image tower takes


class Front(Protocol):
    """From what a sample holds to what the towers take."""

    def pixels(self, frame: Frame) -> Frame:
        """One image, resized and cropped as the model's own transform does: (size, size, 3) uint8."""

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """Texts as the model's own tokenizer gives them, cut to its context."""


class Towers(Protocol):
    """The loaded model. Embeddings are float32 of unit length, shape (n, dim)."""

    def images(self, pixels: Frame) -> Floats:
        """Embeddings of (n, size, size, 3) uint8; normalising to mean and deviation is done here."""

    def texts(self, tokens: Tokens) -> Floats:
        """Embeddings of tokenised texts."""


class Encoder(Protocol):
    """A model by name and weights."""

    def facts(self) -> Facts:
        """Raises RecipeError (place `model` or `weights`) where there is no such model."""

    def assets(self) -> Mapping[str, str]:
        """Content hashes of the files it is made of; a tag of a hub where that names the weights."""

    def notices(self) -> frozenset[str]:
        """What a data card says of it."""

    def front(self) -> Front:
        """On a worker."""

    def towers(self, precision: Precision, gpu: bool) -> Towers:
        """Where the model lives. `auto`: bf16 on a GPU that has it (else fp16), fp32 on a CPU."""
