from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pools
import pyarrow as pa
import pytest

from curate.errors import RecipeError
from curate.sample import single
from stages.sample.domain import Domain


def domains(stage: Domain, *urls: str | None) -> list[Any]:
    out = stage.open()(pa.table({stage.of: pa.array(urls, pa.string())}))
    return single(out.columns[stage.writes().names[0]]).to_pylist()


URLS = ("https://www.shop.Example.co.uk/a?b", "http://user.github.io:80/", "//cdn.example.com/x.png", None)


def test_the_site_of_a_url() -> None:
    assert domains(Domain(), *URLS) == ["example.co.uk", "user.github.io", "example.com", None]
    hosts = ["shop.example.co.uk", "user.github.io", "cdn.example.com", None]
    assert domains(Domain(part="host"), *URLS) == hosts


def test_what_is_no_url_has_none() -> None:
    odd = (
        "",
        "photo.jpg",
        "data:image/png;base64,AAAA",
        "http:///x",
        "http://[",
        "mailto:a@b.example",
        "a b",
    )
    assert domains(Domain(), *odd) == [None] * len(odd)
    assert domains(Domain(), "http://127.0.0.1:8000/x", "http://localhost/") == ["127.0.0.1", "localhost"]


def test_international_names_are_one() -> None:
    assert domains(Domain(), "https://a.例え.jp/x", "https://XN--R8JZ45G.JP") == ["xn--r8jz45g.jp"] * 2


def test_column_and_level_follow_the_urls() -> None:
    assert Domain().writes().names == ["domain"]
    images = Domain(of="image_url", name="site")
    assert images.writes().names == ["image_site"]
    assert [level for level, _ in images.by_level()] == ["image"]


def test_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise AssertionError("asks the network")

    monkeypatch.setattr(socket, "socket", refused)
    assert domains(Domain(), "https://a.example.org.uk/") == ["example.org.uk"]


def test_a_column_that_holds_no_text() -> None:
    with pytest.raises(RecipeError, match="of: `url` holds int32"):
        Domain().check_columns(pa.schema([("url", pa.int32())]))


def test_paragraphs_that_a_site_repeats(tmp_path: Path) -> None:
    """Six pages of one site say the same below; so do two of another, which is not too many."""
    folder = tmp_path / "in"
    folder.mkdir()
    notice = ("Subscribe to our newsletter!", "subscribe to our  Newsletter")
    with (folder / "docs.jsonl").open("w") as out:
        for site, pages in (("one.example.com", 6), ("two.example.org", 2)):
            for page in range(pages):
                texts = [f"Story {page} of {site} is told here.", None, notice[page % 2]]
                images = [None, f"https://cdn.example.net/{site}/{page}.png", None]
                general = json.dumps({"url": f"https://www{page}.{site}/p/{page}"})
                record = {"texts": texts, "images": images, "general_metadata": general}
                out.write(json.dumps(record) + "\n")
    recipe = {
        "name": "pages",
        "nodes": [
            {"id": "raw", "stage": "read_obelics", "path": f"{folder}/*.jsonl", "remote": "keep"},
            {"stage": "domain"},
            {
                "id": "furniture",
                "stage": "exact",
                "key": "text_body",
                "normalise": "text",
                "within": "domain",
                "max_documents": 3,
            },
            {"id": "out", "stage": "write_parquet", "form": "documents"},
        ],
    }
    report = pools.run(recipe, tmp_path / "run")
    assert report["samples"]["read"] == 8
    rows = [r for r in pools.ledger(tmp_path / "run") if r["level"] == "text"]
    assert len(rows) == 6
    assert {f"{r['node']}:{r['reason']}" for r in rows} == {"furniture:boilerplate"}
    assert {r["index"] for r in rows} == {1}
