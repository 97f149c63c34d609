"""What the quickstart makes of the demo pool, measured against the truth about it. Laws, no numbers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pools
import pytest
from finished import Finished

from curate.demo.score import DefectScore, score
from curate.report import funnel, truth


@pytest.fixture(scope="module")
def pair_scores(quickstart: Finished) -> dict[str, DefectScore]:
    return scores(quickstart, "pt_pairs", "pairs")


@pytest.fixture(scope="module")
def page_scores(quickstart: Finished) -> dict[str, DefectScore]:
    return scores(quickstart, "pt_documents", "docs")


def scores(run: Finished, output: str, dataset: str) -> dict[str, DefectScore]:
    rows = [
        r for r in pools.ledger(run.out, output) if "#" not in r["sample_id"] and r["reason"] != "expanded"
    ]
    found = score(run.truth, rows, output, dataset=dataset, image_index="content_index")
    assert len(found) > 5
    return {s.kind: s for s in found}


FOUND = (
    "junk_caption",
    "empty_caption",
    "foreign_caption",
    "personal_data",
    "tiny",
    "extreme_aspect",
    "missing_image",
    "missing_caption",
)
# Of these the reason may differ: damage of several kinds, one of which was met first.
GONE = ("bomb", "corrupt", "truncated", "zero_byte", "non_utf8_caption", "tar_truncated")


@pytest.mark.parametrize("kind", FOUND)
def test_pairs_all_of_a_kind_are_found(pair_scores: dict[str, DefectScore], kind: str) -> None:
    assert pair_scores[kind].planted > 0
    assert pair_scores[kind].recall == 1.0


def test_pairs_blurred_blown_up_and_noisy_images_are_found(quickstart: Finished) -> None:
    """Of low quality the pool also plants coarse JPEG, which is sharp enough."""
    planted = {
        row["key"]: row["detail"]["edit"]
        for row in map(json.loads, quickstart.truth.read_text().splitlines())
        if "low_quality" in row["defects"]
    }
    dropped = [r["source"] for r in pools.ledger(quickstart.out, "pt_pairs") if r["node"] == "quality"]
    keys = {source.partition("#")[2].partition("@")[0] for source in dropped}
    found = {edit: sum(k in keys for k, e in planted.items() if e == edit) for edit in planted.values()}
    counts = Counter(planted.values())
    for edit in ("blur", "upscaled", "noise"):
        assert found[edit] >= 0.9 * counts[edit] > 0, edit
    assert len(keys - set(planted)) <= 0.01 * quickstart.report["samples"]["read"]


@pytest.mark.parametrize("kind", GONE)
def test_pairs_nothing_broken_is_written(pair_scores: dict[str, DefectScore], kind: str) -> None:
    assert pair_scores[kind].gone == pair_scores[kind].planted > 0


@pytest.mark.parametrize("kind", ["no_images", "no_text", "broken_link", "corrupt_image", "tiny_image"])
def test_pages_all_of_a_kind_are_found(page_scores: dict[str, DefectScore], kind: str) -> None:
    assert page_scores[kind].planted > 0
    assert page_scores[kind].recall == 1.0


@pytest.mark.parametrize("kind", [*FOUND, *GONE])
def test_what_is_dropped_deserves_it(pair_scores: dict[str, DefectScore], kind: str) -> None:
    precision = pair_scores[kind].precision
    assert precision is not None
    assert precision >= 0.9


def test_pairs_copies_are_found_unless_their_captions_were(pair_scores: dict[str, DefectScore]) -> None:
    copies = pair_scores["exact_duplicate_image"]
    assert copies.planted > 5
    assert copies.caught + copies.reasons.get("aligned:image_clip.below_min", 0) == copies.planted


def test_pairs_captions_of_something_else_are_found(pair_scores: dict[str, DefectScore]) -> None:
    """By the small encoder that is shipped; what is wrong with a caption in detail it sees less of."""
    swapped, wrong = (pair_scores[kind] for kind in ("swapped_caption", "wrong_object"))
    assert swapped.planted > 5 < wrong.planted
    assert swapped.caught + wrong.caught >= 0.85 * (swapped.planted + wrong.planted)


@pytest.mark.parametrize(("which", "share"), [("pair_scores", 0.05), ("page_scores", 0.01)])
def test_clean_samples_stay(which: str, share: float, request: pytest.FixtureRequest) -> None:
    clean = request.getfixturevalue(which)["clean"]
    assert clean.planted > 10
    assert clean.caught <= share * clean.planted


def test_documents_and_their_twin_output_are_the_same_samples(quickstart: Finished) -> None:
    ids = [
        pools.index(quickstart.out, o)["sample_id"].to_pylist() for o in ("pt_documents", "pt_documents_hf")
    ]
    assert ids[0] == ids[1]
    assert len(ids[0]) > 10


def test_pairs_out_of_pages_join_the_raw_ones(quickstart: Finished) -> None:
    ids = pools.index(quickstart.out, "pt_pairs")["sample_id"].to_pylist()
    assert len(set(ids)) == len(ids)
    born = [id for id in ids if "#" in id]
    assert 0 < len(born) < len(ids)
    assert set(ids) == set(pools.index(quickstart.out, "sft")["sample_id"].to_pylist())


def test_no_two_written_pairs_have_the_same_pixels(quickstart: Finished) -> None:
    pixels = pools.index(quickstart.out, "pt_pairs")["image_pixel_sha256"].to_pylist()
    assert None not in pixels
    assert len(set(pixels)) == len(pixels)


# -- the funnel ---------------------------------------------------------------------------------------------


def chain(run: Finished, ids: Sequence[str]) -> list[dict[str, Any]]:
    return [pools.node(run.report, id) for id in ids]


@pytest.mark.parametrize(
    "ids",
    [
        ("raw", "probe", "size", "sharpness", "quality", "sha", "hash"),
        ("text", "language", "pii", "words", "clip", "aligned", "dedup", "copies", "pt_pairs"),
    ],
)
def test_funnel_rows_go_from_node_to_node(quickstart: Finished, ids: Sequence[str]) -> None:
    nodes = chain(quickstart, ids)
    for before, after in pairwise(nodes):
        assert before["rows_out"] == after["rows_in"]
    for node in nodes:  # a pair dies with its one image or text, so items and samples are the same here
        assert node["rows_in"] - node["rows_out"] == sum(node["dropped"].values()), node["id"]


def test_funnel_names_every_node_and_the_law_of_every_output(quickstart: Finished) -> None:
    told = funnel.render(quickstart.report).splitlines()
    nodes = [n["id"] for n in quickstart.report["nodes"]]
    assert [line.split()[0] for line in told[1 : len(nodes) + 1]] == nodes
    for output in quickstart.report["outputs"]:
        assert any(line.startswith(f"{output['path']}/: ") for line in told)
    laws = [line.partition(": ")[2].replace(",", "") for line in told if " = " in line]
    assert len(laws) == 2 * len(quickstart.report["outputs"])
    for law in laws:
        came, went = (sum(int(word) for word in side.split() if word.isdigit()) for side in law.split(" = "))
        assert came == went > 0


def test_truth_table_joins_outputs_that_score_alike(quickstart: Finished) -> None:
    tables = truth.compare(quickstart.truth, quickstart.out, quickstart.report).split(
        " against truth.jsonl\n"
    )
    assert tables[0] == "pt_documents, pt_documents_hf"
    assert "\npt_pairs, sft" in tables[1]
    # of documents only nothing is said about pairs, of both about both
    assert "exact_duplicate_image" not in tables[1]
    assert "clean samples lost: " in tables[1]
    assert "exact_duplicate_image" in tables[2]
    assert "broken_link" in tables[2]
