"""Small inputs that are made in milliseconds, and one call that runs a recipe on them."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from PIL import Image

from curate.backends import Backend
from curate.backends.local import LocalBackend
from curate.io.source import Read
from curate.io.storage import LocalStorage
from curate.meter import Meter
from curate.plan import make
from curate.recipe import parse
from curate.run import Run
from curate.sources import Found, discover
from curate.stage import Group
from curate.steps import Plan
from stages import STAGES

Recipe = Mapping[str, Any]
ODD = ("odd_stages:STAGES",)  # the test-only stages of tests/engine


class Pair(NamedTuple):
    key: str
    image: bytes
    text: str


@cache
def picture(seed: int, width: int = 40, height: int = 32, form: str = "png") -> bytes:
    """A small image; equal arguments give equal bytes, others give other pixels."""
    pixels = np.random.default_rng(seed).integers(0, 255, (height // 4, width // 4, 3), dtype=np.uint8)
    sink = io.BytesIO()
    Image.fromarray(pixels).resize((width, height)).save(sink, form)
    return sink.getvalue()


def pairs(count: int, start: int = 0) -> list[Pair]:
    """Pairs number `start`...; widths go round from 40 to 100 and every tenth image is a copy."""
    found = []
    for i in range(start, start + count):
        seed = i - i % 10 if i % 10 == 9 else i
        image = picture(seed, 40 + 4 * (seed % 16))
        found.append(Pair(f"k{i:05d}", image, f"caption number {i} says {'x' * (i % 7)}"))
    return found


def write_tar(path: Path, rows: Iterable[Pair]) -> Path:
    """A WebDataset shard: `<key>.png`, `<key>.txt`, with nothing in it that changes from run to run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for key, image, text in rows:
            for name, data in ((f"{key}.png", image), (f"{key}.txt", text.encode())):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return path


def write_tars(folder: Path, rows: Sequence[Pair], shards: int) -> str:
    """The rows over some tars, in order; returns the glob."""
    size = -(-len(rows) // shards)
    for i in range(shards):
        write_tar(folder / f"{i:05d}.tar", rows[i * size : (i + 1) * size])
    return f"{folder}/*.tar"


def write_pages(folder: Path, count: int, images: int = 3) -> str:
    """HTML pages with texts and images between them; every page shows the same logo first."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "logo.png").write_bytes(picture(99_999, 64, 64))
    words = "The lantern stands beside the harbour wall and is lit when ships are late in autumn."
    for page in range(count):
        body = [f"<p>Page {page}. {words}</p>", '<img src="logo.png" alt="the logo">']
        for k in range(images):
            name = f"p{page}-{k}.png"
            (folder / name).write_bytes(picture(50_000 + page * 10 + k, 40 + 8 * k, 48))
            body.append(
                f'<img src="{name}" alt="picture {k} of page {page}"><p>Part {k} of {page}. {words}</p>'
            )
        html = (
            f"<html><head><title>Page {page}</title></head><body><main>{''.join(body)}</main></body></html>"
        )
        (folder / f"page{page:03d}.html").write_text(html)
    return f"{folder}/*.html"


def chain(path: str, *, minimum: int = 44, shard_size: int = 32, part_rows: int = 2048) -> Recipe:
    """The common recipe: read, probe, bound, hash, dedup, count letters, write."""
    return {
        "name": "chain",
        "nodes": [
            {"id": "raw", "stage": "read_webdataset", "path": path, "part_rows": part_rows},
            {"stage": "probe"},
            {"id": "size", "stage": "keep", "bounds": {"image_width": {"min": minimum}}},
            {"stage": "sha256"},
            {"id": "dedup", "stage": "exact", "key": "image_sha256"},
            {"id": "words", "stage": "letters"},
            {"id": "out", "stage": "write_webdataset", "shard_size": shard_size},
        ],
    }


def with_node(recipe: Recipe, id: str, **fields: Any) -> Recipe:
    """The recipe with fields of one node replaced."""
    nodes = [{**n, **fields} if n.get("id", n["stage"]) == id else n for n in recipe["nodes"]]
    return {**recipe, "nodes": nodes}


def planned(recipe: Recipe, modules: Sequence[str] = ODD) -> tuple[Plan, Mapping[str, Found]]:
    plan = make(parse(yaml.safe_dump(dict(recipe)), (), tuple(modules)))
    return plan, discover(plan, Path.cwd())


def run(
    recipe: Recipe,
    out: Path,
    modules: Sequence[str] = ODD,
    start: Callable[[], Backend] = LocalBackend,
) -> dict[str, Any]:
    """Run a recipe in `out`; returns run.json, as read back from the folder."""
    plan, found = planned(recipe, modules)
    Run(plan, found, out, tuple(modules), Meter(quiet=True)).execute(start)
    return json.loads((out / "run.json").read_text())


def node(report: Mapping[str, Any], id: str) -> dict[str, Any]:
    return next(n for n in report["nodes"] if n["id"] == id)


def computed(report: Mapping[str, Any]) -> dict[str, int]:
    """For each Map the number of items that it computed in this run, zeros left out."""
    # a Group elects anew; that is no computing of cells
    groups = {"linked"} | {str(c.model_fields["stage"].default) for c in STAGES if issubclass(c, Group)}
    return {n["id"]: n["computed"] for n in report["nodes"] if n["computed"] and n["stage"] not in groups}


def output_bytes(out: Path, *names: str) -> dict[str, str]:
    """SHA-256 of every file of the outputs (all of run.json's where none is named)."""
    names = names or tuple(o["path"] for o in json.loads((out / "run.json").read_text())["outputs"])
    found = {}
    for name in names:
        files = sorted(p for p in (out / name).rglob("*") if not p.is_dir())
        assert files, f"{out / name} is empty"
        for path in files:
            found[f"{name}/{path.relative_to(out / name)}"] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def index(out: Path, output: str) -> pa.Table:
    """All index files of an output, in order of shards."""
    files = sorted((out / output).rglob("*.parquet"))
    return pa.concat_tables([pq.read_table(f) for f in files], promote_options="default")


def ledger(out: Path, output: str | None = None) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for path in sorted((out / "ledger").glob("*.parquet")):
        rows += pq.read_table(path).to_pylist()
    return [r for r in rows if output is None or r["output"] == output]


def dead(out: Path, output: str | None = None, level: str = "sample") -> dict[str, str]:
    """sample_id -> node:reason."""
    return {r["sample_id"]: f"{r['node']}:{r['reason']}" for r in ledger(out, output) if r["level"] == level}


def raw_rows(source: Read, found: Found) -> pa.Table:
    """All rows of a source, read through the source alone: nothing of the engine is in between."""
    storage = LocalStorage(found.root)
    parts = [part for files in found.groups().values() for part in source.split(storage, files)]
    return pa.concat_tables([source.rows(storage, part) for part in parts])


def prove(report: Mapping[str, Any]) -> None:
    """The law of conservation for every output of a run.json, with nothing raised and nothing put off."""
    for output in report["outputs"]:
        for level in ("samples", "images"):
            terms = output[level]
            came = sum(terms[t] for t in ("entered", "born", "repeated"))
            went = sum(terms[t] for t in ("written", "dropped", "errors", "deferred", "expanded"))
            assert came == went > 0, (output["id"], level)
            assert terms["errors"] == terms["deferred"] == 0, (output["id"], level)
