"""`curate trace`: the fate of any sample, by id, by the beginning of one, and by source."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pools
import pyarrow.parquet as pq
import pytest
from command import Curate
from finished import Finished
from typer.testing import CliRunner

from curate.cli import app
from curate.errors import CurateError
from curate.report.trace import find, notes, render

PAIRS = {"pt_pairs", "sft"}
PAGES = {"pt_documents", "pt_documents_hf"}


def row(run: Finished, **wanted: object) -> dict[str, Any]:
    """A row of the ledger."""
    rows = pools.ledger(run.out, "pt_pairs")
    return next(r for r in rows if all(r[name] == value for name, value in wanted.items()))


def places(fates: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    return {(f["sample_id"], f["output"], f["fate"]) for f in fates}


@pytest.fixture(scope="module")
def written(quickstart: Finished) -> list[str]:
    return [str(i) for i in pools.index(quickstart.out, "pt_pairs")["sample_id"].to_pylist()]


# -- what is found ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["corrupt", "missing_text", "image_short_side.below_min", "duplicate"])
def test_a_dropped_pair_is_found_by_id_prefix_and_source(quickstart: Finished, reason: str) -> None:
    known = row(quickstart, reason=reason, level="sample", dataset="raw")
    fates = find(quickstart.out, known["sample_id"])
    samples = [f for f in fates if f["level"] == "sample"]
    assert {(f["output"], f["node"], f["reason"]) for f in samples} == {
        (output, known["node"], reason) for output in PAIRS
    }
    assert find(quickstart.out, known["sample_id"][:12]) == fates
    assert find(quickstart.out, known["source"]) == fates
    assert find(quickstart.out, known["source"].rpartition("@")[0]) == fates


def test_a_shared_fate_is_the_same_for_each_output(quickstart: Finished) -> None:
    known = row(quickstart, reason="corrupt", level="sample", dataset="raw")
    fates = find(quickstart.out, known["sample_id"])
    apart: dict[str, list[Any]] = {}
    for fate in fates:
        apart.setdefault(fate["output"], []).append({k: v for k, v in fate.items() if k != "output"})
    assert set(apart) == PAIRS
    assert apart["pt_pairs"] == apart["sft"]


def test_a_written_pair_is_found_by_id_prefix_and_source(quickstart: Finished, written: list[str]) -> None:
    id = next(i for i in written if "#" not in i)
    fates = find(quickstart.out, id)
    assert places(fates) == {(id, output, "written") for output in PAIRS}
    assert {(f["file"], f["member"]) for f in fates} == {("00000.tar", id), ("00000.parquet", id)}
    source = fates[0]["source"]
    assert source.startswith("0000")
    for wanted in (id[:10], source, source.rpartition("@")[0]):
        assert find(quickstart.out, wanted) == fates


def test_pairs_out_of_a_page_are_found_through_it(quickstart: Finished, written: list[str]) -> None:
    child = next(i for i in written if "#" in i)
    parent = child.partition("#")[0]
    fates = find(quickstart.out, parent)
    ends = places([f for f in fates if f["fate"] == "written" or f["level"] == "sample"])
    assert {(parent, output, "dropped") for output in PAIRS} <= ends  # expanded
    assert {(parent, output, "written") for output in PAGES} <= ends
    assert {(child, output, "written") for output in PAIRS} <= ends
    page = next(f["source"] for f in fates if f["fate"] == "dropped")
    assert page.endswith(".html")
    assert find(quickstart.out, page) == fates
    alone = find(quickstart.out, child)
    assert places(alone) == {(child, output, "written") for output in PAIRS}
    assert {f["source"] for f in alone} == {page}


def test_a_lost_image_of_a_written_page_is_told(quickstart: Finished) -> None:
    lost = next(r for r in pools.ledger(quickstart.out, "pt_documents") if r["reason"] == "corrupt")
    fates = [f for f in find(quickstart.out, lost["sample_id"]) if f["output"] == "pt_documents"]
    assert Counter(f["fate"] for f in fates) >= Counter({"dropped": 1, "written": 1})
    told = render(find(quickstart.out, lost["sample_id"]))
    assert f"\n  image {lost['index']} dropped by `page_probe`: corrupt, on the way to pt_" in told


@pytest.mark.parametrize(
    "wanted", ["", "0", "00000", "ffffffffffffffff", "00000.tar", "nothing.html", "@", "#"]
)
def test_what_names_no_sample_finds_none(quickstart: Finished, wanted: str) -> None:
    assert find(quickstart.out, wanted) == []


# -- how it is told -----------------------------------------------------------------------------------------


def test_text_tells_a_fate_once_for_all_outputs_that_share_it(quickstart: Finished) -> None:
    known = row(quickstart, reason="corrupt", level="sample", dataset="raw")
    head, source, fate, *scores = render(find(quickstart.out, known["sample_id"])).splitlines()
    assert head == known["sample_id"]
    assert source == f"  from raw: {known['source']}"
    assert fate == "  dropped by `probe`: corrupt, on the way to pt_pairs, sft"
    assert all(line.startswith("      ") for line in scores)  # and nothing of the image that is the sample
    assert "image_ref " in scores[0]


def test_text_tells_children_after_their_parent(quickstart: Finished, written: list[str]) -> None:
    parent = next(i for i in written if "#" in i).partition("#")[0]
    heads = [p.splitlines()[0] for p in render(find(quickstart.out, parent)).split("\n\n")]
    assert heads[0] == parent
    assert heads[1:] == [f"{parent}#{k}" for k in sorted(int(h.partition("#")[2]) for h in heads[1:])]


def test_json_has_a_fate_a_line(quickstart: Finished, written: list[str]) -> None:
    result = CliRunner().invoke(app, ["trace", str(quickstart.out), written[0], "--json"])
    assert result.exit_code == 0
    assert [json.loads(line) for line in result.stdout.splitlines()] == find(quickstart.out, written[0])


def test_an_unknown_sample_is_an_error_that_says_what_to_give(quickstart: Finished, curate: Curate) -> None:
    ended = curate("trace", str(quickstart.out), "beef")
    assert (ended.code, ended.out) == (1, "")
    assert "nothing is known of a sample `beef`" in ended.err
    assert "at least 8 of the 32 digits" in ended.err
    assert "Traceback" not in ended.err


# -- what is not there --------------------------------------------------------------------------------------


@pytest.fixture
def copy(quickstart: Finished, tmp_path: Path) -> Path:
    """The run folder without pixels."""
    out = tmp_path / "run"
    shutil.copytree(quickstart.out, out, ignore=shutil.ignore_patterns("*.tar", "*.jpg", "building"))
    return out


def test_without_state_ids_are_enough_and_it_is_said(copy: Path, written: list[str]) -> None:
    assert notes(copy) == []
    id = next(i for i in written if "#" not in i)
    source = find(copy, id)[0]["source"]
    shutil.rmtree(copy / "state")
    assert notes(copy) == [f"{copy / 'state'} is gone: written samples are found by their id only"]
    assert {f["source"] for f in find(copy, id)} == {None}
    assert render(find(copy, id)).startswith(f"{id}\n  written to pt_pairs/")
    assert find(copy, source) == []


def test_an_output_that_was_moved_away_is_said(copy: Path, written: list[str]) -> None:
    shutil.rmtree(copy / "pt_pairs")
    assert {f["output"] for f in find(copy, written[0])} == {"sft"}
    assert notes(copy) == [f"{copy / 'pt_pairs'} holds no index: what was written there is not known"]


def test_a_run_that_is_not_finished_is_said(copy: Path) -> None:
    report = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps({**report, "status": "running"}))
    assert notes(copy) == ["the run is not finished (it is `running`): this is what is known so far"]
    (copy / "run.json").write_text("{")
    with pytest.raises(CurateError, match=r"run\.json is damaged"):
        find(copy, "0123456789")


def test_only_ids_are_read_of_a_large_index(
    copy: Path, written: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A column that cannot be decoded shows what is read."""
    for path in (copy / "pt_pairs").glob("*.parquet"):
        table = pq.read_table(path)
        pq.write_table(table, path, compression="zstd", use_dictionary=False)
        found = pq.ParquetFile(path).metadata.row_group(0)
        data = bytearray(path.read_bytes())
        for i in range(found.num_columns):
            chunk = found.column(i)
            if chunk.path_in_schema.partition(".")[0] not in ("sample_id", "key"):
                start = chunk.data_page_offset
                data[start : start + chunk.total_compressed_size] = bytes(chunk.total_compressed_size)
        path.write_bytes(data)
        with pytest.raises(OSError, match=r".+"):
            pq.read_table(path, columns=["text_body"])
    assert {f["output"] for f in find(copy, written[0])} == PAIRS
