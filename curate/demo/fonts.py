"""Text drawing without any font file: Pillow's embedded faces, transformed, and faces made of strokes.

Every face renders one line of text to an "L" mask cropped to its ink. What a face has no glyph for raises
KeyError, so that a picture never shows a hollow box that the truth calls text.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

FONTS = ("plain", "bold", "slanted", "outlined", "wide", "narrow", "pixel", "stroke")
HELD_OUT_FONTS = ("dots", "inline")
_ASCII = set(map(chr, range(32, 127)))

# A stroke face on a grid 4 wide and 6 high (y down): polylines of "xy" digit pairs.
_STROKES = {
    "A": "06 20 46|14 34",
    "B": "00 06 36 45 44 33 03|33 42 41 30 00",
    "C": "41 30 10 01 05 16 36 45",
    "D": "00 06 26 44 42 20 00",
    "E": "40 00 06 46|03 33",
    "F": "40 00 06|03 33",
    "G": "41 30 10 01 05 16 36 45 43 23",
    "H": "00 06|40 46|03 43",
    "I": "10 30|20 26|16 36",
    "J": "20 40|30 35 26 16 05",
    "K": "00 06|40 03 46",
    "L": "00 06 46",
    "M": "06 00 23 40 46",
    "N": "06 00 46 40",
    "O": "10 30 41 45 36 16 05 01 10",
    "P": "06 00 30 41 42 33 03",
    "Q": "10 30 41 45 36 16 05 01 10|34 46",
    "R": "06 00 30 41 42 33 03|23 46",
    "S": "41 30 10 01 02 13 33 44 45 36 16 05",
    "T": "00 40|20 26",
    "U": "00 05 16 36 45 40",
    "V": "00 26 40",
    "W": "00 16 23 36 40",
    "X": "00 46|40 06",
    "Y": "00 23 40|23 26",
    "Z": "00 40 06 46",
    "0": "10 30 41 45 36 16 05 01 10|14 32",
    "1": "12 20 26|16 36",
    "2": "01 10 30 41 42 06 46",
    "3": "00 40 22 33 44 45 36 16 05",
    "4": "36 30 04 44",
    "5": "40 00 02 32 43 45 36 06",
    "6": "30 10 01 05 16 36 45 44 33 03",
    "7": "00 40 16",
    "8": "10 30 41 42 33 13 02 01 10|13 04 05 16 36 45 44 33",
    "9": "43 13 02 01 10 30 41 45 36 16",
    ".": "25 26",
    ",": "25 16",
    "!": "20 24|26 26",
    "?": "01 10 30 41 42 23 24|26 26",
    "-": "13 33",
    "%": "40 06|00 11|35 46",
    "&": "46 11 20 31 04 05 16 26 44",
    ":": "22 22|25 25",
    "'": "20 21",
    "/": "40 06",
    " ": "",
    "出": "20 26|01 03 43 41|04 06 46 44",
    "口": "01 06 46 41 01",
    "入": "10 20 06|22 46",
    "人": "20 06|22 46",
    "大": "02 42|20 23 06|23 46",
    "小": "20 26|12 04|32 44",
    "山": "20 26|03 06 46 43",
    "中": "02 04 44 42 02|20 26",
    "日": "00 06 46 40 00|03 43",
    "月": "06 10 40 46|12 42|14 44",
    "上": "20 26|22 42|06 46",
    "下": "00 40|20 26|22 34",
    "工": "00 40|20 26|06 46",
    "王": "00 40|03 43|20 26|06 46",
    "土": "02 42|20 26|06 46",
    "木": "01 41|20 26|21 05|21 45",
    "田": "00 06 46 40 00|20 26|03 43",
    "一": "03 43",
    "二": "01 41|06 46",
    "三": "00 40|03 43|06 46",
    "十": "03 43|20 26",
}


def writable(text: str, font: str) -> bool:
    """Whether the face has every character of the text."""
    if font in ("stroke", "inline"):
        return all(char.upper() in _STROKES for char in text)
    return set(text) <= _ASCII


@lru_cache(maxsize=64)
def _embedded(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


@lru_cache(maxsize=128)
def _glyph(char: str) -> Image.Image:
    """One letter of Pillow's bitmap face, 8 pixels wide, drawn between spaces: alone it loses its edge."""
    image = Image.new("L", (20, 11))
    ImageDraw.Draw(image).text((0, 0), f" {char} ", font=ImageFont.load_default_imagefont(), fill=255)
    return image.crop((5, 0, 13, 11))


def mask(text: str, font: str, height: int) -> Image.Image:
    """The text as an "L" mask of about `height` pixels, cropped to its ink.

    The stroke faces have capitals only and draw lower case with them.
    """
    if not writable(text, font):
        raise KeyError(f"font {font} cannot write {text!r}")
    if font in ("stroke", "inline"):
        return _stroked(text.upper(), height, inline=font == "inline")
    if font in ("pixel", "dots"):
        return _bitmapped(text, height, dots=font == "dots")
    face = _embedded(max(8, round(height * 1.05)))
    stroke = {"bold": max(1, height // 26), "outlined": max(1, height // 16)}.get(font, 0)
    left, top, right, bottom = face.getbbox(text, stroke_width=stroke)
    image = Image.new("L", (int(right - left) + 2, int(bottom - top) + 2))
    draw = ImageDraw.Draw(image)
    at = (1 - left, 1 - top)
    draw.text(at, text, font=face, fill=255, stroke_width=stroke, stroke_fill=255)
    if font == "outlined":
        draw.text(at, text, font=face, fill=0)
    if font == "slanted":
        lean = 0.28
        grown = (image.width + round(image.height * lean), image.height)
        image = image.transform(
            grown, Image.Transform.AFFINE, (1, lean, -lean * image.height, 0, 1, 0), Image.Resampling.BILINEAR
        )
    if font in ("wide", "narrow"):
        image = image.resize((max(1, round(image.width * (1.45 if font == "wide" else 0.66))), image.height))
    return _inked(image)


def _inked(image: Image.Image) -> Image.Image:
    box = image.getbbox()
    return image.crop(box) if box else image


def _bitmapped(text: str, height: int, dots: bool) -> Image.Image:
    image = Image.new("L", (7 * len(text) + 1, 11))
    for place, char in enumerate(text):
        image.paste(255, (7 * place, 0), _glyph(char))
    small = _inked(image)
    cell = max(2, round(height / 9))
    big = small.resize((small.width * cell, small.height * cell), Image.Resampling.NEAREST)
    if not dots or cell < 3:
        return big
    y, x = np.mgrid[0 : big.height, 0 : big.width] % cell - (cell - 1) / 2
    lamp = np.hypot(x, y) <= cell * 0.46
    return Image.fromarray((np.asarray(big) * lamp).astype(np.uint8))


def _stroked(text: str, height: int, inline: bool) -> Image.Image:
    unit = height * 2 / 6  # drawn twice as large, averaged down
    pen = max(2, round(unit * (1.0 if inline else 0.75)))
    image = Image.new("L", (int(unit * 5.4 * len(text) + 2 * pen), int(unit * 6 + 2 * pen)))
    draw = ImageDraw.Draw(image)
    passes = [(pen, 255), (max(1, pen // 3), 0)] if inline else [(pen, 255)]
    for width, ink in passes:
        for place, char in enumerate(text):
            for line in filter(None, _STROKES[char].split("|")):
                points = [
                    (pen + place * unit * 5.4 + int(xy[0]) * unit, pen + int(xy[1]) * unit)
                    for xy in line.split()
                ]
                draw.line(points, fill=ink, width=width, joint="curve")
                for x, y in (points[0], points[-1]):
                    draw.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=ink)
    return _inked(image.reduce(2))


def write(
    image: Image.Image,
    text: str,
    font: str,
    height: int,
    at: tuple[int, int],
    colour: tuple[int, int, int],
    anchor: str = "m",
    max_width: int = 0,
) -> tuple[int, int, int, int]:
    """Draws a line with its centre ("m") or its left middle ("l") at a point; returns the box it covers.

    A line wider than max_width pixels (0: no limit) is made smaller to fit.
    """
    ink = mask(text, font, height)
    if max_width and ink.width > max_width:
        smaller = max(6, int(height * max_width / ink.width))
        ink = mask(text, font, smaller)
        if ink.width > max_width:
            ink = ink.resize((max_width, ink.height))
    x = at[0] - (ink.width // 2 if anchor == "m" else 0)
    y = at[1] - ink.height // 2
    image.paste(colour, (x, y), ink)
    return (x, y, x + ink.width, y + ink.height)
