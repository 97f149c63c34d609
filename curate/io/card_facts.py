"""What every data card says of where its samples came from, and what was, and was not, done to them.

All of it follows from the plan and the counts of the run: no card claims what no node did.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_SHOWN = 20  # values of a column, reasons of a node
# What people ask of a training set -> stages that look after it.
_CARE: tuple[tuple[str, frozenset[str]], ...] = (
    ("exact duplicates", frozenset({"exact"})),
    ("near duplicates of images", frozenset({"near_image", "near_hash", "near_set"})),
    ("near duplicates of texts", frozenset({"near_text"})),
    ("duplicates by meaning", frozenset({"semantic"})),
    ("leakage of evaluation benchmarks", frozenset({"leak_image", "leak_text"})),
    ("alignment of image and text", frozenset({"clip", "itm"})),
    ("unsafe images", frozenset({"nsfw"})),
    ("faces", frozenset({"faces"})),
    ("personal data in texts", frozenset({"pii"})),
    ("unwanted words", frozenset({"word_list"})),
    ("language", frozenset({"language", "fasttext"})),
    ("licences", frozenset({"licence"})),
    ("takedown requests", frozenset({"drop_ids"})),
)


def sections(facts: Mapping[str, Any]) -> str:
    """Markdown: sources, funnel, composition, sums and costs, known limits; nothing of what is not known."""
    parts = (_sources(facts), _funnel(facts), _composition(facts), _tokens(facts), _limits(facts))
    return "".join(parts)


def languages(facts: Mapping[str, Any]) -> list[str]:
    """Languages of the samples that are language codes of the Hugging Face hub: two or three letters."""
    tallies = facts.get("tallies") or {}
    counts = tallies.get("language") or tallies.get("text_language") or {}
    return sorted(code for code in counts if code.isascii() and code.isalpha() and 2 <= len(code) <= 3)


def _sources(facts: Mapping[str, Any]) -> str:
    named: Mapping[str, str] = facts.get("sources") or {}
    counts = (facts.get("tallies") or {}).get("dataset") or {}
    rows = [(f"`{name}`", f"`{stage}`", f"{counts.get(name, 0):,}") for name, stage in named.items()]
    return _table("Sources", ("data set", "read by", "samples here"), rows)


def _funnel(facts: Mapping[str, Any]) -> str:
    rows = []
    for node in facts.get("funnel") or ():
        reasons = sorted(node["dropped"].items(), key=lambda r: (-r[1], r[0]))
        told = ", ".join(f"{reason} {n:,}" for reason, n in reasons[:_SHOWN])
        more = f" and {len(reasons) - _SHOWN} more" if len(reasons) > _SHOWN else ""
        if node["rows_in"] or reasons:
            rows.append((f"`{node['id']}`", f"{node['rows_in']:,}", f"{node['rows_out']:,}", told + more))
    return _table("Funnel", ("node", "samples in", "out", "dropped (reason: items)"), rows)


def _composition(facts: Mapping[str, Any]) -> str:
    found = ""
    for name, counts in (facts.get("tallies") or {}).items():
        if name != "dataset" and set(counts) - {"none"}:
            most = sorted(counts.items(), key=lambda c: (-c[1], c[0]))
            rows = [(_plain(value), f"{n:,}") for value, n in most[:_SHOWN]]
            if len(most) > _SHOWN:
                rows.append((f"{len(most) - _SHOWN} others", f"{sum(n for _, n in most[_SHOWN:]):,}"))
            found += _table(f"`{name}`", ("value", "number"), rows, level=3)
    return f"\n## Composition\n{found}" if found else ""


def _tokens(facts: Mapping[str, Any]) -> str:
    totals = [(f"`{name}`", f"{n:,}") for name, n in (facts.get("totals") or {}).items()]
    found = _table("Sums", ("column", "over all samples"), totals)
    costs = facts.get("costs") or {}
    names = list(dict.fromkeys(name for told in costs.values() for name in told))
    rows = [
        (f"`{model}`", *(f"{told[name]:,.6g}" if name in told else "" for name in names))
        for model, told in costs.items()
    ]
    return found + _table("Costs", ("of", *names), rows)


def _limits(facts: Mapping[str, Any]) -> str:
    funnel = facts.get("funnel")
    if not funnel:
        return ""
    used = {node["stage"]: node["id"] for node in funnel}
    done: list[str] = []
    left: list[str] = []
    for what, stages in _CARE:
        nodes = [f"`{used[stage]}`" for stage in sorted(stages & set(used))]
        (done if nodes else left).append(f"{what} ({', '.join(nodes)})" if nodes else what)
    lines = []
    if done:
        lines.append(f"- Looked after: {'; '.join(done)}. What each found stands in the funnel.")
    if left:
        lines.append(f"- Nobody has looked for: {'; '.join(left)}.")
    return "\n## Known limits\n\n" + "".join(f"{line}\n" for line in lines)


def _table(title: str, head: Iterable[str], rows: Sequence[tuple[str, ...]], level: int = 2) -> str:
    if not rows:
        return ""
    names = list(head)
    lines = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return f"\n{'#' * level} {title}\n\n" + "".join(f"{line}\n" for line in lines)


def _plain(value: str) -> str:
    """A value out of the data as a cell of a table: no markup of its own."""
    kept = "".join(c if c.isprintable() else " " for c in value)[:80]
    for sign in "\\`|<>*_[]#":
        kept = kept.replace(sign, f"\\{sign}")
    return kept
