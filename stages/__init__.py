"""The catalogue: every stage there is. A stage is its class in this tuple; there is no other registry."""

from __future__ import annotations

from curate.stage import Stage
from stages.group.exact import Exact
from stages.image.probe import Probe
from stages.image.sha256 import Sha256
from stages.keep import Keep
from stages.sample.pairs import Pairs
from stages.sample.shape import Shape
from stages.text.text_stats import TextStats

STAGES: tuple[type[Stage], ...] = (
    Keep,
    # image
    Probe,
    Sha256,
    # text
    TextStats,
    # sample
    Shape,
    Pairs,
    # group
    Exact,
)
