"""A run on a Ray of two nodes, of which the second is removed while it works: `lose_a_node.py RECIPE RUN`."""

from __future__ import annotations

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
    import ray
    from ray.cluster_utils import Cluster

    folder = tempfile.mkdtemp(prefix="cn", dir="/tmp")
    head: dict[str, Any] = {
        "num_cpus": 1,
        "include_dashboard": False,
        "object_store_memory": 100 << 20,
        "temp_dir": folder,
    }
    # cluster_utils notes its address in Ray's shared folder, which need not be there
    Path("/tmp/ray").mkdir(exist_ok=True)
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        second = cluster.add_node(num_cpus=2, object_store_memory=100 << 20)
        ray.init(address=cluster.address, log_to_driver=False)
        threading.Thread(target=_remove, args=(cluster, second, Path(out)), daemon=True).start()
        from curate.backends.ray import RayBackend

        pools.run(yaml.safe_load(Path(recipe).read_text()), Path(out), start=RayBackend)
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
    cluster.remove_node(node, allow_graceful=False)
    print("removed after", sum(1 for _ in parts.rglob("*.json")), "parts", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
