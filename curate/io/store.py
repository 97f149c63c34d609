"""Bytes from outside, kept in the run folder: plain tars named by their content, never overwritten.

    RUN/state/fetched/<node>/<first 32 digits of its SHA-256>.tar

A reference into one is `<node>/<name>.tar#fetched=<offset>+<length>`. A shard is there before the rows that
point into it, so a kill leaves at most a file that nobody points to.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from curate.io.payload import fetched_reference
from curate.io.tar_write import BLOCK, RECORD, header
from curate.stage import Place


class RunStore:
    """The store of one node. `root` is RUN/state/fetched."""

    def __init__(self, root: Path, node: str) -> None:
        self._root = root
        self._node = node

    @contextmanager
    def shard(self) -> Iterator[TarShard]:
        """A new file, thrown away where the block ends before `close`."""
        folder = self._root / self._node
        folder.mkdir(parents=True, exist_ok=True)
        # two workers never have the same process id on one machine, and one worker writes one at a time;
        # the random name keeps machines apart, and is gone when the file is whole
        temporary = folder / f".{os.getpid()}-{os.urandom(8).hex()}.tmp"
        with temporary.open("wb", buffering=1 << 20) as file:
            shard = TarShard(file, self._node)
            try:
                yield shard
            finally:
                temporary.unlink(missing_ok=True)


class TarShard:
    """A tar that is named by its bytes when it is closed. Its members are numbered."""

    def __init__(self, file: BinaryIO, node: str) -> None:
        self._file = file
        self._node = node
        self._digest = hashlib.sha256()
        self._size = 0
        self._count = 0

    def add(self, data: bytes) -> Place:
        """Append one piece."""
        self._write(header(f"{self._count:08d}", len(data)))
        place = Place(self._size, len(data))
        self._write(data)
        self._write(bytes(-len(data) % BLOCK))
        self._count += 1
        return place

    def close(self) -> Callable[[Place], str]:
        """Make the file durable. Gives the function from the places of its pieces to their references."""
        if not self._count:
            return lambda place: ""
        self._write(bytes(2 * BLOCK))
        self._write(bytes(-self._size % RECORD))
        self._file.flush()
        os.fsync(self._file.fileno())
        path = Path(self._file.name)
        name = f"{self._digest.hexdigest()[:32]}.tar"
        path.replace(path.with_name(name))  # equal bytes under an equal name: either may win
        return lambda place: fetched_reference(f"{self._node}/{name}", place.offset, place.length)

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)
        self._size += len(data)
