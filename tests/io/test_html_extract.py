"""What of a page is its content, in reading order: boilerplate goes, blocks stay readable."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from web_pages import page, shape

from curate.io.html_extract import (
    ImageSpan,
    TextSpan,
    extract,
)

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
