"""Input tables for any stage: made from the names and types of the columns it reads."""

from __future__ import annotations

import io
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import matchers
import numpy as np
import pyarrow as pa
from decoding import decode_column
from PIL import Image

import stages
from curate.linked import Linked
from curate.members import told, totals_of
from curate.pixels import Decode
from curate.ranking import LOT
from curate.sample import BASE, DOCUMENT, PAIR, Level, level_of
from curate.stage import BYTES, TRANSIENT, Expand, Group, Stage
from stages import STAGES
from stages.common.visual_models import MODELS

# An evaluation benchmark, and where its index is kept.
_QUIZ, _INDEX = str(Path(__file__).with_name("quiz.tsv")), str(Path(tempfile.gettempdir()) / "curate-leaks")

_TOKENIZER = str(Path(__file__).with_name("tokenizer.json"))

# Configurations under test; a stage without an entry must do with its defaults.
EXAMPLES: dict[str, list[dict[str, Any]]] = {
    "normalise": [{}, {"steps": ["entities", "tags", "nfkc", "quotes", "one_line"], "original": False}],
    "word_list": [{"lists": {"phrases": str(Path(stages.__file__).parent / "text" / "boilerplate.txt")}}],
    "pii": [{}, {"action": "mask", "kinds": ["email", "phone"], "regions": "US"}],
    "language": [{}, {"languages": ["en", "zh", "ja"], "min_chars": 1, "min_score": 0}],
    "fasttext": [{}, {"label": "junk", "name": "web"}],
    "itm": matchers.examples(),
    "leak_image": [{"paths": _QUIZ, "index": _INDEX}, {"paths": _QUIZ, "index": _INDEX, "action": "mark"}],
    "leak_text": [
        {"paths": _QUIZ, "index": _INDEX, "n": 3, "min_share": 0.1},
        {"paths": _QUIZ, "index": _INDEX, "action": "mark", "short": "with_image"},
    ],
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
    "quota": [
        {"by": ["dataset", "text_language"], "max": 2, "max_of": {"laion/en": 1}, "missing": "group"},
        {
            "by": "licence",
            "share": 0.1,
            "prefer": [{"column": "n_images"}, {"column": "licence", "first": "cc0"}],
        },
        {"by": "licence", "max": 1, "weight": "image_score", "seed": 7},
    ],
    "balance": [
        {"entries": str(Path(__file__).with_name("entries.txt")), "limit": 1},
        {"key": "licence", "limit": 2, "unmatched": "keep"},
    ],
    "mix": [
        {"by": "licence", "weights": {"cc0": 1, "URL": 2, "url": 0}, "total": 20},
        {"weights": {"URL": 1}, "total": 9.5, "unit": "text_words", "name": "more", "max_repeats": 2},
    ],
    "drop_ids": [
        {
            "lists": str(Path(__file__).with_name("takedown.csv")),
            "urls": ["url", "image_url"],
            "hashes": ["image_sha256", "sample_digest"],
        }
    ],
    "domain": [{}, {"of": "image_url", "part": "host", "name": "host"}],
    "near_text": [
        {"n": 1, "max_documents": 1, "threshold": 0.7},
        {"level": "sample", "unit": "characters", "within": "licence", "action": "mark", "scope": "pairs"},
    ],
    "phash": [{}, {"kinds": ["dhash", "phash256"]}],
    "near_image": [
        {"max_documents": 1, "prefer": [{"column": "image_width"}]},
        {"orientations": "all", "max_distance": 4, "scope": "pairs", "action": "mark", "name": "turned"},
    ],
    "near_hash": [{}, {"of": "image_phash256", "max_distance": 12, "scope": "pairs", "action": "mark"}],
    "exact": [
        {"key": "text_body", "normalise": "text", "within": ["domain", "text_language"], "name": "site"},
        {
            "key": "image_url",
            "normalise": "url",
            "name": "address",
            "prefer": [{"column": "url", "first": "url"}],
        },
        {"key": "image_sha256", "prefer": [{"column": "image_width"}], "max_documents": 1},
        {"key": "text_body", "normalise": "nfkc", "scope": "documents", "name": "paragraph"},
        {"key": "url", "normalise": "casefold"},
        {"key": "n_images", "scope": "pairs"},
        {"key": "image_sha256", "action": "mark", "max_documents": 1},
    ],
    "semantic": [
        {"threshold": 0.8, "prefer": [{"column": "image_width"}], "sample": 30},
        {"embedding": "text_clip_embedding", "scope": "documents", "max_documents": 1, "action": "mark"},
        {
            "embedding": ["image_clip_embedding", "text_clip_embedding"],
            "weights": [2, 1],
            "keep": "closest",
            "name": "joint",
        },
    ],
    "bucket": [
        {},
        {
            "by_caption": {
                "tiers": [
                    {"side": 14},
                    {"side": 21, "min_length": 9},
                    {
                        "side": 28,
                        "min_length": 2,
                        "bounds": {
                            "image_score": {"min": 0.2},
                            "text_chars": {"max": 40},
                            "n_images": {"max": 50},
                        },
                    },
                ],
                "step": 7,
                "max_cut": 0.2,
            },
            "max_upscale": None,
        },
        {
            "by_caption": {
                "tiers": [{"side": 14}, {"side": 28, "bounds": {"text_words": {"min": 20}}}],
                "shapes": "native",
                "step": 7,
                "length": "text_chars",
                "junk": "",
                "texts": "all",
            },
            "too_small": "keep",
        },
        {
            "policy": "aspect",
            "aspect": {
                "buckets": "novelai",
                "area": 600,
                "min_side": 8,
                "max_side": 64,
                "step": 8,
                "square": 24,
            },
            "too_small": "keep",
        },
        {"policy": "native", "native": {"factor": 7, "min_pixels": 500}},
        {"policy": "tiles", "tiles": {"grids": "minicpm", "tile": 28}, "max_upscale": 1.5},
        {"policy": "tiles", "tiles": {"grids": "llava_onevision"}, "max_upscale": None},
    ],
    "bucket_floor": [{"min": 8}, {"min": 2, "fallback": "drop"}],
    "component": [
        {"columns": "image_cluster"},
        {
            "columns": ["licence", "text_words", "image_pixel_sha256"],
            "prefer": [{"column": "n_images"}, {"column": "dataset", "first": "laion"}],
            "name": "own",
        },
    ],
    "split": [
        {},
        {"shares": {"odd": 0.25, "even": 0.75}, "by": "sample_id", "seed": 7, "name": "own"},
    ],
    "pack": [
        {"tokens": "n_chars", "length": 64, "tasks": 8},
        {
            "tokens": "n_images",
            "length": 40,
            "too_long": "keep",
            "max_images": 3,
            "by": ["licence", "text_language"],
            "extra": 2,
            "window": 3,
            "tasks": 2,
        },
    ],
    "tokens": [
        {"models": list(MODELS)},
        {"models": "qwen2-vl", "size": "target", "name": "small", "tokenizer": _TOKENIZER},
        {"name": "plain"},
    ],
    "near_set": [
        {"of": "image_url", "min_items": 1},
        {"of": "text_body", "min_items": 2, "scope": "documents", "threshold": 1, "action": "mark"},
        {"of": "image_width", "min_items": 2, "name": "width"},
    ],
}
# Columns that readers write.
_READ = {
    "image_alt": pa.string(),
    "image_caption": pa.string(),
    "image_url": pa.string(),
    "image_index": pa.int32(),
    "image_target_width": pa.int32(),
    "image_target_height": pa.int32(),
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
    if pa.types.is_fixed_size_binary(kind):
        made = [bytes([i]) * kind.byte_width if i < 3 else rng.bytes(kind.byte_width) for i in picks]
        return pa.array(made, kind, mask=absent)
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
    if isinstance(stage, Linked):
        table = _linked(stage, rows, seed)
    else:
        columns = stage.reads() | {"sample_id", "shape"} | {rank.column for rank in stage.rank()}
        table = flat_table(columns, stage.level_(), rows, seed)
        # of several keys the first will do
        lists = stage.keys(table)
        keys = pa.array([found[0] if found else None for found in lists.to_pylist()], pa.string())
        units = None if stage.votes else stage.units(table, lists)
        lots = stage.lots(table)
        if lots is not None:
            table = table.append_column(LOT, lots)
        table = table.append_column("key", keys).filter(keys.is_valid())
        table = table.append_column("unit", units or pa.array([1] * table.num_rows, pa.int64()))
        table = table.append_column("component", _numbers(table["key"].to_pylist()))
    lot = [(LOT, "ascending")] if LOT in table.column_names else []
    order = [("component", "ascending"), *(rank[:2] for rank in stage.rank()), *lot]
    order.append(("sample_id", "ascending"))
    ways = {column: (column, way) for column, way in reversed(order)}
    table = table.sort_by(list(ways.values())[::-1]).combine_chunks()
    if not isinstance(stage, Linked):
        return told(table, totals_of([table]))[0]
    # the first two of a component survive, and everybody else belongs to one of them
    component = table["component"].to_numpy()
    first = np.searchsorted(component, component)
    place = np.arange(len(component)) - first
    leader = np.where(place < 2, np.arange(len(component)), first + place % 2)
    table = table.append_column("leader", pa.array(leader))
    return table.append_column("similarity", pa.array(0.9 - place / 1e3, pa.float32(), mask=place < 2))


def _numbers(keys: list[Any]) -> pa.Array:
    names = {key: number for number, key in enumerate(sorted(set(keys)))}
    return pa.array([names[key] for key in keys], pa.int64())


def items_of(stage: Linked, rows: int, seed: int = 0) -> pa.Table:
    """What `prepare` is handed."""
    own = set(stage.signature().names)
    columns = stage.reads() | {"sample_id", "shape"} | {rank.column for rank in stage.rank()} - own
    return flat_table(columns, stage.level_(), rows, seed)


def _linked(stage: Linked, rows: int, seed: int) -> pa.Table:
    table = items_of(stage, rows, seed)
    signature = stage.prepare(table, stage.fit(table, rows) if stage.sample_size() else {}).signature
    wanted = {"sample_id", "shape", "twin", *(rank.column for rank in stage.rank()), *stage.shown()}
    columns = {n: signature[n] if n in signature.column_names else table[n] for n in sorted(wanted)}
    return pa.table(columns).append_column("component", pa.array(np.arange(rows) % (rows // 4 + 1)))
