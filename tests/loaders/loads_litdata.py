"""Run by an interpreter that has litdata: what its loader makes of a folder, as lines of JSON.

read FOLDER PIXELS                     every sample in order; its pixels go to the file PIXELS (npz)
order FOLDER WORKERS SHUFFLE STOP      ids of an epoch in their order; also of a loader resumed after STOP
write SAMPLES FOLDER                   the same leaves by the package's own writer
"""

import io
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from litdata import StreamingDataLoader, StreamingDataset
from litdata.streaming.writer import BinaryWriter
from litdata.types import Jpeg, JpegArray
from PIL import Image

BATCH = 4


def pixels(image):
    if hasattr(image, "permute"):
        return image.permute(1, 2, 0).numpy()
    return np.asarray(Image.open(io.BytesIO(bytes(image))).convert("RGB"))


def read(folder, out):
    arrays, told = {}, []
    with tempfile.TemporaryDirectory() as cache:  # as from a bucket: every chunk is fetched
        dataset = StreamingDataset(f"local:{folder}", cache_dir=cache, shuffle=False)
        for sample in dataset:
            images = sample.pop("images", None) or [sample.pop("image")]
            for k, image in enumerate(images):
                arrays[f"{sample['id']}/{k}"] = pixels(image)
            told.append(sample)
        assert len(dataset) == len(told)
    there = StreamingDataset(folder, shuffle=False)  # where it lies, by number
    assert [s["id"] for s in told] == [there[i]["id"] for i in range(len(there))]
    np.savez(out, **arrays)
    return told


def ids(samples):
    return {"id": [sample["id"] for sample in samples]}


def flat(batches):
    return [id for batch in batches for id in batch["id"]]


def order(folder, workers, shuffle, stop):
    def loader():
        dataset = StreamingDataset(folder, shuffle=bool(int(shuffle)), seed=7)
        return StreamingDataLoader(dataset, batch_size=BATCH, num_workers=int(workers), collate_fn=ids)

    first = loader()
    epoch = list(first)
    second = list(first)  # the next epoch
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
    out = BinaryWriter(folder, chunk_size=request["chunk_size"])
    for i, sample in enumerate(request["samples"]):
        values = dict(sample)
        for name, encoding in request["columns"].items():
            if encoding == "jpeg":
                values[name] = Jpeg(bytes=Path(sample[name]).read_bytes())
            elif encoding == "jpeg_array":
                values[name] = JpegArray(
                    images=[Jpeg(bytes=Path(path).read_bytes()) for path in sample[name]]
                )
        out[i] = values
    out.done()
    out.merge()
    return []


if __name__ == "__main__":
    action = {"read": read, "order": order, "write": write}[sys.argv[1]]
    for found in action(*sys.argv[2:]):
        print(json.dumps(found))
