"""Nothing is lost: every raw sample and image has one fate in every output, recounted without the engine."""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import pools
import pytest

from curate.report.trace import find

TERMS_IN = ("entered", "born", "repeated")
TERMS_OUT = ("written", "dropped", "errors", "deferred", "expanded")
NO_URL = {"text_junk": {"not_in": ["url"], "missing": "keep"}}
SIZE = {"image_short_side": {"min": 48}, "image_aspect": {"max": 6}}


def recipe(pool: Path) -> dict[str, Any]:
    """Two sources, four outputs: forks, two Groups, an Expand, and a merge of pairs old and born."""
    return {
        "name": "everything",
        "nodes": [
            {"id": "raw", "stage": "read_webdataset", "path": f"{pool}/pairs/*.tar", "part_rows": 40},
            {"id": "probe", "stage": "probe"},
            {"id": "size", "stage": "keep", "bounds": SIZE},
            {"id": "words", "stage": "text_stats"},
            {"id": "long", "stage": "keep", "bounds": {"text_chars": {"min": 12}}},
            {"id": "hash", "stage": "sha256"},
            {"id": "dedup", "stage": "exact", "key": "image_sha256"},
            {"id": "pt", "stage": "write_webdataset", "shard_size": 50},
            {"id": "sft", "stage": "write_llava", "from": "dedup"},
            {"id": "pages", "stage": "read_html", "path": f"{pool}/docs/**/*.html", "settle": "drop"},
            {"id": "pprobe", "stage": "probe"},
            {"id": "psize", "stage": "keep", "bounds": SIZE},
            {"id": "phash", "stage": "sha256"},
            {"id": "furniture", "stage": "exact", "key": "image_sha256", "max_documents": 2},
            {"id": "docs", "stage": "write_webdataset", "form": "documents"},
            {"id": "born", "stage": "pairs", "from": "furniture"},
            {"id": "bwords", "stage": "text_stats"},
            {"id": "blong", "stage": "keep", "bounds": {"text_chars": {"min": 20}}},
            {"id": "all", "stage": "keep", "from": ["dedup", "blong"], "bounds": NO_URL},
            {"id": "mixed", "stage": "write_webdataset"},
        ],
    }  # fmt: skip


@pytest.fixture(scope="module")
def finished(
    demo_pool: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    out = tmp_path_factory.mktemp("everything") / "run"
    report = pools.run(recipe(demo_pool), out)
    plan, found = pools.planned(recipe(demo_pool))
    raw = {name: pools.raw_rows(source, found[name]) for name, source in plan.reads().items()}
    return out, report, raw


# output -> the sources it descends from
OUTPUTS = {"pt": ["raw"], "sft": ["raw"], "docs": ["pages"], "mixed": ["raw", "pages"]}


@pytest.mark.parametrize("output", OUTPUTS)
def test_every_raw_sample_and_image_has_exactly_one_fate(finished: Any, output: str) -> None:
    out, _, raw = finished
    entered = Counter(i for source in OUTPUTS[output] for i in raw[source]["sample_id"].to_pylist())
    images = Counter(
        (row["sample_id"], k)
        for source in OUTPUTS[output]
        for row in raw[source].to_pylist()
        for k in range(row["layout"].count("i"))
    )
    rows = pools.ledger(out, output)
    written = pools.index(out, output).to_pylist()
    children = Counter(r["sample_id"] for r in written if "#" in r["sample_id"])
    children.update(r["sample_id"] for r in rows if "#" in r["sample_id"] and r["level"] == "sample")

    fates = Counter(r["sample_id"] for r in written)
    fates.update(r["sample_id"] for r in rows if r["level"] == "sample")
    assert fates == entered + children
    image_fates = Counter((r["sample_id"], r["index"]) for r in rows if r["level"] == "image")
    image_fates.update(_written_images(out, output, written))
    assert image_fates == images + Counter((child, 0) for child in children.elements())

    # who says to have children has some, and nobody else
    parents = {r["sample_id"] for r in rows if r["reason"] == "expanded" and r["level"] == "sample"}
    assert parents == {child.partition("#")[0] for child in children}
    assert (output == "mixed") == bool(parents)


@pytest.mark.parametrize("output", OUTPUTS)
def test_run_json_tells_the_same_counts(finished: Any, output: str) -> None:
    out, report, _ = finished
    told = next(o for o in report["outputs"] if o["id"] == output)
    rows = pools.ledger(out, output)
    index = pools.index(out, output).to_pylist()
    images = sum(_written_images(out, output, index).values())
    for level, written in (("samples", len(index)), ("images", images)):
        terms = told[level]
        assert sum(terms[t] for t in TERMS_IN) == sum(terms[t] for t in TERMS_OUT) > 0
        here = Counter(_term(r["reason"]) for r in rows if r["level"] == level[:-1])
        assert {t: terms[t] for t in TERMS_OUT} == {**dict.fromkeys(TERMS_OUT, 0), **here, "written": written}


def test_the_sources_totals_are_those_of_the_raw_input(finished: Any) -> None:
    _, report, raw = finished
    assert report["samples"]["read"] == sum(t.num_rows for t in raw.values())
    assert report["images"]["read"] == sum(
        layout.count("i") for t in raw.values() for layout in t["layout"].to_pylist()
    )


def test_every_raw_sample_can_be_traced(finished: Any) -> None:
    out, _, raw = finished
    for source, outputs in (("raw", {"pt", "sft", "mixed"}), ("pages", {"docs", "mixed"})):
        rows = raw[source].select(["sample_id", "source"]).to_pylist()
        for row in rows[:: max(1, len(rows) // 6)]:
            fates = find(out, row["sample_id"])
            told = {
                f["output"] for f in fates if f["sample_id"] == row["sample_id"] and f.get("level") != "image"
            }
            assert told == outputs
            for fate in fates:
                assert fate["fate"] == "written" or fate["reason"]


# What the pool does to a pair, and what the ledger must say of it. Damage to a JPEG may take its end away
# as well: then `truncated` is as true as `corrupt`.
PLANTED = {
    "corrupt": "probe:corrupt|probe:truncated",
    "truncated": "probe:truncated",
    "bomb": "probe:bomb",
    "zero_byte": "probe:empty",
    "missing_image": "raw:missing_image",
    "missing_caption": "raw:missing_text",
    "non_utf8_caption": "raw:not_utf8",
}


def test_planted_breakage_is_in_the_ledger_under_its_own_reason(finished: Any, demo_pool: Path) -> None:
    out, _, _ = finished
    truth = [json.loads(line) for line in (demo_pool / "truth.jsonl").read_text().splitlines()]
    planted = {
        (t["file"], t["key"]): PLANTED[t["defects"][0]]
        for t in truth
        if t["dataset"] == "pairs" and len(t["defects"]) == 1 and t["defects"][0] in PLANTED
    }
    told = {}
    for row in pools.ledger(out, "pt"):
        if row["level"] == "sample":
            place, _, _ = row["source"].rpartition("@")
            told[tuple(place.split("#"))] = f"{row['node']}:{row['reason']}"
    assert len(set(planted.values())) >= 5
    wrong = {place: told.get(place) for place in planted if told.get(place) not in planted[place].split("|")}
    assert wrong == {}


def _written_images(out: Path, output: str, index: list[dict[str, Any]]) -> Counter[tuple[str, int]]:
    """(sample_id, place of the image in its sample), from the files themselves: documents name it."""
    found: Counter[tuple[str, int]] = Counter()
    id_of = {row["key"]: row["sample_id"] for row in index}
    if output == "sft":
        return Counter((id_of[p.stem], 0) for p in (out / "sft" / "images").rglob("*.jpg"))
    for path in (out / output).glob("*.tar"):
        with tarfile.open(path) as tar:
            for name in tar.getnames():
                key, kind = name.split(".", 1)
                if kind.startswith("img"):
                    found[id_of[key], int(kind[3:5])] += 1
                elif kind == "jpg":
                    found[id_of[key], 0] += 1
    return found


def _term(reason: str) -> str:
    if reason == "expanded":
        return "expanded"
    if reason.startswith("error."):
        return "errors"
    return "deferred" if reason.startswith("deferred") else "dropped"
