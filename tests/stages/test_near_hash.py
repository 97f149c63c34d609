"""Hashes within a distance: all pairs, for 64 and 256 bits, in a run and by brute force."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pools
import pyarrow as pa
import pytest

from curate.errors import RecipeError
from stages.group.near_hash import NearHash


def hashes(bits: int, seed: int = 0) -> np.ndarray:
    """(200, bits / 64): forty hashes, each with four others at 1 to 16 bits of it."""
    rng = np.random.default_rng(seed)
    centres = rng.integers(0, 2, (40, bits), dtype=np.uint8)
    rows = []
    for centre in centres:
        rows.append(centre)
        for _ in range(4):
            other = centre.copy()
            other[rng.choice(bits, rng.integers(1, 17), replace=False)] ^= 1
            rows.append(other)
    packed = np.packbits(np.array(rows), axis=1).view(">u8").astype(np.uint64)
    return packed.reshape(len(rows), -1)


def column(words: np.ndarray) -> pa.Array:
    if words.shape[1] == 1:
        return pa.array(words[:, 0])
    return pa.array([row.astype(">u8").tobytes() for row in words], pa.binary(8 * words.shape[1]))


@pytest.mark.parametrize(("bits", "d"), [(64, 0), (64, 4), (64, 6), (64, 10), (256, 6), (256, 16)])
def test_all_pairs_within_the_distance_and_no_others(bits: int, d: int) -> None:
    words = hashes(bits)
    of = "image_phash" if bits == 64 else "image_phash256"
    stage = NearHash.model_validate({"of": of, "max_distance": d})
    n = len(words)
    shape, ids = pa.array(["pair"] * n), pa.array([str(i) for i in range(n)])
    items = pa.table({of: column(words), "sample_id": ids, "shape": shape})
    found = stage.prepare(items, {})
    counts = pa.compute.list_value_length(found.keys).to_numpy()
    row = np.repeat(np.arange(n), counts)
    bucket = found.signature.take(pa.array(row)).append_column("key", found.keys.flatten())
    bucket = bucket.append_column("row", pa.array(row)).sort_by([("key", "ascending"), ("twin", "ascending")])
    linked: dict[tuple[int, int], float] = {}
    for links in stage.link(bucket):
        for side, other, alike in zip(*(links[c].to_pylist() for c in links.column_names), strict=True):
            pair = sorted((bucket["row"][side].as_py(), bucket["row"][other].as_py()))
            linked[pair[0], pair[1]] = alike
    apart = np.bitwise_count(words[:, None] ^ words[None]).sum(axis=2)
    expected = {(int(a), int(b)) for a, b in np.argwhere((apart <= d) & (apart > 0)) if a < b}
    assert set(linked) == expected
    assert d == 0 or expected
    assert all(abs(1 - apart[pair] / bits - alike) < 1e-6 for pair, alike in linked.items())


def test_in_a_run(tmp_path: Path) -> None:
    """Copies as WebP of quality 60 go, and the hash of 256 bits finds them as that of 64 does."""
    import io

    from PIL import Image

    rows = []
    for seed in range(12):
        image = Image.open(io.BytesIO(pools.picture(seed, 96, 80)))
        sink = io.BytesIO()
        image.save(sink, "WEBP", quality=60)
        rows += [
            pools.Pair(f"a{seed}", pools.picture(seed, 96, 80), "one"),
            pools.Pair(f"b{seed}", sink.getvalue(), "two"),
        ]
    path = pools.write_tars(tmp_path / "in", rows, 2)
    for of in ("image_phash", "image_phash256", "image_dhash"):
        recipe = {
            "name": "hash",
            "nodes": [
                {"id": "raw", "stage": "read_webdataset", "path": path},
                {"stage": "phash", "kinds": ["phash", "phash256", "dhash"]},
                {"id": "near", "stage": "near_hash", "of": of, "max_distance": 20 if "256" in of else 8},
                {"id": "out", "stage": "write_webdataset"},
            ],
        }
        report = pools.run(recipe, tmp_path / of)
        pools.prove(report)
        assert pools.node(report, "near")["dropped"] == {"duplicate": 12}
        assert report["outputs"][0]["samples"]["written"] == 12


def test_what_is_no_hash_is_said_at_plan_time() -> None:
    recipe = {
        "name": "hash",
        "nodes": [
            {"id": "raw", "stage": "read_webdataset", "path": "*.tar"},
            {"id": "near", "stage": "near_hash", "of": "image_ref"},
        ],
    }
    with pytest.raises(RecipeError, match="a hash is 64 bits"):
        pools.planned(recipe)
