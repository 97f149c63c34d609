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
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from curate import serving
from curate.errors import RunError
from curate.stage import Arrays, Model
from curate.steps import Plan
from curate.tasks import perform
from curate.work import Job, context

_FOLDER = "curate-ray-"
# Batches on their way to models and back; samples do not go this way.
_STORE = 1 << 30
_AT_ONCE = 2  # calls that a model's process works on: one is computed, one arrives


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
    """The UDF: arguments as JSON in, facts as JSON out. `pools`: model key -> the actors that hold it."""

    def __init__(self, job: Job, task: str, pools: Mapping[str, Sequence[Any]]) -> None:
        self._job = job
        self._task = task
        self._pools = {key: tuple(actors) for key, actors in pools.items()}

    def __call__(self, batch: pa.Table) -> pa.Table:
        context(self._job).served = {key: _Client(actors) for key, actors in self._pools.items()}
        results = [
            json.dumps(perform(self._job, self._task, json.loads(given)))
            for given in batch["arguments"].to_pylist()
        ]
        return pa.table({"number": batch["number"], "result": pa.array(results, pa.string())})


class _Server:
    """An actor: one copy of a model, loaded at the first call, for all workers."""

    def __init__(self, job: Job, segment: str, key: str, gpu: bool) -> None:
        self._place = (job, segment, key, gpu)
        self._loading = threading.Lock()
        self._model: Model | None = None

    def call(self, arrays: Arrays) -> Arrays:
        """Runs in several threads: while the model computes, the next batch arrives."""
        with self._loading:
            if self._model is None:
                job, segment, key, gpu = self._place
                _, stage = serving.heavy(context(job).plan.segment(segment))[key]
                self._model = stage.load(gpu)
        return self._model(arrays)


class _Client:
    """What a worker calls instead of a model: a pool's actors in turn.

    A call is a pure function: when an actor dies, Ray starts another and sends it the calls again that were
    not answered. Nothing is lost, and nothing counts twice, as a part's results appear once or not at all.
    """

    def __init__(self, actors: Sequence[Any]) -> None:
        self._actors = actors
        self._next = os.getpid()  # workers begin with different ones

    def __call__(self, arrays: Arrays) -> Arrays:
        import ray

        self._next += 1
        actor = self._actors[self._next % len(self._actors)]
        try:
            return ray.get(actor.call.remote(arrays))  # type: ignore[no-any-return]
        except ray.exceptions.RayTaskError as error:
            raise error.cause from error  # as if the model were here
        except ray.exceptions.RayActorError as error:
            # no sample is to blame
            raise RunError(f"a model's process cannot be kept alive: {error}") from error


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
        self._address = address
        self._pools: dict[serving.Pool, list[Any]] = {}
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
                object_store_memory=_STORE,
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
        performer = _Performer(job, task, self._serve(job, str(arguments[0]["segment"])))
        done = tasks.map_batches(performer, batch_size=None, batch_format="pyarrow", num_cpus=1)
        for row in done.iter_rows():
            yield int(row["number"]), json.loads(row["result"])

    def _serve(self, job: Job, segment: str) -> dict[str, list[Any]]:
        """The actors of a segment's models. Those of the segment before stay where they are the same."""
        ray = self._ray
        plan = context(job).plan
        wanted = serving.pools(plan.segment(segment), self._gpus())
        for pool in [p for p in self._pools if p not in wanted]:
            for actor in self._pools.pop(pool):
                ray.kill(actor)
        for pool in wanted:
            if pool not in self._pools:
                server = ray.remote(
                    # no CPU of its own: models must not take the places of the workers that feed them
                    num_cpus=0,
                    num_gpus=pool.gpus,
                    max_restarts=-1,
                    max_task_retries=-1,
                    max_concurrency=_AT_ONCE,
                )(_Server)
                self._pools[pool] = [
                    server.remote(job, segment, pool.key, pool.gpus > 0) for _ in range(pool.copies)
                ]
        return {pool.key: self._pools[pool] for pool in wanted}

    def _gpus(self) -> float:
        return float(self._ray.cluster_resources().get("GPU", 0))  # type: ignore[no-untyped-call]

    @property
    def workers(self) -> int:
        return int(self._ray.cluster_resources().get("CPU", 1))  # type: ignore[no-untyped-call]

    def check(self, plan: Plan) -> None:
        # a cluster may bring up machines with GPUs when it is asked for them
        if self._address is None:
            serving.check(plan, self._gpus())

    def _tasks(
        self, job: Job, task: str, arguments: Sequence[Mapping[str, Any]]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        ray = self._ray
        remote = ray.remote(num_cpus=1, max_retries=3)(perform)
        window = 4 * self.workers
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
        for actor in [a for actors in self._pools.values() for a in actors]:
            self._ray.kill(actor)
        if self._own:
            self._ray.shutdown()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
