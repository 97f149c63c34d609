"""Interleaved extraction from HTML: reading order, boilerplate, captions, charsets, hostile input."""

from __future__ import annotations

import pickle
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.io.html_charset import decode
from curate.io.html_extract import (
    HTML_REASONS,
    HtmlError,
    ImageSpan,
    Page,
    TextSpan,
    extract,
    local_path,
)


def page(body: str, head: str = "") -> Page:
    return extract(f"<!DOCTYPE html><html><head>{head}</head><body>{body}</body></html>".encode())


def shape(body: str) -> list[str]:
    """The spans as text: images as [src]."""
    spans = page(body).spans
    return [span.body if isinstance(span, TextSpan) else f"[{span.src}]" for span in spans]


DOCBOOK = """<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1.dtd">
<html xmlns="http://www.w3.org/1999/xhtml"><head>
<meta http-equiv="Content-Type" content="text/html; charset=UTF-8" /><title>4.12. Flip</title></head><body>
<div class="navheader"><table summary="Navigation header"><tr><td><a href="p.html"><img src="images/prev.png"
 alt="Prev" /></a></td><th>4. Transform Tools</th></tr></table><hr /></div>
<div class="sect2"><div class="titlepage"><div><h3 class="title"><a id="x"></a>4.12. Flip</h3></div></div>
<div class="figure"><a id="y"></a><p class="title"><strong>Figure 1. Flip tool</strong></p>
<div class="figure-contents">
<div class="mediaobject"><img src="images/a.png" alt="Flip tool" />
<div class="caption"><p>Original</p></div></div>
<div class="mediaobject"><img src="images/b.png" /><div class="caption"><p>Flipped</p></div></div>
</div></div><br class="figure-break" />
<p>The Flip tool flips
   layers.</p>
<ul class="itemizedlist"><li class="listitem"><p>From
 <span class="guimenu">Tools</span>,</p></li>
<li class="listitem"><p>By clicking <span class="guiicon"><img src="images/icon.png" /></span>
 in Toolbox,</p></li></ul>
<dl class="variablelist"><dt><span class="term">Ctrl</span></dt><dd><p>changes the mode.</p></dd></dl>
</div>
<div class="navfooter"><hr /><table><tr><td><a href="p.html">
<img src="images/prev.png" alt="Prev" /></a></td></tr></table>
<a href="https://bugs.example/" class="reportbug">Report a bug</a></div></body></html>"""


def test_docbook_page_keeps_order_and_gives_figures_their_title_and_captions() -> None:
    found = extract(DOCBOOK.encode())
    assert found.spans == (
        TextSpan("4.12. Flip"),
        ImageSpan("images/a.png", alt="Flip tool", caption="Figure 1. Flip tool\nOriginal"),
        ImageSpan("images/b.png", caption="Figure 1. Flip tool\nFlipped"),
        TextSpan("The Flip tool flips layers.\n\n- From Tools,\n- By clicking"),
        ImageSpan("images/icon.png"),
        TextSpan("in Toolbox,\n\nCtrl\nchanges the mode."),
    )
    assert (found.title, found.charset, found.undecodable) == ("4.12. Flip", "utf-8", False)
    assert found.text.startswith("4.12. Flip\n\nThe Flip")
    assert [image.src for image in found.images] == ["images/a.png", "images/b.png", "images/icon.png"]


BLOG = """<body class="home has-sidebar nav-open" id="page">
<header class="site-header"><a href="/"><img src="logo.png"></a>
<nav><ul><li><a href="/a">Menu A</a></ul></nav></header>
<div id="cookie-notice" role="dialog">We use cookies</div>
<div class="container"><div class="post">
 <header class="entry-header"><h1>Herons</h1></header>
 <p>First paragraph.</p><!-- a comment --><p>Second <b>bold</b>, and more.</p>
 <figure class="wp-block-image"><img src="heron.jpg" alt="A heron"><figcaption>
 Grey heron, <a href="#">2020</a>
 </figcaption></figure>
 <p>Third paragraph.</p>
 <div class="wp-caption"><a href="big.jpg"><img src="nest.jpg"></a>
 <p class="wp-caption-text">A nest</p></div>
 <p hidden>Hidden one.</p><p style="color: red; display : none">Hidden two.</p>
 <p aria-hidden="true">Hidden three.</p>
 <span class="sr-only">for screen readers</span>
 <aside class="note"><p>Mind the mud.</p></aside>
 <blockquote><p>Quoted.</p></blockquote>
 <form class="search"><label>Find</label><input value="typed"><button>Go</button></form>
 <div class="sharedaddy">Share this</div>
</div>
<div id="comments" class="comments-area"><p>Nice post!</p>
<form id="commentform"><textarea>x</textarea></form></div></div>
<aside class="sidebar"><p>About the author</p><img src="me.jpg"></aside>
<div class="left"><a href="1">One topic</a> <a href="2">Two topic</a> 
<a href="3">Three topic</a> <a href="4">Four</a></div>
<script>var evil = "<p>script</p>";</script><style>p { color: red }</style>
<template><p>template</p></template><svg><title>drawn</title><text>svg</text></svg>
<footer><p>All rights reserved</p>
<a rel="license" href="https://licence.example/by/4.0/">CC BY</a></footer></body>"""


def test_boilerplate_is_removed_and_the_article_kept() -> None:
    found = extract(f"<html lang='en-GB'><head><title>Herons &amp; co</title></head>{BLOG}</html>".encode())
    assert found.spans == (
        TextSpan("Herons\n\nFirst paragraph.\n\nSecond bold, and more."),
        ImageSpan("heron.jpg", alt="A heron", caption="Grey heron, 2020"),
        TextSpan("Third paragraph."),
        ImageSpan("nest.jpg", caption="A nest"),
        TextSpan("Mind the mud.\n\nQuoted.\n\nFind"),
    )
    assert found.title == "Herons & co"
    assert found.lang == "en-GB"
    assert found.licence == "https://licence.example/by/4.0/"


@pytest.mark.parametrize(
    "box",
    [
        '<div class="navbar">GONE</div>',
        '<div id="site-navigation">GONE</div>',
        '<ul class="breadcrumb">GONE</ul>',
        '<div role="navigation">GONE</div>',
        '<div role="banner">GONE</div>',
        '<div class="cookie-consent">GONE</div>',
        '<div class="related-posts">GONE</div>',
        "<nav>GONE</nav>",
        "<footer>GONE</footer>",
        "<aside>GONE</aside>",
        "<header>GONE</header>",
        "<dialog open>GONE</dialog>",
        "<noscript>GONE</noscript>",
        "<select><option>GONE</select>",
        '<p style="visibility:hidden">GONE</p>',
    ],
)
def test_each_kind_of_boilerplate_is_removed(box: str) -> None:
    assert shape(f"<p>Some text before it all.</p>{box}<p>And some after it.</p>") == [
        "Some text before it all.\n\nAnd some after it."
    ]


@pytest.mark.parametrize(
    "box",
    [
        '<div class="has-sidebar">KEPT</div>',
        '<div class="guimenu">KEPT</div>',
        '<span class="menu">KEPT</span>',
        '<p>See <a href="a">KEPT</a>.</p>',
        "<p>KEPT, prose between <a href=1>1</a>, <a href=2>2</a>, <a href=3>3</a>, <a href=4>4</a></p>",
        "<blockquote>KEPT</blockquote>",
        "<details><summary>KEPT</summary></details>",
        '<div hidden="until-found">KEPT</div>',
        "<article><header>KEPT</header></article>",
        "<form action='/aspx'>KEPT</form>",
    ],
)
def test_what_only_looks_like_boilerplate_is_kept(box: str) -> None:
    assert "KEPT" in "".join(shape(f"<p>Some text before it all.</p>{box}<p>And some after it.</p>"))


def test_a_hint_on_the_box_with_most_of_the_text_is_not_believed() -> None:
    body = (
        "<div class='left-sidebar-layout'><p>" + "All of the article. " * 20 + "</p></div><p>Small rest.</p>"
    )
    assert "All of the article." in shape(body)[0]
    # What isn't shown doesn't count as the page's text.
    assert "All of the article." in shape(f"<script>{'x' * 5000}</script>{body}")[0]


def test_the_only_main_element_is_the_page() -> None:
    assert shape(
        f"<div><p>{'teaser ' * 9}</p></div><main><p>{'content ' * 30}</p><img src=a.png></main>"
        "<div>more</div>"
    ) == [("content " * 30).strip(), "[a.png]"]
    # Two of them beside each other say nothing.
    assert shape("<main>one</main><main>two</main>") == ["one\n\ntwo"]


def test_a_list_of_links_goes_but_a_preface_and_image_grids_stay() -> None:
    links = "".join(f"<li><a href={n}>Chapter {n}</a></li>" for n in range(9))
    assert shape(f"<p>Preface.</p><ul>{links}</ul>") == ["Preface."]
    prose = "Permission is granted to copy this document under the terms of the licence. " * 4
    assert shape(f"<div><p>{prose}</p><ul>{links * 20}</ul></div>") == [prose.strip()]
    grid = "".join(f"<a href={n}><img src={n}.png>Name {n}</a>" for n in range(5))
    assert len(page(f"<div>{grid}</div>").images) == 5


def test_blocks_lists_tables_and_code_stay_readable() -> None:
    assert shape(
        "<h1>Title</h1>text straight in the body<div>a div<p>a p</p>tail</div>"
        "<ul><li>one<li><p>two</p><ul><li>deep</ul></ul><ol><li>first</li><li>second</li></ol>"
        "<table><caption>Sizes</caption><tr><th>Name</th><th>Size</th></tr><tr><td><p>A</p></td><td>1<br>px</td></tr>"
        "<tr><td></td><td>2</td></tr></table>"
        "<pre>def f():\n\treturn  1\n\n</pre><p>line<br>break<br><br>new&nbsp;part&hellip;</p>"
    ) == [
        "Title\n\ntext straight in the body\n\na div\n\na p\n\ntail\n\n"
        "- one\n- two\n  - deep\n\n1. first\n2. second\n\n"
        "Sizes\n\nName | Size\nA | 1 px\n2\n\n"
        "def f():\n\treturn  1\n\nline\nbreak\n\nnew part…"
    ]


def test_layout_tables_are_not_rows() -> None:
    long = "word " * 200
    assert shape(f"<table><tr><td><p>{long}</p><p>b</p></td><td>{long}</td></tr></table>") == [
        f"{long.strip()}\n\nb\n\n{long.strip()}"
    ]


def test_inline_markup_does_not_break_words() -> None:
    assert shape("<p>un<b>believ</b>able<wbr>s H<sub>2</sub>O, don&#39;t soft&shy;en</p>") == [
        "unbelievables H2O, don't soften"
    ]


def test_an_inline_image_keeps_its_place_without_breaking_words() -> None:
    assert shape("<p>Click <img src=a> here</p>") == ["Click", "[a]", "here"]
    assert shape("<p>Click wo<img src=a>r&eacute;d now</p>") == ["Click woréd", "[a]", "now"]
    assert shape("<p>(<img src=a>)</p>") == ["(", "[a]", ")"]
    # Chinese has no spaces to wait for.
    assert shape("<p>点击<img src=a>图标</p>") == ["点击", "[a]", "图标"]
    assert shape("<p>end<img src=a></p><p>next</p>") == ["end", "[a]", "next"]


@pytest.mark.parametrize(
    ("markup", "src"),
    [
        ("<img src='a.jpg' srcset='s.jpg 320w, l.jpg 1024w, m.jpg 640w'>", "l.jpg"),
        ("<img src='a.jpg' srcset='b.jpg 1.5x, c.jpg 2x'>", "c.jpg"),
        ("<img src='a.jpg' srcset='b.jpg'>", "a.jpg"),
        ("<img srcset='b.jpg'>", "b.jpg"),
        ("<img src='a.jpg' srcset='x,y.jpg 300w, bad w'>", "x,y.jpg"),
        ("<img src='data:image/gif;base64,R0lGOD' data-src='real.jpg'>", "real.jpg"),
        ("<img src='spacer.gif' data-original='real.jpg'>", "real.jpg"),
        ("<img src='data:image/gif;base64,R0lGOD' data-srcset='a.jpg 1x'>", "a.jpg"),
        (
            "<picture><source srcset='w.webp 800w'><source srcset='j.jpg 400w'><img src='f.jpg'></picture>",
            "w.webp",
        ),
        ("<img src=' \n a b.jpg '>", "a b.jpg"),
        ("<object data=x.svg><img src='fallback.png'></object>", "fallback.png"),
    ],
)
def test_the_best_candidate_is_taken(markup: str, src: str) -> None:
    assert [image.src for image in page(f"<p>text</p>{markup}").images] == [src]


def test_lazy_images_with_a_noscript_twin_come_once() -> None:
    twin = "<img data-src='a.jpg'><noscript><img src='a.jpg' alt='A'></noscript>"
    assert shape(f"{twin}<p>x</p>") == ["[a.jpg]", "x"]
    placeholder = "<img src='data:image/gif;base64,R0'><noscript><img src='a.jpg'></noscript>"
    assert shape(f"{placeholder}<p>x</p>") == ["[a.jpg]", "x"]


def test_image_attributes_and_what_is_no_image() -> None:
    images = page(
        "<img src=a.png width=640 height='480px' alt=' two\n words ' title='t'><img src=b.png width='50%'>"
        "<img src=pixel.gif width=1 height=1><img alt='no source'><img src=''><img src=h.png hidden>"
        "<img src='DATA:image/png;base64,AA'>"
    ).images
    assert images == (
        ImageSpan("a.png", alt="two words", title="t", width=640, height=480),
        ImageSpan("b.png"),
        ImageSpan("DATA:image/png;base64,AA", is_data_uri=True),
    )


def test_captions_go_to_their_images_and_images_in_captions_stay() -> None:
    gallery = page(
        "<figure><img src=1><img src=2><figcaption>Both, see <img src=icon></figcaption></figure>"
        "<div class='row'><img src=3><p class='caption'>Third</p>"
        "<img src=4><p class='caption'>Fourth</p></div>"
        "<figure><blockquote>Q</blockquote><figcaption>Who said it</figcaption></figure>"
        f"<figure>{'<img src=many>' * 20}<figcaption>A gallery</figcaption></figure>"
    )
    captions = {image.src: image.caption for image in gallery.images}
    assert captions == {
        "1": "Both, see",
        "2": "Both, see",
        "icon": "",
        "3": "Third",
        "4": "Fourth",
        "many": "",
    }
    # Without an image to take them, captions are text.
    assert gallery.text == "Q\n\nWho said it\n\nA gallery"


@pytest.mark.parametrize(
    ("base", "src", "resolved"),
    [
        ("img/", "a.png", "img/a.png"),
        ("../x/page.html", "a.png", "../x/a.png"),
        ("https://site.example/d/", "a.png", "https://site.example/d/a.png"),
        ("//cdn.example/d/", "a.png", "//cdn.example/d/a.png"),
        ("/d/", "a.png", "/d/a.png"),
        ("img/", "https://o.example/a.png", "https://o.example/a.png"),
        ("img/", "data:image/png;base64,AA", "data:image/png;base64,AA"),
        ("http://[broken/", "a.png", "a.png"),
        ("x/" * 5000, "a.png", "a.png"),
    ],
)
def test_base_href_is_respected(base: str, src: str, resolved: str) -> None:
    assert page(f"<img src='{src}'>", f"<base href='{base}'>").images[0].src == resolved


@pytest.mark.parametrize(
    ("src", "path"),
    [
        ("a.png", "en/sub/a.png"),
        ("../images/a.png", "en/images/a.png"),
        ("../../a.png", "a.png"),
        ("./x/.././a.png?v=2#top", "en/sub/a.png"),
        ("a%20b%C3%A9.png", "en/sub/a bé.png"),
        ("images\\a.png", "en/sub/images/a.png"),
        (" a\n.png ", "en/sub/a.png"),
        ("../../../a.png", None),
        ("..%2F..%2f..%2Fetc/passwd", None),
        ("..\\..\\..\\a.png", None),
        ("%2e%2e/%2e%2e/%2e%2e/a.png", None),
        ("..%5C..%5C..%5Ca.png", None),
        ("/etc/passwd", None),
        ("%2Fetc%2Fpasswd", None),
        ("\\\\host\\share", None),
        ("//host/a.png", None),
        ("file:///etc/passwd", None),
        ("FILE:a.png", None),
        ("C:\\a.png", None),
        ("c%3A/a.png", None),
        ("C|/a.png", None),
        ("https://x.example/a.png", None),
        ("data:image/png;base64,AA", None),
        ("javascript:alert(1)", None),
        ("a%00.png", None),
        ("a%ff.png", None),
        ("", None),
        ("#top", None),
        ("?q", None),
        (".", None),
        ("sub/", None),
        ("sub/..", None),
        ("../..", None),
    ],
)
def test_local_path(src: str, path: str | None) -> None:
    assert local_path("en/sub/page.html", src) == path


def test_local_path_of_a_page_that_is_itself_outside() -> None:
    assert local_path("/abs/page.html", "a.png") is None
    assert local_path("../page.html", "a.png") is None
    assert local_path("page.html", "a.png") == "a.png"


@given(st.text(alphabet="./\\%2eEfF5cC:|?#a \x00~", max_size=30))
def test_local_path_never_leaves_the_root(src: str) -> None:
    path = local_path("a/b/p.html", src)
    assert path is None or (path[:1] != "/" and ".." not in path.split("/") and "\0" not in path)


def test_facts() -> None:
    found = page(
        "<p>x</p>",
        "<title> A\n title </title><meta name='DCTERMS.License' content='https://l.example/1'>"
        "<meta name='dc.rights' content='(c) me'><link rel=canonical href='https://c.example/p'>"
        "<meta name=robots content='NoAI, follow'><meta name=googlebot content='noimageai'>"
        "<meta property='dc.language' content='fr'>",
    )
    assert (found.title, found.lang) == ("A title", "fr")
    assert found.licence == "https://l.example/1"
    assert found.canonical_url == "https://c.example/p"
    assert found.robots == ("follow", "noai", "noimageai")
    assert found.opt_out


@pytest.mark.parametrize(
    ("head", "opt_out"),
    [
        ("<meta name=robots content='index,follow'>", False),
        ("<meta name=robots content=noindex>", True),
        ("<meta name=robots content='none'>", True),
        ("<meta name=ROBOTS content='max-image-preview:large, NOIMAGEAI'>", True),
        ("<meta name=tdm-reservation content=1>", True),
        ("<meta name=tdm-reservation content=0>", False),
        ("<meta name=description content=noai>", False),
    ],
)
def test_opt_out(head: str, opt_out: bool) -> None:
    assert page("x", head).opt_out is opt_out


def test_several_licences_are_none() -> None:
    both = "<a rel=license href=https://l.example/1>1</a><a rel=license href=https://l.example/{}>2</a>"
    assert page(both.format(2)).licence is None
    assert page(both.format(1)).licence == "https://l.example/1"
    assert page("x").licence is None
    assert page("<svg><title>drawn</title></svg>x").title is None
    assert page("x").canonical_url is None
    assert page("x", "<link rel=canonical href='javascript:x'>").canonical_url is None


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


WORDS = st.text(alphabet="abcdefgé中", min_size=1, max_size=6)
BLOCK = st.one_of(
    st.tuples(
        st.sampled_from(["p", "div", "h2", "li", "td", "span", "b", "blockquote", "dd", "section", "pre"]),
        WORDS,
    ),
    st.tuples(st.just("img"), st.just("")),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(BLOCK, min_size=1, max_size=25))
def test_order_of_words_and_images_is_preserved(blocks: list[tuple[str, str]]) -> None:
    markup, wanted = "", []
    for number, (tag, word) in enumerate(blocks):
        if tag == "img":
            markup += f" <img src='i{number}.png'> "
            wanted.append(f"i{number}.png")
        else:
            markup += f" <{tag}>{word}{number} {word}</{tag}> "
            wanted += [f"{word}{number}", word]
    found: list[str] = []
    for span in page(markup).spans:
        found += [span.src] if isinstance(span, ImageSpan) else span.body.replace("|", " ").split()
    assert [word for word in found if word != "-"] == wanted


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
