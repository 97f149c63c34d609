"""Bounds given as quantiles: who goes is who numpy says, over all rows at once, wherever they lie."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pools
import pyarrow as pa
import pytest
import scored_stages
from hypothesis import given
from hypothesis import strategies as st
from scored import BOUNDS, COUNT, MODULES, below, best, by_caption, merged, quantile, run, scored, thresholds

from curate import measure
from curate.backends import Backend
from curate.errors import RecipeError
from curate.report import funnel
from curate.steps import Column, Segment


@pytest.fixture
def tars(tmp_path: Path) -> str:
    rows = pools.pairs(COUNT)
    return pools.write_tars(tmp_path / "in", [*rows, rows[3]], 3)


KINDS = [
    pa.float16(),
    pa.float32(),
    pa.float64(),
    pa.int8(),
    pa.uint16(),
    pa.int32(),
    pa.int64(),
    pa.uint64(),
]


def values_of(kind: pa.DataType) -> st.SearchStrategy[Any]:
    if pa.types.is_floating(kind):
        width = kind.bit_width
        few = st.sampled_from([0.0, -0.0, 1.5, -1.5, math.inf, -math.inf, math.nan])
        return few | st.floats(width=width)  # type: ignore[call-overload,no-any-return]
    least = 0 if pa.types.is_unsigned_integer(kind) else -(2 ** (kind.bit_width - 1))
    most = least + 2**kind.bit_width - 1
    return st.integers(least, most) | st.integers(max(least, -3), 3)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@given(st.data())
def test_values_at_quantiles_are_numpys(kind: pa.DataType, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.none() | values_of(kind), max_size=60))
    qs = data.draw(st.lists(st.floats(0.001, 0.999), min_size=1, max_size=4, unique=True))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(values)), max_size=3)))
    drawn = [np.float16(v) if v is not None and kind == pa.float16() else v for v in values]
    column = pa.array(drawn, kind)
    pieces = {
        str(i): column.slice(a, b - a)
        for i, (a, b) in enumerate(zip([0, *cuts], [*cuts, len(values)], strict=True))
    }
    segment = Segment("s", ("s",), columns={"x": Column(kind, "s", "")})

    def tasks(arguments: Sequence[Mapping[str, Any]]) -> Any:
        for one in arguments:
            tables = [
                pa.table({"x": pieces[p], "drop": pa.nulls(len(pieces[p]), pa.string())})
                for p in one["parts"]
            ]
            # what a task returns goes through JSON
            yield json.loads(json.dumps(measure.tally(tables, segment, one["depth"], one["asks"])))

    ask = measure.Ask("x")
    found = measure.select(tasks, segment, list(pieces), {ask: qs})[ask]
    numbers = column.drop_null().to_numpy(zero_copy_only=False)
    numbers = numbers[~np.isnan(numbers)] if numbers.dtype.kind == "f" else numbers
    assert (found.n, found.n + found.nans + found.nulls) == (len(numbers), len(values))
    assert found.nulls == values.count(None)
    for q in qs:
        if not len(numbers):
            assert not found.places
            continue
        got = measure.value_of(found.places[q][0], kind)
        assert got == np.quantile(numbers, q, method="inverted_cdf")
        assert math.copysign(1, got) == 1 or got != 0
    if len(numbers):
        assert found.least is not None
        assert found.most is not None
        assert measure.value_of(found.least, kind) == numbers.min()
        assert measure.value_of(found.most, kind) == numbers.max()


def test_every_level_is_bounded_where_numpy_says(
    tars: str, tmp_path: Path, start: Callable[[], Backend]
) -> None:
    """Mixed with other bounds: those judge at the same time and take nothing from what is measured."""
    recipe = best(tars, BOUNDS, part_rows=13)
    report = run(recipe, tmp_path / "run", start)
    pools.prove(report)
    rows = scored(recipe, by_caption(pools.pairs(COUNT)))
    limits = {
        (f"{c}.{reason}", ""): quantile([r[c] for r in rows], q)
        for c, reason, q in [
            ("image_score", "below_min_quantile", 0.3),
            ("text_score", "above_max_quantile", 0.9),
            ("score", "below_min_quantile", 0.1),
            ("score", "above_max_quantile", 0.95),
        ]
    }
    assert thresholds(report) == limits
    expected = {}
    for row in rows:
        image, text, score = row["image_score"], row["text_score"], row["score"]
        outside = [
            ("image_score.missing", image is None),
            ("image_score.above_max", image is not None and not image <= 3.0),
            (
                "image_score.below_min_quantile",
                image is not None and not image >= limits["image_score.below_min_quantile", ""],
            ),
            (
                "text_score.above_max_quantile",
                text is not None and not text <= limits["text_score.above_max_quantile", ""],
            ),
            ("score.missing", score is None),
            (
                "score.below_min_quantile",
                score is not None and score < limits["score.below_min_quantile", ""],
            ),
            (
                "score.above_max_quantile",
                score is not None and score > limits["score.above_max_quantile", ""],
            ),
        ]
        reasons = [reason for reason, true in outside if true]
        if reasons:
            expected[row["sample_id"]] = f"best:{reasons[0]}"
    assert pools.dead(tmp_path / "run") == expected
    assert {r.partition(":")[2] for r in expected.values()} > {r for r, _ in limits}
    written = pools.index(tmp_path / "run", "out")["sample_id"].to_pylist()
    assert sorted(written) == sorted(r["sample_id"] for r in rows if r["sample_id"] not in expected)
    dropped = pools.node(report, "best")["dropped"]
    assert "image_score.below_min_quantile" in funnel.render(report)
    assert sum(dropped.values()) == len(rows) - len(written)


def test_cuts_order_and_workers_change_nothing(
    tars: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: Callable[[], Backend]
) -> None:
    whole = run(best(tars, BOUNDS), tmp_path / "a")
    rows = pools.pairs(COUNT)
    other = pools.write_tars(tmp_path / "other", [*rows, rows[3]][::-1], 5)
    monkeypatch.setattr(measure, "_PARTS", 2)
    cut = run(best(other, BOUNDS, part_rows=4), tmp_path / "b", start)
    assert pools.output_bytes(tmp_path / "a") == pools.output_bytes(tmp_path / "b")
    assert pools.dead(tmp_path / "a") == pools.dead(tmp_path / "b")
    for node in ("image", "text", "whole", "best"):
        for key in ("thresholds", "percentiles", "dropped"):
            assert pools.node(whole, node).get(key) == pools.node(cut, node).get(key)


@pytest.mark.parametrize("by", ["all", "dataset"])
def test_sources_that_merge(tmp_path: Path, by: str, start: Callable[[], Backend]) -> None:
    recipe, images = merged(tmp_path, quantiles_by=by)
    report = run(recipe, tmp_path / "run", start)
    pools.prove(report)
    rows = scored(recipe, images)
    for row in rows:
        if row["dataset"] == "few":
            row["text_score"] = None
    groups = (
        {"": rows} if by == "all" else {d: [r for r in rows if r["dataset"] == d] for d in ("many", "few")}
    )
    gone: set[str] = set()
    for dataset, group in groups.items():
        gone |= below(group, "score", 0.4)
        limit = thresholds(report)["text_score.below_min_quantile", dataset]
        if dataset == "few":
            assert limit is None
            continue
        assert limit == quantile([r["text_score"] for r in group], 0.25)
        gone |= {
            r["sample_id"] for r in group if r["text_score"] is not None and not r["text_score"] >= limit
        }
    assert set(pools.dead(tmp_path / "run", "out")) == gone
    written = pools.index(tmp_path / "run", "out")["sample_id"].to_pylist()
    assert sorted(written) == sorted(r["sample_id"] for r in rows if r["sample_id"] not in gone)
    assert "many" in {r["dataset"] for r in rows if r["sample_id"] in written}


def test_a_merge_right_before_the_quantile(tmp_path: Path) -> None:
    """As the node itself merges them; and twice in a row, the second over what the first has left."""
    recipe, images = merged(tmp_path)
    nodes = [n for n in recipe["nodes"] if n["id"] not in ("whole", "best", "out", "side")]
    nodes[1] = {"id": "words", "stage": "score_sample"}
    nodes += [
        {"id": "fewer", "stage": "score_sample", "from": "few"},
        {
            "id": "best",
            "stage": "keep",
            "from": ["words", "fewer"],
            "bounds": {"score": {"min_quantile": 0.4}},
        },
        {"id": "again", "stage": "keep", "bounds": {"score": {"max_quantile": 0.4}}},
        {"id": "out", "stage": "write_webdataset"},
    ]
    report = run({**recipe, "nodes": nodes}, tmp_path / "run")
    pools.prove(report)
    rows = scored(recipe, images)
    gone = below(rows, "score", 0.4)
    left = [r for r in rows if r["sample_id"] not in gone]
    limit = quantile([r["score"] for r in left], 0.4)
    assert thresholds(report, "again") == {("score.above_max_quantile", ""): limit}
    gone |= {r["sample_id"] for r in left if r["score"] > limit}
    assert set(pools.dead(tmp_path / "run", "out")) == gone


def documents(pages: str, part_rows: int = 2) -> pools.Recipe:
    return {
        "name": "documents",
        "nodes": [
            {"id": "pages", "stage": "read_html", "path": pages, "part_rows": part_rows},
            {"stage": "sha256"},
            {"id": "furniture", "stage": "exact", "key": "image_sha256", "max_documents": 3},
            {"id": "image", "stage": "score_image"},
            {"id": "text", "stage": "score_text"},
            {
                "id": "best",
                "stage": "keep",
                "bounds": {
                    "image_score": {"min_quantile": 0.5},
                    "text_score": {"max_quantile": 0.8, "missing": "keep"},
                },
            },
            {"id": "tale", "stage": "story"},
            {"id": "docs", "stage": "write_webdataset", "form": "documents"},
            {"id": "born", "stage": "halves", "from": "tale"},
            {"id": "sft", "stage": "write_llava"},
        ],
    }


def test_images_and_texts_of_documents(tmp_path: Path, start: Callable[[], Backend]) -> None:
    """Only living images count: the logo that the Group took out of every page has no part in it."""
    pages = pools.write_pages(tmp_path / "pages", 8)
    report = run(documents(pages), tmp_path / "run", start)
    pools.prove(report)
    images = [
        scored_stages.real((tmp_path / "pages" / f"p{page}-{k}.png").read_bytes())
        for page in range(8)
        for k in range(3)
    ]
    limit = quantile([None if v is None else float(np.float32(v)) for v in images], 0.5)
    assert thresholds(report)["image_score.below_min_quantile", ""] == limit
    dropped = pools.node(report, "best")["dropped"]
    assert dropped["image_score.below_min_quantile"] == sum(v is not None and not v >= limit for v in images)
    texts = [r for r in pools.ledger(tmp_path / "run", "docs") if r["level"] == "text"]
    assert {r["reason"] for r in texts} >= {"text_score.above_max_quantile"}
    again = run(documents(pages), tmp_path / "run")
    assert pools.computed(again) == {}
    run(documents(pages, part_rows=3), tmp_path / "other")
    assert pools.output_bytes(tmp_path / "run") == pools.output_bytes(tmp_path / "other")


def test_nothing_there_to_measure(tmp_path: Path) -> None:
    """No value at all: whoever has none is missing, and nobody is below what is not there."""
    texts = [f"mute {i}" for i in range(2000)]
    mute = [t for t in texts if scored_stages.real(t.encode()) is None]
    nan = next(t for t in texts if (v := scored_stages.real(t.encode())) is not None and math.isnan(v))
    rows = [pools.Pair(f"k{i}", pools.picture(i), t) for i, t in enumerate([*mute[:5], nan])]
    recipe = best(str(pools.write_tar(tmp_path / "0.tar", rows)), {"text_score": {"min_quantile": 0.5}})
    report = run(recipe, tmp_path / "run")
    assert pools.node(report, "best")["dropped"] == {
        "text_score.below_min_quantile": 1,
        "text_score.missing": 5,
    }
    assert thresholds(report) == {("text_score.below_min_quantile", ""): None}
    assert pools.node(report, "text")["percentiles"]["text_score"]["p50"] is None
    nobody = run(best(str(pools.write_tar(tmp_path / "1.tar", [])), BOUNDS), tmp_path / "nobody")
    assert set(thresholds(nobody).values()) == {None}


@pytest.mark.parametrize(
    ("bounds", "told"),
    [
        ({"text_label": {"min_quantile": 0.5}}, "quantiles need numbers.*\n.*use `in`"),
        ({"score": {"min_quantile": 0.6, "max_quantile": 0.5}}, "above max_quantile 0.5"),
        ({"score": {"min_quantile": 0}}, "greater than 0"),
        ({"score": {"max_quantile": 1}}, "less than 1"),
        ({"score": {"min_quantile": 0.5, "max_quantile": "a"}}, "max_quantile"),
        ({"scor": {"min_quantile": 0.5}}, "reads `scor`.*\n.*`score`"),
    ],
)
def test_nonsense_is_refused(tars: str, bounds: dict[str, Any], told: str) -> None:
    with pytest.raises(RecipeError, match=told) as caught:
        pools.planned(best(tars, bounds), MODULES)
    assert "nodes.4 (best)" in str(caught.value)
