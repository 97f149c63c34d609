"""Which encoder a recipe's `model` and `weights` mean."""

from __future__ import annotations

from stages.common.encoder import Encoder

MINI = "mini"
HF = "hf:"


def encoder(model: str, weights: str) -> Encoder:
    """`mini`; `hf:FOLDER` for transformers; any other name is open_clip's, or `local-dir:FOLDER` of it."""
    if model == MINI:
        from stages.common.encoder_mini import Mini

        return Mini(weights)
    if model.startswith(HF):
        from stages.common.encoder_transformers import Transformers

        return Transformers(model.removeprefix(HF), weights)
    from stages.common.encoder_open_clip import OpenClip

    return OpenClip(model, weights)
