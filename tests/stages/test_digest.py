from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from stages.sample.digest import Digest

LISTS = pa.list_(pa.string())
BASE: dict[str, Any] = {"layout": "itt", "text_body": ["What?", "A cup."], "image_pixel_sha256": ["p"]}


def digest(**fields: Any) -> str | None:
    row = {**BASE, **fields}
    table = pa.table(
        {name: pa.array([row[name]], pa.string() if name == "layout" else LISTS) for name in sorted(row)}
    )
    return Digest().open()(table).columns["sample_digest"][0].as_py()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "fields",
    [
        {"text_body": ["  What?\n", "A \u00a0 cup."]},
        {"text_body": ["What?", "A\tcup."]},
    ],
)
def test_white_space_makes_no_other_sample(fields: dict[str, Any]) -> None:
    assert digest(**fields) == digest()


def test_composed_and_decomposed_letters_are_one() -> None:
    assert digest(text_body=["caf\u00e9", ""]) == digest(text_body=["cafe\u0301", ""])


@pytest.mark.parametrize(
    "fields",
    [
        {"layout": "tit"},
        {"image_pixel_sha256": ["q"]},
        {"text_body": ["What?", "A Cup."]},
        {"text_body": ["What?A", "cup."]},
        {"text_body": ["A cup.", "What?"]},
        {"layout": "iitt", "image_pixel_sha256": ["p", "p"]},
        # pieces do not run into each other
        {"layout": "itt", "text_body": ["What?", "A cup.p"], "image_pixel_sha256": [""]},
    ],
)
def test_anything_else_does(fields: dict[str, Any]) -> None:
    assert digest(**fields) not in (None, digest())


def test_null_texts_are_empty_and_null_hashes_are_unknown() -> None:
    assert digest(text_body=["What?", None]) == digest(text_body=["What?", ""])
    assert digest(image_pixel_sha256=[None]) is None
    assert digest(layout="tt", image_pixel_sha256=[]) is not None
