"""See `Pairs`."""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate.sample import PAIR, Ints, flat, level_of, single, wrap
from curate.stage import Born, Expand

Text: TypeAlias = Literal["caption", "alt", "before", "after", "nearest"]

# Columns beside the text itself that a choice rests on.
_COLUMNS = {"caption": "image_caption", "alt": "image_alt"}
_SENTENCE_END = re.compile(r"[.!?…][\"'”’»)\]]*(?=\s)|[。！？][」』”’）]*")


class Pairs(Expand):
    """A document to its image-text pairs: each image with the first long enough of its texts, as `text` says.

        caption, alt     the image's own columns image_caption, image_alt
        before, after    the text that stands directly before or behind the image
        nearest          the nearest long enough text; of two equally near the one behind, as captions stand

    A pair's number is the image's place in the original document, so that it keeps its id when other images
    die. It takes over all image columns and the sample columns of `take`, and says in `text_source` which
    text it got. A document none of whose images finds a text is dropped as `no_pair`.
    """

    stage: Literal["pairs"] = "pairs"

    text: tuple[Text, ...] = Field(
        default=("caption", "alt", "nearest"),
        min_length=1,
        description="Where to look for a text, the best place first.",
    )
    min_chars: int = Field(default=5, ge=1, description="Shorter texts are passed over.")
    max_chars: int = Field(
        default=500, ge=1, description="Longer texts are cut, at the end of a sentence where there is one."
    )
    take: tuple[str, ...] = Field(
        default=("url", "title", "licence", "language", "opt_out", "component", "split"),
        description="Sample columns that a pair takes over from its document, where it has them.",
    )

    def reads(self) -> frozenset[str]:
        columns = {_COLUMNS[choice] for choice in self.text if choice in _COLUMNS}
        return frozenset({"layout", "text_body", "image_ref", "image_index", *columns})

    def writes(self) -> pa.Schema:
        return pa.schema([("text_source", pa.list_(pa.string()))])

    def reasons(self) -> frozenset[str]:
        return frozenset({"no_pair"})

    def open(self) -> Callable[[pa.Table], Born]:
        def expand(table: pa.Table) -> Born:
            images = pc.list_value_length(single(table["image_ref"])).to_numpy(zero_copy_only=False)
            first = (np.cumsum(images) - images).tolist()
            rows, slots, texts, origins = [], [], [], []
            for row, page in enumerate(self._pages(table)):
                for image, place in enumerate(page.places):
                    found = self._text(page, image, place)
                    if found:
                        rows.append(row)
                        slots.append(first[row] + image)
                        texts.append(found[0])
                        origins.append(found[1])
            parent = np.asarray(rows, dtype=np.int64)
            children = self._children(table, parent, np.asarray(slots, dtype=np.int64))
            children |= {"text_body": _ones(pa.array(texts, pa.string()))}
            children |= {"text_source": _ones(pa.array(origins, pa.string()))}
            ordinal = flat(table["image_index"]).cast(pa.int64()).take(pa.array(slots, pa.int64()))
            childless = pa.array(np.bincount(parent, minlength=table.num_rows) == 0)
            drop = pc.if_else(childless, "no_pair", pa.scalar(None, pa.string()))
            return Born(pa.table(children), pa.array(parent), ordinal, drop)

        return expand

    def _pages(self, table: pa.Table) -> Iterator[_Page]:
        for row, layout in enumerate(table["layout"].to_pylist()):
            own = {c: table[c][row].as_py() for c in _COLUMNS.values() if c in table.column_names}
            texts = iter(table["text_body"][row].as_py())
            spans = [self._fit(next(texts)) if span == "t" else None for span in layout]
            places = [place for place, span in enumerate(layout) if span == "i"]
            yield _Page(places, spans, [place for place, text in enumerate(spans) if text], own)

    def _text(self, page: _Page, image: int, place: int) -> tuple[str, str] | None:
        """(text, where it is from), or None."""
        for choice in self.text:
            if choice in _COLUMNS:
                text = self._fit(page.own[_COLUMNS[choice]][image])
            else:
                text = page.beside(choice, place)
            if text:
                return text, choice
        return None

    def _fit(self, text: str | None) -> str | None:
        """The text, cut; None where there is none or it is too short."""
        text = (text or "").strip()
        return cut(text, self.max_chars) if len(text) >= self.min_chars else None

    def _children(self, table: pa.Table, parent: Ints, slots: Ints) -> dict[str, pa.Array]:
        columns = {
            "layout": pa.array(["it"] * len(parent), pa.string()),
            "shape": pa.array([PAIR] * len(parent), pa.string()),
        }
        for name in table.column_names:
            if level_of(name) == "image" and name != "image_index":
                columns[name] = _ones(flat(table[name]).take(pa.array(slots)))
            elif name in self.take:
                columns[name] = single(table[name]).take(pa.array(parent))
        return columns


class _Page(NamedTuple):
    places: list[int]  # where in the layout the images stand
    spans: list[str | None]  # for each place of the layout its text, null at images and short texts
    texts: list[int]  # where in the layout those texts stand
    own: dict[str, list[str | None]]  # an image's own texts

    def beside(self, choice: Text, place: int) -> str | None:
        if choice == "before":
            return self.spans[place - 1] if place else None
        if choice == "after":
            return self.spans[place + 1] if place + 1 < len(self.spans) else None
        behind = bisect(self.texts, place)
        near = self.texts[max(behind - 1, 0) : behind + 1]
        return self.spans[min(near, key=lambda p: (abs(p - place), -p))] if near else None


def cut(text: str, limit: int) -> str:
    """At most `limit` characters: whole sentences, else whole words, else what fits."""
    if len(text) <= limit:
        return text
    # One character more, so that a sentence that just fits is seen to end.
    ends = [m.end() for m in _SENTENCE_END.finditer(text, 0, limit + 1) if m.end() <= limit]
    if ends:
        return text[: ends[-1]]
    head = text[: limit + 1]
    return (head[: head.rfind(" ")] if " " in head else text[:limit]).strip()


def _ones(values: pa.Array) -> pa.Array:
    return wrap(values, np.ones(len(values), dtype=np.int64))
