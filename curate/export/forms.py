"""The two forms of a pre-training output, and which samples fit them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, TypeAlias

import pyarrow as pa

from curate import sample
from curate.sample import Level
from curate.stage import CANONICAL, Map, Op, Out

Form: TypeAlias = Literal["pairs", "documents"]


class Verify(Map):
    """Decodes an image: what cannot be decoded is dropped with the decoder's reason."""

    level: ClassVar[Level] = "image"

    def reads(self) -> frozenset[str]:
        return frozenset({CANONICAL})

    def open(self) -> Op:
        return lambda table: Out()


class Admit(Map):
    """Which samples an output can hold. `verify` where no node before has looked at the pixels: an output
    must not fail over one bad image, nor hand it on."""

    kept: ClassVar[bool] = False
    verify: bool = False

    def by_level(self) -> tuple[tuple[Level, Map], ...]:
        own: tuple[Level, Map] = ("sample", self)
        return (("image", Verify()), own) if self.verify else (own,)


def unseen(offered: frozenset[str]) -> bool:
    """Whether the columns before an output show that no image was decoded."""
    return "image_width" not in offered


class AdmitForm(Admit):
    """Which samples an output of this form can hold."""

    form: Form

    def reads(self) -> frozenset[str]:
        return frozenset({"layout", "shape", "text_body"})

    def reasons(self) -> frozenset[str]:
        return frozenset({"no_image", "no_text", "not_a_pair"} if self.form == "pairs" else {"no_image"})

    def open(self) -> Op:
        judge = _pair if self.form == "pairs" else _document

        def admit(table: pa.Table) -> Out:
            columns = (table[name].to_pylist() for name in ("layout", "shape", "text_body"))
            return Out(drop=pa.array([judge(*row) for row in zip(*columns, strict=True)], pa.string()))

        return admit


def _pair(layout: str, shape: str, texts: list[str | None]) -> str | None:
    images = layout.count("i")
    if images == 0:
        return "no_image"
    if not any(t and t.strip() for t in texts):
        return "no_text"
    return None if images == len(texts) == 1 else "not_a_pair"


def _document(layout: str, shape: str, texts: list[str | None]) -> str | None:
    return None if "i" in layout or (shape == sample.TEXT_ONLY and any(texts)) else "no_image"


def dropped(reasons: Sequence[str | None]) -> list[dict[str, Any]]:
    """What a document lost: position among its images (or texts) in the source, and why."""
    return [{"index": i, "reason": reason} for i, reason in enumerate(reasons) if reason is not None]
