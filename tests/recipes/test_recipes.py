"""Every recipe that we ship loads, plans and runs, and keeps its accounts."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pools
import pytest
from finished import RECIPES, run_file

from curate.io.conversation import ReadConversations
from curate.io.folder import ReadFolder
from curate.io.source import Read
from curate.io.webdataset import ReadWebdataset
from curate.plan import make
from curate.recipe import load
from stages.common.leaks import Leak

FILES = sorted(RECIPES.glob("*.yaml"))
IN = ("entered", "born", "repeated")
OUT = ("written", "dropped", "errors", "deferred", "expanded")


def conversations(folder: Path, count: int) -> Path:
    """A file in LLaVA's format beside its images."""
    folder.mkdir(parents=True)
    rows = []
    for i in range(count):
        (folder / f"{i}.png").write_bytes(pools.picture(i))
        turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": f"Number {i}."}]
        rows.append({"id": f"r{i}", "image": f"{i}.png", "conversations": turns})
    (folder / "set.json").write_text(json.dumps(rows))
    return folder / "set.json"


def folders(node: ReadFolder, folder: Path, count: int) -> Path:
    """Images with caption files, as the node expects them."""
    for root in (node.image_root, node.caption_root):
        (folder / root).mkdir(parents=True, exist_ok=True)
    for i in range(count):
        text = f"A picture of thing number {i}"
        (folder / node.image_root / f"{i}.png").write_bytes(pools.picture(i, 64, 64))
        if node.captions == "svg_rdf":
            text = (
                '<svg xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><metadata xmlns="r"><Work>'
                f"<description>{text}</description>"
                '<license rdf:resource="http://web.resource.org/cc/PublicDomain"/></Work></metadata></svg>'
            )
        elif node.captions == "lines":
            text += f"\nde.utf8=Ein Bild von Ding Nummer {i}\n"
        suffix = {"svg_rdf": "svg", "json": "json"}.get(node.captions, "txt")
        (folder / node.caption_root / f"{i}.{suffix}").write_text(text)
    return folder


def inputs(recipe: Path, pool: Path, pages: Path) -> list[str]:
    """Overrides that give each source of the recipe something small: tars of the pool, or inline pages."""
    found = []
    for node in load(recipe).nodes:
        if isinstance(node, ReadWebdataset):
            found.append(f"{node.id}.path={pool}/pairs")
        elif isinstance(node, ReadConversations):
            found.append(f"{node.id}.path={conversations(pages / node.id, 8)}")
        elif isinstance(node, ReadFolder):
            found.append(f"{node.id}.path={folders(node, pages / node.id, 8)}")
        elif isinstance(node, Read):
            pools.write_pages(pages / node.id, 8)
            found.append(f"{node.id}.path={pages / node.id}")
        elif isinstance(node, Leak):
            found += [f"{node.id}.paths={pool}/benchmark/quiz.tsv", f"{node.id}.index={pages / 'index'}"]
    return found


# those of a web crawl want models: test_web.py
@pytest.mark.parametrize("recipe", [f for f in FILES if not f.stem.startswith("web_")], ids=lambda f: f.stem)
def test_it_runs_and_nothing_is_lost(recipe: Path, demo_pool: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    overrides = inputs(recipe, demo_pool, tmp_path / "pages")
    report = run_file(recipe, overrides, out)
    assert report["status"] == "done"
    assert [o["id"] for o in report["outputs"]] == [w.id for w in make(load(recipe, overrides)).writes()]
    for output in report["outputs"]:
        for level in ("samples", "images"):
            terms = output[level]
            assert sum(terms[t] for t in IN) == sum(terms[t] for t in OUT), (output["id"], level)
            assert terms["written"] > 0, output["id"]
        folder = out / output["path"]
        manifest = json.loads((folder / "manifest.json").read_text())
        assert manifest["samples"] == output["samples"]["written"]
        here = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
        assert here == set(manifest["files"]) | {"manifest.json"}
        assert "README.md" in here
        for name, told in manifest["files"].items():
            assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == told["sha256"], name


@pytest.mark.parametrize("recipe", FILES, ids=lambda path: path.stem)
def test_its_header_says_what_it_is_and_how_it_is_run(recipe: Path) -> None:
    text = recipe.read_text()
    assert text.startswith(f"# {recipe.stem} - ")
    assert f"#   curate run recipes/{recipe.name} --out " in text
    assert load(recipe).name == recipe.stem
    assert load(recipe).description
    assert load(recipe).licence
