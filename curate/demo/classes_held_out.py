"""The object classes of the held-out pool: none of them is ever drawn in a normal one."""

from __future__ import annotations

from curate.demo.shapes import ObjectClass, Part, arc, band, blob, ell, poly, rect, ring


def _spiral() -> list[Part]:
    return [
        arc(0.035, 0.56, 0.44, 0.3, 20, 330, role="dark"),
        arc(0.035, 0.56, 0.44, 0.19, 90, 400, role="dark"),
        arc(0.035, 0.56, 0.44, 0.08, 0, 300, role="dark"),
    ]


def _wheel(cx: float) -> list[Part]:
    # The unit square is stretched 1.6:1 when drawn, so a round wheel is an upright ellipse here.
    return [
        Part(tuple((cx + (x - cx) / 1.6, y) for x, y in part.points), "ink")
        for part in ring(0.06, cx, 0.68, 0.28)
    ]


# fmt: off
HELD_OUT = [
    ObjectClass(
        "snail",
        (
            band(0.02, 0.1, 0.55, 0.06, 0.3),
            band(0.02, 0.2, 0.55, 0.22, 0.3),
            blob(0.06, 0.6, 0.16, 0.5, 0.26, 0.6, 0.36, 0.8, 0.98, 0.9, 0.98, 1.0, 0.12, 1.0, 0.06, 0.8,
                role="skin"),
            ell(0.58, 0.44, 0.36, 0.42),
            *[Part(tuple((0.58 + (x - 0.56) * 0.9, y) for x, y in p.points), p.role) for p in _spiral()],
        ),
        aspect=1.35,
        animate=True,
    ),
    ObjectClass(
        "bicycle",
        (
            *_wheel(0.2),
            *_wheel(0.8),
            band(0.05, 0.2, 0.68, 0.36, 0.3, role="main"),
            band(0.05, 0.36, 0.3, 0.68, 0.3, role="main"),
            band(0.05, 0.47, 0.7, 0.68, 0.3, role="main"),
            band(0.05, 0.36, 0.26, 0.47, 0.7, role="main"),
            band(0.05, 0.2, 0.68, 0.47, 0.7, role="main"),
            band(0.05, 0.8, 0.68, 0.66, 0.1, role="main"),
            rect(0.28, 0.18, 0.44, 0.25, role="main"),
            rect(0.64, 0.04, 0.82, 0.11, role="main"),
        ),
        aspect=1.6,
    ),
    ObjectClass(
        "ice cream",
        (
            poly(0.18, 0.46, 0.82, 0.46, 0.5, 1.0, role="clay"),
            ell(0.3, 0.32, 0.27, 0.17),
            ell(0.7, 0.32, 0.27, 0.17),
            ell(0.5, 0.18, 0.28, 0.18),
            rect(0.12, 0.4, 0.88, 0.48, role="dark"),
            ell(0.42, 0.12, 0.06, 0.04, role="light"),
        ),
        aspect=0.6,
    ),
    ObjectClass(
        "kite",
        (
            band(0.015, 0.5, 0.64, 0.44, 0.76, 0.56, 0.88, 0.5, 1.0),
            poly(0.5, 0.0, 0.95, 0.28, 0.5, 0.66, 0.05, 0.28),
            poly(0.5, 0.0, 0.95, 0.28, 0.5, 0.28, role="light"),
            poly(0.5, 0.66, 0.05, 0.28, 0.5, 0.28, role="dark"),
            *(
                poly(x - 0.08, y - 0.03, x + 0.08, y + 0.03, x + 0.08, y - 0.03, x - 0.08, y + 0.03)
                for x, y in ((0.45, 0.77), (0.55, 0.89))
            ),
        ),
        aspect=0.62,
    ),
    ObjectClass(
        "ladder",
        (
            poly(0.12, 0.0, 0.28, 0.0, 0.2, 1.0, 0.0, 1.0),
            poly(0.72, 0.0, 0.88, 0.0, 1.0, 1.0, 0.8, 1.0),
            *(rect(0.14, y, 0.86, y + 0.07) for y in (0.1, 0.28, 0.46, 0.64, 0.82)),
        ),
        aspect=0.45,
    ),
    ObjectClass(
        "robot",
        (
            band(0.03, 0.5, 0.12, 0.5, 0.0),
            ell(0.5, 0.03, 0.05, 0.03, role="gold"),
            rect(0.26, 0.1, 0.74, 0.38),
            ell(0.4, 0.22, 0.06, 0.05, role="paper"),
            ell(0.6, 0.22, 0.06, 0.05, role="paper"),
            rect(0.38, 0.3, 0.62, 0.33, role="ink"),
            rect(0.44, 0.38, 0.56, 0.43, role="metal"),
            rect(0.18, 0.43, 0.82, 0.78),
            rect(0.34, 0.5, 0.66, 0.62, role="glass"),
            rect(0.02, 0.45, 0.14, 0.74, role="dark"),
            rect(0.86, 0.45, 0.98, 0.74, role="dark"),
            rect(0.26, 0.78, 0.42, 1.0, role="dark"),
            rect(0.58, 0.78, 0.74, 1.0, role="dark"),
        ),
        aspect=0.7,
    ),
    ObjectClass(
        "guitar",
        (
            rect(0.44, 0.1, 0.56, 0.6, role="wood"),
            rect(0.38, 0.0, 0.62, 0.12, role="wood"),
            blob(0.5, 0.46, 0.84, 0.48, 0.8, 0.66, 1.0, 0.82, 0.78, 1.0, 0.5, 0.99, 0.22, 1.0, 0.0, 0.82,
                0.2, 0.66, 0.16, 0.48),
            ell(0.5, 0.7, 0.15, 0.06, role="ink"),
            rect(0.34, 0.86, 0.66, 0.89, role="ink"),
            *(band(0.012, x, 0.08, x, 0.87, role="paper") for x in (0.46, 0.5, 0.54)),
        ),
        aspect=0.42,
    ),
    ObjectClass(
        "bench",
        (
            rect(0.08, 0.3, 0.14, 1.0, role="metal"),
            rect(0.86, 0.3, 0.92, 1.0, role="metal"),
            rect(0.0, 0.0, 1.0, 0.22),
            rect(0.0, 0.3, 1.0, 0.5),
            rect(0.03, 0.22, 0.97, 0.3, role="dark"),
        ),
        aspect=2.1,
        support=0.02,
    ),
    ObjectClass(
        "hexagon",
        (poly(0.25, 0.0, 0.75, 0.0, 1.0, 0.5, 0.75, 1.0, 0.25, 1.0, 0.0, 0.5),),
        aspect=1.15,
        hollow=(0.24, 0.2, 0.76, 0.8),
    ),
]
# fmt: on
