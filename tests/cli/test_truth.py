"""`--truth`: a run against the truth of a demo pool, and files that are no such truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pools
import pytest
from finished import Finished

from curate.errors import CurateError
from curate.report.truth import compare

RECIPE: dict[str, Any] = {
    "name": "two",
    "nodes": [
        {"id": "raw", "stage": "read_webdataset"},
        {"stage": "probe"},
        {"id": "pt", "stage": "write_webdataset"},
        {"id": "pages", "stage": "read_html"},
        {"id": "page_probe", "stage": "probe"},
        {"id": "docs", "stage": "write_webdataset", "form": "documents"},
    ],
}


@pytest.fixture(scope="module")
def scored(demo_pool: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Output -> its table, of a run in which pairs and documents never meet."""
    out = tmp_path_factory.mktemp("truth") / "run"
    recipe = pools.with_node(RECIPE, "raw", path=f"{demo_pool}/pairs")
    report = pools.run(pools.with_node(recipe, "pages", path=f"{demo_pool}/docs"), out)
    tables: dict[str, str] = {}
    for line in compare(demo_pool / "truth.jsonl", out, report).splitlines():
        if line.endswith(" against truth.jsonl"):
            name = line.partition(" ")[0]
        tables[name] = tables.get(name, "") + line + "\n"
    return tables


def scopes(table: str) -> set[str]:
    return {word for word in ("pair", "document", "image") if f" {word}  " in table}


def test_an_output_is_held_against_what_its_sources_hold(scored: dict[str, str]) -> None:
    assert scopes(scored["pt"]) == {"pair"}
    assert scopes(scored["docs"]) == {"document", "image"}


def test_recall_is_that_of_the_stages_it_passed(scored: dict[str, str]) -> None:
    rows = {line.split()[0]: line.split() for line in scored["pt"].splitlines() if "  pair  " in line}
    assert rows["corrupt"][4] == "1.000"
    assert "not" in rows["tiny"]  # handled: no node looks at sizes


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "there is no such file; `curate demo` writes it"),
        ("no json", "is not the truth.jsonl of a demo pool"),
        ('{"key": 1}', "is not the truth.jsonl of a demo pool"),
    ],
)
def test_what_is_no_truth_is_refused(
    quickstart: Finished, tmp_path: Path, text: str | None, said: str
) -> None:
    path = tmp_path / "truth.jsonl"
    if text is not None:
        path.write_text(text)
    with pytest.raises(CurateError, match=said):
        compare(path, quickstart.out, quickstart.report)


def test_the_truth_of_another_pool_is_refused(quickstart: Finished, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in quickstart.truth.read_text().splitlines()]
    moved = [json.dumps({**line, "file": "x/" + line["file"] + ".x", "of": None}) for line in lines]
    (tmp_path / "truth.jsonl").write_text("\n".join(moved))
    with pytest.raises(CurateError, match="was not made of the pool"):
        compare(tmp_path / "truth.jsonl", quickstart.out, quickstart.report)
