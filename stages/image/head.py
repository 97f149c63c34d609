"""See `Head`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import AfterValidator, Field, StringConstraints

from curate.errors import RecipeError
from curate.sample import Level
from curate.stage import Map, Op, Out
from stages.common import head_weights
from stages.common.head_weights import SUFFIXES, Activation, Output
from stages.common.scoring import embedding_width, matrix
from stages.common.weight_files import digest


class Head(Map):
    """A score that a small network gives an image's embedding: aesthetics, nudity, watermarks.

        image_<name>   float32

    `weights` is the network: a chain of Linear layers in a .safetensors, an .npz, or a state dict of torch
    (.pth, .pt; read without torch); or an .onnx from (n, width) to (n, outputs), which is first looked at
    when it is loaded. It must have been trained on embeddings of the very model that the `clip` node names:
    two models of one width take each other's heads and score noise. Embeddings are brought to unit length
    first, as all of these have it:

    - LAION's aesthetic predictor (github.com/LAION-AI/aesthetic-predictor: one Linear, ViT-L/14 or B/32): the
      opinion of a panel, 1 to 10. LAION-Aesthetics kept {min: 4.5} or {min: 5}.
    - Improved aesthetic predictor (github.com/christophschuhmann/improved-aesthetic-predictor: five Linear
      with no activation between, OpenAI's ViT-L/14): likewise, {min: 5} to {min: 6.5}.
    - LAION's CLIP-based-NSFW-Detector: `h14_nsfw.pth` for ViT-H/14 with `activation: relu`; for ViT-L/14 (its
      port to torch, with a mean and a variance before the first layer) `activation: relu` and `output:
      sigmoid`. 0 to 1, {max: 0.5}.

    Layers come in the order of the numbers in their names. `activation` is put between them, but not between
    two that stand side by side in a Sequential (layers.15, layers.16). Dropout does nothing here. Keras files
    are not read: write each Dense's kernel, transposed, as `<n>.weight` and its bias as `<n>.bias` into an
    .npz, with numbers that leave gaps (0, 2, 4).
    """

    stage: Literal["head"] = "head"
    level: ClassVar[Level] = "image"
    # where the weights lie is not what they are: assets() tells that
    incidental: ClassVar[frozenset[str]] = frozenset({"weights"})

    name: str = Field(pattern="^[a-z][a-z0-9_]*$", description="Of its column: `aesthetic` ...")
    weights: Annotated[str, StringConstraints(min_length=1), AfterValidator(os.path.abspath)] = Field(
        description="Path of the network, relative to where the command is given."
    )
    embedding: str = Field(
        default="image_clip_embedding", pattern="^image_[a-z0-9_]+$", description="The column it reads."
    )
    activation: Activation = Field(default="none", description="Between layers.")
    output: Output = Field(
        default="raw", description="`sigmoid` of the one value, or the last one's share of all."
    )

    def reads(self) -> frozenset[str]:
        return frozenset({self.embedding})

    def writes(self) -> pa.Schema:
        return pa.schema([(f"image_{self.name}", pa.float32())])

    def assets(self) -> Mapping[str, str]:
        return {"weights": digest(self._path, "weights")}

    def notices(self) -> frozenset[str]:
        found = digest(self._path, "weights")
        return frozenset({f"`head` {self.name}: {self._path.name}, SHA-256 {found[:16]}"})

    @property
    def _path(self) -> Path:
        return Path(self.weights)

    def check_columns(self, columns: pa.Schema) -> None:
        """An .onnx is looked at only when it is loaded."""
        if self._path.suffix not in SUFFIXES:
            raise RecipeError(
                "weights", f"{self._path.name} is none of the forms it reads: {', '.join(SUFFIXES)}"
            )
        width = embedding_width(columns, self.embedding)
        digest(self._path, "weights")
        if self._path.suffix == ".onnx":
            return
        layers = head_weights.layers(self._path, "weights")
        self._check_shape(width, layers[0].weight.shape[1], len(layers[-1].weight))

    def _check_shape(self, given: int, taken: int, outputs: int) -> None:
        if given != taken:
            raise RecipeError(
                "weights",
                f"{self._path.name} takes embeddings of {taken} numbers, {self.embedding} has {given}",
                "a head belongs to the model it was trained on",
            )
        if (outputs == 1) == (self.output == "softmax_last"):
            raise RecipeError(
                "output", f"{self._path.name} gives {outputs} values: {self.output} does not fit that"
            )

    def open(self) -> Op:
        if self._path.suffix == ".onnx":
            run = head_weights.onnx(self._path, self.output)
        else:
            layers = head_weights.layers(self._path, "weights")
            run = head_weights.network(layers, self.activation, self.output)

        def op(table: pa.Table) -> Out:
            rows, present = matrix(table[self.embedding])
            scores = np.zeros(len(rows), dtype=np.float32)
            if present.any():
                scores[present] = run(rows[present])
            (name,) = self.writes().names
            return Out({name: pa.array(scores, mask=~present)})

        return op
