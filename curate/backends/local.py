"""A plain loop in this process: for tests, notebooks and debugging."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from curate.tasks import perform
from curate.work import Job


class LocalBackend:
    """One task after the other."""

    name = "local"

    def map(
        self, job: Job, task: str, arguments: Sequence[Mapping[str, Any]]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, given in enumerate(arguments):
            yield number, perform(job, task, given)

    def close(self) -> None:
        return
