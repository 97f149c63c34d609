"""Pages as documents: where their images lie, what each trouble is called, and parts that stay put."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import sample
from curate.io.html import ReadHtml, data_uris
from curate.io.html_extract import MAX_BYTES
from curate.io.html_pages import MAX_PAGES, MEAN_PAGES
from curate.io.payload import Payload
from curate.io.storage import LocalStorage, SourceFile

PROSE = "A sentence about the picture that stands beside it, long enough to be the content of a page. " * 3
PNG = b"\x89PNG pixels"
URI = "data:image/png;base64," + base64.b64encode(PNG).decode()


def page(*items: str, head: str = "", lang: str = "en") -> bytes:
    body = "".join(
        f"<p>{item}</p>" if item.startswith("<img") else f"<p>{item} {PROSE}</p>" for item in items
    )
    text = f"<!doctype html><html lang='{lang}'><head><meta charset=utf-8><title>Title</title>{head}</head>"
    return f"{text}<body><main>{body}</main></body></html>".encode()


def read(folder: Path, files: Mapping[str, bytes], **config: object) -> list[dict[str, object]]:
    """Write the files, read every .html among them."""
    for name, body in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(body)
    storage = LocalStorage(folder)
    node = ReadHtml.model_validate({"path": "x", "id": "read", "name": "ds", **config})
    found = storage.find("**/*.html")
    tables = [node.rows(storage, p) for group in node.group(found) for p in node.split(storage, group)]
    table = pa.concat_tables(tables).combine_chunks()
    sample.check(table)
    reasons = set(table["drop"].to_pylist())
    for level in ("image_drop", "text_drop"):
        reasons |= {reason for row in table[level].to_pylist() for reason in row}
    assert reasons - {None} <= {f"read:{r}" for r in node.reasons()}
    return table.sort_by("source").to_pylist()


def test_a_page_with_local_images(tmp_path: Path) -> None:
    html = page(
        "First",
        '<img src="../pics/a%20%231.png?v=2" alt="an alt">',
        "Second",
        '<figure><img src="b.png"><figcaption>The caption</figcaption></figure>',
        head='<link rel=license href="https://cc/by"><meta name=robots content="noai, noarchive">',
    )
    (row,) = read(tmp_path, {"doc/p.html": html, "pics/a #1.png": b"a", "doc/b.png": b"b"})
    layout = str(row["layout"])
    assert layout.startswith("titi")
    assert row["drop"] is None
    assert row["image_drop"] == [None, None]
    assert row["image_alt"] == ["an alt", ""]
    assert row["image_caption"] == ["", "The caption"]
    assert (row["title"], row["language"], row["licence"], row["opt_out"]) == (
        "Title",
        "en",
        "https://cc/by",
        True,
    )
    assert row["source"] == "doc/p.html"
    assert row["shape"] == "document"
    assert json.loads(str(row["meta"]))["robots"] == ["noai", "noarchive"]
    references = row["image_ref"]
    assert isinstance(references, list)
    assert Payload({"ds": LocalStorage(tmp_path)}).fetch(["ds"] * 2, references) == [b"a", b"b"]


def test_paragraphs_apart_say_what_they_say_together(tmp_path: Path) -> None:
    html = page("One", "Two", '<img src="a.png">', "Three", "Four <pre>x\n\n  y</pre>", "Five")
    files = {"a.html": html, "a.png": b"png"}
    (joined,) = read(tmp_path, files)
    (apart,) = read(tmp_path, files, texts="paragraphs")
    said, layout = apart["text_body"], str(apart["layout"])
    assert isinstance(said, list)
    assert joined["layout"] == "tit"
    assert layout.startswith("ttitt")
    assert [text.split()[0] for text in said[:4]] == ["One", "Two", "Three", "Four"]
    assert len(said) == len(layout) - 1 > 5
    assert ["\n\n".join(said[:2]), "\n\n".join(said[2:])] == joined["text_body"]
    assert apart["sample_id"] == joined["sample_id"]


def test_where_images_may_lie(tmp_path: Path) -> None:
    sources = {
        "there.png": None,
        "none.png": "missing_image",
        "../../etc/passwd": "outside_root",
        "/abs.png": "outside_root",
        "file:///etc/passwd": "outside_root",
        "C:/x.png": "outside_root",
        "folder": "missing_image",
        "there.png/x.png": "missing_image",
        "https://host/x.png": "remote_image",
        "//host/x.png": "remote_image",
        "http://[/x.png": "remote_image",
        "n" * 3000 + ".png": "missing_image",
    }
    html = page("Text", *(f'<img src="{src}">' for src in sources))
    (row,) = read(tmp_path, {"p.html": html, "there.png": b"x", "folder/y": b""})
    assert row["image_drop"] == [f"read:{r}" if r else None for r in sources.values()]
    urls = row["image_url"]
    assert isinstance(urls, list)
    assert urls[8:10] == ["https://host/x.png", "https://host/x.png"]
    assert urls[4] is None


def test_urls_follow_the_pages_own_address(tmp_path: Path) -> None:
    head = '<link rel=canonical href="https://site.org/docs/p.html">'
    expected = {
        "a.png": ("https://site.org/docs/a.png", "missing_image"),
        "/img/b.png": ("https://site.org/img/b.png", "remote_image"),
        "//cdn/c.png": ("https://cdn/c.png", "remote_image"),
        "http://[/d.png": ("http://[/d.png", "remote_image"),  # no host that could be one
    }
    html = page("Text", *(f'<img src="{src}">' for src in expected), head=head)
    (row,) = read(tmp_path, {"p.html": html})
    assert row["image_url"] == [url for url, _ in expected.values()]
    assert row["image_drop"] == [f"read:{drop}" for _, drop in expected.values()]


def test_data_uris(tmp_path: Path) -> None:
    bad = "data:image/png;base64,A"
    escaped = "data:image/svg+xml,%3Csvg/%3E"
    unpadded = URI.rstrip("=")
    html = page(
        "Text",
        f'<img src="{URI}">',
        '<img src="x.png">',
        *(f'<img src="{u}">' for u in (escaped, bad, unpadded)),
    )
    (row,) = read(tmp_path, {"p.html": html, "x.png": b"x"})
    assert data_uris(html) == [PNG, b"<svg/>", b"", PNG]
    references = row["image_ref"]
    assert isinstance(references, list)
    found = Payload({"ds": LocalStorage(tmp_path)}).fetch(["ds"] * 5, references)
    assert found == [PNG, b"x", b"<svg/>", b"", PNG]
    assert row["image_url"] == [None, "x.png", None, None, None]
    assert data_uris(b"") == []


@pytest.mark.parametrize(
    ("body", "drop"),
    [
        (b"", "empty_page"),
        (b" \n\0", "empty_page"),
        (b"\x89PNG\r\n", "not_html"),
        (b"plain words", "not_html"),
        (b"<p>" + b"x" * MAX_BYTES, "too_large"),
        (b"<div>" * 5000, "too_deep"),
        (b"<br>" * 300_000, "too_many_elements"),
        (b"<!doctype html><html><body></body></html>", "no_content"),
    ],
)
def test_pages_without_content(tmp_path: Path, body: bytes, drop: str) -> None:
    rows = read(tmp_path, {"a.html": body, "b.html": page("Good")})
    assert [(r["drop"], r["layout"]) for r in rows] == [(f"read:{drop}", ""), (None, "t")]


def test_a_huge_file_is_not_read_as_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "p.html").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    monkeypatch.setattr("curate.io.html.extract", lambda html: pytest.fail("was extracted"))
    (row,) = read(tmp_path, {})
    assert row["drop"] == "read:too_large"


def test_undecodable_text_is_dropped_and_images_stay(tmp_path: Path) -> None:
    html = page("Text @", '<img src="x.png">').replace(b"@", b"\xe9\xff\x80 \x81")
    (row,) = read(tmp_path, {"p.html": html, "x.png": b"x"})
    assert row["text_drop"] == ["read:undecodable"]
    assert row["image_drop"] == [None]
    assert "Text" in str(row["text_body"])


def test_what_settles_a_page_without_images(tmp_path: Path) -> None:
    (row,) = read(tmp_path, {"p.html": page("Text")}, settle="text_only")
    assert row["shape"] == "document:text_only"


def test_language_of_pages_that_do_not_declare_one(tmp_path: Path) -> None:
    files = {"a.html": page("Text", lang="fr"), "b.html": page("Text").replace(b" lang='en'", b"")}
    assert [row["language"] for row in read(tmp_path, files)] == ["fr", None]
    assert [row["language"] for row in read(tmp_path, files, language="de")] == ["fr", "de"]


def test_ids_follow_path_page_and_images(tmp_path: Path) -> None:
    html = page("Text", '<img src="x.png">', '<img src="./x.png">')
    versions = [
        {"p.html": html, "x.png": b"x"},
        {"p.html": html, "x.png": b"x"},
        {"p.html": html.replace(b"Text", b"Tort"), "x.png": b"x"},
        {"p.html": html, "x.png": b"y"},
        {"p.html": html},
        {"q.html": html, "x.png": b"x"},
    ]
    ids = [read(tmp_path / str(i), files)[0]["sample_id"] for i, files in enumerate(versions)]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 5


# -- parts --------------------------------------------------------------------------------------------------


def cut(paths: list[str], part_rows: int = 2048) -> set[tuple[str, ...]]:
    files = [SourceFile(p, 1, "1") for p in paths]
    node = ReadHtml(path=("x",), id="read", part_rows=part_rows)
    groups = node.group(files)
    parts = [p for group in groups for p in node.split(LocalStorage("."), group)]
    assert [p.files for p in parts] == [tuple(f.path for f in group) for group in groups]  # no second cut
    assert len({p.id for p in parts}) == len(parts)
    assert sorted(f for p in parts for f in p.files) == sorted(paths)
    return {p.files for p in parts}


@settings(deadline=None)
@given(st.sets(st.integers(0, 5000), max_size=800), st.integers(0, 5000), st.integers(0, 2**32))
def test_a_new_page_changes_one_part(numbers: set[int], new: int, seed: int) -> None:
    paths = [f"d{n % 2}/{n:05d}.html" for n in numbers]
    random.Random(seed).shuffle(paths)
    before = cut(paths)
    after = cut([*paths, *{f"d{new % 2}/{new:05d}.html"} - set(paths)])
    full = sum(len(part) == MAX_PAGES for part in before | after)
    assert len(before - after) <= 1 + full
    assert len(after - before) <= 2 + full


def test_parts_are_of_a_sensible_size() -> None:
    sizes = [len(part) for part in cut([f"d/{n:06d}.html" for n in range(20_000)])]
    assert MEAN_PAGES * 0.7 < sum(sizes) / len(sizes) < MEAN_PAGES * 1.3
    assert max(sizes) <= MAX_PAGES
    assert max(len(part) for part in cut([f"d/{n}.html" for n in range(500)], part_rows=10)) == 10


def test_parts_do_not_span_folders() -> None:
    assert cut(["a/b.html", "a/c/d.html", "a/e.html"]) == {("a/b.html", "a/e.html"), ("a/c/d.html",)}


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.text(max_size=60), st.text(max_size=60))
def test_hostile_pages_raise_nothing(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes, src: str, text: str
) -> None:
    folder = tmp_path_factory.mktemp("pages")
    good = page("Good", '<img src="@1">', "@2", "<img src='data:@1'>")
    filled = good.replace(b"@1", src.encode("utf-8", "surrogatepass")).replace(b"@2", text.encode() + raw)
    rows = read(folder, {"a.html": raw, "b.html": b"<p>" + raw, "c.html": filled})
    assert len(rows) == 3
    data_uris(filled)
