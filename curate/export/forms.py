"""The two forms of a pre-training output, and which samples fit them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, TypeAlias

import pyarrow as pa

from curate import sample
from curate.stage import Map, Op, Out

Form: TypeAlias = Literal["pairs", "documents"]


class AdmitForm(Map):
    """Which samples an output of this form can hold."""

    kept: ClassVar[bool] = False
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
