"""Which URLs are asked, as what, and at which addresses."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
import yarl
from hypothesis import example, given
from hypothesis import strategies as st

from curate.io.fetch.public_address import Rules, is_public, parse_allowed
from curate.io.fetch.url import Refused, Target, parse, redirected

# As browsers send them (the WHATWG's URL Standard).
SENT = {
    "http://A.example": "http://a.example/",
    " https://a.example:443/x#part\n": "https://a.example/x",
    "//cdn.example/x.jpg": "https://cdn.example/x.jpg",
    "http://a.example./x": "http://a.example/x",
    "http://a.example:80/x?a=b&c=%2f%7E+1": "http://a.example/x?a=b&c=%2f%7E+1",
    "http://a.example:8080/x y.jpg?q=a b": "http://a.example:8080/x%20y.jpg?q=a%20b",
    "http://a.example/été/“x”.jpg": "http://a.example/%C3%A9t%C3%A9/%E2%80%9Cx%E2%80%9D.jpg",
    "http://bücher.example/": "http://xn--bcher-kva.example/",
    "http://例え.テスト/": "http://xn--r8jz45g.xn--zckzah/",
    "http://a.example/a/./b/../c": "http://a.example/a/c",
    "http://a.example/../..": "http://a.example/",
    "http://a.example/a/b/%2E%2e": "http://a.example/a/",
    "http://a.example/a//b/.": "http://a.example/a//b/",
    "http://a.example\\b": None,
    "http://a.example/b\\c": "http://a.example/b/c",
    "http://a.example?x": "http://a.example/?x",
    "http://a_b.example/": "http://a_b.example/",
    "http://127.1/": "http://127.0.0.1/",
    "http://0x7f.0.0.1/": "http://127.0.0.1/",
    "http://017700000001/": "http://127.0.0.1/",
    "http://2130706433/": "http://127.0.0.1/",
    "http://１２７.0.0.1/": "http://127.0.0.1/",
    "http://127。0。0。1/": "http://127.0.0.1/",
    "http://1.2.3.4./": "http://1.2.3.4/",
    "http://[::FFFF:127.0.0.1]:8080/": "http://[::ffff:7f00:1]:8080/",
}
BAD = [
    "",
    "a.jpg",
    "ftp://a.example/x",
    "data:image/png;base64,AAAA",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "http:///x",
    "http://",
    "http://a..example/",
    "http://.example/",
    "http://-" + "a" * 64 + ".example/",
    "http://" + "a." * 130 + "example/",
    "http://a.example:99999/",
    "http://a.example:http/",
    "http://a b.example/",
    "http://a%2eexample/",
    "http://a.example%00.b.example/",
    "http://a.example/\x00",
    "http://a.example/a\nb",
    "http://a.example/\t",
    "http://a.example/100%.jpg",
    "http://a.example/%zz",
    "http://a.example/?%1",
    "http://[::1/",
    "http://[::1%25eth0]/",
    "http://[v1.x]/",
    "http://1.2.3.4.5/",
    "http://256.256.256.256/",
    "http://0x/",
    "http://good.example\\@127.0.0.1/",
    "http://a.example/" + "x" * 9000,
    "http://\u00ad/",
    "http://a\u2100b.example/",  # turns into a/cb
]


@pytest.mark.parametrize("url", SENT)
def test_urls_as_browsers_send_them(url: str) -> None:
    wanted = SENT[url]
    if wanted is None:
        with pytest.raises(Refused, match="bad_url"):
            parse(url)
    else:
        assert parse(url).text == wanted


@pytest.mark.parametrize("url", BAD)
def test_bad_urls(url: str) -> None:
    if url.endswith("\t"):
        url += "x"
    with pytest.raises(Refused, match=r"^bad_url$"):
        parse(url)


@pytest.mark.parametrize(
    "url", ["http://me@a.example/", "http://a:b@a.example/", "http://a.example@127.0.0.1/"]
)
def test_urls_with_credentials_are_refused(url: str) -> None:
    with pytest.raises(Refused, match=r"^credentials$"):
        parse(url)


def test_where_a_redirect_leads() -> None:
    here = parse("https://a.example:8443/x/y.jpg?q")
    assert redirected(here, "z.jpg").text == "https://a.example:8443/x/z.jpg"
    assert redirected(here, "//b.example").text == "https://b.example/"
    assert (
        redirected(here, "/caf\udcc3\udca9").text == "https://a.example:8443/caf%C3%A9"
    )  # as aiohttp reads it
    with pytest.raises(Refused, match="bad_redirect"):
        redirected(here, "mailto:a@b.example")


PIECES = [
    "http://",
    "https:",
    "//",
    "/",
    "a",
    "b.example",
    "127.0.0.1",
    "[::1]",
    "[",
    "]",
    "@",
    ":",
    "80",
    "%",
]
PIECES += [
    "%41",
    "\\",
    "?",
    "#",
    " ",
    "..",
    "0x7f",
    "１",
    "。",
    "é",
    "\u00ad",
    "\ud800",
    "\x00",
    "%2e",
    "-",
    "*",
]


@given(st.lists(st.sampled_from(PIECES), max_size=9).map("".join) | st.text(max_size=40))
@example("http://a.example/\ud800")
def test_any_text_is_a_target_or_refused(text: str) -> None:
    try:
        found = parse(f"http://{text}")
    except Refused:
        return
    assert found.text.isascii()
    assert parse(found.text) == found
    # what is checked is what is asked: the client reads the same host and port
    asked = yarl.URL(found.text, encoded=True)
    assert (asked.scheme, asked.raw_host, asked.port) == (found.scheme, found.host, found.port)
    assert asked.raw_path_qs == found.path


# Addresses

PRIVATE = """0.0.0.0 10.0.0.1 100.64.0.1 100.100.100.200 127.0.0.1 127.255.255.254 168.63.129.16
169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.192 192.0.2.1 192.88.99.1 192.168.1.1
198.18.0.1 198.51.100.1 203.0.113.1
224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
:: ::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::127.0.0.1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b:1::1 100::1
2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:db8::1 2002:7f00:1:: 2002:a00:1::1 3fff::1 5f00::1
fc00::1 fd00:ec2::254 fe80::1 fe80::1%eth0 2606:4700::1%eth0 fec0::1 ff02::1"""
PUBLIC = """1.1.1.1 8.8.8.8 100.63.255.255 100.128.0.1 168.63.129.17 172.15.0.1 172.32.0.1 192.0.1.1
198.20.0.1 223.255.255.255 2606:4700::1111 2a00:1450::1 2001:4860::8888 ::ffff:8.8.8.8 64:ff9b::808:808
2002:808:808::1"""


@pytest.mark.parametrize("address", PRIVATE.split())
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC.split())
def test_addresses_that_are_public(address: str) -> None:
    assert is_public(ip_address(address))


@given(st.ip_addresses())
def test_nothing_is_public_that_python_calls_private(address: object) -> None:
    found = ip_address(str(address))
    if is_public(found) and getattr(found, "ipv4_mapped", None) is None:
        assert found.is_global or str(found).startswith("64:ff9b::")
        assert not found.is_multicast


def _refusal(allowed: list[str], host: str, port: int = 80) -> str:
    return Rules(map(parse_allowed, allowed), (80,)).refusal(host, port)


def test_exempt_hosts() -> None:
    assert _refusal([], "127.0.0.1") == "private_address"
    assert _refusal([], "::ffff:7f00:1") == "private_address"
    assert _refusal([], "8.8.8.8", 22) == "forbidden_port"
    assert _refusal(["127.0.0.1"], "127.0.0.1", 22) == ""
    assert _refusal(["127.0.0.1:81"], "127.0.0.1", 81) == ""
    assert _refusal(["127.0.0.1:81"], "127.0.0.1", 82) == "forbidden_port"
    assert _refusal(["[0:0::1]:81"], "::1", 81) == ""
    rules = Rules(map(parse_allowed, ["*.Intranet.example"]))
    assert rules.usable("a.b.intranet.example", 9, ["10.0.0.1"]) == ["10.0.0.1"]
    for other in ("intranet.example", "xintranet.example", "a.intranet.example.test"):
        assert rules.usable(other, 80, ["10.0.0.1", "8.8.8.8", "no address"]) == ["8.8.8.8"]
    assert _refusal(["*.0.0.1"], "127.0.0.1") == "private_address"  # no pattern of addresses


@pytest.mark.parametrize(
    "entry",
    ["", "*", "*.", "http://a", "a/b", "a:0", "a:65536", "a b", "[::1", "[a]", "::1", "a@b", "ä.example"],
)
def test_what_is_no_exempt_host(entry: str) -> None:
    with pytest.raises(ValueError, match=r"host|IPv6|Expected|At least"):
        parse_allowed(entry)


def test_a_target_has_the_port_of_its_scheme() -> None:
    assert Target("https", "a", 443, "/").text == "https://a/"
    assert Target("http", "a", 443, "/").text == "http://a:443/"
