"""The record: view, put, settle and thin, on tables of any pairs and documents."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import sample
from curate.io.source import build
from curate.sample import DOCUMENT, PAIR, TEXT_ONLY

SCORES = pa.list_(pa.float64())
SCORES = pa.list_(pa.float64())
EXTRA = pa.schema([("image_score", SCORES), ("text_score", SCORES), ("n", pa.int32())])
REASON = st.sampled_from([None, None, None, "early:bad"])


@st.composite
def row(
    draw: st.DrawFn, number: int, shapes: tuple[str, ...] = (PAIR, DOCUMENT, TEXT_ONLY)
) -> dict[str, Any]:
    shape = draw(st.sampled_from(shapes))
    layout = draw(st.sampled_from(["it", "ti"])) if shape == PAIR else draw(st.text("it", max_size=6))
    n = {level: layout.count(span) for level, span in sample.SPAN.items()}
    drops = {
        f"{level}_drop": draw(st.lists(REASON, min_size=k, max_size=k)) if shape != PAIR else [None] * k
        for level, k in n.items()
    }
    return {
        "sample_id": f"{number:032x}", "dataset": "d", "source": f"s{number}",
        "shape": shape, "layout": layout, "drop": draw(REASON), **drops, "n": number,
        "image_ref": [f"{number}i{k}" for k in range(n["image"])],
        "text_body": [f"{number}t{k}" for k in range(n["text"])],
    }  # fmt: skip


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    rows = [draw(row(i)) for i in range(draw(st.integers(0, 7)))]
    return sample.settle(build(rows, EXTRA).combine_chunks(), "early")


LEVEL = st.sampled_from(sample.LEVELS)
KEYS = {"image": "image_ref", "text": "text_body", "sample": "sample_id"}


def verdicts(seen: sample.View, salt: int) -> tuple[pa.Array, pa.Array]:
    """A score and maybe a reason for each item, by what the item is alone."""
    names = seen.table[KEYS[seen.level]].to_pylist()
    numbers = [hash((salt, *map(ord, name))) % 97 for name in names]
    reasons = [f"why{n % 2}" if n % 3 == 0 else None for n in numbers]
    return pa.array([n / 8 for n in numbers], pa.float64()), pa.array(reasons, pa.string())


def step(table: pa.Table, level: sample.Level, salt: int) -> pa.Table:
    """What the engine does with one op."""
    seen = sample.view(table, level, [KEYS[level]])
    score, drop = verdicts(seen, salt)
    name = "score" if level == "sample" else f"{level}_score"
    return sample.settle(sample.put(table, seen, {name: score}, drop, "node"), "node")


def items(table: pa.Table, level: str) -> list[list[Any]]:
    return table[KEYS[level]].to_pylist()


@given(tables(), LEVEL, st.integers(0, 99))
def test_no_row_and_no_item_is_lost_or_moved(table: pa.Table, level: sample.Level, salt: int) -> None:
    after = step(table, level, salt)
    sample.check(after)
    for name in ("sample_id", "layout", "image_ref", "text_body"):
        assert after[name].to_pylist() == table[name].to_pylist()
    # who was dead stays dead, for the same reason
    for name in ("drop", "image_drop", "text_drop"):
        for old, new in zip(table[name].to_pylist(), after[name].to_pylist(), strict=True):
            pairs = [(old, new)] if name == "drop" else zip(old, new, strict=True)
            assert all(o is None or o == n for o, n in pairs)


@given(tables(), LEVEL)
def test_a_view_shows_the_living_and_them_alone(table: pa.Table, level: sample.Level) -> None:
    seen = sample.view(table, level, [KEYS[level], "n"])
    expected = []
    for r in table.to_pylist():
        if r["drop"] is None and level == "sample":
            expected.append((r["sample_id"], r["n"]))
        elif r["drop"] is None:
            found = zip(r[KEYS[level]], r[f"{level}_drop"], strict=True)
            expected += [(item, r["n"]) for item, drop in found if drop is None]
    assert (
        list(zip(seen.table[KEYS[level]].to_pylist(), seen.table["n"].to_pylist(), strict=True)) == expected
    )


@given(tables(), LEVEL, st.integers(0, 99))
def test_what_is_put_is_what_a_view_shows(table: pa.Table, level: sample.Level, salt: int) -> None:
    name = "score" if level == "sample" else f"{level}_score"
    seen = sample.view(table, level, [KEYS[level]])
    score, _ = verdicts(seen, salt)
    after = sample.put(table, seen, {name: score}, None, "node")
    assert sample.view(after, level, [name]).table[name].to_pylist() == score.to_pylist()
    # and the dead got nothing
    flat = after[name] if level == "sample" else sample.flat(after[name])
    assert pa.compute.count(flat, mode="only_valid").as_py() == len(score)


@given(tables(), st.lists(st.tuples(LEVEL, st.integers(0, 9)), max_size=4), st.lists(st.integers(0, 7)))
@settings(max_examples=60)
def test_how_a_table_is_cut_changes_nothing(
    table: pa.Table, ops: list[tuple[sample.Level, int]], cuts: list[int]
) -> None:
    def whole(part: pa.Table) -> pa.Table:
        for k, (level, salt) in enumerate(ops):
            part = step(part, level, salt + k)
        return part

    edges = sorted({0, table.num_rows, *(min(c, table.num_rows) for c in cuts)})
    parts = [whole(table.slice(a, b - a).combine_chunks()) for a, b in pairwise(edges)]
    if parts:
        assert pa.concat_tables(parts).to_pylist() == whole(table).to_pylist()


@given(st.integers(0, 99), st.sampled_from(["image", "text"]))
def test_a_pair_is_a_document_of_one_image(salt: int, level: sample.Level) -> None:
    """Items get the same columns and drops; with its image either dies."""
    base = {"sample_id": "0" * 32, "dataset": "d", "source": "s", "layout": "it", "n": 0}
    both = [{**base, "shape": s, "image_ref": ["i"], "text_body": ["t"]} for s in (PAIR, DOCUMENT)]
    pair, document = (step(build([r], EXTRA).combine_chunks(), level, salt).to_pylist()[0] for r in both)
    for name in ("image_drop", "text_drop", "image_score", "text_score"):
        assert pair[name] == document[name]
    reason = pair[f"{level}_drop"][0]
    assert pair["drop"] == reason  # a pair takes over the reason of its item
    if level == "image" and reason:
        assert document["drop"] == "node:no_image_left"
    else:
        assert document["drop"] is None


@given(tables(), st.integers(0, 99))
def test_settle_follows_the_shape(table: pa.Table, salt: int) -> None:
    after = step(table, "image", salt)
    for before, r in zip(table.to_pylist(), after.to_pylist(), strict=True):
        left = [d for d in r["image_drop"] if d is None]
        if before["drop"] is not None:
            assert r["drop"] == before["drop"]
        elif r["shape"] == PAIR:
            assert r["drop"] == r["image_drop"][0]
        elif r["shape"] == DOCUMENT:
            assert r["drop"] == (None if left else "node:no_image_left")
        else:
            assert r["drop"] is None


def test_a_document_that_never_had_an_image_says_so() -> None:
    rows = [
        {"sample_id": s, "dataset": "d", "source": s, "shape": s, "layout": "tt", "text_body": ["a", "b"]}
        for s in (DOCUMENT, TEXT_ONLY)
    ]
    settled = sample.settle(build(rows, EXTRA), "read")
    assert settled["drop"].to_pylist() == ["read:no_image", None]


@given(tables())
def test_thin_keeps_reading_order_and_original_places(table: pa.Table) -> None:
    names = ["layout", "image_ref", "image_index", "text_body", "text_index"]
    for r, thin in zip(table.to_pylist(), sample.thin(table, names).to_pylist(), strict=True):
        spans, places = [], {"i": 0, "t": 0}
        for span in r["layout"]:
            level = "image" if span == "i" else "text"
            k = places[span]
            places[span] += 1
            if r[f"{level}_drop"][k] is None:
                spans.append((span, k, r[KEYS[level]][k]))
        assert thin["layout"] == "".join(s for s, _, _ in spans)
        for span, level in (("i", "image"), ("t", "text")):
            assert thin[f"{level}_index"] == [k for s, k, _ in spans if s == span]
            assert thin[KEYS[level]] == [v for s, _, v in spans if s == span]


@given(tables(), LEVEL, st.data())
def test_some_of_a_view_go_back_to_their_own_places(
    table: pa.Table, level: sample.Level, data: st.DataObject
) -> None:
    seen = sample.view(table, level, [KEYS[level]])
    n = len(seen.slots)
    chosen = data.draw(st.lists(st.integers(0, max(n - 1, 0)), unique=True, max_size=n).map(sorted))
    some = seen.take(np.array(chosen, dtype=np.int64))
    names = some.table[KEYS[level]].cast(pa.string())
    name = "copy" if level == "sample" else f"{level}_copy"
    after = sample.put(table, some, {name: sample.single(names)}, None, "node")
    copies = after[name].to_pylist() if level == "sample" else sample.flat(after[name]).to_pylist()
    own = after[KEYS[level]].to_pylist() if level == "sample" else sample.flat(after[KEYS[level]]).to_pylist()
    assert [c for c in copies if c is not None] == names.to_pylist()
    assert all(c is None or c == o for c, o in zip(copies, own, strict=True))


@given(tables(), st.sampled_from(sample.LEVELS))
@settings(max_examples=60)
def test_new_values_leave_those_of_the_dead_as_they_were(table: pa.Table, level: sample.Level) -> None:
    name = {"sample": "meta", "image": "image_ref", "text": "text_body"}[level]
    seen = sample.view(table, level, [name])
    new = pa.array([f"new {i}" for i in range(len(seen.slots))], pa.string())
    after = sample.put(table, seen, {name: new}, None, "n")
    flat = sample.single if level == "sample" else sample.flat
    expected = flat(table[name]).to_pylist()
    for slot, value in zip(seen.slots.tolist(), new.to_pylist(), strict=True):
        expected[slot] = value
    assert flat(after[name]).to_pylist() == expected
    assert after[name].type == table[name].type
