from __future__ import annotations

import os
import resource
import subprocess
from pathlib import Path

import pytest
from command import COMMAND, Curate, Ended
from finished import quickstart

__all__ = ["quickstart"]


@pytest.fixture
def curate(tmp_path: Path) -> Curate:
    """The command line in a process of its own, in a folder of its own."""

    def run(*arguments: str, **environment: str) -> Ended:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [*COMMAND, *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, **environment},
            check=False,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Ended(done.returncode, done.stdout, done.stderr, seconds)

    return run
