"""torchvision built for CUDA beside a torch without: made importable.

Its compiled part then misses CUDA libraries, is not loaded, and the import ends in `operator
torchvision::nms does not exist`: torchvision registers shapes for operators that nothing has declared.
Declared as empty names, they let the import pass. The operators themselves stay unavailable; transforms are
pure torch and Pillow.
"""

from __future__ import annotations

import importlib
import sys
import threading
from typing import Any

_MISSING = "operator torchvision::"
# The operators that torchvision/_meta_registrations.py registers for without asking whether they exist.
_DECLARED = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_LOCK = threading.Lock()
_kept: list[Any] = []  # what is declared goes when its library object does


def cure_torchvision() -> None:
    """Import torchvision, where it is installed; to be called before what imports it (open_clip, timm)."""
    with _LOCK:
        try:
            importlib.import_module("torchvision")
        except ModuleNotFoundError as absent:
            if absent.name != "torchvision":
                raise
        except RuntimeError as failure:
            if _MISSING not in str(failure) or _kept:
                raise
            _declare()
            importlib.import_module("torchvision")


def _declare() -> None:
    import torch

    for name in [n for n in sys.modules if n == "torchvision" or n.startswith("torchvision.")]:
        del sys.modules[name]
    new: Any = torch.library.Library  # untyped
    library = new("torchvision", "FRAGMENT")
    for schema in _DECLARED:
        library.define(schema)
    _kept.append(library)
