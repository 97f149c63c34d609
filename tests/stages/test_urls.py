"""The normal form of URLs that `exact`, `domain` and `drop_ids` share."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stages.common.urls import normal_url, registered_domain

# Each URL and others that lead to the same. Equivalences of RFC 3986, 6.2.2 and 6.2.3, in its own words
# where it has an example; then what web archives fold, and what follows a visitor.
SAME = {
    "example://a/b/c/%7Bfoo%7D": ("example://a/b/c/%7Bfoo%7D ",),
    "https://a/b/c/%7Bfoo%7D": ("http://A/./b/../b/%63/%7bfoo%7d", "https://a/b/c/{foo}"),
    "https://example.com": (
        "http://example.com/",
        "HTTP://EXAMPLE.com:/",
        "http://example.com:80/",
        "https://example.com:443",
        "//example.com",
        "https://www.example.com/?",
        "https://www2.example.com./#top",
        "https://example.com/?utm_source=feed&utm_medium=rss&fbclid=x&GCLID=y",
    ),
    "https://example.com/~smith/": ("https://example.com/%7Esmith", "https://example.com/%7esmith/"),
    "https://example.com/a?a=1&b=2": ("https://example.com/a/?b=2&utm_id=&&a=1",),
    "https://example.com/a?q=x%20y": ("https://example.com/a?q=x+y",),
    "https://例え.jp/パス?名=値": ("https://xn--r8jz45g.jp/%e3%83%91%e3%82%b9?%E5%90%8D=%E5%80%A4",),
    "https://[::1]:8080/": ("http://[0:0::1]:8080", "http://[::0001]:8080/"),
    "no url": (" no url\n",),
}
# Pairs that are not the same.
OTHERS = [
    ("https://example.com/a", "https://example.com/A"),
    ("https://example.com/a%2Fb", "https://example.com/a/b"),
    ("https://example.com/a?x=1", "https://example.com/a?x=2"),
    ("https://example.com/a?x=1&x=2", "https://example.com/a?x=1"),
    ("https://example.com/a?x=%26y=1", "https://example.com/a?x=&y=1"),
    ("https://example.com/a?x=%2B", "https://example.com/a?x=+"),
    ("https://example.com:8080/", "https://example.com/"),
    ("https://www.com/", "https://com/"),
    ("https://a.www.example.com/", "https://a.example.com/"),
    ("https://wwwx.example.com/", "https://x.example.com/"),
    ("https://example.com/?page=utm_source", "https://example.com/"),
    ("https://me@example.com/", "https://example.com/"),
    ("ftp://example.com/", "https://example.com/"),
]


@pytest.mark.parametrize("url", SAME)
def test_the_same(url: str) -> None:
    assert {normal_url(other) for other in SAME[url]} == {normal_url(url)}


@pytest.mark.parametrize(("one", "other"), OTHERS)
def test_others(one: str, other: str) -> None:
    assert normal_url(one) != normal_url(other)


def test_as_it_is_written() -> None:
    told = normal_url("HTTP://User@WWW.Example.com:8080//a/%2e%2E/b%c3%a4/?z=1&a=%7E&utm_source=x#y")
    assert told == "https://User@example.com:8080//b%C3%A4?a=~&z=1"


_PIECES = """
    http: https: // / www. www1. a.b 例 :80 :443 :9 ? & = # % %2e %2F %zz + . .. utm_x=1 gclid
    @ [ ] ::1 \\ ß ℀
"""


@settings(max_examples=600, deadline=None)
@given(st.lists(st.sampled_from([*_PIECES.split(), " ", "\n"]), max_size=12).map("".join))
@example("http://www.www.com/")
@example("http://a.b:443/")
@example("http://a.b/%25%32%35")
def test_twice_is_once(url: str) -> None:
    once = normal_url(url)
    assert normal_url(once) == once


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40).map(lambda text: f"http://{text}"))
def test_no_text_is_too_odd(url: str) -> None:
    assert isinstance(normal_url(url), str)


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("shop.example.co.uk", "example.co.uk"),
        ("example.com", "example.com"),
        ("a.b.user.github.io", "user.github.io"),
        ("github.io", "github.io"),
        ("localhost", "localhost"),
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("www.xn--r8jz45g.jp", "xn--r8jz45g.jp"),
        ("a.b.no-such-suffix", "b.no-such-suffix"),
    ],
)
def test_registered_domains(host: str, domain: str) -> None:
    assert registered_domain(host) == domain
