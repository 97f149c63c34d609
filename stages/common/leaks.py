"""What the stages that find leaks of benchmarks have in common: where the benchmark lies, and its index."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, TypeAlias

import pyarrow as pa
from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from curate.stage import Map, as_list, fingerprint
from stages.common.benchmark import Benchmark, digests, find
from stages.common.cached_index import Tables, cached, check_folder, default_folder

_PathName: TypeAlias = Annotated[
    str, StringConstraints(min_length=1), AfterValidator(os.path.expanduser), AfterValidator(os.path.abspath)
]
Paths: TypeAlias = Annotated[
    tuple[_PathName, ...], BeforeValidator(as_list, json_schema_input_type=str | tuple[str, ...])
]


class Leak(Map):
    """A Map that compares what it is shown with benchmarks. Their content, not their place, is part of its
    identity; the index is made once for each content and kept in `index`."""

    # where the files lie is not what they are: assets() tells that
    incidental: ClassVar[frozenset[str]] = frozenset({"paths", "index"})

    paths: Paths = Field(
        min_length=1,
        description="Benchmarks: files (TSV of VLMEvalKit, CSV, Parquet, JSON, JSON Lines, images), folders "
        "of such, or globs; relative to where the command is given. A folder is one benchmark.",
    )
    action: Literal["drop", "mark"] = Field(
        default="drop", description="`mark`: write columns, drop nothing."
    )
    index: str = Field(
        default="",
        description="Folder in which the index is kept; left out, `$CURATE_CACHE` or ~/.cache/curate.",
    )

    def reasons(self) -> frozenset[str]:
        return frozenset({"leak"} if self.action == "drop" else ())

    def assets(self) -> Mapping[str, str]:
        return digests(self.benchmarks(), "paths")

    def notices(self) -> frozenset[str]:
        """What was compared with, and what of it could not be read."""
        faults = self.tables()["faults"].to_pylist()
        told = []
        for name, digest in digests(self.benchmarks(), "paths").items():
            lost = [f"{f['count']} {f['fault']}" for f in faults if f["benchmark"] == name]
            tail = f"; not compared: {', '.join(lost)}" if lost else ""
            told.append(f"Compared with the benchmark {name}, SHA-256 {digest[:16]}{tail}")
        return frozenset(told)

    def check_columns(self, columns: pa.Schema) -> None:
        digests(self.benchmarks(), "paths")
        check_folder(self.folder, "index")

    def benchmarks(self) -> tuple[Benchmark, ...]:
        return find(self.paths, "paths")

    def tables(self) -> Tables:
        """The index, made now where it is not there."""
        contents = fingerprint(self.kind(), digests(self.benchmarks(), "paths"))
        return cached(self.folder, f"{self.kind()}-{contents}", self.build)

    @property
    def folder(self) -> str:
        """Where indexes are kept."""
        return os.path.abspath(os.path.expanduser(self.index or default_folder()))

    @abstractmethod
    def kind(self) -> str:
        """Of index: changes with all that decides its tables beside the benchmarks' content."""

    @abstractmethod
    def build(self) -> Tables:
        """The tables of the index, `faults` among them."""
