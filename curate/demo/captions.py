"""True captions, written from what was drawn, in six languages and several lengths."""

from __future__ import annotations

import random
from dataclasses import replace

from curate.demo.charts import Chart, Sign
from curate.demo.grammar import GRAMMARS, Entity, Grammar, capital
from curate.demo.lexicon import BACKGROUND_NAMES, FOREIGN_LANGUAGES, LANGUAGES, STYLE_NAMES, WORDS
from curate.demo.phrases import (
    BACKGROUND_SENTENCES,
    CHART_FORMS,
    CHARTS,
    FOREIGN,
    LANDSCAPE_IN,
    LANDSCAPES,
    LOGOS,
    LONG_OPENERS,
    ON_BACKGROUND,
    PLAIN,
    SIGN_MORE,
    SIGNS,
    SUN,
    WORLD_CASE,
)
from curate.demo.scenes import Scene

Content = Scene | Sign | Chart

LANGUAGE_WEIGHTS: tuple[tuple[str, float], ...] = (
    ("en", 0.5),
    ("zh", 0.18),
    ("de", 0.1),
    ("fr", 0.08),
    ("es", 0.08),
    ("ja", 0.06),
)
assert tuple(name for name, _ in LANGUAGE_WEIGHTS) == LANGUAGES

Focus = tuple[str, int]  # ("entity", index) or ("relation", index): what the caption must not leave out


def caption(
    content: Content, language: str, rng: random.Random, focus: Focus | None = None, detail: str = ""
) -> str:
    """A true caption. `detail`: "short", "relation", "long", or "" for a random one."""
    if isinstance(content, Sign):
        return _of_sign(content, language, rng)
    if isinstance(content, Chart):
        return _of_chart(content, language, rng, whole=focus is not None or detail == "long")
    if not content.objects:
        return _of_landscape(content, language, rng)
    if content.label:
        grammar = GRAMMARS[language]
        what = grammar.some(replace(content.entities[0], size=""), WORLD_CASE[language])
        return rng.choice(LOGOS[language]).format(what=what, text=content.label)
    return _of_scene(
        content, language, rng, focus, detail or rng.choice(("short", "short", "relation", "long", "long"))
    )


def _of_scene(scene: Scene, language: str, rng: random.Random, focus: Focus | None, detail: str) -> str:
    if focus is not None and focus[0] == "relation" and detail == "short":
        detail = "relation"
    if not scene.relations and detail == "relation":
        detail = "short"
    if detail == "long":
        return _long(scene, language, rng, focus)
    grammar = GRAMMARS[language]
    tail = _behind(scene, language) if rng.random() < 0.3 else ""
    if detail == "relation":
        chosen = _relation_for(scene, rng, focus)
        if chosen is not None:
            a, relation, b = chosen
            if (focus is not None and focus[0] == "relation") or rng.random() < 0.6:
                text = grammar.phrase(a, relation, b)
            else:
                return grammar.sentence(a, relation, b)
            return _finished(text, language, rng)
    template = rng.choice(PLAIN[language])
    case = "acc" if language == "de" and "{what:acc}" in template else "nom"
    items = [grammar.some(item, case) for item in _sized(scene, rng)]
    rng.shuffle(items)
    what = grammar.listed(items)
    if language in ("zh", "ja"):  # there the background goes before what stands on it
        return _finished(template.format(what=tail + what), language, rng)
    text = template.replace("{what:acc}", "{what}").format(what=what)
    return _finished(f"{text} {tail}" if tail else text, language, rng)


def _sized(scene: Scene, rng: random.Random) -> list[Entity]:
    keep = rng.random() < 0.6
    return [item if keep else replace(item, size="") for item in scene.entities]


def _finished(text: str, language: str, rng: random.Random) -> str:
    """Sentence case and full stop: half of the time, as on the web."""
    if language in ("zh", "ja"):
        return text + ("。" if rng.random() < 0.4 and text[-1] not in "。！" else "")
    text = capital(text) if rng.random() < 0.7 else text
    return text + ("." if rng.random() < 0.5 and text[-1] not in ".!" else "")


def _relation_for(scene: Scene, rng: random.Random, focus: Focus | None) -> tuple[Entity, str, Entity] | None:
    picked = list(scene.relations)
    if focus is not None and focus[0] == "relation":
        picked = [scene.relations[focus[1]]]
    elif focus is not None:
        picked = [
            (i, r, j)
            for i, r, j in scene.relations
            if focus[1] in (scene.objects[i].entity, scene.objects[j].entity)
        ]
    if not picked:
        return None
    i, relation, j = rng.choice(picked)
    a, b = (replace(scene.entities[scene.objects[k].entity], size="") for k in (i, j))
    turned = {"left of": "right of", "above": "below", "bigger than": "smaller than"}
    if relation in turned and rng.random() < 0.35:
        return b, turned[relation], a
    return a, relation, b


def _behind(scene: Scene, language: str) -> str:
    """The background in words, or "" where words would be vague."""
    background = scene.background
    if background.kind == "plain" and background.name:
        return ON_BACKGROUND[language].format(colour=BACKGROUND_NAMES[background.name][language])
    if background.kind == "landscape":
        return LANDSCAPE_IN[language].format(view=LANDSCAPES[language][0][background.terrain])
    return ""


def _long(scene: Scene, language: str, rng: random.Random, focus: Focus | None) -> str:
    grammar = GRAMMARS[language]
    items = [grammar.some(item, WORLD_CASE[language]) for item in _sized(scene, rng)]
    style = STYLE_NAMES[language][scene.style]
    opener = rng.choice(LONG_OPENERS[language])
    sentences = [capital(opener.format(style=style, what=grammar.listed(items)))]
    sentences += _relation_sentences(scene, grammar, rng, focus)
    if _behind(scene, language) and rng.random() < 0.7:
        sentences.append(_background_sentence(scene, language))
    return ("" if language in ("zh", "ja") else " ").join(sentences)


def _relation_sentences(scene: Scene, grammar: Grammar, rng: random.Random, focus: Focus | None) -> list[str]:
    relations = list(scene.relations)
    rng.shuffle(relations)
    chosen = relations[: rng.randint(1, 3)]
    if focus is not None and focus[0] == "relation" and scene.relations[focus[1]] not in chosen:
        chosen = [scene.relations[focus[1]], *chosen[1:]]
    parts = []
    for i, relation, j in chosen:
        a, b = scene.entities[scene.objects[i].entity], scene.entities[scene.objects[j].entity]
        parts.append(grammar.sentence(a, relation, b))
    return parts


def _background_sentence(scene: Scene, language: str) -> str:
    plain, view = BACKGROUND_SENTENCES[language]
    if scene.background.kind == "landscape":
        return view.format(view=LANDSCAPES[language][0][scene.background.terrain])
    name = BACKGROUND_NAMES[scene.background.name][language]
    return plain.format(tail=_behind(scene, language), colour=name)


def _of_landscape(scene: Scene, language: str, rng: random.Random) -> str:
    view = scene.background
    terrains, times, template = LANDSCAPES[language]
    text = rng.choice(template).format(terrain=terrains[view.terrain], time=times[view.time])
    if view.sun and rng.random() < 0.75:
        body = "moon" if view.time == "night" else "sun"
        extra = SUN[language][(body, view.sun)]
        joiner = "，" if language == "zh" else "、" if language == "ja" else ", "
        text = f"{text}{joiner}{extra}"
    return _finished(text, language, rng)


def _of_sign(sign: Sign, language: str, rng: random.Random) -> str:
    grammar = GRAMMARS[language]
    template = rng.choice(SIGNS[language])
    case = "acc" if "{what:acc}" in template else "nom"
    text = template.replace("{what:acc}", "{what}")
    text = text.format(what=grammar.some(sign.entity, case), text=sign.lines[0])
    if len(sign.lines) > 1 and rng.random() < 0.7:
        rest = grammar.listed([f"“{line}”" for line in sign.lines[1:]])
        ended = text if text[-1] in ".。" else text + ("。" if language in ("zh", "ja") else ".")
        gap = "" if language in ("zh", "ja") else " "
        return capital(f"{ended}{gap}{SIGN_MORE[language].format(rest=rest)}")
    return _finished(text, language, rng)


def _of_chart(chart: Chart, language: str, rng: random.Random, whole: bool) -> str:
    short, full, pair = CHARTS[language]
    form = CHART_FORMS[language][chart.form]
    if not whole and rng.random() < 0.25:
        return _finished(short.format(form=form, title=chart.title), language, rng)
    unit = "%" if chart.form == "pie" else ""
    pairs = [
        pair.format(label=k, value=f"{v}{unit}") for k, v in zip(chart.labels, chart.values, strict=True)
    ]
    values = "、".join(pairs) if language in ("zh", "ja") else ", ".join(pairs)
    return capital(full.format(form=form, title=chart.title, values=values))


def foreign_caption(content: Content, rng: random.Random) -> tuple[str, str]:
    """(language, caption) in a language that no clean sample is in; true as far as it goes."""
    language = rng.choice(FOREIGN_LANGUAGES)
    if isinstance(content, Scene) and content.entities:
        names = [WORDS[language][item.cls].noun for item in content.entities]
        return language, rng.choice(FOREIGN[language]["objects"]).format(
            what=FOREIGN[language]["join"][0].join(names)
        )
    if isinstance(content, Sign):
        return language, rng.choice(FOREIGN[language]["text"]).format(text=content.lines[0])
    return language, rng.choice(FOREIGN[language]["other"])
