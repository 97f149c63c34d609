"""See `Balance`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate.errors import RecipeError
from curate.sample import Level, single
from curate.stage import Group, Out
from stages.common.columns import reason_where
from stages.common.draws import draws
from stages.common.entries import Entries, words
from stages.common.list_file import File, stamp, text_of
from stages.common.strata import components

Ints = npt.NDArray[np.int64]

_ENTRY, _NONE = "e:", "n:"  # what keys begin with


class Balance(Group):
    """Head entries of a list thinned, the tail left whole, as MetaCLIP does (arXiv 2309.16671).

    Each sample has the entries of the list `entries` that occur in its texts as whole words; without a list,
    the values of `key` themselves (`key: image_tags`). For each of its entries a sample is drawn with the
    probability min(1, `limit` / number of samples that have it), by a hash of its id and the entry; it stays
    where one draw keeps it, else it goes as `over_represented`. Samples without an entry go as `no_entry`,
    or stay (`unmatched: keep`).

    The list is a text file with an entry a line, or a JSON file with an array of them. Text and entries are
    compared in NFKC form without case; hyphens are spaces, other signs words of their own. In scripts
    without spaces (Han, kana, Thai, Lao, Khmer, Burmese) entries match anywhere. The paper's limit is 20,000
    for 400 million pairs, 170,000 for 2.5 billion.
    """

    stage: Literal["balance"] = "balance"
    votes: ClassVar[bool] = True
    streams: ClassVar[bool] = True
    incidental: ClassVar[frozenset[str]] = frozenset({"entries"})

    key: str = Field(default="text_body", description="Column of texts, or of values or lists of them.")
    entries: File | None = Field(
        default=None, description="Path of the list, relative to where the command is given."
    )
    limit: int = Field(default=20_000, ge=1, description="Samples of an entry that are expected to stay.")
    unmatched: Literal["drop", "keep"] = Field(
        default="drop", description="What happens to samples without an entry."
    )
    seed: int = Field(default=0, description="Another one draws others.")

    def level_(self) -> Level:
        return "sample"

    def reads(self) -> frozenset[str]:
        return frozenset({"sample_id", self.key})

    def reasons(self) -> frozenset[str]:
        return frozenset({"over_represented", *(["no_entry"] if self.unmatched == "drop" else [])})

    def assets(self) -> Mapping[str, str]:
        return {} if self.entries is None else {"entries": self._list().digest}

    def notices(self) -> frozenset[str]:
        return frozenset(f"Balanced by a list of entries, SHA-256 {d[:16]}." for d in self.assets().values())

    def check_columns(self, columns: pa.Schema) -> None:
        kind = columns.field(self.key).type if self.key in columns.names else pa.string()
        while pa.types.is_list(kind):
            kind = kind.value_type
        plain = pa.types.is_string(kind) or (self.entries is None and pa.types.is_integer(kind))
        if not plain:
            raise RecipeError("key", f"`{self.key}` holds {kind}; entries are found in text")
        if self.entries is not None:
            self._list()

    def keys(self, items: pa.Table) -> pa.Array:
        values, rows = _flat(single(items[self.key]))
        own: list[set[str]] = [set() for _ in range(items.num_rows)]
        if self.entries is None:
            for row, value in zip(rows.tolist(), values.cast(pa.string()).to_pylist(), strict=True):
                own[row].update([] if value is None else [value])
        else:
            known = self._list().entries
            for row, text in zip(rows.tolist(), words(values).to_pylist(), strict=True):
                own[row].update([] if text is None else known.found(text))
        keys = [sorted(f"{_ENTRY}{entry}" for entry in found) for found in own]
        if self.unmatched == "drop":
            ids = items["sample_id"].to_pylist()
            keys = [found or [_no_entry(id_)] for found, id_ in zip(keys, ids, strict=True)]
        return pa.array(keys, pa.list_(pa.string()))

    def elect(self, members: pa.Table) -> Out:
        """`members` has the column `key`, which is the same in a component."""
        first, sizes, group = components(members)
        loses = np.zeros(members.num_rows, dtype=bool)
        kinds = members.take(pa.array(first))
        keys, all_ = kinds["key"].to_pylist(), kinds["size"].to_pylist()
        for key, have, start, here in zip(keys, all_, first.tolist(), sizes.tolist(), strict=True):
            if have > self.limit and key.startswith(_ENTRY):
                rows = slice(start, start + here)
                # a larger count moves the bound, not the draws
                lots = draws(f"balance {self.seed} {key}", members["sample_id"][rows])
                loses[rows] = lots >= self.limit / have
        unmatched = np.array([key.startswith(_NONE) for key in keys], dtype=bool)[group]
        drop = pc.coalesce(reason_where(unmatched, "no_entry"), reason_where(loses, "over_represented"))
        return Out(drop=drop)

    def _list(self) -> _List:
        assert self.entries is not None
        return _load(self.entries, stamp(self.entries, "entries"))


class _List(NamedTuple):
    entries: Entries
    digest: str


@lru_cache(maxsize=4)
def _load(path: str, stamped: tuple[int, int]) -> _List:
    text = text_of(path, "entries", stamped)
    if path.endswith(".json"):
        try:
            entries = json.loads(text)
        except ValueError as error:
            raise RecipeError("entries", f"{path} is no JSON: {error}") from error
        if not isinstance(entries, list) or not all(isinstance(e, str) for e in entries):
            raise RecipeError("entries", f"{path} holds no array of texts", 'such as ["cat", "lighthouse"]')
    else:
        lines = (line.strip() for line in text.split("\n"))
        entries = [line for line in lines if line and not line.startswith("#")]
    found = Entries(entries)
    if not found:
        raise RecipeError("entries", f"{path} holds no entry", "one word or phrase a line")
    return _List(found, hashlib.sha256(text.encode()).hexdigest())


def _flat(values: pa.Array) -> tuple[pa.Array, Ints]:
    """The values in lists of any depth, and the row of each."""
    rows: Ints = np.arange(len(values))
    while pa.types.is_list(values.type):
        rows = rows[pc.list_parent_indices(values).to_numpy()]
        values = values.flatten()
    return values, rows


def _no_entry(id_: str) -> str:
    """A key for samples that have none: many, for all of them under one would be one task."""
    return _NONE + hashlib.blake2b(id_.encode(), digest_size=1).hexdigest()
