"""The record. A sample is one row; a pair is a short document.

    sample_id   string        content hash, see `curate.io.source`
    dataset     string        name of the data set it was read from (one Read node, one root)
    source      string        where the original lies, relative to the source's root
    shape       string        "pair", "document" or "document:text_only": what a dead item does to its sample
    layout      string        reading order, one char a span: i image, t text ("it" a pair)
    drop        string        null = alive, else "<node>:<reason>"
    text_body   list<string>  text_*   list<...>  one entry for each 't';  text_drop the same one level down
    image_ref   list<string>  image_*  list<...>  one entry for each 'i';  image_drop likewise
    meta        string        what is left of the source's fields, as JSON; no stage reads it

The prefix of a column is its level. Lists of a row are never null and are as long as `layout` says.
Nothing is removed from a table: a dropped row or item is a tombstone that keeps its reason and scores.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Level: TypeAlias = Literal["image", "text", "sample"]
Ints: TypeAlias = npt.NDArray[np.int64]
Mask: TypeAlias = npt.NDArray[np.bool_]

LEVELS: tuple[Level, ...] = ("sample", "image", "text")
ITEM_LEVELS: tuple[Literal["image", "text"], ...] = ("image", "text")
SPAN = {"image": "i", "text": "t"}
PAIR, DOCUMENT, TEXT_ONLY = "pair", "document", "document:text_only"

BASE = pa.schema(
    [
        ("sample_id", pa.string()),
        ("dataset", pa.string()),
        ("source", pa.string()),
        ("shape", pa.string()),
        ("layout", pa.string()),
        ("drop", pa.string()),
        ("image_drop", pa.list_(pa.string())),
        ("text_drop", pa.list_(pa.string())),
        ("image_ref", pa.list_(pa.string())),
        ("text_body", pa.list_(pa.string())),
        ("meta", pa.string()),
    ]
)


def level_of(column: str) -> Level:
    """The level a column belongs to, read off its prefix."""
    for level in ITEM_LEVELS:
        if column.startswith(f"{level}_"):
            return level
    return "sample"


def single(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """The column as one array, without a copy where it is one chunk already."""
    if isinstance(column, pa.ChunkedArray):
        # combine_chunks() copies even a single chunk (apache/arrow#37318)
        return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return column


def flat(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """All items of a list column, dead ones included, in row order."""
    return single(column).flatten()


def lengths(table: pa.Table, level: Level) -> Ints:
    """Number of items in each row, shape (rows,)."""
    if level == "sample":
        return np.ones(table.num_rows, dtype=np.int64)
    found: Ints = pc.list_value_length(single(table[f"{level}_drop"])).to_numpy(zero_copy_only=False)
    return found.astype(np.int64)


def wrap(values: pa.Array, counts: Ints, null: pa.Array | None = None) -> pa.Array:
    """Flat items back into lists of the given lengths; a null one where `null` is true."""
    offsets = np.zeros(len(counts) + 1, dtype=np.int32)
    np.cumsum(counts, out=offsets[1:])
    return pa.ListArray.from_arrays(pa.array(offsets), values, mask=null)


def alive_rows(table: pa.Table) -> Mask:
    """True for each sample that is not dropped, shape (rows,)."""
    return single(pc.is_null(table["drop"])).to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def alive_items(table: pa.Table, level: Level) -> Mask:
    """True for each living item, whatever its sample's fate, shape (items,)."""
    return pc.is_null(flat(table[f"{level}_drop"])).to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def alive(table: pa.Table, level: Level) -> Mask:
    """True for each living item of a living sample, shape (items,)."""
    rows = alive_rows(table)
    return rows if level == "sample" else np.repeat(rows, lengths(table, level)) & alive_items(table, level)


def set_column(table: pa.Table, name: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    """`table` with the column replaced or appended."""
    place = table.schema.get_field_index(name)
    return table.append_column(name, values) if place < 0 else table.set_column(place, name, values)


def scatter(values: pa.Array, slots: Ints, size: int) -> pa.Array:
    """Values at `slots` of a null array of `size`; the values themselves where they fill it in order."""
    if len(slots) == size and bool((np.diff(slots) > 0).all()):
        return values
    inverse = np.full(size, -1, dtype=np.int64)
    inverse[slots] = np.arange(len(slots))
    return values.take(pa.array(inverse, mask=inverse < 0))


def align(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with exactly the columns of `schema`: missing ones null (empty lists for items)."""
    columns = []
    for field in schema:
        if field.name in table.column_names:
            columns.append(table[field.name].cast(field.type))
        elif level_of(field.name) == "sample":
            columns.append(pa.nulls(table.num_rows, field.type))
        else:
            counts = lengths(table, level_of(field.name))
            columns.append(wrap(pa.nulls(int(counts.sum()), field.type.value_type), counts))
    return pa.Table.from_arrays([single(c) for c in columns], schema=schema)


@dataclass(frozen=True)
class View:
    """The living items of one level, as a flat table: what a stage sees.

    `rows[i]` is the row of item i in the table it was taken from, `items[i]` its position within the row,
    `slots[i]` its position in the flattened column.
    """

    level: Level
    table: pa.Table
    rows: Ints
    items: Ints
    slots: Ints
    size: int

    def take(self, positions: Ints) -> View:
        """The view of some of its items only."""
        return View(
            self.level,
            self.table.take(pa.array(positions)),
            self.rows[positions],
            self.items[positions],
            self.slots[positions],
            self.size,
        )


def view(table: pa.Table, level: Level, columns: Iterable[str]) -> View:
    """Flatten the living items of living samples.

    Columns of the view's own level come one value an item. Columns of other levels are repeated for each
    item of their sample, and show only what is alive: a sample-level stage never sees a dead image.
    """
    wanted = sorted(set(columns))
    counts = lengths(table, level)
    row_of = np.repeat(np.arange(table.num_rows), counts)
    first = np.cumsum(counts) - counts
    item_of = np.arange(len(row_of)) - first[row_of]
    alive = alive_rows(table)[row_of]
    if level != "sample":
        alive &= alive_items(table, level)
    slots = np.flatnonzero(alive)
    every = len(slots) == len(alive)
    rows = row_of[slots]
    others = [c for c in wanted if level_of(c) != level or level == "sample"]
    living = thin(table, others)
    arrays = {}
    for name in wanted:
        if level != "sample" and level_of(name) == level:
            values = flat(table[name])
            arrays[name] = values if every else values.take(pa.array(slots))
        else:
            values = single(living[name])
            arrays[name] = values if every and level == "sample" else values.take(pa.array(rows))
    flat_table = pa.table(arrays) if arrays else pa.table({"": pa.nulls(len(slots))}).select([])
    return View(level, flat_table, rows, item_of[slots], slots, len(alive))


def thin(table: pa.Table, columns: Iterable[str]) -> pa.Table:
    """The columns with dead items taken out of lists and layout.

    Two columns exist here only: `image_index` and `text_index`, the original positions of what is left.
    """
    names = sorted(set(columns))
    arrays: dict[str, pa.Array] = {}
    masks = {level: alive_items(table, level) for level in ITEM_LEVELS}
    counts = {level: lengths(table, level) for level in ITEM_LEVELS}
    for name in names:
        level = level_of(name)
        if level == "sample":
            thinned = name == "layout" and not all(m.all() for m in masks.values())
            arrays[name] = _thin_layout(table, masks, counts) if thinned else single(table[name])
            continue
        mask = masks[level]
        if name == f"{level}_index":
            row_of = np.repeat(np.arange(table.num_rows), counts[level])
            first = np.cumsum(counts[level]) - counts[level]
            values = pa.array((np.arange(len(row_of)) - first[row_of]).astype(np.int32))
        elif mask.all():
            arrays[name] = single(table[name])
            continue
        else:
            values = flat(table[name])
        row_of = np.repeat(np.arange(table.num_rows), counts[level])
        left = np.bincount(row_of[mask], minlength=table.num_rows).astype(np.int64)
        arrays[name] = wrap(values.filter(pa.array(mask)), left)
    return pa.table(arrays) if arrays else table.select([])


def _thin_layout(table: pa.Table, masks: Mapping[Any, Mask], counts: Mapping[Any, Ints]) -> pa.Array:
    ends = {level: np.cumsum(counts[level]) for level in ITEM_LEVELS}
    layouts = table["layout"].to_pylist()
    for row, layout in enumerate(layouts):
        alive = {
            SPAN[level]: iter(masks[level][ends[level][row] - counts[level][row] : ends[level][row]])
            for level in ITEM_LEVELS
        }
        layouts[row] = "".join(span for span in layout if next(alive[span]))
    return pa.array(layouts, pa.string())


def put(
    table: pa.Table, seen: View, columns: Mapping[str, pa.Array], drop: pa.Array | None, node: str
) -> pa.Table:
    """Write a stage's result back: columns at the view's level, and tombstones `<node>:<reason>`.

    What is not in the view keeps the value it has in a column that is there already. The sample's own fate
    is not touched here for item levels: `settle` decides it.
    """
    counts = lengths(table, seen.level)
    for name, values in columns.items():
        if seen.level == "sample" and level_of(name) != "sample":
            table = set_column(table, name, _spread(table, seen, level_of(name), single(values)))
            continue
        spread = scatter(single(values), seen.slots, seen.size)
        if name in table.column_names and len(seen.slots) < seen.size:
            shown = np.zeros(seen.size, dtype=bool)
            shown[seen.slots] = True
            old = single(table[name]) if seen.level == "sample" else flat(table[name])
            spread = pc.if_else(pa.array(shown), spread, old)
        table = set_column(table, name, spread if seen.level == "sample" else wrap(spread, counts))
    if "text_body" in columns and "messages" in table.column_names:
        table = set_column(table, "messages", _follow(table))
    if drop is None or drop.null_count == len(drop):
        return table
    reasons = pc.binary_join_element_wise(pa.scalar(node), single(drop).cast(pa.string()), ":")
    spread = scatter(reasons, seen.slots, seen.size)
    if seen.level == "sample":
        return set_column(table, "drop", pc.coalesce(single(table["drop"]), spread))
    name = f"{seen.level}_drop"
    return set_column(table, name, wrap(pc.coalesce(flat(table[name]), spread), counts))


def _spread(table: pa.Table, seen: View, level: Level, lists: pa.Array) -> pa.Array:
    """An item column of all rows, from lists of the living items of the rows in a view of samples."""
    counts = lengths(table, level)
    shown = np.zeros(table.num_rows, dtype=bool)
    shown[seen.rows] = True
    living = alive_items(table, level) & np.repeat(shown, counts)
    return wrap(scatter(lists.flatten(), np.flatnonzero(living), int(counts.sum())), counts)


def _follow(table: pa.Table) -> pa.Array:
    """`messages` with the texts as they are now: `messages[k].content` is `text_body[k]`."""
    messages = single(table["messages"])
    turns = messages.flatten()
    counts = pc.fill_null(pc.list_value_length(messages), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    texts = lengths(table, "text")
    row_of = np.repeat(np.arange(table.num_rows), counts)
    within = np.arange(len(row_of)) - (np.cumsum(counts) - counts)[row_of]
    place = (np.cumsum(texts) - texts)[row_of] + within
    own = counts[row_of] != texts[row_of]  # no turn-by-turn texts: these messages stand alone
    contents = pc.if_else(
        pa.array(own), turns.field("content"), flat(table["text_body"]).take(pa.array(place, mask=own))
    )
    kind = turns.type
    fields = [contents if kind.field(i).name == "content" else turns.field(i) for i in range(kind.num_fields)]
    return wrap(pa.StructArray.from_arrays(fields, fields=list(kind)), counts, pc.is_null(messages))


def settle(table: pa.Table, node: str) -> pa.Table:
    """What dead items do to their samples, by the source's declared shape. The only place that decides it.

    A `pair` dies with its first dead item and takes over its reason. A `document` is thinned, and dies with
    `no_image_left` when its last image is dead (`no_image` when it never had one). A `document:text_only`
    goes on without images.
    """
    living = alive_rows(table)
    if not living.any():
        return table
    shape = np.asarray(table["shape"].to_pylist(), dtype=object)
    fate = np.full(table.num_rows, None, dtype=object)
    pairs = living & (shape == PAIR)
    for level in ITEM_LEVELS:
        drops = flat(table[f"{level}_drop"])
        if drops.null_count == len(drops):
            continue
        dead = np.flatnonzero(~alive_items(table, level))
        row_of = np.repeat(np.arange(table.num_rows), lengths(table, level))
        rows, first = np.unique(row_of[dead], return_index=True)
        reasons = drops.take(pa.array(dead[first])).to_pylist()
        for row, reason in zip(rows, reasons, strict=True):
            if pairs[row] and fate[row] is None:
                fate[row] = reason
    documents = living & (shape == DOCUMENT)
    if documents.any():
        counts = lengths(table, "image")
        row_of = np.repeat(np.arange(table.num_rows), counts)
        left = np.bincount(row_of[alive_items(table, "image")], minlength=table.num_rows)
        for row in np.flatnonzero(documents & (left == 0)):
            fate[row] = f"{node}:no_image_left" if counts[row] else f"{node}:no_image"
    if all(f is None for f in fate):
        return table
    return set_column(table, "drop", pc.coalesce(single(table["drop"]), pa.array(fate, pa.string())))


def check(table: pa.Table) -> None:
    """Raise AssertionError where a table breaks the law of the record (used by tests and at commit)."""
    assert not set(BASE.names) - set(table.column_names), "base columns are missing"
    layouts = table["layout"].to_pylist()
    for name in table.column_names:
        level = level_of(name)
        if level == "sample":
            continue
        assert table[name].null_count == 0, f"{name}: a list is null"
        found = pc.list_value_length(table[name]).to_pylist()
        expected = [layout.count(SPAN[level]) for layout in layouts]
        assert found == expected, f"{name}: list lengths differ from the layout"
