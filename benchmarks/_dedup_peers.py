"""One way of finding near-duplicate texts, in a process of its own: see `dedup.py`.

    PYTHON benchmarks/_dedup_peers.py {ours,rensa,datasketch,datatrove,data_juicer} DOCUMENTS.jsonl FOLDER

Reads `{"id": "number", "text": ...}` a line. FOLDER/result.json tells `seconds` and `cpu` (seconds of CPU
time) from texts in memory (from the file where a program reads it by itself) to the ids that are `removed`,
and `peak` in MB. Word 5-grams, 128 permutations, a threshold of 0.7; for the rest what the program
does by itself.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

N, PERMUTATIONS, THRESHOLD = 5, 128, 0.7
RUNS = 3  # of those whose texts are in memory; the fastest counts


def ours(texts: list[str]) -> list[int]:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    import pyarrow as pa
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    from stages.group.near_text import NearText

    rows = len(texts)
    stage = NearText(n=N, threshold=THRESHOLD, permutations=PERMUTATIONS)
    items = pa.table({"sample_id": pa.nulls(rows, pa.string()), "shape": ["pair"] * rows, "text_body": texts})
    signature, lists = stage.prepare(items, {})
    keys, row = lists.flatten().to_numpy(), np.repeat(np.arange(rows), lists.value_lengths().to_numpy())
    shown, found = signature.select(stage.carried().names), [np.zeros((2, 0), dtype=np.int64)]
    buckets = len(keys) // 4_000_000 + 1
    place = keys % buckets
    for bucket in range(buckets):
        order = np.flatnonzero(place == bucket)
        order = order[np.argsort(keys[order], kind="stable")]
        same = keys[order[1:]] == keys[order[:-1]]
        order = order[np.append(same, False) | np.insert(same, 0, False)]
        table = shown.take(pa.array(row[order])).append_column("key", pa.array(keys[order]))
        for pairs in stage.link(table):
            some = np.sort(row[order][np.stack([pairs["left"], pairs["right"]])], axis=0)
            found.append(np.unique(some, axis=1))
    left, right = np.unique(np.concatenate(found, axis=1), axis=1)
    alike = stage.verify(signature.take(pa.array(left)), signature.take(pa.array(right)))
    alike = alike.is_valid().to_numpy(zero_copy_only=False)
    edges = coo_array((alike[alike], (left[alike], right[alike])), shape=(rows, rows))
    _, labels = connected_components(edges, directed=False)
    return sorted(set(range(rows)) - set(np.unique(labels, return_index=True)[1].tolist()))


def _grams(texts: Iterable[str]) -> Iterator[list[str]]:
    for text in texts:
        words = text.lower().split()
        yield [" ".join(words[i : i + N]) for i in range(max(1, len(words) - N + 1))]


def _removed(rows: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """All but the first of each component."""
    parent = list(range(rows))

    def root(x: int) -> int:
        while parent[x] != x:
            parent[x] = parent[parent[x]]
            x = parent[x]
        return x

    for a, b in pairs:
        low, high = sorted((root(a), root(b)))
        parent[high] = low
    return [i for i in range(rows) if root(i) != i]


def rensa(texts: list[str]) -> list[int]:
    from rensa import RMinHash, RMinHashLSH

    made = RMinHash.from_token_sets(list(_grams(texts)), PERMUTATIONS, 42)
    lsh = RMinHashLSH(THRESHOLD, PERMUTATIONS, 16)
    lsh.insert_many(made)
    pairs = (
        (i, j)
        for i, found in enumerate(lsh.query_all(made))
        for j in found
        if i < j and made[i].jaccard(made[j]) >= THRESHOLD
    )
    return _removed(len(texts), pairs)


def datasketch(texts: list[str]) -> list[int]:
    from datasketch import MinHash, MinHashLSH

    made = MinHash.bulk([[g.encode() for g in grams] for grams in _grams(texts)], num_perm=PERMUTATIONS)
    lsh = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS)
    for i, one in enumerate(made):
        lsh.insert(i, one)
    pairs = ((i, j) for i, one in enumerate(made) for j in lsh.query(one) if i < j)
    return _removed(len(texts), (p for p in pairs if made[p[0]].jaccard(made[p[1]]) >= THRESHOLD))


def datatrove(path: Path, folder: Path) -> list[int]:
    from datatrove.executor.local import LocalPipelineExecutor
    from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers.jsonl import JsonlWriter

    tasks, config = 2, MinhashConfig(n_grams=N, num_buckets=16, hashes_per_bucket=8)
    parts = folder / "parts"  # it gives a task one file at least
    parts.mkdir(parents=True)
    lines = path.read_text().splitlines(keepends=True)
    for i in range(tasks):
        (parts / f"{i}.jsonl").write_text("".join(lines[i::tasks]))
    read, names = JsonlReader(str(parts)), ("signatures", "buckets", "clusters", "kept")
    signatures, buckets, clusters, kept = (str(folder / name) for name in names)
    stages = [
        ([read, MinhashDedupSignature(signatures, config=config)], tasks),
        ([MinhashDedupBuckets(signatures, buckets, config=config)], config.num_buckets),
        ([MinhashDedupCluster(buckets, clusters, config=config)], 1),
        ([read, MinhashDedupFilter(clusters), JsonlWriter(kept, compression=None)], tasks),
    ]
    for pipeline, count in stages:
        LocalPipelineExecutor(pipeline=pipeline, tasks=count, workers=2).run()
    left = {int(json.loads(line)["id"]) for f in Path(kept).glob("*") for line in f.open()}
    return sorted(set(range(len(lines))) - left)


def data_juicer(path: Path, folder: Path) -> list[int]:
    from data_juicer.config import init_configs
    from data_juicer.core import DefaultExecutor

    out = folder / "kept.jsonl"
    config = folder / "recipe.yaml"
    op = {"tokenization": "space", "window_size": N, "num_permutations": PERMUTATIONS}
    process = [{"document_minhash_deduplicator": {**op, "jaccard_threshold": THRESHOLD}}]
    recipe = {"dataset_path": str(path), "export_path": str(out), "np": 2, "process": process}
    config.write_text(json.dumps(recipe))
    DefaultExecutor(init_configs(["--config", str(config)])).run()
    rows = sum(1 for _ in path.open())
    return sorted(set(range(rows)) - {int(json.loads(line)["id"]) for line in out.open()})


IN_MEMORY: dict[str, Callable[[list[str]], list[int]]] = {
    "ours": ours,
    "rensa": rensa,
    "datasketch": datasketch,
}
ON_FILES: dict[str, Callable[[Path, Path], list[int]]] = {"datatrove": datatrove, "data_juicer": data_juicer}


def spent() -> np.ndarray:
    """Seconds on the clock, and of CPU time with that of children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return np.array([time.perf_counter(), sum(u.ru_utime + u.ru_stime for u in used)])


def peak() -> float:
    """MB of memory at most; what getrusage says includes that of the parent."""
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    name, path, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    if name in IN_MEMORY:
        texts = [json.loads(line)["text"] for line in path.open()]
        IN_MEMORY[name](texts[:50])  # imports, tables
        took = []
        for _ in range(RUNS):
            start = spent()
            removed = IN_MEMORY[name](texts)
            took.append(spent() - start)
        seconds, cpu = np.min(took, axis=0)
    else:
        start = spent()
        removed = ON_FILES[name](path, folder)
        seconds, cpu = spent()[0] - start[0], None  # of its processes not all are seen
    result = {"seconds": seconds, "cpu": cpu, "removed": removed, "peak": peak()}
    (folder / "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main()
