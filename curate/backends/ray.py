"""Tasks on Ray Data. The only file that imports ray.

A task is a row of a data set of task arguments: a few hundred bytes. Samples never cross Ray's object store;
they go through the run folder, where they are committed anyway.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from curate.tasks import perform
from curate.work import Job

_FOLDER = "curate-ray-"


def _remove_leftovers() -> None:
    """Ray's folders of runs that were killed: their names tell the process they belonged to."""
    for path in Path("/tmp").glob(f"{_FOLDER}*"):  # noqa: S108
        owner = path.name.removeprefix(_FOLDER).partition("-")[0]
        if owner.isdigit() and path.stat().st_uid == os.getuid() and not _runs(int(owner)):
            shutil.rmtree(path, ignore_errors=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's
    return True


class _Performer:
    """The UDF: arguments as JSON in, facts as JSON out."""

    def __init__(self, job: Job, task: str) -> None:
        self._job = job
        self._task = task

    def __call__(self, batch: pa.Table) -> pa.Table:
        results = [
            json.dumps(perform(self._job, self._task, json.loads(given)))
            for given in batch["arguments"].to_pylist()
        ]
        return pa.table({"number": batch["number"], "result": pa.array(results, pa.string())})


class RayBackend:
    """A Ray of its own in this process, or the cluster at `address`."""

    name = "ray"

    def __init__(self, workers: int | None = None, address: str | None = None) -> None:
        # Ray turns token authentication on for a local cluster and writes a token to the home folder, unless
        # told. A token that lives in this process and its children alone is safer than none.
        if address is None:
            os.environ.setdefault("RAY_AUTH_MODE", "token")
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        else:
            os.environ.setdefault("RAY_AUTH_MODE", "disabled")
        os.environ.setdefault("RAY_DATA_USE_DATASOURCE_V2", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        import ray

        self._ray = ray
        self._folder: str | None = None
        logging.getLogger("ray").setLevel(logging.WARNING)
        if ray.is_initialized():
            self._own = False
            return
        self._own = True
        if address is None:
            # short: sockets below it must fit in 107 characters; private: a stale address elsewhere stalls
            _remove_leftovers()
            self._folder = tempfile.mkdtemp(prefix=f"{_FOLDER}{os.getpid()}-", dir="/tmp")
            ray.init(
                address="local",
                num_cpus=workers or os.cpu_count(),
                _temp_dir=self._folder,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.WARNING,
                object_store_memory=256 << 20,
            )
        else:
            ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)

    def map(
        self, job: Job, task: str, arguments: Sequence[Mapping[str, Any]]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        if not arguments:
            return iter(())
        # Segments go through Ray Data, which feeds pools of workers of different kinds and scales them. The
        # rest are short tasks, and Ray Data takes 0.2 s to begin with anything.
        return self._stream(job, task, arguments) if task == "part" else self._tasks(job, task, arguments)

    def _stream(
        self, job: Job, task: str, arguments: Sequence[Mapping[str, Any]]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        import ray.data

        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False  # ours are told of parts and nodes
        context.memory_usage_poll_interval_s = None  # walks the page tables of busy workers every second
        context.use_datasource_v2 = False  # it packs small inputs into one task, whatever is asked
        logging.getLogger("ray.data").setLevel(logging.WARNING)
        logging.getLogger("ray.data._internal.progress").setLevel(logging.ERROR)
        rows = [{"number": i, "arguments": json.dumps(a)} for i, a in enumerate(arguments)]
        # one task a block, so that a slow part holds up nothing and a lost one alone is run again
        tasks = ray.data.from_items(rows, override_num_blocks=len(rows))
        done = tasks.map_batches(_Performer(job, task), batch_size=None, batch_format="pyarrow", num_cpus=1)
        for row in done.iter_rows():
            yield int(row["number"]), json.loads(row["result"])

    def _tasks(
        self, job: Job, task: str, arguments: Sequence[Mapping[str, Any]]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        ray = self._ray
        remote = ray.remote(num_cpus=1, max_retries=3)(perform)
        window = 4 * max(1, int(ray.cluster_resources().get("CPU", 1)))
        waiting = list(enumerate(arguments))[::-1]
        running: dict[Any, int] = {}
        while waiting or running:
            while waiting and len(running) < window:
                number, given = waiting.pop()
                running[remote.remote(job, task, dict(given))] = number
            finished, _ = ray.wait(list(running), num_returns=1)
            for reference in finished:
                yield running.pop(reference), ray.get(reference)

    def close(self) -> None:
        if self._own:
            self._ray.shutdown()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
