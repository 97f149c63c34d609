"""Empty input, nothing left, hostile references, folders that are taken or cannot be written."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pools
import pytest
import yaml

from curate.errors import RunError


def empty_everywhere(tar: str, pages: str) -> dict[str, Any]:
    """Every kind of step, so that each meets nothing."""
    chain = pools.chain(tar, minimum=90)
    more = [
        {"id": "sft", "stage": "write_llava", "from": "words"},
        {"id": "flat", "stage": "write_parquet", "from": "words"},
        {"id": "pages", "stage": "read_html", "path": pages},
        {"id": "pprobe", "stage": "probe"},
        {"id": "psize", "stage": "keep", "bounds": {"image_width": {"min": 90_000}}},
        {"id": "docs", "stage": "write_webdataset", "form": "documents"},
        {"id": "born", "stage": "halves", "from": "psize"},
        {"id": "kin", "stage": "linked", "from": ["born", "words"]},
        {"id": "mixed", "stage": "write_webdataset"},
    ]
    chain["nodes"].insert(2, {"id": "none", "stage": "keep", "bounds": {"image_width": {"min": 90_000}}})
    return {**chain, "nodes": [*chain["nodes"], *more]}


def valid_and_empty(out: Path, report: dict[str, Any]) -> None:
    assert report["status"] == "done"
    for told in report["outputs"]:
        manifest = json.loads((out / told["path"] / "manifest.json").read_text())
        assert (told["samples"]["written"], manifest["samples"], manifest["images"]) == (0, 0, 0)
        assert (out / told["path"] / "README.md").read_text()
    assert json.loads((out / "sft" / "llava.json").read_text()) == []


def test_outputs_without_samples_are_valid(tmp_path: Path) -> None:
    tar = pools.write_tar(tmp_path / "in" / "0.tar", pools.pairs(5))
    recipe, out = empty_everywhere(str(tar), pools.write_pages(tmp_path / "pages", 2)), tmp_path / "run"
    report = pools.run(recipe, out)
    valid_and_empty(out, report)
    assert report["samples"]["read"] == 7
    assert pools.computed(pools.run(recipe, out)) == {}


def test_a_source_without_samples_is_valid(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "0.tar", "w"):
        pass
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "page.html").write_text("")
    out = tmp_path / "run"
    report = pools.run(empty_everywhere(str(tmp_path / "0.tar"), str(tmp_path / "pages" / "*.html")), out)
    valid_and_empty(out, report)
    assert report["samples"]["read"] == 1  # the empty page


def test_references_that_leave_the_root_are_not_read(tmp_path: Path) -> None:
    """A page may name any file; only those below the source's root are images of it."""
    secret = tmp_path / "secret.png"
    secret.write_bytes(pools.picture(7))
    pages = pools.write_pages(tmp_path / "pages", 1, images=1)
    page = tmp_path / "pages" / "page000.html"
    hostile = ["../secret.png", str(secret), f"file://{secret}", "%2e%2e/secret.png", "a/../../secret.png"]
    page.write_text(
        page.read_text().replace("</main>", "".join(f'<img src="{h}">' for h in hostile) + "</main>")
    )
    recipe = {
        "name": "hostile",
        "nodes": [
            {"id": "pages", "stage": "read_html", "path": pages},
            {"id": "hash", "stage": "sha256"},
            {"id": "docs", "stage": "write_webdataset", "form": "documents"},
        ],
    }
    report = pools.run(recipe, tmp_path / "run")
    assert report["outputs"][0]["images"]["written"] == 2
    reasons = [(r["node"], r["reason"]) for r in pools.ledger(tmp_path / "run") if r["level"] == "image"]
    assert len(reasons) == len(hostile)
    assert {node for node, _ in reasons} <= {"pages", "hash"}
    for path in (tmp_path / "run" / "docs").glob("*.tar"):
        assert secret.read_bytes() not in path.read_bytes()


def command(recipe: pools.Recipe, tmp_path: Path, out: Path) -> subprocess.CompletedProcess[str]:
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(dict(recipe)))
    words = ["run", str(tmp_path / "r.yaml"), "--out", str(out), "--backend", "local", "-q"]
    return subprocess.run(
        [sys.executable, "-m", "curate.cli", *words, "--stages", pools.ODD[0]],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    recipe, out = pools.chain(str(pools.write_tar(tmp_path / "0.tar", pools.pairs(3)))), tmp_path / "run"
    pools.run(recipe, out)
    before = (out / "run.json").read_bytes()
    with (out / "state" / "lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(RunError, match="in use by another run"):
            pools.run(pools.chain(str(tmp_path / "0.tar"), minimum=60), out)
    assert (out / "run.json").read_bytes() == before


def test_an_unwritable_folder_is_told_without_a_traceback(tmp_path: Path) -> None:
    recipe = pools.chain(str(pools.write_tar(tmp_path / "0.tar", pools.pairs(3))))
    (tmp_path / "file").write_text("")
    done = command(recipe, tmp_path, tmp_path / "file" / "run")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "cannot be written" in done.stderr


def test_an_input_that_vanishes_is_told_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from curate.io.storage import LocalStorage

    tar = pools.write_tar(tmp_path / "0.tar", pools.pairs(3))
    plan_sees = LocalStorage.open

    def vanished(self: LocalStorage, path: str) -> Any:
        if sys._getframe(1).f_code.co_name == "rows":
            raise FileNotFoundError(2, "No such file or directory")
        return plan_sees(self, path)

    monkeypatch.setattr(LocalStorage, "open", vanished)
    with pytest.raises(RunError, match=r"node `raw`: 0.tar"):
        pools.run(pools.chain(str(tar)), tmp_path / "run")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "failed"


def test_any_failure_is_noted_in_run_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever watches run.json must not wait for a run that ended by a defect or a full disk."""
    tar = pools.write_tar(tmp_path / "0.tar", pools.pairs(3))

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("curate.output.publish", full)
    with pytest.raises(OSError, match="No space"):
        pools.run(pools.chain(str(tar)), tmp_path / "run")
    told = json.loads((tmp_path / "run" / "run.json").read_text())
    assert told["status"] == "failed"
    assert "No space" in told["problem"]


@pytest.mark.parametrize("stage", ["write_webdataset", "write_parquet", "write_llava"])
def test_an_output_that_nobody_checked_for_checks_itself(tmp_path: Path, stage: str) -> None:
    """Without a node that decodes, a bad image is still dropped: neither written nor fatal."""
    rows = pools.pairs(6)
    key, image, text = rows[2]
    rows[2] = (key, image[:20] + b"?" * 60, text)
    tar = pools.write_tar(tmp_path / "a.tar", rows)
    nodes = [{"id": "raw", "stage": "read_webdataset", "path": str(tar)}, {"id": "out", "stage": stage}]
    report = pools.run({"name": "bare", "nodes": nodes}, tmp_path / "run")
    assert report["outputs"][0]["samples"]["written"] == 5
    assert sum(pools.node(report, "out")["dropped"].values()) == 1


def test_what_another_version_stored_is_not_looked_into(tmp_path: Path) -> None:
    recipe = pools.chain(str(pools.write_tar(tmp_path / "a.tar", pools.pairs(6))))
    first = pools.run(recipe, tmp_path / "run")
    for path in (tmp_path / "run" / "state" / "parts").rglob("*.json"):
        manifest = json.loads(path.read_text())
        path.write_text(json.dumps({**manifest, "format": 0}))
        (path.parent / manifest["data"]).write_bytes(b"of another format")
    again = pools.run(recipe, tmp_path / "run")
    assert again["outputs"][0]["samples"] == first["outputs"][0]["samples"]
    assert again["images_decoded"] == first["images_decoded"] > 0


def test_a_node_of_several_levels_counts_its_rows_once(tmp_path: Path) -> None:
    tars = pools.write_tars(tmp_path / "in", pools.pairs(20), 1)
    bounds = {"image_width": {"min": 60}, "text_letters": {"min": 25}}
    recipe = {
        "name": "levels",
        "nodes": [
            {"id": "raw", "stage": "read_webdataset", "path": tars},
            {"stage": "probe"},
            {"stage": "letters"},
            {"id": "both", "stage": "keep", "bounds": bounds},
            {"id": "out", "stage": "write_webdataset"},
        ],
    }
    both = pools.node(pools.run(recipe, tmp_path / "run"), "both")
    assert set(both["dropped"]) == {"image_width.below_min", "text_letters.below_min"}
    assert (both["rows_in"], both["rows_out"]) == (20, 20 - sum(both["dropped"].values()))
