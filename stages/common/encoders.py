"""Which encoder a recipe's `model` and `weights` mean."""

from __future__ import annotations

from curate.errors import RecipeError
from stages.common.encoder import Encoder

MINI = "mini"
HF, INTERNVL_C = "hf:", "internvl-c:"


def encoder(model: str, weights: str) -> Encoder:
    """`mini`; `hf:FOLDER` of transformers; `internvl-c:FOLDER`; else open_clip's: a name, `local-dir:FOLDER`.

    Only open_clip's names take `weights`.
    """
    if model == MINI:
        from stages.common.encoder_mini import Mini

        return Mini(weights)
    if model.startswith(HF):
        from stages.common.encoder_transformers import Transformers

        return Transformers(_folder(model, HF, weights))
    if model.startswith(INTERNVL_C):
        from stages.common.internvl_c import InternVLC

        return InternVLC(_folder(model, INTERNVL_C, weights))
    from stages.common.encoder_open_clip import OpenClip

    return OpenClip(model, weights)


def _folder(model: str, prefix: str, weights: str) -> str:
    if weights:
        raise RecipeError("weights", f"`{prefix}FOLDER` brings its own weights", "leave `weights` out")
    return model.removeprefix(prefix)
