"""Write: survivors into shards, in an order that no blocks, workers or retries can change."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate import exchange, figures, placing, sample
from curate.commit import FORMAT, read_json, sha256_file, write_atomic, write_json
from curate.errors import RunError
from curate.export import croissant
from curate.io.sink import Shard
from curate.parts import holes, survivors
from curate.stage import Stage, fingerprint
from curate.steps import WriteStep
from curate.work import Context

_ORDER = ("order_key", "order_part", "order_row", "order_weight", "order_folder")


def send_rows(
    context: Context, node: str, part: str, number: int, cut: Sequence[int], parts: int
) -> dict[str, Any]:
    """Survivors of one part, sorted into buckets of the final order."""
    step = context.plan.write(node)
    stage, divided = step.stage, placing.Buckets(*cut)
    folder = context.folder.write(node) / "rows"
    upstream = context.part_manifest(step.input, part)["digest"]
    schema = [step.schema.to_string(), step.totals, step.tallies]
    print_ = fingerprint(FORMAT, stage.identity(), schema, upstream, number, cut, parts)
    done = read_json(folder / f"{part}.json")
    if done is not None and done["fingerprint"] == print_ and (folder / f"{part}.arrow").exists():
        return done
    table = _rows(context, step, part)
    times = placing.copies(stage, table)
    if stage.repeat:
        table = table.take(pa.array(np.repeat(np.arange(table.num_rows), times))).combine_chunks()
    copy = np.arange(table.num_rows) - np.repeat(np.cumsum(times) - times, times)
    keys = placing.order_keys(stage, table, copy)
    named, weight = placing.folders(stage, table), placing.weights(stage, table)
    place = placing.places(stage, divided, named, keys, number, parts)
    n = table.num_rows
    columns = [("order_key", keys), ("order_part", np.full(n, number)), ("order_row", np.arange(n))]
    for name, values in (*columns, ("order_weight", weight), ("copy", copy)):
        table = table.append_column(name, pa.array(values))
    exchange.write(folder, part, table.append_column("order_folder", named), place, divided.all)
    again = pa.array((copy > 0) & ~table["hole"].to_numpy(zero_copy_only=False))
    repeated = {"samples": int(again.sum().as_py() or 0), "images": _images(table.filter(again))}
    result = {"fingerprint": print_, "weights": placing.tally(named, place, weight), "repeated": repeated}
    write_json(folder / f"{part}.json", result)
    return result


def _rows(context: Context, step: WriteStep, part: str) -> pa.Table:
    """What of a part goes on to an output, and what would have, had it not been taken out: `hole` is true."""
    wanted = step.stage.columns()
    columns = frozenset(step.schema.names) if wanted is None else wanted
    columns |= {"sample_id", "source", "dataset", "layout", "text_body", "image_ref", *step.totals}
    columns |= {*step.stage.placed_by(), *step.tallies}
    columns |= {"image_n_bytes"} & set(step.schema.names)
    table = survivors(context, (step.input, part), columns)
    out = holes(context, (step.input, part), columns)
    hole = np.repeat([False, True], [table.num_rows, out.num_rows])
    return pa.concat_tables([table, out]).combine_chunks().append_column("hole", pa.array(hole))


def _images(table: pa.Table) -> int:
    return int(sample.alive_items(table, "image").sum())


def write_shard(
    context: Context, node: str, name: str, first: int, last: int, start: int, stop: int, print_: str
) -> dict[str, Any]:
    """Write the rows of a span of buckets, see `placing.Span`, as one shard."""
    step = context.plan.write(node)
    work = context.folder.write(node)
    noted = _note(name)
    done = read_json(work / "shards" / noted)
    building = work / "building"
    known = done if done is not None and done["fingerprint"] == print_ else None
    if known is not None and all((building / f).exists() for f in known["files"]):
        return {"samples": known["samples"]}
    span = placing.Span(name, first, last, start, stop)
    rows = _span(step, work / "rows", span)
    missing = int(pc.sum(rows["hole"]).as_py() or 0)
    rows = rows.filter(pc.invert(rows["hole"])).combine_chunks().drop_columns([*_ORDER, "hole"])
    building.mkdir(parents=True, exist_ok=True)
    identity = [step.stage.identity(), step.schema.to_string(), step.totals, step.tallies]
    content = fingerprint(FORMAT, identity, exchange.digest(rows))
    note = _unchanged(context, node, name, content)
    if note is None:
        made = step.stage.write_shard(rows, context.payload, building, name, step.schema)
        files = {f: _facts(building / f) for f in made.files}
        note = {"samples": made.samples, "images": made.images, "files": files}
        note["figures"] = figures.of(rows, step.totals, step.tallies)
    note |= {"fingerprint": print_, "content": content, "holes": missing}
    # the list of files stays here: an output may have as many files as samples
    write_json(work / "shards" / noted, note)
    return {"samples": note["samples"]}


def _span(step: WriteStep, folder: Path, span: placing.Span) -> pa.Table:
    """The rows of a shard in their order."""
    of = span.name.rpartition("/")[0]
    tables = []
    for bucket in range(span.first, span.last + 1):
        rows = exchange.read(folder, bucket)
        rows = rows.filter(pc.equal(rows["order_folder"], of)) if step.stage.by else rows
        order = list(placing.sort_keys(step.stage))
        keys = rows.select([name for name, _ in order])
        tables.append(rows.take(pc.sort_indices(keys, sort_keys=order)))
    rows = placing.chosen(step.stage, _with_twins(pa.concat_tables(tables)), span)
    if not rows.num_rows:
        raise RunError(
            f"output `{step.id}`: shard {span.name} would be empty: `shard_size` is less than the samples "
            "of a pack; raise it"
        )
    return rows


def _note(name: str) -> str:
    """The file that tells of a shard; no part of a folder's name holds a `~`."""
    return f"{name.replace('/', '~')}.json"


def _unchanged(context: Context, node: str, name: str, content: str) -> dict[str, Any] | None:
    """The shard of the output as it stands, where it holds just these rows; its files are linked.

    What a writer removes at the end is not there any more: such a shard is written anew.
    """
    work = context.folder.write(node)
    output, building = context.folder.root / node, work / "building"
    links = work / "shards" / f"{_note(name)}.links"
    for file in (read_json(links) or {}).get("files", ()):  # never write into a file of the output
        (building / file).unlink(missing_ok=True)
    note = read_json(work / "written" / _note(name))
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
    names = pc.binary_join_element_wise(rows["sample_id"], pc.cast(rows["copy"], pa.string()), ":")
    ids = sample.single(names).dictionary_encode().indices.to_numpy()
    order = np.argsort(ids, kind="stable")
    first = np.flatnonzero(np.r_[True, np.diff(ids[order]) != 0]) if len(ids) else np.zeros(0, dtype=np.int64)
    before = np.empty(len(ids), dtype=np.int64)
    before[order] = np.arange(len(ids)) - np.repeat(first, np.diff(np.r_[first, len(ids)]))
    return rows.append_column("twin", pa.array(before))


def publish(
    context: Context, node: str, shards: Sequence[str], print_: str, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Files over the whole output, data card, manifest last; then swap the finished folder in."""
    if done := published(context, node, print_):  # a retry of what went well
        return done
    step = context.plan.write(node)
    work = context.folder.write(node)
    building = work / "building"
    building.mkdir(parents=True, exist_ok=True)
    known: dict[str, dict[str, Any]] = {}
    out: dict[str, int] = {}
    made = []
    found = []
    for name in shards:
        note = read_json(work / "shards" / _note(name))
        if note is None or note["fingerprint"] != print_:
            raise RunError(f"output `{node}`: shard {name} is not finished; run the same command again")
        made.append(Shard(note["samples"], note["images"], list(note["files"])))
        out |= {name: note["holes"]} if note["holes"] else {}
        known |= note["files"]
        found.append(note["figures"])
    for path in [p for p in building.rglob("*") if p.is_file()]:
        if str(path.relative_to(building)) not in known:
            path.unlink()  # left by an attempt that did not finish
    finished = step.stage.finish(building, made)
    totals = {
        "samples": sum(s.samples for s in made),
        "images": sum(s.images for s in made),
        "shards": len(made),
        **figures.told(figures.added(found)),
    }
    totals["costs"] = _costs(context, step, totals["totals"])
    columns = [
        n for n in step.schema.names if n not in ("drop", "image_drop", "text_drop", "dataset", "source")
    ]
    card = step.stage.card(
        {
            **facts,
            **totals,
            "columns": columns,
            "schema": step.schema,
            "output": node,
            "notices": _notices(context, step),
            "folders": sorted({name.rpartition("/")[0] for name in shards} - {""}),
        }
    )
    write_atomic(building / "README.md", card.encode())
    held = [f for f in sorted(known) if (building / f).exists()]
    rows = next((pq.read_schema(building / f) for f in held if f.endswith(".parquet")), None)
    about = croissant.metadata({**facts, **totals, "output": node}, [*held, *finished], rows)
    write_atomic(building / croissant.NAME, (json.dumps(about, indent=1) + "\n").encode())
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


def on_the_way(context: Context, step: WriteStep) -> list[Stage]:
    """The nodes that an output's samples came through, in the recipe's order."""
    plan = context.plan
    nodes = {node for segment in plan.ancestors(step.input) for node in plan.segment(segment).nodes}
    return [node for node in plan.recipe.nodes if node.id in nodes]


def _notices(context: Context, step: WriteStep) -> list[str]:
    """What the stages want said of what they used."""
    return sorted(set().union(*(stage.notices() for stage in on_the_way(context, step))))


def _costs(context: Context, step: WriteStep, totals: Mapping[str, int]) -> dict[str, dict[str, float]]:
    """What the stages say of its cost."""
    found: dict[str, dict[str, float]] = {}
    for stage in on_the_way(context, step):
        found |= {name: dict(told) for name, told in stage.costs(totals).items()}
    return found


def published(context: Context, node: str, print_: str) -> dict[str, Any] | None:
    """What an earlier run wrote, where it is just what this one would write."""
    found = read_json(context.folder.write(node) / "published.json")
    manifest = context.folder.root / node / "manifest.json"
    if found is None or found["fingerprint"] != print_ or not manifest.exists():
        return None
    return found if sha256_file(manifest) == found["manifest"] else None
