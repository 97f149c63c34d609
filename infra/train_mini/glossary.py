"""What words mean: nouns of WordNet 3.0 for things that can be drawn, with glosses and wider terms.

They teach the text tower words that no picture was named by: "tapir" comes to lie near "odd-toed ungulate,
mammal", of which there are pictures. Samples have no image; see `train._glossary`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import fetch
import numpy as np
from scenes import KEYS, Block, tokenised

PLACE = "usr/share/wordnet"
# WordNet's files of nouns: animal 5, artifact 6, body 8, food 13, object 17, person 18, phenomenon 19,
# plant 20, shape 25, substance 27
DRAWN = frozenset({5, 6, 8, 13, 17, 18, 19, 20, 25, 27})
KNOWN = frozenset({5, 6, 8, 13, 20})  # learned from these even where WordNet's tagged texts have none
THINGS = frozenset({5, 6, 8, 20})  # preferred where a word has many senses
TOO_WIDE = {
    *("entity", "physical entity", "object", "physical object", "whole", "artifact", "thing", "matter"),
    *("abstraction", "living thing", "organism", "causal agent", "unit"),
}
SENSES, GLOSS = 3, 12  # of a word, looked at; words of a gloss
LEMMAS, SAID = 3, 4  # texts of a noun: what it is called, what is said of it
_SMALL = re.compile(r"[a-z]+( [a-z]+)?")


class Noun(NamedTuple):
    """A synset."""

    lemmas: tuple[str, ...]
    gloss: str
    parent: int  # its first hypernym; 0: none
    file: int


class Glossary:
    """WordNet's nouns. Synsets are numbered by their place in its file."""

    def __init__(self, root: Path) -> None:
        self.nouns: dict[int, Noun] = {}
        for line in _lines(root / PLACE / "data.noun"):
            head, _, gloss = line.partition(" | ")
            parts = head.split()
            count = int(parts[3], 16)
            lemmas = tuple(parts[4 + 2 * k].replace("_", " ") for k in range(count))
            rest = parts[4 + 2 * count :]
            parents = [int(rest[k + 1]) for k in range(1, len(rest) - 1) if rest[k] in ("@", "@i")]
            noun = Noun(lemmas, gloss.split(";")[0].strip(), (parents or [0])[0], int(parts[1]))
            self.nouns[int(parts[0])] = noun
        self.senses: dict[str, list[int]] = {}  # of a lemma, most used first
        self.tagged: set[int] = set()  # senses met in WordNet's tagged texts
        for line in _lines(root / PLACE / "index.noun"):
            parts = line.split()
            count = int(parts[2])
            senses = [int(one) for one in parts[-count:]]
            self.senses[parts[0].replace("_", " ")] = senses
            self.tagged.update(senses[: int(parts[-count - 1])])

    def chain(self, number: int) -> list[str]:
        """Wider terms, nearest first, up to what says nothing."""
        found: list[str] = []
        parent = self.nouns[number].parent
        while parent and (name := self.nouns[parent].lemmas[0]) not in TOO_WIDE:
            found.append(name)
            parent = self.nouns[parent].parent
        return found

    def wider(self, name: str) -> list[str]:
        """Up to four wider terms of a name, or of as many of its last words as WordNet knows to be drawn."""
        words = name.lower().split()
        for at in range(len(words)):
            whole = " ".join(words[at:])
            for form in (whole, whole.removesuffix("s")):
                senses = self.senses.get(form, [])[:SENSES]
                for files in (THINGS, DRAWN):
                    for number in senses:
                        if self.nouns[number].file in files:
                            return self.chain(number)[:4]
        return []

    @cached_property
    def chosen(self) -> tuple[int, ...]:
        """Synsets to learn from: drawn, with a name of one or two words in small letters, and either met in
        tagged texts or the first meaning of a single word."""
        return tuple(number for number, noun in sorted(self.nouns.items()) if self._is_chosen(number, noun))

    def _is_chosen(self, number: int, noun: Noun) -> bool:
        if noun.file not in DRAWN or not any(map(_SMALL.fullmatch, noun.lemmas)) or not self.chain(number):
            return False
        first = (one for one in noun.lemmas if " " not in one and self.senses.get(one, [0])[0] == number)
        return number in self.tagged or (noun.file in KNOWN and any(first))

    def texts(self, number: int) -> list[str]:
        """`LEMMAS` names and `SAID` descriptions."""
        noun, above = self.nouns[number], self.chain(number)
        lemmas = [one for one in noun.lemmas if _SMALL.fullmatch(one)][:LEMMAS]
        gloss = " ".join(noun.gloss.replace(",", "").split()[:GLOSS])
        said = [gloss, ", ".join(above[:5]), ", ".join([*lemmas[1:], *above[:3]]), f"{gloss} {above[0]}"]
        return [*(lemmas * LEMMAS)[:LEMMAS], *said]


def _lines(path: Path) -> Sequence[str]:
    """Without the licence, which is indented."""
    return [line for line in path.read_text("latin-1").splitlines() if not line.startswith(" ")]


@lru_cache(maxsize=1)
def read(cache: Path) -> Glossary:
    """The one that `fetch` brought."""
    return Glossary(fetch.folder(cache, fetch.WORDNET))


def block(cache: Path, span: tuple[int, int]) -> Block:
    """Nouns from `start` up to `stop`, without pictures; who shares a key has the same wider term."""
    glossary = read(cache)
    chosen = glossary.chosen[slice(*span)]
    keys = np.full((len(chosen), KEYS), -1, dtype=np.int64)
    keys[:, 0] = [glossary.nouns[number].parent for number in chosen]
    lengths, tokens = tokenised([text for number in chosen for text in glossary.texts(number)])
    shape = (len(chosen), LEMMAS + SAID)
    images = np.zeros((len(chosen), 1, 1, 3), np.uint8)
    alike, cells = -1 - np.arange(*span), np.zeros((len(chosen), 0), np.uint8)
    return Block(images, keys, alike, cells, np.zeros(shape, np.uint8), lengths.reshape(shape), tokens)


def maker(cache: Path) -> Any:
    """`block` as corpus.write takes it."""
    return partial(block, cache)
