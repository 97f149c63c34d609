"""What a worker needs to know, made once for each process from a small, picklable Job."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa

from curate import ledger
from curate.apply import Chain
from curate.commit import RunFolder, read_json
from curate.frames import Frames
from curate.io.payload import Payload
from curate.io.storage import Storage, storage_for
from curate.io.store import RunStore
from curate.plan import make
from curate.recipe import recipe_type
from curate.stage import Heavy, Model
from curate.steps import Plan, Segment

# (title, task, arguments) -> (number of the argument, result): a step of a run, on its workers.
Tasks: TypeAlias = Callable[[str, str, Sequence[Mapping[str, Any]]], Iterator[tuple[int, Mapping[str, Any]]]]


@dataclass(frozen=True)
class Job:
    """A run as it is sent to workers: text only, so that any process can rebuild the plan."""

    run: str
    recipe: str  # JSON, resolved
    roots: tuple[tuple[str, str], ...]  # data set -> absolute root of its source
    modules: tuple[str, ...] = ()
    assets: str = ""  # fingerprint of the nodes with their files: a changed word list is another job

    def to_json(self) -> str:
        roots = [list(r) for r in self.roots]
        return json.dumps([self.run, self.recipe, roots, list(self.modules), self.assets])

    @staticmethod
    def from_json(text: str) -> Job:
        run, recipe, roots, modules, assets = json.loads(text)
        return Job(run, recipe, tuple((d, r) for d, r in roots), tuple(modules), assets)


class Context:
    """The plan, the run folder and the opened ops of a Job."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.folder = RunFolder(Path(job.run))
        self._chains: dict[tuple[str, str], Chain] = {}
        self._models: dict[str, Model] = {}
        self.served: Mapping[str, Model] = {}  # by model key: what answers for a model of another process
        self.gpu = False  # whether a model that is loaded here may take a GPU

    @cached_property
    def plan(self) -> Plan:
        return make(recipe_type(self.job.modules).model_validate(json.loads(self.job.recipe)))

    @cached_property
    def storages(self) -> Mapping[str, Storage]:
        return {dataset: storage_for(root) for dataset, root in self.job.roots}

    @cached_property
    def payload(self) -> Payload:
        return Payload(self.storages, fetched=storage_for(str(self.folder.fetched)))

    @cached_property
    def ledger_schema(self) -> pa.Schema:
        return ledger.schema(s.columns for s in self.plan.segments())

    def model(self, stage: Heavy) -> Model:
        """The model a stage is opened around: served by others where they do, else loaded here, once."""
        key = stage.model_key()
        if key in self.served:  # by the processes of this segment, which are not always those of the last
            return self.served[key]
        if key not in self._models:
            self._models[key] = stage.load(self.gpu and stage.needs.gpus != 0)
        return self._models[key]

    def chain(self, segment: Segment) -> Chain:
        place = (segment.id, segment.thresholds)
        if place not in self._chains:
            decode = self.plan.recipe.decode
            self._chains[place] = Chain(
                segment.ops,
                lambda size: Frames(self.payload, decode, size),
                lambda node: RunStore(self.folder.fetched, node),
                self.model,
            )
        return self._chains[place]

    def part_manifest(self, segment: str, part: str) -> dict[str, Any]:
        """Manifest of a part that must be finished."""
        found = read_json(self.folder.manifest(segment, part))
        assert found is not None, f"part {part} of {segment} is not finished"
        return found


@cache
def context(job: Job) -> Context:
    """One Context for each Job in a process: stages are opened once."""
    return Context(job)
