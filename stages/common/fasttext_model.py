"""fastText classifiers (`.bin`, `.ftz`): read and checked before anything runs, then loaded to predict.

The format is that of Facebook's library, version 12 (fastText 0.1.0 of 2017 and later): `Args::load`,
`Dictionary::load`, `Matrix::load` and `QMatrix::load` there. The library itself trusts its input: a file that
ends early loads as noise. So sizes are followed here from the first byte to the last.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeAlias

from curate.errors import RecipeError

_MAGIC, _VERSION, _SUPERVISED = 793712314, 12, 3
_PREFIX = "__label__"
_KSUB = 256  # centroids of a product quantiser
# Some 130 MB is the size of lid.176.bin; a classifier of 2 GB would not be worth its memory in each worker.
_LARGEST = 2 << 30
_LONGEST_ENTRY = 4096  # bytes of a word or label
_MOST_ENTRIES = 50_000_000

# (label without prefix, probability) of the likeliest labels, best first.
Ranked: TypeAlias = list[tuple[str, float]]


class Model(NamedTuple):
    """What a checked file is: where it lies, its SHA-256, its labels in their order within the file."""

    path: str
    digest: str
    labels: tuple[str, ...]


def checked(path: str | Path, field: str = "model") -> Model:
    """The model in a file; RecipeError at `field` where it is none that can predict."""
    try:
        status = Path(path).stat()
    except (OSError, ValueError) as error:
        raise RecipeError(
            field, f"cannot read {path}: {getattr(error, 'strerror', None) or error}"
        ) from error
    return _checked(str(path), field, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=16)
def _checked(path: str, field: str, size: int, changed: int) -> Model:
    """By size and time of the file: plans ask for the same file again and again."""
    if size > _LARGEST:
        raise RecipeError(field, f"{path} has {size:,} bytes: a fastText model has {_LARGEST:,} at most")
    try:
        with open(path, "rb") as file:
            labels = _labels(file, size)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise RecipeError(field, f"cannot read {path}: {error.strerror}") from error
    except _Unfit as error:
        raise RecipeError(
            field, f"{path} {error}", "a model file of fastText ends in .bin or .ftz"
        ) from error
    return Model(path, digest, labels)


class _Unfit(Exception):
    """Not a model that can be used; the message goes on after the path."""


def _read(file: BinaryIO, form: str) -> tuple[int | float, ...]:
    form = "<" + form
    data = file.read(struct.calcsize(form))
    if len(data) < struct.calcsize(form):
        raise _Unfit("ends too early: the file is not whole")
    return struct.unpack(form, data)


def _labels(file: BinaryIO, size: int) -> tuple[str, ...]:
    if size < 8 or _read(file, "i")[0] != _MAGIC:
        raise _Unfit("is not a fastText model")
    (version,) = _read(file, "i")
    if version != _VERSION:
        raise _Unfit(f"is a fastText model of version {version}; only {_VERSION} can be read")
    arguments = _read(file, "12i")
    _read(file, "d")
    if arguments[7] != _SUPERVISED:
        raise _Unfit("holds word vectors, not a classifier (`fasttext supervised` makes one)")
    entries, _, count, _, pruned = _read(file, "3i2q")
    if not 0 < count <= entries <= min(_MOST_ENTRIES, size):
        raise _Unfit("has no labels" if not count else "has a broken dictionary")
    labels = [word for word, kind in (_entry(file) for _ in range(int(entries))) if kind == 1]
    if len(labels) != count:
        raise _Unfit("has a broken dictionary")
    _past(file, 8 * max(0, int(pruned)))
    (quantised,) = _read(file, "?")
    _skip_matrix(file, bool(quantised))
    (output_quantised,) = _read(file, "?")
    _skip_matrix(file, bool(quantised and output_quantised))
    if file.tell() != size:
        raise _Unfit(
            "ends too early: the file is not whole" if file.tell() > size else "has more than a model"
        )
    return tuple(label.removeprefix(_PREFIX) for label in labels)


def _entry(file: BinaryIO) -> tuple[str, int]:
    word = bytearray()
    while (byte := file.read(1)) != b"\0":
        if not byte or len(word) > _LONGEST_ENTRY:
            raise _Unfit("has a broken dictionary")
        word += byte
    _, kind = _read(file, "qb")
    return word.decode("utf-8", "replace"), int(kind)


def _skip_matrix(file: BinaryIO, quantised: bool) -> None:
    """Past a matrix, which `tell` then shows; a place behind the file's end is told by the caller."""
    if not quantised:
        rows, columns = _read(file, "2q")
        _past(file, 4 * int(rows) * int(columns))
        return
    by_norm, rows, _, codes = _read(file, "?2qi")
    _past(file, int(codes))
    _skip_quantiser(file)
    if by_norm:
        _past(file, int(rows))
        _skip_quantiser(file)


def _skip_quantiser(file: BinaryIO) -> None:
    width, _, _, _ = _read(file, "4i")
    _past(file, 4 * int(width) * _KSUB)


def _past(file: BinaryIO, count: int) -> None:
    if not 0 <= count <= _LARGEST:
        raise _Unfit("is broken: one of its parts has an impossible size")
    file.seek(count, 1)


def shipped(package: str, *parts: str) -> Path:
    """A file that an installed package brings along, found without importing the package."""
    found = find_spec(package)
    places = list(found.submodule_search_locations or ()) if found else []
    if not places:
        raise RecipeError("model", f"the package {package} is not installed, which brings {parts[-1]}")
    return Path(places[0], *parts)


def predictor(model: Model, count: int) -> Callable[[str], Ranked]:
    """On the worker: load the model, return the function from a text to its `count` likeliest labels.

    A text is one line for fastText: line ends become spaces. Probabilities are cut to 0..1, for the library
    adds 1e-5 to each.
    """
    import fasttext  # of fasttext-predict; the original's `predict` fails under numpy 2

    loaded = fasttext.load_model(model.path)
    names = {f"{_PREFIX}{label}": label for label in model.labels}

    def predict(text: str) -> Ranked:
        labels, shares = loaded.predict(text.replace("\n", " "), k=count)
        return [(names.get(label, label), min(1.0, p)) for label, p in zip(labels, shares, strict=True)]

    return predict
