"""Linked: from signatures and keys in every part to verified edges. Each function is a task of bounded size.

    fit_sample   part    rows with the smallest hashes of their ids, for `fit`
    fit                  what the stage learns from them
    prepare      part    signatures and keys of a part's items; keys sorted into buckets
    pair         bucket  candidate pairs within equal keys
    verify       bucket  each pair once, confirmed by the stage: the edges

`curate.group` elects. An item is named by one integer: the number of its part, and its row in the part's file
of signatures.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate import exchange, sample
from curate.apply import guarded
from curate.commit import read_json, write_atomic, write_json
from curate.errors import StageBug
from curate.graph import unique
from curate.group_items import Items, item_rows, living, write_items
from curate.index import width
from curate.linked import Linked, Prepared
from curate.ranking import TIES
from curate.sample import Ints
from curate.stage import Arrays
from curate.steps import GroupStep
from curate.work import Context

_PAIRS = 1 << 22  # pairs that are held before they are written
_VERIFY_BYTES = 1 << 27  # of the signatures of pairs that are verified at once
_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # keys may be small numbers; Fibonacci hashing spreads them
_SHARES = 1 << 32  # a hash of an id, for the sample


def linked(step: GroupStep) -> Linked:
    """The step's stage, which is one that links."""
    assert isinstance(step.stage, Linked)
    return step.stage


# -- fit ----------------------------------------------------------------------------------------------------


def fit_sample(context: Context, node: str, part: str, below: int, print_: str) -> dict[str, Any]:
    """Items of one part whose hash is below a bound."""
    step = context.plan.group(node)
    folder = context.folder.group(node) / "sample"
    done = read_json(folder / f"{part}.json")
    if done is None or done["fingerprint"] != print_:
        table = living(context, step, part)
        named = zip(table["sample_id"].to_pylist(), table["index"].to_pylist(), strict=True)
        ids = [f"{id}:{index}" for id, index in named]
        hashes = [int.from_bytes(hashlib.blake2b(i.encode(), digest_size=4).digest()) for i in ids]
        order = np.array(hashes, dtype=np.int64)
        table = table.append_column("_hash", pa.array(order)).filter(pa.array(order < below))
        exchange.write(folder, part, table, np.zeros(table.num_rows, dtype=np.int64), 1)
        write_json(folder / f"{part}.json", {"fingerprint": print_})
    return {}


def sample_bound(wanted: int, items: int) -> int:
    """Hashes below this one are those of `wanted` items, with room to spare."""
    return _SHARES if items <= 2 * wanted else min(_SHARES, int(_SHARES * 1.2 * (wanted + 100) / items))


def fit(context: Context, node: str, total: int, print_: str) -> dict[str, Any]:
    """Let the stage learn from the sample. Gives a digest of what it learnt."""
    step = context.plan.group(node)
    folder = context.folder.group(node)
    done = read_json(folder / "fitted.json")
    if done is not None and done["fingerprint"] == print_ and (folder / "fitted.npz").exists():
        return done
    stage = linked(step)
    table = exchange.read(folder / "sample", 0)
    order = [(name, "ascending") for name in ("_hash", *TIES)]
    table = table.take(pc.sort_indices(table, sort_keys=order)[: stage.sample_size()])
    table = table.take(pc.sort_indices(table, sort_keys=order[1:])).combine_chunks()
    shown = table.drop_columns(["_hash", "index", "slot"])
    arrays = dict(guarded(node, table["sample_id"], shown, lambda t, _: stage.fit(t, total), None)[0])
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name}{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    sink = io.BytesIO()
    np.savez(sink, allow_pickle=False, **arrays)
    write_atomic(folder / "fitted.npz", sink.getvalue())
    result = {"fingerprint": print_, "digest": digest.hexdigest()[:16]}
    write_json(folder / "fitted.json", result)
    return result


def fitted(folder: Path) -> Arrays:
    """What a node learnt; nothing where it does not learn."""
    path = folder / "fitted.npz"
    if not path.exists():
        return {}
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


# -- prepare ------------------------------------------------------------------------------------------------


def prepare(
    context: Context, node: str, part: str, number: int, buckets: int, print_: str, learnt: str
) -> dict[str, Any]:
    """Signatures of the living items of one part, and their keys. `learnt`: folder of what was fitted."""
    step = context.plan.group(node)
    folder = context.folder.group(node)
    done = read_json(folder / "keys" / f"{part}.json")
    if done is not None and done["fingerprint"] == print_:
        return {"computed": 0, "reused": done["items"]}
    stage = linked(step)
    table = living(context, step, part)
    offered = table.drop_columns(["index", "slot"])
    knows = fitted(Path(learnt)) if learnt else {}
    found = guarded(node, table["sample_id"], offered, lambda t, _: stage.prepare(t, knows), None)[0]
    _check(step, found, table.num_rows)
    keys = sample.single(found.keys)
    has = pc.greater(pc.fill_null(pc.list_value_length(keys), 0), 0)
    rows = item_rows(step, table, found.signature).append_column("keys", keys).filter(has).combine_chunks()
    write_items(folder / "items" / f"{part}.arrow", rows)
    send(step, folder / "keys", part, number, rows, buckets)
    write_json(folder / "keys" / f"{part}.json", {"fingerprint": print_, "items": table.num_rows})
    return {"computed": table.num_rows, "reused": 0}


def _check(step: GroupStep, found: Prepared, items: int) -> None:
    wanted = linked(step).signature()
    if found.signature.schema != wanted:
        raise StageBug(step.id, f"signature() says {wanted}, prepare gave {found.signature.schema}")
    if found.signature.num_rows != items or len(found.keys) != items:
        raise StageBug(step.id, f"prepared {found.signature.num_rows} signatures of {items} items")
    if found.keys.type != pa.list_(pa.uint64()):
        raise StageBug(step.id, f"gave keys as {found.keys.type}, not as lists of uint64")


def send(step: GroupStep, folder: Path, sender: str, number: int, rows: pa.Table, buckets: int) -> None:
    """Keys of items into buckets, with what `link` is shown."""
    keys = sample.single(rows["keys"])
    counts = pc.list_value_length(keys).to_numpy(zero_copy_only=False)
    flat = keys.flatten().to_numpy(zero_copy_only=False)
    row = np.repeat(np.arange(rows.num_rows), counts)
    first = np.zeros(len(flat), dtype=bool)
    first[np.cumsum(counts) - counts] = True
    names = list(dict.fromkeys(["twin", *linked(step).carried().names]))
    sent = rows.select(names).take(pa.array(row))
    sent = sent.append_column("key", pa.array(flat)).append_column("first", pa.array(first))
    sent = sent.append_column("item", pa.array((number << 32) + row))
    exchange.write(folder, sender, sent, bucket_of(flat, buckets), buckets)


def bucket_of(keys: npt.NDArray[np.uint64], buckets: int) -> Ints:
    """A bucket for each key; `buckets` is a power of two."""
    bits = buckets.bit_length() - 1
    if bits == 0:
        return np.zeros(len(keys), dtype=np.int64)
    spread: Ints = ((keys * _SPREAD) >> np.uint64(64 - bits)).astype(np.int64)
    return spread


# -- pair ---------------------------------------------------------------------------------------------------


def pair(context: Context, node: str, bucket: int, buckets: int, print_: str) -> dict[str, Any]:
    """Candidate pairs of one bucket of keys, sorted into buckets of pairs."""
    step = context.plan.group(node)
    folder = context.folder.group(node)
    done = read_json(folder / "pairs" / f"{bucket:06d}.json")
    if done is not None and done["fingerprint"] == print_:
        return done
    pieces = 0
    table = exchange.read(folder / "keys", bucket)
    with _blaming(step, folder, table["item"].to_numpy()):
        for left, right, similarity in _gathered(_candidates(step, table)):
            edges = unique(left, right, similarity)
            place = bucket_of(edges.left.astype(np.uint64), buckets)
            sender = f"{bucket:06d}.{pieces}"
            exchange.write(folder / "pairs", sender, pa.table(edges._asdict()), place, buckets)
            pieces += 1
    result = {"fingerprint": print_, "senders": [f"{bucket:06d}.{i}" for i in range(pieces)]}
    write_json(folder / "pairs" / f"{bucket:06d}.json", result)
    return result


_Pairs = tuple[Ints, Ints, npt.NDArray[np.float32]]


@contextmanager
def _blaming(step: GroupStep, folder: Path, shown: Ints) -> Iterator[None]:
    """A stage's bug tells some of the samples it was shown."""
    try:
        yield
    except StageBug as bug:
        some = Items.of(step, folder).take(np.unique(shown)[:5], ["sample_id"])
        raise StageBug(bug.node, bug.problem, some["sample_id"].to_pylist()) from bug


def _candidates(step: GroupStep, table: pa.Table) -> Iterator[_Pairs]:
    """Pairs of items. Equal ones are linked with the first of them, which alone is compared with others."""
    stage = linked(step)
    order = pc.sort_indices(table, sort_keys=[(n, "ascending") for n in ("key", "twin", "item")])
    table = table.take(order).combine_chunks()
    key, twin = table["key"].to_numpy(), table["twin"].to_numpy()
    new_key = np.diff(key, prepend=~key[:1]) != 0
    new = new_key | (np.diff(twin, prepend=~twin[:1]) != 0)
    item = table["item"].to_numpy()
    first = np.flatnonzero(new)
    leader = item[first[np.cumsum(new) - 1]] if len(new) else item
    equal = ~new & table["first"].to_numpy(zero_copy_only=False)
    yield leader[equal], item[equal], np.ones(int(equal.sum()), dtype=np.float32)
    # of keys that several different items share
    run = (np.cumsum(new_key) - 1)[first]
    shared = first[np.bincount(run)[run] > 1] if len(run) else first
    one_of_each = table.take(pa.array(shared))
    items = item[shared]
    names = list(dict.fromkeys(["key", "twin", *stage.carried().names]))
    if not len(shared):
        return
    none = pa.chunked_array([], pa.string())
    links = guarded(step.id, none, one_of_each.select(names), lambda t, _: stage.link(t), None)[0]
    for found in _each(step, links):
        left, right = found["left"].to_numpy(), found["right"].to_numpy()
        alike = np.ones(len(left), np.float32) if stage.verifies() else found["similarity"].to_numpy()
        yield items[left], items[right], alike.astype(np.float32)


def _each(step: GroupStep, links: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Tables of a stage's generator. What it raises is the stage's bug, whenever it does."""
    none = pa.chunked_array([], pa.string())
    while True:
        found = guarded(step.id, none, pa.table({}), lambda _t, _i: next(links, None), None)[0]
        if found is None:
            return
        yield found


def _gathered(pairs: Iterator[_Pairs]) -> Iterator[_Pairs]:
    """The same in pieces of a good size."""
    held: list[_Pairs] = []
    count = 0
    for piece in pairs:
        held.append(piece)
        count += len(piece[0])
        if count >= _PAIRS:
            yield _joined(held)
            held, count = [], 0
    if held:
        yield _joined(held)


def _joined(pieces: list[_Pairs]) -> _Pairs:
    left, right, similarity = (np.concatenate(column) for column in zip(*pieces, strict=True))
    return left, right, similarity


# -- verify -------------------------------------------------------------------------------------------------


def verify(context: Context, node: str, bucket: int, print_: str) -> dict[str, Any]:
    """The edges among the pairs of one bucket."""
    step = context.plan.group(node)
    folder = context.folder.group(node)
    path = folder / "edges" / f"{bucket:06d}.arrow"
    done = read_json(path.with_suffix(".json"))
    if done is not None and done["fingerprint"] == print_:
        return done
    table = exchange.read(folder / "pairs", bucket)
    edges = unique(*(table[name].to_numpy() for name in ("left", "right", "similarity")))
    stage = linked(step)
    if stage.verifies() and len(edges.left):
        items = Items.of(step, folder)
        names = stage.signature().names
        found = np.full(len(edges.left), np.nan, dtype=np.float32)
        at_once = max(1, _VERIFY_BYTES // (4 * sum(width(f.type) for f in stage.signature())))
        for start in range(0, len(found), at_once):
            here = slice(start, start + at_once)
            both, place = np.unique(np.r_[edges.left[here], edges.right[here]], return_inverse=True)
            signatures = items.take(both, names)
            left, right = np.split(place, 2)
            with _blaming(step, folder, both):
                alike = _verified(step, signatures, left, right)
            twin = signatures["twin"].to_numpy()
            similarity = pc.fill_null(alike, np.nan).to_numpy(zero_copy_only=False)
            found[here] = np.where(twin[left] == twin[right], 1, similarity)  # twins need no confirmation
        true = ~np.isnan(found)
        edges = unique(edges.left[true], edges.right[true], found[true])
    write_items(path, pa.table(edges._asdict()))
    result = {"fingerprint": print_, "edges": len(edges.left)}
    write_json(path.with_suffix(".json"), result)
    return result


def _verified(step: GroupStep, signatures: pa.Table, left: Ints, right: Ints) -> pa.Array:
    a, b = signatures.take(pa.array(left)), signatures.take(pa.array(right))
    none = pa.chunked_array([], pa.string())
    found = guarded(step.id, none, a, lambda t, _: linked(step).verify(t, b), None)[0]
    alike = sample.single(found)
    if len(alike) != len(left) or alike.type != pa.float32():
        raise StageBug(step.id, f"verified {len(left)} pairs as {len(alike)} values of {alike.type}")
    return alike
