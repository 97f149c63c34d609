"""A plain loop in this process: for tests, notebooks and debugging."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from curate import serving
from curate.steps import Plan
from curate.tasks import perform
from curate.work import Job, context


class LocalBackend:
    """One task after the other."""

    name = "local"
    workers = 1

    def check(self, plan: Plan) -> None:
        serving.check(plan, _gpus())

    def map(
        self, job: Job, task: str, arguments: Sequence[Mapping[str, Any]]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        context(job).gpu = _gpus() > 0
        for number, given in enumerate(arguments):
            yield number, perform(job, task, given)

    def close(self) -> None:
        return


def _gpus() -> int:
    """NVIDIA devices of this machine, without a library that is slow to load."""
    return len([path for path in Path("/dev").glob("nvidia*") if path.name.removeprefix("nvidia").isdigit()])
