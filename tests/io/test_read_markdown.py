"""Markdown files as documents: their images, what front matter says, and files made to cost much."""

from __future__ import annotations

import json
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from documents import Row, drop, fates, node, read
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.io.html import ReadHtml
from curate.io.markdown import MAX_BYTES, ReadMarkdown
from curate.io.payload import Payload
from curate.io.storage import LocalStorage


def rows(folder: Path, *texts: str | bytes, end: str = "md", **config: Any) -> list[Row]:
    (folder / "d").mkdir(exist_ok=True)
    for number, text in enumerate(texts):
        raw = text if isinstance(text, bytes) else text.encode()
        (folder / "d" / f"x{number:03d}.{end}").write_bytes(raw)
    return read(folder, node(ReadMarkdown, **config), "d/x*")


def one(folder: Path, text: str | bytes, **config: Any) -> Row:
    (row,) = rows(folder, text, **config)
    return row


def spans(row: Row) -> list[str]:
    images, texts = iter(row["image_url"]), iter(row["text_body"])
    return [next(images if span == "i" else texts) for span in row["layout"]]


def test_a_file_with_its_images(tmp_path: Path) -> None:
    (tmp_path / "pics").mkdir()
    (tmp_path / "pics" / "a b.png").write_bytes(b"A")
    (tmp_path / "c#1.png").write_bytes(b"C")
    text = """---
title: The title
license: CC-BY-4.0
lang: en
tags: [one, two]
---
# Heading

First *words* with a [link](https://x.org/far).

![an alt](../pics/a%20b.png "A title")

Second ![inline][ref] goes on.

- one
- two

| a | b |
|---|---|
| 1 | 2 |

```python
def f():
    return 1
```

[ref]: <../c%231.png>
"""
    row = one(tmp_path, text)
    assert spans(row) == [
        "Heading\n\nFirst words with a link.",
        "../pics/a%20b.png",
        "Second",
        "../c%231.png",
        "goes on.\n\n- one\n- two\n\na | b\n1 | 2\n\ndef f():\n    return 1",
    ]
    assert row["image_alt"] == ["an alt", "inline"]
    assert (row["title"], row["licence"], row["language"]) == ("The title", "CC-BY-4.0", "en")
    assert json.loads(row["meta"])["front_matter"] == {"tags": ["one", "two"]}
    assert (row["source"], row["shape"], row["drop"]) == ("d/x000.md", "document", None)
    payload = Payload({"ds": LocalStorage(tmp_path)})
    assert payload.fetch(["ds"] * 2, row["image_ref"]) == [b"A", b"C"]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from(["Some words.", "![](a.png)", "![](https://h/b.png)"]), min_size=1, max_size=8)
)
def test_reading_order_is_the_files(tmp_path_factory: pytest.TempPathFactory, blocks: list[str]) -> None:
    row = one(tmp_path_factory.mktemp("md"), "\n\n".join(blocks))
    texts = iter("\n\n".join(row["text_body"]).split("\n\n"))
    images = iter(row["image_url"])
    put = [b if b.startswith("S") else b[4:-1] for b in blocks]
    assert [next(texts if b.startswith("S") else images) for b in blocks] == put
    assert row["layout"].count("i") == sum(b.startswith("!") for b in blocks)


def test_where_images_may_lie(tmp_path: Path) -> None:
    (tmp_path / "top.png").write_bytes(b"x")
    sources = {
        "../top.png": "",
        "none.png": "missing_image",
        "../../etc/passwd": "outside_root",
        "/abs.png": "outside_root",
        "file:///etc/passwd": "outside_root",
        "javascript:x": "outside_root",
        "https://h/x.png": "remote_image",
        "//h/x.png": "remote_image",
        "data:image/png;base64,AAAA": "inline_image",
    }
    text = "Text\n\n" + "\n\n".join(f"![]({source})" for source in sources)
    assert fates(one(tmp_path, text))[1:] == list(sources.values())
    kept = one(tmp_path, text, remote="keep")
    assert fates(kept)[1:] == [r if r != "remote_image" else "" for r in sources.values()]
    assert kept["image_url"][6:8] == ["https://h/x.png", "https://h/x.png"]
    assert kept["image_ref"][6:8] == [None, None]


def test_html_in_it_is_read_as_pages_are(tmp_path: Path) -> None:
    html = """<figure><img src="a.png" alt="x"><figcaption>The caption</figcaption></figure>
<script>alert(1)</script>
<p align="center"><img src="b.png" width="1" height="1"><img srcset="s.png 1x, l.png 2x" src="s.png"></p>
"""
    row = one(tmp_path, f"Words before it.\n\n{html}\nWords after it.")
    (tmp_path / "x.html").write_text(f"<main><p>Words before it.</p>{html}<p>Words after it.</p></main>")
    (page,) = read(tmp_path, node(ReadHtml), "x.html")
    columns = ["layout", "text_body", "image_url", "image_alt", "image_caption"]
    assert [row[c] for c in columns] == [page[c] for c in columns]
    assert row["image_caption"] == ["The caption", ""]


def test_statements_of_mdx_are_no_text(tmp_path: Path) -> None:
    text = """import X from './x'
export const a = 1

Some words.

import duties are a text elsewhere

<Note>

Within a component: ![](a.png)

</Note>
"""
    (row,) = rows(tmp_path, text, end="mdx")
    assert row["text_body"] == ["Some words.\n\nWithin a component:"]
    (tmp_path / "d" / "x000.mdx").unlink()
    assert "import duties" in one(tmp_path, text)["text_body"][0]


@pytest.mark.parametrize(
    ("front", "facts"),
    [
        ("---\ntitle: T\nlanguage: de\n---\n", ("T", "de", None, False)),
        ("---\r\ntitle: T\r\n---\r\n", ("T", None, None, False)),
        ('+++\ntitle = "T"\nlicence = "cc0"\ndate = 2024-01-01\n+++\n', ("T", None, "cc0", False)),
        ("---\nrobots: noindex, nofollow\n---\n", ("Heading", None, None, True)),
        ("---\ntitle: [a, b]\nlicence: {name: x}\nlang: 3\n---\n", ("Heading", "3", None, False)),
        ("---\n---\n", ("Heading", None, None, False)),
        ("---\ntitle: !!python/object/apply:os.system [x]\n---\n", ("Heading", None, None, False)),
        ("", ("Heading", None, None, False)),
    ],
)
def test_front_matter(tmp_path: Path, front: str, facts: tuple[object, ...]) -> None:
    row = one(tmp_path, front + "# Heading\n\nWords.")
    assert (row["title"], row["language"], row["licence"], row["opt_out"]) == facts
    assert row["text_body"] == ["Heading\n\nWords."]
    assert row["drop"] is None


@pytest.mark.parametrize(
    "front",
    [
        "---\na: b: c\n---\n",
        "---\na: &x [1]\nb: *x\n---\n",
        "+++\na = = 1\n+++\n",
        "---\n" + "[" * 3000 + "\n---\n",
        "+++\na = " + "[" * 9000 + "\n+++\n",
    ],
)
def test_front_matter_that_cannot_be_read(tmp_path: Path, front: str) -> None:
    row = one(tmp_path, front + "# Heading\n\nWords.")
    assert drop(row) == "bad_front_matter"
    assert row["text_body"] == ["Heading\n\nWords."]


def test_a_rule_is_no_front_matter(tmp_path: Path) -> None:
    assert one(tmp_path, "---\nWords\n---\nmore.")["text_body"] == ["Words\n\nmore."]
    assert one(tmp_path, "---\nWords")["text_body"] == ["Words"]


def test_images_of_a_file_that_names_its_address(tmp_path: Path) -> None:
    text = "---\ncanonical_url: https://site.org/docs/p\n---\nWords ![](/img/a.png) ![](b.png)"
    row = one(tmp_path, text, remote="keep")
    assert row["image_url"] == ["https://site.org/img/a.png", "https://site.org/docs/b.png"]
    assert fates(row) == ["", "", "missing_image"]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "empty_page"),
        (b" \n\0", "empty_page"),
        (b"x" * (MAX_BYTES + 1), "too_large"),
        (b"[a]: u\n\n", "no_content"),
        (b"<div>\n\n" * 1000, "too_deep"),
    ],
)
def test_files_without_content(tmp_path: Path, raw: bytes, reason: str) -> None:
    found = rows(tmp_path, raw, "Good.")
    assert [drop(row) for row in found] == [reason, ""]


def test_characters(tmp_path: Path) -> None:
    sample = '`<meta charset="gbk">` Grüße'
    for raw in (sample.encode(), b"\xef\xbb\xbf" + sample.encode(), sample.encode("utf-16")):
        row = one(tmp_path, raw)
        assert row["text_body"] == ['<meta charset="gbk"> Grüße']
        assert fates(row) == [""]
    assert "undecodable" in fates(one(tmp_path, "Words".encode("utf-16") + b"\0"))


def test_little_does_not_become_much(tmp_path: Path) -> None:
    """One definition that is used often, and a table of few bytes and many cells."""
    long = "a" * 100_000
    width, height = 400, 400
    wide = "|".join("a" * width) + "\n" + "|".join("-" * width) + "\n" + "x\n" * height + "\n\n"
    begin = time.process_time()
    found = rows(tmp_path, wide * 100, f"[r]: u{long}\n\n" + "[r] " * 5000)
    assert time.process_time() - begin < 20
    assert [drop(row) for row in found] == ["too_many_elements", ""]
    tracemalloc.start()
    found = rows(tmp_path, f"[r]: u{long}.png\n\n" + "![r]" * 2000, f"[r]: u '{long}'\n\n" + "![r]" * 2000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50 << 20
    assert [drop(row) for row in found] == ["too_large", "too_large"]


def test_ids_follow_path_text_and_images(tmp_path: Path) -> None:
    text = "Words ![](a.png)"
    ids = [one(tmp_path, text)["sample_id"], one(tmp_path, text)["sample_id"]]
    assert ids[0] == ids[1]
    (tmp_path / "d" / "a.png").write_bytes(b"a")
    ids += [one(tmp_path, text)["sample_id"], one(tmp_path, text + "!")["sample_id"]]
    assert len(set(ids)) == 3


PIECES = [
    "![",
    "](a.png)",
    "[r]",
    "\n\n[r]: ",
    "---\n",
    "<div>",
    "```\n",
    "|a|\n|-|\n",
    "> ",
    "\0",
    "data:",
    "\\",
]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=6), max_size=20), st.binary(max_size=6))
def test_hostile_files_raise_nothing(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[str], raw: bytes
) -> None:
    text = "".join(pieces).encode("utf-8", "surrogatepass") + raw
    folder = tmp_path_factory.mktemp("md")
    assert len(rows(folder, text, b"---\n" + text + b"\n---\n")) == 2
    assert len(rows(folder, text, end="mdx")) == 3
