"""Same recipe and same input: the same bytes, however the work is cut, ordered and placed."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pools
import pytest
import yaml

from curate.backends import Backend

COUNT = 70


def recipe(tmp_path: Path, tars: str, pages: str, part_rows: int = 2048) -> dict[str, Any]:
    """Pairs and documents to three outputs, with Groups and an Expand between."""
    chain = pools.chain(tars, shard_size=20, part_rows=part_rows)
    more = [
        {"id": "pages", "stage": "read_html", "path": pages, "part_rows": min(part_rows, 5)},
        {"id": "phash", "stage": "sha256"},
        {"id": "furniture", "stage": "exact", "key": "image_sha256", "max_documents": 3},
        {"id": "tale", "stage": "story"},
        {"id": "docs", "stage": "write_webdataset", "form": "documents", "shard_size": 4},
        {"id": "born", "stage": "halves", "from": "tale"},
        {"id": "sft", "stage": "write_llava", "shard_size": 9},
    ]
    return {**chain, "nodes": [*chain["nodes"], *more]}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("same")
    rows = pools.pairs(COUNT)
    rows += [rows[5], rows[6]]  # twins: the same sample in another place
    return pools.write_tars(folder / "tars", rows, 3), pools.write_pages(folder / "pages", 9)


@pytest.fixture(scope="module")
def expected(base: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("expected") / "run"
    pools.run(recipe(out, *base), out)
    found = pools.output_bytes(out)
    assert {"out/00002.tar", "docs/00001.tar", "sft/llava.json"} <= found.keys()
    return found


def test_a_second_run_elsewhere(base: Any, expected: Any, tmp_path: Path) -> None:
    pools.run(recipe(tmp_path, *base), tmp_path / "a" / "run")
    assert pools.output_bytes(tmp_path / "a" / "run") == expected


@pytest.mark.parametrize("part_rows", [4])
def test_small_parts(base: Any, expected: Any, tmp_path: Path, part_rows: int) -> None:
    pools.run(recipe(tmp_path, *base, part_rows=part_rows), tmp_path / "run")
    assert pools.output_bytes(tmp_path / "run") == expected


@pytest.mark.parametrize("shards", [1, 5])
def test_input_resharded(base: Any, expected: Any, tmp_path: Path, shards: int) -> None:
    rows = pools.pairs(COUNT)
    rows += [rows[5], rows[6]]
    random.Random(shards).shuffle(rows)
    tars = pools.write_tars(tmp_path / "elsewhere", rows, shards)
    pools.run(recipe(tmp_path, tars, base[1]), tmp_path / "run")
    assert pools.output_bytes(tmp_path / "run") == expected


@pytest.mark.slow
def test_on_ray(base: Any, expected: Any, tmp_path: Path, on_ray: Callable[[], Backend]) -> None:
    pools.run(recipe(tmp_path, *base, part_rows=20), tmp_path / "run", start=on_ray)
    assert pools.output_bytes(tmp_path / "run") == expected


@pytest.mark.slow
def test_with_one_worker_from_the_command_line(base: Any, expected: Any, tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(recipe(tmp_path, *base, part_rows=20)))
    out = tmp_path / "run"
    command = [
        sys.executable,
        "-m",
        "curate.cli",
        "run",
        str(file),
        "--out",
        str(out),
        "-q",
        "--workers",
        "1",
    ]
    subprocess.run([*command, "--stages", pools.ODD[0]], check=True, cwd=tmp_path, capture_output=True)
    assert pools.output_bytes(out) == expected


def test_order_source_keeps_the_order_of_the_source(tmp_path: Path) -> None:
    tars = pools.write_tars(tmp_path / "in", pools.pairs(COUNT)[::-1], 3)
    chain = pools.with_node(pools.chain(tars, part_rows=7, shard_size=10), "out", order="source")
    pools.run(chain, tmp_path / "run")
    names = []
    for path in sorted((tmp_path / "run" / "out").glob("*.tar")):
        with tarfile.open(path) as tar:
            texts = [tar.extractfile(m).read() for m in tar if m.name.endswith(".txt")]  # type: ignore[union-attr]
            names += [int(t.split()[2]) for t in texts]
    plan, found = pools.planned(chain)
    rows = pools.raw_rows(plan.reads()["raw"], found["raw"]).to_pylist()
    dead = pools.dead(tmp_path / "run", "out")
    alive = [r for r in rows if r["sample_id"] not in dead]
    assert names == [int(r["text_body"][0].split()[2]) for r in alive]
    assert names == sorted(names, reverse=True)


def test_another_seed_is_another_order_of_the_same_samples(base: Any, expected: Any, tmp_path: Path) -> None:
    pools.run(pools.with_node(pools.chain(base[0]), "out", seed=1), tmp_path / "a")
    pools.run(pools.chain(base[0]), tmp_path / "b")
    ids = [pools.index(tmp_path / run, "out")["sample_id"].to_pylist() for run in "ab"]
    assert ids[0] != ids[1]
    assert sorted(ids[0]) == sorted(ids[1])


def test_outputs_hold_no_paths_of_this_machine(expected: Any, base: Any, tmp_path: Path) -> None:
    out = tmp_path / "run"
    pools.run(recipe(tmp_path, *base), out)
    for name in expected:
        data = (out / name).read_bytes()
        assert str(tmp_path).encode() not in data
        assert str(Path(base[0]).parent).encode() not in data


def test_the_manifest_vouches_for_every_file(expected: Any, base: Any, tmp_path: Path) -> None:
    out = tmp_path / "run"
    pools.run(recipe(tmp_path, *base), out)
    for output in ("out", "docs", "sft"):
        manifest = json.loads((out / output / "manifest.json").read_text())
        listed = {f"{output}/{name}": f["sha256"] for name, f in manifest["files"].items()}
        of_this = {n: h for n, h in expected.items() if n.startswith(f"{output}/")}
        del of_this[f"{output}/manifest.json"]
        assert listed == of_this
