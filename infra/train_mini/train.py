"""Training: a sigmoid loss over all pairs of a batch, and over false captions of its own for each image.

The loss is SigLIP's (Zhai et al. 2023, arXiv 2303.15343): each pair of image and text is a question of its
own, true or false, so that one bound on the cosine can separate them, whatever else is in the pool. To it
come the false captions (`scenes._false`), each against its own image, by the weights below. A pair that may
be true is left out, and one that differs in a few pixels hardly counts: asked of it, the net would learn to
trust no caption of a chart. A softmax over the same cosines, as CLIP has it, starts faster. An auxiliary
head names what is in the picture, and is thrown away.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from corpus import Corpus, read
from model import LOOKS, THINGS, ImageTower, TextTower
from scenes import GRID, KINDS, NAMES, NEGATIVES, POSITIVES, key_of
from torch import Tensor, multiprocessing, nn
from torch.nn import functional as F

from curate.demo.classes import CLASSES
from curate.demo.colours import OBJECT_COLOURS

WORKERS = 2
SCENES, DRAWINGS = 96, 32  # of a worker's batch
FALSE = 2  # captions for each image, from those it has
RATE, DECAY, WARM = 2e-3, 0.02, 60
OWN = {
    "none": 0.0,
    "object": 2.0,
    "attribute": 2.0,
    "count": 1.0,
    "relation": 1.0,
    "value": 0.05,
    "other": 0.3,
}
ALIKE, NAMED, PLACED = 0.03, 0.1, 0.1  # weights: a pair of those alike; the auxiliary heads


Ints: TypeAlias = npt.NDArray[np.int64]
Captions: TypeAlias = tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]


class Batches:
    """Batch k is a function of k: each sample once in an epoch, with another of its captions each time."""

    def __init__(self, scenes: Corpus, drawings: Corpus, chosen: Ints) -> None:
        self.scenes, self.drawings, self.chosen = scenes, drawings, chosen
        self.table = torch.from_numpy(np.concatenate([scenes.table, drawings.table]))
        self.things = np.unique(scenes.keys)  # -1 first: nothing
        self.names = names_of(self.things)

    @classmethod
    def of(cls, work: Path, chosen: Ints) -> Batches:
        """The two corpora in a folder."""
        return cls(read(work / "scenes"), read(work / "clipart"), chosen)

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
        places = np.searchsorted(self.things, self.scenes.keys[ours])
        labels = self.names[places].max(axis=1)
        cells = np.unpackbits(self.scenes.cells[ours], axis=1, count=GRID * GRID * len(NAMES))
        return {
            "images": torch.from_numpy(np.concatenate(images)),
            **_padded(parts),
            "weights": torch.from_numpy(weights.astype(np.float32)),
            "own": torch.from_numpy(own.astype(np.float32)),
            "labels": torch.from_numpy(labels),
            "cells": torch.from_numpy(cells.reshape(SCENES, GRID, GRID, len(NAMES)).astype(np.float32)),
        }

    def _deal(self, samples: Ints, step: int, size: int) -> Ints:
        a_round = len(samples) // size
        order = np.random.default_rng([11, step // a_round, size]).permutation(samples)
        return order[step % a_round * size :][:size]


def names_of(things: Ints) -> npt.NDArray[np.float32]:
    """What a thing is called, a row for each: itself, and of "red car" also "car" and "red"."""
    found = np.zeros((len(things), len(things) + len(CLASSES) + len(OBJECT_COLOURS)), dtype=np.float32)
    found[1:, : len(things)] = np.eye(len(things))[1:]
    for k, cls in enumerate(CLASSES):
        for j, colour in enumerate(OBJECT_COLOURS):
            row = things == key_of(f"{colour} {cls}")
            found[row, len(things) + k] = found[row, len(things) + len(CLASSES) + j] = 1
    return found


def _moved(part: Captions, by: int) -> Captions:
    return part[0] + np.int32(by), part[1]


def _weights(keys: Ints, alike: Ints) -> npt.NDArray[np.float64]:
    """Of each pair (image, caption): 0 where the caption may be true of another's image."""
    shared = np.zeros((len(keys), len(keys)), dtype=bool)
    for k in range(keys.shape[1]):
        mine = np.where(keys[:, k] < 0, -2, keys[:, k])
        shared |= (mine[:, None, None] == keys[None]).any(axis=2)
    weights = np.where(alike[:, None] == alike, ALIKE, 1.0) * ~shared
    np.fill_diagonal(weights, 1.0)
    return weights


def _padded(parts: list[Captions]) -> dict[str, Tensor]:
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
    """Drawings moved, scaled, turned a little, half of them mirrored; white comes in at the rim."""
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


class Net(nn.Module):
    """Both towers and what only training needs."""

    def __init__(self, names: int) -> None:
        super().__init__()
        assert len(NAMES) == THINGS + LOOKS
        self.image, self.text = ImageTower(), TextTower()
        self.names = nn.Linear(self.image.hidden.bias.shape[0], names)
        nn.init.constant_(self.names.bias, -4.0)  # most are not there
        self.scale = nn.Parameter(torch.tensor(math.log(10.0)))
        self.shift = nn.Parameter(torch.tensor(-6.0))


def train(work: Path, chosen: Ints, cycles: Sequence[int], seconds: float = math.inf, seed: int = 0) -> Net:
    """Train on `work`'s corpora, of the clip art on `chosen`; in cycles of so many steps, each with a warm-up
    and a cosine, or shortened to so many seconds. One whose end is there (`cycle<k>.pt`) is not done again.

    Two processes of one thread, with gradients averaged: where cores are shared, the threads of one process
    wait for each other at each operation.
    """
    multiprocessing.spawn(_worker, (work, chosen, cycles, seconds, seed), WORKERS)  # type: ignore[no-untyped-call]
    net = Net(Batches.of(work, chosen).names.shape[1])
    net.load_state_dict(torch.load(work / f"cycle{len(cycles) - 1}.pt", weights_only=True))
    return net


def _worker(rank: int, work: Path, chosen: Ints, cycles: Sequence[int], seconds: float, seed: int) -> None:
    torch.set_num_threads(1)
    store = torch.distributed.FileStore(str(work / "meet"), WORKERS)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=WORKERS)
    batches = Batches.of(work, chosen)
    torch.manual_seed(seed)
    net = Net(batches.names.shape[1])
    net.image.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for number, steps in enumerate(cycles):
        end = work / f"cycle{number}.pt"
        if end.exists():
            net.load_state_dict(torch.load(end, weights_only=True))
            continue
        _cycle(net, batches, rank, sum(cycles[:number]), steps, seconds, work)
        torch.distributed.barrier()
        if rank == 0:
            torch.save(net.state_dict(), end)
    torch.distributed.destroy_process_group()


def _cycle(net: Net, batches: Batches, rank: int, first: int, steps: int, seconds: float, work: Path) -> None:
    matrices = [p for p in net.parameters() if p.ndim >= 2]
    groups = [
        {"params": [p for p in matrices if p is not net.text.table], "weight_decay": DECAY},
        {"params": [net.text.table], "weight_decay": 0.0, "lr": 3 * RATE},  # a row is met now and then
        {"params": [p for p in net.parameters() if p.ndim == 1], "weight_decay": 0.0},
        {"params": [net.scale, net.shift], "weight_decay": 0.0, "lr": 10 * RATE},
    ]
    optimizer = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.98))
    rates = [group["lr"] for group in optimizer.param_groups]
    done, started, seen = 0.0, time.perf_counter(), np.zeros(6)
    for step in range(first, first + steps):
        losses = _forward(net, batches, WORKERS * step + rank)
        optimizer.zero_grad()
        sum(losses).backward()  # type: ignore[union-attr]
        now = torch.tensor([max((step - first) / steps, (time.perf_counter() - started) / seconds)])
        _average([now, *(p.grad for p in net.parameters() if p.grad is not None)])
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * min(1, (step - first + 1) / WARM) * 0.5 * (1 + math.cos(math.pi * done))
        optimizer.step()
        if (done := min(1.0, float(now))) == 1:
            break
        seen += [1, *(float(part.detach()) for part in losses)]
        if step % 50 == 49 and rank == 0:
            _tell(step + 1, time.perf_counter() - started, seen, net)
            seen[:] = 0
        if step % 250 == 249 and rank == 0:
            torch.save(net.state_dict(), work / "latest.pt")


def _forward(net: Net, batches: Batches, number: int) -> tuple[Tensor, ...]:
    batch = batches(number)
    pixels = batch["images"]
    pixels = torch.cat([pixels[:SCENES], augmented(pixels[SCENES:], number)])
    with torch.autocast("cpu", torch.bfloat16):
        last = net.image.map(pixels)
        hidden, cells = net.image.read(last)
        placed = cells[:SCENES].permute(0, 2, 3, 1)
        told = texts(net.text, batches.table, batch["tokens"], batch["mask"])
        named = net.names(hidden[:SCENES])
        shown = F.normalize(net.image.out(hidden).float(), dim=1)
    return _losses(shown, told, net.scale.exp(), net.shift, batch, named.float(), placed.float())


def _average(gradients: list[Tensor]) -> None:
    """Over the processes, as one message."""
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    torch.distributed.all_reduce(flat)
    parts = (flat / WORKERS).split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view(gradient.shape))


def _tell(step: int, spent: float, seen: npt.NDArray[np.float64], net: Net) -> None:
    means = " ".join(f"{mean:.3f}" for mean in seen[1:] / seen[0])
    scale, shift = float(net.scale.detach().exp()), float(net.shift.detach())
    print(
        f"{step:6d} {spent:6.0f} s  pairs, nearest, own, names, places: {means}  {scale:.2f} {shift:.2f}",
        flush=True,
    )


def _losses(
    shown: Tensor,
    told: Tensor,
    scale: Tensor,
    shift: Tensor,
    batch: dict[str, Tensor],
    named: Tensor,
    placed: Tensor,
) -> tuple[Tensor, ...]:
    """Sigmoid over all pairs, softmax over them, sigmoid over own false captions, names, names in places."""
    count = len(shown)
    cosines = shown @ told.T  # (images, true captions then FALSE blocks of false ones)
    weights = torch.cat([batch["weights"], _of_false(batch["weights"], batch["own"])], dim=1)
    own = _own(count, batch["own"])
    signs = torch.full_like(cosines, -1.0)
    signs[:, :count].fill_diagonal_(1.0)
    asked = -F.logsigmoid(signs * (scale * cosines + shift))
    chosen = scale * cosines + (weights + own + 1e-9).log()
    each = torch.arange(count)
    nearest = F.cross_entropy(chosen, each) + F.cross_entropy(chosen[:, :count].T, each)
    naming = F.binary_cross_entropy_with_logits(named, batch["labels"], reduction="sum") / SCENES
    placing = F.binary_cross_entropy_with_logits(placed, batch["cells"], reduction="sum") / SCENES
    return (
        (asked * weights).sum() / count,
        nearest,
        (asked * own).sum() / count,
        NAMED * naming,
        PLACED * placing,
    )


def _of_false(weights: Tensor, own: Tensor) -> Tensor:
    """Weights of other images' false captions: as of their true ones; none of absent ones."""
    apart = weights[:, :SCENES] - torch.eye(len(weights), SCENES)
    return torch.cat([apart * (own[:, k] > 0) for k in range(FALSE)], dim=1)


def _own(count: int, own: Tensor) -> Tensor:
    """Weights of an image's own false captions, in the shape of all cosines."""
    blocks = [torch.zeros(count, count)]
    for k in range(FALSE):
        block = torch.zeros(count, SCENES)
        block[torch.arange(SCENES), torch.arange(SCENES)] = own[:, k]
        blocks.append(block)
    return torch.cat(blocks, dim=1)
