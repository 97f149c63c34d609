"""A core of the engine's laws on both backends, and a cluster that loses a node."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pools
import pytest
import yaml

from curate.backends import Backend
from curate.errors import StageBug
from curate.work import Job

Start = Callable[[], Backend]


@pytest.fixture
def tars(tmp_path: Path) -> str:
    rows = pools.pairs(40)
    rows[11] = rows[11]._replace(text="BAD " + rows[11].text)
    rows[12] = rows[12]._replace(image=rows[12].image[:50])
    return pools.write_tars(tmp_path / "in", rows, 2)


def recipe(tars: str, how: str = "value") -> pools.Recipe:
    chain = pools.chain(tars, part_rows=9)
    return {
        **chain,
        "nodes": [*chain["nodes"][:-1], {"id": "mood", "stage": "moody", "how": how}, chain["nodes"][-1]],
    }


def test_bad_rows_reruns_and_conservation(tars: str, tmp_path: Path, start: Start) -> None:
    out = tmp_path / "run"
    report = pools.run(recipe(tars), out, start=start)
    reasons = set(pools.dead(out).values())
    assert {"mood:error.ValueError", "probe:truncated", "dedup:duplicate"} <= reasons
    told = report["outputs"][0]["samples"]
    assert told["entered"] == 40 == told["written"] + told["dropped"] + told["errors"]
    before = pools.output_bytes(out)
    tighter = pools.with_node(recipe(tars), "size", bounds={"image_width": {"min": 60}})
    again = pools.run(tighter, out, start=start)
    assert (pools.computed(again), again["images_decoded"]) == ({}, 0)
    back = pools.run(recipe(tars), out, start=start)
    assert pools.computed(back) == {}
    assert pools.output_bytes(out) == before


def test_a_bug_arrives_as_itself(tars: str, tmp_path: Path, start: Start) -> None:
    with pytest.raises(StageBug, match="node `mood`: TypeError: a bug of ours"):
        pools.run(recipe(tars, "type"), tmp_path / "run", start=start)
    told = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (told["status"], "mood" in told["problem"]) == ("failed", True)


def test_results_carry_the_number_of_their_task(tars: str, tmp_path: Path, start: Start) -> None:
    plan, found = pools.planned(recipe(tars))
    source = found["raw"]
    job = Job(str(tmp_path), json.dumps(plan.recipe.to_plain()), (("raw", source.root),), pools.ODD)
    tasks: list[dict[str, Any]] = [
        {"node": "raw", "files": [[f.path, f.size, f.identity]]} for f in source.files * 3
    ]
    backend = start()
    results = dict(backend.map(job, "split", tasks))
    backend.close()
    assert sorted(results) == list(range(6))
    for number, result in results.items():
        assert result["files"] == tasks[number]["files"]
    assert list(start().map(job, "split", [])) == []


@pytest.mark.slow
def test_a_cluster_that_loses_a_node_finishes_with_the_same_bytes(tars: str, tmp_path: Path) -> None:
    """A Ray of two nodes, in a process of its own: only the second node works, until it is taken away."""
    file, out = tmp_path / "recipe.yaml", tmp_path / "run"
    plain = recipe(tars)
    file.write_text(yaml.safe_dump(dict(plain)))
    script = str(Path(__file__).with_name("lose_a_node.py"))
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "PYTHONPATH": os.pathsep.join(sys.path)}
    environment.pop("RAY_AUTH_TOKEN", None)
    done = subprocess.run(
        [sys.executable, script, str(file), str(out)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert re.search(r"removed after [1-5] parts", done.stdout)  # of six of the first segment alone
    pools.run(plain, tmp_path / "whole")
    assert pools.output_bytes(out) == pools.output_bytes(tmp_path / "whole")
