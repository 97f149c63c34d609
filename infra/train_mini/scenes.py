"""The generated half of the training data: drawings of the demo with true and false captions.

Sample k is a function of (SEED, k): what is drawn, `POSITIVES` true captions in the six languages, and up to
`NEGATIVES` false ones, wrong in one thing as the demo's planted mismatches are. Nothing held out is used:
neither its object classes nor its fonts nor its style.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.demo.captions import Content, Focus, caption
from curate.demo.charts import Chart, Sign
from curate.demo.classes import CLASSES
from curate.demo.colours import OBJECT_COLOURS
from curate.demo.content import draw, make, objects_of, wrong
from curate.demo.rng import stream
from curate.demo.scenes import Scene
from stages.common.encoder_mini import FEATURES, TOKENS, Mini

SEED = "train mini"  # no pool has it: theirs are numbers
POSITIVES, NEGATIVES = 6, 8
KEYS = 8
GRID = 6  # as the image tower's last map
NAMES = (*CLASSES, *OBJECT_COLOURS)
NEEDS = (("", 0.7), ("relation", 0.16), ("count", 0.14))
LANGUAGES = (("en", 0.35), ("zh", 0.17), ("de", 0.13), ("fr", 0.12), ("es", 0.12), ("ja", 0.11))
KINDS = ("none", "object", "attribute", "count", "relation", "value", "other")


class Block(NamedTuple):
    """Samples as arrays. A caption is a run of tokens, a token FEATURES rows of the model's table."""

    images: npt.NDArray[np.uint8]  # (n, SIZE, SIZE, 3)
    keys: npt.NDArray[np.int64]  # (n, KEYS): who shares one may be truly described by the other's caption
    alike: npt.NDArray[np.int64]  # (n,): who has the same one differs in little that can be seen at this size
    cells: npt.NDArray[np.uint8]  # (n, ...): what stands where, as bits (`cells_of`)
    kinds: npt.NDArray[np.uint8]  # (n, POSITIVES + NEGATIVES): 0 true or absent, else what is false
    lengths: npt.NDArray[np.uint8]  # the same shape, tokens; 0 absent
    tokens: npt.NDArray[np.uint16]  # (sum of lengths, FEATURES)


def block(span: tuple[int, int]) -> Block:
    """The samples from `start` up to `stop`."""
    front = Mini().front()
    images, keys, alike, cells, kinds, texts = [], [], [], [], [], []
    for number in range(*span):
        rng = stream(SEED, number)
        need = rng.choices([n for n, _ in NEEDS], [w for _, w in NEEDS])[0]
        content = make(rng, False, need=need)
        picture = draw(content)
        if isinstance(content, Chart) and rng.random() < 0.3:  # the demo stores some grey
            picture = picture.convert("L").convert("RGB")
        images.append(front.pixels(np.asarray(picture)))
        keys.append(keys_of(content))
        alike.append(alike_of(content, number))
        cells.append(cells_of(content))
        true = [_true(content, rng) for _ in range(POSITIVES)]
        false = [_false(content, rng, set(true)) for _ in range(NEGATIVES)]
        texts += [*true, *(text for _, text in false)]
        kinds.append([0] * POSITIVES + [KINDS.index(kind) for kind, _ in false])
    lengths, tokens = tokenised(texts)
    shape = (len(images), POSITIVES + NEGATIVES)
    return Block(
        np.stack(images),
        np.stack(keys),
        np.array(alike, np.int64),
        np.stack(cells),
        np.array(kinds, np.uint8),
        lengths.reshape(shape),
        tokens,
    )


def tokenised(texts: Sequence[str]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint16]]:
    """Number of tokens of each text (0 for an empty one), and the tokens of all in order."""
    ids = Mini().front().tokens(texts)["tokens"]
    ids[[not text for text in texts]] = 0
    there = ids[:, :, 0] > 0
    assert ids.shape[1:] == (TOKENS, FEATURES)
    return there.sum(axis=1).astype(np.uint8), ids[there].astype(np.uint16)


def _language(rng: random.Random) -> str:
    return rng.choices([name for name, _ in LANGUAGES], [weight for _, weight in LANGUAGES])[0]


def _true(content: Content, rng: random.Random) -> str:
    """Half of them with a focus, as all false ones have: it must not tell them apart."""
    focus: Focus | None = None
    if rng.random() < 0.5:
        if isinstance(content, Chart):
            focus = ("entity", 0)
        elif isinstance(content, Scene) and content.relations and rng.random() < 0.4:
            which = content.relations[rng.randrange(len(content.relations))]
            content, focus = replace(content, relations=(which,)), ("relation", 0)
        elif isinstance(content, Scene) and content.entities:
            focus = ("entity", rng.randrange(len(content.entities)))
    return caption(content, _language(rng), rng, focus)


def _false(content: Content, rng: random.Random, true: set[str]) -> tuple[str, str]:
    """(kind, caption); ("none", "") where nothing false was found to say."""
    if isinstance(content, Scene) and content.entities:
        asked = rng.choice(("wrong_object", "wrong_object", "wrong_attribute", "wrong_relation"))
        found = wrong(content, asked, rng) or wrong(content, "wrong_object", rng)
        assert found is not None
        false, focus, what = found
        kind = {"color": "attribute"}.get(what["what"], what["what"])
        return kind, caption(false, _language(rng), rng, focus)
    if isinstance(content, Chart) and rng.random() < 0.3:
        found = wrong(content, "wrong_attribute", rng)
        assert found is not None
        return "value", caption(found[0], _language(rng), rng, found[1])
    for _ in range(8):
        other: Any = make(rng, False, content.kind)
        if isinstance(content, Sign) and rng.random() < 0.6:  # the text or the rest
            lines = {"lines": other.lines} if rng.random() < 0.5 else {"entity": other.entity}
            other = replace(content, **lines)
        if isinstance(content, Chart) and rng.random() < 0.3:
            other = replace(content, form=other.form) if rng.random() < 0.5 else content
            other = replace(other, title=make(rng, False, "chart").title)  # type: ignore[union-attr]
        text = caption(other, _language(rng), rng)
        if not (set(keys_of(other)) & set(keys_of(content))) - {-1} or _told(other) != _told(content):
            return ("other", text) if text not in true else ("none", "")
    return "none", ""


def _told(content: Any) -> tuple[Any, ...]:
    """What captions of signs and charts say."""
    if isinstance(content, Sign):
        return (content.entity, content.lines[0])
    return (content.form, content.title) if isinstance(content, Chart) else ()


def keys_of(content: Content) -> npt.NDArray[np.int64]:
    """Hashes of the things in it that a caption may be about, padded with -1."""
    if isinstance(content, Sign):
        names = [content.lines[0]]
    elif isinstance(content, Chart):
        names = [content.title]
    elif not content.entities:
        names = [f"{content.background.terrain} {content.background.time}"]
    else:
        names = sorted({f"{item.colour} {item.cls}" for item in content.entities})
    found = np.full(KEYS, -1, dtype=np.int64)
    found[: len(names)] = [key_of(name) for name in names[:KEYS]]
    return found


def cells_of(content: Content) -> npt.NDArray[np.uint8]:
    """Bits (GRID, GRID, NAMES), packed: the class and colour of an object, in the cell of its centre and in
    those whose centre is in the middle of its box."""
    found = np.zeros((GRID, GRID, len(NAMES)), dtype=bool)
    along = (np.arange(GRID) + 0.5) / GRID
    for item in objects_of(content):
        x1, y1, x2, y2 = np.array(item["box"]) / np.tile(content.size, 2)
        x, y = (x1 + x2) / 2, (y1 + y2) / 2
        inside = (abs(along - y) < 0.3 * (y2 - y1))[:, None] & (abs(along - x) < 0.3 * (x2 - x1))
        inside[min(GRID - 1, max(0, int(y * GRID))), min(GRID - 1, max(0, int(x * GRID)))] = True
        for name in (item["class"], item["color"]):
            if name in NAMES:
                found[inside, NAMES.index(name)] = True
    return np.packbits(found)


def key_of(name: str) -> int:
    """A thing's key: of "red car", a sign's text, a chart's title, "hills dusk"."""
    return zlib.crc32(name.encode())


def alike_of(content: Content, number: int) -> int:
    """Signs of one sort and colour differ in text, charts of one form in title and values: few pixels."""
    if isinstance(content, Sign):
        return zlib.crc32(f"{content.entity.cls} {content.entity.colour}".encode())
    return zlib.crc32(content.form.encode()) if isinstance(content, Chart) else -1 - number
