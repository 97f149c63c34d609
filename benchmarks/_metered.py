"""A plain loop that tells what its tasks cost."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from curate.backends.local import LocalBackend
from curate.tasks import perform
from curate.work import Job


class Metered(LocalBackend):
    """CPU seconds of each kind of task at each node (or segment): `cpu[task, node]`."""

    def __init__(self) -> None:
        self.cpu: Counter[tuple[str, str]] = Counter()

    def map(
        self, job: Job, task: str, arguments: Sequence[Mapping[str, Any]]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, given in enumerate(arguments):
            before = time.process_time()
            result = perform(job, task, given)
            self.cpu[task, str(given.get("node") or given.get("segment", ""))] += time.process_time() - before
            yield number, result
