"""Any picture's content: making it, drawing it, listing what is in it, getting something wrong about it."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from PIL import Image

from curate.demo.backgrounds import Background, landscape
from curate.demo.captions import Content, Focus
from curate.demo.charts import Chart, Sign, draw_chart, draw_sign, make_chart, make_sign
from curate.demo.colours import BACKGROUNDS, CONFUSABLE, OBJECT_COLOURS, distance
from curate.demo.draw import draw_scene
from curate.demo.fonts import FONTS, HELD_OUT_FONTS
from curate.demo.rng import weighted
from curate.demo.scenes import Scene, choose_size, make_scene, world

CONTENTS: tuple[tuple[str, float], ...] = (
    ("scene", 0.66),
    ("sign", 0.12),
    ("chart", 0.11),
    ("landscape", 0.06),
    ("logo", 0.05),
)
_BRANDS = (
    "NOVA",
    "Lumo",
    "Arbor",
    "PIXA",
    "Terra",
    "Orbit",
    "Kiwi",
    "Solin",
    "Vento",
    "Faro",
    "Mira",
    "Delta 9",
)


def faces(held_out: bool) -> tuple[str, ...]:
    """The fonts of a normal or of a held-out pool."""
    return HELD_OUT_FONTS if held_out else FONTS


def make(rng: random.Random, held_out: bool, kind: str = "", need: str = "") -> Content:
    """Random content: of one kind, or of a random kind; `need` asks a scene for a relation or a count."""
    kinds = world(held_out)
    kind = "scene" if need else kind or weighted(rng, CONTENTS)
    if kind == "sign":
        return make_sign(rng, faces(held_out))
    if kind == "chart":
        return make_chart(rng, faces(held_out))
    if kind == "landscape" and not held_out:
        return Scene(choose_size(rng), "photo", landscape(rng), (), (), kind="landscape")
    if kind == "logo":
        scene = make_scene(rng, kinds, layout="single")
        while scene.entities[0].colour in ("white", "yellow"):  # would be lost on white
            scene = make_scene(rng, kinds, layout="single")
        w, h = scene.size
        x1, y1, x2, y2 = scene.objects[0].box
        scale = min(0.5 * w / (x2 - x1), 0.55 * h / (y2 - y1), 1.0)
        bw, bh = round((x2 - x1) * scale), round((y2 - y1) * scale)
        left, top = (w - bw) // 2, round(h * 0.12)
        logo = replace(scene.objects[0], box=(left, top, left + bw, top + bh))
        white = BACKGROUNDS["white"]
        return replace(
            scene,
            objects=(logo,),
            entities=(replace(scene.entities[0], size=""),),
            background=Background("plain", "white", (white, white), rng.getrandbits(48)),
            style=kinds.styles[0],
            label=rng.choice(_BRANDS).upper(),
            font=rng.choice(faces(held_out)),
            grain=False,
            kind="logo",
        )
    return make_scene(rng, kinds, need)


def draw(content: Content) -> Image.Image:
    """The content as an RGB image."""
    if isinstance(content, Sign):
        return draw_sign(content)
    return draw_chart(content) if isinstance(content, Chart) else draw_scene(content)


def grainy(content: Content) -> bool:
    """Whether it has photo-like noise, which lossless formats store badly."""
    if isinstance(content, Scene):
        return (
            content.grain
            or content.background.kind in ("paper", "blur", "landscape")
            or content.style == "textured"
        )
    return True


def text_of(content: Content) -> list[str]:
    """The text that can be read in the picture, as the truth gives it."""
    if isinstance(content, Sign):
        return list(content.lines)
    if isinstance(content, Chart):
        unit = "%" if content.form == "pie" else ""
        return [
            content.title,
            *(f"{k} {v}{unit}" for k, v in zip(content.labels, content.values, strict=True)),
        ]
    return [content.label] if content.label else []


def objects_of(content: Content) -> list[dict[str, Any]]:
    """The objects as the truth lists them; boxes are x1, y1, x2, y2 in upright pixels."""
    if isinstance(content, Sign):
        entity = content.entity
        return [
            {
                "class": entity.cls,
                "color": entity.colour,
                "size": "",
                "box": list(content.box),
                "style": "flat",
            }
        ]
    if isinstance(content, Chart):
        return []
    return [
        {
            "class": item.cls,
            "color": item.colour,
            "size": content.entities[item.entity].size,
            "box": list(item.box),
            "style": content.style,
        }
        for item in content.objects
    ]


def relations_of(content: Content) -> list[list[Any]]:
    """[i, relation, j] over the listed objects."""
    return [list(item) for item in content.relations] if isinstance(content, Scene) else []


def wrong(content: Content, kind: str, rng: random.Random) -> tuple[Content, Focus, dict[str, str]] | None:
    """The content with one thing changed to something false, what a caption must mention, and what was said.

    None when the content has nothing of that sort to get wrong.
    """
    if isinstance(content, Chart):
        return _wrong_chart(content, rng) if kind == "wrong_attribute" else None
    if not isinstance(content, Scene) or not content.entities:
        return None
    who = rng.randrange(len(content.entities))
    entity = content.entities[who]
    if kind == "wrong_relation":
        return _wrong_relation(content, rng)
    if kind == "wrong_object":
        pool = world(content.objects[0].cls not in world(False).classes).classes
        near = {
            "circle",
            "square",
            "triangle",
            "hexagon",
            "frame",
        }  # a square may pass for a frame: not clearly wrong
        absent = [
            n
            for n in pool
            if n not in {e.cls for e in content.entities} and not (n in near and entity.cls in near)
        ]
        said = replace(entity, cls=rng.choice(absent))
        what = {"what": "object", "said": said.cls, "true": entity.cls}
    elif entity.count > 1 and rng.random() < 0.6:
        count = rng.choice([n for n in range(2, 9) if n != entity.count])
        said = replace(entity, count=count)
        what = {"what": "count", "said": str(count), "true": str(entity.count)}
    else:
        taken = {e.colour for e in content.entities if e.cls == entity.cls}
        colours = [
            c
            for c in OBJECT_COLOURS
            if c not in taken
            and frozenset((c, entity.colour)) not in CONFUSABLE
            and distance(OBJECT_COLOURS[c], OBJECT_COLOURS[entity.colour]) > 240
        ]
        said = replace(entity, colour=rng.choice(colours))
        what = {"what": "color", "said": said.colour, "true": entity.colour}
    entities = tuple(said if k == who else e for k, e in enumerate(content.entities))
    return replace(content, entities=entities), ("entity", who), what


def _wrong_relation(content: Scene, rng: random.Random) -> tuple[Content, Focus, dict[str, str]] | None:
    if not content.relations:
        return None
    which = rng.randrange(len(content.relations))
    i, relation, j = content.relations[which]
    turned = {"on": (i, "below", j), "left of": (j, "left of", i), "above": (j, "above", i)}
    said = turned.get(relation, (j, relation, i))
    what = {
        "what": "relation",
        "said": " ".join((content.objects[said[0]].cls, said[1], content.objects[said[2]].cls)),
        "true": " ".join((content.objects[i].cls, relation, content.objects[j].cls)),
    }
    # Only the false relation is told: a true one beside it would contradict the caption itself.
    return replace(content, relations=(said,)), ("relation", 0), what


def _wrong_chart(content: Chart, rng: random.Random) -> tuple[Content, Focus, dict[str, str]]:
    which = rng.randrange(len(content.values))
    true = content.values[which]
    said = rng.choice([v for v in (true * 2, true + 15, true + 40, max(1, true // 2)) if v != true])
    values = tuple(said if k == which else v for k, v in enumerate(content.values))
    what = {
        "what": "value",
        "said": f"{content.labels[which]} {said}",
        "true": f"{content.labels[which]} {true}",
    }
    return replace(content, values=values), ("entity", which), what
