"""See `Pack`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator

from curate.errors import RecipeError
from curate.sample import Level, level_of, single
from curate.stage import Group, Names, Out
from stages.common.columns import reason_where
from stages.common.draws import draws
from stages.common.packing import first_fit_decreasing
from stages.common.strata import as_keys, check_groupable, components, first_values

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_FINEST = 40  # halvings of the range of hashes; only rows of one id share a hash to so many bits


class Pack(Group):
    """Samples that share a training sequence of `length` tokens, so that little of it is padding.

    `{tokens: tokens_qwen2_5_vl, length: 8192}` packs by a column of whole numbers, one a sample: of `tokens`,
    images included, or any other. Pairs and documents of all sources meet in a pack. By first-fit decreasing:
    the longest sample first, each into the first pack that has room for it.

        pack_id         16 hex digits, the same for all samples of a pack
        pack_position   0, 1, ... within it, in the order of a hash
        pack_capacity   `length` on the sample at position 0, 0 on others: the waste of an output, which
                        run.json tells, is 1 - sum of tokens / sum of pack_capacity

    What is longer than `length` is `too_long`, what has more images than `max_images` is `too_many_images`;
    with `too_long: keep` such a sample is a pack of its own, whose capacity is what it takes. No sample is
    cut: where a sequence ends is for the trainer to say, which knows what its tokens are.

    Packs are made within windows: samples whose seeded hashes have the same first bits, as many bits as it
    takes until `window` samples at most are left. A window mixes all sources. New data changes the packs of
    the windows that it falls into, and no others. A window's last pack is rarely full: with 10,000 samples of
    600 tokens that is one of 730 packs of 8,192.

    Put it last: what is dropped behind it leaves a gap in a pack. With `repeat` in the output, `by: repeats`
    keeps apart what is written more often.
    """

    stage: Literal["pack"] = "pack"

    tokens: str = Field(description="Column of whole numbers, one a sample: what each takes.")
    length: int = Field(ge=1, description="What a sequence holds.")
    extra: int = Field(
        default=0,
        ge=0,
        description="What the trainer adds to each sample (its end, a template), beyond the column.",
    )
    max_images: int | None = Field(default=None, ge=1, description="Living images of a pack at most.")
    too_long: Literal["drop", "keep"] = Field(
        default="drop", description="What has no room in a pack at all; `keep`: a pack of its own."
    )
    by: Names = Field(default=(), description="Columns in whose values the samples of a pack agree.")
    window: int = Field(default=10_000, ge=1, description="Samples that are packed together at most.")
    tasks: int = Field(
        default=1,
        ge=1,
        le=4096,
        description="A power of two: tasks that divide the windows among them. Each holds its samples' "
        "numbers in memory, 1 GB for about two million; windows are cut between tasks too.",
    )
    seed: int = Field(default=0, description="Another one makes other windows.")

    @field_validator("tokens")
    @classmethod
    def _of_samples(cls, tokens: str) -> str:
        if level_of(tokens) != "sample":
            raise ValueError(f"`{tokens}` has a value for each {level_of(tokens)}: give a column of samples")
        return tokens

    @field_validator("tasks")
    @classmethod
    def _power_of_two(cls, tasks: int) -> int:
        if tasks & (tasks - 1):
            raise ValueError(f"{tasks} is no power of two: {1 << tasks.bit_length()} is")
        return tasks

    def level_(self) -> Level:
        return "sample"

    def reads(self) -> frozenset[str]:
        return frozenset({"sample_id", self.tokens, *self.by, *(["layout"] if self.max_images else [])})

    def writes(self) -> pa.Schema:
        kinds = [("pack_id", pa.string()), ("pack_position", pa.int32()), ("pack_capacity", pa.int64())]
        return pa.schema(kinds)

    def totals(self) -> frozenset[str]:
        return frozenset({self.tokens, "pack_capacity"})

    def costs(self, totals: Mapping[str, int]) -> dict[str, dict[str, float]]:
        """What of the packs of an output is padding: `waste`, a share."""
        tokens, capacity = totals.get(self.tokens, 0), totals.get("pack_capacity", 0)
        if not capacity:
            return {}
        return {"packing": {"tokens": tokens, "capacity": capacity, "waste": 1 - tokens / capacity}}

    def reasons(self) -> frozenset[str]:
        images = ["too_many_images"] if self.max_images else []
        return frozenset({"no_tokens", *(["too_long", *images] if self.too_long == "drop" else [])})

    def check_columns(self, columns: pa.Schema) -> None:
        check_groupable(columns, self.by, "by")
        kind = columns.field(self.tokens).type if self.tokens in columns.names else pa.int64()
        if not pa.types.is_integer(kind):
            raise RecipeError("tokens", f"needs whole numbers, and `{self.tokens}` holds {kind}")

    def keys(self, items: pa.Table) -> pa.Array:
        share = (self._draws(items) * self.tasks).astype(np.int64)
        values = [single(pc.cast(first_values(items[name]), pa.string())) for name in self.by]
        # a null is a value like others, and none of them can run into the next
        told = [a for v in values for a in (pc.binary_length(v).cast(pa.string()), v)]
        parts = [pa.array(share).cast(pa.string()), *(single(pc.fill_null(a, "none")) for a in told)]
        return as_keys(single(pc.binary_join_element_wise(*parts, ":")))

    def elect(self, members: pa.Table) -> Out:
        lots = self._draws(members)
        sizes = self._sizes(members)
        room = np.array([self.length, self.max_images or 0], dtype=np.int64)[: sizes.shape[1]]
        none = single(pc.is_null(members[self.tokens])).to_numpy(zero_copy_only=False)
        packs = _Packs.of_none(members.num_rows)
        first, counts, _ = components(members)
        for start, count in zip(first.tolist(), counts.tolist(), strict=True):
            rows = start + np.argsort(lots[start : start + count], kind="stable")
            for window in _windows(rows[~none[rows]], lots, self.window, self.tasks):
                packs.fill(window, _bins(sizes[window], room, alone=self.too_long == "keep"))
        return Out(self._told(members, packs, sizes[:, 0]), self._drops(sizes, room, none))

    def _draws(self, table: pa.Table) -> npt.NDArray[np.float64]:
        return draws(f"pack {self.seed}", table["sample_id"])

    def _sizes(self, table: pa.Table) -> Ints:
        """Tokens and, where they are bounded, images of each sample: shape (samples, 1 or 2)."""
        tokens = pc.fill_null(single(table[self.tokens]).cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
        things = [np.maximum(tokens, 0) + self.extra]
        if self.max_images:
            images = pc.count_substring(single(table["layout"]), "i")
            things.append(images.to_numpy(zero_copy_only=False).astype(np.int64))
        return np.stack(things, axis=1)

    def _drops(self, sizes: Ints, room: Ints, none: Mask) -> pa.Array:
        found = reason_where(none, "no_tokens")
        if self.too_long == "drop":
            for thing, reason in zip(range(len(room)), ("too_long", "too_many_images"), strict=False):
                found = pc.coalesce(found, reason_where(sizes[:, thing] > room[thing], reason))
        return found

    def _told(self, members: pa.Table, packs: _Packs, takes: Ints) -> dict[str, pa.Array]:
        packed = packs.number >= 0
        heads = np.flatnonzero(packs.position == 0)
        keys, ids = (single(members[n]).take(pa.array(heads)).to_pylist() for n in ("key", "sample_id"))
        numbers = packs.number[heads].tolist()
        # of what it begins with; rows that share an id may begin several
        names = [_digest(f"{k}\0{i}\0{n}") for k, i, n in zip(keys, ids, numbers, strict=True)]
        head = packs.head
        place = np.zeros(members.num_rows, dtype=np.int64)
        place[heads] = np.arange(len(heads))
        capacity = np.where(packs.position == 0, np.maximum(self.length, takes), 0)
        return {
            "pack_id": pa.array(names, pa.string()).take(pa.array(place[head], mask=~packed)),
            "pack_position": pa.array(packs.position.astype(np.int32), mask=~packed),
            "pack_capacity": pa.array(capacity, mask=~packed),
        }


class _Packs(NamedTuple):
    """Of each sample, shape (samples,); -1 where it is in no pack."""

    number: Ints  # of its pack within the window
    position: Ints
    head: Ints  # the row that is at position 0 of its pack

    @staticmethod
    def of_none(rows: int) -> _Packs:
        return _Packs(*(np.full(rows, -1, dtype=np.int64) for _ in _Packs._fields))

    def fill(self, rows: Ints, bins: Ints) -> None:
        """Packs of a window, whose rows come in the order in which they are to stand."""
        packed = np.flatnonzero(bins >= 0)
        order = packed[np.argsort(bins[packed], kind="stable")]
        counts = np.bincount(bins[order]) if len(order) else np.zeros(0, dtype=np.int64)
        counts = counts[counts > 0]
        begin = np.repeat(np.cumsum(counts) - counts, counts)
        rows, numbers = rows[order], bins[order]
        self.number[rows], self.position[rows] = numbers, np.arange(len(rows)) - begin
        self.head[rows] = rows[begin]


def _windows(rows: Ints, lots: npt.NDArray[np.float64], most: int, tasks: int) -> Iterator[Ints]:
    """Rows, sorted by their lots, of one of the `tasks` into which these are divided: in halves of halves of
    the range of lots, until `most` are left."""
    if not len(rows):
        return
    sorted_ = lots[rows]
    begin = int(sorted_[0] * tasks) / tasks
    waiting = [(begin, 1 / tasks, 0)]
    while waiting:
        low, width, depth = waiting.pop()
        start, stop = np.searchsorted(sorted_, [low, low + width])
        if stop - start <= most or depth == _FINEST:
            yield rows[start:stop]
        else:
            halves = ((low + width / 2, width / 2, depth + 1), (low, width / 2, depth + 1))
            waiting.extend(halves)


def _bins(sizes: Ints, room: Ints, *, alone: bool) -> Ints:
    """The pack of each sample of a window. What has no room in any is in none, or `alone` in one."""
    fit = (sizes <= room).all(axis=1)
    bins = np.full(len(sizes), -1, dtype=np.int64)
    bins[fit] = first_fit_decreasing(sizes[fit], room)
    if alone:
        bins[~fit] = bins.max(initial=-1) + 1 + np.arange(int((~fit).sum()))
    return bins


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
