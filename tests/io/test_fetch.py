"""`fetch` against a server that misbehaves in each way there is; all of it on loopback."""

from __future__ import annotations

import asyncio
import gzip
import signal
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pools
import pyarrow as pa
import pytest
import unruly_server as unruly
from fetching import Got, fetch, names, one
from pydantic import ValidationError
from unruly_server import Unruly, reply

from curate.errors import RunError
from curate.io.fetch import client
from curate.io.fetch.stage import Fetch
from curate.io.store import RunStore

JPEG = pools.picture(1, form="jpeg")
PNG = pools.picture(2)
ROBOTS = "/robots.txt"


@pytest.fixture
def server() -> Iterator[Unruly]:
    with Unruly({"/a.jpg": reply(JPEG, headers=["Content-Type: image/jpeg"])}) as found:
        yield found


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_FIRST_WAIT_S", 0.01)


def test_what_comes_is_what_is_stored(server: Unruly, tmp_path: Path) -> None:
    server.answers["/b.png?size=1"] = reply(PNG, headers=["Content-Type: text/plain; charset=x"])
    got = fetch(tmp_path, [server.url("/a.jpg"), server.url("/b.png?size=1"), None, "  ", server.url("/c")])
    assert got == [
        Got(None, JPEG, 200, "image/jpeg", "127.0.0.1"),
        Got(None, PNG, 200, "text/plain", "127.0.0.1"),
        Got("no_url", None, None, None, None),
        Got("no_url", None, None, None, None),
        Got("http_404", None, 404, None, "127.0.0.1"),
    ]
    head = server.requests[-1].headers
    assert head["accept-encoding"] == "identity"
    assert head["user-agent"].startswith("curate/")
    assert not {"cookie", "referer", "authorization"} & head.keys()


def test_an_image_that_is_there_is_left_alone(server: Unruly, tmp_path: Path) -> None:
    op = Fetch(id="f", allow_hosts=("127.0.0.1",)).open_with(RunStore(tmp_path, "f"))
    table = pa.table(
        {"image_url": [server.url("/a.jpg"), None], "image_ref": ["pics/a.png", "x.tar#bytes=0+9"]},
        schema=pa.schema([("image_url", pa.string()), ("image_ref", pa.string())]),
    )
    out = op(table)
    assert out.columns["image_ref"].to_pylist() == ["pics/a.png", "x.tar#bytes=0+9"]
    assert out.drop is not None
    assert out.drop.null_count == 2
    assert server.requests == []


def test_the_same_url_is_asked_once(server: Unruly, tmp_path: Path) -> None:
    got = fetch(tmp_path, [server.url("/a.jpg")] * 5 + [server.url("/no.jpg")] * 3)
    assert [g.data for g in got[:5]] == [JPEG] * 5
    assert server.asked() == {"/a.jpg": 1, "/no.jpg": 1, ROBOTS: 1}


# One request each, and what it says.
HEADERS = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n"
ONCE: dict[str, tuple[unruly.Answer, str]] = {
    "gone": (reply(b"", "410 Gone"), "http_410"),
    "forbidden": (reply(b"", "403 Forbidden"), "http_403"),
    "teapot": (reply(b"", "418 I'm a teapot"), "http_4xx"),
    "busy": (reply(b"", "429 Too Many Requests"), "deferred.http_429"),
    "broken": (reply(b"", "500 Internal Server Error"), "deferred.http_5xx"),
    "unmodified": (reply(b"", "304 Not Modified"), "http_other"),
    "nothing": (reply(b"", "204 No Content", length=-1), "empty"),
    "zero": (reply(b""), "empty"),
    "html": (reply(b"<!doctype html>" + b"x" * 500, headers=["Content-Type: image/jpeg"]), "not_an_image"),
    "short html": (reply(b"<html>"), "not_an_image"),
    "svg": (reply(b"\n<svg xmlns='...'>" + b" " * 99), "unsupported_format"),
    "avif": (reply(b"\0\0\0\x1cftypavif" + bytes(99)), "unsupported_format"),
    "reset": (unruly.resetting, "deferred.interrupted"),
    "silence": (unruly.closing(b""), "deferred.interrupted"),
    "half a head": (unruly.closing(HEADERS), "deferred.interrupted"),
    "too short": (unruly.closing(reply(PNG, length=len(PNG) + 9)), "deferred.interrupted"),
    "no last chunk": (
        unruly.closing(HEADERS + b"Transfer-Encoding: chunked\r\n\r\n4\r\n\x89PNG\r\n"),
        "deferred.interrupted",
    ),
    "bad chunk": (
        unruly.closing(HEADERS + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\x89PNG\r\n"),
        "bad_http",
    ),
    "no http": (unruly.closing(b"SSH-2.0-OpenSSH_9.9\r\n\r\n"), "bad_http"),
    "two lengths": (reply(PNG, headers=["Content-Length: 3"]), "bad_http"),
    "bad length": (reply(PNG, headers=["Content-Length: -3"], length=-1), "bad_http"),
    "long header": (reply(PNG, headers=["X: " + "y" * 20_000]), "bad_http"),
    "many headers": (reply(PNG, headers=[f"X-{i}: y" for i in range(5000)]), "bad_http"),
    "zipped": (reply(b"no gzip", headers=["Content-Encoding: gzip"]), "bad_encoding"),
    "zipped, half": (
        reply(gzip.compress(PNG)[:-20], headers=["Content-Encoding: gzip"]),
        "deferred.interrupted",
    ),
    "unknown encoding": (reply(PNG, headers=["Content-Encoding: br"]), "bad_encoding"),
    "nowhere": (reply(b"", "302 Found"), "bad_redirect"),
    "bad place": (unruly.redirect("http://[oh no/"), "bad_redirect"),
    "file": (unruly.redirect("file:///etc/passwd"), "bad_redirect"),
    "with a password": (unruly.redirect("http://me:secret@127.0.0.1/"), "credentials"),
    "loop": (unruly.redirect("/x"), "too_many_redirects"),
    "metadata": (unruly.redirect("http://169.254.169.254/latest/meta-data/"), "private_address"),
    "other port": (unruly.redirect("http://127.0.0.2:22/"), "forbidden_port"),
    "loopback": (unruly.redirect("http://127.0.0.2:8080/"), "private_address"),
    "spelled oddly": (unruly.redirect("//0x7f.2:8080/"), "private_address"),
    "mapped": (unruly.redirect("http://[::ffff:10.0.0.1]/"), "private_address"),
}


@pytest.mark.parametrize("case", ONCE)
def test_a_bad_answer_is_a_reason(case: str, server: Unruly, tmp_path: Path) -> None:
    answer, reason = ONCE[case]
    server.answers["/x"] = answer
    got = one(tmp_path, server.url("/x"))
    assert (got.reason, got.data) == (reason, None)


@pytest.mark.parametrize(
    "answer",
    [
        unruly.late(reply(PNG), 9),
        unruly.dripping(reply(PNG), 0.02),  # each byte in time
        unruly.dripping(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 900, 0.02, 6),
        # aiohttp 3.14 does not notice this one, and would wait for ever
        unruly.in_pieces(HEADERS + b"Transfer-Encoding: chunked\r\n\r\n4\r\n\x89PNG\r\n", b"zz\r\n"),
    ],
    ids=["never", "slow body", "slow head", "bad second chunk"],
)
def test_slowness_has_an_end(answer: unruly.Answer, server: Unruly, tmp_path: Path) -> None:
    server.answers["/x"] = answer
    began = time.monotonic()
    got = one(tmp_path, server.url("/x"), timeout_s=0.5, respect_robots_txt=False)
    assert got.reason == "deferred.timeout"
    assert time.monotonic() - began < 2


def test_a_pause_is_too_long_by_its_own_limit(server: Unruly, tmp_path: Path) -> None:
    server.answers["/x"] = unruly.late(reply(PNG), 9)
    assert one(tmp_path, server.url("/x"), read_timeout_s=0.2).reason == "deferred.timeout"


def test_sizes_are_limited_by_what_is_said_and_by_what_comes(server: Unruly, tmp_path: Path) -> None:
    zeros = bytes(1 << 16)
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    bomb = zlib.compress(b"\xff\xd8\xff" + bytes(64 << 20), 9)
    server.answers |= {
        "/exact": reply(JPEG),
        "/said": unruly.endless(reply(b"\xff\xd8\xff", length=1 << 40), zeros),
        "/unsaid": unruly.endless(head + b"\xff\xd8\xff", zeros),
        "/bomb": unruly.closing(reply(bomb, headers=["Content-Encoding: deflate"], length=-1)),
        "/promised": unruly.dripping(reply(length=1 << 40), 3, 999),
        "/zipped": reply(gzip.compress(JPEG), headers=["Content-Encoding: gzip"]),
    }
    limit = len(JPEG)
    urls = [server.url(path) for path in ("/exact", "/zipped", "/said", "/unsaid", "/bomb", "/promised")]
    tracemalloc.start()
    got = fetch(tmp_path, urls, max_bytes=limit, read_timeout_s=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [g.reason for g in got] == [None, None, *["too_large"] * 4]
    assert got[1].data == JPEG
    assert peak < 40 << 20  # the bomb has 64 MiB
    assert one(tmp_path, urls[0], max_bytes=limit - 1).reason == "too_large"


def test_failures_that_pass_are_tried_again(server: Unruly, tmp_path: Path) -> None:
    server.answers |= {
        "/a": unruly.in_turn(reply(b"", "500 Oh"), reply(b"", "503 No"), reply(PNG)),
        "/b": unruly.in_turn(unruly.resetting, reply(PNG)),
        "/c": unruly.in_turn(unruly.closing(b"garbage\r\n\r\n"), reply(PNG)),
        "/for-ever": reply(b"", "503 No"),
        "/never": reply(b"", "404 No"),
    }
    paths = ["/a", "/b", "/c", "/for-ever", "/never"]
    got = fetch(tmp_path, [server.url(p) for p in paths], retries=2)
    assert [g.reason for g in got] == [None, None, None, "deferred.http_5xx", "http_404"]
    assert [server.asked()[p] for p in paths] == [3, 2, 2, 3, 1]


def test_retry_after_is_waited_for_by_all_images_of_a_host(server: Unruly, tmp_path: Path) -> None:
    busy = reply(b"", "429 Too Many Requests", ["Retry-After: 1"])
    server.answers |= {"/x": unruly.in_turn(busy, reply(PNG)), "/y": reply(JPEG)}
    began = time.monotonic()
    got = fetch(tmp_path, [server.url("/x"), server.url("/y")], retries=1, per_host=1)
    assert [g.data for g in got] == [PNG, JPEG]
    assert time.monotonic() - began >= 1


def test_retry_after_beyond_the_time_is_for_another_day(
    server: Unruly, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_FIRST_WAIT_S", 2.0)
    server.answers["/x"] = reply(b"", "503 Busy", ["Retry-After: Fri, 31 Dec 9999 23:59:59 GMT"])
    urls = [server.url("/x"), *(server.url(f"/{i}") for i in range(20))]
    began = time.monotonic()
    got = fetch(tmp_path, urls, retries=3, per_host=1)
    assert time.monotonic() - began < 1
    assert {g.reason for g in got} == {"deferred.http_5xx"}
    assert server.asked() == {ROBOTS: 1, "/x": 1}


def test_redirects_are_followed(server: Unruly, tmp_path: Path) -> None:
    for i in range(5):
        server.answers[f"/{i}"] = unruly.redirect(f"/{i + 1}", "301 Moved" if i % 2 else "308 Moved")
    server.answers["/5"] = reply(PNG)
    got = one(tmp_path, server.url("/0"))
    assert (got.data, got.status) == (PNG, 200)
    assert one(tmp_path, server.url("/0"), max_redirects=4).reason == "too_many_redirects"


def test_a_host_sees_no_more_requests_at_a_time_than_it_may(server: Unruly, tmp_path: Path) -> None:
    paths = [f"/{i}" for i in range(30)]
    for path in paths:
        server.answers[path] = unruly.late(reply(PNG), 0.02)
    with Unruly({"/": reply(b"")}) as door:
        # redirects to it count as much
        door.answers |= {path: unruly.redirect(server.url(path)) for path in paths[15:]}
        urls = [server.url(p) for p in paths[:15]] + [door.url(p, "door.example") for p in paths[15:]]
        with pytest.MonkeyPatch.context() as patch:
            names(patch, {"door.example": "127.0.0.1"})
            got = fetch(tmp_path, urls, per_host=3)
    assert {g.reason for g in got} == {None}
    assert server.peak == 3


def test_one_slow_host_does_not_keep_the_others_waiting(server: Unruly, tmp_path: Path) -> None:
    slow = {f"/slow{i}": unruly.late(reply(PNG), 0.1) for i in range(12)}
    with Unruly(slow, address="127.0.0.2") as other:
        urls = [*(other.url(path) for path in slow), server.url("/a.jpg")]
        seen: list[float] = []

        async def timed(writer: unruly.Writer) -> bool:
            seen.append(time.monotonic())
            writer.write(reply(JPEG))
            return True

        server.answers["/a.jpg"] = timed
        began = time.monotonic()
        got = fetch(tmp_path, urls, per_host=2, concurrency=3, allow_hosts=("127.0.0.1", "127.0.0.2"))
    assert {g.reason for g in got} == {None}
    assert seen[0] - began < 0.4  # the slow ones take 0.6 s


def test_a_dead_host_is_given_up(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        urls = [f"http://127.0.0.1:{port}/{i}" for i in range(40)]
        assert {g.reason for g in fetch(tmp_path, urls)} == {"deferred.unreachable"}
    with Unruly({f"/{i}": unruly.late(reply(PNG), 9) for i in range(40)}) as mute:
        urls = [mute.url(f"/{i}") for i in range(40)]
        began = time.monotonic()
        got = fetch(tmp_path, urls, read_timeout_s=0.1, per_host=1, respect_robots_txt=False)
        assert {g.reason for g in got} == {"deferred.timeout"}
        assert time.monotonic() - began < 2.5
        assert 5 < len(mute.requests) < 14


def test_a_host_that_comes_back_is_asked_again(tmp_path: Path) -> None:
    mute = unruly.late(b"", 9)
    answers = {f"/{i}": mute if i < 5 else reply(PNG) for i in range(40)}
    with Unruly(answers) as server:
        urls = [server.url(f"/{i}") for i in range(40)]
        got = fetch(tmp_path, urls, read_timeout_s=0.1, per_host=1, respect_robots_txt=False)
    assert [g.reason for g in got[:5]] == ["deferred.timeout"] * 5
    assert sum(g.reason is None for g in got) > 30


def test_a_connection_that_says_too_much_poisons_no_other_image(server: Unruly, tmp_path: Path) -> None:
    server.answers["/x"] = reply(PNG) + reply(JPEG)  # an answer to a question nobody asked
    server.answers["/y"] = reply(pools.picture(3))
    got = fetch(tmp_path, [server.url("/x"), server.url("/y")], per_host=1, concurrency=1, retries=2)
    assert got[1].data == pools.picture(3)


# Our own side


def test_a_disk_that_is_full_stops_the_run(server: Unruly, tmp_path: Path) -> None:
    class Full:
        def add(self, data: bytes) -> Any:
            raise OSError(28, "No space left on device")

    stage = Fetch(id="f", allow_hosts=("127.0.0.1",), retries=0)

    async def go() -> None:
        from curate.io.fetch import robots
        from curate.io.fetch.client import Client
        from curate.io.fetch.public_address import Rules, parse_allowed

        async with Client(stage, Rules([parse_allowed("127.0.0.1")]), robots.Cache(), Full().add) as client:
            await client.all([server.url("/a.jpg")])

    with pytest.raises(RunError, match="No space left"):
        asyncio.run(go())


def test_too_many_open_files_are_no_fault_of_the_sites(server: Unruly, tmp_path: Path) -> None:
    """In a process of its own: the limit would hold for the server too."""
    script = f"""
import resource, sys
sys.path[:0] = {sys.path!r}
from pathlib import Path
from fetching import fetch
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
fetch(Path({str(tmp_path)!r}), [f"{server.url()}{{i}}.jpg" for i in range(100)], per_host=100)
"""
    server.answers |= {f"/{i}.jpg": unruly.late(reply(JPEG), 0.5) for i in range(100)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "RunError: too many open files: lower `concurrency`" in done.stderr


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals go elsewhere")
def test_an_interrupt_does_not_wait_for_answers(server: Unruly, tmp_path: Path) -> None:
    me = threading.main_thread().ident
    assert me is not None

    async def interrupts(writer: unruly.Writer) -> bool:
        signal.pthread_kill(me, signal.SIGINT)
        await asyncio.sleep(9)
        return False

    server.answers["/x"] = interrupts
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        one(tmp_path, server.url("/x"))
    assert time.monotonic() - began < 3
    assert not list((tmp_path / "fetched" / "fetch").iterdir())


def test_it_works_where_a_loop_runs_already(server: Unruly, tmp_path: Path) -> None:
    async def notebook() -> Got:
        return one(tmp_path, server.url("/a.jpg"))

    assert asyncio.run(notebook()).data == JPEG


@pytest.mark.parametrize(
    "config",
    [
        {"allow_hosts": "http://127.0.0.1"},
        {"allow_hosts": "*"},
        {"allow_hosts": "a:70000"},
        {"user_agent": "Curate\r\nX: y"},
        {"user_agent": "4711"},
    ],
)
def test_a_wrong_configuration_is_told(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Fetch.model_validate(config)
