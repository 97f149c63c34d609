"""Icons and emoji of free sets (`fetch.NPM`): 27,000 pictures with 14,000 different names.

A set is SVG bodies by name. Names of emoji are looked up in the annotations of Unicode's CLDR, which have
names and keywords in each of the model's languages, and Italian, in which much clip art has its title. Others
have their name, the set's category and WordNet's wider terms. Of variants (skin tones, outlines) one is
enough.
"""

from __future__ import annotations

import json
import re
import unicodedata
import zlib
from collections import defaultdict
from collections.abc import Iterator
from functools import cache, lru_cache, partial
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import fetch
import glossary
import numpy as np
import numpy.typing as npt
from PIL import Image
from scenes import KEYS, NEGATIVES, Block, tokenised

from stages.common.encoder_mini import SIZE

EMOJI = ("noto", "twemoji", "fluent-emoji", "fluent-emoji-flat", "emojione", "fxemoji", "streamline-emojis")
COLOURED = ("icon-park", "flat-color-icons", "streamline-ultimate-color", "streamline-freehand-color")
PLAIN = ("game-icons", "mdi", "tabler", "ph", "healthicons", "fluent-emoji-high-contrast")
# Where one first word has many icons ("account-box", "account-cash", ...): as many of the shortest names.
MOST = {
    "mdi": 5,
    "tabler": 5,
    "healthicons": 5,
    "streamline-ultimate-color": 5,
    "streamline-freehand-color": 5,
    "ph": 8,
}
LANGUAGES = ("de", "fr", "es", "zh", "ja", "it")
ENGLISH = 6
TEXTS = ENGLISH + len(LANGUAGES)  # captions of a picture
KEYWORDS = 8
ANNOTATIONS = (
    "cldr-annotations-full/package/annotations",
    "cldr-annotations-derived-full/package/annotationsDerived",
)

Names: TypeAlias = dict[str, tuple[str, list[str]]]  # by language: name, keywords

_TONE = re.compile(r"skin-tone|-tone\d|-(light|medium|dark)$")
_PEOPLE = re.compile(r"(man|woman|men|women|person|people|family|couple|kiss)-")
_WEIGHT = ("-bold", "-duotone", "-light", "-thin")
_VARIANT = re.compile(
    r"(-(outline|negative|24px|filled|off|bold|duotone|light|thin|x\d+\w*))+$"
    r"|^(brand|letter|square-letter|circle-letter|number|square-number|circle-number"
    r"|hexagon-\w+-\d|alpha|numeric|square-rounded|simple)-"
)


class Picture(NamedTuple):
    """One of a set."""

    kind: str  # the set
    name: str
    captions: tuple[str, ...]  # TEXTS


@lru_cache(maxsize=1)
def pictures(cache: Path) -> tuple[Picture, ...]:
    """All that are learned from, in a fixed order."""
    words, emoji = glossary.read(cache), _annotations(cache)
    found = []
    for kind in (*EMOJI, *COLOURED, *PLAIN):
        icons, categories = _set(cache, kind)
        for name in _chosen(kind, sorted(icons["icons"], key=lambda one: (one.count("-"), one))):
            about = emoji.get(_slug(_plain(name)), {}) if _is_emoji(kind) else {}
            found.append(Picture(kind, name, _captions(name, about, categories.get(name, ""), words)))
    return tuple(found)


def block(cache: Path, span: tuple[int, int]) -> Block:
    """Pictures from `start` up to `stop`; who shares a key is called the same, or says the same of itself."""
    chosen = pictures(cache)[slice(*span)]
    keys = np.full((len(chosen), KEYS), -1, dtype=np.int64)
    images, texts = [], []
    for row, (kind, name, captions) in zip(keys, chosen, strict=True):
        images.append(_drawn(_set(cache, kind)[0], name))
        texts += [*captions, *[""] * NEGATIVES]
        names = sorted({captions[k].casefold() for k in (0, 4, 5)})
        row[: len(names)] = [zlib.crc32(one.encode()) for one in names]
    lengths, tokens = tokenised(texts)
    shape = (len(chosen), TEXTS + NEGATIVES)
    alike, cells = -1 - np.arange(*span), np.zeros((len(chosen), 0), np.uint8)
    return Block(
        np.stack(images), keys, alike, cells, np.zeros(shape, np.uint8), lengths.reshape(shape), tokens
    )


def maker(cache: Path) -> Any:
    """`block` as corpus.write takes it."""
    return partial(block, cache)


def _is_emoji(kind: str) -> bool:
    return kind in EMOJI or kind == "fluent-emoji-high-contrast"


def _chosen(kind: str, names: list[str]) -> Iterator[str]:
    """Without variants; of people, who come in each trade twice or thrice, a quarter."""
    firsts: dict[str, int] = defaultdict(int)
    for name in names:
        if _is_emoji(kind):
            if _TONE.search(name) or (_PEOPLE.match(name) and zlib.crc32(name.encode()) % 4):
                continue
        elif name.endswith(_WEIGHT) if kind == "ph" else _VARIANT.search(name):
            continue
        first = name.split("-")[0]
        firsts[first] += 1
        if firsts[first] <= MOST.get(kind, len(names)):
            yield name


def _captions(name: str, about: Names, category: str, words: glossary.Glossary) -> tuple[str, ...]:
    """Six in English, then one in each other language, or in English again where there is none."""
    plain = _plain(name).replace("-", " ") or name
    title, keywords = about.get("en", (plain, []))
    title = title.replace(":", "")
    wide = words.wider(plain)
    more = [word for word in keywords if word != title] or wide
    found = [
        title,
        title,
        ", ".join([title, *more]) if more else f"{title} icon",
        f"{category}: {title}" if category else ", ".join([*more[:1], title]),
        " ".join([*more, title]),
        ", ".join([*wide, *category.lower().split(", ")]).strip(", ") or title,
    ]
    for k, language in enumerate(LANGUAGES):
        own, others = about.get(language, ("", []))
        own = own.replace(":", "")
        if own and (zlib.crc32(name.encode()) + k) % 2 == 0:
            own = ", ".join([own, *[word for word in others if word != own][:4]])
        found.append(own or found[k])
    return tuple(found)


def _plain(name: str) -> str:
    """Without numbers that tell variants apart."""
    name = re.sub(r"^flag-for-(flag-)?", "flag-", name).removesuffix("-fill")
    return re.sub(r"-?\d+$", "", name) or name


def _slug(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "", plain)


def _annotations(cache: Path) -> dict[str, Names]:
    """By the slug of the English name."""
    told: dict[str, dict[str, Any]] = {language: {} for language in ("en", *LANGUAGES)}
    for language, about in told.items():
        for place in ANNOTATIONS:
            path = fetch.folder(cache, place.split("/", 1)[0]) / place.split("/", 1)[1] / language
            read = json.loads((path / "annotations.json").read_text("utf-8"))
            about.update(next(iter(read.values()))["annotations"])
    found: dict[str, Names] = defaultdict(dict)
    for sign, about in told["en"].items():
        if "tts" in about:
            for language, signs in told.items():
                own = signs.get(sign, {})
                if "tts" in own:
                    found[_slug(about["tts"][0])][language] = (
                        own["tts"][0],
                        own.get("default", [])[:KEYWORDS],
                    )
    return dict(found)


@cache
def _set(cache: Path, kind: str) -> tuple[dict[str, Any], dict[str, str]]:
    """The icons, and the first category of each name."""
    folder = fetch.folder(cache, kind) / "package"
    icons = json.loads((folder / "icons.json").read_text("utf-8"))
    categories: dict[str, str] = {}
    if (told := folder / "metadata.json").exists():
        for category, names in json.loads(told.read_text("utf-8")).get("categories", {}).items():
            spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", category).replace("/", ",")
            for name in names:
                categories.setdefault(name, spaced)
    return icons, categories


def _drawn(icons: dict[str, Any], name: str) -> npt.NDArray[np.uint8]:
    """(SIZE, SIZE, 3), black where a set has no colour, on white; white where it cannot be drawn."""
    import resvg_py

    icon = icons["icons"][name]
    wide, high = icon.get("width", icons.get("width", 16)), icon.get("height", icons.get("height", 16))
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" color="#000"'
        f' width="{2 * SIZE}" height="{2 * SIZE}" preserveAspectRatio="xMidYMid"'
        f' viewBox="{icon.get("left", 0)} {icon.get("top", 0)} {wide} {high}">{icon["body"]}</svg>'
    )
    try:
        data = bytes(resvg_py.svg_to_bytes(svg_string=svg))
    except ValueError:
        return np.full((SIZE, SIZE, 3), 255, np.uint8)
    picture = Image.open(BytesIO(data)).convert("RGBA")
    page = Image.new("RGBA", picture.size, "white")
    page.alpha_composite(picture)
    return np.asarray(page.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC))
