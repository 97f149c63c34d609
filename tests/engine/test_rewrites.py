"""Stages that change what is there: texts rewritten with their past on record; images brought in."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pools
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate import sample
from curate.backends import Backend
from curate.errors import RecipeError

Start = Callable[[], Backend]
COUNT = 40


def node(stage: str, id: str, **fields: Any) -> dict[str, Any]:
    return {"stage": stage, "id": id, **fields}


def amended(path: str, *middle: dict[str, Any]) -> pools.Recipe:
    return {
        "name": "amended",
        "nodes": [
            node("read_webdataset", "raw", path=path, part_rows=16),
            node("probe", "probe"),
            *middle,
            node("letters", "letters"),
            node("write_webdataset", "out", shard_size=16),
        ],
    }


A, B = node("amend", "a", add=" and a"), node("amend", "b", add=" and b", note="text_between")


@pytest.fixture
def tars(tmp_path: Path) -> str:
    rows = pools.pairs(COUNT)
    rows[7] = rows[7]._replace(text="HUSH now")
    return pools.write_tars(tmp_path / "in", rows, 2)


def told(out: Path) -> dict[str, tuple[str, ...]]:
    names = ("text_body", "text_before", "text_between", "text_letters")
    table = pools.index(out, "out")
    names = tuple(n for n in names if n in table.column_names)
    rows = table.select(["sample_id", *names]).to_pylist()
    return {row["sample_id"]: tuple(row[n] for n in names) for row in rows}


def test_later_nodes_and_outputs_see_the_new_text(tars: str, tmp_path: Path, start: Start) -> None:
    out = tmp_path / "run"
    pools.run(amended(tars, A, B), out, start=start)
    found = told(out)
    assert len(found) == COUNT - 1
    for text, before, between, letters in found.values():
        assert (between, text) == (f"{before} and a", f"{before} and a and b")
        assert letters == len(text)
    card = (out / "out" / "README.md").read_text()
    assert "- `amend`: the word and a," in card
    assert "- `amend`: the word and b," in card
    (hushed,) = [row for row in pools.ledger(out) if row["level"] == "sample"]
    assert (hushed["reason"], hushed["text_body"]) == ("hush", "HUSH now"), "it keeps the text it died with"


def test_a_rerun_begins_from_the_text_as_it_was_read(tars: str, tmp_path: Path) -> None:
    out, other = tmp_path / "run", node("amend", "a", add=" & a")
    pools.run(amended(tars, A, B), out)
    before = pools.output_bytes(out)
    assert pools.computed(pools.run(amended(tars, A, B), out)) == {}
    changed = pools.run(amended(tars, other, B), out)
    assert set(pools.computed(changed)) == {"a", "b", "letters"}, "the images are not looked at again"
    assert changed["images_decoded"] == 0
    assert all(row[0].endswith(" & a and b") and " and a" not in row[0] for row in told(out).values())
    pools.run(amended(tars, A, B), out)
    assert pools.output_bytes(out) == before


def test_taking_the_node_out_brings_the_text_back(tars: str, tmp_path: Path) -> None:
    out, plain = tmp_path / "run", tmp_path / "plain"
    pools.run(amended(tars, A), out)
    pools.run(amended(tars), out)
    pools.run(amended(tars), plain)
    assert pools.output_bytes(out) == pools.output_bytes(plain)


def test_behind_a_merge_and_on_one_branch_only(tars: str, tmp_path: Path) -> None:
    more = pools.write_tar(tmp_path / "more" / "0.tar", pools.pairs(5, start=200))
    recipe = {
        "name": "merged",
        "nodes": [
            node("read_webdataset", "raw", path=tars),
            node("read_webdataset", "more", path=str(more)),
            {**A, "from": ["raw", "more"]},
            node("write_webdataset", "out"),
            node("keep", "all", bounds={"licence": {"missing": "keep"}}, **{"from": "more"}),
            node("write_webdataset", "untouched"),
        ],
    }
    out = tmp_path / "run"
    for _ in range(2):
        pools.run(recipe, out)
        assert all(row[0].endswith(" and a") for row in told(out).values())
        assert len(told(out)) == COUNT - 1 + 5
        assert "Made with" not in (out / "untouched" / "README.md").read_text()
        assert not any(t.endswith(" and a") for t in pools.index(out, "untouched")["text_body"].to_pylist())


def test_a_document_keeps_the_texts_that_died_before(tmp_path: Path) -> None:
    pages = pools.write_pages(tmp_path / "pages", 3)
    recipe = {
        "name": "pages",
        "nodes": [
            node("read_html", "pages", path=pages),
            node("moody", "moody", how="drop", on="Part 1"),
            A,
            node("write_webdataset", "out", form="documents"),
        ],
    }
    out = tmp_path / "run"
    pools.run(recipe, out)
    assert pools.index(out, "out").num_rows == 3
    lost = [row for row in pools.ledger(out) if row["level"] == "text"]
    assert len(lost) == 3
    assert all("Part 1" in row["text_body"] for row in lost)


def test_rewriting_what_is_not_there_is_told_before_the_run(tars: str) -> None:
    recipe = amended(tars, node("bring", "bring", world="/nowhere"))
    with pytest.raises(RecipeError, match="image_url"):
        pools.planned(pools.with_node(recipe, "raw", fields={"image_url": []}))


def test_messages_follow_their_texts() -> None:
    message = pa.struct([("role", pa.string()), ("content", pa.string()), ("images", pa.list_(pa.int32()))])

    def said(*contents: str) -> list[dict[str, Any]]:
        return [{"role": "user", "content": c, "images": [0]} for c in contents]

    rows = [said("one", "two"), None, said("three"), said("alone")]
    texts = [["one", "two"], ["caption"], ["three"], []]
    table = pa.table(
        {
            "text_drop": pa.array([[None] * len(t) for t in texts], pa.list_(pa.string())),
            "image_drop": pa.array([[] for _ in texts], pa.list_(pa.string())),
            "drop": pa.nulls(4, pa.string()),
            "text_body": pa.array(texts, pa.list_(pa.string())),
            "messages": pa.array(rows, pa.list_(message)),
        }
    )
    seen = sample.view(table, "text", ["text_body"])
    loud = pa.array([t.upper() for t in seen.table["text_body"].to_pylist()])
    after = sample.put(table, seen, {"text_body": loud}, None, "n")
    expected = [said("ONE", "TWO"), None, said("THREE"), said("alone")]
    assert after["messages"].to_pylist() == expected
    assert after["messages"].type == table["messages"].type
    part = sample.put(table.slice(1), sample.view(table.slice(1), "text", ["text_body"]), {}, None, "n")
    assert part["messages"].to_pylist() == rows[1:]
    tail = sample.view(table.slice(1), "text", ["text_body"])
    later = sample.put(table.slice(1), tail, {"text_body": loud.slice(2)}, None, "n")
    assert later["messages"].to_pylist() == expected[1:]


# -- bytes from outside --


def outside(folder: Path, count: int, absent: int) -> tuple[pools.Recipe, Path]:
    """A recipe over rows of URLs, and the folder that holds what the world answers."""
    world = folder / "world"
    world.mkdir()
    for i in range(count):
        if i >= absent:
            (world / f"{i}.png").write_bytes(pools.picture(i, 40 + 4 * (i % 9)))
    urls = [f"https://example.org/{i}.png" for i in range(count)]
    table = pa.table({"image": urls, "text": [f"caption of {i}" for i in range(count)]})
    pq.write_table(table, folder / "urls.parquet")
    recipe = {
        "name": "outside",
        "nodes": [
            node("read_parquet", "raw", path=str(folder / "urls.parquet"), remote="keep", part_rows=16),
            node("bring", "bring", world=str(world)),
            node("probe", "probe"),
            node("write_webdataset", "out", shard_size=16),
        ],
    }
    return recipe, world


def asked(world: Path) -> int:
    return len((world / "asked.log").read_text().splitlines())


def test_what_was_brought_is_used_and_not_asked_again(tmp_path: Path, start: Start) -> None:
    recipe, world = outside(tmp_path, 40, absent=6)
    out = tmp_path / "run"
    report = pools.run(recipe, out, start=start)
    (output,) = report["outputs"]
    assert (output["samples"]["written"], output["samples"]["deferred"]) == (34, 6)
    assert asked(world) == 40
    pools.run(recipe, out, start=start)
    assert asked(world) == 46, "only what was put off is asked again"
    for i in range(6):
        shutil.copy(world / f"{i + 9}.png", world / f"{i}.png")
    report = pools.run(recipe, out, start=start)
    assert asked(world) == 52
    (output,) = report["outputs"]
    assert (output["samples"]["written"], output["samples"]["deferred"]) == (40, 0)
    shutil.rmtree(world)
    tighter = pools.with_node(recipe, "out", shard_size=7)
    (output,) = pools.run(tighter, out, start=start)["outputs"]
    assert output["samples"]["written"] == 40, "the world may be gone"


def test_outputs_do_not_depend_on_the_order_of_answers(tmp_path: Path) -> None:
    """Answered at once, or some of them only later: the same bytes."""
    recipe, world = outside(tmp_path, 24, absent=0)
    pools.run(recipe, tmp_path / "at-once")
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    for i in range(0, 24, 5):
        (world / f"{i}.png").rename(hidden / f"{i}.png")
    pools.run(recipe, tmp_path / "later")
    for file in hidden.iterdir():
        file.rename(world / file.name)
    pools.run(recipe, tmp_path / "later")
    assert pools.output_bytes(tmp_path / "later") == pools.output_bytes(tmp_path / "at-once")


def test_a_shard_that_is_not_finished_leaves_nothing(tmp_path: Path) -> None:
    from curate.io.store import RunStore

    store = RunStore(tmp_path, "bring")
    with store.shard() as shard:
        shard.add(b"half")
    assert list((tmp_path / "bring").iterdir()) == []
    with store.shard() as shard:
        place = shard.add(b"whole")
        reference = shard.close()(place)
    (file,) = (tmp_path / "bring").iterdir()
    assert reference == f"bring/{file.name}#fetched=512+5"
