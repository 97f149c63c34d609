"""Hugging Face's description of columns, in its two spellings: Parquet metadata and README front matter."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_NAMES = {
    pa.float16(): "float16",
    pa.float32(): "float32",
    pa.float64(): "float64",
    pa.date32(): "date32",
    pa.date64(): "date64",
}


def _is_list(type: pa.DataType) -> bool:
    return isinstance(type, pa.ListType | pa.LargeListType | pa.FixedSizeListType)


def _dtype(type: pa.DataType) -> str:
    return _NAMES.get(type, str(type))


def feature(type: pa.DataType) -> Any:
    """The feature of a type, as in the `huggingface` metadata of a Parquet schema."""
    if type == IMAGE:
        return {"_type": "Image"}
    if _is_list(type):
        inner = feature(type.value_type)
        if pa.types.is_struct(type.value_type) and type.value_type != IMAGE:
            return [inner]  # a Sequence of a struct would be read as a struct of lists
        length = {"length": type.list_size} if pa.types.is_fixed_size_list(type) else {}
        # "List" is what `datasets` 4 and later write, but earlier versions cannot read it
        return {"feature": inner, "_type": "Sequence", **length}
    if pa.types.is_struct(type):
        return {f.name: feature(f.type) for f in type}
    return {"dtype": _dtype(type), "_type": "Value"}


def with_metadata(schema: pa.Schema) -> pa.Schema:
    """The schema with the metadata that makes `datasets` decode its images."""
    features = {f.name: feature(f.type) for f in schema}
    return schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def described(name: str, type: pa.DataType) -> dict[str, Any]:
    """One column for `dataset_info.features` of a README."""
    return {"name": name, **_described(type)}


def _described(type: pa.DataType) -> dict[str, Any]:
    if type == IMAGE:
        return {"dtype": "image"}
    if _is_list(type):
        inner = _described(type.value_type)
        length = {"length": type.list_size} if pa.types.is_fixed_size_list(type) else {}
        if "struct" in inner:
            return {"list": inner["struct"]}
        return {"sequence": inner.get("dtype", inner), **length}
    if pa.types.is_struct(type):
        return {"struct": [described(f.name, f.type) for f in type]}
    return {"dtype": _dtype(type)}
