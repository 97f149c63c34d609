"""Run by an interpreter that has mosaicml-streaming: what its loader makes of a folder, as lines of JSON.

read FOLDER PIXELS [SPLIT]             every sample in order; its pixels go to the file PIXELS (npz)
order FOLDER WORKERS SHUFFLE STOP      ids of an epoch in their order; also of a loader resumed after STOP
write SAMPLES FOLDER                   the same columns and values by the package's own writer
"""

import io
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from streaming import MDSWriter, StreamingDataLoader, StreamingDataset
from streaming.base.util import clean_stale_shared_memory

BATCH = 4


def pixels(image):
    found = Image.open(io.BytesIO(image)) if isinstance(image, bytes) else image
    return np.asarray(found.convert("RGB"))


def read(folder, out, split=""):
    arrays, told = {}, []
    with tempfile.TemporaryDirectory() as local:  # as from a bucket: every shard is fetched
        dataset = StreamingDataset(
            remote=folder, local=local, split=split or None, shuffle=False, batch_size=1
        )
        for sample in dataset:
            images = sample.pop("images", None) or [sample.pop("image")]
            for k, image in enumerate(images):
                arrays[f"{sample['id']}/{k}"] = pixels(image)
            told.append(sample)
        assert [s["id"] for s in told] == [dataset[i]["id"] for i in range(len(dataset))]
    np.savez(out, **arrays)
    return told


def ids(samples):
    return {"id": [sample["id"] for sample in samples]}


def flat(batches):
    return [id for batch in batches for id in batch["id"]]


def order(folder, workers, shuffle, stop):
    def loader():
        clean_stale_shared_memory()
        dataset = StreamingDataset(
            local=folder, shuffle=bool(int(shuffle)), shuffle_seed=7, batch_size=BATCH, num_canonical_nodes=1
        )
        return StreamingDataLoader(dataset, BATCH, num_workers=int(workers), collate_fn=ids)

    first = loader()
    epoch = list(first)
    second = list(first)  # the next epoch
    del first
    begun = loader()
    batches = iter(begun)
    before = [next(batches) for _ in range(int(stop))]
    state = begun.state_dict()
    del batches, begun
    resumed = loader()
    resumed.load_state_dict(state)
    after = list(resumed)
    return [{"epoch": flat(epoch), "next": flat(second), "before": flat(before), "after": flat(after)}]


def write(samples, folder):
    request = json.loads(Path(samples).read_text(encoding="utf-8"))
    with MDSWriter(out=folder, columns=request["columns"], size_limit=None) as out:
        for sample in request["samples"]:
            values = dict(sample)
            for name, encoding in request["columns"].items():
                if encoding == "jpeg":
                    values[name] = Image.open(sample[name])
                elif encoding == "list[jpeg]":
                    values[name] = [Image.open(path) for path in sample[name]]
                elif encoding == "json":  # the package would spell it with spaces
                    values[name] = sample[name].encode()
            out.write(values)
    return []


if __name__ == "__main__":
    clean_stale_shared_memory()
    action = {"read": read, "order": order, "write": write}[sys.argv[1]]
    for found in action(*sys.argv[2:]):
        print(json.dumps(found))
