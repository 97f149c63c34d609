from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pools
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from near_links import links

from curate.errors import RecipeError
from stages.group.component import Component

Values = Sequence[Any]


def together(rows: Sequence[Sequence[Any]]) -> set[frozenset[int]]:
    """Components of more than one of the rows, which hold what joins them; by the definition."""
    found = [({i}, set(values)) for i, values in enumerate(rows)]
    merged: list[tuple[set[int], set[Any]]] = []
    for members, values in found:
        alike = [other for other in merged if other[1] & values]
        for other in alike:
            merged.remove(other)
            members, values = members | other[0], values | other[1]
        merged.append((members, values))
    return {frozenset(members) for members, _ in merged if len(members) > 1}


def linked(stage: Component, table: pa.Table) -> set[frozenset[int]]:
    place = {name: i for i, name in enumerate(table["sample_id"].to_pylist())}
    return together(
        [[(a, b) for a, b in links(stage, table) if i in (place[a], place[b])] for i in range(len(place))]
    )


def table(**columns: Values) -> pa.Table:
    count = len(next(iter(columns.values())))
    return pa.table({"sample_id": [f"{i:032x}" for i in range(count)], **columns})


names = st.sampled_from(["a", "b", "c", "d", "", None])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(names, max_size=3), st.lists(st.integers(0, 5), max_size=1), names), max_size=14
    )
)
def test_components_are_those_of_shared_values(
    rows: list[tuple[list[str | None], list[int], str | None]],
) -> None:
    made = table(
        image_cluster=pa.array([images for images, _, _ in rows], pa.list_(pa.string())),
        text_words=pa.array([words for _, words, _ in rows], pa.list_(pa.int32())),
        url=pa.array([url for _, _, url in rows], pa.string()),
    )
    wanted = [
        [
            *(("image", name) for name in images if name),
            *(("text", number) for number in words),
            *([("url", url)] if url else []),
        ]
        for images, words, url in rows
    ]
    stage = Component(columns=("image_cluster", "text_words", "url"))
    assert linked(stage, made) == together(wanted)


def test_bytes_join_too() -> None:
    hashes = pa.array([[b"\xff\x00"], [b"\x00\xff", b"\xff\x00"], [b"\x00"]], pa.list_(pa.binary()))
    assert linked(Component(columns="image_hash"), table(image_hash=hashes)) == {frozenset({0, 1})}


def test_children_of_one_document_belong_together() -> None:
    made = table(url=["x", "y", "z", "z", None])
    made = made.set_column(0, "sample_id", pa.array(["a#0", "a#1", "a", "b#0", "b#0#1"]))
    # the document itself is no child of its own
    assert linked(Component(columns="url"), made) == {frozenset({0, 1}), frozenset({2, 3, 4})}


def test_what_very_many_share_makes_few_pairs() -> None:
    crowd = table(url=["same"] * 4000, text_cluster=[[str(i)] for i in range(4000)])
    assert len(links(Component(columns=("url", "text_cluster")), crowd)) == 3999


def test_what_joins_nothing() -> None:
    with pytest.raises(ValueError, match="at least 1 item"):
        Component(columns=())
    schema = pa.schema([("image_clip", pa.float32()), ("image_cluster", pa.string())])
    with pytest.raises(RecipeError, match="columns: `image_clip` holds float"):
        Component(columns=("image_cluster", "image_clip")).check_columns(schema)


# -- in a run -----------------------------------------------------------------------------------------------


def write_pages(folder: Path, pages: dict[int, list[int]]) -> str:
    """Pages by their numbers, with the pictures that each shows."""
    folder.mkdir(parents=True)
    for page, pictures in pages.items():
        body = [f"<p>Page {page} speaks of lanterns and ships that are late in autumn.</p>"]
        for number in pictures:
            (folder / f"{number}.png").write_bytes(pools.picture(number, 48, 40))
            body.append(
                f'<img src="{number}.png"><p>Part {number} of page {page} is about picture {number}.</p>'
            )
        html = f"<html><head><title>{page}</title></head><body><main>{''.join(body)}</main></body></html>"
        (folder / f"page{page:03d}.html").write_text(html)
    return f"{folder}/*.html"


def drawn(count: int, start: int = 0) -> dict[int, list[int]]:
    """Pages of one to three pictures out of some more than there are pages."""
    rng = np.random.default_rng(start)
    return {
        page: sorted({int(n) for n in rng.integers(0, 150, rng.integers(1, 4))})
        for page in range(start, start + count)
    }


def recipe(path: str, part_rows: int = 1000, **fields: Any) -> pools.Recipe:
    return {
        "name": "components",
        "nodes": [
            {"id": "pages", "stage": "read_html", "path": path, "part_rows": part_rows},
            {"stage": "sha256"},
            {"stage": "component", "columns": "image_sha256", **fields},
            {"id": "out", "stage": "write_parquet", "form": "documents"},
        ],
    }


def told(run: Path) -> dict[str, dict[str, Any]]:
    rows = pools.index(run, "out").select(["sample_id", "component", "image_sha256"]).to_pylist()
    return {row["sample_id"]: row for row in rows}


def expected(rows: dict[str, dict[str, Any]]) -> dict[str, str | None]:
    ids = sorted(rows)
    found: dict[str, str | None] = dict.fromkeys(ids)
    for members in together([rows[id]["image_sha256"] for id in ids]):
        found |= {ids[i]: ids[min(members)] for i in members}
    return found


def test_names_are_the_smallest_ids_for_any_cut_of_the_input(tmp_path: Path) -> None:
    path = write_pages(tmp_path / "in", drawn(60))
    report = pools.run(recipe(path), tmp_path / "run1")
    pools.prove(report)
    rows = told(tmp_path / "run1")
    assert len(rows) == 60
    named = {id: row["component"] for id, row in rows.items()}
    assert named == expected(rows)
    assert len(set(named.values())) > 4
    assert None in named.values()
    pools.run(recipe(path, part_rows=7), tmp_path / "run2")
    assert {id: row["component"] for id, row in told(tmp_path / "run2").items()} == named


def test_names_that_known_components_have_stay(tmp_path: Path) -> None:
    old, new = drawn(40), drawn(40, 40)
    pools.run(recipe(write_pages(tmp_path / "in1", old)), tmp_path / "day1")
    first = told(tmp_path / "day1")
    path = write_pages(tmp_path / "in2", new)
    pools.run(recipe(path, known=str(tmp_path / "day1")), tmp_path / "day2")
    second = told(tmp_path / "day2")
    pools.run(recipe(path), tmp_path / "alone")
    alone = {id: row["component"] for id, row in told(tmp_path / "alone").items()}
    assert alone != {id: row["component"] for id, row in second.items()}
    groups = together([row["image_sha256"] for row in (*first.values(), *second.values())])
    ids = [*first, *second]
    for members in groups:
        of_old = [ids[i] for i in members if ids[i] in first]
        for name in (second[ids[i]]["component"] for i in members if ids[i] in second):
            # several old components that new pages join have the name of one of them
            assert name == min(of_old or [ids[i] for i in members])


def test_preferred_members_give_the_name(tmp_path: Path) -> None:
    """Each picture comes once from every source, under another text."""
    rows = pools.pairs(9)
    others = [row._replace(text=f"new {row.text}") for row in rows]
    sources = [
        {"id": id, "stage": "read_webdataset", "path": pools.write_tars(tmp_path / id, part, 1)}
        for id, part in (("old", rows), ("new", others))
    ]
    prefer = [{"column": "dataset", "first": "old"}]
    nodes = [
        {"stage": "sha256", "from": ["old", "new"]},
        {"stage": "component", "columns": "image_sha256", "prefer": prefer},
        {"id": "out", "stage": "write_webdataset"},
    ]
    pools.run({"name": "two", "nodes": [*sources, *nodes]}, tmp_path / "run")
    index = pools.index(tmp_path / "run", "out").to_pylist()
    old = {row["sample_id"] for row in index if not row["text_body"].startswith("new")}
    assert {row["component"] for row in index} == old
    assert len(index) == 18
    assert len(old) == 9
