"""The rules for rows: what trainers document is silent, each way to break it is named, and told in words."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.export import llava
from curate.export.consequences import CONSEQUENCES, told
from curate.export.dialogue import LLAVA, MESSAGES, Dialect
from curate.export.faults import BREAKING, CODES, MENDED, faults
from curate.io.llava import ReadLlava
from curate.io.messages import ReadMessages
from curate.stage import DECODE_REASONS, PAYLOAD_REASONS
from stages.common import reserved
from stages.sample.check_format import CheckFormat

Row = dict[str, Any]


def talk(*turns: tuple[str, Any], **fields: Any) -> Row:
    return {"id": "s1", **fields, "conversations": [{"from": f, "value": v} for f, v in turns]}


def good() -> Row:
    return talk(
        ("human", "<image>\nHow many mugs are on the desk?"),
        ("gpt", "Two."),
        ("human", "Which one is closer?"),
        ("gpt", "The red one, says the ASSISTANT."),
        image="coco/train2017/000000000001.jpg",
    )


# As the trainers' own documents show them.
CLEAN: dict[str, tuple[Row, Dialect]] = {
    "llava": (good(), LLAVA),
    "llava, text alone": (talk(("human", "Define entropy."), ("gpt", "...")), LLAVA),
    "llava 150k, marker behind": (talk(("human", "What?\n<image>"), ("gpt", "A bus."), image="a.jpg"), LLAVA),
    "llava pretrain": (talk(("human", "<image>"), ("gpt", "a bus"), image="a.jpg"), LLAVA),
    "internvl": (
        talk(("human", "<image>\nRead it."), ("gpt", "x"), id=1, image="a.jpg", width=897, height=1152),
        LLAVA,
    ),
    "ms-swift": (
        {
            "messages": [
                {"role": "system", "content": "s"},
                {"role": "user", "content": "<image><image>Diff?"},
                {"role": "assistant", "content": "..."},
            ],
            "images": ["/abs/a.jpg", "/abs/b.jpg"],
        },
        MESSAGES,
    ),
    "ms-swift pretrain": (
        {"messages": [{"role": "assistant", "content": "<image>caption"}], "images": ["a.jpg"]},
        MESSAGES,
    ),
    "llama-factory": (
        {
            "messages": [
                {"role": "user", "content": "<image>Who?"},
                {"role": "assistant", "content": "A cat."},
            ],
            "images": ["imgs/1.jpg"],
        },
        MESSAGES,
    ),
    "openai": (
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "Q"},
                        {"type": "image_url", "image_url": {"url": "https://x.org/a.png"}},
                    ],
                },
                {"role": "assistant", "content": "A"},
            ]
        },
        MESSAGES,
    ),
    "trl": (
        {
            "messages": [
                {"role": "user", "content": [{"type": "image", "text": None}, {"type": "text", "text": "Q"}]},
                {"role": "assistant", "content": [{"type": "text", "text": "A"}]},
            ],
            "images": ["a.png"],
        },
        MESSAGES,
    ),
}


@pytest.mark.parametrize("name", CLEAN)
def test_rows_as_their_trainers_document_them_are_silent(name: str) -> None:
    row, dialect = CLEAN[name]
    assert faults(row, dialect) == []


def turn(number: int, **fields: Any) -> Any:
    return lambda row: row["conversations"][number].update(fields)


def put(**fields: Any) -> Any:
    return lambda row: row.update(fields)


ONE_TO_BREAK = [
    (turn(0, value="<image>\n<image>\nWhat?"), "marker_count", "2 <image> for 1 image"),
    (turn(2, value="<image>\nAnd this?"), "marker_count", "2 <image> for 1 image"),
    (turn(0, value="What is it?"), "marker_missing", "no <image> for 1 image"),
    (lambda row: row.pop("image"), "marker_count", "1 <image> for 0 images"),
    (turn(0, value="In <image> what is it?"), "marker_position", "amid the text of turn 0"),
    (put(image=None, id=1), "null_image", "`image` is null"),
    (put(image=""), "null_image", '`image` is ""'),
    (put(image=[]), "null_image", "`image` is []"),
    (put(image=5), "bad_image", "image 0 is 5"),
    (put(image={"<image_00>": "a.jpg"}), "bad_image", "no path"),
    (put(image=["a.jpg"]), "several_images", "a list of 1"),
    (put(image="/data/a.jpg"), "absolute_path", "/data/a.jpg"),
    (put(image="C:\\a.jpg"), "absolute_path", "C:"),
    (put(image="imgs\\a.jpg"), "backslash_path", "imgs"),
    (put(image="https://x.org/a.jpg"), "url_path", "https://x.org/a.jpg"),
    (put(image="//x.org/a.jpg"), "url_path", "//x.org/a.jpg"),
    (lambda row: row["conversations"].pop(0), "bad_roles", 'the first turn is by "gpt"'),
    (lambda row: row["conversations"].pop(), "bad_roles", 'the last turn is by "human"'),
    (lambda row: row["conversations"].insert(2, {"from": "gpt", "value": "x"}), "bad_roles", "turns 1 and 2"),
    (turn(0, **{"from": "user"}), "bad_roles", 'turn 0 is by "user"'),
    (turn(1, **{"from": None}), "bad_roles", "turn 1 is by null"),
    (lambda row: row["conversations"].insert(0, {"from": "system", "value": "x"}), "system_turn", "turn 0"),
    (lambda row: row["conversations"].insert(2, {"from": "system", "value": "x"}), "bad_roles", "at turn 2"),
    (turn(3, value=" \n"), "empty_turn", "turn 3"),
    (turn(3, value=None), "not_text", "turn 3"),
    (turn(3, value=["x"]), "not_text", "turn 3"),
    (turn(1, value="a</s>b"), "reserved_token", "turn 1 has '</s>'"),
    (turn(1, value="so the ASSISTANT: says"), "reserved_token", "ASSISTANT:"),
    (turn(2, value="<|im_start|>user"), "reserved_token", "<|im_start|>"),
    (turn(2, value="<video> what?"), "reserved_token", "<video>"),
    (put(length=3), "length_field", "`length` is 3"),
    (lambda row: row.pop("id"), "bad_id", "there is no `id`"),
    (put(id=None), "bad_id", "null"),
    (put(id="ä"), "bad_id", "not plain ASCII"),
    (put(id=["a"]), "bad_id", '["a"]'),
    (put(id=True), "bad_id", "true"),
]


@pytest.mark.parametrize(("breaks", "code", "detail"), ONE_TO_BREAK)
def test_each_way_to_break_a_row_is_named(breaks: Any, code: str, detail: str) -> None:
    row = copy.deepcopy(good())
    breaks(row)
    found = {fault.code: fault.detail for fault in faults(row, LLAVA)}
    assert detail in found.get(code, ""), found


def test_answers_with_markers_and_numbers_that_are_none() -> None:
    row = talk(("human", "Q"), ("gpt", "see <image>"), image="a.jpg")
    assert [f.code for f in faults(row, LLAVA)] == ["marker_in_answer"]
    assert [f.code for f in faults(good(), LLAVA, finite=False)] == ["not_finite"]


def test_a_marker_in_a_later_turn_is_told() -> None:
    row = talk(("human", "Q"), ("gpt", "A"), ("human", "<image>\nR"), ("gpt", "B"), image="a.jpg")
    (fault,) = faults(row, LLAVA)
    assert str(fault) == "marker_position: <image> stands in turn 2, not in the first"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(["", "<image>", "human", "gpt", "a.png", "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["from", "value", "role", "content", "type", "text", "image", "image_url", "path", "url"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


KEYS = ("id", "image", "images", "conversations", "messages", "length", "objects")


@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ("id", "image", "images", "conversations", "messages", "length", "objects"), JSON
        ),
    ),
    st.sampled_from([LLAVA, MESSAGES]),
)
def test_no_row_is_too_odd_to_judge(row: Row, dialect: Dialect) -> None:
    found = faults(row, dialect)
    assert {f.code for f in found} <= set(CODES)
    assert [CODES.index(f.code) for f in found] == sorted(CODES.index(f.code) for f in found)
    assert all(f.detail and len(f.detail) < 200 for f in found)


@given(st.lists(st.text(min_size=1), min_size=1, max_size=3), st.booleans())
def test_what_the_checker_of_our_writer_passes_has_no_faults(texts: list[str], image: bool) -> None:
    roles = ("user", "assistant")
    messages = [{"role": roles[i % 2], "content": t, "images": []} for i, t in enumerate([*texts, *texts])]
    sample = {"sample_id": "s", "key": "s", "messages": messages, "image": "a.jpg" if image else None}
    row = llava.row(sample)
    problems = [p for p in llava.validate([row], Path("nowhere")) if "cannot be opened" not in p]
    if not problems:
        assert faults(row, LLAVA) == []


# -- in words -----------------------------------------------------------------------------------------------


def test_every_code_is_told_in_words() -> None:
    texts = CheckFormat.__doc__ or ""
    checks = {
        word.strip("`:,-; ")
        for word in texts.split()
        if word.startswith("`") and word.rstrip(":,")[-1] == "`"
    }
    checks = {c for c in checks if c in CONSEQUENCES}
    assert len(checks) == 11
    sources = ReadLlava(id="a", path=("x",)).reasons() | ReadMessages(id="a", path=("x",)).reasons()
    for code in {*CODES, *sources, *DECODE_REASONS, *PAYLOAD_REASONS}:
        assert told(code).what, code
    assert set(BREAKING).isdisjoint(MENDED)
    assert set(BREAKING) <= sources
    for known in CONSEQUENCES.values():
        assert known.what[0].islower() or known.what.startswith(("<", "NaN", "U+")), known
        assert not known.what.endswith("."), known
        assert all(": " in effect for effect in known.trainers), known


def test_the_page_of_the_audit_has_all_codes() -> None:
    page = (Path(__file__).parents[2] / "docs" / "audit.md").read_text(encoding="utf-8")
    for code, words in CONSEQUENCES.items():
        row = f"| `{code}` | {words.what} | {'; '.join(words.trainers)} |"
        assert row.replace("<image>", "`<image>`") in page, code
    assert ", ".join(f"`{code}`" for code in BREAKING) in page


def test_stages_and_writers_reserve_the_same() -> None:
    assert reserved.RESERVED.pattern == llava.RESERVED.pattern
    assert reserved.reserved("so the ASSISTANT: no") == "ASSISTANT:"
    assert reserved.reserved("a < b > c") is None
