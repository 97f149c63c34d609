"""Run by an interpreter that has webdataset and torch: what its loaders make of shards, a line of JSON each.

read WORKERS SHARD...              pairs or documents, decoded; each worker reads shards of its own
shuffled SEED SHARD...             keys of two epochs, shuffled over shards and samples
epochs LENGTH SKIP SHARD...        keys of two epochs of a stated length, and from the sample SKIP on
resampled LENGTH WORKERS SHARD...  keys of an endless draw of shards, cut to a length
"""

import hashlib
import json
import sys

import numpy as np
import webdataset
from torch.utils.data import DataLoader


def pixels(image):
    found = np.asarray(image)
    return hashlib.sha256(f"{found.shape}".encode() + found.tobytes()).hexdigest()


def told(sample):
    """A sample with digests in place of its images."""
    found = {"key": sample["__key__"], "parts": {}}
    for name, value in sample.items():
        if not name.startswith("__"):
            found["parts"][name] = value if isinstance(value, str | dict) else pixels(value)
    return found


def key(sample):
    return sample["__key__"]


def read(workers, *shards):
    found = webdataset.WebDataset(list(shards), shardshuffle=False).decode("pilrgb").map(told)
    yield from DataLoader(found, batch_size=None, num_workers=int(workers))


def shuffled(seed, *shards):
    found = webdataset.WebDataset(list(shards), shardshuffle=len(shards), detshuffle=True, seed=int(seed))
    found = found.compose(webdataset.detshuffle(bufsize=20, initial=20, seed=int(seed))).map(key)
    yield {"first": list(found), "second": list(found)}


def epochs(length, skip, *shards):
    def pipeline():
        return webdataset.WebDataset(list(shards), shardshuffle=False).map(key)

    two = pipeline().with_epoch(int(length))
    rest = pipeline().slice(int(skip), int(length))
    yield {"first": list(two), "second": list(two), "rest": list(rest)}


def resampled(length, workers, *shards):
    found = webdataset.WebDataset(list(shards), resampled=True, shardshuffle=False, seed=3).map(key)
    loader = webdataset.WebLoader(found, batch_size=None, num_workers=int(workers)).with_epoch(int(length))
    yield {"first": list(loader)}


if __name__ == "__main__":
    ways = {f.__name__: f for f in (read, shuffled, epochs, resampled)}
    for line in ways[sys.argv[1]](*sys.argv[2:]):
        print(json.dumps(line))
