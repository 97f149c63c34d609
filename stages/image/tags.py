"""See `Tags`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, ClassVar, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import AfterValidator, Field, StringConstraints

from curate.errors import RecipeError
from curate.sample import Level, wrap
from curate.stage import Heavy, Model, Op, Out, fingerprint
from stages.common.encoder import Floats, Front, Precision
from stages.common.encoders import encoder
from stages.common.scoring import embedding_width, encoder_key, load_encoder, matrix

_LARGEST = 16 << 20  # bytes of a vocabulary
_TEXTS = 4096  # encoded at once, at most
_CELLS = 1 << 23  # cosines held at once, at most: 64 MiB

TagName: TypeAlias = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
File: TypeAlias = Annotated[str, StringConstraints(min_length=1), AfterValidator(os.path.abspath)]
# The name stands where {} is.
Template: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[^{}]*\{\}[^{}]*$")]


class Tags(Heavy):
    """Which names of a vocabulary an image's embedding is closest to: zero-shot tags.

        image_tags         list of string, best first; or, with a `name`, image_<name>_tags
        image_tag_scores   list of float32: the raw cosine of image and name, -1 to 1, never multiplied by a
                           model's logit scale. Ties are in the order of the names

    A name's embedding is that of the text `template` makes of it. Of several templates it is, as in CLIP's
    own zero-shot classifier (arXiv 2103.00020, 3.1.4), the mean of unit vectors, of unit length again.

    `model`, `weights` and `precision` must be those of the `clip` node that wrote the embeddings: only the
    text half is used, once for each worker and name. Cosines depend on the model: 0.2 to 0.3 is a hit for
    OpenAI's, around 0.1 for SigLIP. A tag is the best of what the vocabulary offers, right or not, so give
    `min_score`, or a vocabulary that covers what there is.
    """

    stage: Literal["tags"] = "tags"
    level: ClassVar[Level] = "image"
    # where weights and vocabulary lie is not what they are: assets() tells that
    incidental: ClassVar[frozenset[str]] = frozenset({"needs", "weights", "vocabulary"})

    vocabulary: tuple[TagName, ...] | File = Field(
        description="Names, or the path of a UTF-8 file with one a line (`#` begins a comment)."
    )
    model: str = Field(default="mini", description="As in the `clip` node.")
    weights: str = Field(default="", description="As in the `clip` node.")
    precision: Precision = Field(default="auto", description="As in the `clip` node.")
    embedding: str = Field(
        default="image_clip_embedding", pattern="^image_[a-z0-9_]+$", description="The column it reads."
    )
    template: Template | tuple[Template, ...] = Field(
        default="a photo of {}", description="One or several texts, with {} for the name."
    )
    top: int = Field(default=5, ge=1, description="Tags of an image at most.")
    min_score: float | None = Field(default=None, description="What is below is no tag.")
    name: str = Field(
        default="", pattern="^[a-z0-9_]*$", description="Tells the columns of two such nodes apart."
    )

    def reads(self) -> frozenset[str]:
        return frozenset({self.embedding})

    def writes(self) -> pa.Schema:
        begin = f"image_{self.name}_" if self.name else "image_"
        return pa.schema(
            [(f"{begin}tags", pa.list_(pa.string())), (f"{begin}tag_scores", pa.list_(pa.float32()))]
        )

    def assets(self) -> Mapping[str, str]:
        return {**encoder(self.model, self.weights).assets(), "vocabulary": fingerprint(self._names())}

    def notices(self) -> frozenset[str]:
        return encoder(self.model, self.weights).notices()

    def model_key(self) -> str:
        return encoder_key(self.model, self.weights, self.precision)

    def load(self, gpu: bool) -> Model:
        return load_encoder(self.model, self.weights, self.precision, gpu)

    def check_columns(self, columns: pa.Schema) -> None:
        width = embedding_width(columns, self.embedding)
        dim = encoder(self.model, self.weights).facts().dim
        if width != dim:
            raise RecipeError(
                "model",
                f"{self.model} makes embeddings of {dim} numbers, {self.embedding} has {width}",
                "name the model of the `clip` node that wrote it",
            )
        self._names()

    def _names(self) -> tuple[str, ...]:
        """In the order of the alphabet, each once."""
        if isinstance(self.vocabulary, str):
            return _listed(Path(self.vocabulary))
        if not self.vocabulary:
            raise RecipeError("vocabulary", "it holds no name")
        return tuple(sorted(set(self.vocabulary)))

    def _texts(self) -> list[str]:
        """All names by the first template, then by the next."""
        templates = (self.template,) if isinstance(self.template, str) else self.template
        return [template.replace("{}", name) for template in templates for name in self._names()]

    def open_around(self, model: Model) -> Op:
        names = self._names()
        bank = _averaged(
            _encoded(encoder(self.model, self.weights).front(), model, self._texts()), len(names)
        )
        top, least = min(self.top, len(names)), self.min_score
        words, tags = pa.array(names, pa.string()), self.writes().names

        def op(table: pa.Table) -> Out:
            rows, present = matrix(table[self.embedding])
            step = max(1, _CELLS // len(names))
            found = [_best(rows[i : i + step] @ bank.T, top) for i in range(0, len(rows), step)]
            places, scores = (
                np.concatenate([np.zeros((0, top), kind), *(part[i] for part in found)])
                for i, kind in enumerate((np.int64, np.float32))
            )
            shown = np.repeat(present[:, None], top, axis=1)
            if least is not None:
                shown &= scores >= np.float32(least)
            counts, absent = shown.sum(axis=1), pa.array(~present)
            values = (words.take(pa.array(places[shown])), pa.array(scores[shown]))
            lists = [wrap(some, counts, absent) for some in values]
            return Out(dict(zip(tags, lists, strict=True)))

        return op


@lru_cache(maxsize=16)
def _read(path: Path, size: int, changed: int) -> tuple[str, ...]:
    """The names in a file of that size, changed at that time."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecipeError("vocabulary", f"{path} is not UTF-8: byte {error.start}") from error
    names = {line.strip() for line in text.splitlines() if not line.lstrip().startswith("#")} - {""}
    if not names:
        raise RecipeError("vocabulary", f"{path} holds no name", "one a line")
    return tuple(sorted(names))


def _listed(path: Path) -> tuple[str, ...]:
    try:
        status = path.stat()
        if status.st_size > _LARGEST:
            raise RecipeError("vocabulary", f"{path} is larger than {_LARGEST >> 20} MiB")
        return _read(path, status.st_size, status.st_mtime_ns)
    except OSError as error:
        hint = "a vocabulary of one name is written in brackets: [name]"
        raise RecipeError("vocabulary", f"{path} cannot be read: {error.strerror}", hint) from error


def _encoded(front: Front, model: Model, texts: list[str]) -> Floats:
    parts = [
        model(front.tokens(texts[start : start + _TEXTS]))["embedding"]
        for start in range(0, len(texts), _TEXTS)
    ]
    return np.concatenate(parts)


def _averaged(embeddings: Floats, names: int) -> npt.NDArray[np.float64]:
    """Unit vectors of (templates * names, dim) to one a name: their mean, of unit length again."""
    wide = embeddings.astype(np.float64)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    mean = wide.reshape(-1, names, wide.shape[1]).mean(axis=0)
    found: npt.NDArray[np.float64] = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    return found


def _best(
    cosines: npt.NDArray[np.float64], top: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Columns and values of the largest in each row, largest first, the first of equals first.

    Compared as float32: how BLAS ordered its sums in float64 does not show in that.
    """
    scores = cosines.astype(np.float32)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :top]
    return order, np.take_along_axis(scores, order, axis=1)
