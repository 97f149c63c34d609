"""How far the reduced decode moves what an encoder says, against full decoding and the official transform."""

from __future__ import annotations

import io

import numpy as np
import pytest
from collections_of_debian import DRAWINGS, STAMPS, need
from PIL import Image
from tiny_encoders import TEXTS, waves

from curate.pixels import Decode, Pixels, decode
from stages.common.encoder_open_clip import _parts
from stages.common.encoder_resize import Resize
from stages.common.encoder_torch import TorchTowers
from stages.common.open_clip_source import resolve

pytestmark = pytest.mark.usefixtures("torchvision")


@pytest.fixture(scope="module")
def towers() -> TorchTowers:
    """ViT-B-32 as it is before training: its real depth and width."""
    import open_clip
    import torch

    torch.manual_seed(0)
    model = open_clip.create_model("ViT-B-32").eval()
    return TorchTowers(_parts(model, resolve("ViT-B-32", "openai")), torch.device("cpu"), torch.float32)


def change(towers: TorchTowers, files: list[bytes]) -> tuple[float, float]:
    """The largest 1 - cosine of an image with itself, and change of a cosine with a text."""
    from open_clip import SimpleTokenizer

    pairs = [(decode(f, Decode(), full=True), decode(f, Decode(short_side=256))) for f in files]
    known = [(a.data, b.data) for a, b in pairs if isinstance(a, Pixels) and isinstance(b, Pixels)]
    assert all(min(b.shape[:2]) >= 256 and b.size < a.size for a, b in known)
    resize = Resize(224)
    full, reduced = (towers.images(np.stack([resize(pair[i]) for pair in known])) for i in (0, 1))
    texts = towers.texts({"tokens": SimpleTokenizer()(TEXTS).numpy()})
    apart = 1 - (full * reduced).sum(1)
    return float(apart.max()), float(np.abs((full - reduced) @ texts.T).max())


def test_large_jpeg_files(towers: TorchTowers) -> None:
    files = []
    for i, size in enumerate([(600, 800), (1100, 1024), (2100, 1500), (520, 4000)]):
        out = io.BytesIO()
        Image.fromarray(waves(*size, i)).save(out, "JPEG", quality=88)
        files.append(out.getvalue())
    apart, score = change(towers, files)
    assert apart < 1e-3
    assert score < 5e-3


@pytest.mark.real
def test_stamps_and_drawings(towers: TorchTowers) -> None:
    need("tuxpaint", "openclipart-png")
    files = []
    for root, step in ((STAMPS, 1), (DRAWINGS, 40)):
        headers = {path: path.read_bytes()[:24] for path in sorted(root.rglob("*.png"))[::step]}
        shorts = {p: min(int.from_bytes(h[i : i + 4]) for i in (16, 20)) for p, h in headers.items()}
        files += [path.read_bytes() for path, short in shorts.items() if 512 <= short <= 4000][:12]
    assert len(files) >= 15
    apart, score = change(towers, files)
    assert apart < 2e-3
    assert score < 5e-3
