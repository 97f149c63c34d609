"""An audit of rows: their findings, and figures of the whole set that add up over shards."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from curate.export.consequences import told

# Judged by the rules for rows already where a row has turns, and there with the images it has in mind.
_OF_ROWS = frozenset({"reserved_token", "empty_text"})
_MARK = re.compile(r"(?:.+_)?duplicate$")
_QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
_DIGITS = 3  # of a figure, so that there are at most 900 different ones in each power of ten


def finding(
    code: str, detail: str, level: str = "sample", index: int = -1, of: str | None = None
) -> dict[str, Any]:
    """One finding, without the place of its row. `of`: the sample that a duplicate is one of."""
    effects = "; ".join(told(code).trainers)
    where = {"level": level, "index": index}
    return {**where, "code": code, "detail": detail, "of": of, "consequence": effects}


def split(text: str) -> tuple[str, str]:
    """`code: detail` apart."""
    code, _, detail = text.partition(": ")
    return code, detail


def marks(columns: Iterable[str]) -> list[str]:
    """Columns in which `exact` (action: mark) says what is a duplicate."""
    return sorted(name for name in columns if _MARK.fullmatch(name))


def findings(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The findings of a living row, given as the columns there are (those of items as lists, thinned).

    `image_drop` and `text_drop` are those of all its items, dropped ones included.
    """
    faults = row.get("row_faults")
    for text in faults or ():
        yield finding(*split(text))
    for level in ("image", "text"):
        places = row.get(f"{level}_index") or ()
        for index, texts in zip(places, row.get(f"{level}_faults") or (), strict=False):
            for text in texts or ():
                code, detail = split(text)
                if faults is None or code not in _OF_ROWS:
                    yield finding(code, detail, level, index)
        for index, drop in enumerate(row.get(f"{level}_drop") or ()):
            if drop is not None:
                node, _, reason = drop.partition(":")
                yield finding(reason, f"dropped by `{node}`", level, index)
    if faults is None:  # in a conversation a number may be a good answer
        for index, kind in zip(row.get("text_index") or (), row.get("text_junk") or (), strict=False):
            if kind not in (None, "empty"):
                yield finding("junk_text", kind, "text", index)
    for name in marks(row):
        yield from _duplicates(row, name)


def _duplicates(row: Mapping[str, Any], name: str) -> Iterator[dict[str, Any]]:
    begin = name.removesuffix("duplicate")
    survivor = row.get(f"{begin}survivor")
    level = next((level for level in ("image", "text") if begin.startswith(f"{level}_")), "sample")
    what = begin.removeprefix(f"{level}_").rstrip("_") if level != "sample" else begin.rstrip("_")
    code = f"duplicate_{what or level}"
    if level == "sample":
        if row[name]:
            yield finding(code, f"as sample {survivor}", of=survivor)
        return
    indexes = row.get(f"{level}_index") or ()
    for index, duplicate, of in zip(indexes, row[name], survivor or (), strict=False):
        if duplicate:
            detail = f"as in sample {of}" if of else "in many documents"
            yield finding(code, detail, level, index, of)


class Figures:
    """Counts over rows; those of shards add up."""

    def __init__(self, counts: Mapping[str, Mapping[str, int]] | None = None) -> None:
        self.counts: dict[str, Counter[str]] = {k: Counter(v) for k, v in (counts or {}).items()}

    def count(self, name: str, value: str, times: int = 1) -> None:
        """A value of a histogram."""
        self.counts.setdefault(name, Counter())[value] += times

    def row(self, row: Mapping[str, Any], found: Iterable[Mapping[str, Any]]) -> None:
        """A row with its findings."""
        codes = Counter(f["code"] for f in found)
        texts = [text or "" for text in row["text_body"]]
        self.count("total", "rows")
        self.count("total", "images", len(row.get("image_index") or ()))
        self.count("total", "texts", len(texts))
        self.count("total", "findings", codes.total())
        self.count("total", "rows_with_findings", bool(codes))
        for code, times in codes.items():
            self.count("findings", code, times)
            self.count("rows_of", code)
        self.count("images_per_row", str(len(row.get("image_index") or ())))
        self.count("texts_per_row", str(len(texts)))
        for text in texts:
            self.count("text_chars", _rounded(len(text)))
        self.count("row_chars", _rounded(sum(map(len, texts))))
        for name in ("image_width", "image_height", "image_aspect"):
            for value in row.get(name) or ():
                if value is not None:
                    self.count(name, _rounded(value))
        for name in ("image_format", "text_language", "text_role", "text_script", "text_junk"):
            for value in row.get(name) or ():
                self.count(name, "null" if value is None else value)
        for name in marks(row):
            values = row[name] if isinstance(row[name], list) else [row[name]]
            self.count(name, "true", sum(value is True for value in values))

    def add(self, other: Figures) -> None:
        """The figures of other rows."""
        for name, counter in other.counts.items():
            self.counts.setdefault(name, Counter()).update(counter)

    def summary(self) -> dict[str, Any]:
        """summary.json: totals, findings by code, quantiles of sizes, histograms of names."""
        total = self.counts.get("total", Counter())
        codes = {
            code: {"findings": n, "rows": self.counts["rows_of"][code]}
            for code, n in _by_size(self.counts.get("findings", Counter()))
        }
        kept = ("rows", "images", "texts", "findings", "rows_with_findings")
        found: dict[str, Any] = {**{name: total[name] for name in kept}, "codes": codes}
        for name in ("text_chars", "row_chars", "image_width", "image_height", "image_aspect"):
            if self.counts.get(name):
                found[name] = quantiles(self.counts[name])
        known = {*found, "total", "findings", "rows_of"}
        for name in sorted(set(self.counts) - known):
            if _MARK.fullmatch(name):
                found[name] = self.counts[name]["true"]
            else:
                found[name] = dict(_by_size(self.counts[name]))
        return found


def quantiles(counts: Mapping[str, int]) -> dict[str, float]:
    """min, 1, 5, 25, 50, 75, 95, 99 % and max of a histogram, each a value that occurs (the nearest rank)."""
    values = sorted((float(value), n) for value, n in counts.items())
    total = sum(n for _, n in values)
    found = {}
    for share in _QUANTILES:
        rank, seen = max(1, math.ceil(share * total)), 0
        for value, n in values:
            seen += n
            if seen >= rank:
                name = {0.0: "min", 1.0: "max"}.get(share, f"p{round(share * 100):02d}")
                found[name] = int(value) if value.is_integer() else value
                break
    return found


def _rounded(value: float) -> str:
    return f"{float(f'{value:.{_DIGITS}g}'):g}"


def _by_size(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
