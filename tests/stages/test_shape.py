from __future__ import annotations

import pyarrow as pa
import pytest
from pydantic import ValidationError

from curate.errors import RecipeError
from stages.sample.shape import Shape

TABLE = pa.table(
    {
        "image_ref": [["a", "b"], [], ["c"]],
        "text_body": [["né", None, "日本"], ["x"], []],
        "image_clip": pa.array([[0.25, None], [], [float("nan")]], pa.list_(pa.float32())),
        "text_words": pa.array([[3, 9, 4], [7], []], pa.list_(pa.int32())),
    }
)


def test_counts() -> None:
    out = Shape().open()(TABLE)
    assert {name: values.to_pylist() for name, values in out.columns.items()} == {
        "n_images": [2, 0, 1],
        "n_texts": [3, 1, 0],
        "n_chars": [4, 1, 0],
    }
    later = Shape().open()(TABLE.slice(1))
    assert later.columns["n_chars"].to_pylist() == [1, 0]


def test_extremes() -> None:
    shape = Shape(maxima={"max_clip": "image_clip", "most": "text_words"}, minima={"least": "text_words"})
    out = shape.open()(TABLE)
    assert out.columns["max_clip"].to_pylist() == [0.25, None, None]
    assert out.columns["most"].to_pylist() == [9, 7, None]
    assert out.columns["least"].to_pylist() == [3, 7, None]


@pytest.mark.parametrize(
    "maxima", [{"image_best": "image_clip"}, {"best": "n_images"}, {"n_images": "image_clip"}]
)
def test_columns_that_make_no_sense(maxima: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Shape(maxima=maxima)
    with pytest.raises(ValidationError, match="twice"):
        Shape(maxima={"x": "image_clip"}, minima={"x": "image_clip"})


def test_a_string_has_no_largest_value() -> None:
    columns = pa.schema([("image_ref", pa.string()), ("text_body", pa.string())])
    with pytest.raises(RecipeError) as caught:
        Shape(maxima={"best": "image_ref"}).check_columns(columns)
    assert caught.value.place == "maxima.best"
