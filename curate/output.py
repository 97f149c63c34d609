"""Write: survivors into shards, in an order that no blocks, workers or retries can change."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate import exchange, sample
from curate.commit import FORMAT, read_json, sha256_file, write_atomic, write_json
from curate.errors import RunError
from curate.io.sink import Shard
from curate.parts import holes, survivors
from curate.sample import Ints
from curate.stage import fingerprint
from curate.steps import WriteStep
from curate.work import Context

_ORDER = ("order_key", "order_part", "order_row")


def buckets_for(total: int, shard_size: int) -> int:
    """Several buckets a shard, so that a shard task reads little beyond its own rows."""
    return int(max(1, min(4096, -(-total // max(1, shard_size // 4)))))


def send_rows(
    context: Context, node: str, part: str, number: int, buckets: int, parts: int
) -> dict[str, Any]:
    """Survivors of one part, sorted into buckets of the final order."""
    step = context.plan.write(node)
    folder = context.folder.write(node) / "rows"
    upstream = context.part_manifest(step.input, part)["digest"]
    print_ = fingerprint(
        FORMAT, step.stage.identity(), step.schema.to_string(), upstream, number, buckets, parts
    )
    done = read_json(folder / f"{part}.json")
    if done is not None and done["fingerprint"] == print_ and (folder / f"{part}.arrow").exists():
        return done
    wanted = step.stage.columns()
    columns = frozenset(step.schema.names) if wanted is None else wanted
    columns |= {"sample_id", "source", "dataset", "layout"}
    table = survivors(context, (step.input, part), columns)
    out = holes(context, (step.input, part), columns)
    hole = np.repeat([False, True], [table.num_rows, out.num_rows])
    table = pa.concat_tables([table, out]).combine_chunks().append_column("hole", pa.array(hole))
    n = table.num_rows
    if step.stage.order == "source":
        keys = np.zeros(n, dtype=np.uint64)
        place = np.full(n, number * buckets // parts, dtype=np.int64)
    else:
        seed = f"{step.stage.seed}:".encode()
        hashes = [hashlib.sha256(seed + i.encode()).digest()[:8] for i in table["sample_id"].to_pylist()]
        keys = np.array([int.from_bytes(h, "big") for h in hashes], dtype=np.uint64)
        place = (keys.astype(np.float64) / 2.0**64 * buckets).astype(np.int64).clip(0, buckets - 1)
    table = table.append_column("order_key", pa.array(keys))
    table = table.append_column("order_part", pa.array(np.full(n, number, dtype=np.int64)))
    table = table.append_column("order_row", pa.array(np.arange(n)))
    exchange.write(folder, part, table, place, buckets)
    result = {"fingerprint": print_, "counts": np.bincount(place, minlength=buckets).tolist()}
    write_json(folder / f"{part}.json", result)
    return result


def write_shard(
    context: Context, node: str, shard: int, first: int, last: int, start: int, stop: int, print_: str
) -> dict[str, Any]:
    """Write the rows [start, stop) of the buckets first..last as one shard."""
    step = context.plan.write(node)
    work = context.folder.write(node)
    name = f"{shard:05d}"
    done = read_json(work / "shards" / f"{name}.json")
    building = work / "building"
    known = done if done is not None and done["fingerprint"] == print_ else None
    if known is not None and all((building / f).exists() for f in known["files"]):
        return {"samples": known["samples"]}
    tables = [_sorted(step, exchange.read(work / "rows", b)) for b in range(first, last + 1)]
    rows = _with_twins(pa.concat_tables(tables)).slice(start, stop - start)
    missing = int(pc.sum(rows["hole"]).as_py() or 0)
    rows = rows.filter(pc.invert(rows["hole"])).combine_chunks().drop_columns([*_ORDER, "hole"])
    building.mkdir(parents=True, exist_ok=True)
    content = fingerprint(FORMAT, step.stage.identity(), step.schema.to_string(), exchange.digest(rows))
    note = _unchanged(context, node, name, content)
    if note is None:
        made = step.stage.write_shard(rows, context.payload, building, name, step.schema)
        files = {f: _facts(building / f) for f in made.files}
        note = {"samples": made.samples, "images": made.images, "files": files}
    note |= {"fingerprint": print_, "content": content, "holes": missing}
    # the list of files stays here: an output may have as many files as samples
    write_json(work / "shards" / f"{name}.json", note)
    return {"samples": note["samples"]}


def _unchanged(context: Context, node: str, name: str, content: str) -> dict[str, Any] | None:
    """The shard of the output as it stands, where it holds just these rows; its files are linked.

    What a writer removes at the end is not there any more: such a shard is written anew.
    """
    work = context.folder.write(node)
    output, building = context.folder.root / node, work / "building"
    links = work / "shards" / f"{name}.links"
    for file in (read_json(links) or {}).get("files", ()):  # never write into a file of the output
        (building / file).unlink(missing_ok=True)
    note = read_json(work / "written" / f"{name}.json")
    if note is None or note.get("content") != content:
        return None
    if not all((output / f).is_file() and _facts(output / f) == facts for f, facts in note["files"].items()):
        return None
    write_json(links, {"files": list(note["files"])})
    for file in note["files"]:
        (building / file).parent.mkdir(parents=True, exist_ok=True)
        (building / file).unlink(missing_ok=True)
        try:
            (building / file).hardlink_to(output / file)
        except OSError:  # not every file system has links
            shutil.copyfile(output / file, building / file)
    return note


def _facts(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": sha256_file(path)}


def _with_twins(rows: pa.Table) -> pa.Table:
    """How many rows of the same id stand before each: their keys must differ. In hashed order they are
    neighbours, and a bucket holds all of them; in source order only those of these buckets are seen."""
    ids = sample.single(rows["sample_id"]).dictionary_encode().indices.to_numpy()
    order = np.argsort(ids, kind="stable")
    first = np.flatnonzero(np.r_[True, np.diff(ids[order]) != 0]) if len(ids) else np.zeros(0, dtype=np.int64)
    before = np.empty(len(ids), dtype=np.int64)
    before[order] = np.arange(len(ids)) - np.repeat(first, np.diff(np.r_[first, len(ids)]))
    return rows.append_column("twin", pa.array(before))


def _sorted(step: WriteStep, table: pa.Table) -> pa.Table:
    if step.stage.order == "source":
        order = [("order_part", "ascending"), ("order_row", "ascending")]
    else:
        # rows that share an id are identical in bytes: which comes first cannot be told from the output
        names = ("order_key", "sample_id", "dataset", "source")
        order = [(name, "ascending") for name in names]
    return table.take(pc.sort_indices(table.select([name for name, _ in order]), sort_keys=order))


def ranges(counts: Sequence[int], shard_size: int) -> list[tuple[int, int, int, int]]:
    """Shards of equal size over buckets: (first bucket, last bucket, start, stop) within those buckets."""
    ends: Ints = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    found = []
    for start in range(0, total, shard_size):
        stop = min(start + shard_size, total)
        first = int(np.searchsorted(ends, start, side="right"))
        last = int(np.searchsorted(ends, stop, side="left"))
        before = int(ends[first] - counts[first])
        found.append((first, last, start - before, stop - before))
    return found


def publish(context: Context, node: str, shards: int, print_: str) -> dict[str, Any]:
    """Files over the whole output, data card, manifest last; then swap the finished folder in."""
    if done := published(context, node, print_):  # a retry of what went well
        return done
    step = context.plan.write(node)
    work = context.folder.write(node)
    known_facts = {"recipe": context.plan.recipe.name, "license": context.plan.recipe.licence}
    building = work / "building"
    building.mkdir(parents=True, exist_ok=True)
    known: dict[str, dict[str, Any]] = {}
    out: dict[str, int] = {}
    made = []
    for number in range(shards):
        note = read_json(work / "shards" / f"{number:05d}.json")
        if note is None or note["fingerprint"] != print_:
            raise RunError(f"output `{node}`: shard {number} is not finished; run the same command again")
        made.append(Shard(note["samples"], note["images"], list(note["files"])))
        out |= {f"{number:05d}": note["holes"]} if note["holes"] else {}
        known |= note["files"]
    for path in [p for p in building.rglob("*") if p.is_file()]:
        if str(path.relative_to(building)) not in known:
            path.unlink()  # left by an attempt that did not finish
    finished = step.stage.finish(building, made)
    totals = {
        "samples": sum(s.samples for s in made),
        "images": sum(s.images for s in made),
        "shards": len(made),
    }
    columns = [
        n for n in step.schema.names if n not in ("drop", "image_drop", "text_drop", "dataset", "source")
    ]
    card = step.stage.card(
        {
            **known_facts,
            **totals,
            "columns": columns,
            "schema": step.schema,
            "output": node,
            "notices": _notices(context, step),
        }
    )
    write_atomic(building / "README.md", card.encode())
    present = sorted(str(p.relative_to(building)) for p in building.rglob("*") if p.is_file())
    files = {f: known.get(f) or _facts(building / f) for f in present}
    size = sum(int(f["bytes"]) for f in files.values())
    manifest = {**totals, "bytes": size, "files": files, "whole": finished}
    if out:  # which shards lack samples that were taken out when their shard had its place already
        manifest["taken_out"] = out
    write_json(building / "manifest.json", manifest)
    # written before the swap: it vouches for no folder but the one with this manifest
    digest = sha256_file(building / "manifest.json")
    result = {**totals, "bytes": size, "fingerprint": print_, "manifest": digest}
    write_json(work / "published.json", result)
    context.folder.publish(building, context.folder.root / node)
    shutil.rmtree(work / "written", ignore_errors=True)
    if (work / "shards").exists():
        (work / "shards").rename(work / "written")
    return result


def _notices(context: Context, step: WriteStep) -> list[str]:
    """What the stages on the way to an output want said of what they used."""
    plan = context.plan
    nodes = {node for segment in plan.ancestors(step.input) for node in plan.segment(segment).nodes}
    return sorted(set().union(*(plan.recipe.node(node).notices() for node in nodes)))


def published(context: Context, node: str, print_: str) -> dict[str, Any] | None:
    """What an earlier run wrote, where it is just what this one would write."""
    found = read_json(context.folder.write(node) / "published.json")
    manifest = context.folder.root / node / "manifest.json"
    if found is None or found["fingerprint"] != print_ or not manifest.exists():
        return None
    return found if sha256_file(manifest) == found["manifest"] else None
