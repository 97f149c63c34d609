"""Drawing one object in one of the styles: vector parts in, an RGBA tile out."""

from __future__ import annotations

import random
from functools import lru_cache

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from curate.demo.classes import class_of
from curate.demo.colours import RGB, mix, shade
from curate.demo.rng import stream
from curate.demo.shapes import Part

STYLES = ("flat", "outline", "sketch", "shaded", "textured", "pixel", "hatched")
HELD_OUT_STYLE = "stippled"
SUPERSAMPLE = 2  # tiles are drawn this much larger and averaged down, for smooth edges

_NOISE_SIZE = 768  # the longest side of any picture


@lru_cache(maxsize=8)
def noise(kind: str) -> Image.Image:
    """A cached 768x768 grey texture around 128: "grain", "cloth", "clouds" or "wood"."""
    rng = np.random.Generator(np.random.PCG64(stream("texture", kind).getrandbits(63)))
    size = _NOISE_SIZE
    y, x = np.mgrid[0:size, 0:size]
    if kind == "grain":
        values = rng.normal(128, 22, (size, size))
    elif kind == "cloth":
        values = 128 + 26 * np.sin(x * 1.05) * np.sin(y * 1.05) + rng.normal(0, 12, (size, size))
    elif kind == "wood":
        values = 128 + 20 * np.sin((y + _clouds(rng, size, 4) * 60) * 0.22) + rng.normal(0, 8, (size, size))
    else:
        values = 128 + 70 * _clouds(rng, size, 4)
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def _clouds(
    rng: np.random.Generator, size: int, octaves: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Fractal noise of about -1..1, shape (size, size)."""
    total = np.zeros((size, size))
    for octave in range(octaves):
        cells = 6 * 2**octave
        grid = Image.fromarray((rng.random((cells, cells)) * 255).astype(np.uint8))
        layer = np.asarray(grid.resize((size, size), Image.Resampling.BICUBIC), dtype=np.float64)
        total += (layer / 127.5 - 1) * 0.6**octave
    return total / 1.6


@lru_cache(maxsize=16)
def _texture(kind: str, strength: float) -> Image.Image:
    """The texture as RGB with its swing around 128 scaled; cached, as every picture takes a window of one."""
    grey = noise(kind).point([round(128 + (value - 128) * strength) for value in range(256)])
    return Image.merge("RGB", (grey, grey, grey))


def window(size: tuple[int, int], rng: random.Random) -> tuple[int, int, int, int]:
    """A random window (x1, y1, x2, y2) of `size` pixels, or of what a texture has, in a texture."""
    w, h = min(size[0], _NOISE_SIZE), min(size[1], _NOISE_SIZE)
    x, y = rng.randint(0, _NOISE_SIZE - w), rng.randint(0, _NOISE_SIZE - h)
    return (x, y, x + w, y + h)


def grain(image: Image.Image, kind: str, strength: float, rng: random.Random) -> Image.Image:
    """The brightness of an RGB image moved by a random window of a texture."""
    layer = _texture(kind, strength).crop(window(image.size, rng))
    if layer.size != image.size:  # only banners are longer than a texture
        layer = layer.resize(image.size)
    return ImageChops.add(image, layer, 1, -128)


def tile(
    name: str, colour: RGB, style: str, size: tuple[int, int], flip: bool, rng: random.Random
) -> tuple[Image.Image, Image.Image]:
    """The object as (RGB picture, "L" mask of where it is), both of exactly `size` (width, height) pixels."""
    parts = class_of(name).parts
    if flip:
        parts = tuple(Part(tuple((1 - x, y) for x, y in part.points), part.role) for part in parts)
    if style == "pixel":
        return _pixel(parts, colour, size)
    canvas = _Canvas(colour, (size[0] * SUPERSAMPLE, size[1] * SUPERSAMPLE))
    if style == "outline":
        _outline(canvas, parts, colour)
    elif style == "sketch":
        _sketch(canvas, parts, colour, rng)
    else:
        _fill(canvas, parts, colour)
    picture, mask = canvas.picture.reduce(SUPERSAMPLE), canvas.mask.reduce(SUPERSAMPLE)
    if style in _FINISH:
        picture = _FINISH[style](picture, colour, rng)
    return picture, mask


class _Canvas:
    """A picture and its mask, drawn together. Beside the shapes the picture has the object's colour, so that
    averaging down does not darken their rim. (One RGBA image would be converted back and forth by Pillow.)
    """

    def __init__(self, colour: RGB, size: tuple[int, int]) -> None:
        self.size = size
        self.picture, self.mask = Image.new("RGB", size, colour), Image.new("L", size)
        self._pens = (ImageDraw.Draw(self.picture), ImageDraw.Draw(self.mask))

    def polygon(self, points: list[tuple[float, float]], colour: RGB, cover: int = 255) -> None:
        self._pens[0].polygon(points, fill=colour)
        self._pens[1].polygon(points, fill=cover)

    def line(self, points: list[tuple[float, float]], colour: RGB, width: int) -> None:
        """A closed line."""
        joint = "curve" if width > 6 else None  # a joint costs more than the line, and thin ones show none
        self._pens[0].line([*points, points[0]], fill=colour, width=width, joint=joint)
        self._pens[1].line([*points, points[0]], fill=255, width=width, joint=joint)


def _scaled(part: Part, size: tuple[int, int], margin: float = 0.0) -> list[tuple[float, float]]:
    w, h = size[0] - 1 - 2 * margin, size[1] - 1 - 2 * margin
    return [(margin + x * w, margin + y * h) for x, y in part.points]


def _fill(canvas: _Canvas, parts: tuple[Part, ...], colour: RGB) -> None:
    for part in parts:
        canvas.polygon(_scaled(part, canvas.size), shade(colour, part.role))


def _outline(canvas: _Canvas, parts: tuple[Part, ...], colour: RGB) -> None:
    width = max(3, min(canvas.size) // 45)
    ink = (28, 26, 30) if sum(colour) > 150 else (120, 120, 130)
    for part in parts:
        points = _scaled(part, canvas.size, width / 2 + 1)
        canvas.polygon(points, shade(colour, part.role))
        canvas.line(points, ink, width)


def _sketch(canvas: _Canvas, parts: tuple[Part, ...], colour: RGB, rng: random.Random) -> None:
    width = max(3, min(canvas.size) // 40)
    wobble = min(canvas.size) * 0.012
    wash = mix(colour, (255, 255, 255), 0.12 if sum(colour) < 180 else 0.28)
    for part in parts:
        points = _scaled(part, canvas.size, width + wobble)
        if part.role in ("main", "dark", "light"):
            canvas.polygon(points, wash, 235)
        stroke = mix(shade(colour, part.role), (0, 0, 0), 0.12)
        for _ in range(2):
            shaky = [(x + rng.uniform(-wobble, wobble), y + rng.uniform(-wobble, wobble)) for x, y in points]
            canvas.line(shaky, stroke, width)


def _pixel(parts: tuple[Part, ...], colour: RGB, size: tuple[int, int]) -> tuple[Image.Image, Image.Image]:
    # About 26 cells across: blocky, yet recognisable.
    cell = max(3, round(max(size) / 26))
    small = (max(6, round(size[0] / cell)), max(6, round(size[1] / cell)))
    canvas = _Canvas(colour, (small[0] * 4, small[1] * 4))
    _fill(canvas, parts, colour)
    mask = canvas.mask.reduce(4).point([0] * 110 + [255] * 146)
    nearest = Image.Resampling.NEAREST
    return canvas.picture.reduce(4).resize(size, nearest), mask.resize(size, nearest)


@lru_cache(maxsize=4)
def _light() -> Image.Image:
    """A 128x128 RGB light field: bright at the upper left, dark at the lower right, 128 is neutral."""
    y, x = np.mgrid[0:128, 0:128] / 127.0
    field = 188 - 130 * np.hypot(x - 0.3, y - 0.25)
    grey = Image.fromarray(np.clip(field, 0, 255).astype(np.uint8))
    return Image.merge("RGB", (grey, grey, grey))


def _shaded(image: Image.Image, colour: RGB, rng: random.Random) -> Image.Image:
    return ImageChops.add(image, _light().resize(image.size, Image.Resampling.BILINEAR), 1, -128)


def _textured(image: Image.Image, colour: RGB, rng: random.Random) -> Image.Image:
    return grain(image, rng.choice(("cloth", "wood", "clouds", "grain")), 1.0, rng)


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
    return Image.composite(image, pale, mask.crop((0, 0, *image.size)))


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
