"""Archives made on the spot, and their rows."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa

from curate import sample
from curate.io.payload import Payload
from curate.io.storage import LocalStorage
from curate.io.webdataset import ReadWebdataset

Files = list[tuple[str, bytes]]
Row = dict[str, Any]


def tar_bytes(files: Files, form: int = tarfile.USTAR_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, body in files:
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    return buffer.getvalue()


def named(text: str) -> Files:
    """Members whose bodies are their names."""
    return [(name, name.encode()) for name in text.split()]


def read(folder: Path, archive: bytes, name: str = "00000.tar", **config: object) -> pa.Table:
    """All rows of one archive, through split and rows."""
    (folder / name).write_bytes(archive)
    storage = LocalStorage(folder)
    reader = ReadWebdataset.model_validate({"path": "x", "id": "read", "name": "ds", **config})
    parts = reader.split(storage, [storage.stat(name)])
    tables = [reader.rows(storage, part) for part in parts]
    assert [t.num_rows for t in tables] == [p.stop - p.start for p in parts]
    assert [p.start for p in parts] == [0, *(p.stop for p in parts)][: len(parts)]
    empty = pa.unify_schemas([sample.BASE, reader.writes()]).empty_table()
    table = pa.concat_tables([empty, *tables]).combine_chunks()
    sample.check(table)
    reasons = set(table["drop"].to_pylist())
    for level in ("image_drop", "text_drop"):
        reasons |= {reason for row in table[level].to_pylist() for reason in row}
    assert reasons - {None} <= {f"read:{r}" for r in reader.reasons()}
    return table


def rows_of(folder: Path, archive: bytes, **config: object) -> list[Row]:
    return read(folder, archive, **config).to_pylist()  # type: ignore[arg-type, no-any-return]


def row_of(folder: Path, files: Files, **config: object) -> Row:
    """The one row of an archive of these members."""
    (row,) = rows_of(folder, tar_bytes(files), **config)
    return row


def image_bytes(folder: Path, row: Row) -> list[bytes | str]:
    references = row["image_ref"]
    return Payload({"ds": LocalStorage(folder)}).fetch(["ds"] * len(references), references)


PAIR: Files = [
    ("000000001.jpg", b"\xff\xd8pixels"),
    ("000000001.txt", "ein Hünd".encode()),
    ("000000001.json", json.dumps({"url": "http://a/b.jpg", "license": "cc0", "width": 7}).encode()),
]


def checksum(archive: bytearray, header: int) -> None:
    archive[header + 148 : header + 156] = b" " * 8
    archive[header + 148 : header + 156] = b"%06o\0 " % sum(archive[header : header + 512])
