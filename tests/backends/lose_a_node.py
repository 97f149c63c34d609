"""A run on a Ray of two nodes, of which the second is removed while it works: `lose_a_node.py RECIPE RUN`."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pools
import yaml


def main(recipe: str, out: str) -> None:
    # All of it in a folder of its own: cluster_utils notes its address where other Rays would look for one.
    folder = tempfile.mkdtemp(prefix="cn", dir="/tmp")
    os.environ["RAY_TMPDIR"] = folder
    Path(folder, "ray").mkdir()
    import ray
    from ray.cluster_utils import Cluster

    head: dict[str, Any] = {
        "num_cpus": 1,
        "include_dashboard": False,
        "object_store_memory": 100 << 20,
    }
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        second = cluster.add_node(num_cpus=2, object_store_memory=100 << 20)
        ray.init(address=cluster.address, log_to_driver=False)
        remover = threading.Thread(target=_remove, args=(cluster, second, Path(out)), daemon=True)
        remover.start()
        from curate.backends.ray import RayBackend

        pools.run(yaml.safe_load(Path(recipe).read_text()), Path(out), start=RayBackend)
        remover.join()
        assert sum(node["Alive"] for node in ray.nodes()) == 1, "the second node is still there"
    finally:
        ray.shutdown()
        cluster.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def _remove(cluster: Any, node: Any, out: Path) -> None:
    """Take the node away, without a farewell, as soon as the first part is finished."""
    parts = out / "state" / "parts"
    while not any(parts.rglob("*.json")):
        time.sleep(0.01)
    print("removed after", sum(1 for _ in parts.rglob("*.json")), "parts", flush=True)
    cluster.remove_node(node, allow_graceful=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
