"""The fate of one sample, read off the ledger and the outputs' indexes."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from curate.report import run_json
from curate.stage import EXPANDED

_PLACE = ("sample_id", "dataset", "source", "output", "level", "index", "node", "reason")
_FROM = 8  # digits of an id that tell it from a word
_DEEP = " " * 6


def find(run: Path, wanted: str) -> list[dict[str, Any]]:
    """Every fate of a sample and of what was born from it: drops from the ledger, members from outputs.

    `wanted` is a sample id, the beginning of one (8 digits or more) or a source position, with or without its
    offset. A fate is told once for each output. Where a written sample came from is not in the outputs, whose
    bytes must not depend on how the input was cut: it is looked up in RUN/state, as long as that is there.
    """
    report = run_json.load(run)
    # the many other columns are read of those few files only that have a row to tell of
    ledgers = _select(_files(run / "ledger", "*.parquet"), _match(wanted), ("__filename",))
    files = sorted({row["__filename"] for row in ledgers})
    thresholds = {
        (node["id"], told["reason"], told["dataset"]): told
        for node in report["nodes"]
        for told in node.get("thresholds", ())
    }
    fates = [_dropped(row, thresholds) for row in _select(files, _match(wanted))]
    origins = _origins(run, wanted)
    ids = {fate["sample_id"] for fate in fates} | set(origins)
    for output in report["outputs"]:
        fates += _written(run / output["path"], output["id"], wanted, ids)
    sources = {f["sample_id"]: (f["dataset"], f["source"]) for f in fates if f["fate"] == "dropped"} | origins
    for fate in fates:
        if fate["fate"] == "written":
            parent = fate["sample_id"].partition("#")[0]
            nothing = (None, None)
            fate["dataset"], fate["source"] = sources.get(fate["sample_id"], sources.get(parent, nothing))
    return fates


def notes(run: Path) -> list[str]:
    """Why what `find` tells may not be all there is."""
    report = run_json.load(run)
    told = []
    if report["status"] != "done":
        told.append(f"the run is not finished (it is `{report['status']}`): this is what is known so far")
    folders = [run / output["path"] for output in report["outputs"] if output["samples"]["written"]]
    told += [f"{f} holds no index: what was written there is not known" for f in folders if not _indexes(f)]
    if not (run / "state").is_dir():
        told.append(f"{run / 'state'} is gone: written samples are found by their id only")
    return told


def _files(folder: Path, pattern: str) -> list[str]:
    return sorted(str(p) for p in folder.glob(pattern))


def _indexes(output: Path) -> list[str]:
    return _files(output, "**/*.parquet")  # in folders, where the output has them


def _match(wanted: str) -> pc.Expression:
    source = ds.field("source")
    # a source ends in `@offset` where it has one: `00000.tar#key` is enough
    return _by_id([wanted]) | (source == wanted) | pc.starts_with(source, f"{wanted}@")


def _by_id(ids: Sequence[str]) -> pc.Expression:
    """Rows of these ids, or of ids that begin so, or of what was born from them."""
    long = [id for id in ids if len(id) >= _FROM]
    return reduce(or_, (pc.starts_with(ds.field("sample_id"), id) for id in long), pc.scalar(False))


def _select(
    files: Sequence[str], match: pc.Expression, columns: Sequence[str] | None = None, form: str = "parquet"
) -> list[dict[str, Any]]:
    """Matching rows of files that share a schema; beside what is matched only `columns` are read."""
    if not files:
        return []
    names = None if columns is None else list(columns)
    table: pa.Table = ds.dataset(list(files), format=form).to_table(filter=match, columns=names)
    return table.to_pylist()  # type: ignore[no-any-return]


def _origins(run: Path, wanted: str) -> dict[str, tuple[str, str]]:
    """sample_id -> data set and source, from the parts in which samples are born."""
    found: dict[str, tuple[str, str]] = {}
    for segment in sorted((run / "state" / "parts").glob("*/")):
        files = _files(segment, "*.arrow")
        if files and "source" in ds.dataset(files[:1], format="ipc").schema.names:
            rows = _select(files, _match(wanted), ("sample_id", "dataset", "source"), "ipc")
            found |= {row["sample_id"]: (row["dataset"], row["source"]) for row in rows}
    return found


def _dropped(row: Mapping[str, Any], thresholds: Mapping[tuple[str, str, str], Any]) -> dict[str, Any]:
    """`thresholds`: (node, reason, data set or "" for all) -> what a quantile was, as in run.json."""
    scores = {k: v for k, v in row.items() if k not in _PLACE and v is not None}
    fate = {"fate": "dropped", **{k: row[k] for k in _PLACE}, "scores": scores}
    for dataset in ("", row["dataset"]):
        threshold = thresholds.get((row["node"], row["reason"], dataset))
        if threshold is not None:
            fate["threshold"] = threshold
    return fate


def _written(folder: Path, output: str, wanted: str, ids: set[str]) -> list[dict[str, Any]]:
    indexes = _indexes(folder)
    if not indexes:
        return []
    names = ds.dataset(indexes[:1], format="parquet").schema.names
    columns = [name for name in ("sample_id", "key") if name in names]
    found = []
    for row in _select(
        indexes,
        _by_id([wanted, *sorted(i for i in ids if not i.startswith(wanted))]),
        [*columns, "__filename"],
    ):
        index = Path(row["__filename"])
        tar = index.with_suffix(".tar")
        file = (tar if tar.exists() else index).relative_to(folder)
        found.append(
            {
                "fate": "written",
                "sample_id": row["sample_id"],
                "output": output,
                "shard": file.with_suffix("").as_posix(),
                "file": file.as_posix(),
                "member": row.get("key", row["sample_id"]),
            }
        )
    return found


def render(fates: Sequence[Mapping[str, Any]]) -> str:
    """A paragraph for each sample; a fate that several outputs share is told once."""
    samples: dict[str, list[Mapping[str, Any]]] = {}
    for fate in sorted(fates, key=lambda f: _natural(f["sample_id"])):
        samples.setdefault(fate["sample_id"], []).append(fate)
    return "\n\n".join("\n".join(_paragraph(id, found)) for id, found in samples.items())


def _natural(id: str) -> list[tuple[int, str]]:
    """Parents before children, child 10 after child 9."""
    return [(len(piece) if i else 0, piece) for i, piece in enumerate(id.split("#"))]


def _paragraph(id: str, fates: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [id]
    place = next((f"{f['dataset']}: {f['source']}" for f in fates if f["source"] is not None), None)
    if place is not None:
        lines.append(f"  from {place}")
    samples = [f for f in fates if f["fate"] == "dropped" and f["level"] == "sample"]
    ends = {(f["node"], f["reason"], f["output"]) for f in samples}
    # an image that only went down with its sample, or took it down, is no news
    items = [
        f
        for f in fates
        if f["fate"] == "dropped"
        and f["level"] != "sample"
        and f["reason"] not in ("sample", EXPANDED)
        and (f["node"], f["reason"], f["output"]) not in ends
    ]
    for same in _alike([*items, *samples]):
        lines += _drop(same)
    written = {f["output"]: f for f in fates if f["fate"] == "written"}
    twins = [f for f in fates if f["fate"] == "written" and written[f["output"]] is not f]
    for fate in [*written.values(), *twins]:
        lines.append(f"  written to {fate['output']}/{fate['file']} as {fate['member']}")
    return lines


def _alike(fates: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Fates that differ in the output only, together."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for fate in fates:
        key = json.dumps({k: v for k, v in fate.items() if k != "output"}, default=str, sort_keys=True)
        groups.setdefault(key, []).append(fate)
    return list(groups.values())


def _drop(same: Sequence[Mapping[str, Any]]) -> list[str]:
    fate = same[0]
    outputs = ", ".join(dict.fromkeys(f["output"] for f in same if f["output"]))
    where = f", on the way to {outputs}" if outputs else ""
    what = "" if fate["level"] == "sample" else f"{fate['level']} {fate['index']} "
    if fate["reason"] == EXPANDED:
        return [f"  {what}taken apart by `{fate['node']}`{where}; what was born of it follows"]
    # no-break spaces: a line ends between two scores only
    scores = [
        f"{name} {_short(value)}".replace(" ", "\xa0") for name, value in sorted(fate["scores"].items())
    ]
    told = "\n".join(
        textwrap.wrap(
            "; ".join(scores),
            100,
            initial_indent=_DEEP,
            subsequent_indent=_DEEP,
            break_long_words=False,
            break_on_hyphens=False,
        )
    ).replace("\xa0", " ")
    why = f"{fate['reason']}{_threshold(fate)}"
    return [f"  {what}dropped by `{fate['node']}`: {why}{where}", *([told] if told else [])]


def _threshold(fate: Mapping[str, Any]) -> str:
    """What a bound given as a quantile was."""
    told = fate.get("threshold")
    if told is None:
        return ""
    whose = f" of `{told['dataset']}`" if told["dataset"] else ""
    # all digits: the score beside it may differ in the last one
    return f" ({told['value']} is quantile {told['quantile']:g}{whose}, of {told['n']:,} values)"


def _short(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else " ".join(str(value).split())
    return text if len(text) <= 90 else text[:87] + "..."
