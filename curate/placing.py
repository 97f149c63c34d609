"""Where each row of an output goes: its folder, its place in the order, its weight. Pure functions."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate import sample
from curate.export.shard import expected_bytes
from curate.io.sink import Write
from curate.sample import Ints

Keys = npt.NDArray[np.uint64]

_FOLDERS = 64  # groups of buckets that folders are dealt out to, so that a shard reads few rows of others
_MOST_BUCKETS = 4096
# Rows that weigh more count as this share of a shard, so that no shard is left without a row.
_HEAVIEST = 4
_NOT_SAFE = re.compile(r"[^A-Za-z0-9._-]")
_LONGEST = 80


class Buckets(NamedTuple):
    """How the rows of an output are divided on their way to its shards."""

    groups: int
    each: int  # of a group

    @property
    def all(self) -> int:
        return self.groups * self.each


class Span(NamedTuple):
    """The rows of a shard: those of its folder in the buckets first..last whose weights before them, counted
    from the first bucket on, are in [start, stop)."""

    name: str
    first: int
    last: int
    start: int
    stop: int


def buckets(stage: Write, rows: int) -> Buckets:
    """Several buckets a shard, so that a shard task reads little beyond its own rows."""
    few = stage.shard_size // 4 if stage.shard_bytes is None else 64
    wanted = -(-rows // max(1, few))
    groups = _FOLDERS if stage.by else 1
    return Buckets(groups, max(1, min(_MOST_BUCKETS // groups, wanted)))


def copies(stage: Write, table: pa.Table) -> Ints:
    """How often each row is written."""
    if not stage.repeat:
        return np.ones(table.num_rows, dtype=np.int64)
    times = pc.fill_null(sample.single(table[stage.repeat]).cast(pa.int64()), 1)
    return np.maximum(times.to_numpy(zero_copy_only=False), 1)  # type: ignore[no-any-return]


def folders(stage: Write, table: pa.Table) -> pa.Array:
    """The folder of each row, without a slash at its end; empty where there are none."""
    found = [""] * table.num_rows
    for name in stage.by:
        column = sample.single(table[name])
        if sample.level_of(name) != "sample":
            column = _first_living(table, name)
        values = [_safe(value) for value in column.cast(pa.string()).to_pylist()]
        found = [
            f"{before}/{value}" if before else value for before, value in zip(found, values, strict=True)
        ]
    return pa.array(found, pa.string())


def _first_living(table: pa.Table, name: str) -> pa.Array:
    """Of each list the first item that is alive; null where there is none."""
    level = sample.level_of(name)
    alive = np.flatnonzero(sample.alive_items(table, level))
    row = np.repeat(np.arange(table.num_rows), sample.lengths(table, level))[alive]
    rows, first = np.unique(row, return_index=True)
    values = sample.flat(table[name]).take(pa.array(alive[first]))
    return sample.scatter(values, rows.astype(np.int64), table.num_rows)


def _safe(value: str | None) -> str:
    """A folder's name: nothing of what the data says can lead elsewhere."""
    if not value:
        return "none"
    safe = _NOT_SAFE.sub("_", value)[:_LONGEST]
    return f"_{safe[1:]}" if safe.startswith(".") else safe


def order_keys(stage: Write, table: pa.Table, copy: Ints) -> Keys:
    """What rows are ordered by: a seeded hash of the id, or of the pack; of a copy another one."""
    if stage.order == "source":
        return np.zeros(table.num_rows, dtype=np.uint64)
    names = table["sample_id"]
    if stage.order == "packed":
        names = pc.coalesce(table["pack_id"], names)
    seed = f"{stage.seed}:"
    told = [f"{seed}{n}:{c}" if c else f"{seed}{n}" for n, c in zip(names.to_pylist(), copy, strict=True)]
    hashes = [hashlib.sha256(t.encode()).digest()[:8] for t in told]
    return np.array([int.from_bytes(h, "big") for h in hashes], dtype=np.uint64)


def places(stage: Write, cut: Buckets, folder: pa.Array, keys: Keys, number: int, parts: int) -> Ints:
    """The bucket of each row; `number` is that of its part."""
    if stage.order == "source":
        within = np.full(len(keys), number * cut.each // parts, dtype=np.int64)
    else:
        share = keys.astype(np.float64) / 2.0**64
        within = (share * cut.each).astype(np.int64).clip(0, cut.each - 1)
    if cut.groups == 1:
        return within
    names = folder.dictionary_encode()
    begins = np.array([first_bucket(f, cut) for f in names.dictionary.to_pylist()], dtype=np.int64)
    found: Ints = begins[names.indices.to_numpy()] + within
    return found


def first_bucket(folder: str, cut: Buckets) -> int:
    """The first of the group of buckets that a folder's rows go to."""
    digest = hashlib.blake2b(folder.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") % cut.groups * cut.each


def weights(stage: Write, table: pa.Table) -> Ints:
    """What each row counts in its shard: one, or its bytes."""
    if stage.shard_bytes is None:
        return np.ones(table.num_rows, dtype=np.int64)
    sizes = np.zeros(table.num_rows, dtype=np.int64)
    row = np.repeat(np.arange(table.num_rows), sample.lengths(table, "image"))
    alive = sample.alive_items(table, "image")
    told = [expected_bytes(r) for r in sample.flat(table["image_ref"]).to_pylist()]
    bytes_ = np.array(told, dtype=np.int64)
    if "image_n_bytes" in table.column_names:
        measured = pc.fill_null(sample.flat(table["image_n_bytes"]), -1).to_numpy(zero_copy_only=False)
        bytes_ = np.where(measured >= 0, measured, bytes_)
    np.add.at(sizes, row[alive], bytes_[alive])
    texts = np.repeat(np.arange(table.num_rows), sample.lengths(table, "text"))
    lengths = pc.fill_null(pc.binary_length(sample.flat(table["text_body"])), 0).to_numpy(
        zero_copy_only=False
    )
    np.add.at(sizes, texts, lengths)
    return np.clip(sizes, 1, max(1, stage.shard_bytes // _HEAVIEST))


def tally(folder: pa.Array, place: Ints, weight: Ints) -> list[list[object]]:
    """Weights by folder and bucket, for the driver: `[folder, buckets, weights]` each."""
    names = folder.dictionary_encode()
    codes = names.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    found: list[list[object]] = []
    for code, name in enumerate(names.dictionary.to_pylist()):
        here = codes == code
        used, back = np.unique(place[here], return_inverse=True)
        sums = np.bincount(back, weights=weight[here]).astype(np.int64)
        found.append([name, used.tolist(), sums.tolist()])
    return found


def spans(stage: Write, cut: Buckets, counts: Mapping[str, Ints]) -> Iterator[Span]:
    """The shards of all folders. `counts`: folder -> the weights in each bucket of its group."""
    for folder in sorted(counts):
        begin = first_bucket(folder, cut)
        ends: Ints = np.cumsum(counts[folder])
        for number, (start, stop) in enumerate(_bounds(stage, int(ends[-1]))):
            first = int(np.searchsorted(ends, start, side="right"))
            last = int(np.searchsorted(ends, stop, side="left"))
            before = int(ends[first] - counts[folder][first])
            name = f"{folder}/{number:05d}" if folder else f"{number:05d}"
            yield Span(name, begin + first, begin + last, start - before, stop - before)


def _bounds(stage: Write, total: int) -> list[tuple[int, int]]:
    """Shards over the weights of a folder: of equal size to the row, or about equal where rows weigh
    differently or stay together."""
    size = stage.shard_bytes or stage.shard_size
    if stage.shard_bytes is None and stage.order != "packed":
        return [(start, min(start + size, total)) for start in range(0, total, size)]
    count = max(1, total // size) if total else 0
    return [(total * i // count, total * (i + 1) // count) for i in range(count)]


def chosen(stage: Write, rows: pa.Table, span: Span) -> pa.Table:
    """The rows of a shard out of those of its folder in its buckets, which are in order."""
    weight: Ints = rows["order_weight"].to_numpy()
    before = np.cumsum(weight) - weight
    if stage.order == "packed" and rows.num_rows:
        packs = sample.single(pc.coalesce(rows["pack_id"], rows["sample_id"]))
        codes = packs.dictionary_encode().indices.to_numpy()
        first = np.flatnonzero(np.diff(codes, prepend=-1))
        # a pack goes where its first row goes
        before = np.repeat(before[first], np.diff(first, append=len(codes)))
    return rows.filter(pa.array((before >= span.start) & (before < span.stop)))


def sort_keys(stage: Write) -> Sequence[tuple[str, str]]:
    """The order of rows within a folder."""
    if stage.order == "source":
        return [("order_part", "ascending"), ("order_row", "ascending")]
    # rows that share an id are identical in bytes: which comes first cannot be told from the output
    packed = ["pack_id", "pack_position"] if stage.order == "packed" else []
    names = ["order_key", *packed, "sample_id", "copy", "dataset", "source"]
    return [(name, "ascending") for name in names]
