"""Lists that users keep in files: read once for each size and time that a file has."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, StringConstraints

from curate.errors import RecipeError

# As sources: relative to where the command is given, wherever a worker runs then.
File: TypeAlias = Annotated[str, StringConstraints(min_length=1), AfterValidator(os.path.abspath)]


def stamp(path: str, place: str) -> tuple[int, int]:
    """Size and time of change; RecipeError at `place` where the file cannot be read."""
    try:
        told = os.stat(path)
        with open(path, "rb"):
            pass
    except OSError as error:
        raise RecipeError(
            place, f"{path} cannot be read: {error.strerror}", _neighbours(Path(path))
        ) from error
    return told.st_size, told.st_mtime_ns


@lru_cache(maxsize=4)
def text_of(path: str, place: str, stamped: tuple[int, int]) -> str:
    """The file as text, with `\\n` at the ends of lines; RecipeError where it is none."""
    data = Path(path).read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecipeError(place, f"{path} is not UTF-8: byte {error.start}") from error
    if "\0" in text:
        raise RecipeError(place, f"{path} is not a text file: it holds a null byte")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _neighbours(path: Path) -> str:
    """What lies beside a file that is not there."""
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}"
    names = sorted(p.name for p in path.parent.iterdir() if p.is_file())
    return f"{path.parent} holds: {', '.join(names[:5]) or 'no files'}"
