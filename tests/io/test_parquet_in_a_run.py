"""Parquet through the engine: what a worker rebuilds from the stored recipe reads as the recipe did."""

from __future__ import annotations

from pathlib import Path

import pools
import pyarrow as pa
import pyarrow.parquet as pq


def _recipe(path: Path) -> pools.Recipe:
    nodes = [
        {"id": "raw", "stage": "read_parquet", "path": str(path)},
        {"id": "probe", "stage": "probe"},
        {"id": "out", "stage": "write_webdataset"},
    ]
    return {"name": "parquet", "nodes": nodes}


def _table(count: int, licences: list[str]) -> pa.Table:
    images = [pools.picture(i // len(licences)) for i in range(count)]
    texts = [f"picture {i // len(licences)}" for i in range(count)]
    return pa.table(
        {"image": images, "text": texts, "license": [licences[i % len(licences)] for i in range(count)]}
    )


def test_files_need_no_column_that_the_recipe_does_not_name(tmp_path: Path) -> None:
    pq.write_table(_table(4, ["cc0"]), tmp_path / "a.parquet")
    report = pools.run(_recipe(tmp_path / "a.parquet"), tmp_path / "run")
    assert report["outputs"][0]["samples"]["written"] == 4
    assert set(pools.index(tmp_path / "run", "out")["licence"].to_pylist()) == {"cc0"}


def test_rows_that_differ_in_one_column_are_two_samples_however_they_are_cut(tmp_path: Path) -> None:
    whole = _table(8, ["cc0", "by"])
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    pq.write_table(whole, tmp_path / "one" / "a.parquet")
    pq.write_table(whole.slice(0, 3), tmp_path / "two" / "z.parquet")
    pq.write_table(whole.slice(3), tmp_path / "two" / "b.parquet")
    for name in ("one", "two"):
        pools.run(_recipe(tmp_path / name), tmp_path / f"run-{name}")
    ids = pools.index(tmp_path / "run-one", "out")["sample_id"].to_pylist()
    assert len(set(ids)) == 8
    assert pools.output_bytes(tmp_path / "run-one") == pools.output_bytes(tmp_path / "run-two")
