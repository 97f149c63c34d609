"""Writes the pool: tars of pairs, HTML documents with images, and the truth about both."""

from __future__ import annotations

import io
import json
import multiprocessing
import shutil
import tarfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curate.demo.benchmark import write_benchmark
from curate.demo.documents import write_documents
from curate.demo.kinds import BLOCK
from curate.demo.samples import Pool, Sample, build

Facts = dict[str, Any]
_TAIL = 20  # a pool of fewer pairs gets no cut tar: too little would be left


@dataclass(frozen=True)
class Truth:
    """What was written: where the truth lies, and how much of what was planted."""

    path: Path
    pairs: int
    documents: int
    images: int  # in documents, with every reference counted
    planted: dict[str, int] = field(default_factory=dict)  # defect kind -> samples or document images with it


def generate(
    root: Path,
    pairs: int = 1200,
    documents: int = 80,
    seed: int = 0,
    held_out: bool = False,
    workers: int = 1,
) -> Truth:
    """Writes `root`/pairs, `root`/docs and `root`/truth.jsonl; replaces what an earlier call left there.

    Beside them lies `root`/benchmark: an evaluation set, part of which was made from the pool.

    The same (pairs, documents, seed, held_out) gives the same bytes, with any number of workers. With
    `held_out` the pool is drawn from object classes, fonts and a style that a normal pool never uses.

    Raises FileExistsError for a `root` that holds a folder of such a name but no truth.jsonl: that is not an
    earlier pool, so not to be deleted.
    """
    if pairs < 0 or documents < 0:
        raise ValueError("pairs and documents must not be negative")
    pool = Pool(seed, held_out)
    path = root / "truth.jsonl"
    for folder in (root / "pairs", root / "docs", root / "benchmark"):
        if folder.exists():
            if not path.exists():  # somebody's own folder of that name is not ours to replace
                raise FileExistsError(
                    f"{folder} exists and there is no {path.name} beside it: not a demo pool"
                )
            shutil.rmtree(folder)
    (root / "pairs").mkdir(parents=True)
    path.touch()  # marks the folders as ours even if this run is interrupted
    rows: list[Facts] = []
    for block, (data, facts) in enumerate(_shards(pool, pairs, workers)):
        (root / "pairs" / f"{block:05d}.tar").write_bytes(data)
        rows += facts
    document_rows = write_documents(root / "docs", pool, documents)
    rows += document_rows
    with path.open("w", encoding="utf-8", newline="\n") as out:
        out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_benchmark(root / "benchmark", pool, pairs, rows)
    images = [image for row in document_rows for image in row["images"]]
    planted = Counter(kind for row in [*rows, *images] for kind in row["defects"])
    return Truth(path, pairs, documents, len(images), dict(sorted(planted.items())))


def _shards(pool: Pool, pairs: int, workers: int) -> Iterator[tuple[bytes, list[Facts]]]:
    jobs = [(pool, start, min(start + BLOCK, pairs), pairs) for start in range(0, pairs, BLOCK)]
    if workers <= 1:
        yield from map(_shard, jobs)
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as executor:
        yield from executor.map(_shard, jobs)


def _shard(job: tuple[Pool, int, int, int]) -> tuple[bytes, list[Facts]]:
    """One tar and its rows of the truth; the pool's last tar ends within the image of its last sample."""
    pool, start, stop, pairs = job
    buffer = io.BytesIO()
    rows: list[Facts] = []
    cut_at = 0
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for index in range(start, stop):
            sample = build(pool, index)
            sample.facts["offset"] = tar.offset
            cut_at = tar.offset + tarfile.BLOCKSIZE + len(sample.members[0][1]) // 2
            _add(tar, sample)
            rows.append(sample.facts)
    data = buffer.getvalue()
    if stop == pairs and pairs >= _TAIL:
        data = data[:cut_at]
        rows[-1]["defects"].append("tar_truncated")
    return data, rows


def _add(tar: tarfile.TarFile, sample: Sample) -> None:
    for extension, data in sample.members:
        member = tarfile.TarInfo(f"{sample.facts['name']}.{extension}")
        member.size = len(data)
        member.mtime, member.mode = 0, 0o644
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        tar.addfile(member, io.BytesIO(data))
