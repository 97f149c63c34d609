"""Drawing one object in one of the styles: vector parts in, an RGBA tile out."""

from __future__ import annotations

import random
from functools import lru_cache

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from curate.demo.classes import CLASSES, ObjectClass
from curate.demo.classes_held_out import HELD_OUT_CLASSES
from curate.demo.colours import RGB, mix, shade
from curate.demo.rng import stream
from curate.demo.shapes import Part

STYLES = ("flat", "outline", "sketch", "shaded", "textured", "pixel", "hatched")
HELD_OUT_STYLE = "stippled"
SUPERSAMPLE = 2  # tiles are drawn this much larger and averaged down, for smooth edges

_NOISE_SIZE = 512


@lru_cache(maxsize=8)
def noise(kind: str) -> Image.Image:
    """A cached 512x512 grey texture around 128: "grain", "cloth", "clouds" or "wood"."""
    rng = np.random.Generator(np.random.PCG64(stream("texture", kind).getrandbits(63)))
    size = _NOISE_SIZE
    if kind == "grain":
        values = rng.normal(128, 22, (size, size))
    elif kind == "cloth":
        y, x = np.mgrid[0:size, 0:size]
        values = 128 + 26 * np.sin(x * 1.05) * np.sin(y * 1.05) + rng.normal(0, 12, (size, size))
    elif kind == "wood":
        y, x = np.mgrid[0:size, 0:size]
        bend = _clouds(rng, size, 4) * 60
        values = 128 + 24 * np.sin((y + bend) * 0.22) * 0.8 + rng.normal(0, 8, (size, size))
    else:
        values = 128 + 70 * _clouds(rng, size, 4)
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def _clouds(
    rng: np.random.Generator, size: int, octaves: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Fractal noise of about -1..1, shape (size, size)."""
    total = np.zeros((size, size))
    for octave in range(octaves):
        cells = 4 * 2**octave
        grid = Image.fromarray((rng.random((cells, cells)) * 255).astype(np.uint8))
        layer = np.asarray(grid.resize((size, size), Image.Resampling.BICUBIC), dtype=np.float64)
        total += (layer / 127.5 - 1) * 0.6**octave
    return total / 1.6


def noise_tile(kind: str, size: tuple[int, int], rng: random.Random) -> Image.Image:
    """A random window of a cached texture, stretched when the wanted size is larger."""
    texture = noise(kind)
    w, h = min(size[0], _NOISE_SIZE), min(size[1], _NOISE_SIZE)
    x, y = rng.randint(0, _NOISE_SIZE - w), rng.randint(0, _NOISE_SIZE - h)
    tile = texture.crop((x, y, x + w, y + h))
    return tile if tile.size == size else tile.resize(size, Image.Resampling.BILINEAR)


def modulate(image: Image.Image, grey: Image.Image) -> Image.Image:
    """Brightness of an RGB image moved by a grey texture (128 leaves it alone)."""
    layer = Image.merge("RGB", (grey, grey, grey))
    return ImageChops.add(image, layer, 1, -128)


def class_of(name: str) -> ObjectClass:
    """The class of that name, of either pool."""
    return CLASSES[name] if name in CLASSES else HELD_OUT_CLASSES[name]


def tile(
    name: str, colour: RGB, style: str, size: tuple[int, int], flip: bool, rng: random.Random
) -> Image.Image:
    """The object as an RGBA image of exactly `size` (width, height) pixels."""
    parts = class_of(name).parts
    if flip:
        parts = tuple(Part(tuple((1 - x, y) for x, y in part.points), part.role) for part in parts)
    if style == "pixel":
        return _pixel(parts, colour, size)
    big = (size[0] * SUPERSAMPLE, size[1] * SUPERSAMPLE)
    if style == "outline":
        drawn = _outline(parts, colour, big)
    elif style == "sketch":
        drawn = _sketch(parts, colour, big, rng)
    else:
        drawn = _fill(parts, colour, big)
    drawn = drawn.reduce(SUPERSAMPLE)
    if style in _FINISH:
        alpha = drawn.getchannel("A")
        drawn = _FINISH[style](drawn.convert("RGB"), colour, rng)
        drawn.putalpha(alpha)
    return drawn


def _scaled(part: Part, size: tuple[int, int], margin: float = 0.0) -> list[tuple[float, float]]:
    w, h = size[0] - 1 - 2 * margin, size[1] - 1 - 2 * margin
    return [(margin + x * w, margin + y * h) for x, y in part.points]


def _blank(colour: RGB, size: tuple[int, int]) -> Image.Image:
    # Transparent pixels carry the object's colour, so that averaging down does not darken the rim.
    return Image.new("RGBA", size, (*colour, 0))


def _fill(parts: tuple[Part, ...], colour: RGB, size: tuple[int, int]) -> Image.Image:
    image = _blank(colour, size)
    draw = ImageDraw.Draw(image)
    for part in parts:
        draw.polygon(_scaled(part, size), fill=(*shade(colour, part.role), 255))
    return image


def _outline(parts: tuple[Part, ...], colour: RGB, size: tuple[int, int]) -> Image.Image:
    image = _blank(colour, size)
    draw = ImageDraw.Draw(image)
    width = max(3, min(size) // 45)
    ink = (28, 26, 30, 255) if sum(colour) > 150 else (120, 120, 130, 255)
    for part in parts:
        points = _scaled(part, size, width / 2 + 1)
        draw.polygon(points, fill=(*shade(colour, part.role), 255))
        draw.line([*points, points[0]], fill=ink, width=width, joint="curve")
    return image


def _sketch(parts: tuple[Part, ...], colour: RGB, size: tuple[int, int], rng: random.Random) -> Image.Image:
    image = _blank(colour, size)
    draw = ImageDraw.Draw(image)
    width = max(3, min(size) // 40)
    wobble = min(size) * 0.012
    wash = mix(colour, (255, 255, 255), 0.12 if sum(colour) < 180 else 0.28)
    for part in parts:
        inner = part.role == "main"
        points = _scaled(part, size, width + wobble)
        if inner or part.role in ("dark", "light"):
            draw.polygon(points, fill=(*wash, 235))
        for _ in range(2):
            line = [(x + rng.uniform(-wobble, wobble), y + rng.uniform(-wobble, wobble)) for x, y in points]
            stroke = mix(shade(colour, part.role), (0, 0, 0), 0.12)
            draw.line([*line, line[0]], fill=(*stroke, 255), width=width)
    return image


def _pixel(parts: tuple[Part, ...], colour: RGB, size: tuple[int, int]) -> Image.Image:
    # About 22 cells across: blocky, yet recognisable.
    cell = max(3, round(max(size) / 26))
    small = (max(6, round(size[0] / cell)), max(6, round(size[1] / cell)))
    fine = _fill(parts, colour, (small[0] * 4, small[1] * 4)).reduce(4)
    fine.putalpha(fine.getchannel("A").point([0] * 110 + [255] * 146))
    return fine.resize(size, Image.Resampling.NEAREST)


@lru_cache(maxsize=4)
def _light() -> Image.Image:
    """A 128x128 light field: bright at the upper left, dark at the lower right, 128 is neutral."""
    y, x = np.mgrid[0:128, 0:128] / 127.0
    field = 188 - 130 * np.hypot(x - 0.3, y - 0.25)
    return Image.fromarray(np.clip(field, 0, 255).astype(np.uint8))


def _shaded(image: Image.Image, colour: RGB, rng: random.Random) -> Image.Image:
    return modulate(image, _light().resize(image.size, Image.Resampling.BILINEAR))


def _textured(image: Image.Image, colour: RGB, rng: random.Random) -> Image.Image:
    return modulate(image, noise_tile(rng.choice(("cloth", "wood", "clouds", "grain")), image.size, rng))


@lru_cache(maxsize=16)
def _stripes(step: int) -> Image.Image:
    y, x = np.mgrid[0:_NOISE_SIZE, 0:_NOISE_SIZE]
    return Image.fromarray((((x + y) % step) < max(2, step // 3)).astype(np.uint8) * 255)


@lru_cache(maxsize=16)
def _dots(step: int) -> Image.Image:
    y, x = np.mgrid[0:_NOISE_SIZE, 0:_NOISE_SIZE]
    row = y // step
    dx, dy = (x + (row % 2) * step // 2) % step - step / 2, y % step - step / 2
    return Image.fromarray((np.hypot(dx, dy) < step * 0.36).astype(np.uint8) * 255)


def _pattern(image: Image.Image, mask: Image.Image, share: float) -> Image.Image:
    """Where the mask is white the image stays; elsewhere it fades to white (dark colours: to grey)."""
    pale = Image.blend(image, Image.new("RGB", image.size, (255, 255, 255)), share)
    window = mask.crop((0, 0, min(image.width, _NOISE_SIZE), min(image.height, _NOISE_SIZE)))
    if window.size != image.size:
        window = window.resize(image.size)
    return Image.composite(image, pale, window)


def _hatched(image: Image.Image, colour: RGB, rng: random.Random) -> Image.Image:
    if sum(colour) > 690:  # white on white would vanish: hatch in grey
        image = ImageChops.subtract(image, Image.new("RGB", image.size, (50, 50, 50)))
    return _pattern(image, _stripes(rng.choice((6, 8, 10))), 0.5)


def _stippled(image: Image.Image, colour: RGB, rng: random.Random) -> Image.Image:
    if sum(colour) > 690:
        image = ImageChops.subtract(image, Image.new("RGB", image.size, (50, 50, 50)))
    return _pattern(image, _dots(rng.choice((6, 8, 10))), 0.72)


_FINISH = {"shaded": _shaded, "textured": _textured, "hatched": _hatched, HELD_OUT_STYLE: _stippled}


def shadow(alpha: Image.Image, blur: int = 4) -> Image.Image:
    """A soft drop shadow (an alpha mask of the same size) for the shaded style."""
    return alpha.point([value // 3 for value in range(256)]).filter(ImageFilter.BoxBlur(blur))
