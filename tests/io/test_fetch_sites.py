"""Whom `fetch` asks at all, and what sites have to say about it; all of it on loopback."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pools
import pytest
import unruly_server as unruly
from fetching import fetch, names, one
from unruly_server import Unruly, reply

from curate.io.fetch import client

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


def test_the_machine_itself_is_no_site(server: Unruly, tmp_path: Path) -> None:
    urls = [server.url("/a.jpg", host) for host in ("localhost", "127.0.0.1", "127.1", "2130706433", "[::1]")]
    got = fetch(tmp_path, urls, allow_hosts=(), ports=(server.port,))
    assert [g.reason for g in got] == ["private_address"] * 5
    assert server.connections == 0
    assert fetch(tmp_path, urls[:2], allow_hosts=())[1].reason == "forbidden_port"


def test_a_name_is_what_it_resolves_to(
    server: Unruly, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = {f"{i}.test": ip for i, ip in enumerate(("127.0.0.1", "10.1.2.3", "::1", "fd00:ec2::254"))}
    names(monkeypatch, dict(private))
    urls = [server.url("/a.jpg", name) for name in private]
    got = fetch(tmp_path, [*urls, server.url("/", "nobody.test")], ports=(server.port,))
    assert [g.reason for g in got] == ["private_address"] * 4 + ["deferred.dns"]
    assert server.connections == 0
    got = fetch(tmp_path, urls[:1], allow_hosts=(f"0.test:{server.port}",))
    assert (got[0].data, got[0].host) == (JPEG, "0.test")


def test_a_name_that_changes_its_mind_is_asked_once(
    server: Unruly, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = names(monkeypatch, {"rebind.test": ["10.0.0.1", "127.0.0.1"], "a.example": ["127.0.0.1", ""]})
    urls = [server.url(f"/{i}", "rebind.test") for i in range(3)]
    got = fetch(tmp_path, [*urls, server.url("/a.jpg", "a.example")], ports=(server.port,), retries=2)
    assert [g.reason for g in got] == ["private_address"] * 3 + [None]
    assert sorted(asked) == ["a.example", "rebind.test"]


def test_no_socket_is_opened_to_an_address_that_was_not_checked(
    server: Unruly, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should aiohttp ever connect without asking our resolver, it gets no socket."""
    from curate.io.fetch.connect import Resolver

    async def past(self: Resolver, host: str, port: int = 0, family: Any = 0) -> list[Any]:
        entry = {"hostname": host, "host": "127.0.0.1", "port": port, "proto": 6, "flags": 0}
        return [{**entry, "family": socket.AF_INET}]

    names(monkeypatch, {"fine.test": "93.184.215.14"})
    monkeypatch.setattr(Resolver, "resolve", past)
    got = one(tmp_path, server.url("/a.jpg", "fine.test"), ports=(server.port,))
    assert got.reason == "deferred.unreachable"
    assert server.connections == 0


def test_a_resolver_that_is_unwell_is_asked_again(
    server: Unruly, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names(monkeypatch, {"a.example": ["", "127.0.0.1"]})
    config = {"respect_robots_txt": False, "retries": 1}
    assert one(tmp_path, server.url("/a.jpg", "a.example"), **config).data == JPEG


def test_certificates_are_verified(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    pem = tmp_path / "both.pem"
    command = f"""openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1
        -addext subjectAltName=IP:127.0.0.1 -keyout {pem} -out {tmp_path / "cert.pem"}"""
    subprocess.run(command.split(), check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "cert.pem", pem)
    plain = Unruly(greeting=b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with Unruly({"/a.jpg": reply(JPEG)}, tls=context) as server, plain:
        got = fetch(tmp_path, [server.url("/a.jpg"), plain.url("/").replace("http:", "https:")])
        assert [g.reason for g in got] == ["tls", "tls"]
        assert server.requests == []


def test_no_proxy_and_no_password_of_the_environment(
    server: Unruly, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    assert one(tmp_path, server.url("/a.jpg")).data == JPEG
    assert "authorization" not in server.requests[-1].headers


def test_cookies_are_forgotten(server: Unruly, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch, {"a.example": "127.0.0.1"})
    server.answers["/x"] = reply(PNG, headers=["Set-Cookie: who=you; Path=/"])
    fetch(tmp_path, [server.url(path, "a.example") for path in ("/x", "/a.jpg")], concurrency=1)
    assert [request.path for request in server.requests[1:]] == ["/x", "/a.jpg"]
    assert "cookie" not in server.requests[-1].headers


# What sites say


@pytest.mark.parametrize(
    ("tags", "kept"),
    [
        (["noai"], False),
        (["all", "nofollow, NoImageAI"], False),
        (["googlebot: noindex"], True),
        (["curate: noindex"], False),
        (["unavailable_after: 25 Jun 2010 15:00:00 PST"], True),
    ],
)
def test_robots_tags(tags: list[str], kept: bool, server: Unruly, tmp_path: Path) -> None:
    server.answers["/x"] = reply(PNG, headers=[f"X-Robots-Tag: {tag}" for tag in tags])
    got = one(tmp_path, server.url("/x"))
    assert (got.reason, got.data) == ((None, PNG) if kept else ("robots_tag", None))
    assert one(tmp_path, server.url("/x"), respect_robots_tag=False).data == PNG


RULES = b"User-agent: *\nDisallow: /private/\nAllow: /private/but/\n\nUser-agent: other\nDisallow: /\n"


def test_robots_txt_is_asked_once_and_heeded(server: Unruly, tmp_path: Path) -> None:
    server.answers |= {ROBOTS: reply(RULES), "/private/but/x": reply(PNG), "/private/y": reply(PNG)}
    urls = [server.url(p) for p in ("/a.jpg", "/private/y", "/private/but/x", "/a/../private/y")]
    got = fetch(tmp_path, urls)
    assert [g.reason for g in got] == [None, "robots_txt", None, "robots_txt"]
    assert server.asked() == {ROBOTS: 1, "/a.jpg": 1, "/private/but/x": 1}
    assert one(tmp_path, urls[1], respect_robots_txt=False).data == PNG


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (reply(b"no", "403 Forbidden"), None),
        (reply(b"no", "503 Busy"), "deferred.robots_txt"),
        (reply(b"no", "429 Busy"), "deferred.robots_txt"),
        (unruly.resetting, "deferred.robots_txt"),
        (unruly.late(b"", 9), "deferred.timeout"),
        (unruly.redirect("/else"), "robots_txt"),
        (unruly.redirect("/robots.txt"), None),
        (unruly.redirect("http://169.254.169.254/"), None),
        (reply(b"<html>User-agent: *"), None),
        (reply(b"User-agent: curate\nDisallow: /", headers=["Content-Encoding: br"]), None),
        (unruly.endless(b"HTTP/1.1 200 OK\r\n\r\nUser-agent: *\nDisallow: /\n", b"#" * 65536), "robots_txt"),
    ],
)
def test_what_the_want_of_robots_txt_means(
    answer: unruly.Answer, reason: str | None, server: Unruly, tmp_path: Path
) -> None:
    server.answers |= {ROBOTS: answer, "/else": reply(b"user-agent: CURATE\ndisallow: /")}
    assert one(tmp_path, server.url("/a.jpg"), read_timeout_s=0.3).reason == reason
    assert ("/a.jpg" in server.asked()) == (reason is None)


def test_robots_txt_of_where_a_redirect_leads_is_asked_too(server: Unruly, tmp_path: Path) -> None:
    with Unruly({ROBOTS: reply(b"user-agent: *\ndisallow: /")}, address="127.0.0.2") as closed:
        server.answers["/x"] = unruly.redirect(closed.url("/y"))
        got = one(tmp_path, server.url("/x"), allow_hosts=("127.0.0.1", "127.0.0.2"))
        assert got.reason == "robots_txt"
        assert closed.asked() == {ROBOTS: 1}
