from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pools
import pyarrow.parquet as pq
import pytest
import yaml

from curate.io import card_facts

ODD = "<script>|`x`\n[a](b)"


def recipe(path: str, form: str, **fields: Any) -> pools.Recipe:
    return {
        "name": "carded",
        "description": "Small pairs.",
        "licence": "cc-by-4.0",
        "nodes": [
            {"id": "raw", "stage": "read_webdataset", "path": path},
            {"stage": "probe"},
            {"stage": "letters"},
            {"id": "few", "stage": "keep", "bounds": {"text_letters": {"max": 25}}},
            {"id": "copies", "stage": "exact", "key": "text_body"},
            {"id": "out", "stage": form, **fields},
        ],
    }


@pytest.fixture(scope="module")
def tar(tmp_path_factory: pytest.TempPathFactory) -> str:
    return pools.write_tars(tmp_path_factory.mktemp("in"), pools.pairs(60), 2)


@pytest.mark.parametrize("form", ["write_webdataset", "write_parquet", "write_llava"])
def test_the_card_tells_the_funnel_and_what_nobody_did(tar: str, tmp_path: Path, form: str) -> None:
    report = pools.run(recipe(tar, form), tmp_path / "run")
    card = (tmp_path / "run" / "out" / "README.md").read_text()
    assert "| `raw` | `read_webdataset` |" in card
    few = pools.node(report, "few")
    assert few["dropped"]
    ((reason, n),) = few["dropped"].items()
    assert f"| `few` | {few['rows_in']} | {few['rows_out']} | {reason} {n} |" in card
    assert "exact duplicates (`copies`)" in card
    missing = card.split("Nobody has looked for: ")[1].splitlines()[0]
    assert "leakage of evaluation benchmarks" in missing
    assert "exact duplicates" not in missing
    letters = pools.index(tmp_path / "run", "out")["text_letters"].to_pylist()
    total = sum(x if isinstance(x, int) else sum(x) for x in letters)
    assert f"| `text_letters` | {total:,} |" in card
    assert yaml.safe_load(card.split("---")[1])["license"] == "cc-by-4.0"


def test_croissant_names_every_file_and_every_plain_column(tar: str, tmp_path: Path) -> None:
    pools.run(recipe(tar, "write_webdataset", by=["text_letters"]), tmp_path / "run")
    out = tmp_path / "run" / "out"
    found = json.loads((out / "croissant.json").read_text())
    assert (found["name"], found["license"]) == ("out", "cc-by-4.0")
    assert found["description"].startswith("Small pairs. ")
    sets = {s["@id"]: s["includes"] for s in found["distribution"]}
    assert sets == {"parquet-files": "**/*.parquet", "tar-files": "**/*.tar"}
    shard = next(out.rglob("*.parquet"))
    (records,) = found["recordSet"]
    fields = {f["name"]: f["dataType"] for f in records["field"]}
    assert fields["text_letters"] == "sc:Integer"
    assert fields["image_aspect"] == "sc:Float"
    assert set(fields) <= set(pq.read_schema(shard).names)
    manifest = json.loads((out / "manifest.json").read_text())
    assert "croissant.json" in manifest["files"]


def test_values_of_the_data_are_no_markup() -> None:
    told = card_facts.sections({"tallies": {"licence": {ODD: 3}}})
    (row,) = [line for line in told.splitlines() if "script" in line]
    assert row == "| \\<script\\>\\|\\`x\\` \\[a\\](b) | 3 |"


def test_languages_are_codes() -> None:
    assert card_facts.languages({"tallies": {"language": {"en": 2, "zh": 1, "none": 4, "x-odd": 1}}}) == [
        "en",
        "zh",
    ]
    assert card_facts.languages({"tallies": {"text_language": {"deu": 1}}}) == ["deu"]
