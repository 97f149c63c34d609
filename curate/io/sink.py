"""The Write contract: which samples an output admits, and how one shard of it is written."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from curate.io.payload import Payload
from curate.stage import Map, Stage


@dataclass
class Shard:
    """What one shard task did. `files` are relative to the output's folder."""

    samples: int = 0
    images: int = 0
    files: list[str] = field(default_factory=list)


class Write(Stage):
    """An output: RUN/<id>/ with shards, an index beside each, manifest.json and README.md."""

    order: Literal["hashed", "source"] = Field(
        default="hashed", description="`hashed`: by seeded hash of sample_id; `source`: as read."
    )
    seed: int = 0
    shard_size: Annotated[int, Field(gt=0)] = Field(default=10_000, description="Samples of a shard.")

    kind: ClassVar[str] = ""  # one line for the data card: what the files are and who reads them

    def columns(self) -> frozenset[str] | None:
        """Columns it wants of each row; None for all."""
        return None

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

        `name` is the zero-padded number. Bytes must depend on rows and configuration only. Files written
        under `folder` must have names no other shard uses.
        """

    def finish(self, folder: Path, shards: Sequence[Shard]) -> list[str]:
        """After all shards: files over the whole output (relative paths). May remove shard files."""
        return []

    def card(self, facts: Mapping[str, Any]) -> str:
        """README.md, see `curate.io.card`. `facts`: output, samples, images, shards, columns, schema ..."""
        return ""
