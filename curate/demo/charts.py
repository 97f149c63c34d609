"""Pictures of text and of numbers: signs, posters, notes; bar, line and pie charts."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from PIL import Image, ImageDraw

from curate.demo import fonts
from curate.demo.backgrounds import Background, choose_background, paint
from curate.demo.colours import OBJECT_COLOURS, RGB, jitter, mix
from curate.demo.grammar import Entity
from curate.demo.scenes import Box, Size, choose_size
from curate.demo.styles import grain

_TEXTS = (
    "OPEN",
    "CLOSED",
    "EXIT",
    "STOP",
    "SALE",
    "WELCOME",
    "NO PARKING",
    "FRESH BREAD",
    "BUS STOP",
    "COFFEE",
    "WET FLOOR",
    "Library",
    "Room",
    "Platform",
    "Market day",
    "Hot soup",
    "Free entry",
    "Please knock",
    "Ring twice",
    "BAKERY",
    "MUSEUM",
    "AUSGANG",
    "EINGANG",
    "Kein Zutritt",
    "Guten Morgen",
    "SORTIE",
    "POUSSEZ",
    "Bienvenue",
    "SALIDA",
    "ABIERTO",
    "Bonjour",
    "Mercado central",
    "Ticket office",
    "Mind the gap",
    "Keep left",
    "Slow down",
)
_TEXTS_ZH = ("出口", "入口", "上山", "下山", "小木工", "大王", "中山", "三月十二日", "山田", "大人", "二月")
_LINES = (
    "Monday to Friday",
    "from 9 to 17",
    "Only this week",
    "Second floor",
    "Ask at the desk",
    "All are welcome",
    "Bring a friend",
    "Cash only",
    "Next to the station",
    "Since 1987",
    "Doors open at 7",
    "No dogs",
    "Half price",
)
_TITLES = (
    "Sales",
    "Visitors",
    "Rainfall",
    "Bicycles sold",
    "Books read",
    "Energy use",
    "Exports",
    "Cups of tea",
    "Trees planted",
    "Tickets",
    "Downloads",
    "Water level",
    "Average speed",
    "Bread baked",
)
_LABELS = (
    ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug"),
    ("North", "South", "East", "West", "Centre"),
    ("A", "B", "C", "D", "E", "F"),
    ("2018", "2019", "2020", "2021", "2022", "2023", "2024"),
    ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"),
    ("Paris", "Rome", "Oslo", "Lima", "Cairo", "Tokyo"),
    ("Tea", "Milk", "Juice", "Water", "Cocoa"),
)
_PALETTES: tuple[tuple[str, ...], ...] = (
    ("blue", "orange", "green", "red", "purple", "brown", "pink", "gray"),
    ("green", "yellow", "purple", "blue", "red", "orange", "gray", "brown"),
    ("red", "blue", "yellow", "gray", "green", "pink", "brown", "purple"),
)


@dataclass(frozen=True)
class Sign:
    """A sign, poster or note; `lines` from top to bottom, the first is the largest."""

    size: Size
    entity: Entity
    rgb: RGB
    lines: tuple[str, ...]
    font: str
    box: Box
    background: Background
    seed: int
    kind: str = "sign"


@dataclass(frozen=True)
class Chart:
    """A chart of `values` (percent for a pie) over `labels`; `form` is "bar", "column", "line" or "pie"."""

    size: Size
    form: str
    title: str
    labels: tuple[str, ...]
    values: tuple[int, ...]
    font: str
    seed: int
    kind: str = "chart"


def make_sign(rng: random.Random, faces: tuple[str, ...], size: Size | None = None) -> Sign:
    """A random sign whose text its font can write."""
    size = size or choose_size(rng)
    name = rng.choice(("sign", "sign", "poster", "note"))
    font = rng.choice(faces)
    text = rng.choice(_TEXTS)
    if text in ("Room", "Platform"):
        text += f" {rng.randint(1, 40)}"
    lines = [text]
    if font in ("stroke", "inline") and rng.random() < 0.55:
        lines = [rng.choice(_TEXTS_ZH)]
    elif name != "sign" or rng.random() < 0.3:
        lines += rng.sample(_LINES, rng.randint(1, 3))
    lines = [line if fonts.writable(line, font) else line.upper() for line in lines]
    colour = rng.choice(("red", "yellow", "green", "blue", "white", "black", "orange"))
    if name == "note":
        colour = rng.choice(("white", "yellow", "pink"))
    rgb = jitter(rng, OBJECT_COLOURS[colour])
    w, h = size
    tall = rng.uniform(0.62, 0.84) if name != "sign" else rng.uniform(0.36, 0.6)
    bw, bh = round(w * rng.uniform(0.62, 0.86)), round(h * tall)
    left = round((w - bw) * rng.uniform(0.2, 0.8))
    top = round((h - bh) * rng.uniform(0.2, 0.6))
    box = (left, top, left + bw, top + bh)
    background = choose_background(rng, [rgb], "flat")
    return Sign(size, Entity(name, colour), rgb, tuple(lines), font, box, background, rng.getrandbits(48))


def draw_sign(sign: Sign) -> Image.Image:
    """The sign as an RGB image."""
    image = paint(sign.background, sign.size)
    rng = random.Random(sign.seed)  # noqa: S311 - pictures
    x1, y1, x2, y2 = sign.box
    draw = ImageDraw.Draw(image)
    ink = (245, 245, 240) if sum(sign.rgb) < 420 else (30, 28, 34)
    edge = mix(sign.rgb, ink, 0.75)
    name = sign.entity.cls
    if name == "sign" and y2 < sign.size[1] - 12:
        middle = (x1 + x2) // 2
        draw.rectangle((middle - 6, y2, middle + 6, sign.size[1]), fill=(128, 124, 120))
    radius = rng.choice((4, 14, 26)) if name == "sign" else 0
    draw.rounded_rectangle(
        (x1, y1, x2 - 1, y2 - 1), radius, fill=sign.rgb, outline=edge, width=rng.choice((2, 4, 6))
    )
    if name == "note":
        for y in range(y1 + 30, y2 - 8, 26):
            draw.line((x1 + 12, y, x2 - 12, y), fill=mix(sign.rgb, (90, 120, 190), 0.3))
    if name == "poster":
        band = mix(sign.rgb, OBJECT_COLOURS[rng.choice(("red", "blue", "green", "black", "white"))], 0.5)
        draw.rectangle((x1 + 8, y2 - (y2 - y1) // 6, x2 - 9, y2 - 9), fill=band)
    room = (y2 - y1) * (0.72 if name == "poster" else 0.84)
    shares = [1.7] + [1.0] * (len(sign.lines) - 1)
    down = y1 + (y2 - y1) * 0.08
    for line, share in zip(sign.lines, shares, strict=True):
        step = room * share / sum(shares)
        height = min(round(step * 0.62), 84)
        at = ((x1 + x2) // 2, round(down + step / 2))
        fonts.write(image, line, sign.font, height, at, ink, max_width=round((x2 - x1) * 0.86))
        down += step
    if rng.random() < 0.5:
        image = grain(image, "grain", 0.3, rng)
    return image


def make_chart(rng: random.Random, faces: tuple[str, ...], size: Size | None = None) -> Chart:
    """A random chart of three to seven values."""
    size = size or choose_size(rng)
    form = rng.choice(("bar", "column", "line", "pie"))
    names: tuple[str, ...] = rng.choice(_LABELS)
    count = rng.randint(3, min(len(names), 5 if form == "pie" else 7))
    start = rng.randint(0, len(names) - count)
    if form == "pie":
        cuts = sorted(rng.sample(range(2, 19, 2), count - 1))  # at least 10 %, or labels would collide
        values = tuple(5 * (b - a) for a, b in zip([0, *cuts], [*cuts, 20], strict=True))
    else:
        top = rng.choice((20, 50, 100, 400))
        values = tuple(rng.randint(max(1, top // 12), top) for _ in range(count))
    labels = names[start : start + count]
    plain = tuple(face for face in faces if face not in ("outlined", "wide")) or faces
    return Chart(size, form, rng.choice(_TITLES), labels, values, rng.choice(plain), rng.getrandbits(48))


def draw_chart(chart: Chart) -> Image.Image:
    """The chart as an RGB image: title on top, each value written at its mark."""
    rng = random.Random(chart.seed)  # noqa: S311 - pictures
    w, h = chart.size
    ground = jitter(rng, rng.choice(((250, 250, 250), (238, 244, 250), (252, 246, 232), (243, 243, 243))), 6)
    image = Image.new("RGB", chart.size, ground)
    palette = [jitter(rng, OBJECT_COLOURS[name], 16) for name in rng.choice(_PALETTES)]
    text = max(10, min(w, h) // 24)
    ink = (44, 44, 52)
    fonts.write(
        image,
        _cased(chart.title, chart.font),
        chart.font,
        round(text * 1.6),
        (w // 2, round(h * 0.07)),
        ink,
        max_width=w - 20,
    )
    plot = (round(w * 0.13), round(h * 0.17), round(w * 0.94), round(h * 0.86))
    one = rng.random() < 0.5
    colours = [palette[0] if one and chart.form != "pie" else palette[k] for k in range(len(chart.values))]
    _FORMS[chart.form](image, chart, plot, colours, text, ink, rng)
    return grain(image, "grain", 0.12, rng) if rng.random() < 0.4 else image


def _cased(text: str, font: str) -> str:
    return text if fonts.writable(text, font) else text.upper()


def _axes(draw: ImageDraw.ImageDraw, plot: Box, ink: RGB, upright: bool) -> None:
    x1, y1, x2, y2 = plot
    for k in range(5):
        line = (
            (x1, y1 + (y2 - y1) * k // 4, x2, y1 + (y2 - y1) * k // 4)
            if upright
            else (x1 + (x2 - x1) * k // 4, y1, x1 + (x2 - x1) * k // 4, y2)
        )
        draw.line(line, fill=(206, 208, 214))
    draw.line((x1, y1, x1, y2, x2, y2), fill=ink, width=2)


def _column(
    image: Image.Image, chart: Chart, plot: Box, colours: list[RGB], text: int, ink: RGB, rng: random.Random
) -> None:
    draw = ImageDraw.Draw(image)
    _axes(draw, plot, ink, True)
    x1, y1, x2, y2 = plot
    step, top = (x2 - x1) / len(chart.values), max(chart.values) * 1.12
    for k, value in enumerate(chart.values):
        left, high = x1 + step * (k + 0.2), y2 - (y2 - y1) * value / top
        draw.rectangle((left, high, left + step * 0.6, y2 - 1), fill=colours[k])
        middle = round(left + step * 0.3)
        fonts.write(
            image, str(value), chart.font, text, (middle, round(high) - text), ink, max_width=round(step)
        )
        fonts.write(
            image,
            _cased(chart.labels[k], chart.font),
            chart.font,
            text,
            (middle, y2 + text),
            ink,
            max_width=round(step * 0.95),
        )


def _bar(
    image: Image.Image, chart: Chart, plot: Box, colours: list[RGB], text: int, ink: RGB, rng: random.Random
) -> None:
    draw = ImageDraw.Draw(image)
    x1, y1, x2, y2 = plot
    x1 += round((x2 - x1) * 0.06)
    _axes(draw, (x1, y1, x2, y2), ink, False)
    step, top = (y2 - y1) / len(chart.values), max(chart.values) * 1.2
    for k, value in enumerate(chart.values):
        high, wide = y1 + step * (k + 0.2), (x2 - x1) * value / top
        draw.rectangle((x1 + 1, high, x1 + wide, high + step * 0.6), fill=colours[k])
        middle = round(high + step * 0.3)
        fonts.write(image, str(value), chart.font, text, (round(x1 + wide) + 6, middle), ink, "l")
        fonts.write(
            image,
            _cased(chart.labels[k], chart.font),
            chart.font,
            text,
            (x1 // 2, middle),
            ink,
            max_width=x1 - 10,
        )


def _line(
    image: Image.Image, chart: Chart, plot: Box, colours: list[RGB], text: int, ink: RGB, rng: random.Random
) -> None:
    draw = ImageDraw.Draw(image)
    _axes(draw, plot, ink, True)
    x1, y1, x2, y2 = plot
    step, top = (x2 - x1) / len(chart.values), max(chart.values) * 1.15
    points = [(x1 + step * (k + 0.5), y2 - (y2 - y1) * value / top) for k, value in enumerate(chart.values)]
    draw.line(points, fill=colours[0], width=3, joint="curve")
    for k, (x, y) in enumerate(points):
        draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=colours[0])
        fonts.write(image, str(chart.values[k]), chart.font, text, (round(x), round(y) - text - 3), ink)
        fonts.write(
            image,
            _cased(chart.labels[k], chart.font),
            chart.font,
            text,
            (round(x), y2 + text),
            ink,
            max_width=round(step * 0.95),
        )


def _pie(
    image: Image.Image, chart: Chart, plot: Box, colours: list[RGB], text: int, ink: RGB, rng: random.Random
) -> None:
    draw = ImageDraw.Draw(image)
    x1, y1, x2, y2 = plot
    radius = min(x2 - x1, y2 - y1) * 0.38
    cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
    angle = -90.0
    for k, value in enumerate(chart.values):
        sweep = 3.6 * value
        draw.pieslice(
            (cx - radius, cy - radius, cx + radius, cy + radius), angle, angle + sweep, colours[k], _PIE_EDGE
        )
        turn = math.radians(angle + sweep / 2)
        label = _cased(f"{chart.labels[k]} {value}%", chart.font)
        at = (round(cx + radius * 1.32 * math.cos(turn)), round(cy + radius * 1.18 * math.sin(turn)))
        fonts.write(image, label, chart.font, text, at, ink, max_width=round(radius * 0.9))
        angle += sweep


_PIE_EDGE: RGB = (250, 250, 250)
_FORMS = {"bar": _bar, "column": _column, "line": _line, "pie": _pie}
