"""See `LeakImage`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate.errors import RecipeError
from curate.sample import Ints, Level, single
from curate.stage import Op, Out, fingerprint
from stages.common import thumbs
from stages.common.cached_index import Tables, cached
from stages.common.columns import reason_where
from stages.common.encoders import encoder
from stages.common.image_leaks import (
    VERSION,
    Embeddings,
    Looks,
    Match,
    build,
    build_embeddings,
    measure,
)
from stages.common.leaks import Leak
from stages.common.scoring import embedding_width
from stages.common.thumbs import TURNS, Turn

_TURNS: dict[str, tuple[Turn, ...]] = {"none": TURNS[:1], "flips": TURNS[:4], "all": TURNS}


class LeakImage(Leak):
    """Images that an evaluation benchmark shows: the same pixels, copies of them, or what looks alike.

        image_leak              string    <benchmark>/<item>, null where nothing leaks
        image_leak_by           string    `sha256`, `thumb` or `embedding`, the first that found it
        image_leak_similarity   float32   1 for `sha256`; of `thumb` as `near_image` has it; a cosine
        image_leak_cosine       float32   with `model`: to the benchmarks' nearest image, of every image

    `sha256`: the same pixels (`image_pixel_sha256`, node `sha256`), of a picture of one colour also. `thumb`:
    copies that were saved anew, resized, brightened, or cropped by 2 % on either side. They are looked up by
    hashes of `image_thumb` (node `phash`) that differ in `max_distance` bits at most, and judged by the
    thumbs themselves, as `near_image` does it: figures of the same outline in other colours, and signs with
    another pictogram, are no leaks. Words that are small in the picture are not seen. A picture of one
    colour (luma deviates by 2 levels at most) shows nothing that could leak: only equal pixels count, and the
    data card says how many of the benchmark's those are (`blank_image`).
    `embedding`, with `model`: a cosine of `min_cosine` to the column `embedding` of a `clip` node with the
    same model. That finds what was cropped or drawn over more. Descriptors of copy detection are made for it
    (SSCD, arXiv 2202.10261: 0.75 is a copy with a precision of 0.9); embeddings of CLIP tell what an image is
    about, not which one it is: `mark` and look, from 0.95 on.

    An image of several items has the name of the first. `action: mark` drops nothing: other questions about
    an image of a benchmark are no leak for those who ask different ones (COCO is in most benchmarks and in
    most training sets); `leak_text` with `short: with_image` goes on from there.

    `decode_short_side` must be the `short_side` of the recipe's `decode`, else no digests of pixels are equal
    and copies are found as such.
    """

    stage: Literal["leak_image"] = "leak_image"
    level: ClassVar[Level] = "image"
    incidental: ClassVar[frozenset[str]] = Leak.incidental | {"weights"}

    max_distance: int = Field(default=6, ge=0, le=10, description="Bits out of 63 that may differ.")
    orientations: Literal["none", "flips", "all"] = Field(
        default="none", description="`flips`: mirrored copies are found too; `all`: also those on their side."
    )
    decode_short_side: int = Field(default=256, ge=1, description="`short_side` of the recipe's `decode`.")
    model: str = Field(default="", description="Of the `clip` node whose embeddings are compared.")
    weights: str = Field(default="", description="Of an open_clip model: a tag, a file or a folder.")
    embedding: str = Field(
        default="image_clip_embedding", pattern="^image_[a-z0-9_]+$", description="The column it reads."
    )
    min_cosine: float = Field(default=0.95, gt=0, le=1, description="From which on an embedding leaks.")

    def reads(self) -> frozenset[str]:
        own = {"image_pixel_sha256", "image_thumb"}
        return frozenset(own | ({self.embedding} if self.model else set()))

    def writes(self) -> pa.Schema:
        columns = [
            ("image_leak", pa.string()),
            ("image_leak_by", pa.string()),
            ("image_leak_similarity", pa.float32()),
        ]
        return pa.schema([*columns, *([("image_leak_cosine", pa.float32())] if self.model else [])])

    def assets(self) -> Mapping[str, str]:
        return {**super().assets(), **(encoder(self.model, self.weights).assets() if self.model else {})}

    def check_columns(self, columns: pa.Schema) -> None:
        super().check_columns(columns)
        if self.model:
            dim = encoder(self.model, self.weights).facts().dim
            if (width := embedding_width(columns, self.embedding)) != dim:
                told = f"{self.model} gives embeddings of {dim} numbers, {self.embedding} has {width}"
                raise RecipeError("model", told, "name the model of the `clip` node before")

    def kind(self) -> str:
        return f"image-{VERSION}-{measure()}-{self.decode_short_side}"

    def build(self) -> Tables:
        return build(self.benchmarks(), self.decode_short_side)

    def open(self) -> Op:
        index = self.tables()
        items = index["images"]["item"]
        digests = single(index["images"]["pixel_sha256"])
        looks = Looks(index, self.max_distance, _TURNS[self.orientations])
        embeddings = Embeddings(self._embeddings()) if self.model else None

        def op(table: pa.Table) -> Out:
            rows = table.num_rows
            image = np.full(rows, -1, dtype=np.int64)
            similarity = np.full(rows, np.nan, dtype=np.float32)
            by = np.full(rows, None, dtype=object)

            def take(found: Match, how: str, least: float = 0) -> None:
                new = np.flatnonzero((image < 0) & (found.image >= 0) & (found.similarity >= least))
                image[new], similarity[new], by[new] = found.image[new], found.similarity[new], how

            own = single(table["image_pixel_sha256"])
            same = pc.fill_null(pc.index_in(own, digests, skip_nulls=True), -1)
            same = same.to_numpy(zero_copy_only=False).astype(np.int64)
            take(Match(same, np.ones(rows, dtype=np.float32)), "sha256")
            shown = single(table["image_thumb"])
            left = np.flatnonzero(shown.is_valid().to_numpy(zero_copy_only=False) & (image < 0))
            near = looks.best(thumbs.array(shown.take(pa.array(left))))
            take(_spread(near, left, rows), "thumb")
            columns = {}
            if embeddings is not None:
                nearest = embeddings.best(single(table[self.embedding]))
                take(nearest, "embedding", self.min_cosine)
                columns["image_leak_cosine"] = pa.array(nearest.similarity, mask=nearest.image < 0)
            leaks = image >= 0
            columns |= {
                "image_leak": single(items.take(pa.array(image, mask=~leaks))),
                "image_leak_by": pa.array(by, pa.string()),
                "image_leak_similarity": pa.array(similarity, mask=~leaks),
            }
            return Out(columns, reason_where(leaks, "leak") if self.action == "drop" else None)

        return op

    def _embeddings(self) -> Tables:
        """The index of embeddings, which is another for each model."""
        contents = fingerprint(self.decode_short_side, VERSION, dict(self.assets()))

        def make() -> Tables:
            return build_embeddings(self.benchmarks(), self.decode_short_side, self.model, self.weights)

        return cached(self.folder, f"embedding-{contents}", make)


def _spread(found: Match, places: Ints, rows: int) -> Match:
    """The match of some rows as that of all."""
    image, similarity = np.full(rows, -1, dtype=np.int64), np.full(rows, np.nan, dtype=np.float32)
    image[places], similarity[places] = found.image, found.similarity
    return Match(image, similarity)
