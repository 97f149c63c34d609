"""robots.txt by RFC 9309 and its own examples, and `X-Robots-Tag`."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.io.fetch.robots import MAX_BYTES, Cache, Robots, forbids, normalised, parse, product_token

# RFC 9309, section 5.1
SIMPLE = b"""User-Agent: *
Disallow: *.gif$
Disallow: /example/
Allow: /publications/

User-Agent: foobot
Disallow:/
Allow:/example/page.html
Allow:/example/allowed.gif

User-Agent: barbot
User-Agent: bazbot
Disallow: /example/page.html

User-Agent: quxbot
"""


@pytest.mark.parametrize(
    ("agent", "path", "allowed"),
    [
        ("curate", "/x.gif", False),
        ("curate", "/x.gif?y", True),
        ("curate", "/example/x", False),
        ("curate", "/publications/x", True),
        ("curate", "/publications/x.gif", True),  # the longer rule
        ("curate", "/", True),
        ("foobot", "/", False),
        ("foobot", "/robots.txt", True),
        ("foobot", "/publications/", False),
        ("foobot", "/example/page.html", True),
        ("foobot", "/example/allowed.gif", True),
        ("barbot", "/example/page.html", False),
        ("bazbot", "/example/page.html?x", False),
        ("bazbot", "/x.gif", True),
        ("quxbot", "/example/", True),
    ],
)
def test_the_simple_example(agent: str, path: str, allowed: bool) -> None:
    assert parse(SIMPLE, agent).allows(path) is allowed


def test_the_longest_match() -> None:  # section 5.2
    found = parse(
        b"User-Agent: foobot\nAllow: /example/page/\nDisallow: /example/page/disallowed.gif", "foobot"
    )
    assert found.allows("/example/page/x.gif")
    assert not found.allows("/example/page/disallowed.gif")
    assert parse(b"user-agent: *\ndisallow: /a\nallow: /a", "foobot").allows("/a")  # of equals, allow


# Section 2.2.2: what a rule or a path is, and how it is compared.
TABLE = {
    "/foo/bar?baz=quz": "/foo/bar?baz=quz",
    "/foo/bar?baz=http://foo.bar": "/foo/bar?baz=http%3A%2F%2Ffoo.bar",
    "/foo/bar/ツ": "/foo/bar/%E3%83%84",
    "/foo/bar/%E3%83%84": "/foo/bar/%E3%83%84",
    "/foo/bar/%e3%83%84": "/foo/bar/%E3%83%84",
    "/foo/bar/%62%61%7A": "/foo/bar/baz",
}


@pytest.mark.parametrize("path", TABLE)
def test_escapes(path: str) -> None:
    assert normalised(path) == normalised(TABLE[path]) == TABLE[path]
    assert not parse(f"user-agent: *\ndisallow: {path}".encode(), "x").allows(TABLE[path])


@pytest.mark.parametrize(
    ("rule", "path", "fits"),
    [
        ("/this/*/exactly", "/this/is/exactly/it", True),
        ("/this/path/exactly$", "/this/path/exactly", True),
        ("/this/path/exactly$", "/this/path/exactly/x", False),
        ("/path/file-with-a-%2A.html", "/path/file-with-a-*.html", True),
        ("/path/file-with-a-%2A.html", "/path/file-with-a-x.html", False),
        ("/path/foo-%24", "/path/foo-$", True),
        ("/path/foo-%24", "/path/foo-", False),
        ("/a%2Fb", "/a/b", False),
        ("/Fish", "/fish", False),
        ("", "/", False),
        ("/*.php$", "/a.php?x.php", True),
        ("/x # comment", "/x", True),
    ],
)
def test_special_characters(rule: str, path: str, fits: bool) -> None:
    assert parse(f"user-agent: *\ndisallow: {rule}".encode(), "x").allows(path) is not fits


@given(st.text("ab*/", max_size=7), st.booleans(), st.text("ab/", max_size=12))
def test_patterns_match_as_the_same_regular_expression(pattern: str, anchored: bool, path: str) -> None:
    expected = re.match(
        ".*".join(map(re.escape, f"/{pattern}".split("*"))) + ("$" if anchored else ""), f"/{path}", re.DOTALL
    )
    found = parse(f"user-agent: *\ndisallow: /{pattern}{'$' * anchored}".encode(), "x")
    assert found.allows(f"/{path}") is (expected is None)


def test_groups() -> None:
    text = b"\xef\xbb\xbfDisallow: /no-group\r\nUser-agent: Curate/2.0 (x)\rDisallow: /a\r\nSitemap: /s\n\n"
    text += b"user-agent : other\nuser-agent: CURATE\n disallow : /b\nUser-agent: *\nDisallow: /c\nnonsense\n"
    found = parse(text, "curate")
    assert [found.allows(p) for p in ("/no-group", "/a", "/b", "/c")] == [True, False, False, True]
    assert [parse(text, "other").allows(p) for p in ("/a", "/b")] == [True, False]
    assert [parse(text, "cur").allows(p) for p in ("/a", "/c")] == [True, False]  # no part of a name


@given(st.binary(max_size=300))
def test_any_bytes_are_rules(text: bytes) -> None:
    parse(b"User-agent: *\nDisallow: " + text, "curate").allows("/x")


def test_a_huge_file_is_read_to_the_limit() -> None:
    rule = b"disallow: /" + b"a" * 40 + b"\n"
    text = b"user-agent: *\ndisallow: /first\n" + rule * (MAX_BYTES // len(rule) + 1) + b"disallow: /late\n"
    found = parse(text, "x")
    assert not found.allows("/first/x")
    assert found.allows("/late")
    cut = b"user-agent: *\n" + b"#" * (MAX_BYTES - 14 - 12) + b"\ndisallow: /private/"
    assert parse(cut, "x").allows("/pass")  # not "disallow: /p", which nobody wrote


def test_no_pattern_is_slow() -> None:
    rules = b"user-agent: *\n" + b"disallow: /" + b"*a" * 2000 + b"b$\n" + b"disallow: /*z*y*x\n" * 20_000
    found = parse(rules, "x")
    began = time.perf_counter()
    assert found.allows("/" + "a" * 8000)
    assert time.perf_counter() - began < 0.5


def test_agents_names() -> None:
    assert product_token("Curate/0.1 (+https://a.example)") == "curate"
    assert product_token("My-Own_Bot") == "my-own_bot"
    assert product_token("4711") == ""


@pytest.mark.parametrize(
    ("headers", "forbidden"),
    [
        ([], False),
        (["noai"], True),
        (["all", "NoImageAI"], True),
        (["nofollow,  noindex"], True),
        (["none"], True),
        (["noarchive, nosnippet"], False),
        (["googlebot: noindex, noai"], False),
        (["Curate: noai"], True),
        (["googlebot: noindex, curate: nofollow, noimageindex"], True),
        (["googlebot: noindex, *: noai"], True),
        (["googlebot: nofollow", "noindex"], True),
        (["curate-news: noai"], False),
        (["unavailable_after: 25 Jun 2010 15:00:00 PST, noai"], True),
        (["unavailable_after: Wednesday, 25-Jun-30 15:00:00 PST, noai"], True),
        (["max-snippet: 20, max-image-preview: large"], False),
        (["max-image-preview: large, noai"], True),
        (["", ",,:", ": noai x"], False),
    ],
)
def test_robots_tag(headers: list[str], forbidden: bool) -> None:
    assert forbids(headers, "curate") is forbidden


def test_the_cache_forgets() -> None:
    def origin(i: int) -> tuple[str, str, int]:
        return "http", f"{i}.example", 80

    big = parse(b"user-agent: *\n" + b"".join(b"disallow: /%d\n" % i for i in range(100)), "x")
    cache = Cache(seconds=60, size=3 * big.size)
    for i in range(3):
        cache.put(origin(i), big, now=0)
    assert cache.get(origin(0), now=1) is big  # used last
    cache.put(origin(3), Robots(), now=1)
    assert [cache.get(origin(i), now=2) is not None for i in range(4)] == [True, False, True, True]
    assert cache.get(origin(0), now=61) is None
    cache.put(origin(0), big, now=61)  # there is room again
    assert cache.get(origin(0), now=62) is big
