"""`curate report RUN --for N`: what a larger run would take."""

from __future__ import annotations

import json
from pathlib import Path

import pools
import pytest
from typer.testing import CliRunner

from curate.cli import app
from curate.errors import RunError
from curate.report import costs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = pools.write_tars(tmp_path / "in", pools.pairs(40), 2)
    pools.run(pools.chain(path), tmp_path / "run")
    return tmp_path / "run"


def test_all_time_is_told_and_grows_with_the_samples(folder: Path) -> None:
    report = json.loads((folder / "run.json").read_text())
    one, ten = (costs.estimate(report, n) for n in (4_000, 40_000))
    assert one["core_hours"]["total"] == pytest.approx(report["seconds"] * 100 / 3600)
    for told in (one, ten):
        hours = dict(told["core_hours"])
        total = hours.pop("total")
        assert sum(hours.values()) == pytest.approx(total)
        assert hours["probe"] > 0
    assert ten["core_hours"] == {name: pytest.approx(10 * h) for name, h in one["core_hours"].items()}
    assert ten["bytes"]["out"] == pytest.approx(1000 * report["outputs"][0]["bytes"])


def test_the_table(folder: Path) -> None:
    done = CliRunner().invoke(app, ["report", str(folder), "--for", "1000000"])
    assert done.exit_code == 0
    first, _, *rows = done.output.splitlines()
    assert first == "1,000,000 samples, by a run of 40 on 1 cores:"
    assert rows[1].split()[:2] == ["probe", "1,000,000"]
    assert rows[-2].startswith("total ")
    assert rows[-1].startswith("out/: ")
    as_json = CliRunner().invoke(app, ["report", str(folder), "--for", "1000000", "--json"])
    assert json.loads(as_json.output)["measured_on"] == 40


def test_a_run_that_reused_results_tells_nothing(folder: Path, tmp_path: Path) -> None:
    pools.run(pools.chain(f"{tmp_path}/in/*.tar"), folder)
    with pytest.raises(RunError, match="took over results of an earlier one"):
        costs.estimate(json.loads((folder / "run.json").read_text()), 10)
