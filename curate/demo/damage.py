"""What goes wrong with images and captions on the web, done on purpose."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from curate.demo import fonts
from curate.demo.encode import jpeg, save

Box = tuple[int, int, int, int]
Boxes = list[Box]


@dataclass(frozen=True)
class Edited:
    """An image file made from a picture, and where the picture's objects are in it."""

    data: bytes
    extension: str
    size: tuple[int, int]
    boxes: Boxes
    edit: str


def _moved(boxes: Boxes, dx: float, dy: float, sx: float, sy: float, size: tuple[int, int]) -> Boxes:
    """Boxes shifted, then scaled, then cut to the picture."""
    return [
        (
            max(0, min(size[0], round((x1 + dx) * sx))),
            max(0, min(size[1], round((y1 + dy) * sy))),
            max(0, min(size[0], round((x2 + dx) * sx))),
            max(0, min(size[1], round((y2 + dy) * sy))),
        )
        for x1, y1, x2, y2 in boxes
    ]


def resized(image: Image.Image, boxes: Boxes, size: tuple[int, int]) -> tuple[Image.Image, Boxes]:
    """The picture and its boxes at another size."""
    sx, sy = size[0] / image.width, size[1] / image.height
    return image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0), _moved(boxes, 0, 0, sx, sy, size)


def near_copy(image: Image.Image, boxes: Boxes, rng: random.Random) -> Edited:
    """The same picture after one of the edits that copies on the web go through."""
    edit = rng.choice(("reencode", "resize", "crop", "colour", "format"))
    if edit == "reencode":
        quality = rng.randint(45, 75)
        return Edited(jpeg(image, quality), "jpg", image.size, boxes, f"reencode q{quality}")
    if edit == "format":
        return Edited(save(image, "webp", quality=75, method=0), "webp", image.size, boxes, "format webp")
    if edit == "resize":
        scale = rng.choice((0.5, 0.6, 0.75, 0.85, 1.2))
        small, boxes = resized(image, boxes, (round(image.width * scale), round(image.height * scale)))
        return Edited(jpeg(small, 88), "jpg", small.size, boxes, f"resize x{scale}")
    if edit == "crop":
        left, top = round(image.width * 0.02 * rng.random()), round(image.height * 0.02 * rng.random())
        size = (round(image.width * 0.98), round(image.height * 0.98))
        cut = image.crop((left, top, left + size[0], top + size[1]))
        return Edited(jpeg(cut, 90), "jpg", size, _moved(boxes, -left, -top, 1, 1, size), "crop 2%")
    factor = rng.choice((0.9, 0.94, 1.06, 1.1))
    which = rng.choice(("brightness", "contrast", "colour"))
    tool = {
        "brightness": ImageEnhance.Brightness,
        "contrast": ImageEnhance.Contrast,
        "colour": ImageEnhance.Color,
    }
    return Edited(
        jpeg(tool[which](image).enhance(factor), 90), "jpg", image.size, boxes, f"{which} x{factor}"
    )


def tiny(image: Image.Image, boxes: Boxes, rng: random.Random) -> Edited:
    """Shrunk to a short side of 16 to 47 pixels."""
    scale = rng.randint(16, 47) / min(image.size)
    small, boxes = resized(image, boxes, (round(image.width * scale), round(image.height * scale)))
    extension = rng.choice(("jpg", "jpg", "png"))
    return Edited(save(small, extension), extension, small.size, boxes, "tiny")


def low_quality(image: Image.Image, boxes: Boxes, rng: random.Random) -> Edited:
    """Blurred, noisy, blocky, or blown up from a thumbnail."""
    edit = rng.choice(("blur", "noise", "jpeg", "upscaled"))
    if edit == "jpeg":
        return Edited(jpeg(image, rng.randint(2, 6)), "jpg", image.size, boxes, edit)
    if edit == "blur":
        image = image.filter(ImageFilter.GaussianBlur(min(image.size) / 28))
    elif edit == "noise":
        noise = np.random.Generator(np.random.PCG64(rng.getrandbits(63))).normal(
            0, 75, (image.height, image.width, 3)
        )
        image = Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))
    else:
        thumb = image.resize((max(8, image.width // 14), max(8, image.height // 14)), Image.Resampling.BOX)
        image = thumb.resize(image.size, Image.Resampling.BILINEAR)
    return Edited(jpeg(image, 80), "jpg", image.size, boxes, edit)


def watermarked(image: Image.Image, boxes: Boxes, rng: random.Random) -> Edited:
    """Covered with a pale repeated line of text."""
    text = rng.choice(("SAMPLE", "stock-photo.example", "PREVIEW ONLY", "(c) pictures.example"))
    line = fonts.mask(text, "bold", max(18, min(image.size) // 12))
    side = max(image.size) * 3 // 2
    layer = Image.new("L", (side, side))
    step = line.height * 4
    for row, y in enumerate(range(0, side, step)):
        for x in range(-(row % 2) * line.width // 2, side, line.width + 40):
            layer.paste(line, (x, y))
    layer = layer.rotate(rng.choice((25, 30, 35)), Image.Resampling.BILINEAR)
    left, top = (side - image.width) // 2, (side - image.height) // 2
    layer = layer.crop((left, top, left + image.width, top + image.height)).point(
        [v * 2 // 5 for v in range(256)]
    )
    marked = image.copy()
    marked.paste(
        (255, 255, 255) if np.asarray(image.resize((8, 8))).mean() < 150 else (90, 90, 90), (0, 0), layer
    )
    return Edited(jpeg(marked, 88), "jpg", image.size, boxes, f"watermark {text}")


def garbage(rng: random.Random) -> tuple[bytes, str]:
    """(bytes that no decoder accepts, what they are)."""
    what = rng.choice(("random", "html", "after_header"))
    if what == "html":
        number = rng.getrandbits(40)
        page = f"<!DOCTYPE html><html><head><title>403 Forbidden</title></head><body>Request {number}"
        return (page + " was blocked.</body></html>").encode() * rng.randint(1, 4), what
    noise = rng.randbytes(rng.randint(600, 6000))
    return (b"\xff\xd8\xff\xe0\x00\x10JFIF" + noise if what == "after_header" else b"\x07" + noise), what


def cut(data: bytes, rng: random.Random) -> tuple[bytes, str]:
    """A file cut off at 50 % or at 95 %."""
    share = rng.choice((0.5, 0.95))
    return data[: int(len(data) * share)], f"cut at {share:.0%}"


_WORDS = (
    *("photo", "free", "download", "wallpaper", "cheap", "best", "hd", "vector", "stock", "buy"),
    *("sale", "2024", "online", "clipart", "png", "jpg", "picture", "shop", "new", "top"),
)
_BOILERPLATE = (
    "Click to enlarge",
    "click image for larger view",
    "Image may be subject to copyright",
    "Read more",
    "Photo: file photo",
    "Loading...",
    "No caption available",
    "Share this on social media",
    "image",
    "点击查看大图",
    "图片加载中",
    "Zum Vergrößern bitte klicken",
    "Foto: Archiv",
    "Cliquez pour agrandir",
    "Haga clic para ampliar",
    "Advertisement",
    "Add to cart",
    "thumbnail",
    "Related posts",
)


def junk(rng: random.Random) -> tuple[str, str]:
    """(a caption that says nothing about any image, what sort of nothing)."""
    makers: dict[str, Callable[[], str]] = {
        "file_name": lambda: rng.choice(
            (
                f"IMG_{rng.randint(1000, 9999)}.JPG",
                f"DSC{rng.randint(10000, 99999)}.jpg",
                f"Screenshot 2023-0{rng.randint(1, 9)}-1{rng.randint(0, 9)} at 11.{rng.randint(10, 59)}.png",
                f"{rng.getrandbits(64):016x}.jpeg",
            )
        ),
        "url": lambda: (
            f"https://www.pictures.example/gallery/{rng.randint(10, 999)}/img?id={rng.getrandbits(28)}"
        ),
        "boilerplate": lambda: rng.choice(_BOILERPLATE),
        "hashtags": lambda: " ".join("#" + word for word in rng.sample(_WORDS, rng.randint(5, 9))),
        "seo": lambda: ", ".join(" ".join(rng.sample(_WORDS, 2)) for _ in range(rng.randint(6, 12))),
        "symbols": lambda: "".join(rng.choice("*#@!~=_|<>%$^&+-?/\\{}[]") for _ in range(rng.randint(8, 40))),
        "repeated": lambda: " ".join([rng.choice(_WORDS)] * rng.randint(8, 20)),
    }
    what = rng.choice(list(makers))
    return makers[what](), what


_FIRST = ("Anna", "Lukas", "Mei", "Carlos", "Julie", "Haruto", "Emma", "Omar", "Ines", "Paul")
_LAST = ("Vogelsang", "Okafor", "Lindqvist", "Marchetti", "Tanabe", "Dubreuil", "Salgado", "Whitcombe")


def personal_data(text: str, rng: random.Random) -> tuple[str, list[str]]:
    """(the caption with invented contact data added, what was added); reserved domains and numbers."""
    first, last = rng.choice(_FIRST), rng.choice(_LAST)
    address = f"{first}.{last}@{rng.choice(('example.org', 'mail.example.com', 'studio.example'))}".lower()
    phone = rng.choice(
        (
            f"+1 202-555-01{rng.randint(10, 99)}",
            f"+44 20 7946 0{rng.randint(100, 999)}",
            f"(555) 010-{rng.randint(1000, 9999)}",
        )
    )
    text = text.rstrip(".。")
    added, chosen = rng.choice(
        (
            (f"{text}. Photo by {first} {last}, contact {address}", [f"{first} {last}", address]),
            (f"{text}. Call {first} {last} at {phone}", [f"{first} {last}", phone]),
            (f"{text} ({address}, {phone})", [address, phone]),
        )
    )
    return added, chosen


def near_caption(text: str, rng: random.Random) -> str:
    """The caption with an edit that leaves its meaning alone; never the same string."""
    edits: list[Callable[[str], str]] = [
        lambda t: t[:-1] if t[-1] in ".。" else t + ".",
        lambda t: t[:1].swapcase() + t[1:],
        lambda t: f"{t.rstrip('.。')} ({rng.randint(2, 9)})",
        lambda t: f"{t.rstrip('.。')} | pictures.example",
        lambda t: t.upper() if t.isascii() else t.rstrip(".。") + "!",
        lambda t: re.sub(" ", "  ", t, count=2) if " " in t else t + " ",
    ]
    for edit in rng.sample(edits, len(edits)):
        changed = edit(text)
        if changed != text:
            return changed
    return text + "!"


_CODECS = {
    "zh": "gb18030",
    "ja": "shift_jis",
    "en": "cp1252",
    "de": "latin-1",
    "fr": "cp1252",
    "es": "latin-1",
}


def not_utf8(text: str, language: str) -> tuple[bytes, str]:
    """(the caption in the legacy encoding of its language, that encoding); never valid UTF-8."""
    codec = _CODECS[language]
    if text.isascii():
        text += " – “café”" if codec == "cp1252" else " – Größe" if language == "de" else " – año"
    data = text.encode(codec, errors="replace")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return data, codec
    return data + b" \xe9\xff", codec
