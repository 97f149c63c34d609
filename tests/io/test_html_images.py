"""Images of a page: the best candidate, its caption, and the file it names, which never lies outside."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from web_pages import page, shape

from curate.io.html_extract import (
    ImageSpan,
    local_path,
)


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
