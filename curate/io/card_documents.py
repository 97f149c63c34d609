"""README.md of outputs of documents in layouts of published sets: OBELICS and MMC4."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from curate.export import hf
from curate.export.pictures import Choice
from curate.io.card import _readme, configs, resized_text

_OBELICS = """\
`images` and `texts` are the document in reading order, as in OBELICS: lists of one length, and at each place
just one of them is not null. `images` has URLs, or names of files where an image has no URL. `metadata` is a
JSON list with an object at each image's place (`formatted_filename` names the file), `general_metadata` a
JSON object with the columns of the document, what was taken out of it and why.
"""
_OBELICS_FILES = {
    "folder": "\nFiles lie below `images`.\n",
    "column": "\n`image_files` has the files: decoded images, and a null where a text stands.\n",
    "nowhere": "\nThe images themselves are not part of this output.\n",
}
_MMC4 = """\
One line is a document, as in MMC4: `text_list`, and in `image_info` its images in reading order, each with
the number of the text it belongs to (`matched_text_index`). `similarity_matrix` (of images and texts) and
`matched_sim` are there where embeddings were. `dropped_images` and `dropped_texts` say what was taken out of
the document, and why. `<shard>.parquet` has one row a document.
"""
_MMC4_MATCH = {
    "place": "\nAn image belongs to the text behind it; behind the last text that is an empty one.\n",
    "clip": "\nImages belong to texts by similarity, each to another one; where they stood is in `layout`.\n",
}
_MMC4_FILES = {
    "folder": "\nFiles lie below `images`; `image_name` is their path there.\n",
    "tar": "\nTars have a `<key>.json` a document, with the files in it (`image_base64`).\n",
}
_STORED = {
    "jpeg": """
All images are upright RGB JPEG. `image_stored` is `original` where the source's bytes were that already and
are untouched, `jpeg` where the image was re-encoded (quality 95, 4:4:4, alpha on white).
""",
    "original": "\nImages are the source's files.\n",
}
_LOAD_OBELICS = """\
import json

from datasets import load_dataset
from PIL import Image

for row in load_dataset(".", split="train"):  # this folder
    places = zip(row["images"], row["texts"], json.loads(row["metadata"]))
    document = [
        Image.open("images/" + entry["formatted_filename"]) if text is None else text
        for url, text, entry in places
    ]
"""
_LOAD_OBELICS_COLUMN = """\
from datasets import load_dataset

for row in load_dataset(".", split="train"):  # this folder
    document = [text if image is None else image for image, text in zip(row["image_files"], row["texts"])]
"""
_LOAD_OBELICS_NOWHERE = """\
from datasets import load_dataset

for row in load_dataset(".", split="train"):  # this folder
    document = [text if url is None else url for url, text in zip(row["images"], row["texts"])]
"""
_LOAD_MMC4 = """\
import json

from PIL import Image

for line in open("00000.jsonl", encoding="utf-8"):
    document = json.loads(line)
    for image in document["image_info"]:
        picture = Image.open("images/" + image["image_name"])
        before = document["text_list"][image["matched_text_index"]]
"""
_LOAD_MMC4_TAR = """\
import base64, io

import webdataset as wds
from PIL import Image

for sample in wds.WebDataset("00000.tar", shardshuffle=False).decode():
    for image in sample["json"]["image_info"]:
        picture = Image.open(io.BytesIO(base64.b64decode(image["image_base64"])))
        before = sample["json"]["text_list"][image["matched_text_index"]]
"""


def obelics_card(
    kind: str, facts: Mapping[str, Any], choice: Choice, stored: pa.Schema, images_in: str
) -> str:
    """README.md of `write_obelics`; `stored`: the schema of its files."""
    front = {
        "task_categories": ["image-to-text"],
        "configs": configs("*.parquet", facts),
        "dataset_info": {"features": [hf.described(f.name, f.type) for f in stored]},
    }
    loads = {"folder": _LOAD_OBELICS, "column": _LOAD_OBELICS_COLUMN, "nowhere": _LOAD_OBELICS_NOWHERE}
    images = "" if images_in == "nowhere" else _STORED.get(choice.images) or resized_text(choice)
    text = _OBELICS + _OBELICS_FILES[images_in] + images
    return _readme(kind, facts, front, text, [loads[images_in]])


def mmc4_card(kind: str, facts: Mapping[str, Any], choice: Choice, images_in: str, match: str) -> str:
    """README.md of `write_mmc4`."""
    front = {"task_categories": ["image-to-text"]}
    images = _STORED.get(choice.images) or resized_text(choice)
    text = _MMC4 + _MMC4_MATCH[match] + _MMC4_FILES[images_in] + images
    return _readme(kind, facts, front, text, [_LOAD_MMC4 if images_in == "folder" else _LOAD_MMC4_TAR])
