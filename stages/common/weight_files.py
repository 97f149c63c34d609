"""Files of a model: what a tokenizer is made of, and SHA-256 of weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from curate.errors import RecipeError

# Any of these makes a tokenizer for transformers; without, it goes on with an empty vocabulary.
_VOCABULARIES = (
    ("tokenizer.json",),
    ("tokenizer.model",),
    ("spiece.model",),
    ("sentencepiece.bpe.model",),
    ("vocab.txt",),
    ("vocab.json", "merges.txt"),
)
_SETTINGS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
WANTED = "one of " + ", ".join(" + ".join(names) for names in _VOCABULARIES) + ", with tokenizer_config.json"


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder holds a vocabulary."""
    return any(all((folder / name).is_file() for name in names) for names in _VOCABULARIES)


def tokenizer_files(folder: Path) -> list[Path]:
    """All that decides how a text is tokenised."""
    names = [*(name for vocabulary in _VOCABULARIES for name in vocabulary), *_SETTINGS]
    return [path for name in names if (path := folder / name).is_file()]


def digest(path: Path, field: str) -> str:
    """64 hex digits; RecipeError at `field` where the file cannot be read.

    A file is read once for each size and time that it has: weights are large, plans ask often.
    """
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
