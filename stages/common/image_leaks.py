"""The images of benchmarks, and the images that show the same.

A crop of 2 % moves bits of a hash and cells of a thumb. So each image is kept as itself and as it would be
before and after one: cut at nine places, and with as much added there by repeating its rim, for the benchmark
may hold the cropped copy. Whether two images are one is for their thumbs to say, see `thumbs.alike`. What is
near to a benchmark's image and not found so is cropped itself, for the rim that a crop has lost is not known.

Having the crop beside it, this can be stricter than `near_image`: no block of 4 x 4 cells of luma may differ
by `_BLOCK_APART` levels on average, mean and contrast made equal, which tells signs with other pictograms and
cards of other suits apart.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
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
from stages.common.pixel_digest import pixel_digest
from stages.common.scoring import load_encoder, matrix, vectors
from stages.common.text_leaks import fault_table
from stages.common.thumbs import Turn

Frame = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Words = npt.NDArray[np.uint16]
Bytes = npt.NDArray[np.uint8]
T = TypeVar("T")

VERSION = 1
_CROP = 0.02
_PLACES = tuple((v, h) for v in (0.0, 0.5, 1.0) for h in (0.0, 0.5, 1.0))
_AT_ONCE = 64  # images that are decoded at a time
_BLOCK_SIDE, _BLOCK_APART, _GAIN = 4, 32, 1.25
_FEW = 4096  # candidates at a time
_CANDIDATES = 8  # images that an image is cropped for
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
    return fingerprint(digest, shown.tobytes().hex(), thumbs.hashes(shown).tolist())[:8]


def build(benchmarks: Sequence[Benchmark], short_side: int) -> dict[str, pa.Table]:
    """Tables `images` (item, pixel_sha256), `looks` (image: a row of the former, hash, thumb; none of blank
    ones, for those are like all blank ones) and `faults`."""
    names: list[str] = []
    digests: list[str] = []
    places: list[int] = []
    shown: list[Bytes] = [np.zeros((0, thumbs.SIZE), np.uint8)]
    faults: dict[str, Faults] = {}
    for item, (digest, variants) in _each(benchmarks, short_side, faults, _looks):
        places += [len(names)] * len(variants)
        shown.append(variants)
        names.append(item)
        digests.append(digest)
    held = np.concatenate(shown)
    looks = {
        "image": pa.array(places, pa.int32()),
        "hash": pa.array(thumbs.hashes(held)),
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
        # a view of the mapped file: what is no candidate is never read
        self._thumbs = thumbs.array(single(held["thumb"]))
        self._images = single(held["image"]).to_numpy().astype(np.int64)
        self._begin = np.searchsorted(self._images, np.arange(index["images"].num_rows + 1))
        self._hashes = HammingIndex(single(held["hash"]).to_numpy(), distance)
        self._turns = turns

    def best(self, shown: Bytes, crops: Callable[[int], Bytes]) -> Match:
        """For each thumb the image that it is most like, of equals the first. `crops` gives the thumbs of the
        image of a row as it would be cropped."""
        lively = np.flatnonzero(~thumbs.blank(shown))
        rows, images, similarity = ([part] for part in _NONE)
        for turn in self._turns:
            asked = thumbs.turned(shown[lively], turn)
            query, held, apart = self._hashes.search(thumbs.hashes(asked))
            found = np.zeros(len(asked), dtype=bool)
            for start in range(0, len(query), _FEW):
                some, kept = query[start : start + _FEW], held[start : start + _FEW]
                alike = thumbs.alike(asked[some], self._thumbs[kept])
                some, image, alike = self._confirmed(asked, some, self._images[kept], alike)
                found[some] = True
                rows.append(lively[some])
                images.append(image)
                similarity.append(alike)
            for row, few in _nearest(query, self._images[held], apart, ~found):
                own = partial(crops, int(lively[row]))
                image, alike = self._cropped(asked[row : row + 1], few, own, turn)
                rows.append(np.full(len(image), lively[row]))
                images.append(image)
                similarity.append(alike)
        return _best(len(shown), np.concatenate(rows), np.concatenate(images), np.concatenate(similarity))

    def _cropped(
        self, asked: Bytes, images: Ints, crops: Callable[[], Bytes], turn: Turn
    ) -> tuple[Ints, Floats]:
        """Those of a few images that are crops of the one asked for, whose rim they do not show."""
        begin, end = self._begin[images], self._begin[images + 1]
        few = zip(begin.tolist(), end.tolist(), strict=True)
        close = [_furthest(asked, self._thumbs[a:b]).min() <= 2 * _BLOCK_APART for a, b in few]
        images, begin = images[close], begin[close]
        if not len(images):
            return images, np.zeros(0, dtype=np.float32)
        own = thumbs.turned(crops(), turn)
        alike = np.full(len(images), np.nan, dtype=np.float32)
        for number, first in enumerate(begin.tolist()):
            benchmark = self._thumbs[first : first + 1]
            likeness = thumbs.alike(own, np.repeat(benchmark, len(own), axis=0))
            even = _furthest(benchmark, own) <= _BLOCK_APART
            alike[number] = np.max(likeness, where=even & ~np.isnan(likeness), initial=-1)
        sure = np.flatnonzero(alike >= 0)
        return images[sure], alike[sure]

    def _confirmed(self, asked: Bytes, rows: Ints, images: Ints, alike: Floats) -> tuple[Ints, Ints, Floats]:
        """Those that are alike, each image once, and differ little everywhere, as it is or cropped."""
        near = np.flatnonzero(~np.isnan(alike))
        order = near[np.lexsort((-alike[near], images[near], rows[near]))]
        rows, images, alike = rows[order], images[order], alike[order]
        first = np.flatnonzero((np.diff(rows, prepend=-1) != 0) | (np.diff(images, prepend=-1) != 0))
        rows, images, alike = rows[first], images[first], alike[first]
        kept = [
            _furthest(asked[row : row + 1], self._thumbs[self._begin[image] : self._begin[image + 1]]).min()
            <= _BLOCK_APART
            for row, image in zip(rows.tolist(), images.tolist(), strict=True)
        ]
        sure = np.flatnonzero(kept)
        return rows[sure], images[sure], alike[sure]


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


def _nearest(
    rows: Ints, images: Ints, apart: Words, wanted: npt.NDArray[np.bool_]
) -> Iterator[tuple[int, Ints]]:
    """Of each row that is wanted the few images that are nearest to it, by their hashes."""
    here = np.flatnonzero(wanted[rows])
    order = here[np.lexsort((images[here], apart[here], rows[here]))]
    rows, images = rows[order], images[order]
    cuts = np.flatnonzero(np.diff(rows)) + 1
    for some, of in zip(np.split(images, cuts), np.split(rows, cuts), strict=True):
        if len(some):
            _, first = np.unique(some, return_index=True)
            yield int(of[0]), some[np.sort(first)][:_CANDIDATES]


def crops(frame: Frame) -> Bytes:
    """Thumbs of an image as it would be cropped, at more places than an index has: those meet one another."""
    height, width = frame.shape[:2]
    down, across = max(1, round(height * _CROP)), max(1, round(width * _CROP))
    places = {(round(down * v / 4), round(across * h / 4)) for v in range(5) for h in range(5)}
    cut = [frame[top : top + height - down, left : left + width - across] for top, left in sorted(places)]
    shown = b"".join(_thumb(each) for each in cut if each.size)
    return np.frombuffer(shown, dtype=np.uint8).reshape(-1, thumbs.SIZE)


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


def _furthest(a: Bytes, b: Bytes) -> npt.NDArray[np.float64]:
    """For each pair of thumbs, or one with several, how far luma is apart in the block that differs most."""
    blocks = thumbs.FINE // _BLOCK_SIDE
    luma = [side[:, : thumbs.FINE**2].astype(np.float64) for side in (a, b)]
    luma = [side - side.mean(axis=1, keepdims=True) for side in luma]
    wide = [side.std(axis=1, keepdims=True) + 1 for side in luma]
    # half way to each other's contrast, as `thumbs.alike` does it
    gain = np.sqrt(np.clip(wide[1] / wide[0], 1 / _GAIN, _GAIN))
    apart = np.abs(luma[0] * gain - luma[1] / gain)
    means = apart.reshape(-1, blocks, _BLOCK_SIDE, blocks, _BLOCK_SIDE).mean(axis=(2, 4))
    found: npt.NDArray[np.float64] = means.max(axis=(1, 2), initial=0)
    return found


def _looks(image: Pixels) -> tuple[str, Bytes]:
    """(digest of the pixels, thumbs of the image and of what it would be before and after a crop)."""
    digest = pixel_digest(image.data, image.true_height, image.true_width)
    variants = b"".join(_thumb(each) for each in _variants(image.data))
    shown = np.frombuffer(variants, dtype=np.uint8).reshape(-1, thumbs.SIZE)
    return digest, shown[:0] if thumbs.blank(shown[:1])[0] else shown


def _thumb(frame: Frame) -> bytes:
    from PIL import Image

    height, width = frame.shape[:2]
    return thumbs.of_image(Image.frombuffer("RGB", (width, height), np.ascontiguousarray(frame)))


def _variants(frame: Frame) -> Iterator[Frame]:
    yield frame
    height, width = frame.shape[:2]
    down, across = max(1, round(height * _CROP)), max(1, round(width * _CROP))
    for v, h in _PLACES:
        top, left = round(down * v), round(across * h)
        if height > down and width > across:
            yield frame[top : top + height - down, left : left + width - across]
        yield np.pad(frame, ((top, down - top), (left, across - left), (0, 0)), mode="edge")
