"""Small networks on embeddings (linear probes, MLPs): read from files, and computed by numpy alone."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from curate.errors import RecipeError, RunError
from stages.common import torch_file
from stages.common.torch_file import Arrays, Unfit

Activation: TypeAlias = Literal["none", "relu", "gelu"]
Output: TypeAlias = Literal["raw", "sigmoid", "softmax_last"]
Doubles: TypeAlias = npt.NDArray[np.float64]

SUFFIXES = (".safetensors", ".npz", ".pth", ".pt", ".onnx")
# A head has some megabytes; each worker holds it in float64.
_LARGEST = 256 << 20
_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_ONNX_TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}
_HINT = "a head is a chain of Linear layers: `<name>.weight` (out, in) and `<name>.bias` (out)"


class Layer(NamedTuple):
    """One `Linear`: x @ weight.T + bias."""

    weight: Doubles  # (out, in)
    bias: Doubles  # (out,)
    joined: bool  # to the next one, without an activation between


def layers(path: Path, field: str) -> tuple[Layer, ...]:
    """The network of a file, first layer first; RecipeError at `field` where it holds none."""
    try:
        status = path.stat()
        if status.st_size > _LARGEST:
            raise RecipeError(field, f"{path} has {status.st_size:,} bytes: a head has some millions")
        return _layers(str(path), field, status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise RecipeError(field, f"cannot read {path}: {error.strerror or error}") from error


@lru_cache(maxsize=16)
def _layers(path: str, field: str, size: int, changed: int) -> tuple[Layer, ...]:
    """By size and time of the file: plans ask for the same file again and again."""
    read = {".safetensors": _safetensors, ".npz": _npz}.get(Path(path).suffix, torch_file.read)
    try:
        return _chain(read(Path(path)))
    except Unfit as error:
        raise RecipeError(field, f"{path} {error}", _HINT) from error


def _chain(arrays: Arrays) -> tuple[Layer, ...]:
    """Layers in the order of the numbers in their names: `layers.10` comes behind `layers.2`."""
    groups: dict[str, Arrays] = {}
    for key, array in arrays.items():
        name, _, own = key.rpartition(".")
        groups.setdefault(name, {})[own] = array
    scales = [name for name, group in groups.items() if set(group) == {"mean", "variance"}]
    scale = groups.pop(scales[0]) if len(scales) == 1 else None
    names = sorted(groups, key=_natural)
    found: list[Layer] = []
    for name, following in zip(names, [*names[1:], ""], strict=True):
        weight, bias = _linear(name, groups[name])
        if found and weight.shape[1] != len(found[-1].weight):
            raise Unfit(f"gives {len(found[-1].weight)} values to `{name}`, which takes {weight.shape[1]}")
        found.append(Layer(weight, bias, _adjoining(name, following)))
    if not found:
        raise Unfit("holds no layers")
    if scale is not None:
        found[0] = _scaled(found[0], *(scale[key].astype(np.float64) for key in ("mean", "variance")))
    return tuple(found)


def _linear(name: str, group: Arrays) -> tuple[Doubles, Doubles]:
    weight = group.get("weight")
    if weight is None or weight.ndim != 2 or not set(group) <= {"weight", "bias"}:
        raise Unfit(f"holds `{name}` with {', '.join(sorted(group))}, which is no Linear layer")
    bias = group.get("bias", np.zeros(len(weight), np.float32))
    if bias.shape != (len(weight),):
        raise Unfit(f"has {len(weight)} outputs and {bias.size} biases in `{name}`")
    if not (weight.size and np.isfinite(weight).all() and np.isfinite(bias).all()):
        raise Unfit(f"holds numbers in `{name}` that are not finite")
    return weight.astype(np.float64), bias.astype(np.float64)


def _scaled(first: Layer, mean: Doubles, variance: Doubles) -> Layer:
    """Behind (x - mean) / sqrt(variance), which Keras calls Normalization."""
    if mean.shape != variance.shape or mean.shape != first.weight.shape[1:] or not (variance > 0).all():
        raise Unfit("holds a mean and a variance that do not fit its first layer")
    weight = first.weight / np.sqrt(variance)
    return Layer(weight, first.bias - weight @ mean, first.joined)


def _adjoining(name: str, following: str) -> bool:
    """Whether two stand side by side in a Sequential (layers.15, layers.16): nothing is between them."""
    (root, _, number), (other, _, next_) = name.rpartition("."), following.rpartition(".")
    return root == other and number.isdecimal() and next_.isdecimal() and int(next_) == int(number) + 1


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _npz(path: Path) -> Arrays:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: np.asarray(archive[name], dtype=np.float32) for name in archive.files}
    except (ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise Unfit(f"is no .npz of numbers ({error})") from error


def _safetensors(path: Path) -> Arrays:
    """github.com/huggingface/safetensors: 8 bytes with the header's length, JSON, the numbers."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    if len(data) < 8 or start > len(data):
        raise Unfit("is not whole")
    try:
        header = json.loads(data[8:start])
        return {name: _tensor(data, start, entry) for name, entry in header.items() if name != "__metadata__"}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unfit(f"has a broken header ({error})") from error


def _tensor(data: bytes, start: int, entry: Mapping[str, Any]) -> npt.NDArray[np.float32]:
    kind = entry["dtype"]
    if kind not in _TYPES:
        raise Unfit(f"holds tensors of {kind}")
    first, end = entry["data_offsets"]
    if not 0 <= first <= end <= len(data) - start:
        raise Unfit("is not whole")
    values = np.frombuffer(data[start + first : start + end], dtype=_TYPES[kind]).reshape(entry["shape"])
    return torch_file.widened(values) if kind == "BF16" else values.astype(np.float32)


def network(found: tuple[Layer, ...], activation: Activation, output: Output) -> Callable[[Doubles], Doubles]:
    """The function from embeddings (n, in) to a score each, (n,).

    In float64: how BLAS orders its sums depends on n, and does not show in a float32.
    """
    between = _ACTIVATIONS[activation]

    def run(rows: Doubles) -> Doubles:
        for number, layer in enumerate(found):
            rows = rows @ layer.weight.T + layer.bias
            if number < len(found) - 1 and not layer.joined:
                rows = between(rows)
        return scores(rows, output)

    return run


def scores(rows: Doubles, output: Output) -> Doubles:
    """(n, outputs) to (n,)."""
    if output == "raw":
        return rows[:, 0]
    # a sigmoid is the softmax of 0 and the value
    pairs = np.pad(rows, ((0, 0), (1, 0))) if output == "sigmoid" else rows
    shares = np.exp(pairs - pairs.max(axis=1, keepdims=True))
    last: Doubles = shares[:, -1] / shares.sum(axis=1)
    return last


def onnx(path: Path, output: Output) -> Callable[[Doubles], Doubles]:
    """The same of a model in ONNX, from (n, in) to (n, outputs).

    One row at a time: kernels for one row and for several round differently, and some models take one only.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    given, *more = session.get_inputs()
    width = given.shape[-1]
    if more or given.type not in _ONNX_TYPES:
        raise RunError(
            f"{path} takes {len(more) + 1} inputs, the first {given.type}: a head takes embeddings"
        )

    def run(rows: Doubles) -> Doubles:
        if isinstance(width, int) and width != rows.shape[1]:
            # stops the run: no row is to blame
            raise TypeError(f"{path} takes embeddings of {width} numbers, not of {rows.shape[1]}")
        typed = rows.astype(_ONNX_TYPES[given.type])
        found = [session.run(None, {given.name: row[None]})[0].reshape(1, -1) for row in typed]
        outputs = np.concatenate(found).astype(np.float64)
        if (outputs.shape[1] == 1) == (output == "softmax_last"):
            raise TypeError(f"{path} gives {outputs.shape[1]} values: {output} does not fit that")
        return scores(outputs, output)

    return run


def _gelu(rows: Doubles) -> Doubles:
    from scipy.special import erf

    done: Doubles = 0.5 * rows * (1 + erf(rows / np.sqrt(2)))
    return done


_ACTIVATIONS: dict[Activation, Callable[[Doubles], Doubles]] = {
    "none": lambda rows: rows,
    "relu": lambda rows: np.maximum(rows, 0),
    "gelu": _gelu,
}
