"""Which models' visual tokens are known, and what each takes by default."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from curate.errors import nearest
from stages.common.visual_tokens import Fixed, Formula, Slices, SmartResize, Tiles
from stages.common.visual_tokens_anyres import AnyRes

_NEXT = ((336, 672), (672, 336), (672, 672), (1008, 336), (336, 1008))
_ONEVISION = tuple((384 * i, 384 * j) for i in range(1, 7) for j in range(1, 7))
# min_pixels and max_pixels: preprocessor_config.json of the released models.
_QWEN2_VL = SmartResize(factor=28, min_pixels=56 * 56, max_pixels=28 * 28 * 16384)
_QWEN3_VL = SmartResize(factor=32, min_pixels=256 * 256, max_pixels=32 * 32 * 16384)

MODELS: Mapping[str, Formula] = {
    "llava-1.5": Fixed((336 // 14) ** 2),
    "llava-next": AnyRes(tile=336, pinpoints=_NEXT),  # CLIP ViT-L/14 at 336 pixels
    "llava-onevision": AnyRes(tile=384, pinpoints=_ONEVISION, max_patches=9),  # SigLIP so400m at 384
    "qwen-vl": Fixed(256, wrapper=2),  # 448 x 448; <img>, </img>
    "qwen2-vl": _QWEN2_VL,
    "qwen2.5-vl": _QWEN2_VL,
    "qwen3-vl": _QWEN3_VL,
    "internvl-chat-v1.5": Tiles(),
    "internvl2": Tiles(),
    "internvl2.5": Tiles(),
    "internvl3": Tiles(),
    "minicpm-v-2.0": Slices(64),
    "minicpm-llama3-v2.5": Slices(96),
    "minicpm-v-2.6": Slices(64, numbered=True),
    "minicpm-v-4": Slices(64),
    "cogvlm2": Fixed((1344 // 14 // 2) ** 2, wrapper=2),  # boi, eoi
    "glm-4v": Fixed((1120 // 14 // 2) ** 2, wrapper=2),
}


def slug(name: str) -> str:
    """A name as part of a column: lower case, `_` for what is no letter or digit."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


_BY_SLUG = {slug(name): name for name in MODELS}


def model_named(name: str) -> str:
    """The name of a model as it stands in `MODELS`, however it is spelt (`Qwen2.5-VL`, `qwen2_5_vl`);
    ValueError with the nearest names where there is none."""
    found = _BY_SLUG.get(slug(name))
    if found is None:
        raise ValueError(f"there is no model `{name}`; {nearest(name.lower(), MODELS)}")
    return found


def formula(name: str, options: Mapping[str, Any]) -> Formula:
    """The formula of a model with its options; ValueError where it has no such option or value."""
    known = MODELS[model_named(name)]
    for option in options:
        if option not in known.options:
            has = nearest(option, known.options) if known.options else "it has no options"
            raise ValueError(f"{name} has no option `{option}`; {has}")
    changed: Formula = replace(known, **options)  # type: ignore[type-var]
    return changed
