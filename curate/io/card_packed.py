"""README.md of outputs in packed shards: MDS and LitData."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from curate.export.forms import Form
from curate.export.packed import Column
from curate.export.pictures import Choice
from curate.io.card import _readme, resized_text

_FORMS = {
    "pairs": """\
`image` and `text` are the pair. `id` is a name that no other sample has. `json` holds the other columns, and
`image_stored`.
""",
    "documents": """\
`texts` is the document in reading order with a null where an image stands: the k-th null is the k-th of
`images`. `layout` says the same, one letter a span (i image, t text). `id` is a name that no other document
has. `json` holds the other columns, `image_stored`, and in `dropped_images` and `dropped_texts` what was
taken out of the document, and why.
""",
}
_IMAGES = {
    "jpeg": """
All images are upright RGB JPEG. `image_stored` is `original` where the source's bytes were that already and
are untouched, `jpeg` where the image was re-encoded (quality 95, 4:4:4, alpha on white).
""",
    "original": "\nImages are the source's files.\n",
}
_BESIDE = """
`<shard>.parquet` has one row a sample, with the columns in their own types. `index.json` lies in each folder
that has shards below it: such a folder can be read alone.

| column | encoding |
|---|---|
"""
_LOAD_MDS = """\
from streaming import StreamingDataset

# this folder; of one in a bucket `remote` as well, and a `local` folder for what is fetched
dataset = StreamingDataset(local=".", shuffle=True, batch_size=32)
{use}
"""
_LOAD_LITDATA = """\
from litdata import StreamingDataset

dataset = StreamingDataset(".", shuffle=True)  # this folder, or a URL
{use}
"""
_OPENED = 'dataset[0]["image"]  # PIL.Image'
_FILE = 'Image.open(io.BytesIO(dataset[0]["image"]))  # the file\'s bytes'
_MDS_DOCUMENT = """\
images = iter(dataset[0]["images"])  # PIL.Image
document = [next(images) if text is None else text for text in dataset[0]["texts"]]"""
_TENSOR = 'dataset[0]["image"]  # uint8 tensor (3, height, width)'
_LITDATA_DOCUMENT = """\
images = iter(dataset[0]["images"])  # uint8 tensors (3, height, width)
document = [next(images) if text is None else text for text in json.loads(dataset[0]["texts"])]"""
_LITDATA_FILES = """\
data = bytes(dataset[0]["images"])  # uint32 n, n uint32 sizes, n files
n = int.from_bytes(data[:4], "little")
ends = numpy.cumsum(numpy.frombuffer(data, "<u4", n, 4)) + 4 + 4 * n
files = [data[a:b] for a, b in zip([4 + 4 * n, *ends], ends)]
document = [files.pop(0) if text is None else text for text in json.loads(dataset[0]["texts"])]"""


def mds_card(
    kind: str, facts: Mapping[str, Any], form: Form, choice: Choice, columns: Sequence[Column]
) -> str:
    """README.md of `write_mds`."""
    use = _MDS_DOCUMENT
    if form == "pairs":
        use = _FILE if Column("image", "bytes") in columns else _OPENED
    return _packed(kind, facts, form, choice, columns, _LOAD_MDS.format(use=use))


def litdata_card(
    kind: str, facts: Mapping[str, Any], form: Form, choice: Choice, columns: Sequence[Column]
) -> str:
    """README.md of `write_litdata`."""
    bytes_ = "bytes" in {column.encoding for column in columns}
    uses = {"pairs": (_TENSOR, _FILE), "documents": (_LITDATA_DOCUMENT, _LITDATA_FILES)}
    return _packed(kind, facts, form, choice, columns, _LOAD_LITDATA.format(use=uses[form][bytes_]))


def _packed(
    kind: str,
    facts: Mapping[str, Any],
    form: Form,
    choice: Choice,
    columns: Sequence[Column],
    load: str,
) -> str:
    front = {"task_categories": ["image-to-text"]}
    images = _IMAGES.get(choice.images) or resized_text(choice)
    encodings = "".join(f"| `{column.name}` | {column.encoding} |\n" for column in columns)
    return _readme(kind, facts, front, _FORMS[form] + images + _BESIDE + encodings, [load])
