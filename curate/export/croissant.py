"""Croissant metadata of an output (mlcommons/croissant, specification 1.0): what its files hold.

Tools that know Croissant (dataset searches, `mlcroissant`) read the table beside the shards through it: one
record a row of the Parquet files. No date and no address stand in it, for the same run makes the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from curate.export import hf

NAME = "croissant.json"
_CONFORMS = "http://mlcommons.org/croissant/1.0"
# The context that the specification gives.
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
_MIME = {
    "parquet": "application/x-parquet",
    "tar": "application/x-tar",
    "json": "application/json",
    "jsonl": "application/jsonlines",
    "jpg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
}
_OTHER = "application/octet-stream"
# Files that tell of the output, and belong to no set.
_ABOUT = frozenset({"README.md", "manifest.json", NAME})


def metadata(facts: Mapping[str, Any], files: Iterable[str], rows: pa.Schema | None) -> dict[str, Any]:
    """The JSON-LD. `files`: all of the output, relative; `rows`: the schema of its Parquet files, None where
    there are none."""
    found: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": _CONFORMS,
        "name": str(facts["output"]),
        "description": _description(facts),
        **({"license": facts["license"]} if facts.get("license") else {}),
        "distribution": [_file_set(ending, names) for ending, names in _by_ending(files)],
    }
    if rows is not None:
        found["recordSet"] = [_record_set(rows)]
    return found


def _description(facts: Mapping[str, Any]) -> str:
    counts = f"{int(facts.get('samples', 0)):,} samples with {int(facts.get('images', 0)):,} images"
    return " ".join(filter(None, [str(facts.get("description") or "").strip(), f"{counts}."]))


def _by_ending(files: Iterable[str]) -> list[tuple[str, list[str]]]:
    found: dict[str, list[str]] = {}
    for name in files:
        if name not in _ABOUT and "." in name.rpartition("/")[2].lstrip("."):
            found.setdefault(name.rpartition(".")[2], []).append(name)
    return sorted(found.items())


def _file_set(ending: str, names: list[str]) -> dict[str, Any]:
    # a pattern without folders does not go into them
    patterns = [f"*.{ending}"] if any("/" not in n for n in names) else []
    patterns += [f"**/*.{ending}"] if any("/" in n for n in names) else []
    return {
        "@type": "cr:FileSet",
        "@id": f"{ending}-files",
        "name": f"{ending}-files",
        "encodingFormat": _MIME.get(ending, _OTHER),
        "includes": patterns[-1] if len(patterns) == 1 else patterns,
    }


def _record_set(rows: pa.Schema) -> dict[str, Any]:
    fields = [_field(f) for f in rows if _type(f.type) is not None]
    return {"@type": "cr:RecordSet", "@id": "samples", "name": "samples", "field": fields}


def _field(field: pa.Field) -> dict[str, Any]:
    source: dict[str, Any] = {"fileSet": {"@id": "parquet-files"}, "extract": {"column": field.name}}
    if _item(field.type) == hf.IMAGE and field.type == hf.IMAGE:
        source["transform"] = {"jsonPath": "bytes"}
    found = {
        "@type": "cr:Field",
        "@id": f"samples/{field.name}",
        "name": field.name,
        "dataType": _type(field.type),
        "source": source,
    }
    return {**found, "repeated": True} if field.type != _item(field.type) else found


def _item(type: pa.DataType) -> pa.DataType:
    return type.value_type if pa.types.is_list(type) or pa.types.is_large_list(type) else type


def _type(type: pa.DataType) -> str | None:
    """Croissant's data type; None for what it has none for: structures, vectors, lists of lists."""
    item = _item(type)
    if type == hf.IMAGE:
        return "sc:ImageObject"
    if pa.types.is_string(item):
        return "sc:Text"
    if pa.types.is_boolean(item):
        return "sc:Boolean"
    if pa.types.is_integer(item):
        return "sc:Integer"
    return "sc:Float" if pa.types.is_floating(item) else None
