"""LLaVA's conversation format: rows out of samples, and a checker that knows what breaks its trainers.

The row loads unchanged in LLaVA, LLaVA-NeXT, ShareGPT4V, Qwen-VL's fine-tuning, InternVL, ms-swift and
LLaMA-Factory. The rules are those their code enforces or, worse, silently trips over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from curate.export.phrasings import instruction

MARKER = "<image>"
MIN_SIDE = 28  # one merged patch of Qwen-VL, which refuses less
MAX_RATIO = 200

# What trainers cut prompts at, or replace by image features, wherever it stands.
RESERVED = re.compile(
    "|".join(
        (
            r"</?(?:image|video|audio|img|box|ref|quad|bbox|ref-object|cot-process|slice)>",
            r"<(?:start|end)-image>|<im_(?:start|end|patch)>|<image_\d+>|<IMG_CONTEXT>|</s>",
            r"<\|[A-Za-z_]{1,40}\|>",  # <|im_start|>, <|image_pad|>, <|endoftext|> ...
            r" ASSISTANT: ",  # LLaVA masks the prompt up to it
        )
    )
)
ROLES = {"user": "human", "assistant": "gpt"}
_ID = re.compile(r"[A-Za-z0-9_-]+")
# Legal in JSON and a line break to some readers of JSON Lines.
_BREAKS = {ord(c): f"\\u{ord(c):04x}" for c in "\u0085\u2028\u2029"}


def has_reserved(text: str) -> bool:
    """Whether a trainer would take part of the text for its own."""
    return RESERVED.search(f" {text} ") is not None  # the template puts the turn between spaces


def turns(sample: Mapping[str, Any], seed: int = 0) -> list[dict[str, str]]:
    """The conversation, without the marker: its `messages`, else caption and a question for it."""
    if sample.get("messages"):
        return [
            {"from": ROLES.get(m["role"], m["role"]), "value": (m["content"] or "").strip()}
            for m in sample["messages"]
        ]
    text = (sample.get("text") or "").strip()
    question = instruction(sample["sample_id"], text, sample.get("language"), seed)
    return [{"from": "human", "value": question}, {"from": "gpt", "value": text}]


def refusal(conversation: Sequence[Mapping[str, str]]) -> str | None:
    """Why no trainer can hold this conversation (of `turns`); None where it can."""
    if not conversation or any(not turn["value"] for turn in conversation):
        return "no_text"
    roles = [turn["from"] for turn in conversation]
    if roles != ["human", "gpt"] * (len(roles) // 2):
        return "bad_roles"
    if any(has_reserved(turn["value"]) for turn in conversation):
        return "reserved_token"
    return None


def row(sample: Mapping[str, Any], seed: int = 0) -> dict[str, Any]:
    """The trainer's row of a sample: `sample_id`, `key`, `image` (path or None), `text` or `messages`."""
    conversation = turns(sample, seed)
    found: dict[str, Any] = {"id": sample["key"]}
    if sample.get("image"):  # a null here kills LLaVA: rows without an image must not have the key
        found["image"] = sample["image"]
        first = conversation[0]
        conversation = [{**first, "value": f"{MARKER}\n{first['value']}"}, *conversation[1:]]
    return {**found, "conversations": conversation}


def dumps(row: Mapping[str, Any]) -> str:
    """One line of JSON."""
    text = json.dumps(row, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.translate(_BREAKS)


def validate(rows: Iterable[Mapping[str, Any]], image_root: Path) -> list[str]:
    """Everything wrong with rows of LLaVA's format, one line a finding."""
    problems: list[str] = []
    seen: set[str] = set()
    for number, found in enumerate(rows):
        id = found.get("id")
        place = f"row {number} ({id})"
        if not isinstance(id, str) or not _ID.fullmatch(id):
            problems.append(f"{place}: id is not ASCII letters, digits, - and _")
        elif id in seen:
            problems.append(f"{place}: id comes twice")
        else:
            seen.add(id)
        problems += [f"{place}: {p}" for p in _check_turns(found)]
        if "image" in found:
            problems += [f"{place}: {p}" for p in _check_image(found["image"], image_root)]
    if not seen:
        problems.append("no rows")
    return problems


def _check_turns(found: Mapping[str, Any]) -> list[str]:
    problems = []
    conversation = found.get("conversations")
    if not isinstance(conversation, list) or not conversation:
        return ["no conversations"]
    if "length" in found:
        problems.append("a field `length`: InternVL reads its own there")
    roles = [turn.get("from") for turn in conversation]
    if roles != ["human", "gpt"] * (len(roles) // 2):
        problems.append(f"roles do not alternate human, gpt: {roles}")
    for i, turn in enumerate(conversation):
        value = turn.get("value")
        if not isinstance(value, str) or not value.replace(MARKER, "").strip():
            problems.append(f"turn {i} has no text")
            continue
        if value.count(MARKER) != (1 if "image" in found and i == 0 else 0):
            problems.append(f"turn {i} has {value.count(MARKER)} image markers")
        elif i == 0 and "image" in found and not value.startswith(f"{MARKER}\n"):
            problems.append("the image marker does not lead its turn")
        reserved = RESERVED.search(f" {value.replace(MARKER, '')} ")
        if reserved:
            problems.append(f"turn {i} has the reserved {reserved[0]!r}")
    return problems


def _check_image(path: Any, root: Path) -> list[str]:
    from PIL import Image

    from curate.export.jpeg import BROKEN

    if not isinstance(path, str) or not path:
        return ["image is not a path"]
    if not path.isascii() or "\\" in path or "://" in path or path.startswith("/") or ".." in path.split("/"):
        return [f"{path} is not a relative ASCII path"]
    problems = []
    try:
        with Image.open(root / path) as image:
            if image.mode != "RGB":
                problems.append(f"{path} is {image.mode}, not RGB")
            if image.getexif().get(0x0112, 1) not in (0, 1):
                problems.append(f"{path} is not upright")
            short, long = sorted(image.size)
            image.load()
    except BROKEN as error:
        return [f"{path} cannot be opened: {error}"]
    if short < MIN_SIDE:
        problems.append(f"{path} has a side of {short} pixels, less than {MIN_SIDE}")
    if long > MAX_RATIO * short:
        problems.append(f"{path} is more than {MAX_RATIO} times as long as it is wide")
    return problems
