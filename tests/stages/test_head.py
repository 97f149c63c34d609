from __future__ import annotations

import json
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import head_models
import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from curate.errors import RecipeError
from stages.common import torch_file
from stages.image.head import Head

COLUMN = "image_clip_embedding"


def rows(count: int, width: int, seed: int = 0) -> np.ndarray:
    """Embeddings as a column holds them: of unit length but for the rounding to float16."""
    made = np.random.default_rng(seed).normal(size=(count, width))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float16)


def table(embeddings: np.ndarray, absent: list[int] | None = None) -> pa.Table:
    mask = np.isin(np.arange(len(embeddings)), absent or [])
    flat = pa.array(embeddings.reshape(-1))
    width = embeddings.shape[1]
    return pa.table({COLUMN: pa.FixedSizeListArray.from_arrays(flat, width, mask=pa.array(mask))})


def scores(stage: Head, given: pa.Table) -> list[float | None]:
    stage.check_columns(given.schema)
    out = stage.open()(given)
    assert out.drop is None
    (column,) = out.columns.values()
    assert column.type == pa.float32()
    return list(column.to_pylist())


PUBLISHED: list[tuple[Callable[[], nn.Module], int, dict[str, Any]]] = [
    (head_models.linear, 768, {}),
    (lambda: head_models.linear(512), 512, {}),
    (head_models.improved, 768, {}),
    (head_models.h14_nsfw, 1024, {"activation": "relu"}),
    (head_models.l14_nsfw, 768, {"activation": "relu", "output": "sigmoid"}),
]


@pytest.mark.parametrize(
    ("made", "width", "config"), PUBLISHED, ids=["linear", "linear512", "improved", "h14", "l14"]
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".npz"])
def test_published_heads_score_as_their_own_modules(
    tmp_path: Path, made: Callable[[], nn.Module], width: int, config: dict[str, Any], suffix: str
) -> None:
    model = made()
    path = head_models.saved(model, tmp_path / f"head{suffix}")
    given = rows(50, width)
    expected = head_models.told(model, given)
    assert np.std(expected) > 1e-3, "the random weights tell embeddings apart"
    assert scores(Head(name="a", weights=str(path), **config), table(given)) == pytest.approx(
        expected, abs=1e-5, rel=1e-5
    )


def test_onnx_scores_as_the_module(tmp_path: Path) -> None:
    model = head_models.l14_nsfw()
    path = head_models.saved(model, tmp_path / "head.onnx")
    given = rows(20, 768)
    found = scores(Head(name="nsfw", weights=str(path)), table(given))
    assert found == pytest.approx(head_models.told(model, given), abs=1e-5)
    with pytest.raises(TypeError, match="768 numbers, not of 512"):
        scores(Head(name="nsfw", weights=str(path)), table(rows(2, 512)))


@pytest.mark.parametrize("activation", ["none", "relu", "gelu"])
@pytest.mark.parametrize("output", ["raw", "sigmoid", "softmax_last"])
def test_activations_and_outputs(tmp_path: Path, activation: str, output: str) -> None:
    torch.manual_seed(0)
    between = {"none": nn.Identity, "relu": nn.ReLU, "gelu": nn.GELU}[activation]
    outputs = 3 if output == "softmax_last" else 1
    model = nn.Sequential(nn.Linear(8, 16), between(), nn.Linear(16, outputs)).eval()
    path = head_models.saved(model, tmp_path / "own.safetensors")
    given = rows(30, 8)
    with torch.inference_mode():
        found = model(nn.functional.normalize(torch.from_numpy(given.astype(np.float32)), dim=-1))
    expected = {
        "raw": lambda: found[:, 0],
        "sigmoid": lambda: torch.sigmoid(found[:, 0]),
        "softmax_last": lambda: torch.softmax(found, dim=1)[:, -1],
    }[output]()
    stage = Head(name="own", weights=str(path), activation=activation, output=output)
    assert scores(stage, table(given)) == pytest.approx(expected.tolist(), abs=1e-6)


def test_length_does_not_count(tmp_path: Path) -> None:
    path = head_models.saved(head_models.linear(16), tmp_path / "a.pth")
    stage = Head(name="a", weights=str(path))
    given = rows(20, 16)
    assert scores(stage, table(given * np.float16(4))) == pytest.approx(scores(stage, table(given)))


def test_no_embedding_no_score(tmp_path: Path) -> None:
    path = head_models.saved(head_models.linear(16), tmp_path / "a.pth")
    stage = Head(name="a", weights=str(path))
    given = rows(5, 16)
    found = scores(stage, table(given, absent=[1, 4]))
    assert [value is None for value in found] == [False, True, False, False, True]
    assert scores(stage, table(given[:0])) == []
    assert scores(stage, table(given[:1], absent=[0])) == [None]


def test_a_row_is_judged_alone(tmp_path: Path) -> None:
    path = head_models.saved(head_models.improved(), tmp_path / "a.pth")
    stage = Head(name="a", weights=str(path))
    given = rows(97, 768)
    whole = scores(stage, table(given))
    assert [scores(stage, table(given[i : i + 1]))[0] for i in range(97)] == whole


# -- files --


def refusal(path: Path, width: int = 8, **config: Any) -> str:
    with pytest.raises(RecipeError) as raised:
        Head(name="a", weights=str(path), **config).check_columns(table(rows(1, width)).schema)
    assert str(path.name) in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".npz"])
def test_the_wrong_width_is_told_at_plan_time(tmp_path: Path, suffix: str) -> None:
    path = head_models.saved(head_models.linear(768), tmp_path / f"a{suffix}")
    why = refusal(path, 512)
    assert "768" in why
    assert "512" in why


def test_outputs_and_output_agree(tmp_path: Path) -> None:
    one = head_models.saved(nn.Linear(8, 1), tmp_path / "one.pth")
    two = head_models.saved(nn.Linear(8, 2), tmp_path / "two.pth")
    assert "gives 1 values" in refusal(one, output="softmax_last")
    assert "gives 2 values" in refusal(two)


def test_the_weights_are_what_counts_not_where_they_lie(tmp_path: Path) -> None:
    path = head_models.saved(head_models.linear(8), tmp_path / "a.pth")
    copy = tmp_path / "copy.pth"
    copy.write_bytes(path.read_bytes())
    one, same = (Head(name="a", weights=str(p)) for p in (path, copy))
    assert one.identity() == same.identity()
    head_models.saved(nn.Linear(8, 1), copy)
    assert one.identity() != same.identity()


def test_only_chains_of_linear_layers(tmp_path: Path) -> None:
    def why(model: nn.Module) -> str:
        return refusal(head_models.saved(model, tmp_path / "odd.pth"))

    assert "no Linear layer" in why(nn.Sequential(nn.Linear(8, 4), nn.LayerNorm(4), nn.Linear(4, 1)))
    assert "no Linear layer" in why(nn.Conv1d(8, 4, 3))
    assert "takes 5" in why(nn.Sequential(nn.Linear(8, 4), nn.Linear(5, 1)))
    broken = nn.Linear(8, 1)
    broken.weight.data[0, 0] = float("nan")
    assert "not finite" in why(broken)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".npz"])
def test_a_file_cut_short_is_refused(tmp_path: Path, suffix: str) -> None:
    data = head_models.saved(head_models.linear(8), tmp_path / f"whole{suffix}").read_bytes()
    for size in {0, 1, 8, len(data) // 3, len(data) // 2, len(data) - 1}:
        path = tmp_path / f"cut{size}{suffix}"
        path.write_bytes(data[:size])
        refusal(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none.pth")
    (tmp_path / "model.h5").write_bytes(b"\x89HDF")
    assert "forms" in refusal(tmp_path / "model.h5")
    path = head_models.saved(head_models.linear(8), tmp_path / "a.pth")
    with pytest.raises(RecipeError, match="no embedding"):
        Head(name="a", weights=str(path)).check_columns(pa.schema([(COLUMN, pa.list_(pa.float32()))]))


# -- reading torch's files without torch --


def same(path: Path) -> None:
    """As torch reads it, dictionaries of tensors within or not."""
    expected = torch.load(path, weights_only=True)
    expected = expected.get("state_dict", expected)
    found = torch_file.read(path)
    floats = {name: t for name, t in expected.items() if torch.is_tensor(t) and t.is_floating_point()}
    assert list(found) == list(floats)
    for name, tensor in floats.items():
        assert found[name].tolist() == tensor.float().tolist()


def test_any_state_dict_reads_as_in_torch(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    tied = nn.Linear(3, 3)
    for state in (
        tied.state_dict(),
        {"a.weight": base, "a.bias": base[0], "b.weight": base.T, "c.weight": base[1:3, ::2]},
        {"h": base.half(), "b": base.bfloat16(), "d": base.double(), "n": torch.tensor(3), "e": base[:0]},
        {"state_dict": OrderedDict(a=nn.Parameter(base)), "epoch": 3, "loss": 0.5, "best": True, "by": None},
        {
            "state_dict": {"a": base},
            "optimizer": {"state": {0: {"step": base[0, 0]}}, "groups": [{"lr": 1.0}]},
        },
        nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).state_dict(),
    ):
        torch.save(state, path)
        same(path)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("called",))


@pytest.mark.parametrize("content", [Evil(), {"a": Evil()}, nn.Linear(2, 1), [1, 2], {"a": 1}, "text"])
def test_nothing_else_is_read_and_nothing_is_called(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: Any
) -> None:
    torch.save(content, tmp_path / "evil.pth")
    refusal(tmp_path / "evil.pth")
    assert capsys.readouterr().out == ""


def test_a_tensor_outside_of_its_storage_is_refused(tmp_path: Path) -> None:
    """A view of memory that is not the file's would be noise, or a crash."""
    path = tmp_path / "a.safetensors"
    header = json.dumps({"weight": {"dtype": "F32", "shape": [1, 8], "data_offsets": [0, 32]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(16))
    assert "not whole" in refusal(path)
    torch.save({"weight": torch.zeros(1, 8)}, tmp_path / "a.pth")
    with zipfile.ZipFile(tmp_path / "a.pth") as old, zipfile.ZipFile(tmp_path / "b.pth", "w") as new:
        for item in old.infolist():
            data = old.read(item)
            new.writestr(item.filename, data[:8] if item.filename.endswith("data/0") else data)
    assert "outside" in refusal(tmp_path / "b.pth")
