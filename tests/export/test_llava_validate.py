"""The checker itself: good rows pass, and each way to break one is found."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from workshop import encoded, picture

from curate.export import llava


def good() -> dict[str, Any]:
    return {
        "id": "a-1_2",
        "image": "images/a.jpg",
        "conversations": [
            {"from": "human", "value": "<image>\nWhat is it?"},
            {"from": "gpt", "value": "一个杯子。"},
            {"from": "human", "value": "1 < 2 > 0 and <b>bold</b>?"},
            {"from": "gpt", "value": "Yes, said the ASSISTANT."},
        ],
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    exif = Image.Exif()
    exif[0x0112] = 3
    (tmp_path / "images").mkdir()
    files = {
        "a.jpg": encoded(picture(0), "JPEG"),
        "grey.jpg": encoded(picture(0, mode="L"), "JPEG"),
        "cmyk.jpg": encoded(picture(0, mode="CMYK"), "JPEG"),
        "alpha.png": encoded(picture(0, mode="RGBA"), "PNG"),
        "turned.jpg": encoded(picture(0), "JPEG", exif=exif),
        "small.jpg": encoded(picture(0, (27, 40)), "JPEG"),
        "long.jpg": encoded(picture(0, (28 * 201, 28)), "JPEG"),
        "cut.jpg": encoded(picture(0, (640, 480)), "JPEG")[:-500],
        "text.jpg": b"<html>",
    }
    for name, data in files.items():
        (tmp_path / "images" / name).write_bytes(data)
    return tmp_path


def test_good_rows_pass(root: Path) -> None:
    text_only = {"id": "b", "conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}
    assert llava.validate([good(), text_only], root) == []


def _set(turn: int, **fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda row: row["conversations"][turn].update(fields)


def _put(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda row: row.update(fields)


@pytest.mark.parametrize(
    ("breaks", "finding"),
    [
        (_put(id="a.b"), "id is not"),
        (_put(id="ä"), "id is not"),
        (_put(id=7), "id is not"),
        (_put(conversations=[]), "no conversations"),
        (_put(length=3), "`length`"),
        (lambda row: row["conversations"].pop(), "alternate"),
        (lambda row: row["conversations"].pop(0), "alternate"),
        (_set(0, **{"from": "user"}), "alternate"),
        (_set(1, **{"from": "human"}), "alternate"),
        (_set(0, value="What is it?"), "turn 0 has 0 image markers"),
        (_set(0, value="<image>\n<image>\nWhat?"), "turn 0 has 2 image markers"),
        (_set(2, value="<image>\nAnd this?"), "turn 2 has 1 image markers"),
        (_set(1, value="An <image>."), "turn 1 has 1 image markers"),
        (_set(0, value="What is it?\n<image>"), "lead"),
        (_set(0, value="<image>\n"), "turn 0 has no text"),
        (_set(3, value=" \n"), "turn 3 has no text"),
        (_set(3, value=None), "turn 3 has no text"),
        (_set(1, value="a</s>b"), "'</s>'"),
        (_set(1, value="so the ASSISTANT: says"), "ASSISTANT"),
        (_set(2, value="ASSISTANT: what?"), "ASSISTANT"),
        (_set(1, value="<|im_start|>user"), "im_start"),
        (_put(image=None), "not a path"),
        (_put(image=["images/a.jpg"]), "not a path"),
        (_put(image="/images/a.jpg"), "relative"),
        (_put(image="images/../images/a.jpg"), "relative"),
        (_put(image="https://x.org/a.jpg"), "relative"),
        (_put(image="images/é.jpg"), "relative"),
        (_put(image="images/none.jpg"), "cannot be opened"),
        (_put(image="images/text.jpg"), "cannot be opened"),
        (_put(image="images/cut.jpg"), "cannot be opened"),
        (_put(image="images/grey.jpg"), "is L, not RGB"),
        (_put(image="images/cmyk.jpg"), "is CMYK, not RGB"),
        (_put(image="images/alpha.png"), "is RGBA, not RGB"),
        (_put(image="images/turned.jpg"), "not upright"),
        (_put(image="images/small.jpg"), "side of 27"),
        (_put(image="images/long.jpg"), "200 times"),
        (lambda row: row.pop("image"), "turn 0 has 1 image markers"),
    ],
)
def test_each_way_to_break_a_row_is_found(
    root: Path, breaks: Callable[[dict[str, Any]], None], finding: str
) -> None:
    row = copy.deepcopy(good())
    breaks(row)
    findings = llava.validate([row], root)
    assert any(finding in f for f in findings), findings


def test_an_id_that_comes_twice_and_an_empty_file_are_found(root: Path) -> None:
    assert llava.validate([good(), good()], root) == ["row 1 (a-1_2): id comes twice"]
    assert llava.validate([], root) == ["no rows"]


@pytest.mark.parametrize(
    "text",
    [
        *(
            "<image>",
            "<video>",
            "<audio>",
            "<img>",
            "</img>",
            "<box>",
            "<ref>",
            "<quad>",
            "<bbox>",
            "<ref-object>",
        ),
        *(
            "<cot-process>",
            "<start-image>",
            "<image_07>",
            "<IMG_CONTEXT>",
            "</s>",
            "<|im_start|>",
            "<|im_end|>",
        ),
        *("<|image_pad|>", "<|vision_start|>", "<slice>", "<im_start>", "the ASSISTANT: no", "ASSISTANT:"),
    ],
)
def test_reserved(text: str) -> None:
    assert llava.has_reserved(text)
    assert (
        llava.refusal([{"from": "human", "value": "q"}, {"from": "gpt", "value": f"x {text}"}])
        == "reserved_token"
    )


@given(st.text(min_size=1), st.sampled_from(["en", "zh", None]))
def test_what_is_not_refused_is_a_valid_row_and_one_line(text: str, language: str | None) -> None:
    sample = {"sample_id": "s", "key": "s", "text": text, "language": language}
    if llava.refusal(llava.turns(sample)) is None:
        row = llava.row(sample)
        assert llava.validate([row], Path("nowhere")) == []
        assert len(llava.dumps(row).splitlines()) == 1
