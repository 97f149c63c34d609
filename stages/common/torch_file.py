"""The tensors of a file that `torch.save` wrote, without torch and without unpickling.

Such a file is a zip: `data.pkl` says which tensor lies where in `data/<number>`. Its operations are followed
here one by one, and whatever a dictionary of tensors does not need is refused: nothing of it is ever called.
"""

from __future__ import annotations

import pickletools
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Arrays: TypeAlias = dict[str, npt.NDArray[np.float32]]

_WIDTHS = {"FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "BFloat16Storage": "<u2"}
_MORE = "holds more than tensors: save the model's `state_dict()`"
_EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_DICT": dict, "EMPTY_TUPLE": tuple, "EMPTY_LIST": list}
_PLAIN = {"NEWTRUE": True, "NEWFALSE": False, "NONE": None}
_PUSHED = {"BINUNICODE", "SHORT_BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"}
_LARGEST = 1 << 30  # bytes of one storage
_LONGEST = 16 << 20  # bytes of the description


class Unfit(Exception):
    """Not a file of tensors that can be read; the message goes on after the path."""


class _Name(NamedTuple):
    """Something of Python's that a pickle would import."""

    name: str


class _Storage(NamedTuple):
    kind: str
    key: str


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read(path: Path) -> Arrays:
    """Tensors of floats by name, in their order; those of a checkpoint's `state_dict` where it has one."""
    try:
        with zipfile.ZipFile(path) as archive:
            places = [name for name in archive.namelist() if name.endswith("data.pkl")]
            if len(places) != 1:
                raise Unfit("is no file of `torch.save`")
            if archive.getinfo(places[0]).file_size > _LONGEST:
                raise Unfit("describes more than a head could hold")
            found = _followed(archive.read(places[0]))
            root = places[0].removesuffix("data.pkl")
            order = f"{root}byteorder"
            if order in archive.namelist() and archive.read(order) != b"little":
                raise Unfit("was written on a big-endian machine")
            return {name: _array(tensor, archive, root) for name, tensor in _tensors(found).items()}
    except (zipfile.BadZipFile, KeyError, IndexError, ValueError, EOFError) as error:
        raise Unfit(f"is no whole file of `torch.save` ({error})") from error


def widened(halves: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
    """bfloat16, of which numpy knows nothing: the upper half of a float32."""
    return (halves.astype(np.uint32) << 16).view(np.float32)


def _tensors(found: Any) -> dict[str, _Tensor]:
    if isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
        found = found["state_dict"]
    if not isinstance(found, dict):
        raise Unfit("holds no dictionary of tensors: save the model's `state_dict()`")
    tensors = {name: value for name, value in found.items() if isinstance(value, _Tensor)}
    if not tensors:
        raise Unfit("holds no tensors: save the model's `state_dict()`")
    return tensors


def _array(tensor: _Tensor, archive: zipfile.ZipFile, root: str) -> npt.NDArray[np.float32]:
    place = f"{root}data/{tensor.storage.key}"
    if archive.getinfo(place).file_size > _LARGEST:
        raise Unfit("holds a tensor of more than 1 GiB")
    values = np.frombuffer(archive.read(place), dtype=_WIDTHS[tensor.storage.kind])
    last = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.strides, strict=True))
    if min(tensor.offset, *tensor.strides, *tensor.shape, 0) < 0 or last >= len(values):
        raise Unfit("is broken: a tensor lies outside of its storage")
    steps = tuple(step * values.itemsize for step in tensor.strides)
    view = np.lib.stride_tricks.as_strided(values[tensor.offset :], tensor.shape, steps, writeable=False)
    # as_strided has checked nothing, the lines above have
    return widened(view) if tensor.storage.kind == "BFloat16Storage" else view.astype(np.float32)


def _followed(program: bytes) -> Any:
    """What the pickle describes: dictionaries, tuples, plain values, and descriptions of tensors."""
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[Any, Any] = {}

    def since_mark() -> list[Any]:
        start = marks.pop()
        taken = stack[start:]
        del stack[start:]
        return taken

    for code, argument, _ in pickletools.genops(program):
        name = code.name
        if name in ("PROTO", "FRAME"):
            continue
        if name == "STOP":
            return stack.pop()
        if name == "MARK":
            marks.append(len(stack))
        elif name in _PUSHED:
            stack.append(argument)
        elif name in _PLAIN:
            stack.append(_PLAIN[name])
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name == "GLOBAL":
            stack.append(_Name(str(argument).replace(" ", ".")))
        elif name == "TUPLE":
            stack.append(tuple(since_mark()))
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            size = int(name[-1])
            stack[-size:] = [tuple(stack[-size:])]
        elif name in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "BINPERSID":
            stack.append(_storage(stack.pop()))
        elif name == "REDUCE":
            arguments = stack.pop()
            stack.append(_described(stack.pop(), arguments))
        elif name in ("APPEND", "APPENDS"):
            values = since_mark() if name == "APPENDS" else [stack.pop()]
            _a(list, stack[-1]).extend(values)
        elif name in ("SETITEM", "SETITEMS"):
            pairs = since_mark() if name == "SETITEMS" else [stack.pop(-2), stack.pop()]
            _a(dict, stack[-1]).update(zip(map(_key, pairs[::2]), pairs[1::2], strict=True))
        elif name == "BUILD":
            stack.pop()  # attributes, such as the _metadata of a state dict
            _a(dict, stack[-1])
        else:
            raise Unfit(_MORE)
    raise Unfit("is not whole")


def _a(kind: type[Any], value: Any) -> Any:
    if not isinstance(value, kind):
        raise Unfit(_MORE)
    return value


def _key(value: Any) -> str | int:
    """Of a dictionary: optimisers, which checkpoints hold beside the model, count theirs."""
    if not isinstance(value, str | int):
        raise Unfit(_MORE)
    return value


def _storage(described: Any) -> _Storage:
    match described:
        case ("storage", _Name(name), str(key), *_):
            return _Storage(name.removeprefix("torch."), key)
    raise Unfit(_MORE)


def _described(what: Any, arguments: Any) -> Any:
    match what, arguments:
        case _Name("collections.OrderedDict"), ():
            return {}
        case (
            _Name("torch._utils._rebuild_tensor_v2"),
            (_Storage() as storage, int(offset), tuple(shape), tuple(strides), *_),
        ) if all(isinstance(n, int) for n in (*shape, *strides)):
            tensor = _Tensor(storage, offset, shape, strides)
            # counters of batches are whole numbers, and no part of what is computed
            return tensor if storage.kind in _WIDTHS else None
        case _Name("torch._utils._rebuild_parameter"), (_Tensor() as tensor, *_):
            return tensor
    named = what.name if isinstance(what, _Name) else "something"
    raise Unfit(f"would call {named}, which is no part of a state dict")
