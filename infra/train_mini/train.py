"""Training: a sigmoid loss over all pairs of a batch, and over false captions of its own for each image.

The loss is SigLIP's (Zhai et al. 2023, arXiv 2303.15343): each pair of image and text is a question of its
own, true or false, so that one bound on the cosine can separate them, whatever else is in the pool. To it
come the false captions (`scenes._false`), each against its own image, by the weights below. A pair that may
be true is left out, and one that differs in a few pixels hardly counts: asked of it, the net would learn to
trust no caption of a chart. A softmax over the same cosines, as CLIP has it, starts faster. An auxiliary
head names what is in the picture, and is thrown away. Nouns are drawn to what WordNet says of them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from augment import augmented
from batches import FALSE, NOUNS, SCENES, Batches, Ints
from model import LOOKS, THINGS, ImageTower, TextTower
from scenes import NAMES
from torch import Tensor, multiprocessing, nn
from torch.nn import functional as F

WORKERS = 2
RATE, DECAY, WARM = 2e-3, 0.02, 60
NAMED, PLACED = 0.1, 0.1  # weights of the auxiliary heads
GLOSSARY, SHARP = 0.25, 16.0  # weight of the nouns' loss, and the scale of their cosines
ENDS = 3  # of cycles, averaged
DROP = 0.2  # of the hidden layer, for clip art and icons


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


def train(
    work: Path, chosen: Ints, shown: Ints, cycles: Sequence[int], seconds: float = math.inf, seed: int = 0
) -> Net:
    """Train on `work`'s corpora, of clip art on `chosen`, of icons on `shown`; in cycles of so many steps,
    each with a warm-up and a cosine, or shortened to so many seconds. One whose end is there (`cycle<k>.pt`)
    is not done again. What comes back is the mean of the last `ENDS` ends (Wortsman et al. 2022, arXiv
    2203.05482): of drawings that none had seen it knew more than any one, of scenes as much.

    Two processes of one thread, with gradients averaged: where cores are shared, the threads of one process
    wait for each other at each operation.
    """
    multiprocessing.spawn(_worker, (work, chosen, shown, cycles, seconds, seed), WORKERS)  # type: ignore[no-untyped-call]
    net = Net(Batches(work, chosen, shown).names.shape[1])
    ends = [torch.load(work / f"cycle{k}.pt", weights_only=True) for k in range(len(cycles))[-ENDS:]]
    net.load_state_dict(mean(ends))
    return net


def mean(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Of weights by name; of counters, the last."""
    return {
        name: torch.stack([state[name] for state in states]).mean(dim=0) if last.is_floating_point() else last
        for name, last in states[-1].items()
    }


def _worker(
    rank: int, work: Path, chosen: Ints, shown: Ints, cycles: Sequence[int], seconds: float, seed: int
) -> None:
    torch.set_num_threads(1)
    store = torch.distributed.FileStore(str(work / "meet"), WORKERS)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=WORKERS)
    batches = Batches(work, chosen, shown)
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
    done, started, seen = 0.0, time.perf_counter(), np.zeros(7)
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
        called = texts(net.text, batches.table, batch["nouns"], batch["nouns_mask"])
        named = net.names(hidden[:SCENES])
        hidden = torch.cat([hidden[:SCENES], F.dropout(hidden[SCENES:], DROP)])
        shown = F.normalize(net.image.out(hidden).float(), dim=1)
    losses = _losses(shown, told, net.scale.exp(), net.shift, batch, named.float(), placed.float())
    return (*losses, GLOSSARY * _glossary(called, batch["siblings"]))


def _glossary(called: Tensor, siblings: Tensor) -> Tensor:
    """Softmax both ways between nouns and what is said of them; one with the same wider term is not asked."""
    cosines = SHARP * called[:NOUNS] @ called[NOUNS:].T
    cosines = cosines.masked_fill(siblings, -1e4)
    each = torch.arange(NOUNS)
    return F.cross_entropy(cosines, each) + F.cross_entropy(cosines.T, each)


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
    names = "pairs, nearest, own, names, places, nouns"
    print(f"{step:6d} {spent:6.0f} s  {names}: {means}  {scale:.2f} {shift:.2f}", flush=True)


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
