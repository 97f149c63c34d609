"""See `Tokens`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from curate.errors import nearest
from curate.sample import Ints, Level, Mask, flat, single, wrap
from curate.stage import Map, Op, Out
from stages.common.list_file import File
from stages.common.text_tokens import FILE, check_tokenizer, estimated, tokenizer, tokenizer_file
from stages.common.training_cost import Cost, costs
from stages.common.visual_models import MODELS, formula, model_named, slug
from stages.common.visual_tokens import Formula, Images
from stages.common.weight_files import digest

_ORIGINAL = ("image_width", "image_height")
_TARGET = ("image_target_width", "image_target_height")
_Pixels = Annotated[int, Field(gt=0)]
_Tiles = Annotated[int, Field(ge=1, le=1000)]
_Side = Annotated[int, Field(gt=0, le=100_000)]


class ModelTokens(BaseModel):
    """A model whose tokens are counted; options left out are as the model was released."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(description=f"One of {', '.join(MODELS)}.")
    name: str = Field(
        default="",
        pattern="^([A-Za-z][A-Za-z0-9 ._-]*)?$",
        description="For its columns, in place of `model`.",
    )
    min_pixels: _Pixels | None = Field(default=None, description="Qwen2-VL and later: of the resized image.")
    max_pixels: _Pixels | None = Field(default=None, description="Qwen2-VL and later: of the resized image.")
    min_tiles: _Tiles | None = Field(default=None, description="InternVL: tiles of 448 x 448 at least.")
    max_tiles: _Tiles | None = Field(default=None, description="InternVL: at most, over a sample's images.")
    thumbnail: bool | None = Field(default=None, description="InternVL: one more tile with the whole image.")
    max_slices: _Tiles | None = Field(default=None, description="MiniCPM-V: slices at most.")
    pinpoints: tuple[tuple[_Side, _Side], ...] | None = Field(
        default=None, min_length=1, description="LLaVA-NeXT, -OneVision: [width, height] of resolutions."
    )
    max_patches: _Tiles | None = Field(default=None, description="LLaVA-OneVision: N of `anyres_max_N`.")

    @field_validator("model")
    @classmethod
    def _known(cls, model: str) -> str:
        return model_named(model)

    @model_validator(mode="after")
    def _counts(self) -> ModelTokens:
        self.formula()
        return self

    def formula(self) -> Formula:
        """The model's formula with the options."""
        given: dict[str, Any] = self.model_dump(exclude={"model", "name"}, exclude_none=True)
        return formula(self.model, given)

    def slug(self) -> str:
        """Its name as part of a column."""
        return slug(self.name or self.model)


def _as_models(value: Any) -> Any:
    several = value if isinstance(value, list | tuple) else [value]
    return tuple({"model": each} if isinstance(each, str) else each for each in several)


class Tokens(Map):
    """Tokens that images and texts take, by the formulas of models' own code, before anything is trained.

        text_tokens            of each text
        image_tokens_<model>   visual tokens of each image, without what stands around it
        tokens_<model>         of the whole sample: images, their wrappers, and texts
        tokens_text            of the sample's texts together

    The columns of `qwen2.5-vl` are called image_tokens_qwen2_5_vl and tokens_qwen2_5_vl. Sums of tokens_*
    over each output stand in run.json, and with `cost: {params: 7e9, hour: 2.5, epochs: 2}` what training on
    them takes: operations (6 N D), hours, money. `params` may be told model by model; `flops` is the peak of
    an accelerator (989e12) and `mfu` the share of it that is reached (0.4).

    Models: llava-1.5, llava-next, llava-onevision, qwen-vl, qwen2-vl, qwen2.5-vl, qwen3-vl,
    internvl-chat-v1.5, internvl2, internvl2.5, internvl3, minicpm-v-2.0, minicpm-llama3-v2.5, minicpm-v-2.6,
    minicpm-v-4, cogvlm2, glm-4v; or `{model: qwen2.5-vl, max_pixels: 1003520, name: small}`. Options, as the
    model was released where left out: min_pixels, max_pixels (Qwen2-VL and later), min_tiles, max_tiles,
    thumbnail (InternVL), max_slices (MiniCPM-V), pinpoints, max_patches (LLaVA-NeXT, -OneVision).

    In a sample of n images InternVL gives each max_tiles // n tiles, and LLaVA-NeXT and -OneVision one tile
    and a newline (577, 730), as their trainers do.

    Sizes are those of `probe`, or with `size: target` those that `bucket` chose, where it did. Null is an
    image of unknown size, and one that the model's code refuses (Qwen2-VL and later: sides of more than
    200 : 1); its sample has no sum either.

    Wrappers are marks such as <|vision_start|> and <|vision_end|> (2 an image), <img> and </img>, and of
    MiniCPM-V those of slices and their line breaks; LLaVA has none. What a chat template adds, and line
    breaks between images and texts, are not counted.

    `tokenizer` is the path of a tokenizer.json (extra `tokens`), or of a folder with one. Nothing is added to
    a text. Without, tokens are estimated by script: a corpus within about 10 % of Qwen, Llama 3 and DeepSeek
    in most languages, titles of a few words up to 17 % too low; a single text is off by 11 % in the median.
    """

    stage: Literal["tokens"] = "tokens"
    level: ClassVar[Level] = "sample"
    kept: ClassVar[bool] = False
    # the tokenizer's hash is among the assets; prices change no column
    incidental: ClassVar[frozenset[str]] = frozenset({"tokenizer", "cost"})

    models: Annotated[
        tuple[ModelTokens, ...],
        BeforeValidator(
            _as_models,
            json_schema_input_type=str | ModelTokens | tuple[str | ModelTokens, ...],
        ),
    ] = Field(default=(), description="Names of models, or objects of a name and options.")
    size: Literal["original", "target"] = Field(
        default="original", description="`target`: the size that `bucket` chose, where it did."
    )
    tokenizer: File | None = Field(
        default=None, description=f"Path of a {FILE}, or of its folder; left out, an estimate."
    )
    name: str = Field(
        default="",
        pattern="^([a-z][a-z0-9_]*)?$",
        description="Tells two apart: `vicuna` gives text_vicuna_tokens and vicuna_tokens_text.",
    )
    cost: Cost | None = Field(default=None, description="What training costs, for run.json.")

    @model_validator(mode="after")
    def _fit(self) -> Tokens:
        slugs = [model.slug() for model in self.models]
        for each in slugs:
            if slugs.count(each) > 1 or each == "text":
                raise ValueError(f"tokens_{each} would be written twice; give one of the models a `name`")
        if self.cost and isinstance(self.cost.params, dict):
            for given in self.cost.params:
                if slug(given) not in slugs:
                    raise ValueError(f"cost.params: no model `{given}` is counted; {nearest(given, slugs)}")
            for model in self.models:
                if self.cost.of(model.slug()) is None:
                    raise ValueError(f"cost.params: say how many parameters `{model.slug()}` has")
        return self

    def reads(self) -> frozenset[str]:
        sizes = () if not self.models else _ORIGINAL if self.size == "original" else _ORIGINAL + _TARGET
        return frozenset({"text_body", *sizes})

    def writes(self) -> pa.Schema:
        slugs = [model.slug() for model in self.models]
        return pa.schema(
            [
                (self._text(), pa.int32()),
                (self._texts(), pa.int64()),
                *((f"image_tokens_{each}", pa.int32()) for each in slugs),
                *((f"tokens_{each}", pa.int64()) for each in slugs),
            ]
        )

    def totals(self) -> frozenset[str]:
        return frozenset({self._texts(), *(f"tokens_{model.slug()}" for model in self.models)})

    def assets(self) -> Mapping[str, str]:
        if self.tokenizer is None:
            return {}
        return {"tokenizer": digest(tokenizer_file(self.tokenizer, "tokenizer"), "tokenizer")}

    def check_columns(self, columns: pa.Schema) -> None:
        if self.tokenizer is not None:
            check_tokenizer(self.tokenizer, "tokenizer")

    def costs(self, totals: Mapping[str, int]) -> dict[str, dict[str, float]]:
        """What training each model on an output costs, from its sums of `totals()`; see `training_cost`."""
        if self.cost is None:
            return {}
        found = {}
        for each in (model.slug() for model in self.models):
            params, total = self.cost.of(each), totals.get(f"tokens_{each}")
            if params is not None and total is not None:
                found[each] = costs(total, params, self.cost)
        return found

    def open(self) -> Op:
        formulas = {model.slug(): model.formula() for model in self.models}
        count = estimated if self.tokenizer is None else tokenizer(self.tokenizer, "tokenizer")
        text, texts = self._text(), self._texts()

        def op(table: pa.Table) -> Out:
            bodies = single(table["text_body"])
            tokens = count(flat(bodies))
            words = _sums(tokens, _lengths(bodies))
            columns = {text: wrap(tokens, _lengths(bodies)), texts: words}
            if not formulas:
                return Out(columns)
            counts = _lengths(single(table[_ORIGINAL[0]]))
            width, height, known = self._sizes(table)
            images = Images(width, height, np.repeat(np.arange(len(counts)), counts))
            for each, model in formulas.items():
                found = model.count(images)
                absent = ~(found.taken & known)
                visual = pa.array(found.tokens, pa.int32(), mask=absent)
                whole = pa.array(found.tokens + found.wrapper, pa.int64(), mask=absent)
                columns[f"image_tokens_{each}"] = wrap(visual, counts)
                columns[f"tokens_{each}"] = pc.add(_sums(whole, counts, nulls=True), words)
            return Out(columns)

        return op

    def _sizes(self, table: pa.Table) -> tuple[Ints, Ints, Mask]:
        """Width and height of each image that count, and where both are known; 1 x 1 elsewhere."""
        width, height = (flat(table[name]) for name in _ORIGINAL)
        if self.size == "target":
            chosen = [flat(table[name]) for name in _TARGET]
            both = pc.and_(pc.is_valid(chosen[0]), pc.is_valid(chosen[1]))
            width, height = pc.if_else(both, chosen[0], width), pc.if_else(both, chosen[1], height)
        sides = [
            pc.fill_null(side, 0).to_numpy(zero_copy_only=False).astype(np.int64) for side in (width, height)
        ]
        known = (sides[0] > 0) & (sides[1] > 0)
        return np.where(known, sides[0], 1), np.where(known, sides[1], 1), known

    def _text(self) -> str:
        return f"text_{self.name}_tokens" if self.name else "text_tokens"

    def _texts(self) -> str:
        return f"{self.name}_tokens_text" if self.name else "tokens_text"


def _lengths(lists: pa.Array) -> Ints:
    found: Ints = pc.list_value_length(lists).to_numpy(zero_copy_only=False).astype(np.int64)
    return found


def _sums(values: pa.Array, counts: Ints, nulls: bool = False) -> pa.Array:
    """int64, the sum of each list; with `nulls`, null where one of its values is."""
    ends = np.cumsum(counts)
    numbers = pc.fill_null(values, 0).to_numpy(zero_copy_only=False)
    sums = np.concatenate([[0], np.cumsum(numbers, dtype=np.int64)])
    found = sums[ends] - sums[ends - counts]
    if not nulls:
        return pa.array(found, pa.int64())
    absent = np.concatenate(
        [[0], np.cumsum(pc.is_null(values).to_numpy(zero_copy_only=False), dtype=np.int64)]
    )
    return pa.array(found, pa.int64(), mask=absent[ends] > absent[ends - counts])
