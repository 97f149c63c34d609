"""The images of benchmarks, and the images that show the same.

An image and a copy of it that was cropped by 2 % differ in more bits of a hash than lookalikes do. So each is
looked up as it is and as five crops would be, on both sides, for the benchmark may hold the cropped copy.
Whether two images are one is for their thumbs to say, see `likeness.alike`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import islice
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.pixels import Decode, Pixels, decode
from curate.sample import Ints, single
from curate.stage import fingerprint
from stages.common import thumbs
from stages.common.benchmark import Benchmark, Gallery, items
from stages.common.benchmark_rows import Faults
from stages.common.encoders import encoder
from stages.common.hamming import HammingIndex
from stages.common.likeness import alike
from stages.common.pixel_digest import pixel_digest
from stages.common.scoring import load_encoder, matrix, vectors
from stages.common.text_leaks import fault_table
from stages.common.thumbs import Turn

Floats = npt.NDArray[np.float32]
Words = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]
T = TypeVar("T")

VERSION = 3
_AT_ONCE = 64  # images that are decoded at a time
_FEW = 4096  # candidates at a time
_BLOCK = 1 << 16  # images of an index that are compared with at a time
_TIE = 1e-4  # of cosines that a matrix product may tell apart wrongly


_NONE = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))


class Match(NamedTuple):
    """For each row what it is most like; -1 where it is like nothing."""

    image: Ints  # row of the index
    similarity: Floats


@lru_cache(maxsize=1)
def measure() -> str:
    """Changes with the way in which digests, thumbs and hashes are made: a fixed picture's."""
    y, x = np.mgrid[:48, :64]
    frame = np.stack([x * y % 251, x * 4, (x // 8 + y // 6) % 2 * 255], axis=-1).astype(np.uint8)
    digest, shown = _looks(Pixels(frame, 48, 64, "png", False, False))
    return fingerprint(digest, shown.tobytes().hex(), _hashes(shown).tolist())[:8]


def build(benchmarks: Sequence[Benchmark], short_side: int) -> dict[str, pa.Table]:
    """Tables `images` (item, pixel_sha256), `looks` (image: a row of the former, thumb; none of blank ones,
    for those are like all blank ones) and `faults`."""
    names: list[str] = []
    digests: list[str] = []
    places: list[int] = []
    shown: list[Bytes] = [np.zeros((0, thumbs.SIZE), np.uint8)]
    faults: dict[str, Faults] = {}
    for item, (digest, thumb) in _each(benchmarks, short_side, faults, _looks):
        if thumbs.blank(thumb)[0]:
            of = next(name for name in faults if item.startswith(f"{name}/"))
            faults[of]["blank_image"] += 1
        else:
            places.append(len(names))
            shown.append(thumb)
        names.append(item)
        digests.append(digest)
    held = np.concatenate(shown)
    looks = {
        "image": pa.array(places, pa.int32()),
        "thumb": pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(thumbs.SIZE), len(held), [None, pa.py_buffer(held)]
        ),
    }
    images = {"item": pa.array(names, pa.string()), "pixel_sha256": pa.array(digests, pa.string())}
    return {"images": pa.table(images), "looks": pa.table(looks), "faults": fault_table(faults)}


def build_embeddings(
    benchmarks: Sequence[Benchmark], short_side: int, model: str, weights: str
) -> dict[str, pa.Table]:
    """Table `images` (item, embedding), and `faults`."""
    own = encoder(model, weights)
    front, run = own.front(), load_encoder(model, weights, "fp32", gpu=False)
    names: list[str] = []
    found: list[npt.NDArray[np.float16]] = []
    faults: dict[str, Faults] = {}
    each = _each(benchmarks, short_side, faults, lambda image: front.pixels(image.data))
    while some := list(islice(each, _AT_ONCE)):
        names += [item for item, _ in some]
        pixels = np.stack([shown for _, shown in some])
        found.append(run({"pixels": pixels})["embedding"].astype(np.float16))
    dim = own.facts().dim
    rows = np.concatenate(found) if found else np.zeros((0, dim), np.float16)
    columns = {
        "item": pa.array(names, pa.string()),
        "embedding": vectors(rows, np.ones(len(rows), bool), dim),
    }
    return {"images": pa.table(columns), "faults": fault_table(faults)}


class Looks:
    """Images against an index that `build` made, by what they look like."""

    def __init__(self, index: Mapping[str, pa.Table], distance: int, turns: Sequence[Turn]) -> None:
        held = index["looks"]
        # a view of the mapped file: what is no candidate is only read once, here
        self._thumbs = thumbs.array(single(held["thumb"]))
        self._images = single(held["image"]).to_numpy().astype(np.int64)
        self._hashes = HammingIndex(_hashes(self._thumbs).ravel(), distance)
        self._turns = turns

    def best(self, shown: Bytes) -> Match:
        """For each thumb the image that it is most like, of equals the first."""
        lively = np.flatnonzero(~thumbs.blank(shown))
        rows, images, similarity = ([part] for part in _NONE)
        for turn in self._turns:
            asked = thumbs.turned(shown[lively], turn)
            query, held = self._candidates(asked)
            for start in range(0, len(query), _FEW):
                some, kept = query[start : start + _FEW], held[start : start + _FEW]
                rows.append(lively[some])
                images.append(self._images[kept])
                similarity.append(alike(asked[some], self._thumbs[kept]))
        return _best(len(shown), np.concatenate(rows), np.concatenate(images), np.concatenate(similarity))

    def _candidates(self, asked: Bytes) -> tuple[Ints, Ints]:
        """Rows of those asked for and held that are near, one of them as it is, the other so or cropped."""
        ways = 1 + thumbs.CROPS
        query, held, _ = self._hashes.search(_hashes(asked).ravel())
        once = (query % ways == 0) | (held % ways == 0)
        pairs = np.unique(query[once] // ways * len(self._thumbs) + held[once] // ways)
        found: tuple[Ints, Ints] = np.divmod(pairs, max(1, len(self._thumbs)))
        return found


class Embeddings:
    """Images against an index that `build_embeddings` made."""

    def __init__(self, index: Mapping[str, pa.Table]) -> None:
        rows, present = matrix(single(index["images"]["embedding"]))
        self._images = np.flatnonzero(present)
        self._rows = rows[self._images].astype(np.float32)

    def best(self, column: pa.Array) -> Match:
        """For each embedding the image with the largest cosine; -1 for a null."""
        asked, present = matrix(column)
        asked = asked.astype(np.float32)
        found = [np.zeros(0, np.int64)] * 2
        top = np.full(len(asked), -np.inf, dtype=np.float32)
        for start in range(0, len(self._rows), _BLOCK):
            cosines = asked @ self._rows[start : start + _BLOCK].T
            top = np.maximum(top, cosines.max(axis=1))
            # sums of a matrix product depend on how many rows there are: what comes close is summed again
            row, held = np.nonzero((cosines >= top[:, None] - _TIE) & present[:, None])
            found = [np.append(found[0], row), np.append(found[1], held + start)]
        row, held = found
        again = np.einsum("ij,ij->i", asked[row], self._rows[held])
        return _best(len(asked), row, self._images[held], again)


def _best(count: int, rows: Ints, images: Ints, similarity: Floats) -> Match:
    order = np.lexsort((images, -similarity, rows))
    order = order[~np.isnan(similarity[order])]
    first = order[np.diff(rows[order], prepend=-1) > 0]
    image, best = np.full(count, -1, dtype=np.int64), np.full(count, np.nan, dtype=np.float32)
    image[rows[first]], best[rows[first]] = images[first], similarity[first]
    return Match(image, best)


def _each(
    benchmarks: Sequence[Benchmark],
    short_side: int,
    faults: dict[str, Faults],
    make: Callable[[Pixels], T],
) -> Iterator[tuple[str, T]]:
    """(item, what is made of the canonical decode) of each different image that can be decoded."""
    how = Decode(short_side=short_side)

    def made(fresh: tuple[str, bytes]) -> tuple[str, T] | str:
        image = decode(fresh[1], how)
        return image if isinstance(image, str) else (fresh[0], make(image))

    gallery = Gallery()
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for benchmark in benchmarks:
            lost = faults.setdefault(benchmark.name, Faults())
            fresh = ((one.name, data) for one in items(benchmark, lost) for data in gallery.add(one))
            while some := list(islice(fresh, _AT_ONCE)):
                for found in threads.map(made, some):
                    if isinstance(found, str):
                        lost[found] += 1
                    else:
                        yield found


def _looks(image: Pixels) -> tuple[str, Bytes]:
    """(digest of the pixels, thumb)."""
    from PIL import Image

    height, width = image.data.shape[:2]
    whole = Image.frombuffer("RGB", (width, height), np.ascontiguousarray(image.data))
    shown = np.frombuffer(thumbs.of_image(whole), dtype=np.uint8).reshape(1, thumbs.SIZE)
    return pixel_digest(image.data, image.true_height, image.true_width), shown


def _hashes(shown: Bytes) -> Words:
    """(n, 6): of each as it is, and cropped."""
    return np.concatenate([thumbs.hashes(shown)[:, None], thumbs.crop_hashes(shown)], axis=1)
