"""Object classes from nature: plants, animals, and the shapes of the sky."""

from __future__ import annotations

from curate.demo.shapes import ObjectClass, Part, arc, band, blob, both, ell, poly, rect, star


def _petals() -> list[Part]:
    spots = ((0.5, 0.13), (0.76, 0.27), (0.72, 0.52), (0.28, 0.52), (0.24, 0.27))
    return [ell(x, y, 0.17, 0.15) for x, y in spots]


# fmt: off
NATURE = [
    ObjectClass(
        "apple",
        (
            band(0.05, 0.5, 0.28, 0.52, 0.14, 0.58, 0.05, role="wood"),
            ell(0.7, 0.12, 0.14, 0.06, role="leaf", tilt=-20),
            blob(0.5, 0.27, 0.72, 0.2, 0.94, 0.36, 0.9, 0.7, 0.68, 0.96, 0.5, 0.92, 0.32, 0.96, 0.1, 0.7,
                0.06, 0.36, 0.28, 0.2),
            ell(0.28, 0.42, 0.07, 0.11, role="light", tilt=25),
        ),
    ),
    ObjectClass(
        "pear",
        (
            band(0.06, 0.5, 0.16, 0.54, 0.02, role="wood"),
            blob(0.5, 0.12, 0.68, 0.2, 0.7, 0.42, 0.93, 0.66, 0.86, 0.9, 0.5, 0.98, 0.14, 0.9, 0.07, 0.66,
                0.3, 0.42, 0.32, 0.2),
            ell(0.3, 0.66, 0.07, 0.11, role="light", tilt=20),
        ),
        aspect=0.72,
    ),
    ObjectClass(
        "tree",
        (
            rect(0.42, 0.6, 0.58, 1.0, role="wood"),
            blob(0.5, 0.0, 0.78, 0.1, 0.98, 0.34, 0.9, 0.6, 0.66, 0.7, 0.5, 0.66, 0.34, 0.7, 0.1, 0.6, 0.02,
                0.34, 0.22, 0.1),
            ell(0.34, 0.28, 0.1, 0.08, role="light"),
            ell(0.66, 0.45, 0.1, 0.08, role="dark"),
        ),
        aspect=0.8,
    ),
    ObjectClass(
        "flower",
        (
            band(0.05, 0.5, 0.5, 0.5, 1.0, role="leaf"),
            ell(0.66, 0.8, 0.15, 0.06, role="leaf", tilt=-25),
            ell(0.34, 0.86, 0.15, 0.06, role="leaf", tilt=25),
            *_petals(),
            ell(0.5, 0.34, 0.13, 0.11, role="gold"),
        ),
        aspect=0.72,
    ),
    ObjectClass(
        "mushroom",
        (
            blob(0.38, 0.45, 0.62, 0.45, 0.64, 0.95, 0.5, 1.0, 0.36, 0.95, role="skin"),
            ell(0.5, 0.52, 0.5, 0.5, start=180, end=360),
            ell(0.3, 0.32, 0.08, 0.07, role="paper"),
            ell(0.6, 0.2, 0.08, 0.07, role="paper"),
            ell(0.76, 0.4, 0.07, 0.06, role="paper"),
        ),
        aspect=1.05,
    ),
    ObjectClass(
        "cactus",
        (
            blob(0.4, 0.1, 0.5, 0.02, 0.6, 0.1, 0.62, 0.72, 0.38, 0.72),
            band(0.13, 0.42, 0.56, 0.16, 0.54, 0.12, 0.28, role="main"),
            band(0.13, 0.58, 0.48, 0.84, 0.46, 0.88, 0.18, role="main"),
            band(0.02, 0.5, 0.1, 0.5, 0.7, role="dark"),
            poly(0.26, 0.7, 0.74, 0.7, 0.68, 1.0, 0.32, 1.0, role="clay"),
        ),
        aspect=0.75,
    ),
    ObjectClass(
        "leaf",
        (
            blob(0.03, 0.97, 0.08, 0.5, 0.4, 0.12, 0.98, 0.02, 0.9, 0.55, 0.5, 0.9),
            band(0.03, 0.0, 1.0, 0.5, 0.5, 0.85, 0.16, role="dark"),
            band(0.02, 0.4, 0.6, 0.4, 0.3, role="dark"),
            band(0.02, 0.4, 0.6, 0.7, 0.62, role="dark"),
        ),
    ),
    ObjectClass(
        "cat",
        (
            band(0.09, 0.78, 0.9, 0.94, 0.8, 0.93, 0.58, role="main"),
            blob(0.5, 0.4, 0.72, 0.55, 0.8, 0.95, 0.5, 1.0, 0.2, 0.95, 0.28, 0.55),
            poly(0.22, 0.24, 0.22, 0.0, 0.42, 0.12),
            poly(0.78, 0.24, 0.78, 0.0, 0.58, 0.12),
            ell(0.5, 0.28, 0.31, 0.22),
            ell(0.38, 0.24, 0.045, 0.05, role="ink"),
            ell(0.62, 0.24, 0.045, 0.05, role="ink"),
            poly(0.45, 0.33, 0.55, 0.33, 0.5, 0.38, role="rose"),
            *both(band(0.012, 0.4, 0.36, 0.12, 0.33), band(0.012, 0.4, 0.38, 0.13, 0.42)),
        ),
        aspect=0.8,
        animate=True,
    ),
    ObjectClass(
        "dog",
        (
            band(0.07, 0.1, 0.52, 0.02, 0.3, role="main"),
            rect(0.12, 0.6, 0.22, 1.0),
            rect(0.26, 0.6, 0.35, 1.0, role="dark"),
            rect(0.56, 0.6, 0.65, 1.0, role="dark"),
            rect(0.66, 0.6, 0.76, 1.0),
            blob(0.06, 0.5, 0.4, 0.42, 0.74, 0.42, 0.78, 0.68, 0.4, 0.74, 0.1, 0.72),
            blob(0.62, 0.16, 0.8, 0.1, 0.98, 0.26, 1.0, 0.36, 0.82, 0.42, 0.72, 0.56, 0.6, 0.46),
            ell(0.64, 0.28, 0.06, 0.16, role="dark", tilt=12),
            ell(0.97, 0.28, 0.035, 0.04, role="ink"),
            ell(0.81, 0.22, 0.022, 0.03, role="ink"),
        ),
        aspect=1.2,
        animate=True,
    ),
    ObjectClass(
        "fish",
        (
            poly(0.26, 0.5, 0.0, 0.12, 0.0, 0.88, role="dark"),
            poly(0.46, 0.16, 0.74, 0.16, 0.64, 0.0, role="dark"),
            ell(0.6, 0.5, 0.4, 0.4),
            arc(0.03, 0.7, 0.5, 0.16, 110, 250, role="dark"),
            ell(0.82, 0.4, 0.045, 0.07, role="paper"),
            ell(0.83, 0.4, 0.02, 0.035, role="ink"),
        ),
        aspect=1.6,
        animate=True,
    ),
    ObjectClass(
        "bird",
        (
            band(0.025, 0.45, 0.8, 0.45, 1.0),
            band(0.025, 0.55, 0.8, 0.55, 1.0),
            poly(0.16, 0.5, 0.0, 0.34, 0.02, 0.62, role="dark"),
            ell(0.46, 0.58, 0.36, 0.27, tilt=-12),
            ell(0.74, 0.3, 0.17, 0.2),
            poly(0.88, 0.24, 1.0, 0.32, 0.88, 0.38, role="gold"),
            ell(0.78, 0.25, 0.03, 0.035, role="ink"),
            ell(0.42, 0.56, 0.2, 0.13, role="dark", tilt=15),
        ),
        aspect=1.15,
        animate=True,
    ),
    ObjectClass(
        "butterfly",
        (
            *both(
                blob(0.5, 0.45, 0.7, 0.06, 0.98, 0.02, 0.96, 0.4, 0.72, 0.52),
                blob(0.5, 0.5, 0.72, 0.54, 0.88, 0.72, 0.76, 0.96, 0.58, 0.8),
                ell(0.8, 0.22, 0.07, 0.08, role="light"),
                ell(0.7, 0.72, 0.05, 0.06, role="light"),
                band(0.015, 0.5, 0.24, 0.56, 0.12, 0.62, 0.06),
            ),
            ell(0.5, 0.52, 0.035, 0.3, role="ink"),
        ),
        aspect=1.15,
        animate=True,
    ),
    ObjectClass(
        "rabbit",
        (
            ell(0.38, 0.18, 0.09, 0.19, tilt=-8),
            ell(0.6, 0.18, 0.09, 0.19, tilt=8),
            ell(0.38, 0.18, 0.04, 0.13, role="rose", tilt=-8),
            ell(0.6, 0.18, 0.04, 0.13, role="rose", tilt=8),
            ell(0.49, 0.76, 0.32, 0.24),
            ell(0.85, 0.82, 0.1, 0.07, role="paper"),
            ell(0.49, 0.44, 0.26, 0.17),
            ell(0.4, 0.41, 0.035, 0.03, role="ink"),
            ell(0.58, 0.41, 0.035, 0.03, role="ink"),
            ell(0.49, 0.49, 0.04, 0.02, role="rose"),
            *both(ell(0.36, 0.96, 0.13, 0.05, role="light")),
        ),
        aspect=0.66,
        animate=True,
    ),
    ObjectClass("star", (star(0.5, 0.53, 0.53, 0.22),)),
    ObjectClass(
        "heart",
        (
            blob(0.5, 0.24, 0.62, 0.06, 0.84, 0.04, 0.98, 0.22, 0.94, 0.5, 0.72, 0.78, 0.5, 0.98, 0.28,
                0.78, 0.06, 0.5, 0.02, 0.22, 0.16, 0.04, 0.38, 0.06),
            ell(0.26, 0.26, 0.07, 0.05, role="light", tilt=-40),
        ),
        aspect=1.08,
    ),
    ObjectClass(
        "moon",
        (
            blob(0.62, 0.0, 0.2, 0.12, 0.02, 0.5, 0.2, 0.88, 0.62, 1.0, 0.9, 0.92, 0.62, 0.8, 0.46, 0.5,
                0.62, 0.2, 0.9, 0.08),
        ),
        aspect=0.85,
    ),
]
# fmt: on
