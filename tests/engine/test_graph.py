"""Components and survivors against the slow way."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from curate.graph import Edges, classes, components, survivors, unique


@st.composite
def graphs(draw: Any, twins: bool = True) -> tuple[int, Edges, list[int], int]:
    """Nodes, edges, a twin class for each node, and how many of the first nodes are known."""
    n = draw(st.integers(1, 14))
    node = st.integers(0, n - 1)
    weight = st.integers(1, 100).map(lambda w: w / 128)
    pairs = draw(st.lists(st.tuples(node, node, weight), max_size=20))
    apart = [(a, b, w) for a, b, w in pairs if a != b]
    left, right, similarity = (
        np.array([p[i] for p in apart], dtype=kind) for i, kind in enumerate(("i8", "i8", "f4"))
    )
    twin = draw(st.lists(node, min_size=n, max_size=n)) if twins else list(range(n))
    return n, unique(left, right, similarity), twin, draw(st.integers(0, n // 2))


def by_hand(n: int, edges: Edges, twin: list[int], known: int) -> list[tuple[int, float | None]]:
    """One node after the other, from the best to the worst."""
    stands = [twin.index(t) for t in twin]
    near: list[dict[int, float]] = [{} for _ in range(n)]
    for a, b, w in zip(*(column.tolist() for column in edges), strict=True):
        left, right = stands[a], stands[b]
        if left != right:
            near[left][right] = near[right][left] = max(w, near[left].get(right, 0.0))
    survivor: dict[int, tuple[int, float | None]] = {}
    for node in range(n):
        if stands[node] == node:
            better = [a for a in near[node] if a < node and survivor[a][0] == a]
            alone = not better or node < known
            survivor[node] = (node, None) if alone else (min(better), near[node][min(better)])
    found: list[tuple[int, float | None]] = []
    for node in range(n):
        leader, weight = survivor[stands[node]]
        if node < known:
            found.append((node, None))
        else:
            found.append((leader, weight if stands[node] == node or leader != stands[node] else 1.0))
    return found


@given(graphs())
def test_survivors_are_those_elected_one_by_one(graph: tuple[int, Edges, list[int], int]) -> None:
    n, edges, twin, known = graph
    found = survivors(n, edges, np.array(twin), np.arange(n) < known)
    told = [None if math.isnan(s) else s for s in found.similarity.tolist()]
    assert list(zip(found.leader.tolist(), told, strict=True)) == by_hand(n, edges, twin, known)


@given(graphs(twins=False))
def test_nobody_dies_but_against_a_survivor_it_is_linked_with(
    graph: tuple[int, Edges, list[int], int],
) -> None:
    n, edges, twin, _ = graph
    leader = survivors(n, edges, np.array(twin), np.zeros(n, dtype=bool)).leader
    linked = set(zip(edges.left.tolist(), edges.right.tolist(), strict=True))
    assert all(leader[b] == b or (int(leader[b]), b) in linked for b in range(n))
    assert all(leader[leader] == leader)
    # and of two that are linked one does not survive
    assert not any(leader[a] == a and leader[b] == b for a, b in linked)


def test_a_chain_loses_every_second_link() -> None:
    n = 1001
    line = np.arange(n - 1)
    edges = Edges(line, line + 1, np.ones(n - 1, dtype=np.float32))
    leader = survivors(n, edges, np.arange(n), np.zeros(n, dtype=bool)).leader
    assert (leader == np.arange(n)).sum() == 501


@given(graphs())
def test_components(graph: tuple[int, Edges, list[int], int]) -> None:
    n, edges, _, _ = graph
    label = components(n, edges.left, edges.right)
    expected = list(range(n))
    for _ in range(n):  # the slow way: hand the smaller number on until nothing moves
        for a, b in zip(edges.left.tolist(), edges.right.tolist(), strict=True):
            expected[a] = expected[b] = min(expected[a], expected[b])
    same = [[label[a] == label[b] for b in range(n)] for a in range(n)]
    assert same == [[expected[a] == expected[b] for b in range(n)] for a in range(n)]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=12))
def test_equal_twins_of_one_component_are_a_class(items: list[tuple[int, int]]) -> None:
    component, twin = (np.array([i[k] for i in items], dtype=np.int64) for k in (0, 1))
    found = classes(component, twin.astype(np.uint64)).tolist()
    assert [[a == b for a in found] for b in found] == [[a == b for a in items] for b in items]
