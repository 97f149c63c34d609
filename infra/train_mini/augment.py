"""Drawings and icons as they might have been drawn: what keeps a net from learning each picture by heart."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def augmented(images: Tensor, seed: int) -> Tensor:
    """Moved, scaled, turned a little, some mirrored; (n, size, size, 3) uint8, white comes in at the rim."""
    count, size = images.shape[0], images.shape[1]
    rng = torch.Generator().manual_seed(seed)
    scale, turn, x, y = (torch.rand(count, 4, generator=rng) * 2 - 1).unbind(1)
    scale, turn = 1.05 + scale * 0.3, turn * 0.25
    flip = torch.where(torch.rand(count, generator=rng) < 0.35, -1.0, 1.0)
    wide = 1 + (torch.rand(count, generator=rng) - 0.5) * 0.3
    rows = (torch.cos(turn) * scale * flip * wide, -torch.sin(turn) * scale, x * 0.15)
    more = (torch.sin(turn) * scale * flip, torch.cos(turn) * scale, y * 0.15)
    affine = torch.stack([torch.stack(rows, 1), torch.stack(more, 1)], 1)
    grid = F.affine_grid(affine, [count, 3, size, size], align_corners=False)
    dark = (255 - images.permute(0, 3, 1, 2).float()) / 255
    dark = F.grid_sample(dark, grid, align_corners=False)
    return (_tinted(1 - dark, rng) * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1)


def _tinted(light: Tensor, rng: torch.Generator) -> Tensor:
    """(n, 3, size, size), 0 to 1: most grey ones in any colour on any ground, half of the others jittered."""
    count = len(light)
    grey = (light.amax(1) - light.amin(1)).amax((1, 2)) < 0.06
    ink, ground = torch.rand(2, count, 3, 1, 1, generator=rng).unbind(0)
    dice = torch.rand(count, 4, generator=rng)
    ground = torch.where((dice[:, 0] < 0.6)[:, None, None, None], torch.ones(()), ground)
    ink = torch.where((dice[:, 1] < 0.4)[:, None, None, None], torch.zeros(()), ink)
    recoloured = ink + (ground - ink) * light
    gamma = (0.7 + 0.7 * torch.rand(count, 3, 1, 1, generator=rng)) * torch.ones(())
    gamma = torch.where((dice[:, 2] < 0.5)[:, None, None, None], gamma, torch.ones(()))
    dimmed = torch.where((dice[:, 3] < 0.15)[:, None, None, None], 0.4 + 0.6 * ground, torch.ones(()))
    jittered = light.clamp(1e-4, 1) ** gamma * dimmed
    washed = (dice[:, 3] > 0.9)[:, None, None, None]
    jittered = torch.where(washed, jittered.mean(1, keepdim=True).expand_as(jittered), jittered)
    return torch.where((grey & (dice[:, 2] < 0.7))[:, None, None, None], recoloured, jittered)
