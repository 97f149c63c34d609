"""The other half: Open Clip Art as Debian packages it, drawings with titles, tags and folders.

What is alike stays together: drawings with equal pixels at the model's size, with perceptual hashes (64 bits
of a discrete cosine transform) at most `NEAR` bits apart, or with titles equal but for numbers (a series) are
one cluster. Clusters are dealt to training or test by a hash of their smallest member; those of more than
`LARGE` (series such as "gramastar") all go to training, as one of them would be most of the test.
"""

from __future__ import annotations

import re
import sys
import zlib
from collections import defaultdict
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from corpus import STEP
from glossary import Glossary, read
from scenes import KEYS, NEGATIVES, Block, tokenised

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "infra")]

from curate.io.captions_svg import NoMetadata, described  # noqa: E402
from curate.pixels import Decode, decode  # noqa: E402
from stages.common.encoder_mini import SIZE, Mini  # noqa: E402

PNG = "openclipart-png/usr/share/openclipart/png"
SVG = "openclipart-svg/usr/share/openclipart/svg"
TEXTS = 9  # captions of a drawing
NEAR, LARGE, TEST_SHARE = 6, 40, 8  # bits; drawings; one cluster in so many is for the test
MOST = 15  # drawings of a cluster to learn from: 1,400 cards of one author would be a fifth of all


class Drawing(NamedTuple):
    """What is known of one without decoding it."""

    path: str  # below PNG
    title: str
    description: str
    tags: tuple[str, ...]

    def folder(self) -> str:
        """Its subject: the last folder's name."""
        return self.path.split("/")[-2].replace("_", " ")

    def series(self) -> str:
        """The title without case and numbers."""
        return " ".join(re.sub(r"[\d_#.()-]+", " ", self.title.casefold()).split())

    def captions(self) -> list[str]:
        """True texts: title, description, tags, subject, in several orders."""
        tags = self._tags()
        title = self.title or self.folder()
        return [
            title,
            self.description if len(self.description) > 2 and "HASH(" not in self.description else title,
            ", ".join([title, *tags]),
            " ".join(tags) or title,
            f"{self.folder()}: {title}",
            " ".join([*tags[::-1], self.folder()]),
        ]

    def more(self, words: Glossary) -> list[str]:
        """From the file's name and folders, and wider terms than its name: titles often tell the author."""
        wide = words.wider(self.named()) or words.wider(self.title or self.folder())
        return [
            self.named(),
            f"{self.named()}, {self.folders()}",
            ", ".join([*wide, *self._tags()[:2], self.folders()]),
        ]

    def _tags(self) -> list[str]:
        return [tag for tag in self.tags if tag and "hash(" not in tag.casefold()][:8]

    def named(self) -> str:
        """What the file is called, without numbers."""
        name = re.sub(r"[\W\d_]+", " ", self.path.rsplit("/", 1)[-1].removesuffix(".png"))
        return name.strip() or self.folder()

    def folders(self) -> str:
        """All of them, narrowest first."""
        return " ".join(self.path.split("/")[-2::-1]).replace("_", " ")


@lru_cache(maxsize=1)
def drawings(cache: Path) -> tuple[Drawing, ...]:
    """All with a title, sorted by path; a link is not a second drawing."""
    found = []
    root = cache / PNG
    for path in sorted(root.rglob("*.png")):
        if path.is_symlink():
            continue
        place = path.relative_to(root)
        try:
            told: dict[str, Any] = described((cache / SVG / place.with_suffix(".svg")).read_bytes())
        except (OSError, NoMetadata):
            continue
        tags = tuple(str(tag) for tag in told.get("subject", ()))
        title, description = str(told.get("title", "")), str(told.get("description", ""))
        if title.strip():
            found.append(Drawing(str(place), title.strip(), description.strip(), tags))
    return tuple(found)


def block(cache: Path, span: tuple[int, int]) -> Block:
    """Drawings from `start` up to `stop`; one that cannot be decoded is white and has no captions."""
    front, words = Mini().front(), read(cache)
    images, texts = [], []
    for drawing in drawings(cache)[slice(*span)]:
        pixels = decode((cache / PNG / drawing.path).read_bytes(), Decode())
        blank = isinstance(pixels, str) or int(pixels.data.max()) - int(pixels.data.min()) < 8
        images.append(np.full((SIZE, SIZE, 3), 255, np.uint8) if blank else front.pixels(pixels.data))  # type: ignore[union-attr]
        texts += [""] * TEXTS if blank else [*drawing.captions(), *drawing.more(words)]
        texts += [""] * NEGATIVES
    lengths, tokens = tokenised(texts)
    shape = (len(images), TEXTS + NEGATIVES)
    keys = np.full((len(images), KEYS), -1, dtype=np.int64)
    for row, drawing in zip(keys, drawings(cache)[slice(*span)], strict=True):
        names = (drawing.series(), " ".join(sorted(drawing.tags)), drawing.description.casefold()[:80])
        row[:3] = [zlib.crc32(name.encode("utf-8", "replace")) if len(name) > 1 else -1 for name in names]
    alike = -1 - np.arange(*span)
    cells = np.zeros((len(images), 0), np.uint8)
    return Block(
        np.stack(images), keys, alike, cells, np.zeros(shape, np.uint8), lengths.reshape(shape), tokens
    )


def maker(cache: Path) -> Any:
    """`block` as corpus.write takes it."""
    return partial(block, cache)


def clusters(images: npt.NDArray[np.uint8], found: tuple[Drawing, ...]) -> npt.NDArray[np.int64]:
    """The cluster of each drawing: the smallest number in it."""
    parent = np.arange(len(found))

    def root(k: int) -> int:
        while parent[k] != k:
            parent[k] = parent[parent[k]]
            k = int(parent[k])
        return k

    def join(a: int, b: int) -> None:
        a, b = sorted((root(a), root(b)))
        parent[b] = a

    same: dict[object, int] = {}
    for k, drawing in enumerate(found):
        for name in (zlib.crc32(images[k].tobytes()), drawing.series()):
            if name:
                join(same.setdefault(name, k), k)
    hashes = perceptual(images)
    for k, own in enumerate(hashes):
        near = np.bitwise_count(hashes[:k] ^ own) <= NEAR
        for other in np.flatnonzero(near):
            join(int(other), k)
    return np.array([root(k) for k in range(len(found))])


def perceptual(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """64 bits each: signs, around their median, of the 8 x 8 lowest frequencies of a 32 x 32 picture."""
    k = np.arange(8)[:, None]
    wave = np.cos(np.pi * k * (2 * np.arange(32) + 1) / 64)
    found = []
    for at in range(0, len(images), STEP):  # they may be many, on disk
        grey = np.asarray(images[at : at + STEP], dtype=np.float32).mean(axis=3)
        small = grey.reshape(-1, 32, SIZE // 32, 32, SIZE // 32).mean((2, 4))
        low = (wave @ small @ wave.T).reshape(-1, 64)
        bits = low > np.median(low[:, 1:], axis=1, keepdims=True)
        found.append(np.packbits(bits, axis=1).view(np.uint64).reshape(-1))
    return np.concatenate(found)


def sides(cluster: npt.NDArray[np.int64], found: tuple[Drawing, ...]) -> npt.NDArray[np.bool_]:
    """Which drawings are for the test."""
    members: dict[int, int] = defaultdict(int)
    for one in cluster:
        members[int(one)] += 1
    return np.array(
        [
            members[int(one)] <= LARGE and zlib.crc32(found[one].path.encode()) % TEST_SHARE == 0
            for one in cluster
        ]
    )


def few(cluster: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """At most MOST drawings of each cluster, spread over it."""
    chosen = np.zeros(len(cluster), dtype=bool)
    for one in np.unique(cluster):
        members = np.flatnonzero(cluster == one)
        chosen[members[np.linspace(0, len(members) - 1, min(MOST, len(members))).astype(int)]] = True
    return chosen
