"""Input tables for any stage: made from the names and types of the columns it reads."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from typing import Any

import matchers
import numpy as np
import pyarrow as pa
from decoding import decode_column
from PIL import Image

import stages
from curate.pixels import Decode
from curate.sample import BASE, DOCUMENT, PAIR, Level, level_of
from curate.stage import BYTES, TRANSIENT, Expand, Group, Stage
from stages import STAGES

# Configurations under test; a stage without an entry must do with its defaults.
EXAMPLES: dict[str, list[dict[str, Any]]] = {
    "normalise": [{}, {"steps": ["entities", "tags", "nfkc", "quotes", "one_line"], "original": False}],
    "word_list": [{"lists": {"phrases": str(Path(stages.__file__).parent / "text" / "boilerplate.txt")}}],
    "pii": [{}, {"action": "mask", "kinds": ["email", "phone"], "regions": "US"}],
    "language": [{}, {"languages": ["en", "zh", "ja"], "min_chars": 1, "min_score": 0}],
    "fasttext": [{}, {"label": "junk", "name": "web"}],
    "itm": matchers.examples(),
    "faces": [{"weights": str(Path(__file__).with_name("faces.onnx"))}],
    "head": [
        {
            "name": "own",
            "weights": str(Path(__file__).with_name("head.safetensors")),
            "embedding": "image_example_embedding",
            "activation": "relu",
        }
    ],
    "keep": [
        {
            "bounds": {
                "image_width": {"min": 20, "max": 2**70},
                "image_score": {"min": 0.25, "missing": "keep"},
            }
        },
        {"bounds": {"text_junk": {"not_in": ["url"], "missing": "keep"}, "text_words": {"max": 9}}},
        {"bounds": {"licence": {"in": ["cc0"]}, "opt_out": {"in": [False]}, "n_images": {"min": 1}}},
        {"bounds": {"image_width": {"min": 20}, "licence": {"missing": "drop"}}},
    ],
    "ocr": [{}, {"detect_only": True, "pixels": "canonical"}],
    "tags": [{"vocabulary": ["cat", "dog", "a lighthouse"], "top": 2, "min_score": 0.01}],
    "sha256": [{}, {"pixels": False}],
    "shape": [
        {},
        {"maxima": {"max_score": "image_score"}, "minima": {"min_words": "text_words"}},
        {"name": "left"},
    ],
    "pairs": [{}, {"text": ["before", "after"], "min_chars": 1, "max_chars": 9, "take": []}],
    "exact": [
        {"key": "image_sha256", "prefer": [{"column": "image_width"}], "max_documents": 1},
        {"key": "text_body", "normalise": "nfkc", "scope": "documents", "name": "paragraph"},
        {"key": "url", "normalise": "casefold"},
        {"key": "n_images", "scope": "pairs"},
        {"key": "image_sha256", "action": "mark", "max_documents": 1},
    ],
}
# Columns that readers write.
_READ = {
    "image_alt": pa.string(),
    "image_caption": pa.string(),
    "image_url": pa.string(),
    "image_index": pa.int32(),
    "image_example_embedding": pa.list_(pa.float16(), 8),
    "text_index": pa.int32(),
    "image_score": pa.float32(),
    "licence": pa.string(),
    "language": pa.string(),
    "title": pa.string(),
    "url": pa.string(),
    "opt_out": pa.bool_(),
}
WORDS = (
    "A red bicycle leans against a wall. It rains.",
    "https://a.example/b.jpg",
    "Call Mr. Ø. at (202) 555-0143 or write to him.her@mail.example",
    "IMG_0001.JPG",
    "两只猫在桌子上。",
    "cc0",
    "",
    "  ",
    "dog dog dog dog dog dog",
    "#a #b #c",
    "ねこ",
    "URL",
    "url",
    "e\u0301 \U0001f600 \u200d ﬁ",
    "long " * 60,
)


def name_of(stage: type[Stage]) -> str:
    return str(stage.model_fields["stage"].default)


@cache
def configured() -> list[Stage]:
    """Every stage in every configuration under test."""
    return [cls.model_validate(config) for cls in STAGES for config in EXAMPLES.get(name_of(cls), [{}])]


@cache
def types() -> dict[str, pa.DataType]:
    """The type of one item of each column there is."""
    known = {f.name: f.type if level_of(f.name) == "sample" else f.type.value_type for f in BASE}
    known |= TRANSIENT | _READ
    for stage in configured():
        own = {f.name: f.type for f in stage.writes()}
        if isinstance(stage, Expand):
            own = {n: t if level_of(n) == "sample" else t.value_type for n, t in own.items()}
        known |= own
    return known


@cache
def _files() -> list[bytes]:
    rng = np.random.default_rng(0)
    made = []
    for i, kind in enumerate(("PNG", "JPEG", "WEBP", "GIF", "BMP")):
        height, width = 16 + 9 * i, 40 - 5 * i
        image = Image.fromarray(rng.integers(0, 255, (height, width, 3), dtype=np.uint8))
        out = io.BytesIO()
        image.save(out, kind)
        made.append(out.getvalue())
    return made


def values(name: str, rows: int, rng: np.random.Generator) -> pa.Array:
    """Plausible and odd values of a column, nulls among them where the engine allows them."""
    kind = types()[name]
    picks = rng.integers(0, 5, rows)
    if name in TRANSIENT:
        files = [_files()[i] for i in picks]
        return pa.array(files, kind) if name == BYTES else decode_column(files, Decode(short_side=8))[0]
    if name == "sample_id":
        return pa.array([f"{i:032x}" for i in rng.integers(0, max(1, rows // 2), rows)], kind)
    if name == "shape":
        return pa.array([PAIR if i % 2 else DOCUMENT for i in picks], kind)
    if name.endswith("_index"):
        return pa.array(np.arange(rows) * 3, kind)
    absent = rng.random(rows) < 0.15
    if pa.types.is_string(kind):
        return pa.array([WORDS[i] for i in rng.integers(0, len(WORDS), rows)], kind, mask=absent)
    if pa.types.is_boolean(kind):
        return pa.array(picks % 2 == 0, mask=absent)
    if pa.types.is_integer(kind):
        return pa.array(rng.integers(0, 60, rows).astype(kind.to_pandas_dtype()), mask=absent)
    if pa.types.is_floating(kind):
        odd = np.where(picks == 0, np.nan, rng.random(rows))
        return pa.array(odd.astype(kind.to_pandas_dtype()), kind, mask=absent)
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        width = kind.list_size if pa.types.is_fixed_size_list(kind) else 8
        return pa.array(rng.random((rows, width)).tolist(), kind)
    raise AssertionError(f"no values are made for {name}: {kind}")


def flat_table(columns: frozenset[str], level: Level, rows: int, seed: int = 0) -> pa.Table:
    """As `curate.sample.view` shows it: one value an item, lists where a column is of other items."""
    rng = np.random.default_rng(seed)
    arrays = {}
    counts = {kind: rng.integers(0, 4, rows) for kind in ("image", "text")}
    for name in sorted(columns):
        own = level_of(name)
        if name == "layout":
            arrays[name] = _layouts(counts["image"], counts["text"], rng)
        elif own in ("sample", level):
            arrays[name] = values(name, rows, rng)
        else:
            offsets = np.r_[0, np.cumsum(counts[own])].astype(np.int32)
            arrays[name] = pa.ListArray.from_arrays(pa.array(offsets), values(name, int(offsets[-1]), rng))
    return pa.table(arrays)


def _layouts(images: Any, texts: Any, rng: np.random.Generator) -> pa.Array:
    spans = ["i" * i + "t" * t for i, t in zip(images, texts, strict=True)]
    return pa.array(["".join(rng.permutation(list(s))) if s else "" for s in spans], pa.string())


def members(stage: Group, rows: int, seed: int = 0) -> pa.Table:
    """What `elect` is handed: the items with a key, sorted by component and, within one, by rank."""
    columns = stage.reads() | {"sample_id", "shape"} | {c for c, _ in stage.rank()}
    table = flat_table(columns, stage.level_(), rows, seed)
    # Of several keys the first will do: any component of a linked stage is a clique here.
    keys = [found[0] if found else None for found in stage.keys(table).to_pylist()]
    names = {key: number for number, key in enumerate(sorted({k for k in keys if k is not None}))}
    component = pa.array([names.get(key) for key in keys], pa.int64())
    table = table.append_column("component", component).filter(component.is_valid())
    order = [("component", "ascending"), *stage.rank(), ("sample_id", "ascending")]
    ways = {column: (column, way) for column, way in reversed(order)}
    table = table.sort_by(list(ways.values())[::-1]).combine_chunks()
    if stage.linked:
        table = table.append_column("neighbours", _cliques(table["component"].to_numpy()))
    return table


def _cliques(component: Any) -> pa.Array:
    """Everyone of a component verified against everyone else."""
    sizes = np.bincount(component, minlength=1) if len(component) else np.zeros(1, int)
    lists = [[p for p in range(n) if p != own] for n in sizes for own in range(n)]
    return pa.array(lists, pa.list_(pa.int64()))
