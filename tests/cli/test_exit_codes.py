"""Exit codes, and errors that a person can act on: no traceback, the place, the nearest valid names."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pools
import pytest
import yaml
from command import COMMAND, Curate
from finished import RECIPES, run_file
from typer.testing import CliRunner

from curate.cli import app
from curate.errors import CurateError

LIMIT = 3.0  # seconds until a mistake is told
SMALL = {
    "name": "small",
    "nodes": [
        {"id": "raw", "stage": "read_webdataset", "path": "shards/*.tar"},
        {"stage": "probe"},
        {"id": "size", "stage": "keep", "bounds": {"image_width": {"min": 44}}},
        {"id": "pt", "stage": "write_webdataset"},
    ],
}


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    pools.write_tars(tmp_path / "shards", pools.pairs(12), 1)
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(SMALL))
    return path


def test_a_run_ends_with_the_funnel(recipe: Path, curate: Curate, tmp_path: Path) -> None:
    ended = curate("run", "small.yaml", "--out", "run", "--backend", "local", "--quiet")
    assert (ended.code, ended.err) == (0, "")
    assert "pt/: 10 samples, 1 shards" in ended.out
    assert "samples: 12 entered = 10 written + 2 dropped" in ended.out
    again = curate("plan", "small.yaml", "--out", "run")
    assert again.code == 0
    assert "12 rows are done: nothing to compute" in again.out


def test_plan_shows_segments_and_what_would_be_computed(recipe: Path, curate: Curate, tmp_path: Path) -> None:
    told = curate("plan", "small.yaml", "-o", "run")
    assert (told.code, told.err) == (0, "")
    assert told.out.startswith("small: 1 segments, 1 outputs\n  source raw: 1 files, ")
    assert "segment raw (from source): raw > probe > size" in told.out
    assert "size [image]: image_width -> decisions only" in told.out
    assert "write pt/ <- raw" in told.out
    assert "run holds no earlier run: everything is computed" in told.out
    assert not (tmp_path / "run").exists()  # a plan leaves nothing behind


@pytest.mark.parametrize(
    ("override", "place", "hint"),
    [
        ("size.bounds={image_widht: {min: 1}}", "nodes.2 (size)", "image_width"),
        ("size.bonds={}", "nodes.2 (size).bonds", "bounds"),
        ("size.stage=kep", "nodes.2.stage", "keep"),
        ("raw.path=shard/*.tar", "nodes.0 (raw).path", "shards"),
        ("siez.bounds={}", "-s siez.bounds={}", "size"),
    ],
    ids=["column", "field", "stage", "path", "node"],
)
@pytest.mark.parametrize("verb", ["run"])
def test_misspelt_names_are_told_at_once(
    recipe: Path, curate: Curate, tmp_path: Path, verb: str, override: str, place: str, hint: str
) -> None:
    ended = curate(verb, "small.yaml", "-o", "run", "-s", override)
    assert ended.code == 1
    assert ended.out == ""
    assert ended.err.startswith(f"curate: {place}: ")
    assert f"`{hint}`" in ended.err or f"/{hint}" in ended.err or f"{hint}" in ended.err.splitlines()[1]
    assert "Traceback" not in ended.err
    assert ended.seconds < LIMIT
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["run", "none.yaml", "-o", "run"], 1, "curate: none.yaml: cannot be read: No such file"),
        (["run", "small.yaml"], 2, "Missing option '--out'"),
        (["run", "small.yaml", "-o", "run", "--backend", "spark"], 2, "'spark' is not one of"),
        (["run", "small.yaml", "-o", "run", "--workers", "0"], 2, "--workers"),
        (["run", "small.yaml", "-o", "run", "--truth", "none.jsonl"], 2, "none.jsonl"),
        (["run", "small.yaml", "-o", "run", "--replay", "a/b", "--backend", "local"], 1, "--replay a/b: "),
        (["rum"], 2, "No such command 'rum'"),
        (["stages", "probbe"], 1, "did you mean `probe`?"),
        (["stages", "--stages", "no_such_module"], 1, "--stages no_such_module: cannot be loaded"),
        (["trace", ".", "0123456789"], 1, "is no run folder: it has no run.json"),
        (["report", "."], 1, "is no run folder: it has no run.json"),
        (["demo", "pool", "--pairs", "-1"], 2, "--pairs"),
        (["demo", "small.yaml"], 1, "curate: small.yaml cannot be written: Not a directory"),
        (["demo", "."], 1, "docs exists and there is no truth.jsonl beside it: not a demo pool"),
    ],
)
def test_errors_are_sentences(
    recipe: Path, curate: Curate, tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    (tmp_path / "docs").mkdir()  # somebody's own
    ended = curate(*arguments)
    assert ended.code == code
    assert said in ended.err
    assert ended.out == ""
    assert "Traceback" not in ended.err
    assert ended.seconds < LIMIT


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-s", "raw.path={"], "-s raw.path={: the value is not YAML"),
        (["-s", "raw.path=[]"], "nodes.0 (raw).path: is empty"),
        (["-s", 'raw.path=""'], "nodes.0 (raw).path: is empty"),
        (["-s", "raw.bounds"], "-s raw.bounds: must read node.field=value"),
        (["-s", "raw.fields.image_uri=x"], "nodes.0 (raw).fields.image_uri: there is no field `image_uri`"),
        (["--stages", ":"], "--stages :: must read package.module:TUPLE"),
    ],
)
def test_odd_arguments_are_errors_of_the_recipe(recipe: Path, arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["plan", str(recipe), *arguments])
    assert isinstance(result.exception, CurateError), result.exception
    assert str(result.exception).startswith(said)


def test_a_recipe_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_bytes(b"name: \xff")
    result = CliRunner().invoke(app, ["plan", str(tmp_path / "r.yaml")])
    assert isinstance(result.exception, CurateError)
    assert "r.yaml: is not UTF-8 text: byte 6" in str(result.exception)


def test_ctrl_c_stops_and_the_same_command_goes_on(demo_pool: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    paths = [f"raw.path={demo_pool}/pairs", f"pages.path={demo_pool}/docs"]
    recipe = RECIPES / "quickstart.yaml"
    words = ["run", str(recipe), "-o", str(out), "--backend", "local", "-q", *(f"-s{p}" for p in paths)]
    process = subprocess.Popen([*COMMAND, *words], stderr=subprocess.PIPE, text=True, env=os.environ)
    try:
        while not list(out.glob("state/parts/raw/*.json")):
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert said == "curate: stopped; what is done is kept, the same command goes on from here\n"
    assert yaml.safe_load((out / "run.json").read_text())["status"] == "stopped"
    report = run_file(recipe, paths, out)
    assert report["status"] == "done"
    assert pools.node(report, "probe")["reused"] > 0
    assert pools.node(report, "probe")["computed"] == 0
