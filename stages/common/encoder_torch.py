"""What the encoders that torch computes have in common: precision, batches, and normalising on the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from curate.errors import RunError
from stages.common.encoder import Floats, Frame, Precision, Tokens

if TYPE_CHECKING:
    import torch

Ints: TypeAlias = npt.NDArray[np.int64]
Batch: TypeAlias = "dict[str, torch.Tensor]"

# Images of 224 x 224 at once, and texts. On a CPU more at once is no faster; a GPU of 24 GB holds this many
# for the largest models (5 billion parameters in bf16 leave 14 GB).
_IMAGES = {"cpu": 16, "cuda": 128}
_TEXTS = {"cpu": 16, "cuda": 256}


class Parts(NamedTuple):
    """A loaded model: what differs between libraries."""

    dim: int
    mean: Sequence[float]  # of channels, over 0..1
    std: Sequence[float]
    images: Callable[[torch.Tensor], torch.Tensor]  # normalised (n, 3, size, size) -> (n, dim)
    texts: Callable[[Batch], torch.Tensor]  # (n, width) each -> (n, dim)
    # Columns that decide a text's embedding; None where padding does too and must stay.
    lengths: Callable[[Tokens], Ints] | None


def precision_of(precision: Precision, gpu: bool) -> torch.dtype:
    """`auto`: fp32 on a CPU; on a GPU bf16 where its arithmetic is the hardware's, else fp16."""
    import torch

    if precision == "auto":
        if not gpu:
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def device_of(gpu: bool) -> torch.device:
    """RunError where a GPU was given that torch does not see."""
    import torch

    if gpu and not torch.cuda.is_available():
        raise RunError(
            f"a GPU is there, but torch {torch.__version__} cannot use it (no CUDA build, or an old driver). "
            "`needs: {gpus: 0}` runs the model on the CPU"
        )
    return torch.device("cuda" if gpu else "cpu")


class Inputs:
    """Arrays onto the device, pixels normalised there."""

    def __init__(
        self, mean: Sequence[float], std: Sequence[float], device: torch.device, dtype: torch.dtype
    ) -> None:
        import torch

        self._device = device
        self._dtype = dtype
        shape = (1, 3, 1, 1)
        self._mean = torch.tensor(mean, dtype=torch.float32, device=device).reshape(shape)
        self._std = torch.tensor(std, dtype=torch.float32, device=device).reshape(shape)

    def normalised(self, pixels: Frame) -> torch.Tensor:
        """As torchvision's `ToTensor` and `Normalize`, in float32 on the device; memory is channels-last."""
        batch = self.moved(pixels).permute(0, 3, 1, 2).float()
        return batch.div_(255).sub_(self._mean).div_(self._std).to(self._dtype)

    def moved(self, array: npt.NDArray[Any]) -> torch.Tensor:
        """The same numbers."""
        import torch

        # a view of an Arrow buffer is read-only, which torch warns of
        tensor = torch.from_numpy(np.require(array, requirements=["C", "W"]))
        if self._device.type == "cuda":
            return tensor.pin_memory().to(self._device, non_blocking=True)
        return tensor


class TorchTowers:
    """See `Towers`. Nothing is changed by a call: several threads may call at once."""

    def __init__(self, parts: Parts, device: torch.device, dtype: torch.dtype) -> None:
        self._parts = parts
        self._device = device
        self._inputs = Inputs(parts.mean, parts.std, device, dtype)

    def images(self, pixels: Frame) -> Floats:
        """Embeddings of (n, size, size, 3) uint8."""
        import torch

        side = max(1, pixels.shape[1])
        size = max(1, _IMAGES[self._device.type] * 224**2 // max(224**2, side**2))
        with torch.inference_mode():
            found = [
                self._unit(self._parts.images(self._inputs.normalised(pixels[rows])))
                for rows in _slices(len(pixels), size)
            ]
            return self._together(found)

    def texts(self, tokens: Tokens) -> Floats:
        """Embeddings of tokenised texts, the short ones among themselves where that saves padding."""
        import torch

        count = len(next(iter(tokens.values())))
        lengths = self._parts.lengths(tokens) if self._parts.lengths is not None and count else None
        order = np.arange(count) if lengths is None else np.argsort(lengths, kind="stable")
        with torch.inference_mode():
            found = []
            for rows in _slices(count, _TEXTS[self._device.type]):
                chosen = order[rows]
                width = None if lengths is None else int(lengths[chosen].max())
                batch = {name: self._inputs.moved(ids[chosen, :width]) for name, ids in tokens.items()}
                found.append(self._unit(self._parts.texts(batch)))
            sorted_ = self._together(found)
        result = np.empty_like(sorted_)
        result[order] = sorted_
        return result

    def _unit(self, embeddings: torch.Tensor) -> torch.Tensor:
        import torch

        return torch.nn.functional.normalize(embeddings.float(), dim=-1)

    def _together(self, found: list[torch.Tensor]) -> Floats:
        """On the host, in one copy: until here the device works without being waited for."""
        import torch

        if not found:
            return np.zeros((0, self._parts.dim), dtype=np.float32)
        return torch.cat(found).cpu().numpy()


def _slices(count: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, count, size))
