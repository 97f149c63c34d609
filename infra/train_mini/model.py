"""The encoder `mini` in torch: two towers into one space of 256 dimensions.

Image: a residual convolutional net at 96 pixels. Each cell of its last map, 6 x 6, says which of 39 things
and 11 colours it sees; training tells it (`scenes.cells_of`). The map is read by its mean and maximum, the
cells by their maximum, by place, and by pairs: the sum over cells of thing times colour (bilinear pooling,
Lin et al. 2015, arXiv 1504.07889), so that a red car and a blue bus are not a blue car and a red bus. Text:
each token is the sum of hashed features (a bag, as fastText has it), then two transformer layers, then the
mean over tokens.

Batch norm belongs to training; `fused` folds it into the convolutions, and that is what is exported.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

DIM, BUCKETS, TOKENS = 256, 16_384, 64
WIDTHS = (32, 96, 192)
TEXT_WIDTH, HEADS, LAYERS = 128, 4, 2
THINGS, LOOKS = 39, 11  # channels of the cells: what they learn is told by `scenes.cells_of`


class Conv(nn.Module):
    """Convolution, batch norm, ReLU where asked for."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, relu: bool = True) -> None:
        super().__init__()
        padding = (kernel - 1) // 2 if stride < kernel else 0
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(outputs)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x))
        return F.relu(x) if self.relu else x


class Residual(nn.Module):
    """Two convolutions around which the input goes."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = Conv(width, width, 3)
        self.second = Conv(width, width, 3, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(self.first(x)))


class ImageTower(nn.Module):
    """(n, 96, 96, 3) uint8 to (n, 256) of unit length."""

    def __init__(self) -> None:
        super().__init__()
        a, b, c = WIDTHS
        self.stem = Conv(3, a, 8, 4)  # 24 x 24
        self.layers = nn.Sequential(
            Conv(a, a, 3), Conv(a, b, 3, 2), Residual(b), Conv(b, c, 3, 2), Residual(c)
        )
        self.cells = nn.Conv2d(c, THINGS + LOOKS, 1)
        nn.init.constant_(self.cells.bias, -4.0)  # most are in few cells
        self.hidden = Dense(2 * c + (THINGS + LOOKS) * 37 + THINGS * LOOKS, 512)
        self.out = Dense(512, DIM)

    def map(self, pixels: Tensor) -> Tensor:
        """The last map: (n, 192, 6, 6)."""
        return self.layers(self.stem(pixels.permute(0, 3, 1, 2).float() / 64 - 2))  # type: ignore[no-any-return]

    def read(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """From the last map to the hidden layer, (n, 512), not negative; and the cells' logits."""
        logits = self.cells(x)
        cells = logits.sigmoid().flatten(2)
        pairs = cells[:, :THINGS] @ cells[:, THINGS:].transpose(1, 2)  # a red one and a car in the same cell
        read = (x.mean(dim=(2, 3)), x.amax(dim=(2, 3)), cells.amax(dim=2), cells.flatten(1), pairs.flatten(1))
        return F.relu(self.hidden(torch.cat(read, dim=1))), logits

    def forward(self, pixels: Tensor) -> Tensor:
        return unit(self.out(self.read(self.map(pixels))[0]))


class Dense(nn.Module):
    """x @ weight + bias: as nn.Linear, but its weight goes into ONNX as it is, under its name."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs) * inputs**-0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


class Layer(nn.Module):
    """A transformer layer, normalised before its parts."""

    def __init__(self) -> None:
        super().__init__()
        self.before = nn.LayerNorm(TEXT_WIDTH)
        self.qkv = Dense(TEXT_WIDTH, 3 * TEXT_WIDTH)
        self.join = Dense(TEXT_WIDTH, TEXT_WIDTH)
        self.between = nn.LayerNorm(TEXT_WIDTH)
        self.up = Dense(TEXT_WIDTH, 2 * TEXT_WIDTH)
        self.down = Dense(2 * TEXT_WIDTH, TEXT_WIDTH)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        batch, length, _ = x.shape
        heads = self.qkv(self.before(x)).view(batch, length, 3, HEADS, TEXT_WIDTH // HEADS)
        q, k, v = heads.permute(2, 0, 3, 1, 4).unbind(0)
        scores = q @ k.transpose(2, 3) * (TEXT_WIDTH // HEADS) ** -0.5
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None, None, :], -1e4)
        seen = (scores.softmax(dim=-1) @ v).transpose(1, 2).reshape(batch, length, TEXT_WIDTH)
        x = x + self.join(seen)
        return x + self.down(F.relu(self.up(self.between(x))))


class TextTower(nn.Module):
    """(n, length, 8) rows of the table to (n, 256) of unit length; without a mask, nothing is padding."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(BUCKETS, TEXT_WIDTH) * 0.5)
        with torch.no_grad():
            self.table[0] = 0
        self.position = nn.Parameter(torch.randn(TOKENS, TEXT_WIDTH) * 0.1)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(TEXT_WIDTH)
        self.out = Dense(TEXT_WIDTH, DIM)

    def embed(self, rows: Tensor) -> Tensor:
        """The sum of a token's features; row 0 is zero and stays so."""
        return F.embedding(rows, self.table, padding_idx=0).sum(dim=-2)

    def encode(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """From the tokens' sums."""
        x = x + self.position[: x.shape[1]]
        for layer in self.layers:
            x = layer(x, mask)
        if mask is None:
            x = x.mean(dim=1)
        else:
            x = (x * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
        return unit(self.out(self.norm(x)))

    def forward(self, rows: Tensor) -> Tensor:
        return self.encode(self.embed(rows))


def unit(x: Tensor) -> Tensor:
    """To length 1, in float32."""
    x = x.float()
    return x * torch.rsqrt((x * x).sum(dim=1, keepdim=True) + 1e-12)


def fused(tower: ImageTower) -> ImageTower:
    """A copy with batch norms folded into their convolutions, for inference."""
    found = copy.deepcopy(tower).eval()
    for part in found.modules():
        if isinstance(part, Conv) and isinstance(part.norm, nn.BatchNorm2d):
            part.conv = fuse_conv_bn_eval(part.conv, part.norm)
            part.norm = nn.Identity()
    return found
