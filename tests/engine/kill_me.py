"""A run that may be killed: `python kill_me.py RECIPE.yaml RUN [temp folder of a Ray of its own]`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pools
import yaml

from curate.backends import Backend
from curate.backends.local import LocalBackend


def _on_ray(folder: str) -> Backend:
    # a Ray whose folder the test knows and removes: who is killed cleans up nothing
    os.environ["RAY_AUTH_MODE"] = "disabled"
    import ray

    ray.init(
        address="local", num_cpus=2, _temp_dir=folder, include_dashboard=False, object_store_memory=100 << 20
    )
    from curate.backends.ray import RayBackend

    return RayBackend()


def main(recipe: str, out: str, ray_folder: str = "") -> None:
    plain: Mapping[str, Any] = yaml.safe_load(Path(recipe).read_text())
    pools.run(plain, Path(out), start=(lambda: _on_ray(ray_folder)) if ray_folder else LocalBackend)


if __name__ == "__main__":
    main(*sys.argv[1:])
