"""Colours: the eleven named ones an object can have, the fixed ones of its details, and backgrounds."""

from __future__ import annotations

import random

RGB = tuple[int, int, int]

OBJECT_COLOURS: dict[str, RGB] = {
    "red": (214, 38, 40),
    "orange": (245, 136, 22),
    "yellow": (247, 208, 28),
    "green": (42, 150, 62),
    "blue": (38, 92, 204),
    "purple": (128, 56, 168),
    "pink": (244, 132, 178),
    "brown": (130, 82, 42),
    "black": (34, 34, 38),
    "white": (246, 246, 244),
    "gray": (136, 138, 142),
}

# Pairs that people would not agree on: never used as a wrong attribute.
CONFUSABLE = {
    frozenset(pair)
    for pair in (
        ("red", "orange"),
        ("orange", "yellow"),
        ("orange", "brown"),
        ("red", "brown"),
        ("red", "pink"),
        ("purple", "pink"),
        ("blue", "purple"),
        ("white", "gray"),
        ("black", "gray"),
        ("black", "brown"),
    )
}

DETAILS: dict[str, RGB] = {
    "ink": (40, 38, 42),
    "paper": (250, 247, 238),
    "wood": (122, 80, 46),
    "leaf": (72, 140, 60),
    "metal": (168, 172, 180),
    "glass": (186, 222, 240),
    "gold": (250, 202, 60),
    "clay": (196, 112, 72),
    "rose": (240, 150, 160),
    "skin": (228, 190, 150),
}

BACKGROUNDS: dict[str, RGB] = {
    "white": (255, 255, 255),
    "light blue": (196, 224, 244),
    "light green": (208, 236, 206),
    "light yellow": (252, 244, 200),
    "light pink": (252, 220, 228),
    "light gray": (222, 222, 224),
    "beige": (240, 228, 204),
    "dark blue": (22, 32, 78),
    "dark green": (18, 62, 44),
    "dark gray": (66, 68, 74),
}


def distance(a: RGB, b: RGB) -> float:
    """A weighted RGB distance, close enough to how different two colours look."""
    return float((2 * (a[0] - b[0]) ** 2 + 4 * (a[1] - b[1]) ** 2 + 3 * (a[2] - b[2]) ** 2) ** 0.5)


def mix(a: RGB, b: RGB, share: float) -> RGB:
    """`share` of b in a."""
    return (
        round(a[0] + (b[0] - a[0]) * share),
        round(a[1] + (b[1] - a[1]) * share),
        round(a[2] + (b[2] - a[2]) * share),
    )


def jitter(rng: random.Random, colour: RGB, amount: int = 12) -> RGB:
    """The colour moved a little, still the same by name: greys keep looking grey."""
    if max(colour) - min(colour) < 12:
        amount = min(amount, 3)
    r, g, b = (max(0, min(255, value + rng.randint(-amount, amount))) for value in colour)
    return (r, g, b)


def shade(colour: RGB, role: str) -> RGB:
    """The colour of a part: a shade of the object's colour, or one of the fixed details."""
    if role == "main":
        return colour
    dim = sum(colour) < 180
    if role == "dark":
        return mix(colour, (90, 90, 100), 0.35) if dim else mix(colour, (0, 0, 0), 0.26)
    if role == "light":
        return (
            mix(colour, (255, 255, 255), 0.25 if dim else 0.45)
            if sum(colour) < 690
            else mix(colour, (150, 160, 180), 0.3)
        )
    return DETAILS[role]
