from __future__ import annotations

from typing import Any

import pyarrow as pa

from stages.common.electing import near
from stages.common.near import Prefer

Row = tuple[str, str, int, float | None]  # sample_id, shape, leader, similarity


def table(*rows: Row, twins: list[int] | None = None) -> pa.Table:
    ids, shapes, leaders, alike = zip(*rows, strict=True)
    columns: dict[str, Any] = {"sample_id": ids, "shape": shapes, "leader": pa.array(leaders, pa.int64())}
    columns["similarity"] = pa.array(alike, pa.float32())
    columns["component"] = pa.array([0] * len(ids), pa.int64())
    if twins is not None:
        columns["twin"] = pa.array(twins, pa.uint64())
    return pa.table(columns)


def decided(members: pa.Table, items: bool = True, most: int = 2, mark: bool = False) -> dict[str, list[Any]]:
    out = near(members, "image_near_", items=items, max_documents=most, mark=mark)
    columns = {name.removeprefix("image_near_"): values.to_pylist() for name, values in out.columns.items()}
    return {**columns, "drop": out.drop.to_pylist() if out.drop is not None else [None] * members.num_rows}


def test_each_survivor_keeps_its_own_and_no_other() -> None:
    members = table(
        ("a", "pair", 0, None), ("b", "pair", 0, 0.9), ("c", "pair", 2, None), ("d", "pair", 2, 0.8),
        ("e", "pair", 4, None),
    )  # fmt: skip
    found = decided(members)
    assert found["drop"] == [None, "duplicate", None, "duplicate", None]
    assert found["survivor"] == ["a", "a", "c", "c", None], "e was linked, but is like no survivor"
    assert [n is None for n in found["cluster"]] == [False] * 4 + [True]
    assert found["cluster"][0] == found["cluster"][1] != found["cluster"][2] == found["cluster"][3]
    assert [s is None for s in found["similarity"]] == [True, False, True, False, True]


def test_items_of_documents_are_capped_by_documents() -> None:
    def clusters(documents: str) -> pa.Table:
        return table(*((d, "document", 0, 0.9 if i else None) for i, d in enumerate(documents)))

    few, many = decided(clusters("aabb")), decided(clusters("abca"))
    assert few["drop"] == [None] * 4, "twice in a document counts once"
    assert many["drop"] == ["boilerplate"] * 4
    assert few["survivor"] == many["survivor"] == [None] * 4
    assert len(set(many["cluster"])) == 1
    assert None not in many["cluster"]


def test_whole_documents_elect() -> None:
    members = table(("a", "document", 0, None), ("b", "document", 0, 0.9), ("c", "document", 0, 0.9))
    assert decided(members, items=False)["drop"] == [None, "duplicate", "duplicate"]


def test_a_mark_drops_nothing() -> None:
    members = table(("a", "pair", 0, None), ("b", "pair", 0, 1.0), ("c", "pair", 2, None))
    found = decided(members, mark=True)
    assert found["drop"] == [None] * 3
    assert found["duplicate"] == [False, True, None]
    furniture = table(*((d, "document", 0, None) for d in "xyz"))
    assert decided(furniture, mark=True)["duplicate"] == [True] * 3


def test_a_cluster_is_named_by_its_leader_alone() -> None:
    small = decided(table(("a", "pair", 0, None), ("b", "pair", 0, 0.9), twins=[7, 8]))["cluster"]
    large = table(
        ("x", "pair", 0, None), ("a", "pair", 1, None), ("c", "pair", 1, 0.9), ("d", "pair", 1, 1.0),
        twins=[1, 7, 9, 7],
    )  # fmt: skip
    assert set(small) == {"36e6e907db0e2729"} == set(decided(large)["cluster"][1:])
    # two images of one document, each with its copies
    of_one = table(*(("a", "document", i - i % 2, None) for i in range(4)), twins=[5, 5, 6, 6])
    assert len(set(decided(of_one)["cluster"])) == 2


def test_nobody_is_nothing() -> None:
    assert decided(table(("a", "pair", 0, None)).slice(0, 0))["drop"] == []


def test_what_comes_first_is_a_list_or_one() -> None:
    assert Prefer.model_validate({"column": "dataset", "first": "curated"}).rank().first == ("curated",)
