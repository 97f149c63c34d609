"""Which models of a segment get a place of their own, and how many copies of each."""

from __future__ import annotations

from dataclasses import dataclass

from curate.errors import RunError
from curate.stage import Heavy
from curate.steps import Plan, Segment


@dataclass(frozen=True)
class Pool:
    """Copies of one model. `gpus` is the share of one copy."""

    key: str
    node: str
    copies: int
    gpus: float


def heavy(segment: Segment) -> dict[str, tuple[str, Heavy]]:
    """Model key -> a node that needs it, and its stage."""
    found: dict[str, tuple[str, Heavy]] = {}
    for op in segment.ops:
        if isinstance(op.stage, Heavy):
            found.setdefault(op.stage.model_key(), (op.node, op.stage))
    return found


def pools(segment: Segment, gpus: float) -> tuple[Pool, ...]:
    """The pools of a segment in a cluster with so many GPUs; models not named here run on the CPU workers.

    Models that do not say what they need share what the others leave: each gets a whole GPU where there is
    one for it, else an equal part.
    """
    models = heavy(segment)
    if not models:
        return ()
    stated = {key: stage.needs.gpus for key, (_, stage) in models.items()}
    undecided = [key for key, share in stated.items() if share is None]
    free = gpus - sum(share for share in stated.values() if share is not None)
    equal = min(1.0, free / len(undecided)) if undecided and free > 0 else 0.0
    shares = {key: equal if share is None else share for key, share in stated.items()}
    total = sum(shares.values())
    # a copy cannot lie on two GPUs' halves
    rounds = int(gpus // total) if total else 0
    found = []
    for key, (node, stage) in models.items():
        copies = stage.needs.actors or (max(1, rounds) if shares[key] else 0)
        if copies:
            found.append(Pool(key, node, copies, shares[key]))
    return tuple(found)


def check(plan: Plan, gpus: float) -> None:
    """Raise RunError where a node asks for GPUs that are not there."""
    for segment in plan.segments():
        for node, stage in heavy(segment).values():
            wanted = stage.needs.gpus or 0.0
            if wanted > gpus:
                raise RunError(
                    f"node `{node}`: needs.gpus is {wanted:g}, and the machine has {gpus:g}. Leave it out to "
                    "run on the CPU where there is no GPU, or run on a cluster that has one (--address)"
                )
