"""Real input: some folders of Open Clip Art, as Debian ships it, through recipes/clipart.yaml."""

from __future__ import annotations

import hashlib
import html
import json
import re
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import pools
import pytest
from collections_of_debian import DRAWINGS, ORIGINALS, need
from finished import RECIPES, run_file

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

# Some 225 drawings, with each of the collection's known troubles among them.
SOME = (
    "food/fruit/*",
    "food/meats_and_eggs/*",
    "recreation/religion/**/*",
    "transportation/roadsigns/*",
    "computer/hardware/8port*",
)


class Drawing(NamedTuple):
    """A drawing as its files have it, read without the reader under test."""

    name: str  # below the folder of all PNGs, without `.png`
    digest: str  # of the PNG
    title: str
    description: str
    language: str


def _field(name: str, metadata: str) -> str:
    """The first Dublin Core field of the name, as a person sees it."""
    found = re.search(rf"<dc:{name}>(.*?)</dc:{name}>", metadata, re.DOTALL)
    return " ".join(html.unescape(found[1]).split()) if found else ""


def drawing(path: Path) -> Drawing:
    name = path.relative_to(DRAWINGS).with_suffix("").as_posix()
    metadata = (ORIGINALS / f"{name}.svg").read_text(errors="replace").partition("</metadata>")[0]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    fields = (_field(each, metadata) for each in ("title", "description", "language"))
    return Drawing(name, digest, *fields)


class Clipart(NamedTuple):
    out: Path
    report: dict[str, Any]
    drawings: dict[str, Drawing]
    pairs: list[dict[str, Any]]  # the JSON of each written one, with `txt`
    fates: dict[str, str]  # name -> why it is not among `pairs`


@pytest.fixture(scope="module")
def clipart(tmp_path_factory: pytest.TempPathFactory) -> Clipart:
    need("openclipart")
    out = tmp_path_factory.mktemp("clipart") / "run"
    paths = [
        f"{folder}/{some}.{suffix}"
        for folder, suffix in ((DRAWINGS, "png"), (ORIGINALS, "svg"))
        for some in SOME
    ]
    credits = f"credits.lists.credits={RECIPES / 'clipart_credits.txt'}"
    report = run_file(RECIPES / "clipart.yaml", [f"raw.path={json.dumps(paths)}", credits], out)
    files = [path for some in SOME for path in DRAWINGS.glob(f"{some}.png")]
    drawings = {found.name: found for found in map(drawing, files)}
    fates = {
        r["source"].partition("/png/")[2].removesuffix(".png"): f"{r['node']}:{r['reason']}"
        for r in pools.ledger(out, "pairs")
        if r["level"] == "sample"
    }
    return Clipart(out, report, drawings, _written(out / "pairs"), fates)


def _written(folder: Path) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                key, _, suffix = member.name.partition(".")
                body = tar.extractfile(member).read()
                if suffix == "json":
                    found.setdefault(key, {}).update(json.loads(body))
                elif suffix == "txt":
                    found.setdefault(key, {})["txt"] = body.decode()
    return list(found.values())


def test_every_drawing_has_one_fate(clipart: Clipart) -> None:
    assert clipart.report["samples"]["read"] == len(clipart.drawings) > 200
    by_digest: dict[str, list[str]] = {}
    for found in clipart.drawings.values():
        if found.name not in clipart.fates:
            by_digest.setdefault(found.digest, []).append(found.name)
    assert set(clipart.fates) <= set(clipart.drawings)
    # what is not in the ledger is written, and nothing twice
    assert Counter(p["image_sha256"] for p in clipart.pairs) == Counter(dict.fromkeys(by_digest, 1))
    assert all(len(names) == 1 for names in by_digest.values())
    assert len(clipart.pairs) > 60


def test_nothing_is_lost(clipart: Clipart) -> None:
    for output in clipart.report["outputs"]:
        for level in ("samples", "images"):
            terms = output[level]
            came = sum(terms[t] for t in ("entered", "born", "repeated"))
            went = sum(terms[t] for t in ("written", "dropped", "errors", "deferred", "expanded"))
            assert came == went == len(clipart.drawings)
            assert terms["errors"] == 0


@pytest.mark.parametrize(
    ("name", "fate"),
    [
        ("transportation/roadsigns/stop_sign_right_font_mig_", "probe:bomb"),  # 20,990 x 29,700 pixels
        ("food/fruit/apple_mateya_01", "probe:bomb"),  # 10,524 x 16,000
        ("food/meats_and_eggs/egg_mateya_01", "probe:bomb"),
        (
            "recreation/religion/christianity/coat_of_arms_of_anglica_01",
            "raw:bad_xml",
        ),  # `<?xml encoding=...`
        ("food/meats_and_eggs/steak-v0.1", "raw:empty_caption"),
        ("computer/hardware/8port_switch_denco", "free:licence_class.not_in"),  # GPL among the public domain
        ("food/fruit/cherry_jean_victor_balin_", "words:text_pii_count.above_max"),  # a mail address
        ("transportation/roadsigns/bus_symbol_black_01", "words:text_junk.in"),  # `... from bus_lane.svg`
    ],
)
def test_known_troubles_have_their_reason(clipart: Clipart, name: str, fate: str) -> None:
    assert clipart.fates[name] == fate


def test_captions_are_the_files(clipart: Clipart) -> None:
    by_digest = {d.digest: d for d in clipart.drawings.values() if d.name not in clipart.fates}
    described = 0
    for pair in clipart.pairs:
        found = by_digest[pair["image_sha256"]]
        assert pair["txt"] == (found.description or found.title), found.name
        assert pair["text_source"] == ("description" if found.description else "title")
        assert pair["title"] == found.title
        described += bool(found.description)
    assert described > 20


def test_languages_are_what_the_files_declare(clipart: Clipart) -> None:
    by_digest = {d.digest: d for d in clipart.drawings.values()}
    for pair in clipart.pairs:
        declared = by_digest[pair["image_sha256"]].language
        assert pair["language"].lower() == declared.replace("_", "-").lower()


def test_copies_and_shared_captions_are_gone(clipart: Clipart) -> None:
    links = [name for name in clipart.drawings if (DRAWINGS / f"{name}.png").is_symlink()]
    assert len(links) > 40
    pixels = [p["image_pixel_sha256"] for p in clipart.pairs]
    captions = [" ".join(p["txt"].lower().split()) for p in clipart.pairs]
    assert len(set(pixels)) == len(pixels)
    assert len(set(captions)) == len(captions)
    signs = [name for name, fate in clipart.fates.items() if fate == "own:text_shared_duplicate.in"]
    words = Counter(clipart.drawings[n].description or clipart.drawings[n].title for n in signs)
    assert words["UK roadsigns"] > 5
    # a caption is shared by drawings that are neither copies nor dropped before
    assert min(Counter(w.lower() for w in words.elements()).values()) > 1


def test_the_described_ones_load(clipart: Clipart, tmp_path: Path) -> None:
    files = [str(path) for path in sorted((clipart.out / "described").glob("*.parquet"))]
    found = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path))
    assert set(found["text_source"]) == {"description"}
    expected = {p["txt"] for p in clipart.pairs if p["text_source"] == "description"}
    assert set(found["text"]) == expected
    assert min(found[0]["image"].size) >= 48
