"""Run by an interpreter that has megatron-energon: what its loaders make of a folder, a line of JSON each.

captions FOLDER PART WORKERS [SPLIT_CONFIG]   `CaptioningSample`s of a split part, as in validation
documents FOLDER PART WORKERS                 `InterleavedSample`s, as in validation
crude FOLDER PART                             members of samples and their types, through a cooker
epoch FOLDER WORKERS                          training: keys of one epoch, shuffled
state FOLDER WORKERS STOP LENGTH              training: keys up to a saved state, after it, and restored
members FOLDER NAME...                        digests of members by name, as an auxiliary source gives them
"""

import hashlib
import json
import sys
from itertools import islice

import numpy as np
from megatron.energon import (
    Cooker,
    DefaultTaskEncoder,
    TextSample,
    WorkerConfig,
    basic_sample_keys,
    get_loader,
    get_savable_loader,
    get_train_dataset,
    get_val_dataset,
)
from megatron.energon.cache.file_store import WebdatasetFileStore
from megatron.energon.epathlib import EPath
from megatron.energon.task_encoder.base import stateless


def workers(count):
    return WorkerConfig(rank=0, world_size=1, num_workers=int(count))


def pixels(image):
    """Digest of the pixels of an image as floats, colour first."""
    found = np.rint(image.numpy() * 255).astype(np.uint8).transpose(1, 2, 0)
    return hashlib.sha256(f"{found.shape}".encode() + found.tobytes()).hexdigest()


def validation(folder, part, count, **more):
    more = {"split_part": part, "worker_config": workers(count), "batch_size": None, **more}
    return get_loader(get_val_dataset(folder, **more))


def captions(folder, part, count, split=None):
    for found in validation(folder, part, count, split_config=split):
        yield {"key": found.__key__, "text": found.caption, "pixels": pixels(found.image)}


def documents(folder, part, count):
    for found in validation(folder, part, count):
        spans = [span if isinstance(span, str) else {"pixels": pixels(span)} for span in found.sequence]
        yield {"key": found.__key__, "sequence": spans}


@stateless
def cook(found):
    told = {name: type(value).__name__ for name, value in found.items() if not name.startswith("__")}
    return TextSample(**basic_sample_keys(found), text=json.dumps(told))


class Kitchen(DefaultTaskEncoder):
    cookers = [Cooker(cook)]  # noqa: RUF012


def crude(folder, part):
    for found in validation(folder, part, 0, dataset_config="crude.yaml", task_encoder=Kitchen()):
        yield {"key": found.__key__, "parts": json.loads(found.text)}


def training(folder, count, **more):
    dataset = get_train_dataset(
        folder,
        worker_config=workers(count),
        batch_size=None,
        shuffle_buffer_size=8,
        max_samples_per_sequence=5,
        **more,
    )
    return get_savable_loader(dataset)


def epoch(folder, count):
    for found in training(folder, count, repeat=False):
        yield {"key": found.__key__}


def state(folder, count, stop, length):
    def keys(samples, number):
        return [found.__key__ for found in islice(samples, int(number))]

    first = training(folder, count)
    samples = iter(first)
    before = keys(samples, stop)
    saved = first.save_state_rank()
    second = training(folder, count)
    second.restore_state_rank(saved)
    yield {"before": before, "after": keys(samples, length), "restored": keys(second, length)}


def members(folder, *names):
    store = WebdatasetFileStore(EPath(folder))
    for name in names:
        data, _ = store[name]
        yield {"name": name, "sha256": hashlib.sha256(data).hexdigest()}


if __name__ == "__main__":
    ways = {f.__name__: f for f in (captions, documents, crude, epoch, state, members)}
    for line in ways[sys.argv[1]](*sys.argv[2:]):
        print(json.dumps(line))
