"""What MosaicML's MDS and Lightning's LitData have in common, written without their packages.

    uint32 n;  uint32 offset[n + 1], from the file's start;  a head (MDS: its config);  n samples
    a sample: uint32 size of each column's value, then the values, in the order of the columns' names

All little-endian. Read off `streaming/base/format/mds/writer.py` (mosaicml-streaming 0.13) and
`litdata/streaming/writer.py` (litdata 0.2); `tests/loaders` holds the bytes against those of the packages.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np

from curate.errors import RunError

LIMIT = 2**32  # what an offset can tell


class Column(NamedTuple):
    """A column and what its loader makes of its bytes."""

    name: str
    encoding: str


class File(NamedTuple):
    """A finished shard, for the index."""

    path: str  # relative to the output, with slashes
    samples: int
    bytes: int


def sizes(values: Sequence[bytes]) -> bytes:
    return np.array([len(value) for value in values], "<u4").tobytes()


def listed(values: Sequence[bytes]) -> bytes:
    """Several files as one value: how many, the size of each, the files."""
    return b"".join([np.uint32(len(values)).astype("<u4").tobytes(), sizes(values), *values])


class PackedWriter:
    """A shard of `count` samples, written as they come: no more than one of them is held."""

    def __init__(self, path: Path, count: int, head: bytes = b"") -> None:
        self._path = path
        self._offsets = np.zeros(count + 1, "<u4")
        self._end = 4 + self._offsets.nbytes + len(head)
        self._offsets[0] = self._end
        self._at = 0
        self._head = head
        self._out = path.open("wb")
        self._out.seek(self._end)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._out as out:
            if error is None:
                assert self._at == len(self._offsets) - 1, "fewer samples than were announced"
                out.seek(0)
                out.write(np.uint32(self._at).astype("<u4").tobytes() + self._offsets.tobytes() + self._head)

    def add(self, values: Sequence[bytes]) -> None:
        """One sample: the value of each column, in the order of the columns."""
        head = sizes(values)
        end = self._end + len(head) + sum(map(len, values))
        if end >= LIMIT:
            raise RunError(
                f"{self._path.name} would pass 4 GiB, which the format's offsets cannot tell: "
                "write fewer samples a shard (`shard_size`, or `shard_bytes`)"
            )
        self._out.writelines((head, *values))
        self._at += 1
        self._offsets[self._at] = self._end = end


def by_folder(files: Iterable[File]) -> Mapping[str, list[File]]:
    """The shards below each folder, with paths relative to it; "" is the output itself."""
    found: dict[str, list[File]] = {}
    for file in files:
        path = PurePosixPath(file.path)
        for folder in path.parents:
            name = "" if folder == PurePosixPath(".") else str(folder)
            found.setdefault(name, []).append(file._replace(path=str(path.relative_to(folder))))
    return found


def dumps(index: Mapping[str, Any]) -> bytes:
    """As both packages spell their indexes."""
    return json.dumps(index, sort_keys=True).encode()
