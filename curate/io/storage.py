"""Where files lie: one small interface, paths always relative to a root.

Local folders now; an object store answers the same calls. Paths come from data (a page's `<img src>`), so
nothing here follows a path out of its root.
"""

from __future__ import annotations

import errno
import glob
import os
import posixpath
import stat
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

_WILD = "*?["


@dataclass(frozen=True)
class SourceFile:
    """One file of a source. `identity` changes when its content does (size and time, or an ETag)."""

    path: str
    size: int
    identity: str


class Storage(Protocol):
    """What a reader needs of a file system. Missing files raise FileNotFoundError."""

    def find(self, pattern: str) -> list[SourceFile]:
        """Files whose relative path matches the glob (`**` crosses folders), sorted by path."""

    def stat(self, path: str) -> SourceFile:
        """Size and identity of one file."""

    def open(self, path: str) -> BinaryIO:
        """A seekable binary stream."""

    def read(self, path: str) -> bytes:
        """The whole file."""

    def read_ranges(self, path: str, ranges: Iterable[tuple[int, int]]) -> list[bytes]:
        """The bytes at each (offset, length); shorter where the file ends."""


def split_pattern(path: str, in_folder: tuple[str, ...] = ("**/*",)) -> tuple[str, tuple[str, ...]]:
    """A user's path as (root, patterns): the root is the longest leading folder without a wildcard.

    `in_folder`: what a folder stands for.
    """
    parts = path.replace(os.sep, "/").split("/")
    for i, part in enumerate(parts):
        if any(c in part for c in _WILD):
            root = "/".join(parts[:i]) or (".", "/")[path.startswith("/")]
            return root, ("/".join(parts[i:]),)
    if os.path.isdir(path):
        return path, in_folder
    root, name = posixpath.split(path)
    return root or ".", (glob.escape(name),)


class LocalStorage:
    """A folder of the local file system."""

    _KEEP_OPEN = 32

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self._open: OrderedDict[str, int] = OrderedDict()

    def __reduce__(self) -> tuple[type[LocalStorage], tuple[Path]]:
        # another process has no use for our descriptors, and would close its own
        return LocalStorage, (self.root,)

    def _path(self, path: str) -> Path:
        if not path or path.startswith("/") or ".." in path.split("/") or "\0" in path:
            raise FileNotFoundError(f"{path!r} leads out of {self.root}")
        return self.root / path

    def _file(self, path: str) -> Path:
        """The path of a regular file. Whatever else a page's `src` may name is not there."""
        found = self._path(path)
        try:
            if stat.S_ISREG(found.stat().st_mode):
                return found
        except (NotADirectoryError, UnicodeEncodeError):
            pass
        except OSError as problem:
            if problem.errno not in (errno.ENAMETOOLONG, errno.ELOOP):
                raise
        raise FileNotFoundError(f"{path!r} is not a file below {self.root}")

    def find(self, pattern: str) -> list[SourceFile]:
        found = glob.glob(pattern, root_dir=self.root, recursive=True)
        return [
            self.stat(f) for f in sorted(p.replace(os.sep, "/") for p in found) if self._path(f).is_file()
        ]

    def stat(self, path: str) -> SourceFile:
        info = self._file(path).stat()
        return SourceFile(path, info.st_size, f"{info.st_size}-{info.st_mtime_ns}")

    def open(self, path: str) -> BinaryIO:
        return self._file(path).open("rb")

    def read(self, path: str) -> bytes:
        return self._file(path).read_bytes()

    def _descriptor(self, path: str) -> int:
        found = self._open.pop(path, None)
        if found is None:
            found = os.open(self._file(path), os.O_RDONLY | os.O_CLOEXEC)
            if len(self._open) >= self._KEEP_OPEN:
                os.close(self._open.popitem(last=False)[1])
        self._open[path] = found
        return found

    def read_ranges(self, path: str, ranges: Iterable[tuple[int, int]]) -> list[bytes]:
        descriptor = self._descriptor(path)
        return [os.pread(descriptor, length, offset) for offset, length in ranges]

    def close(self) -> None:
        """Close what `read_ranges` keeps open."""
        while self._open:
            os.close(self._open.popitem()[1])

    def __del__(self) -> None:
        self.close()


def storage_for(root: str) -> Storage:
    """The storage a root lies in."""
    return LocalStorage(root)
