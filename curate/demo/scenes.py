"""Scenes: which objects are where, in which colours and relations. Nothing is drawn here."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from curate.demo.backgrounds import Background, choose_background
from curate.demo.classes import CLASSES, HELD_OUT_CLASSES, class_of
from curate.demo.colours import CONFUSABLE, OBJECT_COLOURS, RGB, distance, jitter
from curate.demo.grammar import Entity
from curate.demo.rng import weighted
from curate.demo.styles import HELD_OUT_STYLE, STYLES

Box = tuple[int, int, int, int]
Size = tuple[int, int]

LAYOUTS: tuple[tuple[str, float], ...] = (
    ("single", 0.18),
    ("row", 0.23),
    ("column", 0.1),
    ("scatter", 0.17),
    ("group", 0.14),
    ("on", 0.1),
    ("inside", 0.08),
)


@dataclass(frozen=True)
class Placed:
    """One object: `box` is x1, y1, x2, y2 in upright pixels; `entity` indexes the scene's entities."""

    cls: str
    colour: str
    rgb: RGB
    box: Box
    flip: bool
    entity: int


@dataclass(frozen=True)
class Scene:
    """A picture's content; `relations` are (i, relation, j) over `objects`, in drawing order."""

    size: Size
    style: str
    background: Background
    objects: tuple[Placed, ...]
    entities: tuple[Entity, ...]
    relations: tuple[tuple[int, str, int], ...] = ()
    label: str = ""  # text drawn under a logo
    font: str = "plain"
    grain: bool = False
    kind: str = field(default="scene")


@dataclass(frozen=True)
class World:
    """What the pool may use: the normal classes, styles and fonts, or the held-out ones."""

    classes: tuple[str, ...]
    styles: tuple[str, ...]
    supports: tuple[str, ...]
    hollows: tuple[str, ...]


def world(held_out: bool) -> World:
    """The vocabulary of a normal or of a held-out pool; the two share no class and no style."""
    classes = HELD_OUT_CLASSES if held_out else CLASSES
    return World(
        tuple(classes),
        (HELD_OUT_STYLE,) if held_out else STYLES,
        tuple(name for name, item in classes.items() if item.support is not None),
        tuple(name for name, item in classes.items() if item.hollow is not None),
    )


_SHAPES = ((1, 1), (4, 3), (3, 2), (16, 9), (3, 4), (2, 3), (5, 4), (4, 5))


def choose_size(rng: random.Random) -> Size:
    """A canvas of 256 to 768 pixels a side, in one of the usual shapes, smaller ones more often."""
    across, down = rng.choice(_SHAPES)
    short = round(256 + 180 * rng.random() ** 1.6)
    scale = short / min(across, down)
    return (min(768, round(across * scale)), min(768, round(down * scale)))


def make_scene(
    rng: random.Random, kinds: World, need: str = "", size: Size | None = None, layout: str = ""
) -> Scene:
    """A random scene. `need`: "relation" asks for a layout with relations, "count" for a counted group."""
    size = size or choose_size(rng)
    layout = layout or weighted(rng, LAYOUTS)
    if need == "relation" and layout in ("single", "group"):
        layout = rng.choice(("row", "column", "on", "inside"))
    if need == "count":
        layout = "group"
    if layout == "row" and size[0] < size[1]:
        layout = "column"
    if layout == "column" and size[0] > 1.4 * size[1]:
        layout = "row"
    boxes, names = _LAYOUT[layout](rng, kinds, size)
    copies = len(boxes) - len(names)  # a group's copies of its first object
    colours = _colours(rng, names, layout)
    objects: list[Placed] = []
    for k, box in enumerate(boxes):
        who = 0 if k <= copies else k - copies
        rgb = jitter(rng, OBJECT_COLOURS[colours[who]]) if who or k == 0 else objects[0].rgb
        flip = class_of(names[who]).flips and rng.random() < 0.5
        objects.append(Placed(names[who], colours[who], rgb, box, flip, who))
    area = size[0] * size[1]
    entities = []
    for k, name in enumerate(names):
        box = next(item.box for item in objects if item.entity == k)
        share = ((box[2] - box[0]) * (box[3] - box[1]) / area) ** 0.5
        word = "large" if share > 0.5 else "small" if share < 0.17 else ""
        entities.append(Entity(name, colours[k], word, copies + 1 if k == 0 else 1))
    relations = [] if layout == "group" else _relations(objects, layout)
    style = rng.choice(kinds.styles)
    background = choose_background(rng, [item.rgb for item in objects], style)
    return Scene(
        size, style, background, tuple(objects), tuple(entities), tuple(relations), grain=rng.random() < 0.3
    )


def _fit(
    rng: random.Random, name: str, cell: tuple[float, float, float, float], low: float, high: float
) -> Box:
    """A box of the class's proportions within a cell (x, y, width, height), at a random scale and place."""
    x, y, w, h = cell
    aspect = class_of(name).aspect * rng.uniform(0.92, 1.08)
    height = min(h, w / aspect) * rng.uniform(low, high)
    width = height * aspect
    left = x + (w - width) * rng.uniform(0.15, 0.85)
    top = y + (h - height) * rng.uniform(0.15, 0.85)
    return (round(left), round(top), round(left + width), round(top + height))


def _pick(rng: random.Random, names: Sequence[str], count: int) -> list[str]:
    """Distinct classes, as far as there are enough of them."""
    return rng.sample(list(names), min(count, len(names)))


def _single(rng: random.Random, kinds: World, size: Size) -> tuple[list[Box], list[str]]:
    name = rng.choice(kinds.classes)
    w, h = size
    return [_fit(rng, name, (w * 0.06, h * 0.06, w * 0.88, h * 0.88), 0.35, 1.0)], [name]


def _row(rng: random.Random, kinds: World, size: Size) -> tuple[list[Box], list[str]]:
    w, h = size
    names = _pick(rng, kinds.classes, rng.choice((2, 2, 3) if w < 1.5 * h else (2, 3, 3, 4)))
    step = w / len(names)
    return [
        _fit(rng, name, (step * (k + 0.06), h * 0.2, step * 0.88, h * 0.6), 0.55, 1.0)
        for k, name in enumerate(names)
    ], names


def _column(rng: random.Random, kinds: World, size: Size) -> tuple[list[Box], list[str]]:
    w, h = size
    names = _pick(rng, kinds.classes, rng.choice((2, 2, 3)))
    step = h / len(names)
    return [
        _fit(rng, name, (w * 0.22, step * (k + 0.06), w * 0.56, step * 0.88), 0.6, 1.0)
        for k, name in enumerate(names)
    ], names


def _scatter(rng: random.Random, kinds: World, size: Size) -> tuple[list[Box], list[str]]:
    w, h = size
    across, down = (3, 2) if w >= h else (2, 3)
    names = _pick(rng, kinds.classes, rng.choice((3, 3, 4, 5)))
    cells = rng.sample([(x, y) for x in range(across) for y in range(down)], len(names))
    cw, ch = w / across, h / down
    return [
        _fit(rng, name, (cw * (x + 0.05), ch * (y + 0.05), cw * 0.9, ch * 0.9), 0.5, 1.0)
        for name, (x, y) in zip(names, cells, strict=True)
    ], names


def _group(rng: random.Random, kinds: World, size: Size) -> tuple[list[Box], list[str]]:
    w, h = size
    names = _pick(rng, kinds.classes, rng.choice((1, 1, 2)))
    count = rng.randint(2, 6)
    total = count + len(names) - 1
    across = max(2, round((total * w / h) ** 0.5))
    down = -(-total // across)
    cw, ch = w / across, h / down
    cells = rng.sample([(x, y) for x in range(across) for y in range(down)], total)
    order = [names[0]] * count + names[1:]
    return [
        _fit(rng, name, (cw * (x + 0.06), ch * (y + 0.06), cw * 0.88, ch * 0.88), 0.7, 1.0)
        for name, (x, y) in zip(order, cells, strict=True)
    ], names


def _on(rng: random.Random, kinds: World, size: Size) -> tuple[list[Box], list[str]]:
    w, h = size
    below = rng.choice(kinds.supports)
    above = rng.choice([name for name in kinds.classes if name not in kinds.supports])
    base = _fit(rng, below, (w * 0.08, h * 0.5, w * 0.84, h * 0.46), 0.75, 1.0)
    support = class_of(below).support or 0.0
    surface = round(base[1] + support * (base[3] - base[1]))
    room = (base[0] + (base[2] - base[0]) * 0.12, 0.0, (base[2] - base[0]) * 0.76, surface * 0.92)
    x1, y1, x2, y2 = _fit(rng, above, room, 0.55, 0.9)
    drop = surface - y2
    return [base, (x1, y1 + drop, x2, y2 + drop)], [below, above]


def _inside(rng: random.Random, kinds: World, size: Size) -> tuple[list[Box], list[str]]:
    w, h = size
    outer = rng.choice(kinds.hollows)
    inner = rng.choice([name for name in kinds.classes if name not in kinds.hollows])
    big = _fit(rng, outer, (w * 0.06, h * 0.06, w * 0.88, h * 0.88), 0.7, 1.0)
    x1, y1, x2, y2 = class_of(outer).hollow or (0.2, 0.2, 0.8, 0.8)
    bw, bh = big[2] - big[0], big[3] - big[1]
    room = (big[0] + bw * x1, big[1] + bh * y1, bw * (x2 - x1), bh * (y2 - y1))
    return [big, _fit(rng, inner, room, 0.7, 0.98)], [outer, inner]


_LAYOUT = {
    "single": _single,
    "row": _row,
    "column": _column,
    "scatter": _scatter,
    "group": _group,
    "on": _on,
    "inside": _inside,
}


def _colours(rng: random.Random, names: list[str], layout: str) -> list[str]:
    """A colour for each object; of an object inside another, one that stands out from it."""
    colours = [rng.choice(list(OBJECT_COLOURS))]
    for name in names[1:]:
        free = list(OBJECT_COLOURS)
        if layout == "inside":
            under = "white" if names[0] == "frame" else colours[0]
            free = [
                c
                for c in free
                if distance(OBJECT_COLOURS[c], OBJECT_COLOURS[under]) > 260
                and frozenset((c, under)) not in CONFUSABLE
            ]
        taken = {c for other, c in zip(names, colours, strict=False) if other == name}
        colours.append(rng.choice([c for c in free if c not in taken]))
    return colours


def _relations(objects: Sequence[Placed], layout: str) -> list[tuple[int, str, int]]:
    """What holds beyond doubt between each two objects, each said in one direction."""
    if layout in ("on", "inside"):
        found = [(1, layout, 0)]
        return [*found, (0, "bigger than", 1)] if _area(objects[0]) > 2 * _area(objects[1]) else found
    found = []
    for i in range(len(objects)):
        for j in range(i + 1, len(objects)):
            a, b = objects[i].box, objects[j].box
            dx, dy = a[0] + a[2] - b[0] - b[2], a[1] + a[3] - b[1] - b[3]
            if abs(dx) > 1.5 * abs(dy) and (a[2] <= b[0] or b[2] <= a[0]):
                found.append((i, "left of", j) if dx < 0 else (j, "left of", i))
            elif abs(dy) > 1.5 * abs(dx) and (a[3] <= b[1] or b[3] <= a[1]):
                found.append((i, "above", j) if dy < 0 else (j, "above", i))
            if _area(objects[i]) > 2.2 * _area(objects[j]):
                found.append((i, "bigger than", j))
            elif _area(objects[j]) > 2.2 * _area(objects[i]):
                found.append((j, "bigger than", i))
    return found


def _area(item: Placed) -> int:
    return (item.box[2] - item.box[0]) * (item.box[3] - item.box[1])


def rearranged(scene: Scene, rng: random.Random, kinds: World) -> Scene:
    """The same things elsewhere, in another size and style: what a listing of them says stays true."""
    size = choose_size(rng)
    w, h = size
    total = len(scene.objects)
    across = max(2, round((total * w / h) ** 0.5))
    cells = [(x, y) for x in range(across) for y in range(max(1, -(-total // across)))]
    cw, ch = w / across, h / max(1, -(-total // across))
    objects = tuple(
        replace(
            item, box=_fit(rng, item.cls, (cw * (x + 0.06), ch * (y + 0.06), cw * 0.88, ch * 0.88), 0.5, 1.0)
        )
        for item, (x, y) in zip(scene.objects, rng.sample(cells, total), strict=True)
    )
    style = rng.choice([name for name in kinds.styles if name != scene.style] or list(kinds.styles))
    counted = any(item.count > 1 for item in scene.entities)
    relations = () if counted else tuple(_relations(objects, "row"))
    background = replace(scene.background, seed=rng.getrandbits(48))
    return replace(scene, size=size, objects=objects, style=style, relations=relations, background=background)


def recoloured(scene: Scene, rng: random.Random) -> Scene:
    """The same layout with one entity in another colour: alike to a hash, yet not a duplicate."""
    who = rng.randrange(len(scene.entities))
    old = scene.entities[who].colour
    ground = scene.background.colours[0]
    choices = [
        c
        for c in OBJECT_COLOURS
        if c != old
        and frozenset((c, old)) not in CONFUSABLE
        and distance(OBJECT_COLOURS[c], OBJECT_COLOURS[old]) > 260
        and distance(OBJECT_COLOURS[c], ground) > 150
        and all(distance(OBJECT_COLOURS[c], OBJECT_COLOURS[e.colour]) > 150 for e in scene.entities)
    ]
    new = rng.choice(choices or [c for c in OBJECT_COLOURS if c != old])
    rgb = jitter(rng, OBJECT_COLOURS[new])
    objects = tuple(replace(o, colour=new, rgb=rgb) if o.entity == who else o for o in scene.objects)
    entities = tuple(replace(e, colour=new) if k == who else e for k, e in enumerate(scene.entities))
    return replace(scene, objects=objects, entities=entities)
