"""See `Border`."""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.sample import Level
from curate.stage import CANONICAL, Map, Op, Out
from stages.common.columns import frames
from stages.common.luma import every_nth_row

_TOLERANCE = 14  # levels that a pixel of the border may be off its colour: JPEG ringing next to an edge
_OUTLIERS = 0.02  # of a line's pixels may be further off
_LEAST = 0.02  # of the side: a thinner bar is none
_UNEQUAL = 0.02  # of the side: bars of a letterbox are as thick as each other


class Border(Map):
    """Plain margins around the picture, and whether they are the bars of a letterbox.

        image_border_top, _bottom, _left, _right   width of the one-coloured margin on each side, as a share
                                                   of height or width, 0 to 1
        image_border_share                         share of the area outside the picture they enclose
        image_letterbox                            height (or width) of two equal bars on opposite sides, as
                                                   a share of the side; 0 where there are none

    A row belongs to the margin while 98 % of its pixels lie within 14 levels, on each channel, of the median
    colour of the outermost row; columns likewise. Of large images, pixels at equal distances in a line are
    looked at, at least 48. An image of one colour is margin altogether: all sides are 1, and it is no
    letterbox. Clip art on a white ground has a margin on all four sides and no letterbox: that needs bars of
    the same colour on two opposite sides, at least 2 % of the side each and equal to 2 %, and a picture that
    reaches both other sides.

    Suggested: image_letterbox {max: 0.1}. It takes 0.2 % of the images of `curate demo`, which plants none
    (scenes with plain ground on two sides), no cut-out photo, 0.3 % of a manual's pictures, 0.4 % of clip
    art, and finds nearly all demo pictures that reach the edges once they are given bars. Half of all clip
    art has a border_share above 0.3: bound that for photos only.
    """

    stage: Literal["border"] = "border"
    level: ClassVar[Level] = "image"

    def reads(self) -> frozenset[str]:
        return frozenset({CANONICAL})

    def writes(self) -> pa.Schema:
        names = ("border_top", "border_bottom", "border_left", "border_right", "border_share", "letterbox")
        return pa.schema([(f"image_{name}", pa.float32()) for name in names])

    def open(self) -> Op:
        names = self.writes().names

        def op(table: pa.Table) -> Out:
            found = [(None,) * 6 if f is None else _measured(f) for f in frames(table[CANONICAL])]
            return Out(
                {name: pa.array([row[i] for row in found], pa.float32()) for i, name in enumerate(names)}
            )

        return op


class _Margin(NamedTuple):
    share: float
    colour: npt.NDArray[np.int16]


def _measured(frame: npt.NDArray[np.uint8]) -> tuple[float, ...]:
    rows = every_nth_row(frame.swapaxes(0, 1)).swapaxes(0, 1)  # all of them, of fewer pixels each
    columns = every_nth_row(frame).swapaxes(0, 1)
    sides = [_margin(lines) for lines in (rows, rows[::-1], columns, columns[::-1])]
    top, bottom, left, right = (side.share for side in sides)
    inner = max(0.0, 1 - top - bottom) * max(0.0, 1 - left - right)
    bars = max(_bars(sides[0], sides[1], left, right), _bars(sides[2], sides[3], top, bottom))
    return top, bottom, left, right, 1 - inner, bars


def _bars(one: _Margin, other: _Margin, *across: float) -> float:
    """Their sum where two margins are the bars of a letterbox, else 0."""
    thin = min(one.share, other.share) < _LEAST
    unequal = abs(one.share - other.share) > _UNEQUAL
    framed = max(across) >= _LEAST  # all around, or plain altogether
    two_colours = np.abs(one.colour - other.colour).max() > _TOLERANCE
    return 0.0 if thin or unequal or framed or two_colours else one.share + other.share


def _margin(frame: npt.NDArray[np.uint8]) -> _Margin:
    """Lines of one colour from the first on."""
    lines = len(frame)
    colour = np.sort(frame[0].T)[:, frame.shape[1] // 2].astype(np.int16)
    low = np.maximum(colour - _TOLERANCE, 0).astype(np.uint8)
    span = np.minimum(colour + _TOLERANCE, 255).astype(np.uint8) - low
    plain, step = 0, 1
    while plain < lines:
        # most pictures end at once, a wide margin is taken in ever larger steps
        some = frame[plain : plain + step]
        close = some - low <= span  # what is lower wraps round to above
        inside = np.count_nonzero(close[..., 0] & close[..., 1] & close[..., 2], axis=1)
        broken = np.flatnonzero(inside < (1 - _OUTLIERS) * some.shape[1])
        if len(broken):
            plain += int(broken[0])
            break
        plain, step = plain + len(some), 2 * step
    return _Margin(plain / lines, colour)
