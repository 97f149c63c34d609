"""What can go wrong, and whose fault it is.

Decisions about data are never exceptions: they are reasons (see `curate.stage`). An exception here
means that the recipe is wrong, that a stage has a bug, or that the run as a whole cannot be trusted.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

# An exception of these types is our mistake or the machine's, never a property of one bad row.
# (The idea of a fixed tuple of "system" exceptions: Megatron-Energon, errors.py.)
BUGS: tuple[type[BaseException], ...] = (
    ImportError,
    NameError,
    TypeError,
    AttributeError,
    AssertionError,
    NotImplementedError,
    MemoryError,
    RecursionError,
)


class CurateError(Exception):
    """Base of everything that is told to the user without a traceback."""


class RecipeError(CurateError):
    """The recipe is wrong; nothing has started. `place` is a path such as `nodes.3.bounds`."""

    def __init__(self, place: str, problem: str, hint: str = "") -> None:
        self.place = place
        text = f"{place}: {problem}" if place else problem
        super().__init__(f"{text}\n  {hint}" if hint else text)


class RunError(CurateError):
    """The run cannot go on, or its result cannot be trusted."""


class StageBug(CurateError):
    """A stage broke its contract or raised one of `BUGS`: the run stops and names the place."""

    def __init__(self, node: str, problem: str, sample_ids: Sequence[str] = (), replay: str = "") -> None:
        self.node = node
        self.problem = problem
        self.sample_ids = tuple(sample_ids)
        lines = [f"node `{node}`: {problem}"]
        if self.sample_ids:
            shown = ", ".join(self.sample_ids[:5])
            more = f" and {len(self.sample_ids) - 5} more" if len(self.sample_ids) > 5 else ""
            lines.append(f"  samples: {shown}{more}")
        if replay:
            lines.append(f"  replay:  {replay}")
        super().__init__("\n".join(lines))


def nearest(name: str, names: Iterable[str]) -> str:
    """A hint that lists the valid names closest to `name`, or all of them when none is close."""
    valid = sorted(set(names))
    close = difflib.get_close_matches(name, valid, n=3, cutoff=0.55)
    if close:
        return "did you mean " + " or ".join(f"`{c}`" for c in close) + "?"
    return "valid: " + ", ".join(valid)
