"""See `WordList`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, ClassVar, Literal, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
from pydantic import Field, StringConstraints

from curate.errors import RecipeError
from curate.sample import Level, single
from curate.stage import Map, Op, Out
from stages.common import scripts
from stages.common.forms import char_class, normal
from stages.common.list_file import File, stamp, text_of

_LARGEST = 64 << 20  # bytes of a list
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff]"
)
_GAP = " "
_WHOLE = ""  # in a node of the trie: an entry ends here; no token is empty

Trie: TypeAlias = dict[str, "Trie"]
ListName: TypeAlias = Annotated[str, StringConstraints(pattern="^[a-z0-9_]+$")]


class WordList(Map):
    """How often entries of word lists occur in a text: one column `text_hits_<name>` for each list.

    A list is a UTF-8 file with a word or phrase a line; empty lines and lines that begin with `#` are
    comments. `text_hits_<name>` counts the places of the text where an entry begins; what becomes of the text
    is for `keep` to say (`text_hits_slurs: {max: 0}`).

    Text and entries are compared in NFKC form without case and invisible characters. Entries match whole
    words (`ass` is not in "class"), in scripts without spaces (Han, kana, Thai, Lao, Khmer, Burmese) any
    stretch of letters. White space, hyphens and underscores between the words of a phrase are alike; other
    punctuation counts as it is written. Korean particles are part of the word: list such forms too.

    The lists' content is part of the stage's identity, their path is not.
    """

    stage: Literal["word_list"] = "word_list"
    level: ClassVar[Level] = "text"
    incidental: ClassVar[frozenset[str]] = frozenset({"lists"})

    lists: dict[ListName, File] = Field(
        min_length=1, description="Name of each list, and its path, relative to where the command is given."
    )

    def reads(self) -> frozenset[str]:
        return frozenset({"text_body"})

    def writes(self) -> pa.Schema:
        return pa.schema([(f"text_hits_{name}", pa.int32()) for name in sorted(self.lists)])

    def assets(self) -> Mapping[str, str]:
        return {name: self._list(name).digest for name in self.lists}

    def notices(self) -> frozenset[str]:
        return frozenset(
            f"Word list `{name}`, SHA-256 {digest[:16]}." for name, digest in self.assets().items()
        )

    def check_columns(self, columns: pa.Schema) -> None:
        for name in self.lists:
            self._list(name)

    def open(self) -> Op:
        tries = {name: self._list(name).trie for name in sorted(self.lists)}

        def op(table: pa.Table) -> Out:
            texts = single(table["text_body"]).cast(pa.string()).to_pylist()
            tokens = [None if text is None else tokenise(text) for text in texts]
            return Out(
                {
                    f"text_hits_{name}": pa.array(
                        [None if found is None else hits(found, trie) for found in tokens], pa.int32()
                    )
                    for name, trie in tries.items()
                }
            )

        return op

    def _list(self, name: str) -> _List:
        path = Path(self.lists[name])
        place = f"lists.{name}"
        stamped = stamp(str(path), place)
        if stamped[0] > _LARGEST:
            raise RecipeError(place, f"{path} is larger than {_LARGEST >> 20} MiB")
        return _load(str(path), place, stamped)


class _List(NamedTuple):
    trie: Trie
    digest: str


@lru_cache(maxsize=64)
def _load(path: str, place: str, stamped: tuple[int, int]) -> _List:
    """The list in a file of that size, changed at that time."""
    text = text_of(path, place, stamped)
    trie: Trie = {}
    for number, line in enumerate(text.splitlines(), 1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        tokens = tokenise(entry)
        if not tokens:
            raise RecipeError(place, f"{path}: line {number} holds nothing that is visible")
        node = trie
        for token in tokens:
            node = node.setdefault(token, {})
        node[_WHOLE] = {}
    if not trie:
        raise RecipeError(place, f"{path} holds no entry", "one word or phrase a line")
    return _List(trie, hashlib.sha256(text.encode()).hexdigest())


@lru_cache(maxsize=1)
def _token() -> re.Pattern[str]:
    """A letter of a script without spaces, a gap, a word of another script, or any other character."""
    kinds = scripts.table()
    marks = char_class(np.flatnonzero(kinds == scripts.MARK).tolist())
    alone = [kinds == scripts.script(name) for name in scripts.SPACELESS]
    letters = char_class(np.flatnonzero(np.any(alone, axis=0)).tolist())
    return re.compile(
        rf"[{letters}][{marks}]*|(?P<gap>[\s_\-\u2010-\u2015]+)|[^\W_{letters}](?:[^\W_{letters}]|[{marks}])*|.",
        re.DOTALL,
    )


def tokenise(text: str) -> list[str]:
    """Words, single letters of scripts without spaces, gaps (one space), and other characters one by one."""
    if text.isascii():
        text = text.lower()
    else:  # casefold takes some characters out of their normal form
        text = normal(_INVISIBLE.sub("", normal(text, "NFKC")).casefold(), "NFKC").replace("\u2019", "'")
    return [_GAP if found.lastgroup else found[0] for found in _token().finditer(text.strip())]


def hits(tokens: list[str], trie: Trie) -> int:
    """Number of tokens at which an entry begins."""
    found = 0
    for start, token in enumerate(tokens):
        node = trie.get(token)
        place = start + 1
        while node is not None and _WHOLE not in node:
            node = node.get(tokens[place]) if place < len(tokens) else None
            place += 1
        found += node is not None
    return found
