from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from curate.errors import RecipeError
from stages.keep import Keep


def dropped(values: pa.Array, **bound: Any) -> list[str | None]:
    """Reasons without the column's name."""
    keep = Keep.model_validate({"bounds": {"x": bound}})
    drop = keep.open()(pa.table({"x": values})).drop
    assert drop is not None
    assert set(drop.drop_null().to_pylist()) <= keep.reasons()
    return [None if reason is None else reason.removeprefix("x.") for reason in drop.to_pylist()]


def test_both_ends_are_inclusive() -> None:
    for kind in (pa.int32(), pa.float32(), pa.float64()):
        assert dropped(pa.array([1, 2, 5, 6], kind), min=2, max=5) == ["below_min", None, None, "above_max"]


def test_nan_lies_outside_every_bound() -> None:
    nan = pa.array([float("nan"), 1.0])
    assert dropped(nan, min=0) == ["below_min", None]
    assert dropped(nan, max=2) == ["above_max", None]
    assert dropped(nan, missing="drop") == [None, None], "NaN is not null"
    assert dropped(nan, **{"in": [1]}) == ["not_in", None]


def test_null() -> None:
    values = pa.array([None, 3])
    assert dropped(values, min=4) == ["missing", "below_min"]
    assert dropped(values, min=4, missing="keep") == [None, "below_min"]
    assert dropped(values, not_in=[3], missing="keep") == [None, "in"]
    assert dropped(pa.array([None, "a"]), **{"in": ["b"], "missing": "keep"}) == [None, "not_in"]


def test_in_and_not_in() -> None:
    assert dropped(pa.array(["a", "b", "c"]), **{"in": ["a", "b"], "not_in": ["b"]}) == [None, "in", "not_in"]
    assert dropped(pa.array([True, False]), **{"in": [True]}) == [None, "not_in"]
    assert dropped(pa.array([1, 2], pa.int16()), not_in=[2]) == [None, "in"]


def test_integers_are_compared_exactly() -> None:
    big = 2**53
    values = pa.array([big, big + 1], pa.int64())
    assert dropped(values, min=big + 1) == ["below_min", None]
    assert dropped(values, max=big) == [None, "above_max"]
    small = pa.array([0, 1, 2], pa.int8())
    assert dropped(small, min=0.5, max=1.5) == ["below_min", None, "above_max"]
    assert dropped(small, min=-1000, max=1000) == [None, None, None]
    assert dropped(small, min=1000) == ["below_min"] * 3
    assert dropped(pa.array([2**64 - 1], pa.uint64()), min=0, max=2**64 - 2) == ["above_max"]


def test_floats_are_compared_in_the_columns_precision() -> None:
    """0.7 as float32 is 0.69999999: still not below a bound of 0.7."""
    values = pa.array([0.7, 0.1], pa.float32())
    assert dropped(values, min=0.7) == [None, "below_min"]
    assert dropped(values, max=0.1) == ["above_max", None]


def test_of_several_reasons_the_first_by_column() -> None:
    table = pa.table({"b": [1, 9], "a": [9, 9]})
    for order in ("ab", "ba"):
        keep = Keep.model_validate({"bounds": {name: {"max": 5} for name in order}})
        assert keep.open()(table).drop.to_pylist() == ["a.above_max", "a.above_max"]


def test_levels() -> None:
    bounds = {"image_w": {"min": 1}, "licence": {"in": ["cc0"]}, "text_n": {"max": 5}, "image_h": {"min": 1}}
    keep = Keep.model_validate({"id": "k", "bounds": bounds})
    split = keep.by_level()
    assert [(level, sorted(part.reads())) for level, part in split] == [
        ("image", ["image_h", "image_w"]),
        ("text", ["text_n"]),
        ("sample", ["licence"]),
    ]
    assert {part.id for _, part in split} == {"k"}


def test_empty_table() -> None:
    assert dropped(pa.array([], pa.int64()), min=1) == []


TYPES = {"n": pa.int32(), "f": pa.float32(), "s": pa.string(), "b": pa.bool_(), "v": pa.list_(pa.int8())}
SCHEMA = pa.schema(TYPES)


@pytest.mark.parametrize(
    ("bounds", "place"),
    [
        ({"s": {"min": 1}}, "bounds.s"),
        ({"b": {"max": 1}}, "bounds.b"),
        ({"v": {"missing": "drop"}}, "bounds.v"),
        ({"n": {"in": ["a"]}}, "bounds.n"),
        ({"n": {"in": [True]}}, "bounds.n"),
        ({"n": {"in": [1.5]}}, "bounds.n"),
        ({"n": {"not_in": [2**40]}}, "bounds.n"),
        ({"f": {"in": ["a"]}}, "bounds.f"),
        ({"s": {"not_in": [1]}}, "bounds.s"),
        ({"b": {"in": [1]}}, "bounds.b"),
        ({"m": {"min": 1}}, "bounds.m"),
    ],
)
def test_bounds_a_column_cannot_have(bounds: dict[str, Any], place: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Keep.model_validate({"bounds": bounds}).check_columns(SCHEMA)
    assert caught.value.place == place


def test_bounds_a_column_can_have() -> None:
    bounds = {"n": {"min": 0.5, "in": [1, 2]}, "f": {"in": [1, 0.5]}, "s": {"in": ["a"]}, "b": {"in": [True]}}
    keep = Keep.model_validate({"bounds": bounds})
    keep.check_columns(SCHEMA)
    table = pa.table({"n": [1], "f": [0.5], "s": ["a"], "b": [True]}, schema=SCHEMA.remove(4))
    assert keep.open()(table).drop.to_pylist() == [None]


@pytest.mark.parametrize(
    "bounds",
    [
        {},
        {"x": {}},
        {"x": {"min": 2, "max": 1}},
        {"x": {"min": "a"}},
        {"x": {"min": True}},
        {"x": {"minimum": 1}},
        {"x": {"min": float("nan")}},
        {"x": {"in": []}},
    ],
)
def test_nonsense_is_refused(bounds: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Keep.model_validate({"bounds": bounds})
