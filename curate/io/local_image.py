"""An image that a source names by path or URL: where its bytes are, or why there are none."""

from __future__ import annotations

import posixpath
import re
from typing import Literal, NamedTuple, TypeAlias

import pyarrow as pa

from curate.io.fields import clean
from curate.io.payload import quote
from curate.io.source import file_piece
from curate.io.storage import Storage

# What becomes of images that are not beside their source: dropped as `remote_image`, or left to `fetch`.
Remote: TypeAlias = Literal["drop", "keep"]

REASONS = frozenset({"missing_image", "remote_image", "outside_root"})
_REMOTE = re.compile(r"^(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)


class Named(NamedTuple):
    """One image as a row carries it."""

    reference: str | None  # image_ref
    piece: bytes  # what stands for it in the sample's id: the file's bytes, else its name
    reason: str  # of `REASONS`, or "": alive
    url: str | None = None  # image_url, of a remote one


def with_url(schema: pa.Schema, remote: Remote) -> pa.Schema:
    """Columns of a source, with the `image_url` that `fetch` needs."""
    if remote == "drop" or "image_url" in schema.names:
        return schema
    return schema.append(pa.field("image_url", pa.list_(pa.string())))


def is_remote(named: str) -> bool:
    """Whether a name is a URL rather than a path."""
    return _REMOTE.match(named) is not None


def resolve(storage: Storage, root: str, named: str, remote: Remote = "drop") -> Named:
    """The image `named` in a record, its path starting from `root` below the source's root."""
    spelled = clean(named)
    piece = named.encode("utf-8", "surrogateescape" if spelled == named else "surrogatepass")
    if is_remote(named):
        return Named(None, piece, "" if remote == "keep" else "remote_image", spelled)
    local = posixpath.normpath(posixpath.join(root, named))
    if local.startswith(("/", "../")) or local in (".", "..") or "\0" in local:
        return Named(None, piece, "outside_root")
    found = file_piece(storage, local) if spelled == named else None
    reference = quote(clean(local))
    return Named(reference, piece, "missing_image") if found is None else Named(reference, found, "")
