"""Run by an interpreter that has datasets and torch: what `load_dataset` gives, a line of JSON each.

read FOLDER CACHE STREAMING [SPLIT]  rows of a split, images as digests of their pixels
state FOLDER CACHE SHUFFLE STOP      keys of a stream up to a saved state, after it, and restored
workers FOLDER CACHE WORKERS         keys of a stream through torch's DataLoader
"""

import hashlib
import json
import os
import sys

import numpy as np


def pixels(image):
    found = np.asarray(image.convert("RGB"))
    return hashlib.sha256(f"{found.shape}".encode() + found.tobytes()).hexdigest()


def told(value):
    if hasattr(value, "convert"):
        return {"pixels": pixels(value)}
    return [told(v) for v in value] if isinstance(value, list) else value


def loaded(folder, cache, streaming, split="train"):
    os.environ["HF_HOME"] = cache  # read when it is imported
    from datasets import load_dataset

    return load_dataset(folder, split=split, streaming=bool(int(streaming)), cache_dir=cache)


def key(row):
    return row.get("__key__") or row["sample_id"]


def read(folder, cache, streaming, split="train"):
    for row in loaded(folder, cache, streaming, split):
        yield {name: told(value) for name, value in row.items() if name != "__url__"}


def state(folder, cache, shuffle, stop):
    def stream():
        found = loaded(folder, cache, 1)
        return found.shuffle(seed=5, buffer_size=10) if int(shuffle) else found

    first = stream()
    rows = iter(first)
    before = [key(next(rows)) for _ in range(int(stop))]
    saved = first.state_dict()
    second = stream()
    second.load_state_dict(saved)
    after = [key(row) for row in rows]
    yield {"before": before, "after": after, "restored": [key(row) for row in second]}


def workers(folder, cache, count):
    from torch.utils.data import DataLoader

    found = loaded(folder, cache, 1)
    loader = DataLoader(found, batch_size=None, num_workers=int(count))
    yield {"shards": found.num_shards, "keys": [key(row) for row in loader]}


if __name__ == "__main__":
    ways = {f.__name__: f for f in (read, state, workers)}
    for line in ways[sys.argv[1]](*sys.argv[2:]):
        print(json.dumps(line))
