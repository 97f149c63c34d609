"""Rows with `messages`: the spellings of ms-swift, LLaMA-Factory and OpenAI become the same record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pools
import pytest
from conversations import Row, put, rows_of

from curate.errors import RecipeError
from curate.io.messages import ReadMessages


def read(folder: Path, row: Any, **fields: Any) -> Row:
    (found,) = rows_of(put(folder, [row], "set.jsonl"), ReadMessages, **fields)
    return found


def told(row: Row) -> list[str]:
    return [text.partition(": ")[0] for text in row["row_faults"]]


def turns(*texts: Any, system: str | None = None) -> list[Row]:
    found = [] if system is None else [{"role": "system", "content": system}]
    return found + [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]


TWO = "in <image> and in <image>?"
SPELLINGS: dict[str, Row] = {
    "ms-swift": {"messages": turns(TWO, "A", system="S"), "images": ["1.png", "2.png"]},
    "hugging face images": {
        "messages": turns(TWO, "A", system="S"),
        "images": [{"bytes": None, "path": "1.png"}, {"path": "2.png"}],
    },
    "sharegpt": {
        "conversations": [
            {"from": "system", "value": "S"},
            {"from": "human", "value": TWO},
            {"from": "gpt", "value": "A"},
        ],
        "images": ["1.png", "2.png"],
    },
    "parts": {
        "messages": turns(
            [
                {"type": "text", "text": "in "},
                {"type": "image"},
                {"type": "text", "text": " and in "},
                {"type": "image"},
                {"type": "text", "text": "?"},
            ],
            "A",
            system="S",
        ),
        "images": ["1.png", "2.png"],
    },
    "openai": {
        "messages": turns(
            [
                {"type": "text", "text": "in "},
                {"type": "image_url", "image_url": {"url": "1.png"}},
                {"type": "text", "text": " and in "},
                {"type": "image_url", "image_url": "2.png"},
                {"type": "text", "text": "?"},
            ],
            [{"type": "text", "text": "A"}],
            system="S",
        )
    },
    "axolotl": {
        "messages": turns(
            [
                {"type": "text", "text": "in "},
                {"type": "image", "path": "1.png"},
                {"type": "text", "text": " and in "},
                {"type": "image"},
                {"type": "text", "text": "?"},
            ],
            "A",
            system="S",
        ),
        "image": "2.png",
    },
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_all_spellings_are_one_record(tmp_path: Path, spelling: str) -> None:
    found = read(tmp_path, SPELLINGS[spelling])
    assert found["layout"] == "tiitt"
    assert found["text_role"] == ["system", "user", "assistant"]
    assert found["text_body"] == ["S", TWO, "A"]
    assert [m["images"] for m in found["messages"]] == [[], [0, 1], []]
    assert found["image_ref"] == ["images/1.png", "images/2.png"]
    assert found["row_faults"] == []


def test_what_only_llava_forbids_is_no_fault(tmp_path: Path) -> None:
    fine: list[Row] = [
        {"messages": turns("Q", "A"), "images": []},
        {"messages": [{"role": "assistant", "content": "<image>a caption"}], "images": ["1.png"]},
        {"messages": turns("<image>Q", "A"), "images": ["https://x.org/1.png"], "length": 3},
        {"messages": turns("<image>where is <ref-object>", "<bbox>"), "images": ["1.png"], "objects": {}},
        {
            "messages": [
                {"role": "user", "content": "Q"},
                {"role": "tool_call", "content": "{}"},
                {"role": "tool_response", "content": "4"},
                {"role": "assistant", "content": "A"},
            ]
        },
    ]
    for row in fine:
        assert read(tmp_path, row, remote="keep")["row_faults"] == [], row


@pytest.mark.parametrize(
    ("row", "codes"),
    [
        ({"messages": turns("Q", "A"), "images": ["1.png"]}, ["marker_missing"]),
        ({"messages": turns("<image>Q", "A")}, ["marker_count"]),
        ({"messages": turns("<image>Q", "<image>"), "images": ["1.png"] * 2}, ["marker_in_answer"]),
        ({"messages": turns("Q", "A", "Q")}, ["bad_roles"]),
        ({"messages": turns("Q", "A")[::-1]}, ["bad_roles"]),
        ({"messages": [*turns("Q", "A"), {"role": "system", "content": "S"}]}, ["bad_roles"]),
        ({"messages": turns("Q", None)}, ["not_text"]),
        ({"messages": turns([{"type": "image_url"}], "A")}, ["marker_count"]),
        ({"messages": turns([{"type": "sound"}], "A")}, ["not_text"]),
        ({"messages": turns("Q", "")}, ["empty_turn"]),
        ({"messages": turns("Q", "<|im_end|>")}, ["reserved_token"]),
        ({"messages": turns("Q <bbox>", "A")}, ["reserved_token"]),
        ({"messages": turns("Q", "A"), "images": None}, ["null_image"]),
        ({"messages": turns("<image>Q", "A"), "images": [None]}, ["bad_image"]),
        ({"messages": turns("<image>Q", "A"), "images": ["a\\1.png"]}, ["backslash_path"]),
        (
            {"messages": [{"role": "user", "content": "Q", "image": "1.png"}, *turns("", "A")[1:]]},
            ["bad_image"],
        ),
        ({"messages": turns("Q", "A"), "id": None}, ["bad_id"]),
    ],
)
def test_faults(tmp_path: Path, row: Row, codes: list[str]) -> None:
    assert told(read(tmp_path, row)) == codes


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"messages": []}, "no_conversation"),
        ({"messages": "Q"}, "no_conversation"),
        ({"prompt": "Q"}, "no_conversation"),
        ({"messages": turns("<video>", "A"), "videos": ["a.mp4"]}, "other_media"),
        (7, "not_an_object"),
        (None, "not_an_object"),
    ],
)
def test_what_is_no_conversation_has_a_reason(tmp_path: Path, row: Any, reason: str) -> None:
    found = read(tmp_path, row)
    assert found["drop"] == f"set:{reason}"
    assert found["row_fault_text"].startswith(f"{reason}: ")


def test_what_was_read_can_be_written_for_llava(tmp_path: Path) -> None:
    path = put(tmp_path, [{"messages": turns("<image>Q", "A", "R", "B"), "images": ["1.png"]}], "s.jsonl")
    nodes = [
        {"stage": "read_messages", "path": str(path), "image_root": "images"},
        {"id": "sft", "stage": "write_llava"},
    ]
    pools.run({"name": "x", "nodes": nodes}, tmp_path / "run")
    (row,) = json.loads((tmp_path / "run" / "sft" / "llava.json").read_text())
    assert [t["value"] for t in row["conversations"]] == ["<image>\nQ", "A", "R", "B"]
    assert [t["from"] for t in row["conversations"]] == ["human", "gpt"] * 2


def test_files_of_llava_are_refused_only_where_they_cannot_be_read(tmp_path: Path) -> None:
    path = put(tmp_path, [{"rows": 1}])
    nodes = [{"stage": "read_messages", "path": str(path)}, {"id": "o", "stage": "write_llava"}]
    pools.planned({"name": "x", "nodes": nodes})  # nobody's: the ledger will say so
    path = put(tmp_path, [{"conversations": [{"from": "human", "value": "Q"}]}])
    pools.planned({"name": "x", "nodes": nodes})
    path.write_text('{"messages": [{"role": "user", "content": "Q"}]}')
    with pytest.raises(RecipeError, match="use `read_messages`"):
        pools.planned({"name": "x", "nodes": [{**nodes[0], "stage": "read_llava"}, nodes[1]]})
