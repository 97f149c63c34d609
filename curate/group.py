"""Group: keys from every part, decisions back to every part. Only keys and small columns travel."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate import exchange, sample
from curate.apply import guarded
from curate.commit import FORMAT, read_json, write_json
from curate.declared import checked
from curate.errors import StageBug
from curate.parts import survivors
from curate.sample import Ints
from curate.stage import fingerprint
from curate.steps import GroupStep
from curate.work import Context

# Engine columns beside the ones a Group reads. `part` and `slot` say where the decision belongs.
_PLACE = ("part", "slot")
_TIES = (("sample_id", "ascending"), ("dataset", "ascending"), ("source", "ascending"), ("slot", "ascending"))


def send_keys(context: Context, node: str, part: str, number: int, buckets: int) -> dict[str, Any]:
    """Keys of the living items of one part, sorted into buckets by their hash."""
    step = context.plan.group(node)
    folder = context.folder.group(node) / "keys"
    upstream = context.part_manifest(step.input, part)["digest"]
    print_ = keys_print(step, upstream, number, buckets)
    done = read_json(folder / f"{part}.json")
    if done is not None and done["fingerprint"] == print_:
        return {"fingerprint": print_, "reused": done["items"], "computed": 0}
    reads = {*step.reads, "sample_id", "dataset", "source", "shape"}
    table = survivors(context, (step.input, part), frozenset(reads | {"layout"}))
    seen = sample.view(table, step.level, reads)
    offered = seen.table.select(sorted(reads))
    ids = seen.table["sample_id"]
    keys = sample.single(guarded(node, ids, offered, lambda t, _: step.stage.keys(t), None)[0])
    if len(keys) != offered.num_rows or not pa.types.is_list(keys.type):
        raise StageBug(node, f"gave {len(keys)} lists of keys as {keys.type} for {offered.num_rows} items")
    lists = pc.fill_null(pc.list_value_length(keys), 0).to_numpy(zero_copy_only=False)
    if not step.stage.linked and len(lists) and lists.max() > 1:
        raise StageBug(node, "gives an item several keys without linking them", [])
    items = np.repeat(np.arange(len(seen.slots)), lists)
    flat = sample.single(pc.list_flatten(keys)).cast(pa.string())
    rows = _ranks(step, seen.table).take(pa.array(items))
    rows = rows.append_column("key", flat)
    rows = rows.append_column("part", pa.array(np.full(len(items), number, dtype=np.int64)))
    rows = rows.append_column("slot", pa.array(seen.slots[items]))
    exchange.write(folder, part, rows, _bucket(flat, buckets), buckets)
    result = {"fingerprint": print_, "keys": len(items), "items": len(seen.slots)}
    write_json(folder / f"{part}.json", result)
    return {"fingerprint": print_, "reused": 0, "computed": len(seen.slots)}


def _ranks(step: GroupStep, items: pa.Table) -> pa.Table:
    """Rank columns of another item level (the captions of an image) as one value each: the best of them."""
    for name, direction in step.stage.rank():
        values = sample.single(items[name])
        if pa.types.is_list(values.type):
            owner = pc.list_parent_indices(values)
            best = "max" if direction == "descending" else "min"
            found = pa.table({"row": owner, "value": values.flatten()}).group_by("row")
            found = found.aggregate([("value", best)])
            filled = sample.scatter(
                sample.single(found[f"value_{best}"]), found["row"].to_numpy(), items.num_rows
            )
            items = sample.set_column(items, name, filled)
    return items


def _bucket(keys: pa.Array, n: int) -> Ints:
    """A bucket for each key, by a hash that is the same in every process."""
    if n == 1:
        return np.zeros(len(keys), dtype=np.int64)
    unique = keys.dictionary_encode()
    hashes = [
        int.from_bytes(hashlib.blake2b(k.encode(), digest_size=8).digest(), "little") % n
        for k in unique.dictionary.to_pylist()
    ]
    found: Ints = np.asarray(hashes, dtype=np.int64)[unique.indices.to_numpy()]
    return found


def keys_print(step: GroupStep, upstream: str, number: int, buckets: int) -> str:
    """Of what decides the keys of one part."""
    return fingerprint(FORMAT, step.fingerprint, upstream, number, buckets)


def decisions_print(step: GroupStep, keys: list[str], buckets: int) -> str:
    """Of what decides an election: the keys of all parts."""
    return fingerprint(step.fingerprint, keys, buckets)


def elected(context: Context, step: GroupStep, parts: list[str], buckets: int) -> bool:
    """Whether the decisions in the run folder are those that an election would give now."""
    digests = [context.part_manifest(step.input, part)["digest"] for part in parts]
    keys = [keys_print(step, digest, i, buckets) for i, digest in enumerate(digests)]
    print_ = decisions_print(step, keys, buckets)
    folder = context.folder.group(step.id) / "decisions"
    notes = [read_json(folder / f"{bucket:06d}.json") for bucket in range(buckets)]
    return all(note is not None and note["fingerprint"] == print_ for note in notes)


def decide(context: Context, node: str, bucket: int, buckets: int, parts: int, print_: str) -> dict[str, Any]:
    """All decisions of one bucket, sorted back to the parts they belong to."""
    step = context.plan.group(node)
    folder = context.folder.group(node) / "decisions"
    sender = f"{bucket:06d}"
    done = read_json(folder / f"{sender}.json")
    if done is not None and done["fingerprint"] == print_:
        return done
    table = exchange.read(context.folder.group(node) / "keys", bucket)
    table = _linked(step, table) if step.stage.linked else _by_key(step, table)
    reads = [*step.reads, "sample_id", "shape", "component"]
    reads = list(dict.fromkeys([*reads, *(["neighbours"] if step.stage.linked else [])]))
    writes, allowed = step.stage.writes(), step.stage.reasons()

    def elect(members: pa.Table, ids: pa.ChunkedArray) -> tuple[dict[str, pa.Array], pa.Array]:
        return checked(node, writes, allowed, step.stage.elect(members), members.num_rows, ids)

    columns, drop = guarded(node, table["sample_id"], table.select(reads), elect, None)[0]
    told = [pc.is_valid(a) for a in (drop, *columns.values())]
    some = told[0]
    for other in told[1:]:
        some = pc.or_(some, other)
    decisions = pa.table({**{n: table[n] for n in _PLACE}, "drop": drop, **columns}).filter(some)
    number = decisions["part"].to_numpy()
    exchange.write(folder, sender, decisions.drop_columns(["part"]), number, parts)
    n_components = len(pc.unique(table["component"]))
    result = {"fingerprint": print_, "components": n_components, "decisions": decisions.num_rows}
    write_json(folder / f"{sender}.json", result)
    return result


def _ranked(step: GroupStep, table: pa.Table, component: Ints) -> pa.Table:
    """Sorted by component and, within one, from best to worst: a total order that no blocks can change."""
    table = table.append_column("component", pa.array(component))
    order = [("component", "ascending"), *step.stage.rank(), *_TIES]
    # of a column named twice the first mention counts
    keys = list(dict(reversed(order)).items())[::-1]
    order_by = [(name, direction, "at_end") for name, direction in keys]
    return table.take(pc.sort_indices(table, sort_keys=order_by)).combine_chunks()


def _by_key(step: GroupStep, table: pa.Table) -> pa.Table:
    """Equal keys are one component."""
    names = sample.single(table["key"]).dictionary_encode()
    # numbered in the order of the keys themselves, not of their arrival
    rank = np.empty(len(names.dictionary), dtype=np.int64)
    rank[pc.sort_indices(names.dictionary).to_numpy()] = np.arange(len(names.dictionary))
    codes = names.indices.to_numpy(zero_copy_only=False)
    return _ranked(step, table, rank[codes] if len(rank) else np.zeros(0, dtype=np.int64))


def _linked(step: GroupStep, table: pa.Table) -> pa.Table:
    """Verified edges within buckets, connected over all of them; one row an item."""
    place = np.stack([table["part"].to_numpy(), table["slot"].to_numpy()], axis=1)
    _, first, item = np.unique(place, axis=0, return_index=True, return_inverse=True)
    # numbered by what they are, not by where they lie: no cut of the input can change a component's number
    by_name = pc.sort_indices(table.take(pa.array(first)), sort_keys=list(_TIES)).to_numpy().astype(np.int64)
    first, item = first[by_name], np.argsort(by_name)[item.ravel()]
    order = pc.sort_indices(table, sort_keys=[("key", "ascending"), *_TIES])
    table_by_key = table.take(order)
    items = item[order.to_numpy()]
    keys = sample.single(table_by_key["key"]).dictionary_encode().indices.to_numpy()
    cuts = np.flatnonzero(np.diff(keys)) + 1
    edges = [np.zeros((0, 2), dtype=np.int64)]
    for rows in np.split(np.arange(len(keys)), cuts):
        if len(rows) > 1:
            bucket = table_by_key.slice(int(rows[0]), len(rows))
            found = guarded(step.id, bucket["sample_id"], bucket, lambda t, _: step.stage.link(t), None)[0]
            pair = np.stack([found["left"].to_numpy(), found["right"].to_numpy()], axis=1)
            edges.append(items[rows[0] + pair.astype(np.int64)])
    links = np.unique(np.sort(np.concatenate(edges), axis=1), axis=0)
    component = components(len(first), links)
    unique = table.take(pa.array(first)).append_column("_item", pa.array(np.arange(len(first))))
    ranked = _ranked(step, unique, component)
    return ranked.append_column("neighbours", _neighbours(ranked, links)).drop_columns(["_item"])


def _neighbours(ranked: pa.Table, links: Ints) -> pa.Array:
    """For each row the places, within its component, of the rows it is linked with."""
    component = ranked["component"].to_numpy()
    row = np.empty(ranked.num_rows, dtype=np.int64)
    row[ranked["_item"].to_numpy()] = np.arange(ranked.num_rows)
    start = np.flatnonzero(np.r_[True, np.diff(component) != 0]) if len(component) else np.zeros(0, int)
    sizes = np.diff(np.r_[start, len(component)])
    place = np.arange(len(component)) - np.repeat(start, sizes)
    both = row[np.concatenate([links, links[:, ::-1]])] if len(links) else np.zeros((0, 2), dtype=np.int64)
    both = both[np.lexsort((both[:, 1], both[:, 0]))]
    counts = np.bincount(both[:, 0], minlength=ranked.num_rows).astype(np.int64)
    return sample.wrap(pa.array(place[both[:, 1]], pa.int64()), counts)


def components(n: int, edges: Ints) -> Ints:
    """Connected components of n nodes: for each the smallest member. Label propagation with jumps, O(log n)
    rounds over arrays (Shiloach-Vishkin in its simplest form)."""
    label = np.arange(n, dtype=np.int64)
    left, right = edges[:, 0], edges[:, 1]
    while len(edges):
        low = np.minimum(label[left], label[right])
        before = label.copy()
        np.minimum.at(label, label[left], low)
        np.minimum.at(label, label[right], low)
        while not np.array_equal(label, label[label]):
            label = label[label]
        if np.array_equal(before, label):
            break
    return label
