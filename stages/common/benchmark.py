"""Evaluation benchmarks as they are given to a recipe: files, folders and globs, read item by item."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from curate.errors import RecipeError, nearest
from stages.common import benchmark_files as files_
from stages.common.benchmark_rows import LARGEST_IMAGE, Faults, Item, Named, SameAs, item

# Of a file of the Hub: `validation-00000-of-00005`.
_SHARD = re.compile(r"[-_.]\d{4,5}-of-\d{4,5}$")


class Benchmark(NamedTuple):
    """Files that are one benchmark."""

    name: str
    root: Path
    tables: tuple[Path, ...]
    images: tuple[Path, ...]


class Asked(NamedTuple):
    """An item with its images at hand."""

    name: str  # <benchmark>/<id>
    benchmark: str
    item: Item
    images: tuple[bytes | SameAs, ...]


def find(paths: Sequence[str], field: str) -> tuple[Benchmark, ...]:
    """The benchmarks of paths; RecipeError at `field` where one names nothing that can be compared.

    A file, and each match of a glob, is a benchmark of its own, named like itself; shards are one. A folder
    is one benchmark with all tables and images in it; tables in which nothing is asked are left out there.
    """
    places = [place for path in paths for place in _matches(path, field)]
    found = [(place.parent.name, _benchmark(place, field)) for place in sorted(set(places))]
    merged: dict[str, Benchmark] = {}
    for parent, one in found:
        # of two of one name their folders tell them apart; shards of one folder belong together
        roots = {other.root for _, other in found if other.name == one.name}
        name = one.name if len(roots) == 1 else f"{parent}/{one.name}"
        old = merged.get(name, Benchmark(name, one.root, (), ()))
        merged[name] = old._replace(tables=old.tables + one.tables, images=old.images + one.images)
    return tuple(merged[name] for name in sorted(merged))


def digests(benchmarks: Sequence[Benchmark], field: str) -> dict[str, str]:
    """SHA-256 over names and contents of each benchmark's files, by its name."""
    try:
        return {
            one.name: _digest(
                tuple(
                    (str(path), os.path.relpath(path, one.root), *_stamp(path))
                    for path in (*one.tables, *one.images)
                )
            )
            for one in benchmarks
        }
    except OSError as error:
        raise RecipeError(field, f"cannot read {error.filename}: {error.strerror}") from error


def items(benchmark: Benchmark, faults: Faults) -> Iterator[Asked]:
    """Items in the order of files and rows; images that no row names come last, as items of their own."""
    beside = _Beside(benchmark)
    for table in benchmark.tables:
        for number, row in enumerate(files_.rows(table, faults)):
            place = str(number) if len(benchmark.tables) == 1 else f"{table.stem}#{number}"
            found = item(row, place, faults)
            images = [beside.read(image, table, faults) for image in found.images]
            name = f"{benchmark.name}/{found.id}"
            yield Asked(name, benchmark.name, found, tuple(image for image in images if image is not None))
    for path in beside.unnamed():
        own = Item(os.path.relpath(path, benchmark.root), ())
        data = _bytes(path, faults)
        yield Asked(f"{benchmark.name}/{own.id}", benchmark.name, own, () if data is None else (data,))


class Gallery:
    """The names of images: of each the item that showed it first. Equal files are one image."""

    def __init__(self) -> None:
        self._names: dict[bytes, str] = {}
        self._of: dict[tuple[str, str], tuple[bytes | SameAs, ...]] = {}

    def add(self, asked: Asked) -> list[bytes]:
        """Those of its images that are new; their name is the item's."""
        keys = [i if isinstance(i, SameAs) else hashlib.sha256(i).digest() for i in asked.images]
        self._of.setdefault((asked.benchmark, asked.item.id), tuple(keys))
        fresh = []
        for key, image in zip(keys, asked.images, strict=True):
            if isinstance(key, bytes) and isinstance(image, bytes) and key not in self._names:
                self._names[key] = asked.name
                fresh.append(image)
        return fresh

    def names(self, asked: Asked) -> list[str]:
        """Of all its images, when all items were added. A row may point at one that has the image."""
        found: list[str] = []
        for key in self._of.get((asked.benchmark, asked.item.id), ()):
            keys = self._of.get((asked.benchmark, key.id), ()) if isinstance(key, SameAs) else (key,)
            found += [self._names[k] for k in keys if isinstance(k, bytes)]
        return list(dict.fromkeys(found))


class _Beside:
    """The images that lie beside the tables of a benchmark. Nothing else is ever opened for a row."""

    def __init__(self, benchmark: Benchmark) -> None:
        self._files = {os.path.normpath(path): path for path in benchmark.images}
        self._by_name: dict[str, Path | None] = {}
        for path in benchmark.images:
            self._by_name[path.name] = None if path.name in self._by_name else path
        self._named: set[Path] = set()

    def read(self, image: bytes | SameAs | Named, table: Path, faults: Faults) -> bytes | SameAs | None:
        if not isinstance(image, Named):
            return image
        # VLMEvalKit keeps the images of a TSV in images/<its name>/
        folders = (table.parent, table.parent / "images" / table.stem, table.parent / "images")
        places = [os.path.normpath(folder / image.path) for folder in folders]
        path = next((self._files[p] for p in places if p in self._files), None)
        path = path or self._by_name.get(os.path.basename(image.path))
        if path is None:
            faults["missing_image"] += 1
            return None
        self._named.add(path)
        return _bytes(path, faults)

    def unnamed(self) -> list[Path]:
        return [path for path in self._files.values() if path not in self._named]


def _bytes(path: Path, faults: Faults) -> bytes | None:
    try:
        if path.stat().st_size <= LARGEST_IMAGE:
            return path.read_bytes()
        faults["oversized"] += 1
    except OSError:
        faults["missing_image"] += 1
    return None


def _matches(path: str, field: str) -> list[Path]:
    if os.path.exists(path):
        return [Path(path)]
    found = [Path(p) for p in glob.glob(path, recursive=True)] if glob.has_magic(path) else []
    if found:
        return found
    parent = Path(path).parent
    if glob.has_magic(path):
        raise RecipeError(field, f"no file matches {path}")
    beside = sorted(p.name for p in parent.iterdir()) if parent.is_dir() else []
    hint = nearest(Path(path).name, beside[:1000]) if beside else f"there is no folder {parent}"
    raise RecipeError(field, f"there is no {path}", hint)


def _benchmark(place: Path, field: str) -> Benchmark:
    if place.is_dir():
        inside = sorted(p for p in place.rglob("*") if p.is_file() and not p.name.startswith("."))
        tables = tuple(p for p in inside if files_.is_table(p) and files_.asks(p, field))
        images = tuple(p for p in inside if p.suffix.lower() in files_.IMAGES)
        if not tables and not images:
            raise RecipeError(field, f"{place} holds nothing to compare with", f"it reads {files_.FORMS}")
        return Benchmark(place.name, place, tables, images)
    name = _SHARD.sub("", place.stem)
    if place.suffix.lower() in files_.IMAGES:
        return Benchmark(place.parent.name, place.parent, (), (place,))
    if not files_.is_table(place):
        raise RecipeError(field, f"{place} is none of the forms it reads", f"it reads {files_.FORMS}")
    files_.check(place, field)
    return Benchmark(name, place.parent, (place,), ())


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=64)
def _digest(files: tuple[tuple[str, str, int, int], ...]) -> str:
    """Of files of those sizes, changed at those times: they are read once, plans ask often."""
    whole = hashlib.sha256()
    for path, name, size, _ in files:
        with open(path, "rb") as file:
            own = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(f"{name}\0{size}\0{own}\n".encode("utf-8", "surrogatepass"))
    return whole.hexdigest()
