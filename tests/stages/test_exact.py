from __future__ import annotations

from pathlib import Path
from typing import Any

import by_key
import numpy as np
import pools
import pyarrow as pa
import pytest

from curate.errors import RecipeError
from stages.group.exact import Exact


def items(rows: list[tuple[str, str, str | None]], key: str = "image_sha256") -> pa.Table:
    """(sample_id, shape, key) each."""
    ids, shapes, keys = zip(*rows, strict=True)
    return pa.table({"sample_id": ids, "shape": shapes, key: pa.array(keys, pa.string())})


def members(stage: Exact, table: pa.Table) -> pa.Table:
    """What elect() is shown of items, through keys() and units() as the engine calls them."""
    table = table.append_column("source", pa.array(["s"] * table.num_rows))
    keys = stage.keys(table)
    there = pa.array(keys.value_lengths().to_numpy() > 0)
    units = stage.units(table, keys)
    table = table.filter(there).append_column("key", keys.flatten()).append_column("unit", units)
    names = sorted(set(table["key"].to_pylist()))
    component = pa.array([names.index(key) for key in table["key"].to_pylist()], pa.int64())
    order = [("component", "ascending"), *(r[:2] for r in stage.rank()), ("sample_id", "ascending")]
    return by_key.with_told(table.append_column("component", component).sort_by(order))


def decided(stage: Exact, table: pa.Table) -> list[tuple[Any, ...]]:
    """(key, sample_id, drop, cluster, survivor) of each item with a key."""
    table = members(stage, table)
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
    table = members(stage, table)
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


def numbered(table: pa.Table) -> pa.Table:
    """With components numbered without gaps."""
    _, number = np.unique(table["component"].to_numpy(), return_inverse=True)
    return table.set_column(table.column_names.index("component"), "component", pa.array(number))


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
            "key": pa.array(np.char.zfill(component.astype(str), 7)),
            "unit": np.ones(rows, dtype=np.int64),
        }
    )
    out = Exact(key="image_sha256").elect(by_key.with_told(numbered(table)))
    multiple = np.bincount(component)[1::2]
    assert out.drop.to_pylist().count("duplicate") == int(np.maximum(multiple - 1, 0).sum())


@pytest.mark.parametrize(
    ("same", "other"),
    [
        (
            ("A red bike, by the wall!", "a RED bike  by the wall", "“A” red\u00a0bike: by the\u200b wall."),
            "bikes",
        ),
        (("Straße 5", "STRASSE 5", "ｓｔｒａｓｓｅ ５"), "strase 5"),
        (("e\u0301te\u0301", "été", "ÉTÉ"), "ete"),
        (("co-op", "co\u00adop", "CO‑OP"), "co op"),
        (("❤ love ❤\ufe0f", "love"), "loves"),
        (("!!!", " !!! "), "!!"),
        (("你好，世界。", "你好世界"), "你好 世界"),
    ],
)
def test_texts_without_what_is_not_said(same: tuple[str, ...], other: str) -> None:
    stage = Exact(key="text_body", normalise="text")
    keys = [
        k[0] for k in stage.keys(items([(t, "pair", t) for t in (*same, other)], "text_body")).to_pylist()
    ]
    assert len(set(keys[:-1])) == 1
    assert keys[-1] != keys[0]


def test_urls_that_lead_to_the_same() -> None:
    urls = [
        "https://www.example.com/a/?utm_source=x",
        "http://example.com:80/a#b",
        "https://example.com/b",
        None,
    ]
    table = items([(str(i), "pair", url) for i, url in enumerate(urls)], "image_url")
    found = {row[1]: row[2] for row in decided(Exact(key="image_url", normalise="url"), table)}
    assert found == {"0": None, "1": "duplicate", "2": None}


def test_only_what_agrees_elsewhere_is_compared() -> None:
    rows = [
        ("a", "pair", "x"),
        ("b", "pair", "x"),
        ("c", "pair", "x"),
        ("d", "pair", "x"),
        ("e", "pair", "x"),
    ]
    table = items(rows).append_column("domain", pa.array(["one", "one", "two", None, None]))
    found = decided(Exact(key="image_sha256", within=("domain",)), table)
    assert [row[1:3] for row in found] == [("a", None), ("b", "duplicate"), ("c", None)]
    again = items(rows).append_column("domain", pa.array(["two"] * 5))
    names = {row[3] for row in decided(Exact(key="image_sha256", within=("domain",)), again)}
    assert names != {found[0][3]}, "clusters of two domains have two names"


def test_values_of_several_columns_do_not_run_together() -> None:
    table = items([("a", "pair", "x"), ("b", "pair", "x")])
    for name, values in (("site", ["p:1", "p"]), ("page", ["q", "1:q"])):
        table = table.append_column(name, pa.array(values))
    assert {r[2] for r in decided(Exact(key="image_sha256", within=("site", "page")), table)} == {None}


def test_a_preferred_source_comes_before_all_scores() -> None:
    table = items([("a", "pair", "x"), ("b", "pair", "x"), ("c", "pair", "x"), ("d", "pair", "x")])
    table = table.append_column("dataset", pa.array(["crawl", "other", "curated", "curated"]))
    table = table.append_column("image_width", pa.array([9, 99, 5, 6]))
    prefer = [{"column": "dataset", "first": ["curated", "crawl"]}, {"column": "image_width"}]
    stage = Exact.model_validate({"key": "image_sha256", "prefer": prefer})
    assert by_key.drops(stage, table) == ["duplicate", "duplicate", "duplicate", None]
    without = by_key.drops(stage, table.slice(0, 2))
    assert without == [None, "duplicate"]


def test_columns_that_cannot_be_compared_are_refused() -> None:
    columns = pa.schema(
        [
            ("image_embedding", pa.list_(pa.float16(), 8)),
            ("image_width", pa.int32()),
            ("image_sha256", pa.string()),
        ]
    )
    with pytest.raises(RecipeError, match="key: `image_embedding` holds"):
        Exact(key="image_embedding").check_columns(columns)
    with pytest.raises(RecipeError, match="within: `image_embedding` holds"):
        Exact(key="image_width", within=("image_embedding",)).check_columns(columns)
    with pytest.raises(RecipeError, match="normalise: `image_width` holds int32"):
        Exact(key="image_width", normalise="text").check_columns(columns)
    Exact(key="image_sha256", within=("image_width",)).check_columns(columns)
    with pytest.raises(ValueError, match="within: `image_width` is of each image"):
        Exact(key="text_body", within=("image_width",))


def test_what_earlier_runs_kept_comes_first(tmp_path: Path) -> None:
    """A copy of tomorrow dies, though it is preferred; what is new stays."""

    def day(path: str, *known: Path) -> pools.Recipe:
        prefer = [{"column": "text_body", "order": "ascending"}]  # bmp comes before png
        exact = {"stage": "exact", "key": "image_pixel_sha256", "prefer": prefer}
        nodes = [
            {"id": "raw", "stage": "read_webdataset", "path": path, "part_rows": 4},
            {"stage": "sha256"},
            {"id": "once", **exact, "known": [str(run) for run in known]},
            {"id": "out", "stage": "write_webdataset"},
        ]
        return {"name": "day", "nodes": nodes}

    def rows(first: int, last: int, form: str) -> list[pools.Pair]:
        return [
            pools.Pair(f"{form}{i}", pools.picture(i, form=form), f"{form} {i}") for i in range(first, last)
        ]

    pools.run(day(pools.write_tars(tmp_path / "1", rows(0, 12, "png"), 2)), tmp_path / "day1")
    two = pools.write_tars(tmp_path / "2", rows(6, 18, "bmp"), 2)
    report = pools.run(day(two, tmp_path / "day1"), tmp_path / "day2")
    pools.prove(report)
    left = pools.index(tmp_path / "day2", "out")["text_body"].to_pylist()
    dead = [r for r in pools.ledger(tmp_path / "day2") if r["level"] == "image"]
    assert set(left) == {f"bmp {i}" for i in range(12, 18)}
    assert len(dead) == 6
    assert {r["reason"] for r in dead} == {"duplicate"}
    assert {r["image_survivor"] for r in dead} <= set(
        pools.index(tmp_path / "day1", "out")["sample_id"].to_pylist()
    )
