"""How tasks are run: `local` is a plain loop, `ray` a cluster. Nothing else differs between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from curate.steps import Plan
from curate.work import Job


class Backend(Protocol):
    """Runs independent tasks; results come in any order, each `(number of the task, what it returned)`."""

    name: str

    @property
    def workers(self) -> int:
        """Tasks that run at once, each on a core."""

    def check(self, plan: Plan) -> None:
        """Before anything starts: RunError where the plan asks for what is not there."""

    def map(
        self, job: Job, task: str, arguments: Sequence[Mapping[str, Any]]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Run one task for each of the arguments."""

    def close(self) -> None:
        """Give back what was started."""
