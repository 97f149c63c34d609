"""Image-text pairs, clean ones and spoiled ones: every sample is a function of (seed, index) alone."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from PIL import Image

from curate.demo import damage
from curate.demo.captions import LANGUAGE_WEIGHTS, Content, caption, foreign_caption
from curate.demo.charts import Chart
from curate.demo.content import draw, grainy, make, objects_of, relations_of, text_of, wrong
from curate.demo.encode import bomb, encode, header_only, jpeg
from curate.demo.kinds import BLOCK, DOTTED_COUNT, PAIR_COUNTS
from curate.demo.rng import deck, stream, weighted
from curate.demo.scenes import Scene, make_scene, rearranged, recoloured, world

Facts = dict[str, Any]

# Kinds that are made from an earlier clean sample.
COPIES = ("exact_duplicate_image", "near_duplicate_image", "near_duplicate_caption", "swapped_caption")
# Share of scenes that try to be another one's layout in another colour; both must be clean scenes, so that
# about 5 % of the clean ones get to. The other one is always this far back: no two are made from the same, as
# those might come out as duplicates.
_HARD_NEGATIVES, _TWIN_DISTANCE = 0.3, 37


@dataclass(frozen=True)
class Pool:
    """Which pool: everything a sample depends on besides its index."""

    seed: int
    held_out: bool = False

    def stream(self, *labels: object) -> random.Random:
        """The pool's own random stream for some labels."""
        return stream(self.seed, self.held_out, *labels)


@dataclass(frozen=True)
class Clean:
    """A clean sample before it is drawn; `twin` is the index of the sample whose layout it shares, or -1."""

    content: Content
    language: str
    caption: str
    detail: str
    twin: int = -1


@dataclass
class Sample:
    """A finished sample: members in tar order as (extension, bytes), and its row of the truth."""

    index: int
    members: list[tuple[str, bytes]]
    facts: Facts = field(default_factory=dict)


def place(pool: Pool, index: int) -> tuple[str, str, str]:
    """(tar file, key as WebDataset reads it, member name without extension) of a sample."""
    block, within = divmod(index, BLOCK)
    name = f"{block:05d}{within:04d}"
    if deck(f"dots{pool.held_out}", pool.seed, block, (("dots", DOTTED_COUNT),), BLOCK)[within]:
        name = f"img{within:03d}_v1.2_003"
    return f"{block:05d}.tar", name.split(".")[0], name


def planned(pool: Pool, index: int) -> str:
    """The kind dealt to a sample, "" for clean."""
    block, within = divmod(index, BLOCK)
    return deck(f"kind{pool.held_out}", pool.seed, block, PAIR_COUNTS, BLOCK)[within]


def _earlier(pool: Pool, index: int, label: str, fits: Callable[[int], bool]) -> int:
    """A clean earlier sample that fits, or -1; looked for at random among the last 1,000."""
    rng = pool.stream(label, index)
    low = max(0, index - 1000)
    for _ in range(200 if index else 0):
        found = rng.randrange(low, index)
        if planned(pool, found) == "" and fits(found):
            return found
    return -1


@lru_cache(maxsize=4096)
def clean(pool: Pool, index: int) -> Clean:
    """The clean sample of an index (whatever its planned kind): content, language and true caption."""
    rng = pool.stream("clean", index)
    language = weighted(rng, LANGUAGE_WEIGHTS)
    content = make(rng, pool.held_out)
    twin = -1
    if isinstance(content, Scene) and content.kind == "scene" and rng.random() < _HARD_NEGATIVES:
        other = clean(pool, index - _TWIN_DISTANCE) if index >= _TWIN_DISTANCE else None
        if other is not None and _is_scene(other.content) and other.twin < 0 and _stays(pool, index):
            assert isinstance(other.content, Scene)
            content, twin = recoloured(other.content, rng), index - _TWIN_DISTANCE
    detail = rng.choice(("short", "short", "relation", "long", "long"))
    return Clean(content, language, caption(content, language, rng, detail=detail), detail, twin)


def _stays(pool: Pool, index: int) -> bool:
    """Whether both this sample and the one its twin would be are planned to be clean."""
    return planned(pool, index) == planned(pool, index - _TWIN_DISTANCE) == ""


def _is_scene(content: Content) -> bool:
    return isinstance(content, Scene) and content.kind == "scene"


def _classes(content: Content) -> set[str]:
    return {str(item["class"]) for item in objects_of(content)}


def kind_of(pool: Pool, index: int) -> tuple[str, int]:
    """(the defect a sample really has, the index of its original or -1)."""
    kind = planned(pool, index)
    if kind not in COPIES:
        return kind, -1

    def fits(other: int) -> bool:
        theirs = clean(pool, other)
        if kind == "swapped_caption":
            mine = clean(pool, index).content
            same_sort = type(mine) is type(theirs.content)
            return not (_classes(mine) & _classes(theirs.content)) and (not same_sort or bool(_classes(mine)))
        if kind == "near_duplicate_caption":
            plain = _is_scene(theirs.content) and theirs.detail == "short"
            return plain and all(not item.size for item in getattr(theirs.content, "entities", ()))
        return True

    original = _earlier(pool, index, "original", fits)
    return (kind, original) if original >= 0 else ("", -1)


def build(pool: Pool, index: int) -> Sample:
    """The sample with its defect planted."""
    kind, original = kind_of(pool, index)
    rng = pool.stream("build", index)
    work = _Work(pool, index, kind, original, rng)
    (_BUILDERS.get(kind) or _Work.plain)(work)
    return work.finish()


class _Work:
    """A sample being made: starts clean, one builder method spoils it, `finish` writes members and facts."""

    def __init__(self, pool: Pool, index: int, kind: str, original: int, rng: random.Random) -> None:
        self.pool, self.index, self.kind, self.original, self.rng = pool, index, kind, original, rng
        self.base = clean(pool, index)
        self.content = self.base.content
        self.language = self.base.language
        self.true = self.base.caption
        self.said: str | bytes | None = self.true
        self.detail: Facts = {}
        self.image: bytes | None = None
        self.extension, self.variant = "jpg", ""
        self.size = self.content.size
        self.boxes: damage.Boxes = [tuple(item["box"]) for item in objects_of(self.content)]

    # -- parts of builders

    def show(self, content: Content) -> None:
        """Takes other content, with a true caption for it in the sample's language."""
        self.content, self.size = content, content.size
        self.boxes = [tuple(item["box"]) for item in objects_of(content)]
        self.true = self.said = caption(content, self.language, self.rng)

    def stored(self, index: int | None = None) -> None:
        """Encodes the content as the clean sample of that index is."""
        rng = self.pool.stream("encode", self.index if index is None else index)
        colourless = isinstance(self.content, Chart)
        self.image, self.extension, self.variant = encode(
            draw(self.content), rng, colourless, grainy(self.content)
        )

    def edited(self, edit: Callable[[Image.Image, damage.Boxes, random.Random], damage.Edited]) -> None:
        """Encodes the content after an edit of its pixels."""
        done = edit(draw(self.content), self.boxes, self.rng)
        self.image, self.extension, self.size, self.boxes = done.data, done.extension, done.size, done.boxes
        self.detail["edit"] = done.edit

    def copied(self) -> Clean:
        """Takes the original's content, language and caption."""
        other = clean(self.pool, self.original)
        self.content, self.language, self.size = other.content, other.language, other.content.size
        self.boxes = [tuple(item["box"]) for item in objects_of(other.content)]
        self.true = self.said = other.caption
        return other

    # -- builders, one per kind (or per family)

    def plain(self) -> None:
        self.stored()

    def exact_copy(self) -> None:
        other = self.copied()
        self.stored(self.original)
        self.detail["caption"] = "same"
        if self.rng.random() < 0.5:
            language = weighted(self.rng, LANGUAGE_WEIGHTS)
            text = caption(other.content, language, self.rng)
            if text != self.true:
                self.language, self.true, self.said = language, text, text
                self.detail["caption"] = "other"

    def near_copy(self) -> None:
        self.copied()
        if self.rng.random() < 0.6:
            self.true = self.said = caption(self.content, self.language, self.rng)
        self.edited(damage.near_copy)

    def near_caption(self) -> None:
        other = self.copied()
        assert isinstance(other.content, Scene)
        self.show(rearranged(other.content, self.rng, world(self.pool.held_out)))
        self.true = other.caption
        self.said = damage.near_caption(other.caption, self.rng)
        self.stored()

    def swapped(self) -> None:
        other = clean(self.pool, self.original)
        self.said, self.detail["lang_said"] = other.caption, other.language
        self.stored()

    def wrong(self) -> None:
        """One false word in an otherwise true caption."""
        need = {"wrong_relation": "relation", "wrong_attribute": ""}.get(self.kind, "")
        found = None
        while found is None:
            if self.kind == "wrong_attribute":
                need = self.rng.choice(("", "", "count"))
            sort = "chart" if self.kind == "wrong_attribute" and self.rng.random() < 0.15 else "scene"
            content = make(self.rng, self.pool.held_out, sort, "" if sort == "chart" else need)
            found = wrong(content, self.kind, self.rng)
        false, focus, what = found
        self.show(content)
        self.said = caption(false, self.language, self.rng, focus)
        self.detail["wrong"] = what
        self.stored()

    def junk(self) -> None:
        self.said, self.detail["junk"] = damage.junk(self.rng)
        self.stored()

    def empty(self) -> None:
        self.said = self.rng.choice(("", " ", "\n"))
        self.stored()

    def foreign(self) -> None:
        self.detail["lang_said"], self.said = foreign_caption(self.content, self.rng)
        self.stored()

    def tiny(self) -> None:
        self.edited(damage.tiny)

    def extreme(self) -> None:
        short = self.rng.randint(64, 90)
        size = (round(short * self.rng.uniform(8.5, 11)), short)
        layout = "row"
        if self.rng.random() < 0.3:
            size, layout = (size[1], size[0]), "column"
        self.show(make_scene(self.rng, world(self.pool.held_out), size=size, layout=layout))
        self.image = jpeg(draw(self.content), 92)

    def corrupt(self) -> None:
        self.image, self.detail["bytes"] = damage.garbage(self.rng)

    def truncated(self) -> None:
        self.stored()
        assert self.image is not None
        self.image, self.detail["cut"] = damage.cut(self.image, self.rng)

    def zero_byte(self) -> None:
        self.image = b""

    def bomb(self) -> None:
        full = (self.index // BLOCK) % 2 == 0
        note = f"{self.pool.seed}-{self.index}"
        self.image, self.extension = (bomb(note) if full else header_only(note)), "png"
        self.size = (24_000, 24_000) if full else (100_000, 100_000)
        self.boxes, self.detail["bomb"] = [], "valid" if full else "header_only"

    def not_utf8(self) -> None:
        self.said, self.detail["encoding"] = damage.not_utf8(self.true, self.language)
        self.stored()

    def no_image(self) -> None:
        self.image = None

    def no_caption(self) -> None:
        self.said = None
        self.stored()

    def personal(self) -> None:
        self.said, self.detail["pii"] = damage.personal_data(self.true, self.rng)
        self.stored()

    def low_quality(self) -> None:
        self.edited(damage.low_quality)

    def watermark(self) -> None:
        self.edited(damage.watermarked)

    # -- the result

    def finish(self) -> Sample:
        """Members in WebDataset's order (image, json, txt) and the sample's row of the truth."""
        file, key, name = place(self.pool, self.index)
        members: list[tuple[str, bytes]] = []
        if self.image is not None:
            members.append((self.extension, self.image))
        members.append(("json", self._metadata(name)))
        if self.said is not None:
            members.append(("txt", self.said if isinstance(self.said, bytes) else self.said.encode()))
        present = self.kind not in ("corrupt", "zero_byte", "bomb", "missing_image")
        objects = objects_of(self.content) if present else []
        for item, box in zip(objects, self.boxes, strict=False):
            item["box"] = list(box)
        facts: Facts = {
            "dataset": "pairs",
            "file": file,
            "key": key,
            "name": name,
            "index": self.index,
            "lang": self.language,
            "caption_true": self.true,
            "content": self.content.kind,
            "width": self.size[0],
            "height": self.size[1],
            "objects": objects,
            "relations": relations_of(self.content) if present else [],
            "text_in_image": text_of(self.content) if present else [],
            "format": self.extension if self.image is not None else None,
            "variant": self.variant,
            "defects": [self.kind] if self.kind else [],
            "of": _where(self.pool, self.original),
            "twin_of": _where(self.pool, self.base.twin if not self.kind else -1),
            "detail": self.detail,
        }
        return Sample(self.index, members, facts)

    def _metadata(self, name: str) -> bytes:
        rng = self.pool.stream("metadata", self.index)
        domain = rng.choice(("pictures.example", "blog.example.org", "shop.example.com", "news.example.net"))
        row = {
            "url": f"https://{domain}/{rng.getrandbits(32):08x}/{name}.{self.extension}",
            "key": name,
            "status": "success",
            "error_message": None,
            "width": self.size[0],
            "height": self.size[1],
            "original_width": self.size[0],
            "original_height": self.size[1],
            "license": rng.choice(("CC0-1.0", "CC-BY-4.0", "CC-BY-SA-4.0", "unknown")),
            "domain": domain,
        }
        return json.dumps(row).encode()


def _where(pool: Pool, index: int) -> dict[str, str] | None:
    if index < 0:
        return None
    file, key, _ = place(pool, index)
    return {"file": file, "key": key}


_BUILDERS: dict[str, Callable[[_Work], None]] = {
    "exact_duplicate_image": _Work.exact_copy,
    "near_duplicate_image": _Work.near_copy,
    "near_duplicate_caption": _Work.near_caption,
    "swapped_caption": _Work.swapped,
    "wrong_object": _Work.wrong,
    "wrong_attribute": _Work.wrong,
    "wrong_relation": _Work.wrong,
    "junk_caption": _Work.junk,
    "empty_caption": _Work.empty,
    "foreign_caption": _Work.foreign,
    "tiny": _Work.tiny,
    "extreme_aspect": _Work.extreme,
    "corrupt": _Work.corrupt,
    "truncated": _Work.truncated,
    "zero_byte": _Work.zero_byte,
    "bomb": _Work.bomb,
    "non_utf8_caption": _Work.not_utf8,
    "missing_image": _Work.no_image,
    "missing_caption": _Work.no_caption,
    "personal_data": _Work.personal,
    "low_quality": _Work.low_quality,
    "watermark": _Work.watermark,
}
