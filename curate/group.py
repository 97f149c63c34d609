"""Group: keys from every part, decisions back to every part. Only keys and small columns travel.

Equal keys are components; what a Linked compares comes as edges (`curate.links`), which `connect` joins into
components first. `curate.election` says which of these tasks comes when.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate import exchange, sample
from curate.apply import guarded
from curate.commit import read_arrow, read_json, write_json
from curate.declared import checked
from curate.errors import StageBug
from curate.graph import Edges, classes, components, survivors
from curate.group_items import Items, living, rows_of, shown
from curate.linked import Linked
from curate.members import PIECE, TOLD, pieces
from curate.ranking import LOT, TIES, ranked, resolved
from curate.sample import Ints
from curate.steps import GroupStep
from curate.work import Context

# Engine columns beside the ones a Group reads. `part` and `slot` say where the decision belongs.
_PLACE = ("part", "slot")


# -- equal keys ---------------------------------------------------------------------------------------------


def send_keys(
    context: Context, node: str, part: str, number: int, buckets: int, print_: str
) -> dict[str, Any]:
    """Keys of the living items of one part, sorted into buckets by their hash."""
    step = context.plan.group(node)
    folder = context.folder.group(node) / "keys"
    done = read_json(folder / f"{part}.json")
    if done is not None and done["fingerprint"] == print_:
        return {"reused": done["items"], "computed": 0}
    table = living(context, step, part)
    offered = table.drop_columns(["index", "slot"])
    keys = guarded(node, table["sample_id"], offered, lambda t, _: step.stage.keys(t), None)[0]
    keys = sample.single(keys)
    if len(keys) != table.num_rows or not pa.types.is_list(keys.type):
        raise StageBug(node, f"gave {len(keys)} lists of keys as {keys.type} for {table.num_rows} items")
    lists = pc.fill_null(pc.list_value_length(keys), 0).to_numpy(zero_copy_only=False)
    if not step.stage.votes and len(lists) and lists.max() > 1:
        raise StageBug(node, "gives an item several keys, which have no votes", [])
    items = np.repeat(np.arange(table.num_rows), lists)
    flat = keys.flatten().cast(pa.string())
    rows = resolved(step, table).take(pa.array(items)).append_column("key", flat)
    ordinal = np.arange(len(items)) - np.repeat(np.cumsum(lists) - lists, lists)
    rows = rows.append_column("vote", pa.array(ordinal, pa.int32()))
    rows = _told_of_each(step, offered, keys, rows, items)
    rows = rows.append_column("known", pa.array(np.zeros(len(items), dtype=np.int8)))
    rows = rows.append_column("part", pa.array(np.full(len(items), number, dtype=np.int64)))
    exchange.write(folder, part, rows, _bucket(flat, buckets), buckets)
    write_json(folder / f"{part}.json", {"fingerprint": print_, "items": table.num_rows})
    return {"reused": 0, "computed": table.num_rows}


def _told_of_each(
    step: GroupStep, offered: pa.Table, keys: pa.Array, rows: pa.Table, items: Ints
) -> pa.Table:
    """With the stage's own order and units. `rows` are one a key, `items` the item of each."""
    lots = guarded(step.id, offered["sample_id"], offered, lambda t, _: step.stage.lots(t), None)[0]
    units = guarded(step.id, offered["sample_id"], offered, lambda t, _: step.stage.units(t, keys), None)[0]
    for name, values, wanted in ((LOT, lots, offered.num_rows), ("unit", units, rows.num_rows)):
        if values is not None and len(values) != wanted:
            raise StageBug(step.id, f"gave {len(values)} {name}s for {wanted}", [])
    if lots is not None:
        rows = rows.append_column(LOT, sample.single(lots).cast(pa.float64()).take(pa.array(items)))
    ones = pa.array(np.ones(rows.num_rows, dtype=np.int64))
    return rows.append_column("unit", ones if units is None else sample.single(units).cast(pa.int64()))


def send_known(
    context: Context, node: str, file: str, sender: str, number: int, buckets: int
) -> dict[str, Any]:
    """Keys of what an earlier run kept, out of a file of its index."""
    step = context.plan.group(node)
    folder = context.folder.group(node) / "keys"
    if isinstance(step.stage, Linked):
        from curate.links import send

        send(step, folder, sender, number, read_arrow(Path(file)), buckets)
        return {}
    rows = read_arrow(Path(file))
    rows = rows.append_column("known", pa.array(np.ones(rows.num_rows, dtype=np.int8)))
    rows = rows.append_column("part", pa.array(np.full(rows.num_rows, number, dtype=np.int64)))
    exchange.write(folder, sender, rows, _bucket(sample.single(rows["key"]), buckets), buckets)
    return {}


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


def decide(context: Context, node: str, bucket: int, own: int, print_: str) -> dict[str, Any]:
    """All decisions of one bucket, sorted back to the `own` parts of this run that they belong to, by groups
    of parts; `hand_out` then divides each group's."""
    step = context.plan.group(node)
    state = context.folder.group(node)
    folder, sender = state / "decisions", f"{bucket:06d}"
    done = read_json(folder / f"{sender}.json")
    if done is not None and done["fingerprint"] == print_:
        return done
    linked = isinstance(step.stage, Linked)
    spill = state / "spill" / f"{sender}.{os.getpid()}"
    keys = exchange.files(state / "keys")
    members = [_linked(context, step, bucket)] if linked else pieces(step, keys, bucket, spill / "members")
    decided, components = 0, 0
    for number, table in enumerate(members):
        decisions = _decided(step, table, own)
        group = decisions["part"].to_numpy() // exchange.FAN
        exchange.write(spill / "decisions", f"{number:06d}", decisions, group, groups_of(own))
        decided += decisions.num_rows
        # one that goes on in the next piece is counted there too: a figure for people, not for the engine
        components += len(pc.unique(table["component"]))
    written, target = exchange.files(spill / "decisions"), folder / f"{sender}.arrow"
    target.parent.mkdir(parents=True, exist_ok=True)
    if len(written) == 1:
        written[0].replace(target)
    else:
        exchange.join(written, target)
    shutil.rmtree(spill)
    result = {"fingerprint": print_, "components": components, "decisions": decided}
    write_json(folder / f"{sender}.json", result)
    return result


def _decided(step: GroupStep, table: pa.Table, own: int) -> pa.Table:
    """What elect() says of members, with the place that each decision belongs to."""
    linked = isinstance(step.stage, Linked)
    engine = ["leader", "similarity"] if linked else ["key", *TOLD]
    reads = [*(shown(step) if linked else step.reads), "sample_id", "shape", "component", *engine]
    reads = [name for name in dict.fromkeys(reads) if name not in ("slot", "dataset", "source")]
    reads += [name for name in ("dataset", "source") if name in step.reads]
    writes, allowed = step.stage.writes(), step.stage.reasons()

    def elect(members: pa.Table, ids: pa.ChunkedArray) -> tuple[dict[str, pa.Array], pa.Array]:
        return checked(step.id, writes, allowed, step.stage.elect(members), members.num_rows, ids)

    columns, drop = guarded(step.id, table["sample_id"], table.select(reads), elect, None)[0]
    told = np.ones(table.num_rows, dtype=bool) if step.stage.votes else _any(drop, *columns.values())
    told &= table["part"].to_numpy() < own  # of what earlier runs kept nothing is decided
    places = [*_PLACE, *(["vote"] if step.stage.votes else [])]
    return pa.table({**{n: table[n] for n in places}, "drop": drop, **columns}).filter(pa.array(told))


def _any(*columns: pa.Array) -> Any:
    """Where one of the columns says something."""
    return np.logical_or.reduce([pc.is_valid(c).to_numpy(zero_copy_only=False) for c in columns])


def groups_of(parts: int) -> int:
    """How many groups the parts of a run are decided about in."""
    return max(1, -(-parts // exchange.FAN))


def hand_out(context: Context, node: str, group: int, print_: str) -> dict[str, Any]:
    """The decisions about a group of parts, for each of them."""
    folder = context.folder.group(node)
    note = folder / "decided" / f"{group:06d}.json"
    done = read_json(note)
    if done is not None and done["fingerprint"] == print_:
        return done
    table = exchange.read(folder / "decisions", group)
    place = table["part"].to_numpy() - group * exchange.FAN
    exchange.write(folder / "decided", f"{group:06d}", table.drop_columns(["part"]), place, exchange.FAN)
    result = {"fingerprint": print_}
    write_json(note, result)
    return result


def decisions(context: Context, node: str, number: int) -> pa.Table:
    """What was decided about one part: `slot`, `drop` and the Group's columns, at most one row an item."""
    step = context.plan.group(node)
    group, place = divmod(number, exchange.FAN)
    table = exchange.one(context.folder.group(node) / "decided" / f"{group:06d}.arrow", place)
    if not step.stage.votes:
        return table
    table = table.sort_by([("slot", "ascending"), ("vote", "ascending")])
    slot = table["slot"].to_numpy()
    first = np.flatnonzero(np.diff(slot, prepend=-1)) if len(slot) else np.zeros(0, dtype=np.int64)
    against = pc.is_valid(table["drop"]).to_numpy(zero_copy_only=False)
    all_against = np.logical_and.reduceat(against, first) if len(first) else against
    one = table.take(pa.array(first)).drop_columns(["vote"])
    kept = pa.nulls(len(first), pa.string())
    return sample.set_column(one, "drop", pc.if_else(pa.array(all_against), sample.single(one["drop"]), kept))


# -- edges --------------------------------------------------------------------------------------------------


def election_buckets(members: int) -> int:
    """How many elections the members of components are cut into."""
    return max(1, -(-members // PIECE))


def connect(context: Context, node: str, print_: str) -> dict[str, Any]:
    """Components of all edges, sorted into buckets for the elections. It holds the edges and their ends."""
    folder = context.folder.group(node)
    done = read_json(folder / "members" / "all.json")
    if done is not None and done["fingerprint"] == print_:
        return done
    table = pa.concat_tables([read_arrow(path) for path in sorted((folder / "edges").glob("*.arrow"))])
    edges = Edges(*(table[name].to_numpy() for name in Edges._fields))
    items = np.unique(np.r_[edges.left, edges.right])
    left, right = np.searchsorted(items, edges.left), np.searchsorted(items, edges.right)
    component = components(len(items), left, right)
    buckets = election_buckets(len(items))
    exchange.write(
        folder / "members",
        "all",
        pa.table({"item": items, "component": component}),
        component % buckets,
        buckets,
    )
    exchange.write(folder / "linked", "all", pa.table(edges._asdict()), component[left] % buckets, buckets)
    result = {"fingerprint": print_, "buckets": buckets, "members": len(items), "edges": len(left)}
    write_json(folder / "members" / "all.json", result)
    return result


def _linked(context: Context, step: GroupStep, bucket: int) -> pa.Table:
    """The members of a bucket's components, each with its survivor."""
    folder = context.folder.group(step.id)
    members = exchange.read(folder / "members", bucket).sort_by("item")
    table = rows_of(step, Items.of(step, folder), members["item"].to_numpy())
    table = table.append_column("component", pa.array(_named(table, members["component"].to_numpy())))
    table = ranked(step, table)
    place = np.argsort(table["item"].to_numpy())  # of each item, sorted, its row
    edges = exchange.read(folder / "linked", bucket)
    sorted_items = table["item"].to_numpy()[place]
    left, right = (place[np.searchsorted(sorted_items, edges[n].to_numpy())] for n in ("left", "right"))
    found = survivors(
        table.num_rows,
        Edges(left, right, edges["similarity"].to_numpy()),
        classes(table["component"].to_numpy(), table["twin"].to_numpy()),
        table["known"].to_numpy() > 0,
    )
    table = table.append_column("leader", pa.array(found.leader))
    return table.append_column("similarity", pa.array(found.similarity, pa.float32(), from_pandas=True))


def _named(table: pa.Table, component: Ints) -> Ints:
    """Components numbered by what they hold, not by where it lies: no cut of the input can change that."""
    order = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in TIES]).to_numpy()
    labels, first = np.unique(component[order], return_index=True)
    number = np.empty(int(labels.max()) + 1 if len(labels) else 0, dtype=np.int64)
    number[labels[np.argsort(first)]] = np.arange(len(labels))
    return number[component] if len(labels) else component
