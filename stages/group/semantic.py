"""See `Semantic`."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import ClassVar, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from curate.errors import RunError
from curate.linked import Linked, Prepared
from curate.sample import Level, level_of, single, wrap
from curate.stage import Arrays, Names, Rank
from stages.common.cosines import Device, Halves, Pairs, alike, product_on
from stages.common.kmeans import Ints, Mask, Wholes, kmeans, reached, wholes
from stages.common.near import Near
from stages.common.pairing import Words, mix
from stages.common.scoring import embedding_width, matrix

Rows: TypeAlias = npt.NDArray[np.float64]

# Items of a cluster, where the number of items decides the number of clusters, and of the pieces of a larger
# one: comparing an item with 1,000 others costs as much as with 1,000 centroids.
_EACH = 250
_LARGEST = 2048
# Points that a cluster is made of, at least.
_POINTS = 10
# Rows turned into wider numbers at once.
_ROWS = 8192
_YIELDED = 1 << 20


class Semantic(Near):
    """Near duplicates by meaning: items whose embeddings have a cosine of at least `threshold` (SemDeDup).

    After SemDeDup (arXiv 2303.09540): k-means over a sample of embeddings, then cosines within clusters.
    Other than there, an item near the border of its cluster takes part in the neighbouring ones too, so that
    pairs across it are found, and only what is alike with a survivor is dropped, so that no chain of small
    steps empties a cluster.

        image_semantic_cluster      what belongs together (16 hex digits)
        image_semantic_survivor     sample_id of the one that is kept
        image_semantic_similarity   cosine with it, raw

    `embedding` is a column of images, texts or samples; or several, for joint embeddings: the cosine is then
    the mean of theirs, weighted by `weights`. An image and a text column together compare whole samples;
    where a sample has several images or texts, the mean of their directions counts. Who has no embedding (or
    no image, or no text) is left alone.

    Which cosine means the same thing depends on the model: `action: mark` and a look at both sides tell. The
    default is strict (eps 0.01 in SemDeDup's terms, as NeMo Curator's example for images has it). The shipped
    `mini` is coarse: from 0.999 on it finds the same picture in other sizes and formats, at 0.99 it takes a
    b for a d. Of those that are alike the first by `prefer` survives, and where that does not decide the one
    farthest from its cluster's centre (SemDeDup's choice; `keep: closest`: the most typical).

    The result does not depend on shards, order, threads or device: clusters are made in whole numbers,
    cosines near the threshold are exact.
    """

    label: ClassVar[str] = "semantic"

    stage: Literal["semantic"] = "semantic"
    incidental: ClassVar[frozenset[str]] = Linked.incidental | {"device"}

    embedding: Names = Field(
        default=("image_clip_embedding",), min_length=1, description="One column, or several for joint ones."
    )
    weights: tuple[float, ...] = Field(
        default=(), description="Of several embeddings in the joint cosine; equal when left out."
    )
    threshold: float = Field(default=0.99, ge=0, le=1, description="Cosine from which on items are alike.")
    keep: Literal["farthest", "closest"] = Field(
        default="farthest",
        description="Who survives where `prefer` does not decide, by distance to the centre.",
    )
    clusters: int = Field(
        default=1000, ge=1, description="At most so many; fewer where there are less than 250 items for each."
    )
    probes: int = Field(default=4, ge=1, description="Clusters that an item near a border takes part in.")
    margin: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="How near is near: a share of half the distance of two items at the threshold. "
        "1 misses no pair, as far as `probes` allow; 0 is SemDeDup's.",
    )
    sample: int = Field(default=50_000, ge=1, description="Items that the clusters are learnt from.")
    device: Device = Field(
        default="cpu", description="`cuda`: products by torch on a GPU; `auto`: where a worker sees one."
    )

    @model_validator(mode="after")
    def _weights_fit(self) -> Semantic:
        if len(set(self.embedding)) < len(self.embedding):
            raise ValueError("`embedding` names a column twice")
        if self.weights and len(self.weights) != len(self.embedding):
            raise ValueError(f"{len(self.weights)} weights for {len(self.embedding)} embeddings")
        if any(not 0 < weight < math.inf for weight in self.weights):
            raise ValueError("weights are above 0")
        return self

    def level_(self) -> Level:
        levels = {level_of(name) for name in self.embedding}
        return levels.pop() if len(levels) == 1 else "sample"

    def reads(self) -> frozenset[str]:
        return super().reads() | set(self.embedding)

    def check_columns(self, columns: pa.Schema) -> None:
        for name in self.embedding:
            embedding_width(columns, name)

    def rank(self) -> tuple[Rank, ...]:
        order: Literal["ascending", "descending"] = "descending" if self.keep == "closest" else "ascending"
        return (*super().rank(), Rank("centre", order))

    def signature(self) -> pa.Schema:
        return pa.schema(
            [
                ("twin", pa.uint64()),
                # the bytes of its float16 numbers: Arrow sorts them 30 times as fast as lists
                ("embedding", pa.large_binary()),
                ("centre", pa.float32()),  # cosine with the nearest centroid
            ]
        )

    def carried(self) -> pa.Schema:
        return pa.schema([self.signature().field("embedding")])

    def verifies(self) -> bool:
        return False

    def keys_each(self) -> int:
        return min(self.probes, 2)

    def sample_size(self) -> int:
        return self.sample

    def fit(self, items: pa.Table, total: int) -> Arrays:
        halves, there = self._halves(items)
        halves = halves[there & self.in_scope(items)]
        # each once, in the order of their hashes: nothing of the order of the items is left
        _, first = np.unique(_digests(halves), return_index=True)
        points = wholes(halves[first].astype(np.float32))
        if not len(points):
            return {"centroids": np.zeros((0, halves.shape[1]), dtype=np.int16)}
        clusters = min(self.clusters, -(-total // _EACH), -(-len(points) // _POINTS))
        return {"centroids": kmeans(points, clusters, product=product_on(self.device)).astype(np.int16)}

    def prepare(self, items: pa.Table, fitted: Arrays) -> Prepared:
        halves, there = self._halves(items)
        there &= self.in_scope(items)
        kinds = self.kinds(items)
        rows = np.flatnonzero(there)
        near, within, centre = self._places(halves[rows], fitted["centroids"].astype(np.float32))
        buckets = mix(near.astype(np.uint64) * np.uint64(2) + kinds[rows, None])
        counts = np.zeros(len(there), dtype=np.int64)
        counts[rows] = within.sum(axis=1)
        twins = np.zeros(len(there), dtype=np.uint64)
        twins[rows] = _digests(halves[rows]) ^ mix(kinds[rows])
        centres = np.zeros(len(there), dtype=np.float32)
        centres[rows] = centre
        columns = [pa.array(twins), _packed(halves), pa.array(centres)]
        return Prepared(
            pa.Table.from_arrays(columns, schema=self.signature()),
            wrap(pa.array(buckets[within]), counts),
        )

    def link(self, bucket: pa.Table) -> Iterator[pa.Table]:
        if not bucket.num_rows:
            return
        halves = _unpacked(bucket["embedding"])
        keys = single(bucket["key"]).to_numpy()
        starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
        sizes = np.diff(starts, append=len(keys))
        yield from _tables(self._pairs(halves, starts[sizes > 1], sizes[sizes > 1]))

    def _pairs(self, halves: Halves, starts: Ints, sizes: Ints) -> Iterator[Pairs]:
        product = product_on(self.device)
        for start, size in zip(starts.tolist(), sizes.tolist(), strict=True):
            own = halves[start : start + size]
            for part in self._cut(own) if size > _LARGEST else [np.arange(size)]:
                for found in alike(own[part], self.threshold, product):
                    yield Pairs(part[found.left] + start, part[found.right] + start, found.cosine)

    def _cut(self, halves: Halves) -> Iterator[Ints]:
        """A large cluster in smaller ones, by the same rules: rows of each, in order."""
        clusters = -(-len(halves) // _EACH)
        # their order is that of digests, so that any regular choice is a sample
        some = np.arange(0, len(halves), max(1, len(halves) // (50 * clusters)))
        product = product_on(self.device)
        centroids = kmeans(wholes(halves[some].astype(np.float32)), clusters, product=product)
        near, within, _ = self._places(halves, centroids)
        # Within a crowd of like items all are near the border of the middle one: it takes its own alone, and
        # where those are too many some of them, whoever they are. Each is linked with hundreds then.
        crowded = np.bincount(near[within], minlength=len(centroids)) > _LARGEST
        within[:, 1:] &= ~crowded[near[:, 1:]]
        rows = np.repeat(np.arange(len(halves)), within.sum(axis=1))
        owners = near[within]
        order = np.argsort(owners, kind="stable")
        ends = np.cumsum(np.bincount(owners, minlength=len(centroids)))
        for part in np.split(rows[order], ends[:-1]):
            yield from np.array_split(part, max(1, -(-len(part) // _LARGEST)))

    def _places(self, halves: Halves, centroids: Wholes) -> tuple[Ints, Mask, npt.NDArray[np.float64]]:
        """Clusters of each row, which of them it takes part in, and its cosine with the nearest centroid."""
        if not len(centroids):  # the sample had no embedding at all: one cluster
            return (
                np.zeros((len(halves), 1), np.int64),
                np.ones((len(halves), 1), bool),
                np.zeros(len(halves)),
            )
        if halves.shape[1] != centroids.shape[1] and len(halves):
            raise RunError(
                f"embeddings of {halves.shape[1]} numbers, clusters of {centroids.shape[1]}: a run that is "
                "`known` used another model"
            )
        count = min(self.probes, len(centroids))
        near = np.zeros((len(halves), count), dtype=np.int64)
        within = np.zeros((len(halves), count), dtype=bool)
        centre = np.zeros(len(halves))
        distance = self.margin * math.sqrt(2 - 2 * self.threshold)
        lengths = np.sqrt(np.einsum("kd,kd->k", centroids, centroids).astype(np.float64))
        product = product_on(self.device)
        for some in _slices(len(halves)):
            points = wholes(halves[some].astype(np.float32))
            near[some], within[some], products = reached(points, centroids, count, distance, product)
            squares = np.einsum("nd,nd->n", points, points).astype(np.float64)
            centre[some] = products[:, 0] / (np.sqrt(squares) * lengths[near[some, 0]])
        return near, within, centre

    def _halves(self, items: pa.Table) -> tuple[Halves, Mask]:
        """Embeddings of unit length, (rows, width), and which of them are there; zeros where not."""
        total = sum(self.weights) or len(self.embedding)
        weights = self.weights or (1.0,) * len(self.embedding)
        parts, present = [], np.ones(items.num_rows, dtype=bool)
        for name, weight in zip(self.embedding, weights, strict=True):
            found = [_directions(items[name].slice(s.start, _ROWS)) for s in _slices(items.num_rows)]
            scale = math.sqrt(weight / total)
            parts.append(np.concatenate([(vectors * scale).astype(np.float16) for vectors, _ in found]))
            present &= np.concatenate([there for _, there in found])
        # + 0: there is one zero
        halves = np.concatenate(parts, axis=1) + np.float16(0)
        halves[~present] = 0
        return halves, present


def _directions(column: pa.Array | pa.ChunkedArray) -> tuple[Rows, Mask]:
    """Unit vectors of an embedding column; of one with several a row, the direction of their mean."""
    values = single(column)
    if pa.types.is_fixed_size_list(values.type):
        with np.errstate(invalid="ignore"):  # numbers that are none
            vectors, there = matrix(values)
        there &= np.isfinite(vectors).all(axis=1) & vectors.any(axis=1)
        vectors[~there] = 0
        return vectors, there
    every, _ = _directions(values.flatten())
    counts = pc.list_value_length(values).to_numpy(zero_copy_only=False).astype(np.int64)
    some = np.flatnonzero(counts)
    sums = np.zeros((len(values), every.shape[1]))
    if len(some):
        sums[some] = np.add.reduceat(every, (np.cumsum(counts) - counts)[some], axis=0)
    lengths = np.sqrt((sums * sums).sum(axis=1, keepdims=True))
    return sums / np.where(lengths > 0, lengths, 1), lengths[:, 0] > 0


def _digests(halves: Halves) -> Words:
    """64 bits of the bytes of each row."""
    rows = np.ascontiguousarray(halves)
    found = [hashlib.blake2b(row, digest_size=8).digest() for row in rows]
    return np.frombuffer(b"".join(found), dtype="<u8").astype(np.uint64)


def _packed(halves: Halves) -> pa.Array:
    """Each row's bytes, little-endian."""
    rows, width = halves.shape
    offsets = np.arange(rows + 1, dtype=np.int64) * (2 * width)
    data = np.ascontiguousarray(halves, dtype="<f2").tobytes()
    return pa.Array.from_buffers(pa.large_binary(), rows, [None, pa.py_buffer(offsets), pa.py_buffer(data)])


def _unpacked(column: pa.ChunkedArray) -> Halves:
    """A view of the rows of `_packed`, (rows, width); there is one at least."""
    values = single(column)
    _, offsets, data = values.buffers()
    ends = np.frombuffer(offsets, dtype=np.int64)[values.offset : values.offset + len(values) + 1]
    return np.frombuffer(data, dtype="<f2")[ends[0] // 2 : ends[-1] // 2].reshape(len(values), -1)


def _tables(found: Iterator[Pairs]) -> Iterator[pa.Table]:
    """Pairs in tables of a million at most, as a block has."""
    waiting: list[Pairs] = []
    rows = 0
    for pairs in found:
        if waiting and rows + len(pairs.left) > _YIELDED:
            yield _table(waiting)
            waiting, rows = [], 0
        waiting.append(pairs)
        rows += len(pairs.left)
    if waiting:
        yield _table(waiting)


def _table(pairs: list[Pairs]) -> pa.Table:
    left, right, cosine = (np.concatenate(part) for part in zip(*pairs, strict=True))
    return pa.table({"left": left, "right": right, "similarity": cosine})


def _slices(rows: int) -> Iterator[slice]:
    for start in range(0, max(rows, 1), _ROWS):
        yield slice(start, start + _ROWS)
