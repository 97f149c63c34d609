"""From a document's blocks to HTML, with the clutter that real pages have around their article."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from html import escape
from typing import Any

from curate.demo.articles import CHROME

Facts = dict[str, Any]

# A red dot: what inline data: URIs on pages mostly are, small decoration.
DATA_URI = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4//8/w38GIAXDIBKE0DHxgljNBAAO"
    "9TXL0Y4OHwAAAABJRU5ErkJggg=="
)


@dataclass(frozen=True)
class Picture:
    """One <img>: its address, alt text (None: no attribute), caption under it, and its row of the truth."""

    src: str
    alt: str | None
    facts: Facts
    figcaption: str = ""


@dataclass(frozen=True)
class Block:
    """One piece of the article: "h2" or "p" with text, or "img" with a picture."""

    tag: str
    text: str = ""
    picture: Picture | None = None


@dataclass
class Page:
    """A finished page: its HTML, the truth of every image in reading order, the words around the article."""

    html: str
    images: list[Facts] = field(default_factory=list)
    chrome: list[str] = field(default_factory=list)


class _Writer:
    def __init__(self, language: str, rng: random.Random) -> None:
        self.language, self.rng = language, rng
        self.lines: list[str] = []
        self.page = Page("")

    def add(self, line: str) -> None:
        self.lines.append(line)

    def words(self, text: str) -> str:
        """Escaped text that is noted as clutter."""
        self.page.chrome.append(text)
        return escape(text)

    def image(self, picture: Picture, extra: str = "") -> str:
        """An <img> tag, noted in reading order."""
        self.page.images.append({**picture.facts, "src": picture.src[:60], "alt": picture.alt})
        alt = "" if picture.alt is None else f' alt="{escape(picture.alt)}"'
        return f'<img src="{escape(picture.src)}"{alt}{extra}>'

    def decoration(
        self, src: str, role: str, defects: list[str], alt: str | None = "", extra: str = ""
    ) -> str:
        facts: Facts = {
            "role": role,
            "defects": defects,
            "objects": [],
            "relations": [],
            "caption_true": None,
        }
        return self.image(Picture(src, alt, facts), extra)


def render(
    title: str,
    language: str,
    blocks: list[Block],
    rng: random.Random,
    charset: str | None = "utf-8",
    bare: bool = False,
) -> Page:
    """The page. `charset` is what it declares (None: nothing); `bare` leaves out all decoration images."""
    out = _Writer(language, rng)
    shape = rng.choice(("article", "article", "div", "old"))
    out.add(
        "<!DOCTYPE html>"
        if shape != "old"
        else '<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01 Transitional//EN">'
    )
    out.add(f'<html lang="{language}">')
    out.add("<head>")
    if charset is not None:
        out.add(
            f'<meta charset="{charset}">'
            if shape != "old"
            else f'<meta http-equiv="Content-Type" content="text/html; charset={charset}">'
        )
    out.add(f"<title>{escape(title)}</title>")
    out.add("<style>body { font-family: serif; margin: 2em } .nav li { display: inline }</style>")
    out.add(f'<script>var page = {{"id": {rng.getrandbits(20)}, "tags": ["<img>", "a < b"]}};</script>')
    out.add("</head>\n<body>")
    _header(out, bare)
    opening, closing = {
        "article": ("<main><article>", "</article></main>"),
        "div": ('<div id="wrapper"><div class="content">', "</div></div>"),
        "old": ('<table width="100%"><tr><td valign="top">', "</td></tr></table>"),
    }[shape]
    out.add(opening)
    out.add(f"<h1>{escape(title)}</h1>")
    for block in blocks:
        _block(out, block, shape)
    out.add(closing)
    _sidebar(out, bare)
    _footer(out, bare)
    out.add("</body>\n</html>")
    out.page.html = "\n".join(out.lines) + "\n"
    return out.page


def _block(out: _Writer, block: Block, shape: str) -> None:
    if block.picture is None:
        closing = "" if shape == "old" and block.tag == "p" else f"</{block.tag}>"
        out.add(f"<{block.tag}>{escape(block.text)}{closing}")
        return
    size = ' width="400"' if out.rng.random() < 0.2 else ""
    tag = out.image(block.picture, size)
    under = block.picture.figcaption
    if shape == "old":
        out.add(f"<center>{tag}<br><i>{escape(under)}</i></center>" if under else f"<center>{tag}</center>")
    elif under:
        out.add(f"<figure>{tag}<figcaption>{escape(under)}</figcaption></figure>")
    else:
        out.add(f"<p>{tag}</p>" if out.rng.random() < 0.5 else tag)


def _header(out: _Writer, bare: bool) -> None:
    words = CHROME[out.language]
    out.add("<header>")
    if not bare and out.rng.random() < 0.9:
        out.add(f'<a href="/">{out.decoration("img/logo.png", "logo", ["boilerplate_image"], "Logo")}</a>')
    links = "".join(f'<li><a href="/{k}">{out.words(text)}</a></li>' for k, text in enumerate(words["nav"]))
    out.add(f'<nav class="nav"><ul>{links}</ul></nav>')
    if not bare and out.rng.random() < 0.4:
        out.add(out.decoration("img/banner.jpg", "banner", ["boilerplate_image"], None))
    out.add("</header>")


def _sidebar(out: _Writer, bare: bool) -> None:
    words = CHROME[out.language]
    out.add('<aside class="sidebar">')
    out.add(f"<h3>{out.words(out.rng.choice(words['related']))}</h3>")
    numbers = out.rng.sample(range(400), 4)
    links = "".join(f'<li><a href="page-{k:03d}.html">{out.words(f"» {k}")}</a></li>' for k in numbers)
    out.add(f'<ul class="related">{links}</ul>')
    out.add(f"<p>{out.words(out.rng.choice(words['aside']))}</p>")
    if not bare and out.rng.random() < 0.35:
        out.add(out.decoration("img/ad.jpg", "ad", ["boilerplate_image"], "ad"))
    out.add("</aside>")


def _footer(out: _Writer, bare: bool) -> None:
    words = CHROME[out.language]
    out.add(f"<footer><p>© 2024 – {out.words(words['footer'][0])}</p>")
    out.add(f"<p>{' | '.join(out.words(text) for text in words['footer'][1:])}</p>")
    if bare:
        out.add("</footer>")
        return
    if out.rng.random() < 0.5:
        for name in ("share", "mail"):
            out.add(out.decoration(f"img/icon-{name}.png", "icon", ["boilerplate_image"], name))
    if out.rng.random() < 0.25:
        out.add(out.decoration(DATA_URI, "data_uri", []))
    if out.rng.random() < 0.5:
        local = out.rng.random() < 0.5
        src = "img/pixel.gif" if local else f"https://stats.example/p.gif?u={out.rng.getrandbits(32)}"
        out.add(out.decoration(src, "tracker", ["tracker"], None, ' width="1" height="1"'))
    out.add("</footer>")
