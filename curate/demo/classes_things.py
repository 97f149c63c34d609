"""Object classes made by people: buildings, vehicles, household things, plain shapes."""

from __future__ import annotations

from curate.demo.shapes import ObjectClass, Part, arc, band, blob, both, ell, poly, rect, ring

# fmt: off
THINGS = [
    ObjectClass(
        "house",
        (
            rect(0.72, 0.08, 0.82, 0.35, role="clay"),
            rect(0.1, 0.42, 0.9, 1.0),
            poly(0.5, 0.02, 1.0, 0.44, 0.0, 0.44, role="dark"),
            rect(0.42, 0.64, 0.6, 1.0, role="wood"),
            rect(0.18, 0.54, 0.34, 0.72, role="glass"),
            rect(0.68, 0.54, 0.84, 0.72, role="glass"),
        ),
    ),
    ObjectClass(
        "car",
        (
            poly(0.2, 0.42, 0.32, 0.06, 0.68, 0.06, 0.84, 0.42),
            blob(0.02, 0.5, 0.12, 0.4, 0.88, 0.38, 0.99, 0.55, 0.97, 0.76, 0.5, 0.78, 0.03, 0.76),
            poly(0.28, 0.4, 0.36, 0.14, 0.48, 0.14, 0.48, 0.4, role="glass"),
            poly(0.53, 0.4, 0.53, 0.14, 0.65, 0.14, 0.75, 0.4, role="glass"),
            ell(0.24, 0.78, 0.11, 0.22, role="ink"),
            ell(0.76, 0.78, 0.11, 0.22, role="ink"),
            ell(0.24, 0.78, 0.05, 0.1, role="metal"),
            ell(0.76, 0.78, 0.05, 0.1, role="metal"),
        ),
        aspect=2.0,
    ),
    ObjectClass(
        "bus",
        (
            rect(0.02, 0.04, 0.98, 0.82),
            *(rect(x, 0.16, x + 0.14, 0.44, role="glass") for x in (0.07, 0.25, 0.43, 0.61)),
            rect(0.8, 0.16, 0.95, 0.78, role="glass"),
            rect(0.02, 0.55, 0.78, 0.6, role="light"),
            ell(0.22, 0.83, 0.09, 0.17, role="ink"),
            ell(0.7, 0.83, 0.09, 0.17, role="ink"),
        ),
        aspect=1.9,
    ),
    ObjectClass(
        "boat",
        (
            rect(0.47, 0.02, 0.51, 0.72, role="wood"),
            poly(0.54, 0.06, 0.94, 0.62, 0.54, 0.62, role="paper"),
            poly(0.44, 0.14, 0.44, 0.62, 0.14, 0.62, role="light"),
            poly(0.0, 0.68, 1.0, 0.68, 0.82, 1.0, 0.18, 1.0),
        ),
    ),
    ObjectClass(
        "rocket",
        (
            poly(0.3, 0.55, 0.02, 0.86, 0.3, 0.8, role="dark"),
            poly(0.7, 0.55, 0.98, 0.86, 0.7, 0.8, role="dark"),
            poly(0.36, 0.82, 0.64, 0.82, 0.5, 1.0, role="gold"),
            blob(0.5, 0.0, 0.7, 0.24, 0.72, 0.6, 0.66, 0.84, 0.34, 0.84, 0.28, 0.6, 0.3, 0.24),
            ell(0.5, 0.36, 0.12, 0.07, role="glass"),
        ),
        aspect=0.55,
    ),
    ObjectClass(
        "balloon",
        (
            band(0.02, 0.5, 0.68, 0.54, 0.78, 0.46, 0.88, 0.5, 1.0),
            poly(0.5, 0.62, 0.58, 0.71, 0.42, 0.71, role="dark"),
            ell(0.5, 0.33, 0.48, 0.33),
            ell(0.32, 0.2, 0.07, 0.08, role="light", tilt=20),
        ),
        aspect=0.62,
    ),
    ObjectClass(
        "cup",
        (
            *ring(0.09, 0.78, 0.5, 0.18, role="dark"),
            poly(0.06, 0.12, 0.8, 0.12, 0.72, 1.0, 0.14, 1.0),
            ell(0.43, 0.12, 0.37, 0.1, role="dark"),
            rect(0.16, 0.3, 0.22, 0.84, role="light"),
        ),
        aspect=1.05,
    ),
    ObjectClass(
        "bottle",
        (
            rect(0.36, 0.0, 0.64, 0.08, role="wood"),
            poly(0.38, 0.07, 0.62, 0.07, 0.63, 0.3, 0.95, 0.46, 0.95, 1.0, 0.05, 1.0, 0.05, 0.46, 0.37, 0.3),
            rect(0.05, 0.6, 0.95, 0.84, role="paper"),
            rect(0.14, 0.46, 0.24, 0.58, role="light"),
        ),
        aspect=0.36,
    ),
    ObjectClass(
        "book",
        (
            poly(0.08, 0.06, 0.84, 0.0, 0.96, 0.08, 0.96, 1.0, 0.2, 1.0, 0.08, 0.92, role="paper"),
            poly(0.0, 0.06, 0.8, 0.0, 0.86, 0.92, 0.08, 1.0),
            poly(0.0, 0.06, 0.08, 0.05, 0.16, 0.99, 0.08, 1.0, role="dark"),
            poly(0.22, 0.2, 0.7, 0.16, 0.72, 0.36, 0.25, 0.4, role="paper"),
        ),
        aspect=0.8,
    ),
    ObjectClass(
        "clock",
        (
            *both(poly(0.25, 0.86, 0.15, 1.0, 0.25, 1.0, 0.35, 0.9, role="dark")),
            ell(0.5, 0.48, 0.48, 0.48),
            ell(0.5, 0.48, 0.34, 0.34, role="paper"),
            band(0.045, 0.5, 0.48, 0.5, 0.2),
            band(0.045, 0.5, 0.48, 0.68, 0.56),
            *(ell(x, y, 0.025, role="ink") for x, y in ((0.5, 0.18), (0.8, 0.48), (0.5, 0.78), (0.2, 0.48))),
        ),
        flips=False,
    ),
    ObjectClass(
        "lamp",
        (
            rect(0.46, 0.4, 0.54, 0.92, role="metal"),
            ell(0.5, 0.94, 0.3, 0.06, role="ink"),
            poly(0.28, 0.0, 0.72, 0.0, 1.0, 0.5, 0.0, 0.5),
            poly(0.0, 0.5, 1.0, 0.5, 0.98, 0.45, 0.02, 0.45, role="light"),
        ),
        aspect=0.7,
    ),
    ObjectClass(
        "chair",
        (
            rect(0.1, 0.0, 0.22, 1.0),
            rect(0.1, 0.02, 0.3, 0.5, role="main"),
            rect(0.1, 0.5, 0.92, 0.64),
            rect(0.8, 0.64, 0.92, 1.0),
            rect(0.3, 0.64, 0.38, 0.94, role="dark"),
            rect(0.66, 0.64, 0.74, 0.94, role="dark"),
        ),
        aspect=0.68,
    ),
    ObjectClass(
        "table",
        (
            rect(0.06, 0.1, 0.14, 1.0),
            rect(0.86, 0.1, 0.94, 1.0),
            rect(0.2, 0.2, 0.25, 0.86, role="dark"),
            rect(0.75, 0.2, 0.8, 0.86, role="dark"),
            rect(0.0, 0.0, 1.0, 0.2),
            rect(0.04, 0.2, 0.96, 0.28, role="dark"),
        ),
        aspect=1.7,
        support=0.02,
    ),
    ObjectClass(
        "hat",
        (
            blob(0.24, 0.8, 0.26, 0.2, 0.5, 0.04, 0.74, 0.2, 0.76, 0.8),
            rect(0.25, 0.58, 0.75, 0.74, role="ink"),
            ell(0.5, 0.84, 0.5, 0.15),
        ),
        aspect=1.5,
    ),
    ObjectClass(
        "umbrella",
        (
            rect(0.48, 0.4, 0.52, 0.88, role="ink"),
            arc(0.04, 0.58, 0.88, 0.08, 0, 180),
            ell(0.5, 0.5, 0.5, 0.46, start=180, end=360),
            poly(0.5, 0.04, 0.68, 0.5, 0.5, 0.5, role="light"),
            poly(0.5, 0.04, 0.32, 0.5, 0.18, 0.5, role="dark"),
            rect(0.485, 0.0, 0.515, 0.08, role="ink"),
        ),
    ),
    ObjectClass(
        "key",
        (
            *ring(0.2, 0.2, 0.5, 0.1, role="main"),
            *[
                Part(tuple((0.2 + (x - 0.2), 0.5 + (y - 0.5) * 2.4) for x, y in p.points))
                for p in ring(0.1, 0.2, 0.5, 0.15)
            ],
            rect(0.34, 0.4, 1.0, 0.58),
            rect(0.74, 0.58, 0.82, 0.9),
            rect(0.9, 0.58, 0.98, 0.84),
        ),
        aspect=2.4,
    ),
    ObjectClass(
        "candle",
        (
            blob(0.5, 0.0, 0.64, 0.14, 0.5, 0.24, 0.36, 0.14, role="gold"),
            rect(0.48, 0.2, 0.52, 0.3, role="ink"),
            rect(0.26, 0.28, 0.74, 0.92),
            rect(0.32, 0.32, 0.4, 0.9, role="light"),
            ell(0.5, 0.93, 0.48, 0.07, role="metal"),
        ),
        aspect=0.45,
    ),
    ObjectClass(
        "envelope",
        (
            rect(0.0, 0.0, 1.0, 1.0),
            poly(0.0, 0.0, 1.0, 0.0, 0.5, 0.6, role="light"),
            band(0.03, 0.0, 0.0, 0.5, 0.6, role="dark"),
            band(0.03, 1.0, 0.0, 0.5, 0.6, role="dark"),
        ),
        aspect=1.45,
    ),
    ObjectClass(
        "box",
        (
            poly(0.0, 0.24, 0.74, 0.24, 0.74, 1.0, 0.0, 1.0),
            poly(0.0, 0.24, 0.26, 0.0, 1.0, 0.0, 0.74, 0.24, role="light"),
            poly(0.74, 0.24, 1.0, 0.0, 1.0, 0.76, 0.74, 1.0, role="dark"),
            rect(0.3, 0.24, 0.44, 0.5, role="paper"),
        ),
        aspect=1.15,
        support=0.06,
    ),
    ObjectClass(
        "frame",
        (
            rect(0.0, 0.0, 1.0, 0.13),
            rect(0.0, 0.87, 1.0, 1.0, role="main"),
            rect(0.0, 0.0, 0.1, 1.0),
            rect(0.9, 0.0, 1.0, 1.0),
            rect(0.1, 0.13, 0.9, 0.87, role="paper"),
        ),
        aspect=1.25,
        hollow=(0.17, 0.2, 0.83, 0.8),
    ),
    ObjectClass("circle", (ell(0.5, 0.5, 0.5),), hollow=(0.22, 0.22, 0.78, 0.78)),
    ObjectClass("square", (rect(0.0, 0.0, 1.0, 1.0),), hollow=(0.15, 0.15, 0.85, 0.85)),
    ObjectClass("triangle", (poly(0.5, 0.0, 1.0, 1.0, 0.0, 1.0),), aspect=1.12),
]
# fmt: on
