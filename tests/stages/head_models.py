"""The published heads in torch, with random weights: written from their architecture, not their code."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn


def linear(width: int = 768) -> nn.Module:
    """LAION's aesthetic predictor: ViT-L/14 768, ViT-B/32 512."""
    return _drawn(nn.Linear(width, 1))


class _Layers(nn.Module):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.layers(rows)  # type: ignore[no-any-return]


def improved(width: int = 768) -> nn.Module:
    """Improved aesthetic predictor: layers.0, 2, 4, 6 and 7."""
    return _drawn(
        _Layers(
            nn.Linear(width, 1024),
            nn.Dropout(0.2),
            nn.Linear(1024, 128),
            nn.Dropout(0.2),
            nn.Linear(128, 64),
            nn.Dropout(0.1),
            nn.Linear(64, 16),
            nn.Linear(16, 1),
        )
    )


def h14_nsfw() -> nn.Module:
    """LAION's NSFW detector for ViT-H/14: layers.0, 3, 6, 9, 12, 15 and, at once behind it, 16."""
    widths = (1024, 1024, 2048, 1024, 256, 128)
    hidden = [
        layer
        for taken, given in pairwise(widths)
        for layer in (nn.Linear(taken, given), nn.ReLU(), nn.Dropout(0.2))
    ]
    return _drawn(_Layers(*hidden, nn.Linear(128, 16), nn.Linear(16, 1)))


class _Scaled(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))


class L14Nsfw(nn.Module):
    """The same for ViT-L/14, as it was brought over from Keras."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = _Scaled(768)
        self.linear_1 = nn.Linear(768, 64)
        self.linear_2 = nn.Linear(64, 512)
        self.linear_3 = nn.Linear(512, 256)
        self.linear_4 = nn.Linear(256, 1)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        rows = (rows - self.norm.mean) / torch.sqrt(self.norm.variance)  # type: ignore[operator,arg-type]
        for layer in (self.linear_1, self.linear_2, self.linear_3):
            rows = torch.relu(layer(rows))
        return torch.sigmoid(self.linear_4(rows))


def l14_nsfw() -> nn.Module:
    return _drawn(L14Nsfw())


def _drawn(model: nn.Module) -> nn.Module:
    """Random weights that let something of the input through to the end."""
    generator = torch.Generator().manual_seed(7)
    for name, tensor in model.state_dict().items():
        noise = torch.randn(tensor.shape, generator=generator)
        if name.endswith("variance"):
            tensor.copy_(noise.abs() + 0.05)
        else:
            tensor.copy_(noise * (1.5 / tensor.shape[-1] ** 0.5))
    return model.eval()


def told(model: nn.Module, rows: npt.NDArray[np.float16]) -> list[float]:
    """What it gives, run as its authors do: in float32, on normalised embeddings."""
    with torch.inference_mode():
        found = model(nn.functional.normalize(torch.from_numpy(rows.astype(np.float32)), dim=-1))
    return [float(value) for value in found.reshape(-1)]


def saved(model: nn.Module, path: Path) -> Path:
    """Its state dict in the form that the suffix names."""
    state = model.state_dict()
    if path.suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file(state, str(path), metadata={"format": "pt"})
    elif path.suffix == ".npz":
        np.savez(path, **{name: tensor.numpy() for name, tensor in state.items()})
    elif path.suffix == ".onnx":
        width = next(t for t in state.values() if t.ndim == 2).shape[1]
        torch.onnx.export(
            model,
            (torch.zeros(2, width),),
            str(path),
            dynamo=False,
            input_names=["x"],
            dynamic_axes={"x": {0: "n"}},
        )
    else:
        torch.save(state, path)
    return path
