"""Real pictures with captions in seventy languages, as Debian ships them, through recipes/stamps.yaml."""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pools
import pytest
import webdataset
from collections_of_debian import STAMPS, need
from finished import RECIPES, run_file
from PIL import Image

pytestmark = [pytest.mark.real, pytest.mark.timeout(1800)]

# A sixteenth of the collection, with all of its troubles.
SOME = ("animals/insects", "military", "people", "symbols/music", "hobbies/music/wind")
TAGS = {"sr@latin": "sr-Latn", "ca@valencia": "ca-valencia"}


class Stamps(NamedTuple):
    out: Path
    report: dict[str, Any]
    captions: dict[str, dict[str, str]]  # image -> language -> caption, read without the reader under test

    def written(self, output: str) -> list[dict[str, Any]]:
        return pools.index(self.out, output).to_pylist()

    def dead(self, output: str) -> dict[str, str]:
        """source -> node:reason"""
        rows = [r for r in pools.ledger(self.out, output) if r["level"] == "sample"]
        return {r["source"]: f"{r['node']}:{r['reason']}" for r in rows}


def captions_of(path: Path) -> dict[str, str]:
    first, *others = path.read_text(encoding="utf-8").splitlines()
    found = {"en": first.strip()}
    for line in others:
        locale, _, text = line.partition(".utf8=")
        if text:
            found[TAGS.get(locale, locale.replace("_", "-"))] = text.strip()
    return found


@cache
def sha(name: str) -> str:
    return hashlib.sha256((STAMPS / name).read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def stamps(tmp_path_factory: pytest.TempPathFactory) -> Stamps:
    need("tuxpaint")
    path = json.dumps([f"{STAMPS}/{folder}/**/*" for folder in SOME])
    out = tmp_path_factory.mktemp("stamps") / "run"
    report = run_file(RECIPES / "stamps.yaml", [f"pictures.path={path}", f"languages.path={path}"], out)
    captions = {
        str(image.relative_to(STAMPS)): captions_of(image.with_suffix(".txt"))
        for folder in SOME
        for image in sorted((STAMPS / folder).rglob("*.png"))
        if image.with_suffix(".txt").exists()
    }
    return Stamps(out, report, captions)


def test_something_came_of_it(stamps: Stamps) -> None:
    assert 40 < len(stamps.captions) < 150
    assert len(stamps.written("pictures_out")) > 0.7 * len(stamps.captions)
    assert len(stamps.written("languages_out")) > 40 * len(stamps.captions)


def test_nothing_is_lost(stamps: Stamps) -> None:
    pools.prove(stamps.report)


def test_every_picture_has_its_english_caption(stamps: Stamps) -> None:
    dead = stamps.dead("pictures_out")
    expected = Counter((sha(name), said["en"]) for name, said in stamps.captions.items() if name not in dead)
    rows = stamps.written("pictures_out")
    assert Counter((row["image_sha256"], row["text_body"]) for row in rows) == expected
    assert {row["language"] for row in rows} == {"en"}


def test_every_language_of_a_picture_is_a_sample(stamps: Stamps) -> None:
    dead = stamps.dead("languages_out")
    expected = Counter(
        (sha(name), language, text)
        for name, said in stamps.captions.items()
        for language, text in said.items()
        if f"{name}#{language}" not in dead
    )
    rows = stamps.written("languages_out")
    assert Counter((row["image_sha256"], row["language"], row["text_body"]) for row in rows) == expected
    languages = {row["language"] for row in rows}
    assert languages >= {"en", "de", "ja", "zh-CN", "zh-TW", "pt-BR", "sr", "sr-Latn", "ca-valencia", "ar"}
    assert len(languages) > 65


def test_of_captions_that_are_alike_the_first_language_stays(stamps: Stamps) -> None:
    dead = stamps.dead("languages_out")
    pairs = 0
    for name, said in stamps.captions.items():
        for language, text in said.items():
            fate = dead.get(f"{name}#{language}", "")
            if fate != "copies:duplicate":
                continue
            alike = [other for other, its in said.items() if its == text]
            elsewhere = [n for n in stamps.captions if n != name and sha(n) == sha(name)]
            assert elsewhere or min(alike) != language, (name, language)
            pairs += 1
    assert pairs > 100
    english = [n for n, said in stamps.captions.items() if said["en"] == said.get("en-GB")]
    assert english
    for name in english:
        assert dead.get(f"{name}#en-GB"), name


@pytest.mark.parametrize(
    ("output", "source", "fate"),
    [
        ("pictures_out", "military/vehicles/bradley_mirror.png", "pictures:missing_caption"),
        ("pictures_out", "symbols/music/note_012_a.png", "picture_size:image_short_side.below_min"),
        ("languages_out", "symbols/music/note_012_a.png#de", "size:image_short_side.below_min"),
        ("pictures_out", "hobbies/music/wind/bassoon.png", "picture_size:image_aspect.above_max"),
    ],
)
def test_known_troubles_have_their_reason(stamps: Stamps, output: str, source: str, fate: str) -> None:
    assert stamps.dead(output)[source] == fate


def test_one_picture_in_two_folders_is_one(stamps: Stamps) -> None:
    twins = {"military/fireman240a.png", "people/fireman240a.png"}
    dead = {name: fate for name, fate in stamps.dead("pictures_out").items() if name in twins}
    assert list(dead.values()) == ["picture_copies:duplicate"]


def test_drawings_without_pixels_are_accounted_for(stamps: Stamps) -> None:
    found = {p for folder in SOME for p in (STAMPS / folder).rglob("*.txt")}
    alone = {str(p.relative_to(STAMPS)) for p in found if not p.with_suffix(".png").exists()}
    dead = stamps.dead("pictures_out")
    assert len(alone) > 5
    assert {dead[name] for name in alone} == {"pictures:missing_image"}


def test_webdataset_reads_them(stamps: Stamps) -> None:
    for output in ("pictures_out", "languages_out"):
        shards = [str(p) for p in sorted((stamps.out / output).glob("*.tar"))]
        samples = list(webdataset.WebDataset(shards, shardshuffle=False))
        rows = stamps.written(output)
        assert [s["__key__"] for s in samples] == [row["key"] for row in rows]
        assert [s["txt"].decode() for s in samples] == [row["text_body"] for row in rows]
        for sample, row in list(zip(samples, rows, strict=True))[::9]:
            with Image.open(io.BytesIO(sample["jpg"])) as image:
                assert image.size == (row["image_width"], row["image_height"])
                assert image.convert("RGB").getpixel((0, 0)) is not None
