"""Croissant's own library validates our metadata and reads the records that it describes."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from venvs import environment, told_by
from written import Written, written

__all__ = ["written"]

pytestmark = [pytest.mark.loaders, pytest.mark.timeout(900)]


@pytest.mark.parametrize("output", ["pairs", "folders", "documents"])
def test_records_are_the_rows_of_the_index(written: Written, output: str) -> None:
    bin: Path = environment("mlcroissant==1.1.1", "pyarrow==26.0.1")
    issues, *records = told_by(bin, "loads_croissant.py", "read", written.out / output)
    assert issues["errors"] == []
    assert all("recommended" in warning for warning in issues["warnings"])
    tables = [pq.read_table(p).to_pylist() for p in sorted((written.out / output).rglob("*.parquet"))]
    rows = {row["key"]: row for table in tables for row in table}
    assert len(records) == len(rows) > 0
    for record in records:
        row = rows[record["key"]]
        assert record["layout"] == row["layout"]
        assert record["text_body"] == row["text_body"]
        assert record.get("image_width") == row.get("image_width")
