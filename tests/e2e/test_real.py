"""Real input: the GIMP manual in three languages, as Debian ships it, through recipes/manuals.yaml."""

from __future__ import annotations

import json
import re
import tarfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import lxml.html
import pools
import pytest
from collections_of_debian import CACHE, DRAWINGS, need
from finished import RECIPES, run_file

from curate.pixels import Decode, decode
from curate.report.trace import find

pytestmark = [pytest.mark.real, pytest.mark.timeout(1800)]

LANGUAGES = ("en", "de", "fr")
# About a hundred pages a language, with both of the manual's known troubles among them.
PAGES = ("gimp-filter-[a-h]*.html", "gimp-st*.html", "gimp-layer-*.html")


def folder(language: str) -> Path:
    return CACHE / f"gimp-help-{language}" / "usr/share/gimp/2.0/help" / language


class Page(NamedTuple):
    """A page as the raw file has it, parsed without the reader under test."""

    language: str
    name: str
    images: list[str]  # every src, in order
    captions: dict[str, str]  # src -> caption, of images that come once
    navigation: set[str]


def parse(language: str, path: Path) -> Page:
    # the pages are XHTML: without the declaration lxml takes them as text
    tree = lxml.html.fromstring(re.sub(r"<\?xml[^>]*>", "", path.read_text()))
    images = [str(i.get("src")) for i in tree.iter("img")]
    captions = {}
    for box in tree.find_class("mediaobject"):
        shown = box.findall(".//img")
        text = " ".join(c.text_content() for c in box.find_class("caption"))
        if text.strip() and len(shown) == 1 and images.count(str(shown[0].get("src"))) == 1:
            captions[str(shown[0].get("src"))] = " ".join(text.split())
    bars = [*tree.find_class("navheader"), *tree.find_class("navfooter")]
    words = {i.get("alt", "") for bar in bars for i in bar.iter("img")}
    words |= {link.text_content().strip() for link in tree.find_class("reportbug")}
    return Page(language, path.name, images, captions, words - {""})


class Manual(NamedTuple):
    out: Path
    report: dict[str, Any]
    pages: dict[tuple[str, str], Page]
    documents: list[dict[str, Any]]  # the JSON of each written one, with `page`


@pytest.fixture(scope="module")
def manual(tmp_path_factory: pytest.TempPathFactory) -> Manual:
    need("gimp-help")
    out = tmp_path_factory.mktemp("manual") / "run"
    paths = {n: [str(folder(n) / pattern) for pattern in PAGES] for n in LANGUAGES}
    report = run_file(RECIPES / "manuals.yaml", [f"{n}.path={json.dumps(p)}" for n, p in paths.items()], out)
    files = [(n, path) for n in LANGUAGES for pattern in PAGES for path in folder(n).glob(pattern)]
    pages = {(n, path.name): parse(n, path) for n, path in files}
    return Manual(out, report, pages, _documents(out, pages))


def _documents(out: Path, pages: dict[tuple[str, str], Page]) -> list[dict[str, Any]]:
    titles = {}
    for n, name in pages:
        titles[n, name] = lxml.html.parse(str(folder(n) / name)).findtext(".//title")
    by_title: dict[tuple[str, str], list[Page]] = {}
    for key, title in titles.items():
        by_title.setdefault((key[0], " ".join(title.split())), []).append(pages[key])
    found = []
    for path in sorted((out / "documents").glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                if member.name.endswith(".json"):
                    facts = json.load(tar.extractfile(member))
                    (page,) = by_title[facts["language"], facts["title"]]  # titles are numbered: no two alike
                    found.append({**facts, "page": page})
    return found


def test_something_came_of_it(manual: Manual) -> None:
    assert manual.report["samples"]["read"] == len(manual.pages) >= 250
    assert (
        len(manual.documents)
        == next(o for o in manual.report["outputs"] if o["id"] == "documents")["samples"]["written"]
    )
    for language in LANGUAGES:
        mine = [d for d in manual.documents if d["page"].language == language]
        assert len(mine) > 50
        assert sum(d["layout"].count("i") for d in mine) > 100


def test_nothing_is_lost(manual: Manual) -> None:
    pools.prove(manual.report)


def test_every_page_has_one_fate(manual: Manual) -> None:
    rows = [r for r in pools.ledger(manual.out, "documents") if r["level"] == "sample"]
    dead = {(r["dataset"], r["source"]) for r in rows}
    written = {(d["page"].language, d["page"].name) for d in manual.documents}
    assert dead | written == set(manual.pages)
    assert not dead & written
    for language, name in sorted(manual.pages)[:: len(manual.pages) // 9]:
        fates = [f for f in find(manual.out, name) if f["dataset"] == language and "#" not in f["sample_id"]]
        whole = [f for f in fates if f["output"] == "documents" and f.get("level", "sample") == "sample"]
        assert [f["fate"] for f in whole] == ["written" if (language, name) in written else "dropped"]
        assert whole[0]["source"] == name


def test_images_stand_in_the_order_of_the_page(manual: Manual) -> None:
    for document in manual.documents:
        left = iter(document["page"].images)
        assert all(any(src == url for src in left) for url in document["image_url"]), document["page"].name


def test_navigation_is_gone(manual: Manual) -> None:
    words = set().union(*(page.navigation for page in manual.pages.values()))
    assert len(words) > 6  # Prev and Next and the like, in three languages
    for document in manual.documents:
        lines = {line.strip() for text in document["texts"] if text for line in text.splitlines()}
        assert not lines & words, document["page"].name
        assert not [u for u in document["image_url"] if re.fullmatch(r"images/(prev|next|up|home)\.png", u)]


def test_captions_are_kept(manual: Manual) -> None:
    count = 0
    for document in manual.documents:
        for url, caption in zip(document["image_url"], document["image_caption"], strict=True):
            if url in document["page"].captions:
                assert document["page"].captions[url] in " ".join(caption.split()), (
                    document["page"].name,
                    url,
                )
                count += 1
    assert count > 300


@pytest.mark.parametrize(
    ("page", "image", "drop"),
    [
        # its colour profile is broken
        (
            "gimp-stuck-drawable-transparent.html",
            "images/using/unstuck-layers-dialog-transparentlayer.png",
            "probe:corrupt",
        ),
        # it leads out of the folder that the recipe names
        ("gimp-filter-displace.html", "../images/math/de/displace0.png", "de:outside_root"),
    ],
)
def test_known_troubles_have_their_reason(manual: Manual, page: str, image: str, drop: str) -> None:
    rows = pools.ledger(manual.out, "documents")
    told = {
        f"{r['node']}:{r['reason']}"
        for r in rows
        if (r["dataset"], r["source"], r["level"], r["image_url"]) == ("de", page, "image", image)
    }
    assert told == {drop}


def test_a_bomb_of_623_megapixels_is_refused_at_once() -> None:
    path = DRAWINGS / "transportation/roadsigns"
    found = path / "stop_sign_right_font_mig_.png"
    if not found.exists():
        pytest.skip("openclipart-png is not in the cache: infra/fetch_real_data.py --only openclipart")
    data = found.read_bytes()
    began = time.perf_counter()
    assert decode(data, Decode(), False) == "bomb"
    assert time.perf_counter() - began < 0.1
