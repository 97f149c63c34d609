"""Texts to learn and to test caption quality on: captions, and what stands in their place on the web."""

from __future__ import annotations

import random
import string
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from curate.demo import articles, damage
from curate.demo.classes import CLASSES
from curate.demo.samples import Pool, clean

# Languages of the demo's captions, and their shares.
SHARES = {"en": 45, "zh": 23, "de": 8, "fr": 8, "es": 8, "ja": 8}
_SPACELESS = ("zh", "ja")
_DATA: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parent / "caption_texts.yaml").read_text(encoding="utf-8")
)
STAMPS = "tuxpaint-stamps-default/usr/share/tuxpaint/stamps"
CLIPARTS = "openclipart-svg/usr/share/openclipart/svg"


class Picture(NamedTuple):
    """A picture's name and key words in one language, out of CLDR."""

    name: str
    words: tuple[str, ...]


def pictures(common: Path) -> dict[str, list[Picture]]:
    """CLDR's names of pictures in the languages of `SHARES`."""
    found = {}
    for language in SHARES:
        names: dict[str, str] = {}
        words: dict[str, tuple[str, ...]] = {}
        for element in ET.parse(common / "annotations" / f"{language}.xml").getroot().iter("annotation"):  # noqa: S314
            key, text = str(element.get("cp")), element.text or ""
            if element.get("type") == "tts":
                names[key] = text
            else:
                words[key] = tuple(word.strip() for word in text.split("|"))
        found[language] = [
            Picture(names[k], words[k]) for k in sorted(names) if len(names[k]) > 1 and words.get(k)
        ]
    return found


# -- captions --


def _caption(language: str, names: list[Picture], rng: random.Random) -> str:
    """Key words among the names: else they would be seen in junk only."""
    a, b = (rng.choice((rng.choice(names).name, rng.choice(rng.choice(names).words))) for _ in "ab")
    text = str(rng.choice(_DATA["frames"][language])).format(
        a=a, b=b, n=rng.randint(1, 10 ** rng.randint(1, 4))
    )
    text = text.replace("A a", "An a").replace("A e", "An e").replace(" a o", " an o")
    if rng.random() < 0.5:
        text = text[:1].upper() + text[1:]
    return text


def _good(made: dict[str, list[Picture]], index: int) -> str:
    rng = random.Random(f"good {index}")  # noqa: S311 - no secret
    draw = rng.random()
    if draw < 0.4:
        text = clean(Pool(20_000 + index // 4096), index % 4096).caption
    else:
        (language,) = rng.choices(list(SHARES), list(SHARES.values()))
        if draw < 0.5 and language in dict(articles.ARTICLE_LANGUAGES):
            text = articles.sentence(language, tuple(rng.sample(sorted(CLASSES), 2)), rng)
        else:
            text = _caption(language, made[language], rng)
    change = rng.random()
    if change < 0.2:
        text = text.lower()
    elif change < 0.35:
        text = text.rstrip(".。")
    elif change < 0.4:
        text = text.title()
    return text


# -- junk --


class _Junk:
    """One maker a kind; `names` are the pictures of the language."""

    def __init__(self, language: str, names: list[Picture], rng: random.Random) -> None:
        self.language, self.names, self.rng = language, names, rng

    def word(self) -> str:
        return self.rng.choice(self.rng.choice(self.names).words)

    def few(self, low: int, high: int) -> list[str]:
        return [self.word() for _ in range(self.rng.randint(low, high))]

    def number(self) -> int:
        return self.rng.randint(1, 10 ** self.rng.randint(2, 6))

    def code(self) -> str:
        pool = self.rng.choice((string.hexdigits[:16], string.ascii_letters + string.digits, string.digits))
        return "".join(self.rng.choice(pool) for _ in range(self.rng.randint(8, 32)))

    def file_name(self) -> str:
        if self.language == "zh" and self.rng.random() < 0.5:
            start = self.rng.choice(("图片", "微信图片_", "QQ截图", "未命名-", "截屏", "照片"))
            return f"{start}{self.number()}{self.rng.choice(_DATA['endings'])}"
        stem = self.rng.choice((self.rng.choice(_DATA["cameras"]) + str(self.number()), self.code()))
        return f"{stem}{self.rng.choice(_DATA['endings'])}"

    def slug(self) -> str:
        words = " ".join(self.few(2, 5)).split()
        joint = self.rng.choice(("_", "-", "_", "+", "."))
        end = self.rng.choice((*_DATA["endings"][:5], *_DATA["slug_ends"], *_DATA["slug_ends"]))
        return f"{joint.join(words).lower()}{end}"

    def address(self) -> str:
        host = "".join(self.rng.choice(string.ascii_lowercase) for _ in range(self.rng.randint(4, 11)))
        start = self.rng.choice(("https://", "http://www.", "www.", ""))
        top = self.rng.choice(("com", "net", "org", "cn", "de", "co.uk", "fr"))
        tail = self.rng.choice(("", f"/{self.slug()}", f"/?p={self.number()}", f"/images/{self.code()}.jpg"))
        return f"{start}{host}.{top}{tail}"

    def furniture(self) -> str:
        joint = self.rng.choice((" | ", " ", " » ", " / "))
        return joint.join(
            self.rng.choice(_DATA["furniture"][self.language]) for _ in range(self.rng.choice((1, 1, 1, 3)))
        )

    def tags(self) -> str:
        joint = self.rng.choice(
            (", ", ",", " | ", "; ", " #", " ", "、" if self.language in _SPACELESS else ", ")
        )
        words = self.few(5, 14)
        return ("#" if joint == " #" else "") + joint.join(words)

    def offer(self) -> str:
        shouts = self.rng.sample(_DATA["shouts"][self.language], self.rng.randint(1, 3))
        parts = [
            self.rng.choice(self.names).name,
            *shouts,
            *([self.word()] if self.rng.random() < 0.4 else []),
        ]
        self.rng.shuffle(parts)
        gap = self.rng.choice((" ", " - ", " | ", "" if self.language in _SPACELESS else " ", ", "))
        return gap.join(parts).upper() if self.rng.random() < 0.15 else gap.join(parts)

    def goods(self) -> str:
        size = self.rng.choice(("XL", "42 EU", "12x18 cm", "500ml", "2 pcs", "Size M", "10pcs/lot", "64GB"))
        price = self.rng.choice(
            (f"${self.number() / 100:.2f}", f"{self.number()} €", f"￥{self.number()}", "")
        )
        return f"{self.word()} {self.code()[:8].upper()} {size} {price} SKU:{self.number()}".strip()

    def symbols(self) -> str:
        pool = self.rng.choice(("*#@!~=_|<>%$^&+-?/\\{}[]", "★☆♥♪→←▲▼■□●", "....----____", "0123456789-/:."))
        return "".join(self.rng.choice(pool) for _ in range(self.rng.randint(3, 40)))

    def repeated(self) -> str:
        gap = "" if self.language in _SPACELESS else " "
        return gap.join([self.word()] * self.rng.randint(4, 16))

    def markup(self) -> str:
        frame = str(self.rng.choice(_DATA["markup"]))
        return frame.format(u=self.address(), w=self.word(), n=self.number())

    def mojibake(self) -> str:
        text = _caption(self.language, self.names, self.rng)
        if text.isascii():
            return "".join(self.rng.choice("ÃÂ¤¼©â€™œ�") if c in "aeiou" else c for c in text)
        return text.encode().decode(self.rng.choice(("latin-1", "cp437")))

    def gibberish(self) -> str:
        letters = string.ascii_lowercase + "aeiou"
        return " ".join(
            "".join(self.rng.choice(letters) for _ in range(self.rng.randint(3, 12)))
            for _ in range(self.rng.randint(1, 7))
        )

    def credit(self) -> str:
        year = self.rng.randint(1998, 2025)
        return self.rng.choice(
            (
                f"© {year} {self.word()} All rights reserved",
                f"Photo: {self.word()}/Archive {self.number()}",
                f"Posted on {self.rng.randint(1, 28)}/{self.rng.randint(1, 12)}/{year} by admin",
                f"{year}-{self.rng.randint(1, 12):02d}-{self.rng.randint(1, 28):02d}"
                f" 1{self.rng.randint(0, 9)}:32:07",
                f"Page {self.rng.randint(1, 40)} of {self.number()}",
                f"{self.rng.randint(600, 4000)} x {self.rng.randint(400, 3000)} px ({self.number()} KB)",
            )
        )


_KINDS: tuple[Callable[[_Junk], str], ...] = (
    _Junk.file_name, _Junk.slug, _Junk.slug, _Junk.address, _Junk.furniture, _Junk.tags, _Junk.tags,
    _Junk.offer, _Junk.offer, _Junk.goods, _Junk.symbols, _Junk.repeated, _Junk.markup, _Junk.mojibake,
    _Junk.gibberish, _Junk.credit,
)  # fmt: skip


def _bad(made: dict[str, list[Picture]], index: int) -> str:
    rng = random.Random(f"junk {index}")  # noqa: S311
    (language,) = rng.choices(list(SHARES), list(SHARES.values()))
    return rng.choice(_KINDS)(_Junk(language, made[language], rng))


def training(made: dict[str, list[Picture]], count: int) -> list[str]:
    """The training set: `__label__good` and `__label__junk`, `count` lines each."""
    lines = [f"__label__good {' '.join(_good(made, i).split())}" for i in range(count)]
    lines += [f"__label__junk {' '.join(_bad(made, i).split())}" for i in range(count)]
    random.Random(0).shuffle(lines)  # noqa: S311
    return lines


# -- what the model never saw --


def held_out_captions(count: int) -> list[tuple[str, str]]:
    """(language, true caption) of the demo's held-out classes."""
    pool = Pool(7, held_out=True)
    found = [clean(pool, i) for i in range(count)]
    return [(one.language, one.caption) for one in found]


def demo_junk(count: int) -> list[str]:
    """The junk that the demo plants."""
    return [damage.junk(random.Random(f"held out {i}"))[0] for i in range(count)]  # noqa: S311


def stamp_captions(cache: Path) -> dict[str, list[str]]:
    """Captions of Tux Paint's stamps in the languages of `SHARES`, each once."""
    found: dict[str, set[str]] = {language: set() for language in SHARES}
    codes = {language: language for language in SHARES} | {"zh_CN": "zh", "zh_TW": "zh"}
    for path in sorted((cache / STAMPS).rglob("*.txt")):
        first, *rest = path.read_text(encoding="utf-8").splitlines() or [""]
        found["en"].add(first.strip())
        for line in rest:
            name, _, text = line.partition(".utf8=")
            if name in codes and text.strip() != first.strip():
                found[codes[name]].add(text.strip())
    return {language: sorted(texts - {""}) for language, texts in found.items()}


def clipart_names(cache: Path) -> list[str]:
    """Names of Openclipart's files that read as such: `full_moon_dan_gerhards_01`, not `canada`."""
    names = {path.stem for path in (cache / CLIPARTS).rglob("*.svg")}
    return sorted(name for name in names if not name.isalpha())
