"""See `NearText`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate.errors import RecipeError
from curate.linked import Prepared
from curate.sample import Level, Mask, flat, single, wrap
from curate.stage import Arrays, Names
from stages.common.crowds import groups
from stages.common.jaccard import jaccard
from stages.common.minhash import (
    Bands,
    Engine,
    band_keys,
    bands,
    fewest_in_common,
    need,
    signatures,
    sketches,
)
from stages.common.near import Near
from stages.common.pairing import mix, pairs
from stages.common.shingles import Unit, Words, shingles

_N = {"text": 2, "sample": 5}
_THRESHOLD = {"text": 0.9, "sample": 0.7}
# Texts whose signatures are held at once.
_ROWS = 1 << 14
# " | pictures.example", " - www.example.org", " (7)", and nothing behind it.
_TAIL = r"\s+(?:[|–—·-]\s*(?:[\pL\pN-]+\.)+\pL{2,}|\(\pN{1,3}\))\s*$"


class NearText(Near):
    """Texts that are nearly the same: MinHash finds them, exact Jaccard of their n-grams confirms them.

    Texts are compared as sets of n-grams of words, after NFKC, case folding and with punctuation left out;
    letters of Chinese, Japanese, Thai, Lao, Khmer and Burmese count as a word each. Two are alike where
    their sets have at least `threshold` of their union in common, computed exactly. Less than one in a
    thousand of the pairs that are a sixth of the way from the threshold to 1 is overlooked (of 0.75 where it
    is 0.7), and far less of those more alike. A text without a letter or digit is left alone.

    `level: text` compares each caption, paragraph or turn, `level: sample` all texts of a sample in reading
    order. Captions are short and made of the same phrases ("a picture of a green apple", "... of a green
    pear"): of 4,000 such, 0.7 found 155 pairs that say different things beside 81 that say the same, 0.9 only
    the 81. With bigrams, 0.9 asks captions of fewer than ten words to be equal; what web pages add to a
    caption is no part of it (`tails`).

    Captions that are alike are no proof of a duplicate: many pictures are called "red rose". Where more must
    agree, name it in `within`: after a `near_image` that marks, `within: image_near_cluster` compares only
    texts of one cluster of images.

    Of very many texts that are all alike (over 256 different ones that share a band of MinHash), each is
    compared with some hundreds of the others, not with all: about 1 % of such a crowd survives.
    """

    stage: Literal["near_text"] = "near_text"

    level: Literal["text", "sample"] = Field(default="text", description="What is compared.")
    threshold: float | None = Field(
        default=None,
        ge=0.3,
        le=1,
        description="Jaccard index from which two are alike; left out: 0.9 of texts, 0.7 of whole samples.",
    )
    unit: Unit = "words"
    n: int | None = Field(
        default=None, ge=1, le=32, description="Length of n-grams; left out: 2 of texts, 5 of whole samples."
    )
    permutations: int = Field(default=128, ge=64, le=1024, description="Of MinHash; more: fewer candidates.")
    engine: Engine = Field(default="fast", description="What computes MinHash; `datasketch` is a package.")
    within: Names = Field(
        default=(), description="Columns whose values must be the same; a text without them is left alone."
    )
    tails: Literal["ignore", "compare"] = Field(
        default="ignore", description="A host name behind a dash or bar, or a number in brackets, at the end."
    )

    def level_(self) -> Level:
        return self.level

    def reads(self) -> frozenset[str]:
        return super().reads() | {"text_body", *self.within}

    def signature(self) -> pa.Schema:
        shown = [("twin", pa.uint64()), ("sketch", pa.uint64()), ("size", pa.int32())]
        return pa.schema([*shown, ("shingles", pa.list_(pa.uint32()))])

    def carried(self) -> pa.Schema:
        return pa.schema([self.signature().field(name) for name in ("twin", "sketch", "size")])

    def keys_each(self) -> int:
        return self._bands().bands

    def check_columns(self, columns: pa.Schema) -> None:
        need(self.engine, "engine")
        for name in self.within:
            kind = columns.field(name).type if name in columns.names else pa.string()
            if pa.types.is_nested(kind) or pa.types.is_binary(kind):
                raise RecipeError("within", f"`{name}` holds {kind}, which is not compared")

    def prepare(self, items: pa.Table, fitted: Arrays) -> Prepared:
        texts = self._texts(items)
        salt, wanted = self._within(items)
        salt = mix(salt ^ self.kinds(items))
        wanted &= self.in_scope(items)
        tables, keys = [], []
        for start in range(0, max(1, len(texts)), _ROWS):
            here = slice(start, start + _ROWS)
            table, own = self._prepare(texts.slice(start, _ROWS), salt[here], wanted[here])
            tables.append(table)
            keys.append(own)
        return Prepared(pa.concat_tables(tables).combine_chunks(), pa.concat_arrays(keys))

    def _prepare(self, texts: pa.Array, salt: Words, wanted: Mask) -> tuple[pa.Table, pa.Array]:
        shape = self._bands()
        sets = shingles(texts, self.unit, self.n or _N[self.level])
        values = signatures(sets, self.permutations, self.engine)
        twins = mix(sets.digests ^ salt)
        keys = mix(band_keys(values, shape) ^ salt[:, None])
        # where no other set can be alike, one key is enough
        sizes = sets.sizes
        lonely = sizes < self._least() * (sizes + 1)
        keys[lonely, 0] = mix(twins[lonely], 1)
        counts = np.where(lonely, 1, shape.bands) * (wanted & (sizes > 0))
        used = np.arange(shape.bands) < counts[:, None]
        numbers = [pa.array(n) for n in (twins, sketches(values), sizes.astype(np.int32))]
        signature = pa.table([*numbers, sets.lists()], schema=self.signature())
        return signature, wrap(pa.array(keys[used]), counts)

    def link(self, bucket: pa.Table) -> Iterator[pa.Table]:
        key, twin, sketch = (single(bucket[n]).to_numpy() for n in ("key", "twin", "sketch"))
        size = single(bucket["size"]).to_numpy()
        in_common = fewest_in_common(self._least())
        order, group = groups(key, twin, sketch)
        for left, right in pairs(group):
            a, b = order[left], order[right]
            likely = np.minimum(size[a], size[b]) >= self._least() * np.maximum(size[a], size[b])
            likely &= np.bitwise_count(~(sketch[a] ^ sketch[b])) >= in_common
            yield pa.table({"left": a[likely], "right": b[likely]})

    def verify(self, left: pa.Table, right: pa.Table) -> pa.Array:
        alike = jaccard(left["shingles"], right["shingles"])
        return pa.array(alike.astype(np.float32), mask=alike < self._least())

    def _least(self) -> float:
        """The threshold; rounding of a quotient must not decide."""
        return (_THRESHOLD[self.level] if self.threshold is None else self.threshold) - 1e-9

    def _bands(self) -> Bands:
        return bands(self.permutations, self._least())

    def _texts(self, items: pa.Table) -> pa.Array:
        column = single(items["text_body"])
        if self.level == "sample":
            counts = pc.fill_null(pc.list_value_length(column), 0).to_numpy().astype(np.int64)
            column = pc.binary_join(wrap(pc.fill_null(flat(column), ""), counts), "\n")
        if self.tails == "compare":
            return column
        return pc.replace_substring_regex(column, _TAIL, "")

    def _within(self, items: pa.Table) -> tuple[Words, Mask]:
        """(a hash of the values of the columns `within`, whether there are any) of each row."""
        rows = items.num_rows
        salt, present = np.zeros(rows, np.uint64), np.ones(rows, dtype=bool)
        for name in self.within:
            codes = _one_each(items[name]).dictionary_encode()
            hashes = np.array([_hash(v) for v in codes.dictionary.to_pylist()] + [0], dtype=np.uint64)
            place = pc.fill_null(codes.indices, -1).to_numpy(zero_copy_only=False)
            salt = mix(salt ^ hashes[place])
            present &= place >= 0
        return salt, present


def _one_each(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """The values as strings; of a list all that are no null, which is null where there are none."""
    values = single(column)
    if not (pa.types.is_list(values.type) or pa.types.is_large_list(values.type)):
        return values.cast(pa.string())
    there = pc.is_valid(values.flatten())
    parents = pc.list_parent_indices(values).filter(there).to_numpy()
    counts = np.bincount(parents, minlength=len(values)).astype(np.int64)
    joined = pc.binary_join(wrap(values.flatten().filter(there).cast(pa.string()), counts), "\x1f")
    return pc.if_else(pa.array(counts > 0), joined, pa.scalar(None, pa.string()))


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
