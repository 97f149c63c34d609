"""A torch for the CPU beside a torchvision for CUDA, in a process of its own.

What a wheel for CUDA does there is to fail when its library is loaded, and that alone is brought about here.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

WITHOUT_CUDA = """
import torch
load = torch.ops.load_library

def without_cuda(path):
    if "torchvision" in str(path):
        raise OSError("libcudart.so.13: cannot open shared object file")
    load(path)

torch.ops.load_library = without_cuda
"""
USE = """
import open_clip
from PIL import Image
from torchvision.transforms import CenterCrop, Resize
assert CenterCrop(4)(Resize(8)(Image.new("RGB", (20, 30)))).size == (4, 4)
assert open_clip.SimpleTokenizer()(["a dog"]).shape == (1, 77)
"""
CURE = "from stages.common.torchvision_cure import cure_torchvision\ncure_torchvision()\ncure_torchvision()\n"


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_open_clip_is_imported_where_it_would_fail() -> None:
    assert "operator torchvision::nms does not exist" in run(WITHOUT_CUDA + USE).stderr
    cured = run(WITHOUT_CUDA + CURE + USE)
    assert cured.returncode == 0, cured.stderr


def test_what_is_whole_is_left_alone() -> None:
    if run("import torchvision").returncode:
        pytest.skip("this torchvision is not whole")
    code = "import torch, torchvision\nassert torchvision.extension._has_ops()\n"
    code += "boxes = torch.tensor([[0., 0., 1., 1.]])\n"
    code += "assert torchvision.ops.nms(boxes, torch.ones(1), 0.5).tolist() == [0]\n"
    done = run(CURE + code)
    assert done.returncode == 0, done.stderr
