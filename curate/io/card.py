"""README.md of an output: front matter for the Hugging Face hub, counts, columns, how to load it.

`facts`: `output` (its name), `samples`, `images`, `shards`, `columns` (names), and, where they are known,
`bytes`, `schema` (the plan's at this output, with which the card tells readers all types), `recipe` (a file's
name), `license`, `notices` (lines on models and lists that the stages used), `folders` of shards, and those
of `card_facts`. No date and no path: the card is part of the output, and the same run makes the same bytes.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import yaml

from curate.export import hf, shard
from curate.export.forms import Form
from curate.export.pictures import Choice
from curate.io.card_facts import languages, sections
from curate.sample import level_of

_SIZES = (
    (10**3, "n<1K"),
    (10**4, "1K<n<10K"),
    (10**5, "10K<n<100K"),
    (10**6, "100K<n<1M"),
    (10**7, "1M<n<10M"),
    (10**8, "10M<n<100M"),
    (10**9, "100M<n<1B"),
    (10**10, "1B<n<10B"),
)
_NOTHING = pa.schema([])
_SPLITS = ("train", "validation", "test")

_PAIRS = """\
One sample is an image, `<key>.json` and `<key>.txt`, the text. The JSON has the same keys and types in every
sample: a null is written as "", -1, -1.0 or false, and `nulls` names the columns where that was done; nested
values are JSON text. `<shard>.parquet` has one row a sample, with the same columns in their own types.
"""
_PAIRS_JPEG = """
All images are upright RGB JPEG. `image_stored` is `original` where the source's bytes were that already and
are untouched, `jpeg` where the image was re-encoded (quality 95, 4:4:4, alpha on white).
"""
_PAIRS_ORIGINAL = """
Images are the source's files, each under its own extension. `datasets` needs this card to read them: without
it the extension of the first image would be taken for all.
"""
_DOCUMENTS = """\
One sample is `<key>.json` and its images. In the JSON, `images` and `texts` are the document in reading
order: at each place one of them is null. Images are numbered as in the source document; `dropped_images` and
`dropped_texts` say what was taken out of it, and why. `<shard>.parquet` has one row a document.
"""
_PARQUET = {
    "pairs": "`image` and `text` are the pair.\n",
    "documents": """\
`texts` is the document in reading order with a null where an image stands: the k-th null is the k-th of
`images`. `layout` says the same, one letter a span (i image, t text). `dropped_images` and `dropped_texts`
say what was taken out of the document, and why.
""",
}
_PARQUET_IMAGES = {
    "original": "The images' bytes are the source's.\n",
    "jpeg": "All images are upright RGB JPEG (`image_stored`: `original` where they were that already).\n",
}
_LLAVA = """\
`llava.json` is one JSON array of conversations, `llava.jsonl` the same rows as lines. `image` is relative to
this folder. `<shard>.parquet` has one row a sample, with the scores it was chosen by.
"""
_LLAVA_JPEG = "All images are upright RGB JPEG; JPEGs that were that already are untouched.\n"
_RESIZED = """
Images are upright sRGB, {file}, and have `image_stored_width` x `image_stored_height` pixels: the target that
was chosen for them (`image_target_width` x `image_target_height`) where there is one. `image_fit` says how
they got there: `stretch`, or `crop`, scaled until the target is covered and cut about the centre; the filter
is {filter}, with antialias. {stored}`image_width` and `image_height` are those of the original. Boxes and
points in columns are those of the image as it is written: clipped, and left out where they lay wholly outside
of the cut. Texts are not touched: coordinates in them are those of the original.
"""
_RESIZED_STORED = """\
`image_stored` is `original` where the source's bytes were such an image already and are untouched, `resized`
where they were resized to the target, else the format that they were encoded anew in. """

_LOAD_PAIRS = """\
import webdataset as wds

dataset = wds.WebDataset("00000.tar", shardshuffle=False).decode("pilrgb")
pairs = dataset.to_tuple("{endings}", "txt", "json")
"""
_LOAD_DOCUMENTS = """\
import webdataset as wds

for sample in wds.WebDataset("00000.tar", shardshuffle=False).decode("pilrgb"):
    for name, text in zip(sample["json"]["images"], sample["json"]["texts"]):
        span = text if name is None else sample[name]
"""
_LOAD_HF = """\
from datasets import load_dataset

dataset = load_dataset(".", split="train")  # this folder
"""
_LOAD_LLAVA = """\
# LLaVA and LLaVA-NeXT:                    --data_path llava.json --image_folder .
# Qwen-VL fine-tuning, InternVL, ms-swift: llava.jsonl
import json

rows = json.load(open("llava.json", encoding="utf-8"))
"""


def webdataset_card(
    kind: str,
    facts: Mapping[str, Any],
    form: Form,
    choice: Choice,
    added: pa.Schema = _NOTHING,
    notes: str = "",
) -> str:
    """README.md of `write_webdataset`. `added`: further keys of the JSON of pairs; `notes`: on what else is
    beside the shards."""
    front: dict[str, Any] = {
        "task_categories": ["image-to-text"],
        "tags": ["webdataset"],
        "configs": configs("*.tar", facts),
    }
    if form == "documents":
        return _readme(
            kind,
            facts,
            front,
            _DOCUMENTS + resized_text(choice) + notes,
            [_LOAD_DOCUMENTS.replace("00000.tar", _first(facts))],
        )
    endings = choice.endings()
    if facts.get("schema") is not None:
        features = [hf.described(ending, hf.IMAGE) for ending in endings]
        features.append({"name": "json", "struct": _json_features(facts["schema"], added)})
        features += [hf.described(name, pa.string()) for name in ("txt", "__key__", "__url__")]
        front["dataset_info"] = {"features": features}
    texts = {"jpeg": _PAIRS_JPEG, "original": _PAIRS_ORIGINAL, "resized": resized_text(choice)}
    text = _PAIRS + texts[choice.images] + notes
    load = _LOAD_PAIRS.format(endings=";".join(endings)).replace("00000.tar", _first(facts))
    return _readme(kind, facts, front, text, [load, _LOAD_HF])


def resized_text(choice: Choice, stored: bool = True) -> str:
    """What a card says of resized images, nothing of others. `stored`: there is a column `image_stored`."""
    if not choice.resizes:
        return ""
    how = choice.resize
    file = {
        "jpeg": f"JPEG of quality {how.quality} (4:4:4)",
        "png": "PNG",
        "webp": f"WebP of quality {how.quality}",
    }
    name = "lossless WebP" if how.lossless else file[how.format]
    text = _RESIZED.format(file=name, filter=how.filter, stored=_RESIZED_STORED if stored else "")
    return f"\n{textwrap.fill(text.strip(), 110, break_long_words=False, break_on_hyphens=False)}\n"


def _first(facts: Mapping[str, Any]) -> str:
    """The first tar."""
    folders = list(facts.get("folders") or ())
    return f"{folders[0]}/00000.tar" if folders else "00000.tar"


def _json_features(schema: pa.Schema, added: pa.Schema) -> list[dict[str, Any]]:
    """The types that `shard.constant` gives the keys of a pair's JSON."""
    found = {"sample_id": pa.string(), "image_stored": pa.string(), "nulls": pa.string()}
    found |= {field.name: shard.constant_type(field.type) for field in added}
    for field in shard.columns_out(schema):
        type = field.type if level_of(field.name) == "sample" else field.type.value_type
        if shard.in_json(type):
            found[field.name] = shard.constant_type(type)
    return [hf.described(name, found[name]) for name in sorted(found)]


def parquet_card(
    kind: str, facts: Mapping[str, Any], form: Form, stored: pa.Schema | None, choice: Choice
) -> str:
    """README.md of `write_parquet`; `stored`: the schema of its files."""
    front: dict[str, Any] = {"task_categories": ["image-to-text"], "configs": configs("*.parquet", facts)}
    if stored is not None:
        front["dataset_info"] = {"features": [hf.described(f.name, f.type) for f in stored]}
    text = _PARQUET[form] + _PARQUET_IMAGES.get(choice.images, resized_text(choice))
    return _readme(kind, facts, front, text, [_LOAD_HF])


def llava_card(kind: str, facts: Mapping[str, Any], choice: Choice) -> str:
    """README.md of `write_llava`."""
    tasks = ["image-text-to-text", "visual-question-answering"]
    front = {"task_categories": tasks, "configs": configs("llava.jsonl", {})}
    text = _LLAVA + (resized_text(choice, stored=False) or _LLAVA_JPEG)
    return _readme(kind, facts, front, text, [_LOAD_LLAVA, _LOAD_HF])


def _readme(
    kind: str, facts: Mapping[str, Any], front: Mapping[str, Any], text: str, loads: list[str]
) -> str:
    head = yaml.safe_dump({**_front(facts), **front}, sort_keys=False, allow_unicode=True, width=100)
    load = "\n".join(f"```python\n{block}```\n" for block in loads)
    title = f"# {facts.get('output', 'Output')}\n\n{kind}.\n\n{_counts(facts)}"
    told = f"{_columns(facts)}{sections(facts)}{_made_with(facts)}"
    return f"---\n{head}---\n\n{title}\n{text}{told}\n## Loading\n\n{load}"


def _front(facts: Mapping[str, Any]) -> dict[str, Any]:
    samples = int(facts.get("samples", 0))
    front: dict[str, Any] = {"license": facts.get("license") or "unknown"}
    if found := languages(facts):
        front["language"] = found
    size = next((name for limit, name in _SIZES if samples < limit), "10B<n<100B")
    return {**front, "size_categories": [size]}


def configs(pattern: str, facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The hub's configurations: a split for each folder that is called as one, else all files as `train`."""
    folders = list(facts.get("folders") or ())
    first = dict.fromkeys(folder.partition("/")[0] for folder in folders)
    if first and set(first) <= set(_SPLITS):
        inner = "**/" if any("/" in folder for folder in folders) else ""
        files = [{"split": split, "path": f"{split}/{inner}{pattern}"} for split in _SPLITS if split in first]
    else:
        files = [{"split": "train", "path": f"**/{pattern}" if folders else pattern}]
    return [{"config_name": "default", "data_files": files}]


def _counts(facts: Mapping[str, Any]) -> str:
    lines = [f"- {int(facts[n]):,} {n}" for n in ("samples", "images", "shards", "bytes") if n in facts]
    if facts.get("recipe"):
        lines.append(f"- made by `{PurePosixPath(str(facts['recipe'])).name}`")
    return "".join(f"{line}\n" for line in lines)


def _made_with(facts: Mapping[str, Any]) -> str:
    lines = "".join(f"- {notice}\n" for notice in facts.get("notices", ()))
    return f"\n## Made with\n\n{lines}" if lines else ""


def _columns(facts: Mapping[str, Any]) -> str:
    types: Mapping[str, str] = {}
    if facts.get("schema") is not None:
        types = {f.name: str(f.type) for f in shard.columns_out(facts["schema"])}
    names = list(types) or [str(name) for name in facts.get("columns", ()) if shard.goes_out(str(name))]
    if not names:
        return ""
    lines = [f"| `{name}` | {level_of(name)} | {types.get(name, '')} |\n" for name in names]
    return "\n## Columns\n\n| column | of each | type |\n|---|---|---|\n" + "".join(lines)
