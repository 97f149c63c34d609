"""Local storage: nothing leaves the root, and whatever is not a regular file is not there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from curate.io.storage import LocalStorage, split_pattern


@pytest.fixture
def root(tmp_path: Path) -> Path:
    inner = tmp_path / "root"
    (inner / "sub").mkdir(parents=True)
    (inner / "a.txt").write_bytes(b"0123456789")
    (inner / "sub" / "b.txt").write_bytes(b"b")
    (tmp_path / "secret").write_bytes(b"secret")
    return inner


@pytest.mark.parametrize(
    "path",
    [
        "",
        "../secret",
        "sub/../../secret",
        "/etc/passwd",
        "a.txt\0",
        "a.txt/b",
        "sub",
        ".",
        "n" * 5000,
        "none.txt",
        "\ud800.png",
        "loop",
    ],
)
def test_what_is_not_a_file_is_not_there(root: Path, path: str) -> None:
    (root / "loop").symlink_to("loop")
    storage = LocalStorage(root)
    for ask in (storage.stat, storage.open, storage.read, lambda p: storage.read_ranges(p, [(0, 1)])):
        with pytest.raises(FileNotFoundError):
            ask(path)


def test_a_pipe_is_not_opened(root: Path) -> None:
    os.mkfifo(root / "pipe")
    with pytest.raises(FileNotFoundError):
        LocalStorage(root).read("pipe")


def test_find_is_sorted_and_has_files_only(root: Path) -> None:
    storage = LocalStorage(root)
    assert [f.path for f in storage.find("**/*")] == ["a.txt", "sub/b.txt"]
    assert [f.path for f in storage.find("*.txt")] == ["a.txt"]


def test_identity_follows_the_content(root: Path) -> None:
    storage = LocalStorage(root)
    before = storage.stat("a.txt")
    assert storage.stat("a.txt") == before
    (root / "a.txt").write_bytes(b"0123456789x")
    assert storage.stat("a.txt").identity != before.identity


def test_ranges(root: Path) -> None:
    storage = LocalStorage(root)
    assert storage.read_ranges("a.txt", [(8, 5), (0, 2), (20, 1)]) == [b"89", b"01", b""]


def test_few_files_stay_open(root: Path) -> None:
    storage = LocalStorage(root)
    for i in range(100):
        (root / f"{i}.bin").write_bytes(b"%d" % i)
    before = len(os.listdir("/proc/self/fd"))
    assert [storage.read_ranges(f"{i}.bin", [(0, 9)]) for i in range(100)] == [
        [b"%d" % i] for i in range(100)
    ]
    assert len(os.listdir("/proc/self/fd")) - before <= 32
    storage.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_copy_in_another_process_takes_no_descriptors_along(root: Path) -> None:
    storage = LocalStorage(root)
    storage.read_ranges("a.txt", [(0, 1)])
    made, (again,) = storage.__reduce__()
    copy = made(again)
    copy.close()
    assert storage.read_ranges("a.txt", [(0, 3)]) == copy.read_ranges("a.txt", [(0, 3)]) == [b"012"]


@pytest.mark.parametrize(
    ("path", "root", "pattern"),
    [
        ("data/*.tar", "data", "*.tar"),
        ("data/**/x/*.html", "data", "**/x/*.html"),
        ("/*.tar", "/", "*.tar"),
        ("*.tar", ".", "*.tar"),
        ("data/0[0].tar", "data", "0[0].tar"),
        ("data/00.tar", "data", "00.tar"),
        ("00.tar", ".", "00.tar"),
    ],
)
def test_roots_of_patterns(path: str, root: str, pattern: str) -> None:
    assert split_pattern(path) == (root, (pattern,))


def test_a_folder_stands_for_the_files_of_a_kind(root: Path) -> None:
    assert split_pattern(str(root)) == (str(root), ("**/*",))
    assert split_pattern(str(root), ("**/*.a", "*.b")) == (str(root), ("**/*.a", "*.b"))


def test_storage_needs_no_heavy_library() -> None:
    code = "import sys, curate.io.storage; sys.exit('pyarrow' in sys.modules or 'boto3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
