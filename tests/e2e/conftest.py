from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from finished import Finished, quickstart
from originals import Original, originals

__all__ = ["quickstart"]


@pytest.fixture(scope="session")
def raw(quickstart: Finished) -> dict[str, Original]:
    """The input of the quickstart run, by sample_id."""
    return originals(quickstart)


@pytest.fixture(scope="session")
def load_dataset(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """The real `datasets.load_dataset`, offline and with a cache of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HOME", os.fspath(tmp_path_factory.mktemp("hf")))
        patch.setenv("HF_DATASETS_OFFLINE", "1")
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
        import datasets

        def load(*args: Any, **options: Any) -> Any:
            cache = tmp_path_factory.mktemp("cache")
            return datasets.load_dataset(*args, split="train", cache_dir=os.fspath(cache), **options)

        yield load
