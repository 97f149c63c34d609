"""What becomes of images where they are written, the same for all writers that hold them.

    original   the file as it is, under its own extension
    jpeg       an upright RGB JPEG: the same bytes where they are one, else encoded anew
    resized    a file of the target's size in the chosen format: the same bytes where they are one

The target stands in the columns `image_target_width`, `image_target_height` and `image_fit`. An image without
one keeps its size: as with `jpeg` where that is the format, else encoded anew in the format.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import pyarrow as pa
import pyarrow.compute as pc

from curate import sample
from curate.errors import RecipeError, RunError
from curate.export import shard
from curate.export.boxes import Move, holds_places, move, moved
from curate.export.jpeg import EXTENSIONS, Undecodable, extension, training_jpeg
from curate.export.resize import Fit, Resize, Target, reencoded, resized
from curate.io.payload import Payload

Images: TypeAlias = Literal["jpeg", "original", "resized"]

_TARGET = ("image_target_width", "image_target_height", "image_fit")
_SIZE = ("image_width", "image_height")
# Pixels of what is written, which `image_width` and `image_height`, those of the original, do not tell.
STORED_SIZE = ("image_stored_width", "image_stored_height")


class Picture(NamedTuple):
    """One image as it is written."""

    ending: str  # extension without a dot
    data: bytes
    stored: str  # original (the same bytes), resized, or the format that it was encoded anew in


class Choice(NamedTuple):
    """What a writer does with its images."""

    images: Images
    resize: Resize = Resize()

    @property
    def resizes(self) -> bool:
        return self.images == "resized"

    def endings(self) -> list[str]:
        """Extensions that images may have."""
        if self.images == "original":
            return sorted(set(EXTENSIONS.values()))
        return [self.resize.ending if self.resizes else "jpg"]


def check(choice: Choice, columns: pa.Schema) -> None:
    """At plan time: RecipeError where the columns before a writer (item types) do not tell the target."""
    if not choice.resizes:
        return
    for names, hint in ((_TARGET, "put a `bucket` node before it"), (_SIZE, "put a `probe` node before it")):
        for name in names:
            if name not in columns.names:
                raise RecipeError("images", f"`resized` needs a column `{name}`, and none is before it", hint)
            kind = columns.field(name).type
            fits = pa.types.is_string(kind) if name == "image_fit" else pa.types.is_integer(kind)
            if not fits:
                raise RecipeError("images", f"`resized` cannot use `{name}`, which holds {kind}", hint)
    for name in set(STORED_SIZE) & set(columns.names):
        raise RecipeError(
            "images", f"there is a column `{name}` before it: `resized` writes one of that name"
        )


def picture(data: bytes, declared: str | None, target: Target | None, choice: Choice) -> Picture:
    """One image as it is to be written. `declared`: its format, for bytes that do not tell it.

    Undecodable where the bytes are no image.
    """
    if choice.images == "original":
        return Picture(extension(data, declared), data, "original")
    how = choice.resize
    if choice.resizes and target is not None:
        made, stored = resized(data, target, how), "resized"
    elif choice.resizes and how.format != "jpeg":
        made, stored = reencoded(data, how), how.format
    else:
        made, stored = training_jpeg(data), "jpeg"
    ending = how.ending if choice.resizes else "jpg"
    return Picture(ending, made, "original" if made is data else stored)


def pictures(live: shard.Rows, payload: Payload, choice: Choice) -> Iterator[Picture]:
    """All images of a shard, in order; RunError where one cannot be written."""
    table = live.table
    nothing = [None] * len(sample.flat(table["image_ref"]))
    declared = nothing
    if "image_format" in table.column_names:
        declared = sample.flat(table["image_format"]).to_pylist()
    targets = _targets(table) if choice.resizes else nothing
    of_image = [
        key for key, found in zip(live.keys, table["image_ref"].to_pylist(), strict=True) for _ in found
    ]
    for data, key, format, target in zip(
        shard.images(table, payload), of_image, declared, targets, strict=True
    ):
        try:
            yield picture(data, format, target, choice)
        except Undecodable as error:
            raise shard.broken_image(key, error) from error


def schema(choice: Choice, columns: pa.Schema) -> pa.Schema:
    """The columns of a shard (items in lists) with those that `rows` adds."""
    if not choice.resizes:
        return columns
    return pa.unify_schemas([columns, pa.schema([(name, pa.list_(pa.int32())) for name in STORED_SIZE])])


def facts(choice: Choice, known: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a data card is told of the columns, with those that `rows` adds."""
    found = dict(known)
    if found.get("schema") is not None:
        found["schema"] = schema(choice, found["schema"])
    if choice.resizes and "columns" in found:
        found["columns"] = [*found["columns"], *STORED_SIZE]
    return found


def rows(choice: Choice, live: shard.Rows) -> shard.Rows:
    """What is written beside resized images: their sizes, and boxes and points where they are now."""
    if not choice.resizes:
        return live
    table = live.table
    counts = pc.list_value_length(sample.single(table["image_ref"])).to_numpy(zero_copy_only=False)
    for stored, target, own in zip(STORED_SIZE, _TARGET, _SIZE, strict=False):
        size = pc.coalesce(sample.flat(table[target]), sample.flat(table[own])).cast(pa.int32())
        table = table.append_column(stored, sample.wrap(size, counts))
    placed = [
        f.name for f in table.schema if sample.level_of(f.name) == "image" and holds_places(f.type.value_type)
    ]
    if placed:
        moves = _moves(table)
        for name in placed:
            there = moved(sample.flat(table[name]), moves)
            table = sample.set_column(table, name, sample.wrap(there, counts))
    return live._replace(table=table)


def _targets(table: pa.Table) -> list[Target | None]:
    columns = (sample.flat(table[name]).to_pylist() for name in _TARGET)
    found = [
        None if width is None or height is None else Target(width, height, fit or "stretch")
        for width, height, fit in zip(*columns, strict=True)
    ]
    for target in {target for target in found if target is not None}:
        if target.width < 1 or target.height < 1 or target.fit not in get_args(Fit):
            raise RunError(f"images cannot be resized to {target}: pixels, and {' or '.join(get_args(Fit))}")
    return found


def _moves(table: pa.Table) -> list[Move | None]:
    sizes = (sample.flat(table[name]).to_pylist() for name in _SIZE)
    return [
        None if target is None or not width or not height else move(width, height, target)
        for width, height, target in zip(*sizes, _targets(table), strict=True)
    ]
