"""The Write contract: which samples an output admits, and how one shard of it is written."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from curate.errors import RecipeError, nearest
from curate.io.payload import Payload
from curate.stage import Map, Names, Stage


@dataclass
class Shard:
    """What one shard task did. `files` are relative to the output's folder."""

    samples: int = 0
    images: int = 0
    files: list[str] = field(default_factory=list)


class Write(Stage):
    """An output: RUN/<id>/ with shards, an index beside each, manifest.json and README.md."""

    order: Literal["hashed", "source", "packed"] = Field(
        default="hashed",
        description="`hashed`: by seeded hash of sample_id; `source`: as read; `packed`: packs (`pack_id`) "
        "by seeded hash, each whole, in one shard and in the order of `pack_position`.",
    )
    seed: int = 0
    shard_size: Annotated[int, Field(gt=0)] = Field(default=10_000, description="Samples of a shard.")
    shard_bytes: Annotated[int, Field(gt=0)] | None = Field(
        default=None,
        description="Bytes of a shard instead, about, by the sizes of images as they came (`image_n_bytes` "
        "of `probe` where it is there) and texts.",
    )
    by: Names = Field(
        default=(),
        description="Columns whose values make folders of shards: `[split, image_bucket]` gives "
        "`train/448x448/00000...`. Of an item column the first living item's value counts.",
    )
    repeat: str = Field(
        default="", description="Column that says how often a sample is written, as `repeats` of `mix` does."
    )

    kind: ClassVar[str] = ""  # one line for the data card: what the files are and who reads them

    def columns(self) -> frozenset[str] | None:
        """Columns it wants of each row; None for all."""
        return None

    def placed_by(self) -> frozenset[str]:
        """Columns that decide where a row goes."""
        packs = {"pack_id", "pack_position"} if self.order == "packed" else set()
        return frozenset({*self.by, *packs, *([self.repeat] if self.repeat else [])})

    def check_columns(self, columns: pa.Schema) -> None:
        """At plan time, all columns before it (item types): RecipeError where one is not as it must be."""
        for name in sorted(self.placed_by() - set(columns.names)):
            field = "order" if name.startswith("pack_") else "by" if name in self.by else "repeat"
            hint = "put a `pack` node before it" if field == "order" else nearest(name, columns.names)
            raise RecipeError(field, f"there is no column `{name}` before it", hint)
        for name in self.by:
            kind = columns.field(name).type
            if pa.types.is_nested(kind) or pa.types.is_floating(kind) or pa.types.is_binary(kind):
                raise RecipeError(
                    "by", f"`{name}` holds {kind}, which makes no folders", "use text or integers"
                )
        if self.repeat and not pa.types.is_integer(columns.field(self.repeat).type):
            raise RecipeError(
                "repeat", f"`{self.repeat}` holds {columns.field(self.repeat).type}, no numbers"
            )

    def admission(self, offered: frozenset[str] = frozenset()) -> Map | None:
        """The stage that says which samples this format cannot hold, and why. Runs before the shards are
        counted, under the id of this node. `offered`: the columns there are, so that it may read one (such
        as `image_width`) without demanding it of every recipe."""
        return None

    @abstractmethod
    def write_shard(
        self, rows: pa.Table, payload: Payload, folder: Path, name: str, schema: pa.Schema
    ) -> Shard:
        """Write one shard: `rows` in their final order, dead items still in them (see `sample.thin`).

        `name` is the zero-padded number, behind the folders that `by` asks for: `train/448x448/00000`. Bytes
        must depend on rows and configuration only. Files written under `folder` must have names no other
        shard uses.
        """

    def finish(self, folder: Path, shards: Sequence[Shard]) -> list[str]:
        """After all shards: files over the whole output (relative paths). May remove shard files."""
        return []

    def card(self, facts: Mapping[str, Any]) -> str:
        """README.md, see `curate.io.card`. `facts`: output, samples, images, shards, columns, schema ..."""
        return ""
