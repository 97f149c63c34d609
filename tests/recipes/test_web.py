"""The recipes for a web crawl: as they are shipped, and run whole with small models and few samples."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pools
import pytest
from finished import RECIPES, run_file
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from curate.errors import RecipeError
from curate.plan import make
from curate.recipe import load
from curate.report import costs
from curate.steps import Plan
from stages.common.encoders import encoder

PAIRS, DOCUMENTS = RECIPES / "web_pairs.yaml", RECIPES / "web_documents.yaml"
MINI = encoder("mini", "").facts().dim
# the small model in the place of the large one; the demo's pictures are drawings
SMALL = ("clip.model=mini", "clip.weights=''")


def head(path: Path, width: int, bias: float) -> Path:
    """Weights of a head that says about the same of every image."""
    rng = np.random.default_rng(0)
    np.savez(path, **{"0.weight": rng.normal(0, 0.01, (1, width)), "0.bias": np.array([bias])})
    return path


def heads(recipe: Path, folder: Path, width: int) -> list[str]:
    found = [f"nsfw.weights={head(folder / 'nsfw.npz', width, -4 if recipe == PAIRS else 0.02)}"]
    return [*found, f"aesthetic.weights={head(folder / 'look.npz', width, 5)}"] if recipe == PAIRS else found


@pytest.mark.parametrize(("recipe", "width"), [(PAIRS, 768), (DOCUMENTS, 1024)], ids=["pairs", "documents"])
def test_as_shipped_it_wants_heads_of_its_encoders_width(recipe: Path, width: int, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"weights: cannot read .*\.pth"):
        make(load(recipe))
    with pytest.raises(
        RecipeError, match=rf"takes embeddings of 512 numbers, image_clip_embedding has {width}"
    ):
        make(load(recipe, heads(recipe, tmp_path, 512)))
    plan = make(load(recipe, heads(recipe, tmp_path, width)))
    assert column(plan, "image_clip_embedding").list_size == width
    notices = {line for node in plan.recipe.nodes for line in node.notices()}
    assert any("open_clip" in line for line in notices), "its cards say whose weights these were"


def column(plan: Plan, name: str) -> object:
    return plan.segment(plan.writes()[-1].input).columns[name].type


def test_pairs(demo_pool: Path, tmp_path: Path) -> None:
    given = [*SMALL, *heads(PAIRS, tmp_path, MINI), f"crawl.path={demo_pool}/pairs/*.tar"]
    report = run_file(PAIRS, given, tmp_path / "run")
    proved(report)
    scored = pools.node(report, "clip")["rows_out"]
    left = pools.node(report, "aligned")
    bound = pools.node(report, "aligned")["dropped"]["image_clip.below_min_quantile"]
    assert abs(bound - 0.7 * scored) <= 0.02 * scored + 2
    meaning = pools.node(report, "meaning")
    assert meaning["rows_in"] == left["rows_out"]
    (output,) = report["outputs"]
    assert meaning["rows_out"] == output["samples"]["written"] > 0
    assert sum(output["tallies"]["image_bucket"].values()) == output["samples"]["written"]
    assert output["totals"]["tokens_qwen2_5_vl"] == output["costs"]["qwen2_5_vl"]["tokens"] > 0
    languages = pools.index(tmp_path / "run", "pt_pairs")["text_language"].to_pylist()
    assert set(languages) == {"en"}
    costed(report)


def costed(report: dict[str, object]) -> None:
    """A hundred million of them, by what these few took."""
    told = costs.estimate(report, 100_000_000)
    hours = told["core_hours"]
    assert all(hours[node] > 0 for node in ("language", "probe", "clip", "nsfw"))
    assert hours["total"] == pytest.approx(sum(h for name, h in hours.items() if name != "total"))
    assert "clip " in costs.render(report, 100_000_000)


def proved(report: dict[str, object]) -> None:
    assert report["status"] == "done"
    pools.prove(report)


class Site(BaseHTTPRequestHandler):
    """Pictures by number; no robots.txt."""

    def do_GET(self) -> None:
        name = self.path.strip("/").removesuffix(".png")
        data = pools.picture(int(name), 200, 160) if name.isdigit() else b""
        self.send_response(200 if data else 404)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


MENU = "Read more stories about houses and boats, or write to the people who made these pages."


def words(number: int) -> str:
    """A paragraph that no other page has."""
    chance = np.random.default_rng(number)
    things = ("house", "boat", "river", "garden", "bridge", "tower", "horse", "window", "market", "lantern")
    looks = ("red", "small", "old", "quiet", "bright", "narrow", "wooden", "broken", "green", "tall")
    where = ("beside", "behind", "under", "near", "opposite", "above")
    said = []
    for _ in range(4):
        first, second = chance.choice(things, 2)
        one, other = chance.choice(looks, 2)
        said.append(f"The {one} {first} stands {chance.choice(where)} the {other} {second} this morning.")
    return " ".join(said)


def crawl(path: Path, site: str, pages: int) -> None:
    """Each page shows two pictures of its own, one that all show, one that is not there, and a menu. The last
    is the first again with a word changed."""
    with path.open("wb") as file:
        writer = WARCWriter(file, gzip=True)
        for i in [*range(pages), 0]:
            shown = "".join(
                f"<p>{words(10 * i + n)}</p><img src='{site}/{name}.png' alt='a picture'>"
                for n, name in enumerate((2 * i, 2 * i + 1, 9_999, "gone"))
            )
            last = words(10 * i + 9)
            url = f"https://site.example/{i}.html"
            if file.tell() and i == 0:
                last, url = last.replace("morning", "evening", 1), "https://mirror.example/"
            text = f"{shown}<p>{last}</p><p>{MENU}</p>"
            body = f"<!doctype html><html lang='en'><body><main>{text}</main></body></html>"
            headers = StatusAndHeaders("200 OK", [("Content-Type", "text/html")], protocol="HTTP/1.1")
            record = writer.create_warc_record(
                url, "response", io.BytesIO(body.encode()), http_headers=headers
            )
            writer.write_record(record)


def test_documents(site: str, tmp_path: Path) -> None:
    crawl(tmp_path / "a.warc.gz", site, 12)
    given = [
        *SMALL,
        *heads(DOCUMENTS, tmp_path, MINI),
        f"crawl.path={tmp_path}/*.warc.gz",
        "fetch.allow_hosts=127.0.0.1",
        "aligned.bounds.image_clip_all.min=-1",  # of noise there is no text
    ]
    report = run_file(DOCUMENTS, given, tmp_path / "run")
    proved(report)
    (output,) = report["outputs"]
    assert (output["samples"]["written"], output["images"]["written"]) == (12, 24)
    assert pools.node(report, "furniture")["dropped"] == {"boilerplate": 12}
    assert pools.node(report, "site")["dropped"] == {"boilerplate": 12}  # of the mirror it is the first
    assert pools.node(report, "pages_once")["dropped"] == {"duplicate": 1}
    costed(report)
