"""See `Digest`."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from typing import ClassVar, Literal

import pyarrow as pa

from curate.sample import Level
from curate.stage import Map, Op, Out

_SPACE = re.compile(r"\s+")


class Digest(Map):
    """SHA-256 over layout, texts and pixels of a whole sample: the key to find exact copies of samples by.

    Texts count in Unicode's NFC with every run of white space as one space, images by `image_pixel_sha256`
    (of the node `sha256`). Ids, paths, roles and other fields do not count. What is dropped of a document is
    no part of it; null where a hash of a living image is. `exact` with `key: sample_digest` finds copies.
    """

    stage: Literal["digest"] = "digest"
    level: ClassVar[Level] = "sample"

    def reads(self) -> frozenset[str]:
        return frozenset({"layout", "text_body", "image_pixel_sha256"})

    def writes(self) -> pa.Schema:
        return pa.schema([("sample_digest", pa.string())])

    def open(self) -> Op:
        def op(table: pa.Table) -> Out:
            columns = (table[name].to_pylist() for name in ("layout", "text_body", "image_pixel_sha256"))
            found = [_digest(*row) for row in zip(*columns, strict=True)]
            return Out({"sample_digest": pa.array(found, pa.string())})

        return op


def _digest(layout: str, texts: Sequence[str | None], images: Sequence[str | None]) -> str | None:
    if None in images:
        return None
    digest = hashlib.sha256()
    for piece in (layout, *(_normal(text or "") for text in texts), *images):
        data = (piece or "").encode()
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


def _normal(text: str) -> str:
    return _SPACE.sub(" ", unicodedata.normalize("NFC", text)).strip()
