"""SHA-256 of files as large as weights: read once for each size and time they have."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from curate.errors import RecipeError


def digest(path: Path, field: str) -> str:
    """64 hex digits; RecipeError at `field` where the file cannot be read."""
    try:
        status = path.stat()
        return _digest(str(path), status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise RecipeError(field, f"cannot read {path}: {error.strerror}") from error


def digests(paths: Iterable[Path], field: str) -> dict[str, str]:
    """By file name."""
    return {path.name: digest(path, field) for path in paths}


@lru_cache(maxsize=256)
def _digest(path: str, size: int, changed: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
