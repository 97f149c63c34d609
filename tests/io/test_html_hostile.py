"""Charsets, pages that cannot be extracted, and input that wants to do harm."""

from __future__ import annotations

import pickle
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from web_pages import page, shape

from curate.io.html_charset import decode
from curate.io.html_extract import (
    HTML_REASONS,
    HtmlError,
    ImageSpan,
    TextSpan,
    extract,
)

GERMAN = "<p>Größe, Übung, Straße, für Äpfel</p>"


@pytest.mark.parametrize(
    ("raw", "declared", "charset"),
    [
        (b"\xef\xbb\xbf" + GERMAN.encode(), "iso-8859-1", "utf-8"),
        (b"\xff\xfe" + GERMAN.encode("utf-16-le"), None, "utf-16-le"),
        (b"\xfe\xff" + GERMAN.encode("utf-16-be"), None, "utf-16-be"),
        (GERMAN.encode("utf-16-le"), None, "utf-16-le"),
        ((GERMAN + "x" * 99).encode("utf-16-be"), None, "utf-16-be"),
        (GERMAN.encode(), None, "utf-8"),
        (GERMAN.encode(), "ISO-8859-1", "utf-8"),
        (GERMAN.encode("cp1252"), "latin1", "cp1252"),
        (b"<meta charset='windows-1252'>" + GERMAN.encode("cp1252"), None, "cp1252"),
        (
            b"<meta http-equiv=x content='a; charset=iso-8859-15'>" + GERMAN.encode("latin-1"),
            None,
            "iso8859-15",
        ),
        (b"<?xml version='1.0' encoding='iso-8859-1'?>" + GERMAN.encode("latin-1"), None, "cp1252"),
        (b"<meta charset=utf-16>" + GERMAN.encode(), None, "utf-8"),
        (GERMAN.encode("cp1252") * 20, None, None),
        (GERMAN.encode(), "unicode_escape", "utf-8"),
        (GERMAN.encode(), "nonsense\0", "utf-8"),
    ],
)
def test_charsets(raw: bytes, declared: str | None, charset: str | None) -> None:
    found = extract(raw, declared_charset=declared)
    assert found.text.startswith("Größe, Übung, Straße, für Äpfel")
    assert charset is None or found.charset == charset
    assert not found.undecodable


def test_utf_16_without_a_mark_is_seen_even_where_all_is_ascii() -> None:
    for codec in ("utf-16-le", "utf-16-be"):
        found = extract("<p>plain</p>".encode(codec))
        assert (found.text, found.charset) == ("plain", codec)


def test_asian_charsets() -> None:
    for text, label, codec in (
        ("<p>日本語の文章です</p>", "Shift_JIS", "cp932"),
        ("<p>日本語の文章です</p>", "iso-2022-jp", "iso2022_jp"),
        ("<p>中文的文字</p>", "gb2312", "gb18030"),
        ("<p>한국어 문장</p>", "euc-kr", "cp949"),
    ):
        found = extract(text.encode(codec), declared_charset=label)
        assert (found.text, found.charset) == (text[3:-4], codec)


def test_bytes_that_fit_no_charset_are_replaced_and_flagged() -> None:
    found = extract(b"<meta charset=utf-8><p>good \xff text</p>")
    assert (found.text, found.charset, found.undecodable) == ("good \ufffd text", "utf-8", True)
    assert decode(b"\xef\xbb\xbfa\xff") == ("a\ufffd", "utf-8", True)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "empty"),
        (b" \n\0\t", "empty"),
        (b"<p>x" + b" " * 100, "too_large"),
        (b"<b>" * 200, "too_deep"),
        (b"<b>x</b>" * 60, "too_many_elements"),
        (b"no markup here, 1 < 2", "not_html"),
        (b"%PDF-1.7 <p>", "not_html"),
        (b"\x89PNG\r\n\x1a\n<p>", "not_html"),
        (b"<?xml version='1.0'?><!-- feed --><rss><p>x</p></rss>", "not_html"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><text>x</text></svg>", "not_html"),
    ],
)
def test_reasons(raw: bytes, reason: str) -> None:
    limits = {"max_bytes": 60} if reason == "too_large" else {"max_elements": 50} if "many" in reason else {}
    with pytest.raises(HtmlError) as caught:
        extract(raw, max_depth=100, **limits)
    assert caught.value.reason == reason
    assert reason in HTML_REASONS
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.reason, str(copy)) == (reason, str(caught.value))


def test_a_page_without_content_is_no_error() -> None:
    assert page("<nav>menu</nav>").spans == ()
    assert extract(b"<!-- only a comment -->").spans == ()


@pytest.mark.parametrize(
    "raw",
    [
        b"<div>" * 100_000 + b"x" + b"</div>" * 100_000,
        b"<p " + b" ".join(b"a%d=1" % n for n in range(50_000)) + b">x",
        b"<p title='" + b"x" * 4_000_000 + b"'>x",
        b"<p>" + b"&amp;" * 100_000,
        b"<" * 1_000_000 + b"a",
        b"<!--" * 500_000,
        b"<!---->" * 200_000 + b"<",
        b"<p>" + b"\0" * 1_000_000 + b"x",
        b"<picture>" + b"<source srcset='a 1x'>" * 30 + b"<img src=a>" * 20_000,
        b"<figure><figcaption>x" * 100 + b"<img src=a><figcaption>y</figcaption>" * 10_000,
        b"<div class=nav>" * 400 + b"<b>x</b>" * 20_000,
        b"<p>a" + b"<img src=x>b" * 20_000,
        b"<img srcset='" + b"a 1w, " * 200_000 + b"'>",
        b"<ul><li>" * 200 + b"<li>x" * 20_000,
    ],
    ids=lambda raw: repr(raw[:12]),
)
def test_hostile_pages_end_soon_and_small(raw: bytes) -> None:
    # Each of these is minutes or gigabytes for an implementation that is quadratic somewhere.
    start = time.monotonic()
    try:
        spans = extract(raw).spans
    except HtmlError:
        spans = ()
    assert time.monotonic() - start < 20
    assert sum(len(span.body) for span in spans if isinstance(span, TextSpan)) < 5 * len(raw)


def test_null_bytes_and_entities_of_a_doctype() -> None:
    assert extract(b"<p>a\0b</p><im\0g src=c.png>").spans == (TextSpan("ab"), ImageSpan("c.png"))
    external = b'<!DOCTYPE html [<!ENTITY x SYSTEM "file:///etc/hostname">]><p>a&x;b</p>'
    assert extract(external).text.endswith("a&x;b")


def test_broken_markup() -> None:
    assert shape('<p>one<p>two</b></i><table><tr><td>a<td>b</table></p></div>three<img src=x alt="y>') == [
        "one\n\ntwo\n\na | b\n\nthree"
    ]


SHREDS = (
    b"<p>|<|>|</div>|<img src=|'|\"|<table>|<td>|\0|\xff|&#|<!--|-->|<script>|<li>|<figure>|<figcaption>"
    b"|x |<base href=|=|<picture>|<source srcset=|<noscript>|<meta charset=|utf-16|<![CDATA[|<?|<pre>|<br>"
).split(b"|")


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=400),
        st.lists(
            st.sampled_from(SHREDS),
            max_size=60,
        ).map(b"".join),
    ),
    st.one_of(
        st.none(), st.text(max_size=10), st.sampled_from(["utf-16", "iso-2022-jp", "punycode", "zlib"])
    ),
)
def test_random_bytes_raise_nothing_but_html_error(raw: bytes, declared: str | None) -> None:
    try:
        spans = extract(raw, declared_charset=declared).spans
    except HtmlError:
        return
    for span in spans:
        assert span.body.strip() if isinstance(span, TextSpan) else span.src
    assert not any(isinstance(a, TextSpan) and isinstance(b, TextSpan) for a, b in pairwise(spans))
