"""See `Itm`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import AfterValidator, Field, StringConstraints

from curate.sample import Level, single
from curate.stage import Heavy, Model, Op, Out, canonical
from stages.common.columns import Detail, frames, pixels_of
from stages.common.encoder import Frame, Precision
from stages.common.matcher import Family, matcher, packed


class Itm(Heavy):
    """Image-text matching: how likely image and text belong together, by a model that sees both at once.

        image_<name>   float32: of `vilt` and `blip` a probability, 0 to 1; of `internvl_c` a raw cosine, -1
                       to 1. Null where the sample has no text

    A pair's image is judged with its text. A document's image is judged with each of the document's first
    `max_texts` living texts, and keeps the best: in what order images and texts stand is not looked at (the
    column `image_clip` of `clip` does). Texts are cut to the model's context: 40 tokens (ViLT), 512 (BLIP),
    80 (InternVL-C).

    `model` is a folder as transformers saves it; nothing is fetched, and no code of it is run.

    - `vilt`: a ViltForImageAndTextRetrieval (dandelin/vilt-b32-finetuned-coco, -flickr30k). The sigmoid of
      its ranking score: it was trained to rank 16 texts for one image, so that the order counts, and 0.5 is
      no natural bound. Images are brought to 384 pixels on the shorter side and at most 608 on the longer:
      set `decode: {short_side: 384}`, or `pixels: full`.
    - `blip`: a BlipForImageTextRetrieval (Salesforce/blip-itm-base-coco, -large-): the softmax of a head that
      was trained on match or no match. Data-Juicer's image_text_matching_filter takes the same, {min: 0.003}
      by default.
    - `internvl_c`: OpenGVLab/InternVL-14B-224px in its contrastive mode (arXiv 2312.14238): InternViT-6B with
      attention pooling, and LLaMA-7B after `summarize:`. 27 GB of weights in bf16. What a good cosine is must
      be read off run.json's percentiles; {min_quantile: 0.3} keeps the best 70 %.

    Slower than `clip`: for each of an image's texts ViLT computes all anew, and BLIP its text encoder. Bound
    `image_clip` first.
    """

    stage: Literal["itm"] = "itm"
    level: ClassVar[Level] = "image"
    batch: ClassVar[int] = 64
    # where the weights lie is not what they are: assets() tells that
    incidental: ClassVar[frozenset[str]] = frozenset({"needs", "model"})

    model: Annotated[str, StringConstraints(min_length=1), AfterValidator(os.path.abspath)] = Field(
        description="Folder of the model, relative to where the command is given."
    )
    family: Family = Field(default="auto", description="`auto`: as its config.json says.")
    precision: Precision = Field(
        default="auto", description="`auto`: bf16 (or fp16) on a GPU, fp32 on the CPU."
    )
    pixels: Detail = Field(default="canonical", description="`full`: undiminished, slower.")
    max_texts: int = Field(default=32, ge=1, description="Texts of a document that an image is judged with.")
    name: str = Field(default="itm", pattern="^[a-z][a-z0-9_]*$", description="Of its column.")

    def reads(self) -> frozenset[str]:
        return frozenset({self._source, "text_body"})

    @property
    def _source(self) -> str:
        return pixels_of(self.pixels)

    def writes(self) -> pa.Schema:
        return pa.schema([(f"image_{self.name}", pa.float32())])

    def short_side(self) -> int:
        return matcher(self.model, self.family).facts().short_side

    def assets(self) -> Mapping[str, str]:
        return matcher(self.model, self.family).assets()

    def notices(self) -> frozenset[str]:
        return matcher(self.model, self.family).notices()

    def check_columns(self, columns: pa.Schema) -> None:
        """RecipeError where there is no such model, or a package is missing."""
        matcher(self.model, self.family).facts()

    def model_key(self) -> str:
        return canonical(["itm", self.family, sorted(self.assets().items()), self.precision])

    def load(self, gpu: bool) -> Model:
        return matcher(self.model, self.family).load(self.precision, gpu)

    def open_around(self, model: Model) -> Op:
        front = matcher(self.model, self.family).front()
        (column,) = self.writes().names

        def op(table: pa.Table) -> Out:
            best = np.full(table.num_rows, np.nan, dtype=np.float32)
            texts: dict[str, int] = {}
            images: list[Frame] = []
            pairs: list[tuple[int, int]] = []
            rows: list[int] = []
            lists = single(table["text_body"]).to_pylist()
            for row, (frame, found) in enumerate(zip(frames(table[self._source]), lists, strict=True)):
                own = [text for text in found or [] if text is not None][: self.max_texts]
                if frame is None or not own:
                    continue
                pairs += [(len(images), texts.setdefault(text, len(texts))) for text in own]
                rows += [row] * len(own)
                images.append(front.pixels(frame))
            if pairs:
                scores = model(packed(images, front.tokens(list(texts)), pairs))["score"]
                np.fmax.at(best, rows, scores)
            return Out({column: pa.array(best, mask=np.isnan(best))})

        return op
