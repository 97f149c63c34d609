from __future__ import annotations

import pytest
from finished import Finished, quickstart
from originals import Original, originals

__all__ = ["quickstart"]


@pytest.fixture(scope="session")
def raw(quickstart: Finished) -> dict[str, Original]:
    """The input of the quickstart run, by sample_id."""
    return originals(quickstart)
