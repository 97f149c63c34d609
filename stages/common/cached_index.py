"""Tables that are made once from files, and shared by all workers and later runs: an index of a benchmark.

<folder>/<name>/              made whole under another name, then renamed
    <table>.arrow             Arrow IPC, mapped into memory
    index.json                SHA-256 of each table
<folder>/<name>.lock          held by the process that makes it
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa

from curate.errors import RecipeError

Tables: TypeAlias = Mapping[str, pa.Table]

_MANIFEST = "index.json"


def default_folder() -> str:
    """`$CURATE_CACHE`, else curate/ in the user's folder for caches."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.environ.get("CURATE_CACHE") or os.path.join(cache, "curate")


def check_folder(folder: str, field: str) -> None:
    """RecipeError where nothing could be written there."""
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise RecipeError(field, f"{folder} cannot be made: {error.strerror}") from error
    if not os.access(folder, os.W_OK):
        raise RecipeError(field, f"{folder} cannot be written", "name another folder")


def cached(folder: str, name: str, make: Callable[[], Tables]) -> Tables:
    """The tables `name` of a folder; made where they are not there, or not as they were written.

    `name` must change with whatever decides the tables. Processes on one file system make them once.
    """
    whole = Path(folder) / name
    found = _load(str(whole))
    if found is not None:
        return found
    Path(folder).mkdir(parents=True, exist_ok=True)
    with _locked(whole.with_name(f"{name}.lock")):
        _load.cache_clear()  # another process may have made it
        if _load(str(whole)) is None:
            _write(whole, make())
            _load.cache_clear()
        found = _load(str(whole))
    if found is None:
        raise OSError(f"{whole} was written and cannot be read back")
    return found


@lru_cache(maxsize=8)
def _load(path: str) -> Tables | None:
    """None where anything is missing or not as it was written."""
    folder = Path(path)
    try:
        told = json.loads((folder / _MANIFEST).read_text())
        return {name: _table(folder / f"{name}.arrow", digest) for name, digest in told.items()}
    except (OSError, ValueError, AttributeError, pa.ArrowException):
        return None


def _table(path: Path, digest: str) -> pa.Table:
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != digest:
            raise ValueError(f"{path} is not as it was written")
    with pa.memory_map(str(path)) as data:
        return pa.ipc.open_file(data).read_all()


def _write(whole: Path, tables: Tables) -> None:
    fresh = Path(tempfile.mkdtemp(prefix=f"{whole.name}.", dir=whole.parent))
    try:
        told = {}
        for name, table in tables.items():
            path = fresh / f"{name}.arrow"
            with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as out:
                out.write_table(table.combine_chunks())
            told[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        (fresh / _MANIFEST).write_text(json.dumps(told))
        shutil.rmtree(whole, ignore_errors=True)
        fresh.rename(whole)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Until the block ends, or the process does."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
