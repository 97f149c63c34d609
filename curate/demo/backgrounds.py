"""What is behind the objects: plain colours, patterns, paper, photo-like skies, landscapes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from curate.demo.colours import BACKGROUNDS, RGB, distance, jitter, mix
from curate.demo.rng import stream, weighted
from curate.demo.styles import grain, noise, window

TERRAINS = ("mountains", "sea", "hills", "desert", "forest")
TIMES = ("noon", "sunset", "night", "fog")

_KINDS: tuple[tuple[str, float], ...] = (
    ("plain", 0.3),
    ("gradient", 0.15),
    ("checker", 0.05),
    ("stripes", 0.05),
    ("paper", 0.12),
    ("blur", 0.18),
    ("landscape", 0.15),
)

_SKIES: dict[str, tuple[RGB, RGB]] = {  # top, horizon
    "noon": ((92, 156, 226), (206, 230, 246)),
    "sunset": ((92, 68, 130), (250, 168, 92)),
    "night": ((10, 14, 40), (44, 56, 100)),
    "fog": ((170, 178, 186), (214, 216, 216)),
}
_GROUNDS: dict[str, RGB] = {
    "mountains": (104, 112, 128),
    "sea": (40, 98, 142),
    "hills": (98, 148, 72),
    "desert": (216, 178, 112),
    "forest": (44, 84, 52),
}


@dataclass(frozen=True)
class Background:
    """`name` is the colour's name for a plain one; `colours` are the (two) RGB colours it is made of."""

    kind: str
    name: str
    colours: tuple[RGB, RGB]
    seed: int
    terrain: str = ""
    time: str = ""
    sun: str = ""  # "left", "right" or "" (none): where the sun or moon is in a landscape


def landscape(rng: random.Random) -> Background:
    """A random landscape."""
    terrain, time = rng.choice(TERRAINS), rng.choice(TIMES)
    top, horizon = _SKIES[time]
    sun = "" if time == "fog" else rng.choice(("left", "right", ""))
    return Background(
        "landscape",
        "",
        (jitter(rng, horizon, 10), jitter(rng, top, 14)),
        rng.getrandbits(48),
        terrain,
        time,
        sun,
    )


def choose_background(rng: random.Random, colours: Sequence[RGB], style: str) -> Background:
    """A background on which every one of the objects' colours can be told apart."""
    kind = weighted(rng, _KINDS)
    if style == "sketch" and rng.random() < 0.5:
        kind = "paper"
    if kind == "landscape":
        found = landscape(rng)
        ground = _dimmed(_GROUNDS[found.terrain], found.time)
        if all(distance(rgb, other) > 190 for rgb in colours for other in (*found.colours, ground)):
            return found
        kind = "plain"
    names = list(BACKGROUNDS)
    rng.shuffle(names)
    name = max(names, key=lambda n: min(200.0, *(distance(BACKGROUNDS[n], rgb) for rgb in colours), 999.0))
    rgb = BACKGROUNDS[name] if name == "white" else jitter(rng, BACKGROUNDS[name], 8)
    towards = (255, 255, 255) if sum(rgb) > 380 else (120, 126, 150)
    second = mix(rgb, towards, rng.uniform(0.25, 0.5)) if name != "white" else (236, 238, 242)
    return Background(kind, name if kind == "plain" else "", (rgb, second), rng.getrandbits(48))


def _dimmed(rgb: RGB, time: str) -> RGB:
    dark, haze, warm = (14, 20, 40), (206, 208, 208), (150, 80, 60)
    return mix(rgb, {"night": dark, "fog": haze, "sunset": warm}.get(time, rgb), 0.6)


def paint(background: Background, size: tuple[int, int]) -> Image.Image:
    """The background as an RGB image of (width, height) pixels."""
    rng = stream("background", background.seed)
    first, second = background.colours
    kind = background.kind
    if kind == "gradient":
        return _gradient(first, second, size, rng.random() < 0.5)
    if kind == "landscape":
        return _landscape(background, size, rng)
    image = Image.new("RGB", size, first)
    if kind in ("checker", "stripes"):
        draw = ImageDraw.Draw(image)
        step = rng.randint(18, 56)
        for x in range(0, size[0], step):
            if kind == "stripes":
                if (x // step) % 2:
                    draw.rectangle((x, 0, x + step - 1, size[1]), fill=second)
                continue
            for y in range((x // step) % 2 * step, size[1], 2 * step):
                draw.rectangle((x, y, x + step - 1, y + step - 1), fill=second)
    elif kind == "paper":
        image = grain(image, "grain", 0.35, rng)
    elif kind == "blur":
        image = Image.composite(image, Image.new("RGB", size, second), _clouds_mask(size, rng))
        image = grain(image, "grain", 0.35, rng)
    return image


def _clouds_mask(size: tuple[int, int], rng: random.Random) -> Image.Image:
    return (
        noise("clouds")
        .crop(window((size[0] // 2, size[1] // 2), rng))
        .resize(size, Image.Resampling.BILINEAR)
    )


@lru_cache(maxsize=4)
def _ramp(upright: bool) -> Image.Image:
    ramp = np.arange(256, dtype=np.uint8)[:, None].repeat(4, axis=1)
    return Image.fromarray(ramp if upright else np.ascontiguousarray(ramp.T))


def _gradient(first: RGB, second: RGB, size: tuple[int, int], upright: bool) -> Image.Image:
    ramp = _ramp(upright).resize(size, Image.Resampling.BILINEAR)
    return Image.composite(Image.new("RGB", size, first), Image.new("RGB", size, second), ramp)


def _landscape(background: Background, size: tuple[int, int], rng: random.Random) -> Image.Image:
    w, h = size
    horizon, top = background.colours
    skyline = round(h * rng.uniform(0.5, 0.66))
    image = Image.new("RGB", size, horizon)
    image.paste(_gradient(horizon, top, (w, skyline + 4), True), (0, 0))
    draw = ImageDraw.Draw(image)
    ground = _dimmed(_GROUNDS[background.terrain], background.time)
    if background.sun:
        x = w * (rng.uniform(0.1, 0.3) if background.sun == "left" else rng.uniform(0.7, 0.9))
        r, y = min(w, h) * 0.07, skyline * rng.uniform(0.2, 0.55)
        draw.ellipse(
            (x - r, y - r, x + r, y + r),
            fill=(238, 238, 226) if background.time == "night" else (255, 240, 180),
        )
    if background.time == "night":
        for _ in range(40):
            x, y = rng.uniform(0, w), rng.uniform(0, skyline * 0.9)
            draw.point((x, y), fill=(220, 224, 240))
    _TERRAIN[background.terrain](draw, size, skyline, ground, horizon, rng)
    image = grain(image, "clouds", 0.35, rng)
    return grain(image, "grain", 0.35, rng)


def _ridge(w: int, base: float, height: float, steps: int, rng: random.Random) -> list[tuple[float, float]]:
    heights = [base - height * rng.random() for _ in range(steps + 1)]
    return [(w * k / steps, y) for k, y in enumerate(heights)]


def _mountains(
    draw: ImageDraw.ImageDraw, size: tuple[int, int], y: int, ground: RGB, sky: RGB, rng: random.Random
) -> None:
    w, h = size
    for layer in range(3):
        colour = mix(ground, sky, 0.6 - 0.28 * layer)
        ridge = _ridge(w, y + h * 0.09 * layer, h * (0.34 - 0.1 * layer), 7 + 2 * layer, rng)
        draw.polygon([(0, h), *ridge, (w, h)], fill=colour)


def _hills(
    draw: ImageDraw.ImageDraw, size: tuple[int, int], y: int, ground: RGB, sky: RGB, rng: random.Random
) -> None:
    w, h = size
    draw.rectangle((0, y + h // 12, w, h), fill=ground)
    for layer in range(3):
        for _ in range(3):
            x, r = rng.uniform(0, w), rng.uniform(0.25, 0.45) * w
            top = y + h * 0.1 * layer - h * 0.06
            draw.ellipse((x - r, top, x + r, top + 2 * h), fill=mix(ground, sky, 0.45 - 0.2 * layer))


def _sea(
    draw: ImageDraw.ImageDraw, size: tuple[int, int], y: int, ground: RGB, sky: RGB, rng: random.Random
) -> None:
    w, h = size
    for row in range(y, h, 4):
        draw.rectangle((0, row, w, row + 4), fill=mix(ground, sky, 0.45 * (1 - (row - y) / max(1, h - y))))
    for _ in range(70):
        at = rng.uniform(y + 2, h)
        x, near = rng.uniform(0, w), (at - y) / (h - y)
        draw.line((x, at, x + 6 + 40 * near, at), fill=mix(ground, sky, 0.75), width=1 + int(2 * near))


def _desert(
    draw: ImageDraw.ImageDraw, size: tuple[int, int], y: int, ground: RGB, sky: RGB, rng: random.Random
) -> None:
    w, h = size
    for layer in range(4):
        base = y + (h - y) * 0.24 * layer
        ridge = _ridge(w, base + h * 0.03, h * 0.06, 4, rng)
        draw.polygon([(0, h), *ridge, (w, h)], fill=mix(ground, (90, 50, 20), 0.12 * layer))


def _forest(
    draw: ImageDraw.ImageDraw, size: tuple[int, int], y: int, ground: RGB, sky: RGB, rng: random.Random
) -> None:
    w, h = size
    draw.rectangle((0, y, w, h), fill=ground)
    for layer in range(3):
        colour = mix(ground, sky, 0.36 - 0.18 * layer)
        base = y + (h - y) * (0.15 + 0.36 * layer)
        for k in range(14):
            x, tall = w * (k + rng.uniform(-0.5, 0.5)) / 13, h * rng.uniform(0.14, 0.26) * (1 + 0.3 * layer)
            draw.polygon([(x, base - tall), (x + tall * 0.28, base), (x - tall * 0.28, base)], fill=colour)


_TERRAIN = {"mountains": _mountains, "hills": _hills, "sea": _sea, "desert": _desert, "forest": _forest}
