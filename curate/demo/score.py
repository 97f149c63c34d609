"""Scores a finished run against the truth: what of the planted did it drop, and for the right reason?

A ledger holds one row per dropped sample ("level" sample) or dropped image of a sample ("level" image); what
has no row for an output survived in it.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from curate.demo.kinds import CAUGHT_BY, DOCUMENT_COUNTS, DOCUMENT_IMAGE_COUNTS, PAIR_COUNTS

Facts = dict[str, Any]
Unit = tuple[str, str, int]  # file, key, image index (-1: the sample itself)

CLEAN = "clean"  # the pseudo-kind of samples with nothing wrong: `caught` counts those lost
_PAIR_KINDS = (*(kind for kind, _ in PAIR_COUNTS), "tar_truncated")
_DOCUMENT_KINDS = tuple(kind for kind, _ in DOCUMENT_COUNTS if kind != "declared_charset")
_IMAGE_KINDS = (*(kind for kind, _ in DOCUMENT_IMAGE_COUNTS), "boilerplate_image", "tracker")
_SCOPES = {"pair": _PAIR_KINDS, "document": _DOCUMENT_KINDS, "image": _IMAGE_KINDS}
# Kinds that come as two alike samples: dropping either one is enough.
_PAIRED = frozenset(
    ("exact_duplicate_image", "near_duplicate_image", "near_duplicate_caption", "exact_duplicate_document",
     "near_duplicate_document", "duplicate_image")
)  # fmt: skip

# Kinds whose caption is not the true one.
_OTHER_WORDS = frozenset(
    ("wrong_object", "wrong_attribute", "wrong_relation", "junk_caption", "empty_caption", "foreign_caption",
     "non_utf8_caption", "missing_caption")
)  # fmt: skip


@runtime_checkable
class Table(Protocol):
    """A pyarrow table, as far as this module looks at it."""

    def to_pylist(self) -> list[dict[str, Any]]: ...


@dataclass(frozen=True)
class DefectScore:
    """One kind's result.

    `caught` of the `planted` were dropped for a reason that fits the kind, `gone` for whatever reason.
    `flagged` samples were dropped for such a reason, of which `right` really have a defect: this one, or
    another that the same reason fits (exact and near duplicates share theirs). `reasons` counts what dropped
    the planted ones.
    """

    kind: str
    scope: str  # "pair", "document" or "image" (of a document)
    planted: int
    caught: int
    gone: int
    flagged: int
    right: int
    handled: bool
    reasons: dict[str, int] = field(default_factory=dict)

    @property
    def recall(self) -> float | None:
        """Caught of planted; for the clean, the share lost."""
        return self.caught / self.planted if self.planted else None

    @property
    def precision(self) -> float | None:
        """Right of flagged."""
        return self.right / self.flagged if self.flagged else None


@dataclass
class _Case:
    """One thing that can be dropped: a sample, or an image of a document."""

    scope: str
    defects: list[str]
    findings: list[str] = field(default_factory=list)  # "node:reason" of every row about it
    twins: list[Unit] = field(default_factory=list)  # what it was copied from, or what was copied from it
    also: set[str] = field(
        default_factory=set
    )  # kinds it is touched by without being the place they were planted
    chance: set[str] = field(default_factory=set)  # kinds that a clean sample is of without anybody's doing
    lost_whole: bool = False  # an image whose document was dropped before its images were looked at


def score(
    truth_path: Path,
    ledger: Table | Iterable[Mapping[str, Any]],
    output: str,
    *,
    dataset: str | None = None,
    handled: set[str] | None = None,
    caught_by: Mapping[str, str] | None = None,
    image_index: str = "index",
) -> list[DefectScore]:
    """Scores one output. Kinds without any fitting row and not in `handled` are marked as not handled.

    dataset: "pairs" or "docs" where a run read only one of them. caught_by: patterns by kind that replace
    those of the catalogue. image_index: how the ledger counts a document's images: "index" (every <img>) or
    "content_index" (those of the article only). The last entry is the clean samples (`kind` is "clean").
    """
    patterns = {kind: re.compile(text) for kind, text in {**CAUGHT_BY, **(caught_by or {})}.items()}
    cases = _cases(truth_path, dataset, image_index)
    unknown = _note(cases, ledger, output)
    if unknown and not any(case.findings for case in cases.values()):
        raise ValueError(f"no row of the ledger is about a sample of {truth_path}, such as {unknown[0]!r}")
    scores = []
    for scope, kinds in _SCOPES.items():
        ours = {unit: case for unit, case in cases.items() if case.scope == scope and not case.lost_whole}
        present = {kind for case in ours.values() for kind in case.defects}
        scores += [_of_kind(k, scope, ours, patterns, handled or set()) for k in kinds if k in present]
    scores.append(_of_clean(cases, patterns))
    return scores


def _cases(truth_path: Path, dataset: str | None, image_index: str) -> dict[Unit, _Case]:
    with truth_path.open(encoding="utf-8") as lines:
        rows = [row for row in map(json.loads, lines) if dataset in (None, row["dataset"])]
    cases: dict[Unit, _Case] = {}
    links: list[tuple[Unit, Unit]] = []
    for row in rows:
        unit = (row["file"], row["key"], -1)
        cases[unit] = _Case("pair" if row["dataset"] == "pairs" else "document", row["defects"])
        if row["of"] is not None and set(row["defects"]) & _PAIRED:
            links.append((unit, (row["of"]["file"], row["of"]["key"], -1)))
        for image in row.get("images", ()):
            inner = (row["file"], row["key"], image[image_index])
            if inner[2] < 0:
                continue
            cases[inner] = _Case("image", image["defects"])
            if image["content_index"] >= 0:  # a page can fall with the pictures of its article
                cases[unit].also.update(image["defects"])
            source = image.get("of")
            if source is not None:
                links.append((inner, (source["file"], source["key"], source[image_index])))
    for a, b in links:
        if a in cases and b in cases:
            cases[a].twins.append(b)
            cases[b].twins.append(a)
    _mark_shared(rows, cases, image_index)
    _mark_same_words(rows, cases)
    return cases


def _mark_shared(rows: list[Facts], cases: Mapping[Unit, _Case], image_index: str) -> None:
    """A copied document's pictures are copies too, although they were not planted one by one."""
    articles = {
        row["file"]: {image["content_index"]: image[image_index] for image in row["images"]}
        for row in rows
        if row["dataset"] == "docs"
    }
    for row in rows:
        if row["dataset"] != "docs" or row["of"] is None:
            continue
        for number, place in articles[row["file"]].items():
            original = articles[row["of"]["file"]].get(number, -1)
            if number >= 0 and original >= 0:
                for file, index in ((row["file"], place), (row["of"]["file"], original)):
                    cases[(file, file, index)].also.add("duplicate_image")


def _mark_same_words(rows: list[Facts], cases: Mapping[Unit, _Case]) -> None:
    """Captions that are the same without being planted: short ones by chance, others as they are made."""
    true = {(row["file"], row["key"]): row.get("caption_true") for row in rows if row["dataset"] == "pairs"}
    said: dict[str, list[Unit]] = {}
    for row in rows:
        if row["dataset"] != "pairs":
            continue
        unit = (row["file"], row["key"], -1)
        defects = set(row["defects"])
        if defects & {"junk_caption", "foreign_caption"}:
            cases[unit].chance.add("near_duplicate_caption")
        swapped = "swapped_caption" in defects and row["of"] is not None
        source = (row["of"]["file"], row["of"]["key"]) if swapped else unit[:2]
        if swapped or not defects & _OTHER_WORDS:
            words = "".join(c for c in (true.get(source) or "").casefold() if c.isalnum())
            said.setdefault(words, []).append(unit)
    for words, units in said.items():
        for unit in units if words and len(units) > 1 else ():
            cases[unit].chance.add("near_duplicate_caption")


def _rows(ledger: Table | Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    yield from ledger.to_pylist() if isinstance(ledger, Table) else ledger


def _unit(source: str, cases: Mapping[Unit, _Case]) -> tuple[str, str] | None:
    """(file, key) of a ledger's source, which may begin with folders; None when the truth has no such."""
    if "#" in source:
        path, _, rest = source.rpartition("#")
        found = (path.replace("\\", "/").rsplit("/", 1)[-1], rest.rpartition("@")[0] or rest)
    else:
        found = ("/".join(source.replace("\\", "/").split("/")[-2:]),) * 2
    return found if (*found, -1) in cases else None


def _note(cases: dict[Unit, _Case], ledger: Table | Iterable[Mapping[str, Any]], output: str) -> list[str]:
    """Writes each row's finding to the case it is about; returns sources that the truth does not know."""
    unknown = []
    whole: set[tuple[str, str]] = set()
    for row in _rows(ledger):
        if row["output"] != output:
            continue
        name = _unit(str(row["source"]), cases)
        if name is None:
            unknown.append(str(row["source"]))
            continue
        sample = cases[(*name, -1)]
        # A pair has one image: dropping it is dropping the pair.
        inner = row["level"] == "image" and sample.scope == "document"
        case = cases.get((*name, int(row["index"]))) if inner else sample
        if case is not None:
            case.findings.append(f"{row['node']}:{row['reason']}")
        if not inner:
            whole.add(name)
    for (file, key, index), case in cases.items():
        case.lost_whole = index >= 0 and not case.findings and (file, key) in whole
    return unknown


def _fits(case: _Case, pattern: re.Pattern[str]) -> bool:
    return any(pattern.search(finding) for finding in case.findings)


def _all_defects(case: _Case, cases: Mapping[Unit, _Case]) -> set[str]:
    """The kinds a case is part of: its own, those it is touched by, and being the original of a copy."""
    own = case.also | case.chance | set(case.defects)
    for twin in case.twins:
        if twin in cases:
            own |= _PAIRED & set(cases[twin].defects)
    return own


def _of_kind(
    kind: str,
    scope: str,
    cases: Mapping[Unit, _Case],
    patterns: Mapping[str, re.Pattern[str]],
    handled: set[str],
) -> DefectScore:
    pattern = patterns[kind]
    planted = [case for case in cases.values() if kind in case.defects]
    caught = gone = 0
    reasons: Counter[str] = Counter()
    for case in planted:
        members = [case]
        if kind in _PAIRED:
            members += [cases[twin] for twin in case.twins if twin in cases]
        caught += any(_fits(member, pattern) for member in members)
        gone += bool(case.findings)
        reasons.update(case.findings[:1])
    flagged = [case for case in cases.values() if _fits(case, pattern)]
    right = sum(
        any(other in patterns and _fits(case, patterns[other]) for other in _all_defects(case, cases))
        or (scope == "document" and bool(case.also))  # what its broken pictures left of it may be too little
        for case in flagged
    )
    return DefectScore(
        kind,
        scope,
        len(planted),
        caught,
        gone,
        len(flagged),
        right,
        bool(flagged) or kind in handled,
        dict(reasons),
    )


def _of_clean(cases: Mapping[Unit, _Case], patterns: Mapping[str, re.Pattern[str]]) -> DefectScore:
    """The samples without any defect, in their pictures neither, and those lost (not: to their copy)."""
    count = lost = 0
    reasons: Counter[str] = Counter()
    for case in cases.values():
        if case.defects or case.also or case.scope == "image":
            continue
        count += 1
        shared = _all_defects(case, cases)
        if case.findings and not any(_fits(case, patterns[kind]) for kind in shared):
            lost += 1
            reasons[case.findings[0]] += 1
    return DefectScore(CLEAN, "sample", count, lost, lost, 0, 0, True, dict(reasons.most_common()))


def render(scores: Iterable[DefectScore]) -> str:
    """The scores as a plain table, then what the clean samples were lost to."""
    lines: list[tuple[str, ...]] = [
        ("defect", "scope", "planted", "caught", "recall", "gone", "flagged", "right", "precision")
    ]
    tail = ""
    for item in scores:
        if item.kind == CLEAN:
            causes = ", ".join(f"{reason} {count}" for reason, count in item.reasons.items())
            tail = f"clean samples lost: {item.caught} of {item.planted}" + (f" ({causes})" if causes else "")
        elif not item.handled:
            lines.append(
                (item.kind, item.scope, str(item.planted), "not handled", "", str(item.gone), "", "", "")
            )
        else:
            counts = (
                item.planted,
                item.caught,
                item.recall,
                item.gone,
                item.flagged,
                item.right,
                item.precision,
            )
            lines.append((item.kind, item.scope, *map(_shown, counts)))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = []
    for line in lines:
        cells = [f"{cell:<{width}}" for cell, width in zip(line[:2], widths[:2], strict=True)]
        cells += [f"{cell:>{width}}" for cell, width in zip(line[2:], widths[2:], strict=True)]
        rows.append("  ".join(cells).rstrip())
    return "\n".join([*rows, tail]) + "\n"


def _shown(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.3f}"
