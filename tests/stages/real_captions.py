"""Captions that people wrote, from two real collections: short, often alike, in seventy languages."""

from __future__ import annotations

import hashlib
import html
import re

from collections_of_debian import ORIGINALS, STAMPS, need


def captions(count: int) -> list[str]:
    """So many different ones, chosen by their hash: titles and descriptions of Open Clip Art, and what Tux
    Paint's stamps are called in each language (Chinese, Japanese and Thai among them)."""
    need("openclipart", "tuxpaint")
    found = set()
    for path in ORIGINALS.rglob("*.svg"):
        metadata = path.read_text(errors="replace").partition("</metadata>")[0]
        for _, text in re.findall(r"<dc:(title|description)>(.*?)</dc:\1>", metadata, re.DOTALL):
            found.add(" ".join(html.unescape(text).split()))
    for path in STAMPS.rglob("*.txt"):
        first, *others = path.read_text(encoding="utf-8").splitlines()
        found |= {first.strip(), *(line.partition(".utf8=")[2].strip() for line in others)}
    by_hash = sorted(found - {""}, key=lambda t: hashlib.sha256(t.encode()).digest())
    return by_hash[:count]
