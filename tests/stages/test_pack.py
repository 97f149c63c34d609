from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pools
import pyarrow as pa
import pytest
from by_key import decided, drops, samples
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import RecipeError
from stages.common.packing import first_fit_decreasing
from stages.group.pack import Pack


def naive(sizes: Sequence[tuple[int, ...]], room: tuple[int, ...]) -> list[int]:
    """First-fit decreasing as it is told: one item after the other, one bin after the other."""
    free: list[list[int]] = []
    found = [0] * len(sizes)
    for i in sorted(range(len(sizes)), key=lambda i: tuple(-s for s in sizes[i])):
        place = next(
            (b for b, f in enumerate(free) if all(x >= s for x, s in zip(f, sizes[i], strict=True))), -1
        )
        if place < 0:
            place = len(free)
            free.append(list(room))
        free[place] = [x - s for x, s in zip(free[place], sizes[i], strict=True)]
        found[i] = place
    return found


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_first_fit_decreasing_is_that(data: st.DataObject) -> None:
    room = data.draw(st.tuples(st.integers(0, 30)) | st.tuples(st.integers(1, 30), st.integers(0, 4)))
    item = st.tuples(*(st.integers(0, r) for r in room))
    sizes = data.draw(st.lists(item, max_size=80))
    given_ = np.array(sizes, dtype=np.int64).reshape(len(sizes), len(room))
    assert first_fit_decreasing(given_, np.array(room)).tolist() == naive(sizes, room)


def pool(tokens: Sequence[int | None], images: Sequence[int] | None = None, start: int = 0) -> pa.Table:
    layouts = ["i" * n + "t" for n in images or [1] * len(tokens)]
    return samples(len(tokens), start, n_chars=pa.array(tokens, pa.int64()), layout=layouts)


def some(count: int, seed: int = 0, most: int = 900) -> list[int]:
    found: list[int] = np.random.default_rng(seed).integers(1, most, count).tolist()
    return found


def packs(stage: Pack, table: pa.Table) -> dict[str, list[int]]:
    """pack_id -> rows in the order of their positions."""
    found: dict[str, list[tuple[int, int]]] = {}
    for row, told in enumerate(decided(stage, table)):
        assert (told["pack_id"] is None) == (told["pack_position"] is None) == (told["drop"] is not None)
        if told["pack_id"]:
            assert told["pack_capacity"] == (0 if told["pack_position"] else stage.length)
            found.setdefault(told["pack_id"], []).append((told["pack_position"], row))
    for members in found.values():
        assert sorted(place for place, _ in members) == list(range(len(members)))
    return {name: [row for _, row in sorted(members)] for name, members in found.items()}


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 120) | st.none(), st.integers(0, 5)), min_size=1, max_size=60),
    st.integers(1, 9),
    st.sampled_from([1, 4]),
    st.integers(0, 3),
)
def test_no_pack_is_over_its_length(
    sizes: list[tuple[int | None, int]], window: int, tasks: int, extra: int
) -> None:
    tokens, images = [t for t, _ in sizes], [n for _, n in sizes]
    table = pool(tokens, images)
    stage = Pack(tokens="n_chars", length=100, max_images=4, window=window, tasks=tasks, extra=extra)
    found = packs(stage, table)
    for rows in found.values():
        assert sum((tokens[row] or 0) + extra for row in rows) <= 100
        assert sum(images[row] for row in rows) <= 4
        assert len(rows) <= window
    for row, drop in enumerate(drops(stage, table)):
        taken = tokens[row]
        told = (
            "no_tokens"
            if taken is None
            else "too_long"
            if taken + extra > 100
            else "too_many_images"
            if images[row] > 4
            else None
        )
        assert drop == told
        assert sum(row in rows for rows in found.values()) == (told is None)


def test_a_window_is_packed_as_the_rule_says() -> None:
    tokens = some(400, most=300)
    found = packs(Pack(tokens="n_chars", length=1000), pool(tokens))
    wanted = Counter(naive([(t,) for t in tokens], (1000,)))
    assert sorted(map(len, found.values())) == sorted(wanted.values())
    sums = [sum(tokens[row] for row in rows) for rows in found.values()]
    assert sum(sums) == sum(tokens)
    assert 1 - sum(sums) / (1000 * len(sums)) < 0.02


def test_what_is_too_long_is_a_pack_of_its_own() -> None:
    table = pool([150, 90, 10, 100], [1, 1, 1, 9])
    rows = decided(Pack(tokens="n_chars", length=100, too_long="keep", max_images=8), table)
    assert [row["drop"] for row in rows] == [None] * 4
    assert [row["pack_capacity"] for row in rows if row["pack_position"] == 0].count(150) == 1
    assert rows[0]["pack_capacity"] == 150
    assert rows[3]["pack_capacity"] == 100
    assert rows[1]["pack_id"] == rows[2]["pack_id"]
    assert len({row["pack_id"] for row in rows}) == 3


def test_what_has_no_number_goes_and_what_takes_nothing_stays() -> None:
    table = pool([None, 0, -5, 100])
    assert drops(Pack(tokens="n_chars", length=100), table) == ["no_tokens", None, None, None]
    assert len(packs(Pack(tokens="n_chars", length=100), table)) == 1


def test_order_of_the_input_does_not_matter() -> None:
    table = pool(some(300))
    order = np.random.default_rng(1).permutation(300)
    stage = Pack(tokens="n_chars", length=1000, window=50)
    there, back = decided(stage, table), decided(stage, table.take(pa.array(order)))
    assert [there[i] for i in order] == back


def test_new_data_change_the_packs_of_their_windows_alone() -> None:
    stage = Pack(tokens="n_chars", length=1000, window=50)
    old = pool(some(2000))
    before = packs(stage, old)
    windows = 2000 / 50
    after = packs(stage, pa.concat_tables([old, pool([400, 30], start=2000)]))
    kept = {name: rows for name, rows in after.items() if before.get(name) == rows}
    # of two windows, which hold 25 to 50 samples each, all packs may be others
    assert len(before) - len(kept) <= 2 * 50 * 0.6
    assert len(kept) > len(before) * (1 - 4 / windows)


def test_windows_are_the_same_for_any_number_of_tasks() -> None:
    table = pool(some(3000))
    one, many = (packs(Pack(tokens="n_chars", length=1000, window=90, tasks=t), table) for t in (1, 8))
    assert {frozenset(rows) for rows in one.values()} == {frozenset(rows) for rows in many.values()}


def test_another_seed_makes_other_packs() -> None:
    table = pool(some(300))
    one, other = (packs(Pack(tokens="n_chars", length=1000, window=50, seed=s), table) for s in (0, 1))
    assert {tuple(r) for r in one.values()}.isdisjoint({tuple(r) for r in other.values() if len(r) > 2})


def test_what_is_not_to_be_mixed_is_not() -> None:
    kinds = [("en", "1"), ("en1", ""), ("en", None), (None, "1"), ("none", "1")]
    table = pool(some(250, most=20))
    table = table.append_column("language", pa.array([kinds[i % 5][0] for i in range(250)]))
    table = table.append_column("title", pa.array([kinds[i % 5][1] for i in range(250)]))
    found = packs(Pack(tokens="n_chars", length=10_000, by=("language", "title")), table)
    assert sorted(sorted({row % 5 for row in rows}) for rows in found.values()) == [[0], [1], [2], [3], [4]]


def test_very_many_samples_of_one_id() -> None:
    """They have one hash, so that no window can part them."""
    table = pool([400] * 120)
    table = table.set_column(0, "sample_id", pa.array(["0" * 32] * 120))
    assert len(packs(Pack(tokens="n_chars", length=1000, window=10), table)) == 60


def test_sources_meet_in_a_pack() -> None:
    table = pool(some(400, most=100)).append_column("dataset", pa.array(["a"] * 200 + ["b"] * 200))
    found = packs(Pack(tokens="n_chars", length=1000), table).values()
    assert all({row < 200 for row in rows} == {True, False} for rows in found if len(rows) > 8)
    # and the position in a pack does not tell how long a sample is
    longest = [max(rows, key=lambda r: table["n_chars"][r].as_py()) for rows in found]
    assert sum(rows[0] == row for rows, row in zip(found, longest, strict=True)) < len(longest) / 2


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"tokens": "text_words"}, "a value for each text"),
        ({"tasks": 6}, "no power of two: 8 is"),
        ({"length": 0}, "greater than or equal to 1"),
    ],
)
def test_what_a_recipe_cannot_say(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Pack.model_validate({"tokens": "n_chars", "length": 9, **fields})


def test_tokens_are_whole_numbers() -> None:
    schema = pa.schema([("score", pa.float32()), ("n_chars", pa.int64())])
    with pytest.raises(RecipeError, match="tokens: needs whole numbers, and `score` holds float"):
        Pack(tokens="score", length=9).check_columns(schema)
    with pytest.raises(RecipeError, match="by: `score`"):
        Pack(tokens="n_chars", length=9, by=("score",)).check_columns(schema)


def packed(path: str, part_rows: int) -> pools.Recipe:
    return {
        "name": "packed",
        "nodes": [
            {"id": "raw", "stage": "read_webdataset", "path": path, "part_rows": part_rows},
            {"id": "size", "stage": "shape"},
            {"id": "packs", "stage": "pack", "tokens": "n_chars", "length": 100, "window": 40},
            {"id": "out", "stage": "write_webdataset", "order": "packed", "shard_size": 30},
        ],
    }


def test_in_a_run_for_any_cut_of_the_input(tmp_path: Path) -> None:
    rows = pools.pairs(140)
    rows[3] = rows[3]._replace(text="x" * 101)
    one = pools.write_tars(tmp_path / "one", rows, 2)
    shuffled = [rows[i] for i in np.random.default_rng(0).permutation(140)]
    other = pools.write_tars(tmp_path / "other", shuffled, 5)
    report = pools.run(packed(one, 50), tmp_path / "run1")
    pools.prove(report)
    pools.run(packed(other, 9), tmp_path / "run2")
    names = ["sample_id", "pack_id", "pack_position", "pack_capacity"]
    index, again = (pools.index(tmp_path / run, "out").select(names).to_pylist() for run in ("run1", "run2"))
    assert index == again
    assert len(index) == 139
    assert set(pools.dead(tmp_path / "run1").values()) == {"packs:too_long"}
    # whole packs follow one another, each from its first position on
    assert sum(row["pack_position"] == 0 for row in index) == len({row["pack_id"] for row in index})
    for before, row in pairwise(index):
        assert row["pack_position"] == 0 or (
            row["pack_id"] == before["pack_id"] and row["pack_position"] == before["pack_position"] + 1
        )
    (output,) = report["outputs"]
    capacity = 100 * len({row["pack_id"] for row in index})
    told = {"pack_capacity": capacity, "n_chars": sum(len(row.text) for row in rows if len(row.text) <= 100)}
    assert output["totals"] == told
