"""Training: a sigmoid loss over all pairs of a batch, and over false captions of its own for each image.

The loss is SigLIP's (Zhai et al. 2023, arXiv 2303.15343): each pair of image and text is a question of its own,
true or false, so that one bound on the cosine can separate them, whatever else is in the pool. To it come the
false captions (`scenes._false`), each against its own image, by the weights below; a pair that may be true is
left out, and one that differs in a few pixels hardly counts: asked of it, the net would learn to trust no
caption of a chart. An auxiliary head names what is in the picture, and is thrown away.
"""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from corpus import Corpus
from model import ImageTower, TextTower
from scenes import KINDS, NEGATIVES, POSITIVES
from torch import Tensor, nn
from torch.nn import functional as F

SCENES, DRAWINGS = 208, 48  # of a batch
FALSE = 2  # captions for each image, from those it has
RATE, DECAY, WARM = 1.5e-3, 0.02, 200
OWN = {"none": 0.0, "object": 2.0, "attribute": 2.0, "count": 1.0, "relation": 1.0, "value": 0.05, "other": 0.3}
ALIKE, NAMES = 0.03, 0.1  # weights: a pair of those alike; the auxiliary head


class Batches:
    """Batch k is a function of k: each sample once in an epoch, with another of its captions each time."""

    def __init__(self, scenes: Corpus, drawings: Corpus, chosen: npt.NDArray[np.int64]) -> None:
        self.scenes, self.drawings, self.chosen = scenes, drawings, chosen
        self.table = torch.from_numpy(np.concatenate([scenes.table, drawings.table]))
        names = np.unique(scenes.keys)
        self.names = names[names >= 0]

    def __call__(self, step: int) -> dict[str, Tensor]:
        """Images, token numbers with their mask for true then false captions, weights, labels."""
        rng = np.random.default_rng([7, step])
        ours = self._deal(np.arange(len(self.scenes.images)), step, SCENES)
        theirs = self._deal(self.chosen, step, DRAWINGS)
        images = [self.scenes.images[np.sort(ours)], self.drawings.images[np.sort(theirs)]]
        ours, theirs = np.sort(ours), np.sort(theirs)
        true = rng.integers(POSITIVES, size=SCENES + DRAWINGS)
        false = POSITIVES + rng.permuted(np.tile(np.arange(NEGATIVES), (SCENES, 1)), axis=1)[:, :FALSE]
        parts = [
            self.scenes.captions(ours, true[:SCENES]),
            _moved(self.drawings.captions(theirs, true[SCENES:]), len(self.scenes.table)),
            *(self.scenes.captions(ours, false[:, k]) for k in range(FALSE)),
        ]
        keys = np.concatenate([self.scenes.keys[ours], self.drawings.keys[theirs]])
        alike = np.concatenate([self.scenes.alike[ours], -(1 << 40) + self.drawings.alike[theirs]])
        kinds = self.scenes.kinds[ours[:, None], false]
        kinds[self.scenes.lengths[ours[:, None], false] == 0] = 0
        weights, own = _weights(keys, alike), np.array([OWN[kind] for kind in KINDS])[kinds]
        labels = (self.scenes.keys[ours][:, :, None] == self.names).any(axis=1)
        return {
            "images": torch.from_numpy(np.concatenate(images)),
            **_padded(parts),
            "weights": torch.from_numpy(weights.astype(np.float32)),
            "own": torch.from_numpy(own.astype(np.float32)),
            "labels": torch.from_numpy(labels.astype(np.float32)),
        }

    def _deal(self, samples: npt.NDArray[np.int64], step: int, size: int) -> npt.NDArray[np.int64]:
        a_round = len(samples) // size
        order = np.random.default_rng([11, step // a_round, size]).permutation(samples)
        return order[step % a_round * size :][:size]


def _moved(part: tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]], by: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
    return part[0] + np.int32(by), part[1]


def _weights(keys: npt.NDArray[np.int64], alike: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Of each pair (image, caption): 0 where the caption may be true of another's image."""
    shared = np.zeros((len(keys), len(keys)), dtype=bool)
    for k in range(keys.shape[1]):
        mine = np.where(keys[:, k] < 0, -2, keys[:, k])
        shared |= (mine[:, None, None] == keys[None]).any(axis=2)
    weights = np.where(alike[:, None] == alike, ALIKE, 1.0) * ~shared
    np.fill_diagonal(weights, 1.0)
    return weights


def _padded(parts: list[tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]]) -> dict[str, Tensor]:
    longest = max(mask.shape[1] for _, mask in parts)
    both = [
        np.concatenate([np.pad(part[k], ((0, 0), (0, longest - part[k].shape[1]))) for part in parts])
        for k in (0, 1)
    ]
    return {"tokens": torch.from_numpy(both[0].astype(np.int64)), "mask": torch.from_numpy(both[1])}


def texts(tower: TextTower, table: Tensor, tokens: Tensor, mask: Tensor, parts: int = 4) -> Tensor:
    """Embeddings, computed in parts of like length."""
    used, places = torch.unique(tokens, return_inverse=True)
    sums = tower.embed(table[used])
    mask = mask.clone()
    mask[:, 0] = True  # an absent caption has weight 0, but must not divide by it
    order = mask.sum(dim=1).argsort()
    found = []
    for part in order.chunk(parts):
        longest = int(mask[part].sum(dim=1).max())
        found.append(tower.encode(sums[places[part, :longest]], mask[part, :longest]))
    return torch.cat(found)[order.argsort()]


def augmented(images: Tensor, seed: int) -> Tensor:
    """Drawings moved, scaled by 0.8 to 1.15, turned a little, half of them mirrored; white comes in at the rim."""
    count, size = images.shape[0], images.shape[1]
    rng = torch.Generator().manual_seed(seed)
    scale, turn, x, y = (torch.rand(count, 4, generator=rng) * 2 - 1).unbind(1)
    scale, turn = 1.05 + scale * 0.2, turn * 0.2
    flip = torch.where(torch.rand(count, generator=rng) < 0.5, -1.0, 1.0)
    rows = (torch.cos(turn) * scale * flip, -torch.sin(turn) * scale, x * 0.12)
    more = (torch.sin(turn) * scale * flip, torch.cos(turn) * scale, y * 0.12)
    affine = torch.stack([torch.stack(rows, 1), torch.stack(more, 1)], 1)
    grid = F.affine_grid(affine, [count, 3, size, size], align_corners=False)
    dark = 255 - images.permute(0, 3, 1, 2).float()
    return (255 - F.grid_sample(dark, grid, align_corners=False)).round().byte().permute(0, 2, 3, 1)


def train(batches: Batches, steps: int, folder: Path, seed: int = 0) -> tuple[ImageTower, TextTower]:
    """Train, with a checkpoint every 500 steps in `folder`."""
    torch.manual_seed(seed)
    image, text = ImageTower(), TextTower()
    image.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    names = nn.Linear(image.hidden.bias.shape[0], len(batches.names))
    scale, shift = nn.Parameter(torch.tensor(math.log(10.0))), nn.Parameter(torch.tensor(-6.0))
    modules = nn.ModuleList([image, text, names])
    plain = [p for p in modules.parameters() if p.ndim < 2]
    decayed = [p for p in modules.parameters() if p.ndim >= 2]
    groups = [{"params": decayed, "weight_decay": DECAY}, {"params": [*plain, scale, shift], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda k: min(1, (k + 1) / WARM) * 0.5 * (1 + math.cos(math.pi * min(1, k / steps)))
    )
    started, seen = time.perf_counter(), np.zeros(4)
    for step in range(steps):
        batch = batches(step)
        pixels = batch["images"]
        pixels = torch.cat([pixels[:SCENES], augmented(pixels[SCENES:], step)])
        with torch.autocast("cpu", torch.bfloat16):
            hidden = image.read(pixels)
            told = texts(text, batches.table, batch["tokens"], batch["mask"])
            named = names(hidden[:SCENES])
            shown = F.normalize(image.out(hidden).float(), dim=1)
        losses = _losses(shown, told, scale.exp(), shift, batch, named.float())
        loss = sum(losses)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[union-attr]
        nn.utils.clip_grad_norm_(modules.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        seen += [1, *(float(part.detach()) for part in losses)]
        if step % 100 == 99:
            spent = time.perf_counter() - started
            means = " ".join(f"{v:.3f}" for v in seen[1:] / seen[0])
            print(f"{step + 1:6d} {spent:6.0f} s  pairs, own, names: {means}  scale {float(scale.detach().exp()):.1f} shift {float(shift.detach()):.1f}", flush=True)
            seen[:] = 0
        if step % 500 == 499:
            torch.save({"image": image.state_dict(), "text": text.state_dict()}, folder / "mini.pt")
    torch.save({"image": image.state_dict(), "text": text.state_dict()}, folder / "mini.pt")
    return image, text


def _losses(shown: Tensor, told: Tensor, scale: Tensor, shift: Tensor, batch: dict[str, Tensor], named: Tensor) -> tuple[Tensor, ...]:
    count = len(shown)
    false = told[count:].view(FALSE, SCENES, -1)
    logits = scale * shown @ told[:count].T + shift
    signs = 2 * torch.eye(count) - 1
    pairs = -(F.logsigmoid(signs * logits) * batch["weights"]).sum() / count
    others = scale * shown @ told[count:].T + shift
    there = (batch["own"] > 0).T.reshape(-1).float()
    apart = batch["weights"][:, :SCENES].clone()
    apart[torch.arange(SCENES), torch.arange(SCENES)] = 0
    pairs = pairs - (F.logsigmoid(-others) * apart.repeat(1, FALSE) * there).sum() / count
    own = scale * (shown[None, :SCENES] * false).sum(dim=2).T + shift
    wrong = -(F.logsigmoid(-own) * batch["own"]).sum() / count
    naming = F.binary_cross_entropy_with_logits(named, batch["labels"], reduction="sum") / SCENES
    return pairs, wrong, NAMES * naming
