"""Multiple-choice questions about pictures and texts, as an evaluation benchmark asks them."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import NamedTuple

from curate.demo.backgrounds import TERRAINS
from curate.demo.captions import Content
from curate.demo.charts import Chart, Sign
from curate.demo.colours import CONFUSABLE, OBJECT_COLOURS
from curate.demo.grammar import Entity
from curate.demo.lexicon import WORDS
from curate.demo.scenes import Scene

LETTERS = "ABCD"
# How much text a copied question has at least: words, or characters where words are not spaced.
_WORDS, _CHARACTERS = 18, 40
_ABOUT = ("Which year is told of?", "What is this text about?", "Who wrote this text?")


class Question(NamedTuple):
    """A question with four options, one of them right."""

    text: str
    options: tuple[str, ...]
    answer: str  # a letter


def about(content: Content, rng: random.Random) -> Question:
    """A short question that the picture answers."""
    if isinstance(content, Chart):
        labels = content.labels
        best = max(range(len(labels)), key=lambda k: content.values[k])
        return _asked("Which one has the highest value?", labels[best], labels, rng)
    entities = (content.entity,) if isinstance(content, Sign) else content.entities
    if not entities:
        assert isinstance(content, Scene)
        return _asked("What does this landscape show?", content.background.terrain, TERRAINS, rng)
    item = rng.choice(entities)
    word = WORDS["en"][item.cls]
    if item.count > 1:
        numbers = [str(n) for n in range(max(2, item.count - 3), item.count + 4)]
        return _asked(f"How many {word.plural} are there?", str(item.count), numbers, rng)
    return _asked(f"What colour is the {word.noun}?", item.colour, _other_colours(item), rng)


def copied(paragraphs: Sequence[str], language: str, rng: random.Random) -> Question | None:
    """A question with two sentences or more of one of the paragraphs in it; None where all are too short."""
    stop = r"(?<=。)" if language == "zh" else r"(?<=[.!?]) "
    found = []
    for text in paragraphs:
        sentences = re.split(stop, text)
        passages = [sentences[k : k + 2] for k in range(len(sentences) - 1)]
        found += [("" if language == "zh" else " ").join(two) for two in passages if all(two)]
    long = [p for p in found if len(p.split()) >= _WORDS or (language == "zh" and len(p) >= _CHARACTERS)]
    if not long:
        return None
    years = [str(rng.randint(1871, 2019)) for _ in range(6)]
    return _asked(f"{rng.choice(long)} {rng.choice(_ABOUT)}", rng.choice(years), years, rng)


def _other_colours(item: Entity) -> list[str]:
    return [name for name in OBJECT_COLOURS if frozenset((name, item.colour)) not in CONFUSABLE]


def _asked(text: str, right: str, choices: Sequence[str], rng: random.Random) -> Question:
    others = sorted({choice for choice in choices if choice != right})
    options = [right, *rng.sample(others, min(len(others), len(LETTERS) - 1))]
    rng.shuffle(options)
    return Question(text, tuple(options), LETTERS[options.index(right)])
