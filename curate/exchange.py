"""Rows from every part to every bucket, through files: what a Group and a shuffled Write stand on.

A folder holds one Arrow file for each sender, with one record batch for each bucket, so that a receiver
reads its own batches and nothing else. Nobody holds more than one file or one bucket in memory.

Where there are many senders, `gather` merges the files of each `FAN` of them into one first: else a billion
rows, half a million parts and thousands of buckets, would be opened a billion times.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from curate.commit import LZ4, read_json, write_atomic, write_json
from curate.sample import Ints
from curate.stage import fingerprint
from curate.work import Tasks

_MERGED = "merged"


FAN = 256  # files that are read as one, and receivers that are written to as one


def write(folder: Path, sender: str, table: pa.Table, buckets: Ints, n: int) -> None:
    """Sort `table` into `n` buckets (stable) and write it, whole or not at all."""
    order = np.argsort(buckets, kind="stable")
    ends = np.searchsorted(buckets[order], np.arange(n), side="right")
    table = table.take(pa.array(order)).combine_chunks()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema, options=LZ4) as writer:
        start = 0
        for end in ends.tolist():
            piece = table.slice(start, end - start).combine_chunks()
            # an empty bucket is an empty batch: batch number = bucket number
            batches = piece.to_batches() or [pa.RecordBatch.from_pylist([], schema=table.schema)]
            writer.write_batch(batches[0])
            start = end
    write_atomic(folder / f"{sender}.arrow", sink.getvalue())


def files(folder: Path) -> list[Path]:
    """What `read` reads, in the order of the senders' names."""
    merged = folder / _MERGED
    return sorted((merged if merged.is_dir() else folder).glob("*.arrow"))


def read(folder: Path, bucket: int) -> pa.Table:
    """One bucket of all senders, in the order of their names."""
    return pa.concat_tables([one(path, bucket) for path in files(folder)]).combine_chunks()


def one(path: Path, bucket: int) -> pa.Table:
    """One bucket of one sender."""
    with pa.memory_map(str(path)) as file:
        return pa.Table.from_batches([pa.ipc.open_file(file).get_batch(bucket)])


def gather(tasks: Tasks, title: str, node: str, folder: Path, prints: Mapping[str, str]) -> None:
    """On the driver, when all have sent: merge the files of many senders. `prints`: sender -> of its file."""
    senders = sorted(prints)
    if len(senders) <= FAN:
        shutil.rmtree(folder / _MERGED, ignore_errors=True)
        return
    groups = {f"{start:07d}": senders[start : start + FAN] for start in range(0, len(senders), FAN)}
    keep_only(folder / _MERGED, groups)
    arguments = [
        {
            "folder": str(folder),
            "name": name,
            "senders": group,
            "print_": fingerprint([prints[s] for s in group]),
        }
        for name, group in groups.items()
    ]
    for _ in tasks(f"{node}: {title}", "merge", arguments):
        pass


def merge(folder: Path, name: str, senders: Sequence[str], print_: str) -> dict[str, Any]:
    """The files of some senders as one, bucket by bucket."""
    path = folder / _MERGED / f"{name}.arrow"
    note = path.with_suffix(".json")
    done = read_json(note)
    if done is not None and done["fingerprint"] == print_:
        return done
    join([folder / f"{s}.arrow" for s in senders], path)
    result = {"fingerprint": print_}
    write_json(note, result)
    return result


def join(sources: Sequence[Path], path: Path) -> None:
    """Some senders' files as one, which is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with ExitStack() as stack:
        maps = [stack.enter_context(pa.memory_map(str(source))) for source in sources]
        opened = [pa.ipc.open_file(m) for m in maps]
        writer = stack.enter_context(pa.ipc.new_file(str(temporary), opened[0].schema, options=LZ4))
        for bucket in range(opened[0].num_record_batches):
            writer.write_batch(pa.concat_batches([file.get_batch(bucket) for file in opened]))
    temporary.replace(path)


def keep_only(folder: Path, senders: Iterable[str]) -> None:
    """Remove what senders left that are there no more: a receiver reads every file of the folder."""
    known = set(senders)
    for path in [p for p in folder.glob("*") if p.name != _MERGED]:
        # `<sender>.arrow`, `<sender>.json`, and `.<pid>.tmp` behind them: a sender's name may hold dots
        if re.sub(r"\.(arrow|json)(\.\d+\.tmp)?$", "", path.name) not in known:
            path.unlink()


def digest(table: pa.Table) -> str:
    """Hash of a table's rows."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return hashlib.sha256(sink.getvalue()).hexdigest()[:16]
