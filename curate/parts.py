"""Rows of finished parts, as the steps behind them read them."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from curate.commit import read_arrow
from curate.ledger import ABSENT
from curate.sample import single
from curate.steps import Segment, stored_schema
from curate.work import Context

STATE = ("sample_id", "drop", "image_drop", "text_drop")  # what every part stores of its rows


@dataclass(frozen=True)
class Item:
    """A part of a segment, as sent to a worker. `number` is its place among the segment's parts."""

    segment: str
    part: str
    number: int
    source: str = ""  # a Part as JSON, for segments born from a source
    upstream: tuple[str, str] = ("", "")  # (segment, part)


def load(context: Context, segment: Segment, part: str, columns: frozenset[str] | None = None) -> pa.Table:
    """Rows of a finished part, dead ones included; a continued segment stores its own columns only."""
    manifest = context.part_manifest(segment.id, part)
    wanted = [n for n in stored_schema(segment.columns).names if columns is None or n in columns]
    path = context.folder.stored(segment.id, manifest)
    own = read_arrow(path, {*STATE, *wanted})
    own_names = set(own.column_names)
    own = own.filter(pc.fill_null(pc.not_equal(own["drop"], ABSENT), True))
    if not segment.stores_all:
        rest = frozenset(wanted) - own_names
        if rest:
            base = survivors(context, tuple(manifest["upstream"]), rest)
            for name in rest:
                own = own.append_column(name, base[name])
    own = own.combine_chunks()
    return own.select(list(dict.fromkeys([*STATE, *wanted])))


def holes(context: Context, upstream: tuple[str, str], columns: frozenset[str]) -> pa.Table:
    """What would have gone on, had not a node taken it out that leaves holes; with its tombstone."""
    segment = context.plan.segment(upstream[0])
    table = load(context, segment, upstream[1], columns)
    nodes = [op.node for op in segment.ops if op.stage.holes]
    node = pc.replace_substring_regex(single(table["drop"]), pattern=":.*$", replacement="")
    return table.filter(pc.is_in(node, value_set=pa.array(nodes, pa.string()))).combine_chunks()


def survivors(context: Context, upstream: tuple[str, str], columns: frozenset[str] | None = None) -> pa.Table:
    """What goes on from a finished part."""
    table = load(context, context.plan.segment(upstream[0]), upstream[1], columns)
    return table.filter(pc.is_null(table["drop"])).combine_chunks()
