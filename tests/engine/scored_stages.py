"""Scores of every level, read off what an item is: a test can know them without the engine."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import pyarrow as pa

from curate.sample import Level
from curate.stage import BYTES, Map, Op, Out


def draw(data: bytes) -> int:
    return int(hashlib.sha256(data).hexdigest()[:8], 16)


def real(data: bytes) -> float | None:
    """Many ties, and whatever else a column may hold: null, NaN, infinity, both zeros."""
    special = {0: None, 1: math.nan, 2: math.inf, 3: -0.0, 4: 0.0, 5: -math.inf}
    number = draw(data)
    return special.get(number % 30, (number % 331 - 100) / 64)


def whole(data: bytes) -> int | None:
    number = draw(data)
    return None if number % 11 == 0 else number % 97 - 40 + 2**53


class ScoreImage(Map):
    """A float32 of an image's bytes."""

    stage: Literal["score_image"] = "score_image"
    level: ClassVar[Level] = "image"

    def reads(self) -> frozenset[str]:
        return frozenset({BYTES})

    def writes(self) -> pa.Schema:
        return pa.schema([("image_score", pa.float32())])

    def scores(self) -> frozenset[str]:
        return frozenset({"image_score"})

    def open(self) -> Op:
        def op(table: pa.Table) -> Out:
            values = [None if b is None else real(bytes(b)) for b in table[BYTES].to_pylist()]
            return Out({"image_score": pa.array(values, pa.float32())})

        return op


class ScoreText(Map):
    """A float64 of a text, times a hundred million and one."""

    stage: Literal["score_text"] = "score_text"
    level: ClassVar[Level] = "text"

    def reads(self) -> frozenset[str]:
        return frozenset({"text_body"})

    def writes(self) -> pa.Schema:
        return pa.schema([("text_score", pa.float64()), ("text_label", pa.string())])

    def scores(self) -> frozenset[str]:
        return frozenset({"text_score"})

    def open(self) -> Op:
        def op(table: pa.Table) -> Out:
            found = text_scores(table["text_body"].to_pylist())
            labels = pa.nulls(len(found), pa.string())
            return Out({"text_score": pa.array(found, pa.float64()), "text_label": labels})

        return op


def text_scores(texts: Sequence[str]) -> list[Any]:
    found = [real(text.encode()) for text in texts]
    return [None if value is None else value * 100_000_001 for value in found]


class ScoreSample(Map):
    """An int64 of a sample's id."""

    stage: Literal["score_sample"] = "score_sample"
    level: ClassVar[Level] = "sample"

    def reads(self) -> frozenset[str]:
        return frozenset({"sample_id"})

    def writes(self) -> pa.Schema:
        return pa.schema([("score", pa.int64())])

    def scores(self) -> frozenset[str]:
        return frozenset({"score"})

    def open(self) -> Op:
        def op(table: pa.Table) -> Out:
            values = [whole(id.encode()) for id in table["sample_id"].to_pylist()]
            return Out({"score": pa.array(values, pa.int64())})

        return op


STAGES = (ScoreImage, ScoreText, ScoreSample)
