"""The command line in a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NamedTuple

COMMAND = (sys.executable, "-m", "curate.cli")


class Ended(NamedTuple):
    code: int
    out: str
    err: str
    seconds: float  # of the processor: waiting for other programs of this machine is not its fault


Curate = Callable[..., Ended]
