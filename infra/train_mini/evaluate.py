"""What the encoder is worth: figures on demo pools, clip art and stamps, through the product's own path."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import clipart
import numpy as np
import numpy.typing as npt
import pictures

from curate.demo.samples import Pool, build
from curate.pixels import Decode, decode
from stages.common.encoder import Encoder
from stages.common.encoder_mini import words

Cosines = npt.NDArray[np.float64]

STAMPS = "tuxpaint-stamps-default/usr/share/tuxpaint/stamps"
MISMATCHES = ("swapped_caption", "wrong_object", "wrong_attribute", "wrong_relation")
DAMAGED = (
    "corrupt",
    "truncated",
    "zero_byte",
    "bomb",
    "missing_image",
    "missing_caption",
    "non_utf8_caption",
)
SILENT = frozenset({"clipart", "nicu", "buculei", "the", "and", "with", "for"})  # in titles


@dataclass
class Embedded:
    """Pairs, embedded; `kinds` what each is, `sorts` what its picture is."""

    images: Cosines
    texts: Cosines
    kinds: npt.NDArray[np.str_]
    sorts: npt.NDArray[np.str_] = field(default_factory=lambda: np.zeros(0, dtype=np.str_))
    captions: list[str] = field(default_factory=list)

    def cosines(self) -> Cosines:
        return np.asarray((self.images * self.texts).sum(axis=1))

    def only(self, kind: str) -> Embedded:
        keep = np.flatnonzero(self.kinds == kind)
        captions = [self.captions[k] for k in keep]
        sorts = self.sorts[keep] if len(self.sorts) else self.sorts
        return Embedded(self.images[keep], self.texts[keep], self.kinds[keep], sorts, captions)


def embed(encoder: Encoder, pairs: Iterable[tuple[bytes, str, str, str]]) -> Embedded:
    """From (image file, caption, kind, sort); what does not decode is left out."""
    front, towers = encoder.front(), encoder.towers("fp32", gpu=False)
    images, texts, kinds, sorts, captions = [], [], [], [], []
    for data, text, kind, sort in pairs:
        pixels = decode(data, Decode())
        if isinstance(pixels, str):
            continue
        images.append(towers.images(front.pixels(pixels.data)[None]))
        texts.append(towers.texts(front.tokens([text])))
        kinds.append(kind)
        sorts.append(sort)
        captions.append(text)
    wide = [np.concatenate(rows).astype(np.float64) for rows in (images, texts)]
    return Embedded(wide[0], wide[1], np.array(kinds), np.array(sorts), captions)


def pool_pairs(seed: int, count: int, held_out: bool) -> Iterator[tuple[bytes, str, str, str]]:
    """A demo pool's pairs as its tars hold them; kind "" is clean, sort is the picture's and the language."""
    pool = Pool(seed, held_out)
    for index in range(count):
        sample = build(pool, index)
        facts = sample.facts
        kind = "".join(facts["defects"])
        if kind in DAMAGED:
            continue
        data = next(data for extension, data in sample.members if extension not in ("json", "txt"))
        text = next(data for extension, data in sample.members if extension == "txt").decode()
        what = str(facts["detail"].get("wrong", {}).get("what", ""))
        yield data, text, f"{kind}:{what}" if what else kind, f"{facts['content']} {facts['lang']}"


def drawing_pairs(cache: Path, chosen: Sequence[int], which: int) -> Iterator[tuple[bytes, str, str, str]]:
    """Clip art with one of `Drawing.captions`."""
    for k in chosen:
        drawing = clipart.drawings(cache)[k]
        yield (cache / clipart.PNG / drawing.path).read_bytes(), drawing.captions()[which], "", ""


def met(cache: Path, learned: Sequence[int], chosen: Sequence[int]) -> npt.NDArray[np.str_]:
    """Of each drawing of the test, where a word of its title was met in training: in the name of an icon, in
    the title of other clip art alone, or nowhere."""
    found = clipart.drawings(cache)
    icons = {word for picture in pictures.pictures(cache) for word in _telling(picture.captions[0])}
    others = {word for k in learned for word in _telling(found[k].title)}
    named = [_telling(found[k].title) for k in chosen]
    return np.array(["icons" if own & icons else "clip art" if own & others else "nowhere" for own in named])


def _telling(text: str) -> set[str]:
    return {word for word in words(text) if len(word) > 2 and not word.isdigit()} - SILENT


def stamp_pairs(cache: Path) -> Iterator[tuple[bytes, str, str, str]]:
    """Stamps with their English captions."""
    for path in sorted((cache / STAMPS).rglob("*.png")):
        told = path.with_suffix(".txt")
        if (
            not path.stem.endswith("_mirror")
            and told.exists()
            and (lines := told.read_text("utf-8").splitlines())
        ):
            yield path.read_bytes(), lines[0], "", path.relative_to(cache / STAMPS).parts[0]


def auc(true: Cosines, false: Cosines) -> float:
    """The chance that a true pair's cosine is above a false one's; ties count half."""
    order = np.sort(false)
    below = np.searchsorted(order, true, "left") + np.searchsorted(order, true, "right")
    return float(below.mean() / 2 / len(false))


def shuffled(found: Embedded, shifts: int = 20) -> Cosines:
    """Cosines of pairs that do not belong together and have different captions."""
    captions = np.array(found.captions)
    rows = []
    for seed in range(shifts):
        order = np.random.default_rng(seed).permutation(len(captions))
        other = captions[order] != captions
        rows.append((found.images[other] * found.texts[order[other]]).sum(axis=1))
    return np.concatenate(rows)


def by_group(found: Embedded, groups: npt.NDArray[np.str_]) -> str:
    """AUC of the pictures of each group, against captions of all."""
    captions = np.array(found.captions)
    parts = []
    for group in sorted(set(groups)):
        mine = groups == group
        false = []
        for seed in range(20):
            order = np.random.default_rng(seed).permutation(len(captions))
            other = mine & (captions[order] != captions)
            false.append((found.images[other] * found.texts[order[other]]).sum(axis=1))
        parts.append(f"{group} {auc(found.cosines()[mine], np.concatenate(false)):.3f}/{mine.sum()}")
    return "  ".join(parts)


def recall_at_1(found: Embedded, among: int = 100, rounds: int = 20) -> float:
    """How often an image's own caption is the nearest of `among` different ones."""
    _, first = np.unique(found.captions, return_index=True)
    hits = []
    for seed in range(rounds):
        some = np.random.default_rng(seed).permutation(first)[:among]
        nearest = (found.images[some] @ found.texts[some].T).argmax(axis=1)
        hits.append((nearest == np.arange(len(some))).mean())
    return float(np.mean(hits))


def ranking(found: Embedded) -> str:
    """AUC against shuffled captions, and recall."""
    area, recall = auc(found.cosines(), shuffled(found)), recall_at_1(found)
    return f"AUC {area:.4f}  recall@1 of 100 {recall:.3f}  n {len(found.captions)}"


def bounds(found: Embedded, bound: float | None = None) -> tuple[float, str]:
    """The bound that drops 5 % of the clean, or the one given, and what it finds of each kind."""
    cosines = found.cosines()
    clean = cosines[found.kinds == ""]
    if bound is None:
        bound = float(np.quantile(clean, 0.05))
    lines = [f"bound {bound:.3f}: {np.mean(clean < bound):.3f} of {len(clean)} clean"]
    by: dict[str, list[float]] = defaultdict(list)
    for kind, cosine in zip(found.kinds, cosines, strict=True):
        by[str(kind)].append(float(cosine))
        if ":" in kind:
            by[str(kind).split(":")[0]].append(float(cosine))
    for kind, values in sorted(by.items()):
        if kind:
            low, area = np.mean(np.array(values) < bound), auc(clean, np.array(values))
            lines.append(f"  {kind:32s} found {low:.3f} of {len(values):4d}  AUC {area:.4f}")
    return bound, "\n".join(lines)


def clean_by_sort(found: Embedded, bound: float) -> str:
    """False drops by kind of picture and by language."""
    clean = found.only("")
    low = clean.cosines() < bound
    lines = []
    for part in (0, 1):
        names = np.array([sort.split()[part] for sort in clean.sorts])
        lines.append(
            "  ".join(
                f"{name} {low[names == name].mean():.3f}/{(names == name).sum()}"
                for name in sorted(set(names))
            )
        )
    return "  false drops: " + "\n               ".join(lines)
