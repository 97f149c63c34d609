"""Rows from every part to every bucket, through files: what a Group and a shuffled Write stand on.

A folder holds one Arrow file for each sender, with one record batch for each bucket, so that a receiver
reads its own batches and nothing else. Nobody holds more than one file or one bucket in memory.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa

from curate.commit import LZ4, write_atomic
from curate.sample import Ints


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


def read(folder: Path, bucket: int) -> pa.Table:
    """One bucket of all senders, in the order of their names."""
    pieces = []
    for path in sorted(folder.glob("*.arrow")):
        with pa.memory_map(str(path)) as file:
            pieces.append(pa.Table.from_batches([pa.ipc.open_file(file).get_batch(bucket)]))
    return pa.concat_tables(pieces).combine_chunks()


def keep_only(folder: Path, senders: Iterable[str]) -> None:
    """Remove what senders left that are there no more: a receiver reads every file of the folder."""
    known = set(senders)
    for path in folder.glob("*"):
        # `<sender>.arrow`, `<sender>.json`, and `.<pid>.tmp` behind them: a sender's name may hold dots
        if re.sub(r"\.(arrow|json)(\.\d+\.tmp)?$", "", path.name) not in known:
            path.unlink()


def digest(table: pa.Table) -> str:
    """Hash of a table's rows."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return hashlib.sha256(sink.getvalue()).hexdigest()[:16]
