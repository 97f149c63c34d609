from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from curate.stage import Born
from stages.sample.pairs import Pairs, cut


def document(**columns: Any) -> pa.Table:
    """One document, thinned: image 1 of three has died."""
    base = {
        "layout": "tittit",
        "text_body": ["The first paragraph.", "short", "Just before the last.", "tiny"],
        "image_ref": ["ref0", "ref2"],
        "image_index": [0, 2],
        "image_alt": ["An alternative text", "logo"],
        "image_caption": [None, " "],
        "image_width": [100, 200],
        "licence": "cc0",
        "n_images": 2,
    }
    return pa.table({name: [value] for name, value in (base | columns).items()})


def texts(born: Born) -> list[tuple[str, str, int]]:
    columns = (born.children["text_body"], born.children["text_source"], born.ordinal)
    return [
        (text[0], source[0], k) for text, source, k in zip(*[c.to_pylist() for c in columns], strict=True)
    ]


def test_order_of_preference() -> None:
    born = Pairs().open()(document())
    assert texts(born) == [("An alternative text", "alt", 0), ("Just before the last.", "nearest", 2)]
    caption = document(image_caption=["A caption, at last", None])
    assert texts(Pairs().open()(caption))[0] == ("A caption, at last", "caption", 0)


def test_children_take_over_what_belongs_to_their_image() -> None:
    born = Pairs().open()(document())
    first, second = born.children.to_pylist()
    assert (first["layout"], first["shape"]) == ("it", "pair")
    assert second["image_ref"] == ["ref2"]
    assert second["image_width"] == [200]
    assert second["licence"] == "cc0"
    assert "n_images" not in second, "a fact about the page"
    assert "image_index" not in second


@pytest.mark.parametrize(
    ("choice", "found"),
    [
        ("before", [("The first paragraph.", "before", 0), ("Just before the last.", "before", 2)]),
        ("after", []),
        ("nearest", [("The first paragraph.", "nearest", 0), ("Just before the last.", "nearest", 2)]),
    ],
)
def test_neighbours(choice: str, found: list[Any]) -> None:
    """The texts behind the two images are too short."""
    born = Pairs.model_validate({"text": [choice], "min_chars": 6}).open()(document())
    assert texts(born) == found
    assert born.drop.to_pylist() == ([None] if found else ["no_pair"])


def test_of_two_equally_near_the_one_behind() -> None:
    page = document(
        layout="tit",
        text_body=["The one before.", "The one behind."],
        image_ref=["r"],
        image_index=[0],
        image_alt=[None],
        image_caption=[None],
        image_width=[1],
    )
    assert texts(Pairs().open()(page)) == [("The one behind.", "nearest", 0)]


def test_documents_without_pairs() -> None:
    empty = document(layout="t", text_body=["Only a text."], image_ref=[], image_index=[], image_alt=[],
                     image_caption=[], image_width=[])  # fmt: skip
    table = pa.concat_tables([document(), empty, document()], promote_options="permissive").combine_chunks()
    born = Pairs(min_chars=15).open()(table)
    assert born.drop.to_pylist() == [None, "no_pair", None]
    assert born.parent.to_pylist() == [0, 0, 2, 2]
    assert born.ordinal.to_pylist() == [0, 2, 0, 2]


@pytest.mark.parametrize(
    ("text", "limit", "left"),
    [
        ("One. Two. Three.", 16, "One. Two. Three."),
        ("One. Two. Three.", 15, "One. Two."),
        ("One. Two. Three.", 9, "One. Two."),
        ("One. Two. Three.", 8, "One."),
        ('He said "yes." Then left.', 16, 'He said "yes."'),
        ("no sentence ends here", 12, "no sentence"),
        ("no sentence ends here", 11, "no sentence"),
        ("价格是3.5元。第二句很长很长", 9, "价格是3.5元。"),
        ("version 3.14159 of it", 13, "version"),
        ("unbreakable", 4, "unbr"),
    ],
)
def test_cut(text: str, limit: int, left: str) -> None:
    assert cut(text, limit) == left
