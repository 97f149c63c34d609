"""What all tests share: one Ray for the session, and the demo pool."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from curate.backends import Backend

# A busy machine is no failure, and a failure must come again.
settings.register_profile("curate", deadline=None, derandomize=True)
settings.load_profile("curate")

_HERE = Path(__file__).parent
# Ray's workers and other children import `pools` and the test-only stages as this process does. The
# repository itself comes first: otherwise the folder `tests/stages` would pass for the package `stages`.
_PLACES = (str(_HERE.parent), str(_HERE), str(_HERE / "engine"))
sys.path[:0] = [place for place in _PLACES if place not in sys.path]


@pytest.fixture(scope="session", autouse=True)
def _importable() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        old = os.environ.get("PYTHONPATH", "")
        patch.setenv("PYTHONPATH", os.pathsep.join([*_PLACES, *([old] if old else [])]))
        # a suite that was started in the background has Ctrl-C ignored, and so would have its children
        signal.signal(signal.SIGINT, signal.default_int_handler)
        # no test pulls the plug, and waiting for a shared disk is most of what small runs would do
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(scope="session")
def ray_of_two(_importable: None) -> Iterator[None]:
    """One Ray with two workers for the whole session: its start takes seconds."""
    from curate.backends.ray import RayBackend

    backend = RayBackend(workers=2)
    yield
    backend.close()


def _on_ray() -> Backend:
    from curate.backends.ray import RayBackend

    return RayBackend()  # takes the session's


@pytest.fixture(params=["local", pytest.param("ray", marks=pytest.mark.slow)])
def start(request: pytest.FixtureRequest) -> Callable[[], Backend]:
    """How a backend is started, for tests that must hold on both."""
    if request.param == "local":
        from curate.backends.local import LocalBackend

        return LocalBackend
    request.getfixturevalue("ray_of_two")
    return _on_ray


@pytest.fixture(scope="session")
def on_ray(ray_of_two: None) -> Callable[[], Backend]:
    return _on_ray


@pytest.fixture(scope="session")
def demo_pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs and documents with every planted defect there is."""
    from curate.demo import generate

    folder = tmp_path_factory.mktemp("demo")
    generate(folder, pairs=110, documents=10, seed=5)
    return folder


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
