"""Scoring a ledger made by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from curate.demo import DefectScore, render, score


def _pair(key: str, *defects: str, of: str | None = None) -> dict[str, Any]:
    original = None if of is None else {"file": "00000.tar", "key": of}
    return {"dataset": "pairs", "file": "00000.tar", "key": key, "defects": list(defects), "of": original}


def _row(
    source: str, finding: str, level: str = "sample", index: int = -1, output: str = "kept"
) -> dict[str, Any]:
    node, reason = finding.split(":")
    return {
        "sample_id": source,
        "source": source,
        "output": output,
        "level": level,
        "index": index,
        "node": node,
        "reason": reason,
    }


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    images = [
        {"index": 0, "content_index": -1, "defects": ["boilerplate_image"], "of": None},
        {"index": 1, "content_index": 0, "defects": [], "of": None},
        {"index": 2, "content_index": 1, "defects": ["corrupt_image"], "of": None},
    ]
    rows = [
        _pair("a"),
        _pair("b"),
        _pair("c"),
        _pair("copy_of_a", "exact_duplicate_image", of="a"),
        _pair("copy_of_b", "exact_duplicate_image", of="b"),
        _pair("small1", "tiny"),
        _pair("small2", "tiny"),
        _pair("bad", "corrupt"),
        _pair("mark", "watermark"),
        {
            "dataset": "docs",
            "file": "town/p.html",
            "key": "town/p.html",
            "defects": [],
            "of": None,
            "images": images,
        },
    ]
    path = tmp_path / "truth.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


LEDGER = [
    _row("00000.tar#a@0", "dedup:duplicate"),  # the original went, its copy stayed: the pair is broken
    _row("/data/pairs/00000.tar#small1@1536", "size:image_width.below_min"),
    _row("00000.tar#small2@2048", "blurry:sharpness.below_min"),  # gone, but not for being small
    _row("00000.tar#c@512", "size:image_height.below_min"),  # a mistake
    _row("00000.tar#bad@4096", "read:corrupt"),
    _row("00000.tar#b@512", "dedup:duplicate", output="other"),  # another output's business
    _row("docs/town/p.html", "image_read:corrupt", "image", 2),
]


def _by_kind(scores: list[DefectScore]) -> dict[str, DefectScore]:
    return {item.kind: item for item in scores}


def test_recall_precision_and_losses(truth: Path) -> None:
    found = _by_kind(score(truth, LEDGER, "kept"))
    duplicates, tiny = found["exact_duplicate_image"], found["tiny"]
    assert (duplicates.planted, duplicates.caught, duplicates.flagged, duplicates.right) == (2, 1, 1, 1)
    assert (tiny.planted, tiny.caught, tiny.gone, tiny.flagged, tiny.right) == (2, 1, 2, 2, 1)
    assert (tiny.recall, tiny.precision) == (0.5, 0.5)
    assert found["corrupt"].recall == found["corrupt"].precision == 1.0
    assert found["corrupt_image"].caught == 1
    clean = found["clean"]
    assert (clean.planted, clean.caught) == (3, 1)  # the page has a corrupt picture
    assert clean.reasons == {"size:image_height.below_min": 1}


def test_kinds_that_nothing_could_catch_are_not_handled(truth: Path) -> None:
    assert not _by_kind(score(truth, LEDGER, "kept"))["watermark"].handled
    told = _by_kind(score(truth, LEDGER, "kept", handled={"watermark"}))["watermark"]
    assert told.handled
    assert told.recall == 0.0
    assert told.precision is None


def test_dataset_and_table_and_rendering(truth: Path) -> None:
    scores = score(truth, pa.Table.from_pylist(LEDGER), "kept", dataset="pairs")
    assert "corrupt_image" not in _by_kind(scores)
    table = render(scores)
    line = next(row for row in table.splitlines() if row.startswith("tiny"))
    assert line.split() == ["tiny", "pair", "2", "1", "0.500", "2", "2", "1", "0.500"]
    assert "not handled" in table
    assert "clean samples lost: 1 of 3" in table


def test_image_positions_may_count_the_article_only(truth: Path) -> None:
    ledger = [_row("town/p.html", "image_read:corrupt", "image", 1)]
    assert _by_kind(score(truth, ledger, "kept", image_index="content_index"))["corrupt_image"].caught == 1
    assert _by_kind(score(truth, ledger, "kept"))["corrupt_image"].caught == 0


def test_a_ledger_of_another_pool_is_refused(truth: Path) -> None:
    with pytest.raises(ValueError, match="no row of the ledger"):
        score(truth, [_row("00009.tar#zzz@0", "read:corrupt")], "kept")


def test_pictures_of_a_copied_page_are_copies_and_pages_fall_with_theirs(tmp_path: Path) -> None:
    def page(name: str, of: str | None, *defects: str) -> dict[str, Any]:
        images = [
            {"index": 0, "content_index": -1, "defects": [], "of": None},
            {"index": 1, "content_index": 0, "defects": list(defects), "of": None},
        ]
        return {
            "dataset": "docs",
            "file": f"town/{name}",
            "key": f"town/{name}",
            "defects": ["exact_duplicate_document"] if of else [],
            "of": of and {"file": f"town/{of}", "key": f"town/{of}"},
            "images": images,
        }

    truth = tmp_path / "truth.jsonl"
    rows = [
        page("a", None),
        page("b", "a"),
        page("c", None, "corrupt_image"),
        page("d", None, "duplicate_image"),
    ]
    rows[3]["images"][1]["of"] = {"file": "town/c", "key": "town/c", "content_index": 0, "index": 1}
    rows.append({**page("e", None), "defects": ["no_images"], "images": []})
    truth.write_text("".join(json.dumps(row) + "\n" for row in rows))
    ledger = [
        _row("town/b", "dedup:duplicate", "image", 0),
        _row("town/d", "dedup:duplicate", "image", 0),
        _row("town/c", "probe:no_image_left"),
        _row("town/e", "pages:no_image"),
    ]
    found = _by_kind(score(truth, ledger, "kept", image_index="content_index"))
    copies = found["duplicate_image"]
    assert (copies.planted, copies.caught, copies.flagged, copies.right) == (1, 1, 2, 2)
    assert found["no_images"].precision == 1.0
    assert found["clean"].planted == 1  # "a"
    assert found["clean"].caught == 0


def test_the_same_words_by_chance_are_copies_of_captions(tmp_path: Path) -> None:
    """Nobody planted them, and yet who drops one of them is right; who drops another caption is not."""
    said = {"a": "A red hat.", "b": "a red hat", "c": "A red hat", "d": "A blue hat.", "e": "Two hats"}
    rows = [_pair(key) | {"caption_true": text} for key, text in said.items()]
    rows.append(_pair("p", "near_duplicate_caption", of="e") | {"caption_true": "Two hats"})
    rows.append(_pair("w", "wrong_attribute") | {"caption_true": "A red hat"})  # says something else
    rows.append(_pair("s", "swapped_caption", of="d") | {"caption_true": "A green tree"})
    path = tmp_path / "truth.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for dropped, right in ((("b", "c"), 2), (("d", "s"), 2), (("e", "p"), 2), (("b", "w"), 1)):
        ledger = [_row(f"00000.tar#{key}@0", "near_text:duplicate") for key in dropped]
        found = _by_kind(score(path, ledger, "kept"))
        assert (found["near_duplicate_caption"].flagged, found["near_duplicate_caption"].right) == (2, right)
        assert found["clean"].caught == 0
