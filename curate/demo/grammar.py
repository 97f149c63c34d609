"""Noun phrases and relations in six languages, with articles, cases and agreement right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from curate.demo.classes import class_of
from curate.demo.lexicon import (
    CHINESE_COLOURS,
    FRENCH_COLOURS,
    GERMAN_COLOURS,
    JAPANESE_COLOURS,
    SPANISH_COLOURS,
    WORDS,
    Word,
)

RELATIONS = ("left of", "right of", "above", "below", "on", "inside", "bigger than", "smaller than")


@dataclass(frozen=True)
class Entity:
    """What a noun phrase speaks of: `count` objects of one class and colour; size "" is not worth a word."""

    cls: str
    colour: str
    size: str = ""
    count: int = 1


class Grammar(Protocol):
    """What a language must be able to say. `some` and `the` take a German case, ignored elsewhere."""

    def some(self, item: Entity, case: str = "nom") -> str: ...
    def the(self, item: Entity, case: str = "nom") -> str: ...
    def listed(self, phrases: list[str]) -> str: ...
    def phrase(self, a: Entity, relation: str, b: Entity, case: str = "nom") -> str: ...
    def sentence(self, a: Entity, relation: str, b: Entity) -> str: ...


def _joined(phrases: list[str], word: str) -> str:
    return phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} {word} {phrases[-1]}"


def capital(text: str) -> str:
    """The text with its first letter upper case, the rest as it is."""
    return text[:1].upper() + text[1:]


class English:
    """English."""

    _NUMBERS = ("", "", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    _WHERE: ClassVar = {"left of": "to the left of", "right of": "to the right of", "on": "on top of"}

    def some(self, item: Entity, case: str = "nom") -> str:
        words = [item.size] if item.size else []
        if item.count > 1:
            return " ".join([self._NUMBERS[item.count], *words, item.colour, WORDS["en"][item.cls].plural])
        words = [*words, item.colour, WORDS["en"][item.cls].noun]
        return " ".join(["an" if words[0][0] in "aeiou" else "a", *words])

    def the(self, item: Entity, case: str = "nom") -> str:
        return f"the {item.colour} {WORDS['en'][item.cls].noun}"

    def listed(self, phrases: list[str]) -> str:
        return _joined(phrases, "and")

    def phrase(self, a: Entity, relation: str, b: Entity, case: str = "nom") -> str:
        link = f"that is {relation}" if relation.endswith("than") else self._WHERE.get(relation, relation)
        return f"{self.some(a)} {link} {self.some(b)}"

    def sentence(self, a: Entity, relation: str, b: Entity) -> str:
        return f"{capital(self.the(a))} is {self._WHERE.get(relation, relation)} {self.the(b)}."


class German:
    """German: gender, case, and both adjective declensions."""

    _NUMBERS = ("", "", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun")
    _A: ClassVar = {
        "nom": {"m": "ein", "f": "eine", "n": "ein"},
        "acc": {"m": "einen", "f": "eine", "n": "ein"},
        "dat": {"m": "einem", "f": "einer", "n": "einem"},
    }
    _THE: ClassVar = {
        "nom": {"m": "der", "f": "die", "n": "das"},
        "acc": {"m": "den", "f": "die", "n": "das"},
        "dat": {"m": "dem", "f": "der", "n": "dem"},
    }
    _ENDING: ClassVar = {"nom": {"m": "er", "f": "e", "n": "es"}, "acc": {"m": "en", "f": "e", "n": "es"}}
    _SIZES: ClassVar = {"small": "klein", "large": "groß"}
    _WHERE: ClassVar = {
        "left of": "links von",
        "right of": "rechts von",
        "above": "über",
        "below": "unter",
        "on": "auf",
        "inside": "in",
    }

    def some(self, item: Entity, case: str = "nom") -> str:
        word = WORDS["de"][item.cls]
        stems = [self._SIZES[item.size]] if item.size else []
        stems.append(GERMAN_COLOURS[item.colour])
        if item.count > 1:
            return " ".join([self._NUMBERS[item.count], *(stem + "e" for stem in stems), word.plural])
        ending = "en" if case == "dat" else self._ENDING[case][word.gender]
        return " ".join([self._A[case][word.gender], *(stem + ending for stem in stems), word.noun])

    def the(self, item: Entity, case: str = "nom") -> str:
        word = WORDS["de"][item.cls]
        ending = "en" if case == "dat" or (case == "acc" and word.gender == "m") else "e"
        return f"{self._THE[case][word.gender]} {GERMAN_COLOURS[item.colour]}{ending} {word.noun}"

    def listed(self, phrases: list[str]) -> str:
        return _joined(phrases, "und")

    def phrase(self, a: Entity, relation: str, b: Entity, case: str = "nom") -> str:
        if relation.endswith("than"):
            article = {"m": "der", "f": "die", "n": "das"}[WORDS["de"][a.cls].gender]
            word = "größer" if relation.startswith("bigger") else "kleiner"
            return f"{self.some(a, case)}, {article} {word} als {self.some(b)} ist"
        return f"{self.some(a, case)} {self._WHERE[relation]} {self.some(b, 'dat')}"

    def sentence(self, a: Entity, relation: str, b: Entity) -> str:
        if relation.endswith("than"):
            word = "größer" if relation.startswith("bigger") else "kleiner"
            return f"{capital(self.the(a))} ist {word} als {self.the(b)}."
        place = f"{self._WHERE[relation]} {self.the(b, 'dat')}".replace("von dem ", "vom ")
        place = "im " + place[7:] if place.startswith("in dem ") else place
        return f"{capital(self.the(a))} befindet sich {place}."


class French:
    """French: agreement, elision and contraction."""

    _NUMBERS = ("", "", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf")
    _SIZES: ClassVar = {"small": {"m": "petit", "f": "petite"}, "large": {"m": "grand", "f": "grande"}}
    _WHERE: ClassVar = {
        "left of": "à gauche de",
        "right of": "à droite de",
        "above": "au-dessus de",
        "below": "au-dessous de",
        "on": "posé sur",
        "inside": "à l'intérieur de",
    }

    def some(self, item: Entity, case: str = "nom") -> str:
        word = WORDS["fr"][item.cls]
        feminine = word.gender == "f"
        if item.count > 1:
            size = [self._SIZES[item.size][word.gender] + "s"] if item.size else []
            colour = FRENCH_COLOURS[item.colour][3 if feminine else 2]
            return " ".join([self._NUMBERS[item.count], *size, word.plural, colour])
        size = [self._SIZES[item.size][word.gender]] if item.size else []
        return " ".join(
            ["une" if feminine else "un", *size, word.noun, FRENCH_COLOURS[item.colour][int(feminine)]]
        )

    def the(self, item: Entity, case: str = "nom") -> str:
        word = WORDS["fr"][item.cls]
        rest = f"{word.noun} {FRENCH_COLOURS[item.colour][int(word.gender == 'f')]}"
        if rest[0] in "aeiouhéè":  # every h of the lexicon is mute
            return f"l'{rest}"
        return f"{'la' if word.gender == 'f' else 'le'} {rest}"

    def listed(self, phrases: list[str]) -> str:
        return _joined(phrases, "et")

    @staticmethod
    def elided(text: str) -> str:
        """ "de un" and its like contracted."""
        for plain, short in ((" de un", " d'un"), (" de le ", " du "), ("que un", "qu'un")):
            text = text.replace(plain, short)
        return text

    def _compared(self, a: Entity, relation: str) -> str:
        key = "large" if relation.startswith("bigger") else "small"
        return f"plus {self._SIZES[key][WORDS['fr'][a.cls].gender]} que"

    def _place(self, a: Entity, relation: str) -> str:
        return self._WHERE[relation].replace("posé", "posée" if WORDS["fr"][a.cls].gender == "f" else "posé")

    def phrase(self, a: Entity, relation: str, b: Entity, case: str = "nom") -> str:
        link = self._compared(a, relation) if relation.endswith("than") else self._place(a, relation)
        return self.elided(f"{self.some(a)} {link} {self.some(b)}")

    def sentence(self, a: Entity, relation: str, b: Entity) -> str:
        if relation.endswith("than"):
            return capital(self.elided(f"{self.the(a)} est {self._compared(a, relation)} {self.the(b)}."))
        verb = "est" if relation == "on" else "se trouve"
        return capital(self.elided(f"{self.the(a)} {verb} {self._place(a, relation)} {self.the(b)}."))


class Spanish:
    """Spanish."""

    _NUMBERS = ("", "", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve")
    _SIZES: ClassVar = {"small": {"m": "pequeño", "f": "pequeña"}, "large": {"m": "grande", "f": "grande"}}
    _WHERE: ClassVar = {
        "left of": "a la izquierda de",
        "right of": "a la derecha de",
        "above": "por encima de",
        "below": "por debajo de",
        "on": "sobre",
        "inside": "dentro de",
        "bigger than": "más grande que",
        "smaller than": "más pequeñ@ que",
    }

    def some(self, item: Entity, case: str = "nom") -> str:
        word = WORDS["es"][item.cls]
        feminine = word.gender == "f"
        if item.count > 1:
            size = [self._SIZES[item.size][word.gender] + "s"] if item.size else []
            colour = SPANISH_COLOURS[item.colour][3 if feminine else 2]
            return " ".join([self._NUMBERS[item.count], word.plural, colour, *size])
        size = [self._SIZES[item.size][word.gender]] if item.size else []
        return " ".join(
            ["una" if feminine else "un", word.noun, SPANISH_COLOURS[item.colour][int(feminine)], *size]
        )

    def the(self, item: Entity, case: str = "nom") -> str:
        word = WORDS["es"][item.cls]
        feminine = word.gender == "f"
        return f"{'la' if feminine else 'el'} {word.noun} {SPANISH_COLOURS[item.colour][int(feminine)]}"

    def listed(self, phrases: list[str]) -> str:
        return _joined(phrases, "y")

    def _link(self, a: Entity, relation: str) -> str:
        return self._WHERE[relation].replace("@", "a" if WORDS["es"][a.cls].gender == "f" else "o")

    def phrase(self, a: Entity, relation: str, b: Entity, case: str = "nom") -> str:
        return f"{self.some(a)} {self._link(a, relation)} {self.some(b)}"

    def sentence(self, a: Entity, relation: str, b: Entity) -> str:
        verb = "es" if relation.endswith("than") else "está"
        text = f"{self.the(a)} {verb} {self._link(a, relation)} {self.the(b)}."
        return capital(text.replace(" de el ", " del "))


class Chinese:
    """Chinese: measure words, no inflection."""

    _NUMBERS = "〇一两三四五六七八九"
    _SIZES: ClassVar = {"small": "小", "large": "大"}
    _WHERE: ClassVar = {
        "left of": "左边",
        "right of": "右边",
        "above": "上方",
        "below": "下方",
        "on": "上面",
        "inside": "里面",
    }

    def some(self, item: Entity, case: str = "nom") -> str:
        word = WORDS["zh"][item.cls]
        number = self._NUMBERS[item.count]
        size = self._SIZES.get(item.size, "")
        return f"{number}{word.counter}{CHINESE_COLOURS[item.colour]}的{size}{word.noun}"

    def the(self, item: Entity, case: str = "nom") -> str:
        return f"{CHINESE_COLOURS[item.colour]}的{WORDS['zh'][item.cls].noun}"

    def listed(self, phrases: list[str]) -> str:
        return phrases[0] if len(phrases) == 1 else "、".join(phrases[:-1]) + "和" + phrases[-1]

    def phrase(self, a: Entity, relation: str, b: Entity, case: str = "nom") -> str:
        if relation.endswith("than"):
            return f"{self.some(a)}，比{self.some(b)}{'大' if relation.startswith('bigger') else '小'}"
        return f"{self.some(a)}在{self.some(b)}的{self._WHERE[relation]}"

    def sentence(self, a: Entity, relation: str, b: Entity) -> str:
        if relation.endswith("than"):
            return f"{self.the(a)}比{self.the(b)}{'大' if relation.startswith('bigger') else '小'}。"
        return f"{self.the(a)}在{self.the(b)}的{self._WHERE[relation]}。"


class Japanese:
    """Japanese: counters, and "to be" by whether the thing lives."""

    _SIZES: ClassVar = {"small": "小さな", "large": "大きな"}
    _WHERE: ClassVar = {
        "left of": "の左に",
        "right of": "の右に",
        "above": "の上の方に",
        "below": "の下の方に",
        "on": "の上に",
        "inside": "の中に",
    }

    def some(self, item: Entity, case: str = "nom") -> str:
        word = WORDS["ja"][item.cls]
        count = f"{item.count}{word.counter}の" if item.count > 1 else ""
        return f"{count}{self._SIZES.get(item.size, '')}{JAPANESE_COLOURS[item.colour]}{word.noun}"

    def the(self, item: Entity, case: str = "nom") -> str:
        return f"{JAPANESE_COLOURS[item.colour]}{WORDS['ja'][item.cls].noun}"

    def listed(self, phrases: list[str]) -> str:
        return "と".join(phrases)

    def phrase(self, a: Entity, relation: str, b: Entity, case: str = "nom") -> str:
        if relation.endswith("than"):
            return f"{self.the(b)}より{'大きい' if relation.startswith('bigger') else '小さい'}{self.the(a)}"
        verb = "いる" if class_of(a.cls).animate else "ある"
        return f"{self.the(b)}{self._WHERE[relation]}{verb}{self.some(a)}"

    def sentence(self, a: Entity, relation: str, b: Entity) -> str:
        if relation.endswith("than"):
            word = "大きい" if relation.startswith("bigger") else "小さい"
            return f"{self.the(a)}は{self.the(b)}より{word}です。"
        verb = "います" if class_of(a.cls).animate else "あります"
        return f"{self.the(a)}は{self.the(b)}{self._WHERE[relation]}{verb}。"


GRAMMARS: dict[str, Grammar] = {
    "en": English(),
    "zh": Chinese(),
    "de": German(),
    "fr": French(),
    "es": Spanish(),
    "ja": Japanese(),
}


def noun(language: str, cls: str) -> Word:
    """The word for a class."""
    return WORDS[language][cls]
