"""See `Clip`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate.sample import Level, single, wrap
from curate.stage import Heavy, Map, Model, Needs, Op, Out
from stages.common.columns import Detail, frames, pixels_of
from stages.common.encoder import Floats, Precision
from stages.common.encoders import encoder
from stages.common.scoring import Recent, encoder_key, load_encoder, matrix, vector_type, vectors

_NAME = "^[a-z][a-z0-9_]*$"


class Clip(Map):
    """How well image and text agree: the cosine of their embeddings by a CLIP-like model.

        image_clip_embedding   fixed-size list of float16, of unit length; text_clip_embedding likewise
        image_clip             the cosine of image and text, raw: -1 to 1, never multiplied by a model's logit
                               scale. Within a document, of the image and the nearest text before or after
                               it, the better of the two
        image_clip_all         the best cosine with any text of its sample
        image_clip_text        which text of the sample is its own: the assignment of images to different
                               texts that makes the sum of cosines largest, as in MMC4 (arXiv 2304.06939);
                               null for those left over where images outnumber texts

    What a good cosine is depends on the model: the usual bounds are 0.28 to 0.3 for OpenAI's ViT-B/32 and
    L/14 (LAION-400M, arXiv 2111.02114; LAION-5B, arXiv 2210.08402), around 0.1 for SigLIP, 0.15 to 0.2 for
    images in documents (MMC4). run.json holds the percentiles of each run; a bound may be one of them
    (`{image_clip: {min_quantile: 0.7}}` keeps the best 30 %, DataComp's baseline, arXiv 2304.14108).

    `model` is `mini` (ours, shipped, for the demo and for tests), a name of open_clip with `weights` (a tag
    of its list, a file or a folder), `local-dir:FOLDER` of open_clip, `hf:FOLDER` of transformers (CLIP,
    SigLIP, Chinese-CLIP, AltCLIP), or `internvl-c:FOLDER`. Images go through the model's own transform, from
    the canonical decode or, with `pixels: full`, from the undiminished one. What occurs often is encoded
    once. Embeddings are kept in the run, so that a changed caption encodes no image, and duplicates and tags
    need no second pass.
    """

    stage: Literal["clip"] = "clip"
    level: ClassVar[Level] = "image"
    # where the weights lie is not what they are: assets() tells that
    incidental: ClassVar[frozenset[str]] = frozenset({"needs", "weights"})

    model: str = Field(
        default="mini",
        description="`mini`, a name of open_clip, `local-dir:`, `hf:` or `internvl-c:` and a folder.",
    )
    weights: str = Field(default="", description="Of an open_clip model: a tag, a file or a folder.")
    precision: Precision = Field(
        default="auto", description="`auto`: bf16 (or fp16) on a GPU, fp32 on the CPU."
    )
    pixels: Detail = Field(default="canonical", description="`full`: undiminished, slower.")
    name: str = Field(default="clip", pattern=_NAME, description="In the names of its columns.")
    needs: Needs = Field(default=Needs(), description="GPUs and copies of the model.")

    def by_level(self) -> tuple[tuple[Level, Map], ...]:
        shared = {field: getattr(self, field) for field in ("model", "weights", "precision", "name", "needs")}
        return (
            ("image", ImageTower(**shared, pixels=self.pixels)),
            ("text", TextTower(**shared)),
            ("sample", Cosines(name=self.name)),
        )

    def reads(self) -> frozenset[str]:
        parts = [stage for _, stage in self.by_level()]
        return frozenset().union(*(p.reads() for p in parts)) - set(self.writes().names)

    def writes(self) -> pa.Schema:
        return pa.schema([field for _, stage in self.by_level() for field in stage.writes()])

    def assets(self) -> Mapping[str, str]:
        return encoder(self.model, self.weights).assets()

    def notices(self) -> frozenset[str]:
        return encoder(self.model, self.weights).notices()

    def open(self) -> Op:
        raise TypeError("clip works on several levels: open what by_level() gives")


class _Tower(Heavy):
    """One half of an encoder."""

    incidental: ClassVar[frozenset[str]] = frozenset({"needs", "weights"})

    model: str
    weights: str
    precision: Precision
    name: str

    def assets(self) -> Mapping[str, str]:
        return encoder(self.model, self.weights).assets()

    def model_key(self) -> str:
        return encoder_key(self.model, self.weights, self.precision)

    def load(self, gpu: bool) -> Model:
        return load_encoder(self.model, self.weights, self.precision, gpu)

    @property
    def column(self) -> str:
        return f"{type(self).level}_{self.name}_embedding"

    @property
    def dim(self) -> int:
        return encoder(self.model, self.weights).facts().dim

    def writes(self) -> pa.Schema:
        return pa.schema([(self.column, vector_type(self.dim))])

    def check_columns(self, columns: pa.Schema) -> None:
        """RecipeError where there is no such model."""
        encoder(self.model, self.weights).facts()


class ImageTower(_Tower):
    """Embeddings of images."""

    level: ClassVar[Level] = "image"

    pixels: Detail

    def reads(self) -> frozenset[str]:
        return frozenset({self._source})

    @property
    def _source(self) -> str:
        return pixels_of(self.pixels)

    def short_side(self) -> int:
        return encoder(self.model, self.weights).facts().image_size

    def open_around(self, model: Model) -> Op:
        front = encoder(self.model, self.weights).front()
        shown: list[npt.NDArray[np.uint8]] = []

        def embed(places: list[int]) -> Floats:
            return model({"pixels": np.stack([shown[i] for i in places])})["embedding"]

        recent = Recent(self.dim, embed)

        def op(table: pa.Table) -> Out:
            shown[:] = [front.pixels(frame) for frame in frames(table[self._source]) if frame is not None]
            found = recent([hashlib.blake2b(image.data, digest_size=16).digest() for image in shown])
            present = np.ones(table.num_rows, dtype=bool)
            return Out({self.column: vectors(found, present, self.dim)})

        return op


class TextTower(_Tower):
    """Embeddings of texts."""

    level: ClassVar[Level] = "text"

    def reads(self) -> frozenset[str]:
        return frozenset({"text_body"})

    def open_around(self, model: Model) -> Op:
        front = encoder(self.model, self.weights).front()
        shown: list[str] = []

        def embed(places: list[int]) -> Floats:
            return model(front.tokens([shown[i] for i in places]))["embedding"]

        recent = Recent(self.dim, embed)

        def op(table: pa.Table) -> Out:
            texts = single(table["text_body"])
            present: npt.NDArray[np.bool_] = pc.is_valid(texts).to_numpy(zero_copy_only=False)
            shown[:] = texts.drop_null().to_pylist()
            found = recent([text.encode() for text in shown])
            return Out({self.column: vectors(found, present, self.dim)})

        return op


class Cosines(Map):
    """From embeddings to scores. Cheaper than looking results up, so nothing is kept of it."""

    level: ClassVar[Level] = "sample"
    kept: ClassVar[bool] = False
    batch: ClassVar[int] = 64  # documents of hundreds of images and texts, as float64

    name: str

    def reads(self) -> frozenset[str]:
        return frozenset({"layout", "text_index", *self._embeddings()})

    def _embeddings(self) -> tuple[str, str]:
        return f"image_{self.name}_embedding", f"text_{self.name}_embedding"

    def writes(self) -> pa.Schema:
        begin = f"image_{self.name}"
        return pa.schema(
            [(begin, pa.float32()), (f"{begin}_all", pa.float32()), (f"{begin}_text", pa.int32())]
        )

    def open(self) -> Op:
        def op(table: pa.Table) -> Out:
            (images, image_ends), (texts, text_ends) = (_lists(table[n]) for n in self._embeddings())
            image, seen = matrix(images)
            text, read = matrix(texts)
            near, best = np.full((2, len(image)), np.nan)
            own = np.full(len(image), -1, dtype=np.int64)
            n_images, n_texts = np.diff(image_ends), np.diff(text_ends)
            one = np.flatnonzero((n_images == 1) & (n_texts == 1))
            i, t = image_ends[one], text_ends[one]
            near[i] = np.where(seen[i] & read[t], (image[i] * text[t]).sum(axis=1), np.nan)
            best[i] = near[i]
            own[i] = np.where(np.isnan(near[i]), -1, 0)
            layouts = table["layout"]
            for row in np.flatnonzero((n_images > 0) & (n_texts > 0) & (n_images + n_texts > 2)):
                some = slice(image_ends[row], image_ends[row + 1])
                words = slice(text_ends[row], text_ends[row + 1])
                # not BLAS, whose sums depend on how many there are
                cosines = np.einsum("id,td->it", image[some], text[words])
                cosines[~seen[some]] = np.nan
                cosines[:, ~read[words]] = np.nan
                near[some], best[some], own[some] = _in_document(cosines, layouts[int(row)].as_py())
            place = own + np.repeat(text_ends[:-1], n_images)
            original = _lists(table["text_index"])[0].take(pa.array(place, mask=own < 0))
            found = dict(zip(self.writes().names, (_scores(near), _scores(best), original), strict=True))
            return Out({name: wrap(values, n_images) for name, values in found.items()})

        return op


def _lists(column: pa.ChunkedArray) -> tuple[pa.Array, npt.NDArray[np.int64]]:
    """All items of a list column, and where each row's begin and end, shape (rows + 1,)."""
    values = single(column)
    lengths = pc.list_value_length(values).to_numpy(zero_copy_only=False)
    return values.flatten(), np.r_[0, np.cumsum(lengths)].astype(np.int64)


def _scores(values: npt.NDArray[np.float64]) -> pa.Array:
    return pa.array(values.astype(np.float32), mask=np.isnan(values))


def _in_document(
    cosines: npt.NDArray[np.float64], layout: str
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """For each image: the better neighbour's cosine, the best of all, and the text assigned to it, or -1."""
    from scipy.optimize import linear_sum_assignment

    known = np.where(np.isnan(cosines), -np.inf, cosines)
    near = np.full(len(cosines), -np.inf)
    image, before = 0, -1
    for span in layout:
        if span == "t":
            before += 1
            continue
        around = [t for t in (before, before + 1) if 0 <= t < cosines.shape[1]]
        near[image] = known[image, around].max()
        image += 1
    best = known.max(axis=1)
    own = np.full(len(cosines), -1, dtype=np.int64)
    rows, columns = linear_sum_assignment(np.where(np.isnan(cosines), -2.0, cosines), maximize=True)
    own[rows] = np.where(np.isfinite(known[rows, columns]), columns, -1)
    near[np.isinf(near)] = np.nan
    best[np.isinf(best)] = np.nan
    return near, best, own
