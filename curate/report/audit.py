"""An audit in words: findings of rows that live, off the output, and of rows that died, off the ledger."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds

from curate.errors import CurateError
from curate.export.consequences import told
from curate.sample import level_of
from curate.stage import EXPANDED

_STAGE = "write_audit"
_FIRST = 3  # rows named for each code
_COLUMNS = ("sample_id", "dataset", "source", "level", "index", "node", "reason")
_MORE = ("row_id", "image_name", "row_fault_text")  # where the source has them
_WIDTH = 90  # of a detail


@dataclass
class Code:
    """What was found under one code."""

    findings: int = 0
    rows: int = 0
    first: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Audit:
    """Everything that was found on the way to one output."""

    output: str
    rows: int
    rows_with_findings: int
    codes: dict[str, Code]
    summary: dict[str, Any]

    @property
    def findings(self) -> int:
        return sum(code.findings for code in self.codes.values())


def read(run: Path, report: Mapping[str, Any]) -> list[Audit]:
    """The audits of a run folder, one for each output of `write_audit`; `report` is its run.json."""
    made = {node["id"] for node in report["nodes"] if node["stage"] == _STAGE}
    return [_audit(run, output) for output in report["outputs"] if output["id"] in made]


def _audit(run: Path, output: Mapping[str, Any]) -> Audit:
    folder = run / output["path"]
    codes: dict[str, Code] = {}
    dead = 0
    try:
        summary = json.loads((folder / "summary.json").read_bytes())
        for row in _rows(folder / "findings.jsonl"):
            _count(codes, row)
        for died, row in _deaths(run / "ledger", output["id"]):
            dead += died
            _count(codes, row)
    except FileNotFoundError as error:
        raise CurateError(f"{folder} is not whole: {error.filename} is gone; run the recipe again") from error
    entered = output["samples"]["entered"] + output["samples"]["born"]
    return Audit(
        output=output["id"],
        rows=entered - output["samples"]["expanded"],
        rows_with_findings=summary["rows_with_findings"] + dead,
        codes=dict(sorted(codes.items(), key=lambda pair: (-pair[1].findings, pair[0]))),
        summary=summary,
    )


def _count(codes: dict[str, Code], row: list[dict[str, Any]]) -> None:
    for code, times in Counter(finding["code"] for finding in row).items():
        known = codes.setdefault(code, Code())
        known.findings += times
        known.rows += 1
        if len(known.first) < _FIRST:
            known.first.append(next(finding for finding in row if finding["code"] == code))


def _rows(path: Path) -> Iterator[list[dict[str, Any]]]:
    """The findings of one row at a time; those of a row follow each other."""
    row: list[dict[str, Any]] = []
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            finding = json.loads(line)
            if row and _place(row[0]) != _place(finding):
                yield row
                row = []
            row.append(finding)
    if row:
        yield row


def _place(finding: Mapping[str, Any]) -> tuple[Any, Any]:
    return finding["dataset"], finding["source"]


def _deaths(ledger: Path, output: str) -> Iterator[tuple[bool, list[dict[str, Any]]]]:
    """For each dead row its findings, and whether these are those it died of.

    A ledger file holds what died of a part in one segment: a document may have lost an image in another.
    Living rows' items are left out, as findings.jsonl has them.
    """
    files = [ds.dataset(str(path), format="parquet") for path in sorted(ledger.glob("*.parquet"))]
    here = ds.field("output") == output
    ends = here & (ds.field("level") == "sample") & (ds.field("reason") != EXPANDED)
    places = {
        _place(row) for file in files for row in file.to_table(["dataset", "source"], filter=ends).to_pylist()
    }
    for file in files:
        names = [name for name in (*_COLUMNS, *_MORE) if name in file.schema.names]
        rows: dict[tuple[Any, Any], list[dict[str, Any]]] = {}
        for death in file.to_table(names, filter=here).to_pylist():
            if death["reason"] not in ("sample", EXPANDED) and _place(death) in places:
                rows.setdefault(_place(death), []).append(death)
        for deaths in rows.values():
            ended = next((death for death in deaths if death["level"] == "sample"), None)
            items = [death for death in deaths if death["level"] != "sample"]
            yield ended is not None, list(_findings(ended, items))


# Of two findings about one image the sharper, by the reason it died of.
_SHARPER = {
    "outside_root": "absolute_path",
    "remote_image": "url_path",
    "missing_image": "backslash_path",
}


def _findings(row: Mapping[str, Any] | None, items: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """What is wrong with a dead row: what its items died of, its own end, and the faults that it had."""
    lines = [line.partition(": ") for line in ((row or {}).get("row_fault_text") or "").splitlines()]
    codes = {code for code, _, _ in lines}
    reasons = set()
    for item in items:
        reasons.add(item["reason"])
        if _SHARPER.get(item["reason"]) in codes:
            continue
        detail = item.get("image_name") or f"dropped by `{item['node']}`"
        yield _finding(item, item["reason"], detail)
    if row is None:
        return
    if row["reason"] not in reasons | codes:
        yield _finding(row, row["reason"], f"dropped by `{row['node']}`")
    for code, _, detail in lines:
        yield _finding(row, code, detail)


def _finding(death: Mapping[str, Any], code: str, detail: str) -> dict[str, Any]:
    names = ("dataset", "source", "row_id", "sample_id", "level", "index")
    return {**{name: death.get(name) for name in names}, "code": code, "detail": detail}


def _sources(folder: Path, ids: set[str]) -> dict[str, str]:
    """sample_id -> where the row lies that is no duplicate itself, off the index."""
    files = sorted(str(path) for path in folder.rglob("*.parquet"))
    if not ids or not files:
        return {}
    dataset = ds.dataset(files, format="parquet")
    marks = [name for name in dataset.schema.names if name.endswith("duplicate")]
    names = ["sample_id", "source", *(name for name in marks if level_of(name) == "sample")]
    rows = dataset.to_table(names, filter=ds.field("sample_id").isin(sorted(ids))).to_pylist()
    rows.sort(key=lambda row: sum(row[name] is True for name in names[2:]), reverse=True)
    return {row["sample_id"]: row["source"] for row in rows}  # the last, with the fewest marks, stays


def render(audit: Audit, run: Path) -> str:
    """A paragraph for each code, the most frequent first; the last line says it all."""
    lines: list[str] = []
    first = [finding for code in audit.codes.values() for finding in code.first]
    sources = _sources(run / audit.output, {finding["of"] for finding in first if finding.get("of")})
    for name, code in audit.codes.items():
        words = told(name)
        lines.append(f"{name}: {_many(code.findings, 'finding')} in {_many(code.rows, 'row')}")
        if words.what:
            lines[-1] += f" - {words.what}"
        lines += [f"    {effect}" for effect in words.trainers]
        lines += [f"  {_shown(finding, sources)}" for finding in code.first]
        if code.rows > len(code.first):
            lines.append(f"  and {code.rows - len(code.first):,} more")
        lines.append("")
    if audit.codes:
        lines += [
            f"all of them: {run / audit.output / 'findings.jsonl'}; rows that were dropped: {run / 'ledger'}"
        ]
        found = f"{_many(audit.findings, 'finding')} in {audit.rows_with_findings:,} of {audit.rows:,} rows"
        return "\n".join([*lines, found])
    return f"no findings in {_many(audit.rows, 'row')}"


def as_json(audit: Audit) -> dict[str, Any]:
    """The same for machines."""
    codes = {
        name: {
            "findings": code.findings,
            "rows": code.rows,
            "what": told(name).what,
            "trainers": list(told(name).trainers),
            "first": code.first,
        }
        for name, code in audit.codes.items()
    }
    return {
        "output": audit.output,
        "rows": audit.rows,
        "rows_with_findings": audit.rows_with_findings,
        "findings": audit.findings,
        "codes": codes,
        "summary": audit.summary,
    }


def _many(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _shown(finding: Mapping[str, Any], sources: Mapping[str, str]) -> str:
    id = "" if finding.get("row_id") is None else f" (id {finding['row_id']})"
    where = "" if finding["level"] == "sample" else f" {finding['level']} {finding['index']}:"
    detail = " ".join(str(finding["detail"]).split())
    if finding.get("of") in sources:
        detail = f"as {sources[finding['of']]}"
    detail = detail if len(detail) <= _WIDTH else f"{detail[: _WIDTH - 3]}..."
    return f"{finding['source']}{id}:{where} {detail}"
