"""`fetch` through the engine: nothing is lost, nothing is asked twice, what was put off is asked again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pools
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import unruly_server as unruly
from unruly_server import Unruly, reply

from curate.backends import Backend
from curate.errors import RecipeError
from curate.io.fetch import client
from curate.recipe import parse

COUNT = 24


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_FIRST_WAIT_S", 0.01)


def _answers() -> dict[str, unruly.Answer]:
    found: dict[str, unruly.Answer] = {f"/{i}.png": reply(pools.picture(i)) for i in range(COUNT)}
    found["/3.png"] = reply(b"", "503 Busy")
    found["/5.png"] = reply(b"", "404 Not Found")
    found["/7.png"] = reply(b"<html>" + b" " * 80)
    found["/9.png"] = reply(pools.picture(9)[:-30])  # for `probe` to find
    found["/11.png"] = unruly.resetting
    return found


@pytest.fixture
def server() -> Iterator[Unruly]:
    with Unruly(_answers()) as found:
        yield found


def _recipe(server: Unruly, folder: Path, **fields: Any) -> pools.Recipe:
    """Rows of all images and of two more: one that must not be asked for, one with another's URL."""
    folder.mkdir(exist_ok=True)
    urls = [server.url(f"/{i}.png") for i in range(COUNT)]
    urls += ["http://127.0.0.9:22/x.png", urls[0]]
    texts = [f"picture {i}" for i in range(len(urls))]
    pq.write_table(pa.table({"image": urls, "text": texts}), folder / "rows.parquet")
    fetch = {"stage": "fetch", "allow_hosts": ["127.0.0.1"], "retries": 0, **fields}
    return {
        "name": "fetched",
        "nodes": [
            {
                "id": "raw",
                "stage": "read_parquet",
                "path": str(folder),
                "remote": "keep",
                "part_rows": 10,
            },
            fetch,
            {"stage": "probe"},
            {"id": "out", "stage": "write_webdataset", "shard_size": 8},
        ],
    }


def _dropped(report: dict[str, Any], node: str) -> dict[str, int]:
    found: dict[str, int] = pools.node(report, node)["dropped"]
    return found


def test_a_run_and_what_its_reruns_ask(server: Unruly, tmp_path: Path, start: Callable[[], Backend]) -> None:
    recipe = _recipe(server, tmp_path / "in")
    first = pools.run(recipe, tmp_path / "run", start=start)
    assert first["outputs"][0]["samples"] | {"repeated": 0} == {
        "entered": COUNT + 2,
        "born": 0,
        "repeated": 0,
        "written": COUNT + 2 - 6,
        "dropped": 4,
        "errors": 0,
        "deferred": 2,
        "expanded": 0,
    }
    assert _dropped(first, "fetch") == {
        "deferred.http_5xx": 1,
        "deferred.interrupted": 1,
        "forbidden_port": 1,
        "http_404": 1,
        "not_an_image": 1,
    }
    assert _dropped(first, "probe") == {"truncated": 1}
    rows = {
        r["source"].rpartition("/")[2]: r for r in pools.ledger(tmp_path / "run") if r["level"] == "image"
    }
    assert (rows["3"]["reason"], rows["3"]["image_fetch_status"]) == ("deferred.http_5xx", 503)
    assert (rows["9"]["reason"], rows["9"]["image_fetch_status"]) == ("truncated", 200)

    # the world moves on: one of the two is back, what was good is gone
    server.requests.clear()
    server.answers = {"/3.png": reply(pools.picture(3)), "/11.png": reply(b"", "500 Oh")}
    before = pools.output_bytes(tmp_path / "run")
    second = pools.run(recipe, tmp_path / "run", start=start)
    assert {p for p in server.asked() if p != "/robots.txt"} == {"/3.png", "/11.png"}
    assert second["outputs"][0]["samples"]["written"] == COUNT + 2 - 5
    assert _dropped(second, "fetch")["deferred.http_5xx"] == 1
    assert before != pools.output_bytes(tmp_path / "run")

    server.answers["/11.png"] = reply(pools.picture(11))
    pools.run(recipe, tmp_path / "run", start=start)
    server.requests.clear()
    last = pools.output_bytes(tmp_path / "run")
    third = pools.run(recipe, tmp_path / "run", start=start)
    assert server.requests == []
    assert pools.computed(third) == {}
    assert pools.output_bytes(tmp_path / "run") == last

    # and a run that had all these answers at once writes the same bytes
    server.answers = _answers() | {f"/{i}.png": reply(pools.picture(i)) for i in (3, 11)}
    pools.run(recipe, tmp_path / "whole", start=start)
    assert pools.output_bytes(tmp_path / "whole") == last


def test_a_run_that_was_cut_short_asks_only_for_what_it_had_not_got(
    server: Unruly, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = _recipe(server, tmp_path / "in")
    called = 0
    all_of = client.Client.all

    async def stops(self: client.Client, urls: Any) -> Any:
        nonlocal called
        called += 1
        if called == 3:
            raise KeyboardInterrupt
        return await all_of(self, urls)

    with monkeypatch.context() as patch:
        patch.setattr(client.Client, "all", stops)
        with pytest.raises(KeyboardInterrupt):
            pools.run(recipe, tmp_path / "run")
    early = server.asked()
    assert len(early) == 21  # two parts of ten, and robots.txt
    assert early["/robots.txt"] == 1
    server.requests.clear()
    for path in ("/3.png", "/11.png"):
        server.answers[path] = reply(pools.picture(int(path[1:-4])))
    pools.run(recipe, tmp_path / "run")
    twice = early.keys() & server.asked().keys() - {"/robots.txt"}
    assert twice == {"/0.png", "/3.png", "/11.png"}  # the first is in two parts
    pools.run(recipe, tmp_path / "whole")
    assert pools.output_bytes(tmp_path / "run") == pools.output_bytes(tmp_path / "whole")
    assert not list((tmp_path / "run" / "state" / "fetched" / "fetch").glob("*.tmp"))


def test_how_it_asks_is_no_reason_to_ask_again(server: Unruly, tmp_path: Path) -> None:
    server.answers |= {f"/{i}.png": reply(pools.picture(i)) for i in (3, 11)}
    pools.run(_recipe(server, tmp_path / "in"), tmp_path / "run")
    server.requests.clear()
    changed = _recipe(
        server, tmp_path / "in", timeout_s=3, per_host=1, concurrency=2, user_agent="Curate/9 (me)"
    )
    pools.run(changed, tmp_path / "run")
    assert server.requests == []


def test_no_secret_of_a_url_is_told_anywhere_but_where_it_came_from(
    server: Unruly, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A redirect to a signed URL leaves the signature nowhere in the run folder."""
    for i in (1, 2):
        server.answers[f"/{i}.png"] = unruly.redirect(f"/signed?signature=hunter{i}")
    server.answers["/signed?signature=hunter1"] = reply(pools.picture(1))
    server.answers["/signed?signature=hunter2"] = reply(b"", "500 Oh")
    pools.run(_recipe(server, tmp_path / "in"), tmp_path / "run")
    assert "/signed?signature=hunter2" in server.asked()
    for path in (tmp_path / "run").rglob("*"):
        assert not path.is_file() or b"hunter" not in path.read_bytes(), path
    assert "hunter" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("allow_hosts", '"http://127.0.0.1/"', "host:port"),
        ("user_agent", '"\\n"', "printable"),
        ("concurency", "4", "concurrency"),
        ("timeout_s", "0", "greater than 0"),
    ],
)
def test_a_wrong_recipe_is_told_before_anything_starts(field: str, value: str, told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        parse(
            f"name: x\nnodes:\n  - {{stage: read_parquet, path: x}}\n  - {{stage: fetch, {field}: {value}}}"
        )


def test_a_page_gets_its_image_back_when_it_can_be_had(server: Unruly, tmp_path: Path) -> None:
    """Of two remote images and a local one, one is late: the page goes on without it, and then with it."""
    words = "The lantern stands beside the harbour wall and is lit when ships are late in autumn. " * 3
    images = [server.url("/1.png"), "local.png", server.url("/3.png")]
    body = "".join(f'<p>Part {i}. {words}</p><img src="{src}">' for i, src in enumerate(images))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "local.png").write_bytes(pools.picture(77))
    (tmp_path / "in" / "page.html").write_text(f"<html><body><main>{body}</main></body></html>")
    recipe = {
        "name": "pages",
        "nodes": [
            {"id": "raw", "stage": "read_html", "path": str(tmp_path / "in"), "remote": "keep"},
            {"stage": "fetch", "allow_hosts": ["127.0.0.1"], "retries": 0},
            {"stage": "probe"},
            {"id": "out", "stage": "write_webdataset", "form": "documents"},
        ],
    }
    first = pools.run(recipe, tmp_path / "run")
    assert first["outputs"][0]["images"]["written"] == 2
    assert first["outputs"][0]["images"]["deferred"] == 1
    server.requests.clear()
    server.answers["/3.png"] = reply(pools.picture(3))
    second = pools.run(recipe, tmp_path / "run")
    assert second["outputs"][0]["images"]["written"] == 3
    assert server.asked().keys() - {"/robots.txt"} == {"/3.png"}
