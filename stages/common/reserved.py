"""Texts that trainers take for their own: those of `curate.export.llava`, which a test holds equal."""

from __future__ import annotations

import re

# What trainers cut prompts at, or replace by image features, wherever it stands.
RESERVED = re.compile(
    "|".join(
        (
            r"</?(?:image|video|audio|img|box|ref|quad|bbox|ref-object|cot-process|slice)>",
            r"<(?:start|end)-image>|<im_(?:start|end|patch)>|<image_\d+>|<IMG_CONTEXT>|</s>",
            r"<\|[A-Za-z_]{1,40}\|>",
            r" ASSISTANT: ",
        )
    )
)


def reserved(text: str) -> str | None:
    """The first reserved token of a text, without spaces around it; None where there is none."""
    found = RESERVED.search(f" {text} ")
    return None if found is None else found[0].strip()
