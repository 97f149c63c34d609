"""Vector parts: polygons in the unit square (x to the right, y down) with a role that gives their colour."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Point = tuple[float, float]


@dataclass(frozen=True)
class Part:
    """One filled polygon; role: "main", "dark", "light" (shades of the object's colour) or a fixed colour."""

    points: tuple[Point, ...]
    role: str = "main"


@dataclass(frozen=True)
class ObjectClass:
    """A class: its parts in the unit square, width over height, and what it may do in a scene."""

    name: str
    parts: tuple[Part, ...]
    aspect: float = 1.0
    animate: bool = False
    support: float | None = None  # y (0..1) of the surface other objects can stand on
    hollow: tuple[float, float, float, float] | None = (
        None  # where objects can be inside, in unit coordinates
    )
    flips: bool = True  # looks right when mirrored


def poly(*xy: float, role: str = "main") -> Part:
    """A polygon from x0, y0, x1, y1, ..."""
    return Part(tuple(zip(xy[::2], xy[1::2], strict=True)), role)


def rect(x0: float, y0: float, x1: float, y1: float, role: str = "main") -> Part:
    """An upright rectangle."""
    return poly(x0, y0, x1, y0, x1, y1, x0, y1, role=role)


def ell(
    cx: float,
    cy: float,
    rx: float,
    ry: float | None = None,
    role: str = "main",
    start: float = 0,
    end: float = 360,
    tilt: float = 0,
) -> Part:
    """An ellipse, or a chord segment of one from start to end degrees (clockwise from the right)."""
    ry = rx if ry is None else ry
    steps = max(6, int(36 * (end - start) / 360))
    cos_t, sin_t = math.cos(math.radians(tilt)), math.sin(math.radians(tilt))
    points = []
    for k in range(steps + (0 if end - start >= 360 else 1)):
        angle = math.radians(start + (end - start) * k / steps)
        x, y = rx * math.cos(angle), ry * math.sin(angle)
        points.append((cx + x * cos_t - y * sin_t, cy + x * sin_t + y * cos_t))
    return Part(tuple(points), role)


def blob(*xy: float, role: str = "main", steps: int = 6) -> Part:
    """A smooth closed curve through the points (Catmull-Rom)."""
    knots = list(zip(xy[::2], xy[1::2], strict=True))
    count = len(knots)
    points = []
    for k in range(count):
        a, b, c, d = (knots[(k + o) % count] for o in (-1, 0, 1, 2))
        points += [
            (_spline(a[0], b[0], c[0], d[0], s / steps), _spline(a[1], b[1], c[1], d[1], s / steps))
            for s in range(steps)
        ]
    return Part(tuple(points), role)


def _spline(a: float, b: float, c: float, d: float, t: float) -> float:
    return 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)


def band(width: float, *xy: float, role: str = "ink") -> Part:
    """A polyline of the given width, as one polygon (fine for open lines without sharp turns)."""
    line = list(zip(xy[::2], xy[1::2], strict=True))
    left, right = [], []
    for k, (x, y) in enumerate(line):
        (x0, y0), (x1, y1) = line[max(0, k - 1)], line[min(len(line) - 1, k + 1)]
        length = math.hypot(x1 - x0, y1 - y0) or 1.0
        nx, ny = -(y1 - y0) / length * width / 2, (x1 - x0) / length * width / 2
        left.append((x + nx, y + ny))
        right.append((x - nx, y - ny))
    return Part(tuple(left + right[::-1]), role)


def arc(width: float, cx: float, cy: float, r: float, start: float, end: float, role: str = "ink") -> Part:
    """A piece of a ring: an arc line of the given width."""
    steps = max(6, int(abs(end - start) / 10))
    angles = [math.radians(start + (end - start) * k / steps) for k in range(steps + 1)]
    outer = [(cx + (r + width / 2) * math.cos(a), cy + (r + width / 2) * math.sin(a)) for a in angles]
    inner = [
        (cx + (r - width / 2) * math.cos(a), cy + (r - width / 2) * math.sin(a)) for a in reversed(angles)
    ]
    return Part(tuple(outer + inner), role)


def ring(width: float, cx: float, cy: float, r: float, role: str = "ink") -> list[Part]:
    """A full ring, as two arcs (a polygon with a hole would need one)."""
    return [arc(width, cx, cy, r, 0, 180, role), arc(width, cx, cy, r, 180, 360, role)]


def star(cx: float, cy: float, outer: float, inner: float, tips: int = 5, role: str = "main") -> Part:
    """A star with one tip up."""
    points = []
    for k in range(2 * tips):
        radius, angle = (outer if k % 2 == 0 else inner), math.pi * k / tips - math.pi / 2
        points.append((cx + radius * math.cos(angle), cy + radius * math.sin(angle)))
    return Part(tuple(points), role)


def mirrored(parts: Sequence[Part]) -> list[Part]:
    """The parts reflected left to right about x = 0.5."""
    return [Part(tuple((1 - x, y) for x, y in part.points), part.role) for part in parts]


def both(*parts: Part) -> list[Part]:
    """The parts and their reflections."""
    return [*parts, *mirrored(parts)]
