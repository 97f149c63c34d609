"""LLaVA's format to the record and back, and what is wrong with rows of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pools
import pytest
from conversations import Row, one, put, rows_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.errors import RecipeError
from curate.export import llava
from curate.io.payload import Payload
from curate.io.storage import LocalStorage


def said(*texts: Any, **fields: Any) -> Row:
    roles = ("human", "gpt")
    turns = [{"from": roles[i % 2], "value": text} for i, text in enumerate(texts)]
    return {"id": "a", **fields, "conversations": turns}


# -- the record ---------------------------------------------------------------------------------------------


def test_a_row_becomes_turns_and_images_in_reading_order(tmp_path: Path) -> None:
    row = said(" <image>\nWhat?", "A cup.", "And now?", "Tea.", image="3.png", source="web", licence="cc0")
    row["conversations"][1]["loss"] = False
    found = one(tmp_path, {**row, "id": 7})
    assert found["layout"] == "itttt"
    assert found["text_body"] == ["What?", "A cup.", "And now?", "Tea."]
    assert found["text_role"] == ["user", "assistant"] * 2
    assert [m["images"] for m in found["messages"]] == [[0], [], [], []]
    assert [m["content"] for m in found["messages"]] == found["text_body"]
    assert [m["role"] for m in found["messages"]] == found["text_role"]
    assert (found["row_id"], found["source"], found["licence"]) == ("7", "set.json#1", "cc0")
    assert (found["image_ref"], found["image_name"]) == (["images/3.png"], ["3.png"])
    assert json.loads(found["meta"]) == {"source": "web", "conversations": [{}, {"loss": False}, {}, {}]}
    assert (found["row_faults"], found["row_fault_text"], found["drop"]) == ([], None, None)


@pytest.mark.parametrize(
    ("texts", "images", "layout", "bodies", "places"),
    [
        (["<image>\nQ", "A"], 1, "itt", ["Q", "A"], [[0], []]),
        (["Q\n<image>", "A"], 1, "itt", ["Q", "A"], [[0], []]),
        (["<image>\n<image> Q", "A"], 2, "iitt", ["Q", "A"], [[0, 1], []]),
        (["<image>", "A"], 1, "itt", ["", "A"], [[0], []]),
        (["Q", "A", "<image>\nR", "B"], 1, "ttitt", ["Q", "A", "R", "B"], [[], [], [0], []]),
        (["<image>Q", "A", "<image>R", "B"], 2, "ittitt", ["Q", "A", "R", "B"], [[0], [], [1], []]),
        (["in <image> and <image>?", "A"], 2, "iitt", ["in <image> and <image>?", "A"], [[0, 1], []]),
        (["<image> and <image>", "A"], 2, "iitt", ["<image> and <image>", "A"], [[0, 1], []]),
        (["look at <image> here", "A"], 1, "itt", ["look at <image> here", "A"], [[0], []]),
        # more images than markers, and fewer
        (["Q", "A"], 2, "iitt", ["Q", "A"], [[0, 1], []]),
        (["Q", "A", "<image>R", "B"], 2, "ttiitt", ["Q", "A", "R", "B"], [[], [], [0, 1], []]),
        (["<image><image>Q", "A"], 1, "itt", ["<image><image>Q", "A"], [[0], []]),
        (["<image>Q", "A", "<image>R", "B"], 1, "itttt", ["Q", "A", "<image>R", "B"], [[0], [], [], []]),
        (["<image>Q", "A"], 0, "tt", ["<image>Q", "A"], [[], []]),
    ],
)
def test_markers(
    tmp_path: Path, texts: list[str], images: int, layout: str, bodies: list[str], places: list[list[int]]
) -> None:
    found = one(tmp_path, said(*texts, image=[f"{i}.png" for i in range(images)]))
    assert found["layout"] == layout
    assert found["text_body"] == bodies
    assert [m["images"] for m in found["messages"]] == places
    assert found["image_name"] == [f"{i}.png" for i in range(images)]


def test_arrays_and_lines_of_any_cut_give_the_same_samples(tmp_path: Path) -> None:
    rows = [said("<image>\nQ", f"A {i}", id=f"r{i}", image=f"{i}.png") for i in range(7)]
    rows[3] = {"id": "broken"}
    array, lines = put(tmp_path, rows), put(tmp_path, rows, "set.jsonl")
    found = rows_of(array)
    assert [r["source"] for r in found] == [f"set.json#{i}" for i in range(1, 8)]
    assert len({r["sample_id"] for r in found}) == 7
    for size in (1, 3):
        assert rows_of(array, part_rows=size) == found
    moved = [{**r, "source": r["source"].replace("jsonl", "json")} for r in rows_of(lines, part_rows=2)]
    whole = [r for r in found if r["drop"] is None]
    assert [r for r in moved if r["drop"] is None] == whole


def test_a_sample_is_what_it_says_and_shows_not_where_it_stands(tmp_path: Path) -> None:
    row = said("<image>\nQ", "A", image="1.png")
    first = one(tmp_path, row)["sample_id"]
    moved = put(tmp_path, [said("x", "y"), dict(reversed(row.items()))], "b.jsonl")
    assert rows_of(moved)[1]["sample_id"] == first
    others = [{**row, "image": "2.png"}, said("<image>\nQ", "B", image="1.png"), {**row, "id": "b"}]
    assert first not in {one(tmp_path, other)["sample_id"] for other in others}
    path = put(tmp_path, [row])
    (tmp_path / "images" / "1.png").write_bytes(pools.picture(2))
    (found,) = rows_of(path)
    assert found["sample_id"] != first


# -- there and back -----------------------------------------------------------------------------------------


def run_of(path: str, out: Path, *nodes: Mapping[str, Any], **fields: Any) -> list[Row]:
    """Rows of `write_llava` for a source."""
    reads = {"id": "raw", "path": path, **fields}
    recipe = {
        "name": "x",
        "nodes": [reads, {"stage": "probe"}, *nodes, {"id": "sft", "stage": "write_llava"}],
    }
    pools.run(recipe, out)
    return json.loads((out / "sft" / "llava.json").read_text())  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", ["llava.json", "llava.jsonl"])
def test_what_our_writer_wrote_is_read_back(demo_pool: Path, tmp_path: Path, name: str) -> None:
    written = run_of(f"{demo_pool}/pairs/*.tar", tmp_path / "run", stage="read_webdataset")
    assert len(written) > 50
    folder = tmp_path / "run" / "sft"
    found = rows_of(folder / name, image_root="")
    assert [r["row_id"] for r in found] == [r["id"] for r in written]
    assert all(r["row_faults"] == [] and r["drop"] is None for r in found)
    assert all(set(r["image_drop"]) <= {None} for r in found)
    payload = Payload({"set": LocalStorage(folder)})
    for row, was in zip(found, written, strict=True):
        turns = was["conversations"]
        assert row["text_role"] == ["user", "assistant"]
        assert row["text_body"] == [turns[0]["value"].removeprefix("<image>\n"), turns[1]["value"]]
        assert payload.fetch(["set"], row["image_ref"]) == [(folder / was["image"]).read_bytes()]


def test_a_clean_foreign_file_is_written_as_it_was(tmp_path: Path) -> None:
    rows = [
        said("<image>\nWhat is it?", "A cup.", "Of what?", "两个杯子 <b>.", image="1.png", id="x/1"),
        said("Define entropy.", "No.", id="x/2"),
        said("<image>\n1 < 2?", "Yes", image="2.png", id="3"),
    ]
    path = put(tmp_path, rows)
    written = run_of(str(path), tmp_path / "run", stage="read_llava", image_root="images")
    for row in (*written, *rows):
        del row["id"]
        if "image" in row:
            row["image"] = "an image"
    order = lambda row: json.dumps(row)  # noqa: E731
    assert sorted(written, key=order) == sorted(rows, key=order)


# -- what is wrong ------------------------------------------------------------------------------------------


BROKEN: dict[str, Any] = {
    "not_an_object": ["a", "list"],
    "no_conversation": {"id": "a", "image": "1.png"},
    "other_media": {**said("<video>\nQ", "A"), "video": "a.mp4"},
    "missing_image": said("<image>\nQ", "A", image="none.png"),
    "outside_root": said("<image>\nQ", "A", image="../../x.png"),
    "remote_image": said("<image>\nQ", "A", image="https://x.org/a.png"),
    "inline_image": said("<image>\nQ", "A", image="data:image/png;base64,iVBORw0KGgo="),
    "not_text": said("Q", None),
    "bad_roles": said("Q", "A", "Q"),
    "empty_turn": said("Q", " \n"),
    "bad_image": said("<image>\nQ", "A", image={"<image_00>": "1.png"}),
    "marker_missing": said("Q", "A", image="1.png"),
    "marker_count": said("<image>\n<image>\nQ", "A", image="1.png"),
    "marker_in_answer": said("Q", "A <image>", image="1.png"),
    "reserved_token": said("<image>\nQ", "A</s>", image="1.png"),
}
MENDED: dict[str, Any] = {
    "bad_id": {k: v for k, v in said("<image>\nQ", "A", image="1.png").items() if k != "id"},
    "null_image": said("Q", "A", image=None),
    "marker_position": said("Look at <image>, then tell.", "A", image="1.png"),
    "length_field": said("<image>\nQ", "A", image="1.png", length=7),
    "several_images": said("<image>\n<image>\nQ", "A", image=["1.png", "2.png"]),
    "system_turn": {
        "id": "a",
        "conversations": [
            {"from": "system", "value": "S"},
            {"from": "human", "value": "Q"},
            {"from": "gpt", "value": "A"},
        ],
    },
}


def test_in_a_run_nothing_vanishes_and_nothing_broken_goes_on(tmp_path: Path) -> None:
    rows = [*BROKEN.values(), *MENDED.values(), said("<image>\nQ", "A", image="1.png")]
    path = put(tmp_path, rows)
    path.write_text(path.read_text().removesuffix("]") + ', {"id": NaN, "conversations": nothing')
    out = tmp_path / "run"
    recipe = {
        "name": "x",
        "nodes": [
            {"id": "raw", "stage": "read_llava", "path": str(path), "image_root": "images"},
            {"id": "pt", "stage": "write_webdataset", "form": "documents"},
        ],
    }
    report = pools.run(recipe, out)
    terms = report["outputs"][0]["samples"]
    assert terms["entered"] == len(rows) + 1
    dead = {r["source"]: r for r in pools.ledger(out, "pt") if r["level"] == "sample" and r["node"] == "raw"}
    reasons = {f"set.json#{i}": code for i, code in enumerate(BROKEN, 1)}
    reasons[f"set.json#{len(rows) + 1}"] = "bad_json"
    assert {place: row["reason"] for place, row in dead.items()} == reasons
    for code, row in zip(reasons.values(), dead.values(), strict=True):
        if code in ("missing_image", "outside_root", "remote_image"):
            assert row["image_name"] == BROKEN[code]["image"]
        else:
            assert row["row_fault_text"] or code == "inline_image"


@pytest.mark.parametrize("code", [c for c, row in BROKEN.items() if "conversations" in row] + [*MENDED])
def test_kept_rows_say_what_is_wrong(tmp_path: Path, code: str) -> None:
    found = one(tmp_path, (BROKEN | MENDED)[code])
    told = {text.partition(": ")[0] for text in found["row_faults"] or ()}
    # where the image is the trouble, the image says so
    whole = found["drop"] is None and set(found["image_drop"]) <= {None}
    assert code in told or not whole
    assert code in (told | {str(d).partition(":")[2] for d in [found["drop"], *found["image_drop"]]})
    assert found["row_fault_text"] == ("\n".join(found["row_faults"] or ()) or None) or found["drop"]


def test_urls_can_be_kept_for_fetching(tmp_path: Path) -> None:
    found = one(tmp_path, BROKEN["remote_image"], remote="keep")
    assert (found["image_ref"], found["image_drop"]) == ([None], [None])
    assert found["image_url"] == ["https://x.org/a.png"]


def test_odd_texts_survive(tmp_path: Path) -> None:
    row = said("<image>\n\ud800 \x00", "A\u2028", image="1.png", note=["\udfff"], id="\udfff")
    found = one(tmp_path, row)
    assert found["text_body"] == ["\ufffd \x00", "A\u2028"]
    assert found["row_id"] == "\ufffd"


ODD = st.recursive(
    st.none()
    | st.integers()
    | st.sampled_from(["", "<image>Q", "human", "gpt", "1.png", "\ud800", "data:,"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["from", "value", "path", "image", "id", "alt"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(st.dictionaries(st.sampled_from(["id", "image", "conversations", "url"]), ODD), max_size=4))
def test_no_row_is_too_odd_to_read(tmp_path: Path, rows: list[Any]) -> None:
    found = rows_of(put(tmp_path, rows), remote="keep")
    assert len(found) == len(rows)
    for row in found:
        assert row["drop"] or [m["content"] for m in row["messages"]] == row["text_body"]
        assert row["drop"] or [i for m in row["messages"] for i in m["images"]] == list(
            range(row["layout"].count("i"))
        )


def test_files_of_the_other_dialect_are_refused_at_plan_time(tmp_path: Path) -> None:
    path = put(tmp_path, [{"messages": [{"role": "user", "content": "Q"}]}])
    recipe = {
        "name": "x",
        "nodes": [{"stage": "read_llava", "path": str(path)}, {"id": "o", "stage": "write_llava"}],
    }
    with pytest.raises(RecipeError, match=r"have `messages`\n  use `read_messages`"):
        pools.planned(recipe)


def test_rows_that_the_checker_passes_have_no_faults(tmp_path: Path) -> None:
    rows = [said("<image>\nQ", "A", image="images/1.png"), said("Q", "A", id="b")]
    path = put(tmp_path, rows)
    assert [f for f in llava.validate(rows, tmp_path) if "RGB" not in f] == []
    assert [r["row_faults"] for r in rows_of(path, image_root="")] == [[], []]


def test_a_folder_that_holds_none_of_the_images_is_refused_at_plan_time(tmp_path: Path) -> None:
    rows = [said("<image>\nQ", f"A {i}", image=f"{i}.png") for i in range(60)]
    nodes = [
        {"id": "set", "stage": "read_llava", "path": str(put(tmp_path, rows)), "image_root": "pictures"},
        {"id": "o", "stage": "write_llava"},
    ]
    with pytest.raises(
        RecipeError, match=r"image_root: none of the first 40 images of set\.json is there"
    ) as e:
        pools.planned({"name": "x", "nodes": nodes})
    assert "looked for pictures/0.png below the source's root" in str(e.value)
    put(tmp_path, rows)  # images 0 to 9 are there, and 10 to 59 are not
    pools.planned({"name": "x", "nodes": [{**nodes[0], "image_root": "images"}, nodes[1]]})
    put(tmp_path, rows[:10])  # too few to say so
    pools.planned({"name": "x", "nodes": nodes})
