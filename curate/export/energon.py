"""What Megatron Energon keeps beside WebDataset tars, so that it takes an output without `energon prepare`.

    00000.tar.idx            where in the tar each sample begins, and where the last one ends: uint64
    .nv-meta/.info.json      samples of each tar; the order of tars is their number in index.sqlite
    .nv-meta/index.sqlite    every sample and every member: name, offset, size
    .nv-meta/index.uuid      changes when the index does
    .nv-meta/split.yaml      which tars are train, val and test
    .nv-meta/dataset.yaml    what a sample is
    .nv-meta/crude.yaml      the same undecided, for a cooker of the trainer's: `dataset_config="crude.yaml"`

Offsets, sizes, tables and names are those that `energon prepare` of Megatron Energon 7.4.1 writes for the
same tars (flavors/webdataset/prepare.py, indexing.py, itar.py); the uuid is a hash of the index, not chance.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import struct
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from curate.errors import RunError
from curate.export.forms import Form
from curate.io import tar

VERSION = "7.4.1"  # of Energon, whose layout this is
META = ".nv-meta"
PARTS = ("train", "val", "test")  # it asks for these, with or without tars in them
_NAMES = {"validation": "val", "valid": "val"}

_ENERGON = "megatron.energon"
_CRUDE = {"__module__": _ENERGON, "__class__": "CrudeWebdataset"}
# It reads `dataset.yaml` with a loader of the folder's own where a field map cannot say what a sample is.
_SAMPLE_LOADER = '''\
"""Documents as Megatron Energon's InterleavedSample: images, decoded, and texts in reading order."""


def sample_loader(raw: dict) -> dict:
    document = raw["json"]
    spans = zip(document["images"], document["texts"])
    return {
        "__key__": raw["__key__"],
        "sequence": [text if image is None else raw[image] for image, text in spans],
    }


def part_filter(part: str) -> bool:
    return True
'''

_NOTES = """
`.nv-meta` and `<shard>.tar.idx` are what Megatron Energon's `prepare` writes: `get_train_dataset` takes this
folder as it is. {what}
`dataset_config="crude.yaml"` leaves them as they are in the tar, for a cooker.
"""
_WHAT: dict[Form, str] = {
    "pairs": "Samples are `CaptioningSample`s (`image`, `caption`).",
    "documents": "Samples are `InterleavedSample`s: `sequence` holds images and texts in reading order.",
}


def notes(form: Form, by: Sequence[str]) -> str:
    """Lines for the data card. `by`: as `write_meta` takes it."""
    text = _NOTES.format(what=_WHAT[form])
    if set(by) > {"split"} or (by and "split" not in by):
        text += 'Shards of one folder alone: `split_config="split.<folder>.yaml"`.\n'
    return text


class Indexed(NamedTuple):
    """A sample in its tar; offsets and sizes are bytes."""

    key: str
    offset: int  # of its first header
    size: int  # headers and padding included
    parts: list[tuple[str, int, int]]  # name behind the key, offset and size of the data


def samples(path: Path) -> Iterator[Indexed]:
    """The samples of a tar, by its headers alone."""
    size = path.stat().st_size
    with path.open("rb") as file:
        before: tar.Group | None = None
        for group in tar.groups(file, 0, size):
            if group.broken:
                raise RunError(f"{path.name}: no tar header at byte {group.offset}; the disk lost something")
            if before is not None:
                yield _indexed(before, group.offset)
            before = group
        if before is not None:
            last = before.entries[-1]
            yield _indexed(before, last.data + -(-last.size // tar.BLOCK) * tar.BLOCK)


def _indexed(group: tar.Group, end: int) -> Indexed:
    parts = [(entry.suffix, entry.data, entry.size) for entry in group.entries]
    return Indexed(group.key, group.offset, end - group.offset, parts)


def write_offsets(path: Path) -> None:
    """`<tar>.idx` of a finished tar."""
    offsets = [0, *(found.offset + found.size for found in samples(path))]
    data = struct.pack(f"<{len(offsets)}Q", *offsets)
    path.with_name(f"{path.name}.idx").write_bytes(data)


def write_meta(
    folder: Path, counts: Mapping[str, int], form: Form, endings: Sequence[str], by: Sequence[str]
) -> list[str]:
    """`.nv-meta` of an output; returns its files.

    `counts`: samples of each tar, by its path within `folder`. `endings`: extensions that images of pairs may
    have. `by`: the columns whose values are the folders of tars, see `Write.by`: those of a column `split`
    are the split parts, and the shards of each of the other folders have a split file of their own.
    """
    meta = folder / META
    meta.mkdir(exist_ok=True)
    names = sorted(counts)
    files = {
        ".info.json": _json({"energon_version": VERSION, "shard_counts": {n: counts[n] for n in names}}),
        "dataset.yaml": _yaml(_dataset(form, endings)),
        "crude.yaml": _yaml(_CRUDE),
        "index.uuid": _write_index(folder, names, meta / "index.sqlite"),
    }
    if form == "documents":
        files["sample_loader.py"] = _SAMPLE_LOADER
    for name, parts in splits(names, by).items():
        files[name] = _yaml({"split_parts": parts, "exclude": []})
    for name, text in files.items():
        (meta / name).write_text(text, encoding="utf-8")
    return [f"{META}/{name}" for name in sorted([*files, "index.sqlite"])]


def _dataset(form: Form, endings: Sequence[str]) -> dict[str, Any]:
    kind = "CaptioningSample" if form == "pairs" else "InterleavedSample"
    found: dict[str, Any] = {"sample_type": {"__module__": _ENERGON, "__class__": kind}}
    if form == "pairs":
        return {**found, "field_map": {"image": ",".join(endings), "caption": "txt"}}
    loader = "sample_loader.py"
    return {**found, "sample_loader": f"{loader}:sample_loader", "part_filter": f"{loader}:part_filter"}


def splits(names: Sequence[str], by: Sequence[str]) -> dict[str, dict[str, list[str]]]:
    """For each split file the tars of its parts: `split.yaml` of all, `split.448x448.yaml` of one folder."""
    found: dict[str, dict[str, list[str]]] = {"split.yaml": {part: [] for part in PARTS}}
    for name in names:
        folders = name.split("/")[:-1]
        part = "train"
        if "split" in by:
            value = folders.pop(list(by).index("split"))
            part = _NAMES.get(value, value)
        own = [f"split.{'.'.join(folders)}.yaml"] if folders else []
        for file in ("split.yaml", *own):
            found.setdefault(file, {part: [] for part in PARTS}).setdefault(part, []).append(name)
    return found


def _write_index(folder: Path, names: Sequence[str], path: Path) -> str:
    """index.sqlite of these tars; returns a uuid that follows from what is in it."""
    path.unlink(missing_ok=True)
    digest = hashlib.sha256()
    with closing(sqlite3.connect(path, isolation_level=None)) as base:
        base.execute("PRAGMA journal_mode = OFF")
        base.execute("PRAGMA synchronous = OFF")
        base.execute("BEGIN")
        base.execute(
            "CREATE TABLE samples (tar_file_id INTEGER NOT NULL, sample_key TEXT NOT NULL, "
            "sample_index INTEGER NOT NULL, byte_offset INTEGER, byte_size INTEGER)"
        )
        base.execute(
            "CREATE TABLE sample_parts (tar_file_id INTEGER, sample_index INTEGER, part_name TEXT, "
            "content_byte_offset INTEGER, content_byte_size INTEGER)"
        )
        for number, name in enumerate(names):
            found = list(samples(folder / name))
            digest.update(f"{name} {found}\n".encode())
            base.executemany(
                "INSERT INTO samples VALUES (?, ?, ?, ?, ?)",
                [(number, s.key, place, s.offset, s.size) for place, s in enumerate(found)],
            )
            base.executemany(
                "INSERT INTO sample_parts VALUES (?, ?, ?, ?, ?)",
                [(number, place, *part) for place, s in enumerate(found) for part in s.parts],
            )
        # made at the end: keys are hashes, and a tree that grows by them is written all over again and again
        for index in (
            "UNIQUE INDEX idx_samples_sample_key ON samples(sample_key)",
            "INDEX idx_samples_by_tar_and_idx ON samples(tar_file_id, sample_index)",
            "INDEX idx_sample_parts_seq ON sample_parts(tar_file_id, sample_index, content_byte_offset)",
            "INDEX idx_sample_parts_full ON sample_parts"
            "(tar_file_id, sample_index, part_name, content_byte_offset, content_byte_size)",
        ):
            base.execute(f"CREATE {index}")
        base.execute("COMMIT")
    return str(uuid.UUID(bytes=digest.digest()[:16], version=4))


def _json(value: Any) -> str:
    return json.dumps(value, indent=2)


def _yaml(value: Any) -> str:
    text: str = yaml.safe_dump(value, sort_keys=False, default_flow_style=False)
    return text
