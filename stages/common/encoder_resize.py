"""From an image of any size to what an image tower takes, bit by bit as the usual transforms do it.

    shortest   the short side becomes `edge`, then a centred square is cut out    OpenAI CLIP and most others
    squash     both sides become `size`, whatever the aspect was                  SigLIP, PE
    longest    the long side becomes `size`, the rest is filled                   some of open_clip

They are `Resize` + `CenterCrop` of torchvision, `ResizeKeepRatio` + `CenterCropOrPad` of open_clip (from timm
there), and the Pillow image processors of transformers, which round a centre between pixels the other way.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from stages.common.encoder import Frame

Mode: TypeAlias = Literal["shortest", "squash", "longest"]

# Beyond this aspect the whole image resized would be more than 64 times what is cut out of it, and a line
# of 10,000 pixels would cost 1.5 GB. The part alone is resized there, alike but for rounding.
_LONGEST_ASPECT = 64


class Resize(NamedTuple):
    """A transform up to `ToTensor` and `Normalize`."""

    size: int  # pixels a side of the result
    mode: Mode = "shortest"
    resample: int = 3  # Pillow's number: 1 lanczos, 2 bilinear, 3 bicubic
    fill: int = 0  # `longest`: all three channels
    edge: int | None = None  # `shortest`: where it is not `size`
    floor: bool = False  # a centre between two pixels goes to the first; else to the even one

    def __call__(self, frame: Frame) -> Frame:
        """(height, width, 3) uint8 to (size, size, 3) uint8."""
        if self.mode == "squash":
            return self._to(frame, self.size, self.size)
        if self.mode == "longest":
            return self._longest(frame)
        return self._shortest(frame)

    def _to(self, frame: Frame, height: int, width: int) -> Frame:
        from PIL import Image

        if frame.shape[:2] == (height, width):
            return frame
        return np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling(self.resample)))

    def _shortest(self, frame: Frame) -> Frame:
        height, width = frame.shape[:2]
        short, long = min(height, width), max(height, width)
        edge = self.edge or self.size
        long_edge = int(edge * long / short)
        tall, wide = (long_edge, edge) if width <= height else (edge, long_edge)
        top, left = self._start(tall), self._start(wide)
        if long > _LONGEST_ASPECT * short:
            return self._part(frame, (top, left), (tall, wide))
        resized = self._to(frame, tall, wide)
        return np.ascontiguousarray(resized[top : top + self.size, left : left + self.size])

    def _start(self, length: int) -> int:
        return (length - self.size) // 2 if self.floor else round((length - self.size) / 2)

    def _part(self, frame: Frame, start: tuple[int, int], resized: tuple[int, int]) -> Frame:
        from PIL import Image

        y, x = (n / m for n, m in zip(frame.shape[:2], resized, strict=True))
        top, left = start
        box = (left * x, top * y, (left + self.size) * x, (top + self.size) * y)
        size = (self.size, self.size)
        return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling(self.resample), box))

    def _longest(self, frame: Frame) -> Frame:
        height, width = frame.shape[:2]
        ratio = max(height / self.size, width / self.size)
        tall, wide = max(1, round(height / ratio)), max(1, round(width / ratio))
        canvas = np.full((self.size, self.size, 3), self.fill, dtype=np.uint8)
        top, left = (self.size - tall) // 2, (self.size - wide) // 2
        canvas[top : top + tall, left : left + wide] = self._to(frame, tall, wide)
        return canvas
