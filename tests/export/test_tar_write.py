from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from curate.io.tar_write import Member, TarWriter, header

SIZES = (0, 1, 511, 512, 513, 3_000_000)


def write(path: Path, members: Iterable[Member]) -> bytes:
    with TarWriter(path) as tar:
        tar.extend(members)
    return path.read_bytes()


def members() -> list[Member]:
    return [Member(f"folder/{n:032x}.img00.jpg", bytes([n % 251]) * n) for n in SIZES]


def test_the_standard_library_reads_what_was_written(tmp_path: Path) -> None:
    archive = write(tmp_path / "a.tar", members())
    assert len(archive) % 10240 == 0
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        found = tar.getmembers()
        assert [(m.name, tar.extractfile(m).read()) for m in found] == members()  # type: ignore[union-attr]
    assert {(m.mtime, m.uid, m.gid, m.mode, m.uname, m.gname, m.type) for m in found} == {
        (0, 0, 0, 0o644, "", "", tarfile.REGTYPE)
    }
    assert {archive[m.offset + 257 : m.offset + 265] for m in found} == {b"ustar\x0000"}


def test_a_member_is_what_the_standard_library_would_write(tmp_path: Path) -> None:
    ours = write(tmp_path / "a.tar", members())
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    assert len(ours) == len(buffer.getvalue())
    # ours writes device numbers as zeros where the library leaves them empty: fields nobody reads
    assert ours[:329] == buffer.getvalue()[:148] + ours[148:156] + buffer.getvalue()[156:329]


@pytest.mark.parametrize(
    "name",
    ["", "/a.txt", "../a.txt", "a/../b.txt", "a//b.txt", "./a.txt", "é.txt", "a\nb", "a\\b", "x" * 101],
)
def test_a_name_that_could_lead_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with TarWriter(tmp_path / "a.tar") as tar, pytest.raises(ValueError, match=r"printable|fit|relative"):
        tar.add(Member(name, b""))


def test_the_longest_name_is_whole(tmp_path: Path) -> None:
    write(tmp_path / "a.tar", [Member("x" * 100, b"data")])
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert tar.getnames() == ["x" * 100]


def test_a_member_too_large_for_the_header_is_refused() -> None:
    assert header("a", 8**11 - 1)[124:136] == b"77777777777\0"
    with pytest.raises(ValueError, match="more than a ustar member"):
        header("a", 8**11)


def test_an_archive_cut_off_by_an_error_has_no_end(tmp_path: Path) -> None:
    def members() -> Iterator[Member]:
        yield Member("a.txt", b"text")
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        write(tmp_path / "a.tar", members())
    assert (tmp_path / "a.tar").stat().st_size == 1024
