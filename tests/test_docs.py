"""The documentation against the product: what it shows is there, parses and runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow.dataset as ds
import pytest
import typer
import yaml
from PIL import Image

from curate.catalog import catalog, name_of
from curate.cli import app
from curate.plan import make
from curate.recipe import Recipe, parse
from curate.reference import as_markdown

ROOT = Path(__file__).parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
ENGLISH, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"
_FENCE = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
# Hosts that packages, containers and models are fetched from; written so that this file passes its own test.
_HOSTS = re.compile(r"(pypi|pythonhosted|npmjs|docker|quay|ghcr|deb\.debian)\.(org|com|io)|artifactory")
_MACHINE = re.compile(r"(?<![\w.$}*])/(work|home|root|tmp|mnt|Users)/[\w.]+")
_KEPT = (".md", ".yaml", ".yml", ".toml", ".cfg", ".txt", ".in", ".py", ".sh", "Makefile", "Dockerfile")


class Block(NamedTuple):
    page: str
    kind: str
    title: str
    text: str


def blocks(*kinds: str) -> list[Block]:
    """Fenced blocks of these kinds in all pages."""
    found = [Block(p.name, *b) for p in PAGES for b in _FENCE.findall(p.read_text(encoding="utf-8"))]
    return [block for block in found if block.kind in kinds]


def prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """Headings as links to them are spelt."""
    heads = re.findall(r"^#+ +(.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(prose(page)):
        path, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen, todo = set(), [ENGLISH]
    while todo:
        page = todo.pop().resolve()
        if page.suffix == ".md" and page not in seen:
            seen.add(page)
            todo += [
                page.parent / link.partition("#")[0]
                for link in _LINK.findall(prose(page))
                if "://" not in link
            ]
    assert seen == {page.resolve() for page in PAGES}


def recipes() -> list[Block]:
    """Whole recipes; a titled one names stages that a page defines, and is run below."""
    return [b for b in blocks("yaml") if "nodes" in yaml.safe_load(b.text) and not b.title]


@pytest.mark.parametrize("block", recipes(), ids=lambda b: f"{b.page}-{yaml.safe_load(b.text)['name']}")
def test_recipes_that_are_shown_can_be_planned(block: Block) -> None:
    assert make(parse(block.text)).writes()


# those of a web crawl want weights: tests/recipes/test_web.py; another one a benchmark: test_recipes.py there
_WANTING = ("web_", "decontaminate")
PLAIN = [path for path in sorted((ROOT / "recipes").glob("*.yaml")) if not path.stem.startswith(_WANTING)]


@pytest.mark.parametrize("path", PLAIN, ids=lambda p: p.name)
def test_recipes_of_the_repository_can_be_planned(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert make(parse(text)).writes()
    assert parse(text).name == path.stem
    assert re.findall(r"^#.*curate run recipes/" + path.name, text, re.MULTILINE), (
        "its header shows the command"
    )


def test_the_stage_reference_is_fresh_and_whole() -> None:
    page = (ROOT / "docs" / "stages.md").read_text(encoding="utf-8")
    assert page.rstrip() == as_markdown().rstrip(), "run `make docs`"
    for stage in catalog():
        assert f"### {name_of(stage)}\n" in page


def test_the_table_of_nouns_names_every_stage() -> None:
    page = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    table = re.search(r"^\| noun \|.*?\n\n", page, re.MULTILINE | re.DOTALL)
    assert table is not None
    names = {
        name
        for row in table[0].strip().splitlines()[2:]
        for name in re.findall(r"`(\w+)`", row.split("|")[-2])
    }
    assert names == {name_of(stage) for stage in catalog()}
    for field in Recipe.model_fields:
        assert f"`{field}`" in page


def test_both_readmes_say_the_same() -> None:
    english, chinese = (page.read_text(encoding="utf-8") for page in (ENGLISH, CHINESE))
    assert _FENCE.findall(english) == _FENCE.findall(chinese), "the same commands and outputs"
    shapes = []
    for page in (ENGLISH, CHINESE):
        text = prose(page)
        links = sorted(link for link in _LINK.findall(text) if not link.startswith("README"))
        heads = [len(mark) for mark in re.findall(r"^(#+) ", text, re.MULTILINE)]
        shapes.append((heads, links, text.count("\n| "), text.count("\n- ")))
        assert len(re.findall(r"`[^`]+`", text)) > 10
    assert shapes[0] == shapes[1]
    assert "(README.zh-CN.md)" in english
    assert "(README.md)" in chinese


def commands() -> Iterator[list[str]]:
    """Every `curate ...` that a page shows, in words."""
    for block in blocks("sh", "console"):
        for line in block.text.splitlines():
            words = line.removeprefix("$ ").split(" | ")[0].split(" > ")[0].split()
            if words[:1] == ["curate"]:
                yield words[1:]


def test_commands_have_the_options_that_are_shown() -> None:
    verbs = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    shown = list(commands())
    assert {words[0] for words in shown} >= {"run", "trace", "stages"}
    for words in shown:
        known = {name for p in verbs[words[0]].params for name in [*p.opts, *p.secondary_opts]}
        assert {w for w in words if w.startswith("-")} <= known, words


def test_make_has_the_targets_that_are_shown() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        assert set(re.findall(r"^make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)) <= targets


def tracked() -> list[Path]:
    run = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if run.returncode:
        pytest.skip("not a git checkout")
    return [
        ROOT / name for name in {*run.stdout.split("\0"), *(str(p.relative_to(ROOT)) for p in PAGES)} if name
    ]


def test_no_registry_and_no_machine_is_named() -> None:
    for path in tracked():
        if path == Path(__file__) or not path.name.endswith(_KEPT) or not path.exists():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        assert not _HOSTS.search(text), path
        if path.suffix == ".md":
            assert not _MACHINE.search(text), path


def test_the_examples_for_contributors_run(tmp_path: Path) -> None:
    """The stage, the source, the writer and the recipe of CONTRIBUTING.md, by its own command."""
    titled = [b for b in blocks("python", "yaml") if b.page == "CONTRIBUTING.md" and b.title]
    for block in titled:
        (tmp_path / block.title).write_text(block.text, encoding="utf-8")
    (tmp_path / "data").mkdir()
    lines = []
    for i, grey in enumerate((5, 60, 120, 180, 250)):
        Image.new("RGB", (40, 30), (grey,) * 3).save(tmp_path / "data" / f"{i}.png")
        lines.append(json.dumps({"image": f"{i}.png", "text": f"grey {grey}", "licence": "cc0"}))
    lines += [
        '{"image": "none.png", "text": "gone"}',
        "no json",
        '["a list"]',
        '{"image": "../x", "text": ""}',
    ]
    (tmp_path / "data" / "a.jsonl").write_text("\n".join(lines) + "\n")
    command = next(words for words in commands() if "mine.yaml" in words)
    subprocess.run(
        [sys.executable, "-m", "curate.cli", *command, "--backend", "local", "--quiet"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
    )
    report = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (
        report["outputs"][0]["samples"] | {"entered": 9, "written": 3, "dropped": 6}
        == report["outputs"][0]["samples"]
    )
    dead = ds.dataset(tmp_path / "run" / "ledger").to_table(filter=ds.field("level") == "sample").to_pylist()
    assert sorted(f"{row['node']}:{row['reason']}" for row in dead) == [
        "bounds:image_brightness.above_max",
        "bounds:image_brightness.below_min",
        "raw:bad_json",
        "raw:bad_json",
        "raw:missing_image",
        "raw:missing_image",
    ]
    out = tmp_path / "run" / "captions"
    found = [json.loads(line) for line in (out / "00000.jsonl").read_text().splitlines()]
    assert sorted(row["caption"] for row in found) == ["grey 120", "grey 180", "grey 60"]
    for row in found:
        with Image.open(out / row["image"]) as image:
            assert abs(image.getpixel((5, 5))[0] - int(row["caption"].split()[1])) <= 2  # type: ignore[index]
    index = ds.dataset(sorted(out.glob("*.parquet"))).to_table()
    assert index["image_brightness"].null_count == 0
