"""What training on so many tokens costs: operations, hours of accelerators, money."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from stages.common.visual_models import slug

_OPERATIONS = 6  # for each parameter and token: 2 forward, 4 backward
_SECONDS = 3600


_Positive: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Cost(BaseModel):
    """What a training run is made of. It changes no column, so it is no part of a fingerprint."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    params: _Positive | dict[str, _Positive] = Field(
        description="Parameters that tokens pass through: a number, or one for each model, by name."
    )
    flops: _Positive = Field(
        default=989e12, description="Peak of one accelerator, operations a second (H100, dense bf16)."
    )
    mfu: float = Field(default=0.4, gt=0, le=1, description="Share of the peak that training reaches.")
    hour: float | None = Field(
        default=None, ge=0, allow_inf_nan=False, description="Money for an accelerator and hour."
    )
    epochs: _Positive = Field(default=1, description="How often the data is gone through.")

    def of(self, model: str) -> float | None:
        """Parameters of a model, by name or slug; None where it is not told."""
        if not isinstance(self.params, dict):
            return self.params
        return {slug(name): params for name, params in self.params.items()}.get(slug(model))


def costs(total_tokens: int, params: float, cost: Cost) -> dict[str, float]:
    """`tokens` of all epochs, `epochs`, `flops` (operations), `accelerator_hours`, and `money` where an hour
    has a price.

    flops = 6 N D for N parameters and D tokens (Kaplan et al. 2020, arXiv 2001.08361, section 2.1: 2 N
    forward, twice that backward; attention over the context is left out, and so is the work of the vision
    encoder, whose patches are no tokens here).
    """
    tokens = round(total_tokens * cost.epochs)
    flops = _OPERATIONS * params * tokens
    hours = flops / (cost.flops * cost.mfu) / _SECONDS
    found = {"tokens": tokens, "epochs": cost.epochs, "flops": flops, "accelerator_hours": hours}
    return found if cost.hour is None else {**found, "money": hours * cost.hour}
