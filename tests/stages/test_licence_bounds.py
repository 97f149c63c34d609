"""`licence` and `opt_out`, as every source that offers them gives them, bounded in a run."""

from __future__ import annotations

import io
import json
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pools
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

# What each of six samples says of its licence and of training on it.
SAID: tuple[tuple[str | None, str | bool | None], ...] = (
    ("CC BY-SA 3.0", False),
    ("https://creativecommons.org/publicdomain/zero/1.0/", "no"),
    ("CC-BY-NC-4.0", None),
    ("gfdl", None),
    (None, None),
    ("CC0-1.0", True),
)


def webdataset(folder: Path) -> dict[str, Any]:
    folder.mkdir()
    with tarfile.open(folder / "0.tar", "w") as tar:
        for i, (licence, opt_out) in enumerate(SAID):
            record = {"license": licence, "opt_out": opt_out}
            data = json.dumps({k: v for k, v in record.items() if v is not None}).encode()
            for suffix, content in (("png", pools.picture(i)), ("txt", b"A caption."), ("json", data)):
                info = tarfile.TarInfo(f"k{i}.{suffix}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return {"stage": "read_webdataset", "path": str(folder)}


def parquet(folder: Path) -> dict[str, Any]:
    folder.mkdir()
    table = pa.table(
        {
            "image": pa.array([pools.picture(i) for i in range(len(SAID))], pa.binary()),
            "text": ["A caption."] * len(SAID),
            "licence": pa.array([licence for licence, _ in SAID], pa.string()),
            "opt_out": pa.array([None if o is None else o is True for _, o in SAID]),
        }
    )
    pq.write_table(table, folder / "0.parquet")
    return {"stage": "read_parquet", "path": str(folder)}


def html(folder: Path) -> dict[str, Any]:
    folder.mkdir()
    for i, (licence, opt_out) in enumerate(SAID):
        (folder / f"{i}.png").write_bytes(pools.picture(i, 64, 64))
        link = f'<a rel="license" href="{licence}">terms</a>' if licence else ""
        robots = '<meta name="robots" content="noai">' if opt_out is True else ""
        words = "The lantern stands beside the harbour wall and is lit when ships are late in autumn."
        body = f'<main><p>{words}</p><img src="{i}.png"><p>{link}</p></main>'
        (folder / f"{i}.html").write_text(f"<html><head>{robots}</head><body>{body}</body></html>")
    return {"stage": "read_html", "path": str(folder)}


def output(source: dict[str, Any]) -> dict[str, Any]:
    form = "documents" if source["stage"] == "read_html" else "pairs"
    return {"id": "out", "stage": "write_parquet", "form": form}


@pytest.fixture(params=[webdataset, parquet, html], ids=lambda make: make.__name__)
def make(request: pytest.FixtureRequest) -> Callable[[Path], dict[str, Any]]:
    return request.param


def test_bounds(make: Callable[[Path], dict[str, Any]], tmp_path: Path) -> None:
    source = {"id": "raw", **make(tmp_path / "in")}
    recipe = {
        "name": "x",
        "nodes": [
            source,
            {"id": "free", "stage": "keep", "bounds": {"opt_out": {"not_in": [True], "missing": "keep"}}},
            {"stage": "licence"},
            {
                "id": "terms",
                "stage": "keep",
                "bounds": {"licence_class": {"in": ["public_domain", "attribution", "share_alike"]}},
            },
            output(source),
        ],
    }
    pools.run(recipe, tmp_path / "run")
    assert Counter(pools.dead(tmp_path / "run").values()) == {
        "free:opt_out.in": 1,
        "terms:licence_class.not_in": 2,
        "terms:licence_class.missing": 1,
    }
    found = pools.index(tmp_path / "run", "out").select(["licence", "licence_id"]).to_pylist()
    assert sorted((row["licence"], row["licence_id"]) for row in found) == [
        (SAID[0][0], "CC-BY-SA-3.0"),
        (SAID[1][0], "CC0-1.0"),
    ]


def test_bounds_on_what_the_source_says(make: Callable[[Path], dict[str, Any]], tmp_path: Path) -> None:
    source = {"id": "raw", **make(tmp_path / "in")}
    bounds = {"licence": {"in": ["CC BY-SA 3.0", "CC0-1.0"]}, "opt_out": {"in": [False], "missing": "keep"}}
    nodes = [source, {"id": "terms", "stage": "keep", "bounds": bounds}, output(source)]
    pools.run({"name": "x", "nodes": nodes}, tmp_path / "run")
    assert Counter(pools.dead(tmp_path / "run").values()) == {
        "terms:licence.not_in": 3,
        "terms:licence.missing": 1,
        "terms:opt_out.not_in": 1,
    }
