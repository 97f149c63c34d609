"""The stage contract. A stage is its own frozen configuration; `open()` gives the function that works.

The author of a stage never filters, counts, catches or batches: a Map returns one value for each item it
was given, and a reason for each item it wants dropped. Everything else is the engine's.
"""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Protocol, TypeAlias

import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from curate.sample import Level

# Columns that the engine supplies at image level and never stores.
#   image_bytes         binary_view, the encoded file
#   image_pixels        PIXELS, the recipe's canonical decode (short side >= decode.short_side)
#   image_pixels_full   PIXELS, undiminished
BYTES, CANONICAL, FULL = "image_bytes", "image_pixels", "image_pixels_full"
PIXELS = pa.struct(
    [
        ("height", pa.int32()),  # of `data`
        ("width", pa.int32()),
        ("data", pa.binary_view()),  # uint8 RGB, height * width * 3, upright, sRGB, alpha on white
        ("true_height", pa.int32()),  # of the file, upright
        ("true_width", pa.int32()),
        ("format", pa.string()),  # jpeg, png, webp, gif ...
        ("animated", pa.bool_()),
        ("alpha", pa.bool_()),
    ]
)
TRANSIENT: dict[str, pa.DataType] = {BYTES: pa.binary_view(), CANONICAL: PIXELS, FULL: PIXELS}
# Reasons that the engine itself gives where a stage asks for one of these and it cannot be had.
PAYLOAD_REASONS = frozenset({"missing", "empty", "oversized"})
DECODE_REASONS = frozenset({"corrupt", "truncated", "bomb"})

EXPANDED = "expanded"


class Out(NamedTuple):
    """What a Map gives back for the table it was handed."""

    columns: Mapping[str, pa.Array] = {}  # exactly writes(), one value a row
    drop: pa.Array | None = None  # string; null = keep, else a reason out of reasons()


class Born(NamedTuple):
    """What an Expand gives back."""

    children: pa.Table  # layout, text_*, image_* and own columns; the engine adds the rest of the record
    parent: pa.Array  # int64, the input row each child comes from
    ordinal: pa.Array  # int64, its number k: the child's id is `<parent>#k`; stable when siblings die
    drop: pa.Array  # string, one a parent: the reason of a parent without children, else null


Op: TypeAlias = Callable[[pa.Table], Out]
# A loaded model: named arrays in, named arrays out. It may be called from several threads at once.
Arrays: TypeAlias = Mapping[str, npt.NDArray[Any]]
Model: TypeAlias = Callable[[Arrays], Arrays]


class Place(NamedTuple):
    """Where a piece of a store's shard begins, and its length in bytes."""

    offset: int
    length: int


class StoreShard(Protocol):
    """A file of a store while it is written; it takes its name when it is closed."""

    def add(self, data: bytes) -> Place:
        """Append one piece."""

    def close(self) -> Callable[[Place], str]:
        """Make the file durable. Gives the function from the places of its pieces to their references."""


class Quantile(NamedTuple):
    """A quantile of a column over the whole data set: the smallest value that at least a share `q` of all
    values do not exceed."""

    column: str
    q: float
    by_dataset: bool = False  # one for each data set, over its own values


# Data set ("" for all together) -> name -> the value of that quantile; None where there is no value at all.
Thresholds: TypeAlias = Mapping[str, Mapping[str, int | float | None]]


class Store(Protocol):
    """What a stage may keep in the run folder: bytes that came from outside, and that no rerun asks again."""

    def shard(self) -> AbstractContextManager[StoreShard]:
        """A new file, thrown away where the block ends before `close`."""


def as_list(value: Any) -> Any:
    """For `BeforeValidator`: a single name without brackets is a list of one."""
    return [value] if isinstance(value, str) else value


# One or several: a recipe may give a single name without brackets, and the JSON schema says so.
Names: TypeAlias = Annotated[
    tuple[str, ...], BeforeValidator(as_list, json_schema_input_type=str | tuple[str, ...])
]


class Stage(BaseModel):
    """Common to all five nouns. `id` and `from` place it in the recipe; the rest is its configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    version: ClassVar[int] = 1
    # Fields that change how, not what: not part of the fingerprint.
    incidental: ClassVar[frozenset[str]] = frozenset()

    id: str = Field(default="", description="Name of the node; the stage's name when left out.")
    from_: Names = Field(
        default=(), alias="from", description="Ids of the nodes it reads; the previous node when left out."
    )

    def reads(self) -> frozenset[str]:
        """Columns it is shown."""
        return frozenset()

    def reasons(self) -> frozenset[str]:
        """Every reason it may give."""
        return frozenset()

    def assets(self) -> Mapping[str, str]:
        """Content hashes of weights, prompts, word lists: part of the fingerprint."""
        return {}

    def notices(self) -> frozenset[str]:
        """What the data card of an output must say of models and lists that were used: their licences."""
        return frozenset()

    def totals(self) -> frozenset[str]:
        """Columns of whole numbers that it writes, whose sums over each output run.json tells."""
        return frozenset()

    def tallies(self) -> frozenset[str]:
        """Columns that it writes of which run.json tells, for each output, how often each value occurs: few
        different ones."""
        return frozenset()

    def costs(self, totals: Mapping[str, int]) -> Mapping[str, Mapping[str, float]]:
        """What an output with these sums of its `totals()` will cost, by name, for run.json and the card."""
        return {}

    def identity(self) -> str:
        """Canonical JSON of what decides the stage's results, upstream columns aside."""
        config = self.model_dump(mode="json", exclude={"id", "from_", *self.incidental})
        return canonical([config, type(self).__name__, self.version, dict(self.assets())])


class Map(Stage):
    """One row in, one row out: computes columns, or gives a reason to drop."""

    level: ClassVar[Level] = "sample"
    # False for what is cheaper to compute again than to look up: its results are not kept for reruns.
    kept: ClassVar[bool] = True
    # Items of its level handed over at once at most.
    batch: ClassVar[int] = 1024
    # True where what it drops leaves a hole in the outputs behind it: no other sample changes its shard.
    holes: ClassVar[bool] = False
    # True for what brings in bytes from outside: the engine calls `open_with`, and cuts a segment behind it.
    stores: ClassVar[bool] = False

    def writes(self) -> pa.Schema:
        """Columns it computes, with the type of one item (not of the list).

        They are of the stage's own level. One of level sample that is not `kept` may write columns of images
        and texts too: it gives back a list for each sample, of a value for each of its living items.
        """
        return pa.schema([])

    def short_side(self) -> int:
        """How many pixels the short side of a canonical decode must have for it, at least."""
        return 1

    def rewrites(self) -> frozenset[str]:
        """Those of `writes()` that are there already and get new values, for all that comes after.

        A dropped item keeps its old one. What was changed is for the stage to say, in columns of its own.
        """
        return frozenset()

    def scores(self) -> frozenset[str]:
        """Those of `writes()` whose percentiles run.json tells: numbers that people set bounds by.

        All that are no whole numbers, unless the stage says otherwise.
        """
        return frozenset(f.name for f in self.writes() if pa.types.is_floating(f.type))

    def quantiles(self) -> Mapping[str, Quantile]:
        """Quantiles that it must know before it opens, by names of its own (`keep`: the reasons).

        The engine cuts a segment before it, measures what the living items that come in have, and opens what
        `at` gives. Only of stages that are not `kept`.
        """
        return {}

    def at(self, thresholds: Thresholds) -> Map:
        """The same stage with the values of its `quantiles()`; they are part of its `identity()`."""
        return self

    def counts(self) -> frozenset[str]:
        """Columns of which it must know how often each value occurs before it opens: few different ones. The
        engine counts over the living items that come in, as for `quantiles`, and opens what `counted` gives.
        """
        return frozenset()

    def counted(self, counts: Mapping[str, Mapping[str, int]]) -> Map:
        """The same stage with the counts of its `counts()`: column -> value (as text) -> number."""
        return self

    def by_level(self) -> tuple[tuple[Level, Map], ...]:
        """The levels it works on; one for all stages but those whose columns decide it."""
        return ((self.level, self),)

    def check_columns(self, columns: pa.Schema) -> None:
        """At plan time, all columns before it (item types): RecipeError where one is not as it must be."""
        return

    @abstractmethod
    def open(self) -> Op:
        """On the worker: load weights, return a closure."""

    def open_with(self, store: Store) -> Op:
        """The same for a stage that `stores`."""
        return self.open()


class Needs(BaseModel):
    """Where a model runs. How, not what: no part of a fingerprint."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gpus: float | None = Field(
        default=None, ge=0, description="GPUs for one copy; left out, one where the cluster has any."
    )
    actors: int | None = Field(
        default=None, ge=1, description="Copies; left out, as many as GPUs allow, and one in each CPU worker."
    )


class Heavy(Map):
    """A Map around a model: the map runs on every CPU worker, the model where its GPU is.

    What crosses between them are arrays: the map decodes, resizes and tokenises, the model computes. Without
    a GPU the model is loaded beside the map.
    """

    incidental: ClassVar[frozenset[str]] = frozenset({"needs"})

    needs: Needs = Field(default=Needs(), description="GPUs and copies of the model.")

    def model_key(self) -> str:
        """Stages with the same key share one loaded model."""
        return self.identity()

    @abstractmethod
    def load(self, gpu: bool) -> Model:
        """Where the model lives: load it, onto the GPU that is visible or the CPU."""

    @abstractmethod
    def open_around(self, model: Model) -> Op:
        """On the worker: a closure that calls `model`, which may be another process's."""

    def open(self) -> Op:
        return self.open_around(self.load(gpu=False))


class Expand(Stage):
    """One row in, n rows out. The parent dies with the reason `expanded`."""

    def writes(self) -> pa.Schema:
        """Columns of the children beyond those they take over (list types for item columns)."""
        return pa.schema([])

    @abstractmethod
    def open(self) -> Callable[[pa.Table], Born]:
        """On the worker: return a closure from thinned, living samples to their children."""


class Rank(NamedTuple):
    """One column of the order in which survivors are elected. `first`: values that come before all others,
    the best first; among them `order` does not count."""

    column: str
    order: Literal["ascending", "descending"] = "descending"
    first: tuple[str, ...] = ()


class Group(Stage):
    """Sees the whole data set, but only keys and `reads()`: never image bytes.

    keys -> components of equal keys -> elect. `Linked` compares what is alike.
    """

    # True where an item may have several keys: each votes for itself, and the item is dropped (for the reason
    # of its first key) only where all votes are to drop. Columns are those of its first key.
    votes: ClassVar[bool] = False
    # True where keys and signatures of survivors are written to RUN/index/<node>/, for later runs.
    indexed: ClassVar[bool] = False
    # True where elect() is right about a piece of a component: the largest are then handed over in pieces, so
    # that no key, however many share it, asks for more memory.
    streams: ClassVar[bool] = False

    def known_runs(self) -> tuple[str, ...]:
        """Finished runs (folders) whose index takes part: their survivors come before all others, and are not
        decided about."""
        return ()

    @abstractmethod
    def level_(self) -> Level:
        """The level whose items are grouped; decided by the configuration."""

    def writes(self) -> pa.Schema:
        """Columns that elect() computes, with the type of one item."""
        return pa.schema([])

    def rank(self) -> tuple[Rank, ...]:
        """Total order of the members of a component; the engine breaks ties by sample_id and index."""
        return ()

    def check_columns(self, columns: pa.Schema) -> None:
        """At plan time, all columns before it (item types): RecipeError where one is not as it must be."""
        return

    @abstractmethod
    def keys(self, items: pa.Table) -> pa.Array:
        """list<string>: the keys of each item. An item without one stands alone and is not decided about."""

    def lots(self, items: pa.Table) -> pa.Array | None:
        """float64, one an item: an order among those that `rank()` holds equal, the smallest first."""
        return None

    def units(self, items: pa.Table, keys: pa.Array) -> pa.Array | None:
        """int64, one for each key of each item in turn: what is summed up over a component. One each where
        there is none."""
        return None

    @abstractmethod
    def elect(self, members: pa.Table) -> Out:
        """Decide for all members at once.

        The table is sorted by `component` (int64) and, within one, by rank: the first row of a component is
        its best. Beside `reads()` it has `sample_id`, `shape`, `key`, and of the component of each member

            size, total      int64: its members, and the sum of their units
            place, before    int64: how many members come before this one, and the sum of their units
            first            string: the sample_id of its best member
        """


# json.dumps builds an encoder for each call
_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str).encode


def canonical(value: Any) -> str:
    """JSON with one spelling for one value."""
    return _CANONICAL(value)


def fingerprint(*parts: Any) -> str:
    """16 hex digits that change when any part does."""
    # surrogates: names of files that are not UTF-8
    return hashlib.sha256(canonical(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]
