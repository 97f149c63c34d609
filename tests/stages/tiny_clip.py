"""A CLIP of two small layers in a folder, as open_clip saves one, with random weights."""

from __future__ import annotations

import json
from pathlib import Path

SIDE, DIM = 64, 32
CONFIG = {
    "model_cfg": {
        "embed_dim": DIM,
        "vision_cfg": {"image_size": SIDE, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
    },
    "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.3, 0.3, 0.3]},
}


def write(folder: Path, seed: int = 0) -> str:
    """Write the model; returns what a recipe's `model` says."""
    import torch
    from open_clip.model import CLIP
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps(CONFIG))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        save_file(CLIP(**CONFIG["model_cfg"]).state_dict(), folder / "open_clip_model.safetensors")
    return f"local-dir:{folder}"
