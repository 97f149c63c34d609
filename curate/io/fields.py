"""Fields of a source's records to columns of the record; what no column takes becomes `meta`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from curate.stage import Names, canonical

OBJECTS = pa.list_(
    pa.struct(
        [("label", pa.string()), ("box", pa.list_(pa.float32())), ("attributes", pa.list_(pa.string()))]
    )
)
_SAID = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def clean(text: str) -> str:
    """The text with lone surrogates (JSON's `\\ud800`, undecodable names) made U+FFFD, as Arrow is UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _finite(value: Any) -> Any:
    """A JSON value with NaN and infinities made null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return value


def meta_of(left: Mapping[str, Any]) -> str | None:
    """What is left of a source's fields as canonical JSON; None where nothing is."""
    if not left:
        return None
    try:
        text = canonical(left)
        if "NaN" in text or "Infinity" in text:  # possibly within a string only: then nothing changes
            text = canonical(_finite(dict(left)))
    except RecursionError:
        return canonical({"unparsed": "nested too deeply"})
    return clean(text)


class Fields(BaseModel):
    """Which fields of a source's records become which columns. Of several names the first that fits wins."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_url: Names = Field(default=("url",), description="Where the image came from.")
    image_alt: Names = Field(default=("alt",), description="The image's alt text.")
    licence: Names = Field(default=("licence", "license"), description="Licence of the sample.")
    language: Names = Field(default=("language", "lang"), description="Language the source declares.")
    opt_out: Names = Field(default=("opt_out",), description="Whether its owner objects to training.")
    objects: str = Field(default="", description="List of {label, box: [x1, y1, x2, y2], attributes}.")

    def schema_(self) -> pa.Schema:
        """The columns these fields give; by the configuration alone, so that no shard changes them."""
        types = {
            "image_url": pa.list_(pa.string()),
            "image_alt": pa.list_(pa.string()),
            "licence": pa.string(),
            "language": pa.string(),
            "opt_out": pa.bool_(),
        }
        found = [(name, kind) for name, kind in types.items() if getattr(self, name)]
        if self.objects:
            found.append(("image_objects", pa.list_(OBJECTS)))
        return pa.schema(found)

    def names(self) -> frozenset[str]:
        """Every field that is looked for."""
        every = (*self.image_url, *self.image_alt, *self.licence, *self.language, *self.opt_out)
        return frozenset(every) | ({self.objects} if self.objects else set())

    def take(self, record: dict[str, Any], images: int) -> dict[str, Any]:
        """Columns out of a record, whose fields are removed as far as the columns hold all they say.

        A value of an unexpected type stays where it is: it is the source's, not ours to guess at.
        """
        row: dict[str, Any] = {}
        for column in ("image_url", "image_alt", "licence", "language"):
            for name in getattr(self, column):
                if isinstance(record.get(name), str):
                    value = clean(record.pop(name))
                    row[column] = [value] * images if column.startswith("image_") else value
                    break
        for name in self.opt_out:
            said = record.get(name)
            flag = _SAID.get(str(said).strip().lower()) if isinstance(said, (bool, int, str)) else None
            if flag is not None:
                row["opt_out"] = flag
                del record[name]
                break
        if self.objects and isinstance(record.get(self.objects), list):
            found = [objects for raw in record[self.objects] if (objects := _object(raw))]
            row["image_objects"] = [found] * images
            if len(found) == len(record[self.objects]):
                del record[self.objects]
        return row


def _object(raw: Any) -> dict[str, Any] | None:
    """One annotated object, or None where it has no label or a box that is no box."""
    if not isinstance(raw, dict):
        return None
    label = raw.get("label", raw.get("class"))
    box = raw.get("box", raw.get("bbox"))
    if not isinstance(label, str):
        return None
    if box is not None:
        if not isinstance(box, list) or len(box) != 4:
            return None
        if not all(isinstance(n, (int, float)) and abs(n) < 1e30 for n in box):  # NaN compares false
            return None
        if box[2] < box[0] or box[3] < box[1]:
            return None
    given = raw.get("attributes")
    said = [a for a in given if isinstance(a, str)] if isinstance(given, list) else []
    said += [raw[k] for k in ("color", "colour", "size") if isinstance(raw.get(k), str)]
    return {"label": clean(label), "box": box, "attributes": [clean(a) for a in said]}
