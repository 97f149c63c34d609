"""Quantiles of columns over the whole data set, exact at any scale: a radix selection over stored parts.

A value is mapped to an unsigned integer of its own width that sorts as it does. The first pass counts the
values by the top 16 bits; each further one looks into the bins that a wanted rank lies in, by the next 16. So
float32 takes two passes, float64 four. A pass reads the asked columns of every part and nothing else; what a
task gives back and what the driver holds are counts of at most 65,536 bins, however many rows there are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate import counting, sample
from curate.commit import FORMAT, read_json, write_json
from curate.parts import load
from curate.sample import Ints, level_of
from curate.stage import fingerprint
from curate.steps import MeasureStep, Plan, Segment
from curate.work import Context

_DIGIT = 16  # bits of a pass
_BINS = 1 << _DIGIT
_PARTS = 32  # parts of a task
PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)

Keys: TypeAlias = npt.NDArray[np.unsignedinteger[Any]]
# Runs the task `measure` for each of the arguments.
Tasks: TypeAlias = Callable[[Sequence[Mapping[str, Any]]], Iterable[Mapping[str, Any]]]


@dataclass(frozen=True)
class Ask:
    """Which values of a segment's parts: those of a column, of one data set or all (empty).

    With a `node`, of all items that came as far as that, whatever became of them; else of the living ones.
    """

    column: str
    node: str = ""
    dataset: str = ""


@dataclass
class Found:
    """Counts of the items asked for, and keys (see `_keys`) of values."""

    n: int = 0  # values, neither null nor NaN
    nulls: int = 0
    nans: int = 0
    least: int | None = None
    most: int | None = None
    # quantile -> the high bits of its key, as far as known, and its rank, from 1, among keys that share them
    places: dict[float, tuple[int, int]] = field(default_factory=dict)

    def add(self, other: Mapping[str, Any]) -> None:
        """Add what was counted in other parts."""
        self.n, self.nulls, self.nans = (
            self.n + other["n"],
            self.nulls + other["nulls"],
            self.nans + other["nans"],
        )
        if other["n"]:
            self.least = other["least"] if self.least is None else min(self.least, other["least"])
            self.most = other["most"] if self.most is None else max(self.most, other["most"])


# -- keys ---------------------------------------------------------------------------------------------------


def _width(kind: pa.DataType) -> int:
    """Bits of a key."""
    return max(32 if pa.types.is_floating(kind) else _DIGIT, int(kind.bit_width))


def _keys(values: pa.Array) -> Keys:
    """Unsigned integers that sort as the values do, which are neither null nor NaN."""
    kind = values.type
    width = _width(kind)
    numbers = values.to_numpy(zero_copy_only=False)
    unsigned = np.dtype(f"u{width // 8}").type
    sign = unsigned(1 << (width - 1))
    if pa.types.is_floating(kind):
        bits = (numbers.astype(f"f{width // 8}") + 0.0).view(unsigned)  # -0.0 is 0.0
        found: Keys = np.where(bits & sign, ~bits, bits | sign)
        return found
    if pa.types.is_unsigned_integer(kind):
        return numbers.astype(unsigned)  # type: ignore[no-any-return]
    return numbers.astype(f"i{width // 8}").view(unsigned) ^ sign  # type: ignore[no-any-return]


def value_of(key: int, kind: pa.DataType) -> int | float:
    """The value of a key."""
    width = _width(kind)
    sign = 1 << (width - 1)
    if pa.types.is_floating(kind):
        bits = key ^ sign if key & sign else ~key & (2 * sign - 1)
        return float(np.array(bits, f"u{width // 8}").view(f"f{width // 8}"))
    return key if pa.types.is_unsigned_integer(kind) else key - sign


def shown(key: int | None, kind: pa.DataType) -> int | float | str | None:
    """A value for run.json: the shortest decimal that is the same in the column's type; JSON has no inf."""
    if key is None:
        return None
    value = value_of(key, kind)
    if isinstance(value, float):
        value = value if _width(kind) > 32 else float(str(np.float32(value)))
    return value if math.isfinite(value) else str(value)


# -- on a worker --------------------------------------------------------------------------------------------


def count(
    context: Context, segment: str, parts: Sequence[str], depth: int, asks: Sequence[Sequence[Any]]
) -> dict[str, Any]:
    """The task `measure`: pass number `depth` over some parts. An ask is column, node, data set, prefixes."""
    here = context.plan.segment(segment)
    columns = {column for column, *_ in asks} | {"dataset" for _, _, dataset, _ in asks if dataset}
    tables = (load(context, here, part, frozenset(columns)) for part in parts)
    return tally(tables, here, depth, asks)


def tally(
    tables: Iterable[pa.Table], segment: Segment, depth: int, asks: Sequence[Sequence[Any]]
) -> dict[str, Any]:
    """For each ask what was counted; of the keys that begin with one of its prefixes the next 16 bits, as
    `[bins, counts]` of those bins that are not empty."""
    asked = [(Ask(*place), prefixes) for *place, prefixes in asks]
    totals = [Found() for _ in asked]
    bins = [np.zeros((len(prefixes), _BINS), dtype=np.int64) for _, prefixes in asked]
    for table in tables:
        for (ask, prefixes), total, counted in zip(asked, totals, bins, strict=True):
            _count(_values(table, segment, ask), depth, prefixes, total, counted)
    return {
        "asks": [
            {
                **{name: getattr(total, name) for name in ("n", "nulls", "nans", "least", "most")},
                "bins": [[places.tolist(), row[places].tolist()] for row, places in _filled(counted)],
            }
            for total, counted in zip(totals, bins, strict=True)
        ]
    }


def _filled(counted: Ints) -> Iterator[tuple[Ints, Ints]]:
    return ((row, np.flatnonzero(row)) for row in counted)


def _values(table: pa.Table, segment: Segment, ask: Ask) -> pa.Array:
    """The values asked for, nulls among them."""
    level = level_of(ask.column)
    column = table[ask.column]
    row_of = np.repeat(np.arange(table.num_rows), sample.lengths(table, level))
    if ask.node:
        before = pa.array(segment.nodes[: segment.nodes.index(ask.node)], pa.string())
        here = _passed(table["drop"], before)[row_of]
        if level != "sample":
            here &= _passed(sample.flat(table[f"{level}_drop"]), before)
    else:
        here = sample.alive(table, level)
    if ask.dataset:
        own = pc.equal(sample.single(table["dataset"]), ask.dataset).to_numpy(zero_copy_only=False)
        here = here & own[row_of]
    values = sample.single(column) if level == "sample" else sample.flat(column)
    return values.filter(pa.array(here))


def _passed(drops: pa.Array | pa.ChunkedArray, before: pa.Array) -> sample.Mask:
    """Which were not dropped by one of the nodes `before`."""
    node = pc.struct_field(pc.extract_regex(sample.single(drops), "^(?P<node>[^:]*)"), "node")
    return pc.invert(pc.is_in(node, value_set=before)).to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def _count(values: pa.Array, depth: int, prefixes: Sequence[int], total: Found, counted: Ints) -> None:
    valid = values.drop_null()
    total.nulls += values.null_count
    if pa.types.is_floating(valid.type):
        numbers = valid.filter(pc.invert(pc.is_nan(valid)))
        total.nans += len(valid) - len(numbers)
        valid = numbers
    if not len(valid):
        return
    keys = _keys(valid)
    found = {"n": len(keys), "nulls": 0, "nans": 0, "least": int(keys.min()), "most": int(keys.max())}
    total.add(found)
    shift = _width(valid.type) - _DIGIT * (depth + 1)
    digits = (keys >> keys.dtype.type(shift)) & keys.dtype.type(_BINS - 1)
    if not depth:
        counted[0] += np.bincount(digits, minlength=_BINS)
        return
    high = keys >> keys.dtype.type(shift + _DIGIT)
    for row, prefix in zip(counted, prefixes, strict=True):
        row += np.bincount(digits[high == keys.dtype.type(prefix)], minlength=_BINS)


# -- on the driver ------------------------------------------------------------------------------------------


def select(
    tasks: Tasks, segment: Segment, parts: Sequence[str], asked: Mapping[Ask, Sequence[float]]
) -> dict[Ask, Found]:
    """What was asked, with the key of each quantile in `places`: `numpy.quantile(method="inverted_cdf")`."""
    found = {ask: Found() for ask in asked}
    prefixes: dict[Ask, list[int]] = {ask: [0] for ask in asked}
    depth = 0
    while prefixes:
        bins = _pass(tasks, segment, parts, depth, prefixes, found)
        for ask in prefixes:
            here = found[ask]
            if not depth and here.n:
                here.places = {q: (0, max(1, math.ceil(q * here.n))) for q in asked[ask]}
            totals = {p: np.cumsum(row) for p, row in zip(prefixes[ask], bins[ask], strict=True)}
            here.places = {q: _narrowed(totals[p], p, rank) for q, (p, rank) in here.places.items()}
        depth += 1
        prefixes = {
            ask: sorted({prefix for prefix, _ in found[ask].places.values()})
            for ask in prefixes
            if found[ask].places and _width(segment.columns[ask.column].type) > _DIGIT * depth
        }
    return found


def _narrowed(totals: Ints, prefix: int, rank: int) -> tuple[int, int]:
    digit = int(np.searchsorted(totals, rank))
    return prefix << _DIGIT | digit, rank - (int(totals[digit - 1]) if digit else 0)


def _pass(
    tasks: Tasks,
    segment: Segment,
    parts: Sequence[str],
    depth: int,
    prefixes: Mapping[Ask, list[int]],
    found: Mapping[Ask, Found],
) -> dict[Ask, Ints]:
    asks = [[ask.column, ask.node, ask.dataset, wanted] for ask, wanted in prefixes.items()]
    arguments = [
        {"segment": segment.id, "parts": list(parts[i : i + _PARTS]), "depth": depth, "asks": asks}
        for i in range(0, len(parts), _PARTS)
    ]
    bins = {ask: np.zeros((len(wanted), _BINS), dtype=np.int64) for ask, wanted in prefixes.items()}
    for result in tasks(arguments):
        for (ask, counted), told in zip(bins.items(), result["asks"], strict=True):
            if not depth:
                found[ask].add(told)
            for row, (places, counts) in zip(counted, told["bins"], strict=True):
                row[places] += np.asarray(counts, dtype=np.int64)
    return bins


# -- thresholds of a node -----------------------------------------------------------------------------------


def _asked(plan: Plan, step: MeasureStep) -> dict[Ask, dict[str, float]]:
    """What a node needs to know: for each ask its quantiles, by the node's names for them."""
    found: dict[Ask, dict[str, float]] = {}
    sources = [plan.segment(id).source for id in plan.ancestors(step.input)]
    for name, (column, q, by_dataset) in step.stage.quantiles().items():
        for dataset in [s.dataset() for s in sources if s is not None] if by_dataset else [""]:
            found.setdefault(Ask(column, dataset=dataset), {})[name] = q
    return found


def _print(plan: Plan, step: MeasureStep, digests: Sequence[str]) -> str:
    """Of what decides the thresholds: the input's parts."""
    asked = [
        [ask.column, ask.dataset, sorted(named.items())]
        for ask, named in sorted(_asked(plan, step).items(), key=lambda a: (a[0].column, a[0].dataset))
    ]
    return fingerprint(FORMAT, asked, digests)


def thresholds(
    context: Context, tasks: Tasks, step: MeasureStep, parts: Sequence[str], digests: Sequence[str]
) -> list[dict[str, Any]]:
    """What a node's quantiles are, for run.json; measured, unless the run folder has it already."""
    path = context.folder.state / "thresholds" / f"{step.id}.json"
    print_ = _print(context.plan, step, digests)
    done = read_json(path)
    segment = context.plan.segment(step.input)
    if done is None or done["fingerprint"] != print_:
        asked = _asked(context.plan, step)
        wanted = {ask: sorted(set(named.values())) for ask, named in asked.items()}
        found = select(tasks, segment, parts, wanted)
        told = [
            {
                "reason": name,
                "column": ask.column,
                "quantile": q,
                "dataset": ask.dataset,
                "n": found[ask].n,
                "key": found[ask].places[q][0] if found[ask].n else None,
            }
            for ask, named in asked.items()
            for name, q in named.items()
        ]
        done = {"fingerprint": print_, "found": told}
        write_json(path, done)
    public = ("reason", "quantile", "dataset", "n")
    return [
        {**{name: t[name] for name in public}, "value": shown(t["key"], segment.columns[t["column"]].type)}
        for t in done["found"]
    ]


def settled(context: Context, step: MeasureStep, digests: Sequence[str]) -> bool:
    """Whether the thresholds in the run folder are those that would be measured now."""
    done = read_json(context.folder.state / "thresholds" / f"{step.id}.json")
    known = done is not None and done["fingerprint"] == _print(context.plan, step, digests)
    return known and counting.settled(context, step, digests)


def filled(context: Context, segment: Segment) -> Segment:
    """The segment with the thresholds that its first node waits for."""
    if not segment.measured:
        return segment
    done = read_json(context.folder.state / "thresholds" / f"{segment.measured}.json")
    assert done is not None, f"the quantiles of {segment.measured} are not measured"
    step = context.plan.measure(segment.measured)
    columns = context.plan.segment(step.input).columns
    found: dict[str, dict[str, int | float | None]] = {}
    for told in done["found"]:
        key, kind = told["key"], columns[told["column"]].type
        value = None if key is None else value_of(key, kind)
        found.setdefault(told["dataset"], {})[told["reason"]] = value
    counts = counting.known(context, step)
    ops = tuple(
        replace(op, stage=op.stage.at(found).counted(counts)) if op.node == segment.measured else op
        for op in segment.ops
    )
    print_ = fingerprint([op.stage.identity() for op in ops if op.node == segment.measured])
    return replace(segment, ops=ops, thresholds=print_)


# -- percentiles of scores ----------------------------------------------------------------------------------


def percentiles(
    context: Context, tasks: Tasks, segment: Segment, parts: Sequence[str], digests: Sequence[str]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Node -> column -> figures, of all scores of a segment; measured, unless the run folder has them."""
    asks = [Ask(column, op.node) for op in segment.ops for column in sorted(op.stage.scores())]
    if not asks:
        return {}
    path = context.folder.state / "percentiles" / f"{segment.id}.json"
    places = [[ask.column, ask.node] for ask in asks]
    print_ = fingerprint(FORMAT, places, segment.nodes, PERCENTILES, digests)
    done = read_json(path)
    if done is None or done["fingerprint"] != print_:
        found = select(tasks, segment, parts, {ask: [p / 100 for p in PERCENTILES] for ask in asks})
        told: dict[str, dict[str, dict[str, Any]]] = {}
        for ask, here in found.items():
            kind = segment.columns[ask.column].type
            told.setdefault(ask.node, {})[ask.column] = {
                **{"n": here.n, "nulls": here.nulls, "nans": here.nans},
                "min": shown(here.least, kind),
                **{f"p{p}": shown(here.places[p / 100][0], kind) if here.n else None for p in PERCENTILES},
                "max": shown(here.most, kind),
            }
        done = {"fingerprint": print_, "percentiles": told}
        write_json(path, done)
    return done["percentiles"]  # type: ignore[no-any-return]
