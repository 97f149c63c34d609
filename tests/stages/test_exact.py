from __future__ import annotations

import time
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from stages.group.exact import Exact


def items(rows: list[tuple[str, str, str | None]], key: str = "image_sha256") -> pa.Table:
    """(sample_id, shape, key) each."""
    ids, shapes, keys = zip(*rows, strict=True)
    return pa.table({"sample_id": ids, "shape": shapes, key: pa.array(keys, pa.string())})


def decided(stage: Exact, table: pa.Table) -> list[tuple[Any, ...]]:
    """(key, sample_id, drop, cluster, survivor), through keys() and elect() as the engine calls them."""
    keys = stage.keys(table).to_pylist()
    names = sorted({k[0] for k in keys if k})
    component = pa.array([names.index(k[0]) if k else None for k in keys], pa.int64())
    table = table.append_column("component", component).filter(component.is_valid())
    order = [("component", "ascending"), *stage.rank(), ("sample_id", "ascending")]
    table = table.sort_by(order)
    out = stage.elect(table)
    assert out.drop is not None
    columns = [table[stage.key], table["sample_id"], out.drop, *out.columns.values()]
    return list(zip(*[c.to_pylist() for c in columns], strict=True))


def test_pairs_elect_one_survivor() -> None:
    table = items([("b", "pair", "x"), ("a", "pair", "x"), ("c", "pair", "y"), ("d", "pair", None)])
    found = decided(Exact(key="image_sha256"), table)
    cluster = found[0][3]
    assert len(cluster) == 16
    assert found == [
        ("x", "a", None, cluster, "a"),
        ("x", "b", "duplicate", cluster, "a"),
        ("y", "c", None, None, None),
    ]


def test_the_preferred_one_survives() -> None:
    table = items([("a", "pair", "x"), ("b", "pair", "x"), ("c", "pair", "x")]).append_column(
        "image_width", pa.array([5, 9, None])
    )
    for order, survivor in (("descending", "b"), ("ascending", "a")):
        stage = Exact.model_validate(
            {"key": "image_sha256", "prefer": [{"column": "image_width", "order": order}]}
        )
        assert {row[4] for row in decided(stage, table)} == {survivor}
        assert [row[1] for row in decided(stage, table) if row[2] is None] == [survivor]


def test_documents_are_capped_not_elected() -> None:
    rows = [(f"d{i}", "document", "logo") for i in range(4)] + [
        (f"d{i}", "document", "photo") for i in range(3)
    ]
    found = decided(Exact(key="image_sha256", max_documents=3), items(rows))
    assert [row[2] for row in found if row[0] == "logo"] == ["boilerplate"] * 4
    assert [row[2] for row in found if row[0] == "photo"] == [None] * 3
    assert {row[4] for row in found} == {None}, "no one survives for the others"


def test_twice_in_one_document_counts_once() -> None:
    rows = [("d0", "document", "x")] * 5 + [("d1", "document", "x")]
    assert {row[2] for row in decided(Exact(key="image_sha256", max_documents=2), items(rows))} == {None}
    assert {row[2] for row in decided(Exact(key="image_sha256", max_documents=1), items(rows))} == {
        "boilerplate"
    }


def test_pairs_and_documents_do_not_meet() -> None:
    rows = [("c", "pair", "x"), ("d", "pair", "x"), ("a", "document", "x"), ("b", "document:text_only", "x")]
    found = {row[1]: row[2:] for row in decided(Exact(key="image_sha256", max_documents=1), items(rows))}
    cluster = found["a"][1]
    assert found == {
        "a": ("boilerplate", cluster, None),
        "b": ("boilerplate", cluster, None),
        "c": (None, cluster, "c"),
        "d": ("duplicate", cluster, "c"),
    }


@pytest.mark.parametrize(("scope", "seen"), [("pairs", "ab"), ("documents", "cd"), ("all", "abcd")])
def test_scope(scope: str, seen: str) -> None:
    table = items([("a", "pair", "x"), ("b", "pair", "x"), ("c", "document", "x"), ("d", "document", "x")])
    stage = Exact.model_validate({"key": "image_sha256", "scope": scope})
    assert "".join(sorted(row[1] for row in decided(stage, table))) == seen
    wanted = {"pairs": {"duplicate"}, "documents": {"boilerplate"}, "all": {"duplicate", "boilerplate"}}
    assert stage.reasons() == wanted[scope]


def test_whole_documents_elect_a_survivor() -> None:
    stage = Exact(key="url")
    assert stage.level_() == "sample"
    assert stage.writes().names == ["cluster", "survivor"]
    assert stage.reasons() == {"duplicate"}
    found = decided(stage, items([("a", "document", "u"), ("b", "document", "u")], "url"))
    assert [row[2] for row in found] == [None, "duplicate"]


@pytest.mark.parametrize(
    ("normalise", "classes"),
    [("none", 5), ("casefold", 3), ("nfkc", 2)],
)
def test_normalised_texts(normalise: str, classes: int) -> None:
    texts = ["A Red Bike", "a  red\u00a0bike ", "ａ red bike", "A red bike", "another"]
    stage = Exact.model_validate({"key": "text_body", "normalise": normalise})
    keys = stage.keys(items([(str(i), "pair", t) for i, t in enumerate(texts)], "text_body"))
    assert len({k[0] for k in keys.to_pylist()}) == classes


def test_long_keys_stay_apart() -> None:
    long = ["x" * 5000 + str(i) for i in (0, 1, 0)]
    found = decided(
        Exact(key="text_body"), items([(str(i), "pair", t) for i, t in enumerate(long)], "text_body")
    )
    assert {row[1]: row[2] for row in found} == {"0": None, "1": None, "2": "duplicate"}
    keys = Exact(key="text_body").keys(items([("a", "pair", long[0])], "text_body"))
    assert len(keys.to_pylist()[0][0]) < 100


def test_columns_can_be_told_apart() -> None:
    assert Exact(key="image_sha256").writes().names == ["image_cluster", "image_survivor"]
    assert Exact(key="image_sha256", name="file").writes().names == [
        "image_file_cluster",
        "image_file_survivor",
    ]


def marked(stage: Exact, table: pa.Table) -> list[tuple[Any, ...]]:
    """(sample_id, cluster, survivor, duplicate), as `decided`."""
    keys = stage.keys(table).to_pylist()
    names = sorted({k[0] for k in keys if k})
    component = pa.array([names.index(k[0]) if k else None for k in keys], pa.int64())
    table = table.append_column("component", component).filter(component.is_valid())
    table = table.sort_by([("component", "ascending"), ("sample_id", "ascending")])
    out = stage.elect(table)
    assert out.drop is None
    assert list(out.columns) == stage.writes().names
    return list(
        zip(table["sample_id"].to_pylist(), *[c.to_pylist() for c in out.columns.values()], strict=True)
    )


def test_marks_say_what_would_have_been_dropped_and_drop_nothing() -> None:
    stage = Exact(key="row_id", action="mark", name="id")
    assert stage.reasons() == frozenset()
    assert stage.writes().names == ["id_cluster", "id_survivor", "id_duplicate"]
    rows = [
        ("b", "pair", "x"),
        ("a", "pair", "x"),
        ("c", "pair", "y"),
        ("d", "pair", None),
        ("e", "pair", None),
    ]
    found = marked(stage, items(rows, "row_id"))
    cluster = found[0][1]
    assert found == [("a", cluster, "a", False), ("b", cluster, "a", True), ("c", None, None, None)]


def test_twins_are_told_apart_by_their_marks() -> None:
    rows = [("a", "pair", "x"), ("a", "pair", "x")]
    assert [row[2:] for row in marked(Exact(key="url", action="mark"), items(rows, "url"))] == [
        ("a", False),
        ("a", True),
    ]


def test_marks_of_items_in_documents_are_those_of_the_cap() -> None:
    rows = [(f"d{i}", "document", "logo") for i in range(3)] + [(f"d{i}", "document", "p") for i in range(2)]
    found = marked(Exact(key="image_sha256", action="mark", max_documents=2), items(rows))
    assert [row[3] for row in found] == [True] * 3 + [False] * 2


def test_a_million_items() -> None:
    rows = 1_000_000
    rng = np.random.default_rng(0)
    component = np.sort(rng.integers(0, rows // 2, rows))
    table = pa.table(
        {
            "sample_id": pa.array(np.arange(rows)).cast(pa.string()),
            "shape": pa.array(np.where(component % 2, "pair", "document")),
            "image_sha256": pa.array(component).cast(pa.string()),
            "component": component,
        }
    )
    start = time.process_time()
    out = Exact(key="image_sha256").elect(table)
    assert time.process_time() - start < 3.0
    multiple = np.bincount(component)[1::2]
    assert out.drop.to_pylist().count("duplicate") == int(np.maximum(multiple - 1, 0).sum())
