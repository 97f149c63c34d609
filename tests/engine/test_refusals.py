"""A wrong recipe is refused before anything starts, with the place and the nearest names."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pools
import pytest

from curate.errors import RecipeError
from curate.plan import make
from curate.recipe import parse
from curate.sources import discover

HEAD = """
name: r
nodes:
- {id: raw, stage: read_webdataset, path: in/*.tar}
- {stage: probe}
"""
TAIL = "- {id: out, stage: write_webdataset}\n"

# what is wrong: (recipe, overrides, all of these are told)
WRONG: dict[str, tuple[str, Sequence[str], Sequence[str]]] = {
    "stage": (HEAD + "- {stage: prob}\n" + TAIL, (), ["nodes.2.stage", "`prob`", "`probe`"]),
    "field": (HEAD + "- {stage: keep, bouns: {}}\n" + TAIL, (), ["nodes.2 (keep)", "`bouns`", "`bounds`"]),
    "top field": ("nmae: x\n" + HEAD, (), ["nmae", "`name`"]),
    "decode": ("decode: {short_sid: 3}\n" + HEAD, (), ["decode.short_sid", "`short_side`"]),
    "column": (
        HEAD + "- {stage: keep, bounds: {image_widht: {min: 1}}}\n" + TAIL,
        (),
        ["nodes.2 (keep)", "`image_widht`", "`image_width`"],
    ),
    "type": (
        HEAD + "- {id: k, stage: keep, bounds: {image_format: {min: 1}}}\n" + TAIL,
        (),
        ["nodes.2 (k).bounds.image_format", "string"],
    ),
    "from": (
        HEAD + "- {id: out, stage: write_webdataset, from: prode}\n",
        (),
        ["nodes.2 (out).from", "`prode`", "`probe`"],
    ),
    "override node": (HEAD + TAIL, ["otu.seed=1"], ["-s otu.seed=1", "`otu`", "`out`"]),
    "override field": (HEAD + TAIL, ["out.sed=1"], ["nodes.2 (out).sed", "`seed`"]),
    "override without value": (HEAD + TAIL, ["out.seed"], ["-s out.seed", "node.field=value"]),
    "duplicate id": (HEAD + "- {id: raw, stage: sha256}\n" + TAIL, (), ["nodes.2.id", "`raw`", "nodes.0"]),
    "duplicate key": (
        HEAD + "- {id: out, stage: write_webdataset, id: aus}\n",
        (),
        ["line 6", "`id`", "twice"],
    ),
    "cycle": (
        HEAD + "- {id: a, stage: sha256, from: b}\n- {id: b, stage: text_stats, from: a}\n" + TAIL,
        (),
        ["cycle", "a -> b -> a"],
    ),
    "two sources of one name": (
        HEAD + TAIL + "- {id: raw2, name: raw, stage: read_webdataset, path: in/*.tar}\n",
        (),
        ["nodes.3 (raw2).name", "`raw`"],
    ),
    "an output where the ledger lies": (
        HEAD + "- {id: ledger, stage: write_webdataset}\n",
        (),
        ["nodes.2 (ledger).id", "RUN/ledger/"],
    ),
    "diamond": (
        HEAD
        + "- {id: a, stage: sha256, from: probe}\n- {id: b, stage: text_stats, from: probe}\n"
        + "- {id: out, stage: write_webdataset, from: [a, b]}\n",
        (),
        ["nodes.4 (out).from", "twice"],
    ),
    "after an output": (HEAD + TAIL + "- {id: more, stage: sha256}\n", (), ["nodes.3 (more)", "`from:`"]),
    "from an output": (
        HEAD + TAIL + "- {id: more, stage: sha256, from: out}\n",
        (),
        ["nodes.3 (more).from", "`out`"],
    ),
    "source with input": (
        HEAD + "- {id: b, stage: read_html, path: x, from: raw}\n",
        (),
        ["nodes.2 (b).from"],
    ),
    "first node without source": (
        "name: r\nnodes:\n- {stage: probe}\n",
        (),
        ["nodes.0 (probe)", "comes first"],
    ),
    "no source": ("name: r\nnodes: []\n", (), ["no source"]),
    "column written twice": (
        HEAD + "- {id: again, stage: probe}\n" + TAIL,
        (),
        ["nodes.2 (again)", "already wrote"],
    ),
    "missing path": (HEAD.replace("in/", "inn/") + TAIL, (), ["nodes.0 (raw).path", "`in`"]),
    "glob without match": (HEAD.replace("*.tar", "*.zip") + TAIL, (), ["nodes.0 (raw).path", "0.tar"]),
    "not yaml": ("name: [", (), ["not YAML"]),
    "id as a path": (HEAD + "- {id: ../x, stage: sha256}\n", (), ["nodes.2.id", "../x"]),
    "bad name": (HEAD.replace("name: r", "name: ../r") + TAIL, (), ["name"]),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pools.write_tar(tmp_path / "in" / "0.tar", pools.pairs(2))
    return tmp_path


@pytest.mark.parametrize("case", WRONG)
def test_refused_with_place_and_nearest_names(folder: Path, case: str) -> None:
    text, overrides, told = WRONG[case]
    with pytest.raises(RecipeError) as caught:
        discover(make(parse(text, overrides)), folder)
    for words in told:
        assert words in str(caught.value)


def test_the_right_recipe_passes(folder: Path) -> None:
    """So that none of the above is refused for another reason."""
    plan = make(parse(HEAD + TAIL, ["out.seed=3", "decode.short_side=64"]))
    assert discover(plan, folder)["raw"].files[0].path == "0.tar"
    assert (plan.recipe.node("out").seed, plan.recipe.decode.short_side) == (3, 64)  # type: ignore[attr-defined]


def test_the_command_refuses_at_once_and_without_a_traceback(folder: Path) -> None:
    text, _, told = WRONG["column"]
    (folder / "r.yaml").write_text(text)
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "curate.cli", "run", "r.yaml", "--out", "run"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert time.monotonic() - began < 3 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    assert done.returncode == 1
    assert all(words in done.stderr for words in told)
    assert "Traceback" not in done.stderr
    assert not (folder / "run").exists()


def test_planning_does_not_load_ray(folder: Path) -> None:
    (folder / "r.yaml").write_text(HEAD + TAIL)
    script = (
        "import sys; sys.argv = ['curate', 'plan', 'r.yaml', '--out', 'run']\n"
        "from curate.cli import app\n"
        "app(standalone_mode=False)\n"
        "assert 'ray' not in sys.modules, 'ray was loaded'"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "segment raw" in done.stdout
