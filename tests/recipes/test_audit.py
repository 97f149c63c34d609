"""recipes/audit.yaml: every planted fault is named with its row, and a clean set is silent."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pools
import pytest
from finished import RECIPES, run_file
from PIL import Image
from typer.testing import CliRunner

from curate.backends import Backend
from curate.cli import app
from curate.meter import Meter
from curate.plan import make
from curate.recipe import load
from curate.report import audit, run_json
from curate.run import Run
from curate.sources import discover

Row = dict[str, Any]
ROWS = 60
RECIPE = RECIPES / "audit.yaml"


def row(number: int, question: str = "<image>\nWhat is it?", answer: str = "", **fields: Any) -> Row:
    turns = [
        {"from": "human", "value": question},
        {"from": "gpt", "value": answer or f"It is number {number}."},
    ]
    return {"id": f"r{number:03}", "image": f"{number}.jpg", "conversations": turns, **fields}


def clean(folder: Path) -> list[Row]:
    """Sixty rows with their images; every fifth is a text alone, every seventh goes on for another turn."""
    (folder / "images").mkdir(parents=True)
    rows = []
    for i in range(ROWS):
        (folder / "images" / f"{i}.jpg").write_bytes(pools.picture(i, form="jpeg"))
        rows.append(row(i))
        if i % 5 == 4:
            rows[i]["conversations"][0]["value"] = f"What is {i}?"
            del rows[i]["image"]
        if i % 7 == 6:
            more = [{"from": "human", "value": "真的吗？"}, {"from": "gpt", "value": "是的。"}]
            rows[i]["conversations"] += more
    return rows


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def planted(folder: Path) -> tuple[list[Any], Counter[tuple[str, int]]]:
    """The rows with faults, and each (code, row) there is."""
    rows: list[Any] = clean(folder)
    found: Counter[tuple[str, int]] = Counter()

    def plant(number: int, code: str, made: Any) -> None:
        assert number + 1 not in {n for _, n in found}
        rows[number] = made
        found[code, number + 1] += 1

    plant(0, "marker_count", row(0, "<image>\n<image>\nWhat?"))
    plant(1, "marker_missing", row(1, "What?"))
    plant(2, "marker_in_answer", row(2, "What?", "That <image>."))
    plant(3, "marker_position", row(3, "What is in <image> now?"))
    plant(5, "null_image", row(5, "What?", image=None))
    plant(6, "bad_roles", {**row(6), "conversations": row(6)["conversations"][::-1]})
    plant(7, "bad_roles", {**row(7), "conversations": row(7)["conversations"][:1]})
    plant(8, "empty_turn", row(8, answer="  "))
    plant(10, "reserved_token", row(10, answer="Bye.</s>"))
    plant(11, "length_field", row(11, length=5))
    plant(12, "bad_id", {k: v for k, v in row(12).items() if k != "id"})
    plant(13, "absolute_path", row(13, image="/data/13.jpg"))
    plant(15, "url_path", row(15, image="http://x.org/15.jpg"))
    plant(16, "backslash_path", row(16, image="images\\16.jpg"))
    plant(17, "several_images", row(17, "<image>\n<image>\nCompare.", image=["17.jpg", "18.jpg"]))
    plant(18, "not_text", row(18))
    rows[18]["conversations"][1]["value"] = 5
    plant(20, "not_finite", row(20, score=float("nan")))
    plant(21, "missing_image", row(21, image="none.jpg"))
    plant(22, "system_turn", row(22))
    rows[22]["conversations"].insert(0, {"from": "system", "value": "Be good."})
    plant(23, "not_an_object", "a text")
    plant(25, "no_conversation", row(25, conversations=[]))
    plant(26, "bad_image", row(26, image={"<image_00>": "26.jpg"}))
    plant(27, "duplicate_id", row(27, id="r028"))
    plant(31, "truncated", row(31))
    plant(32, "small_side", row(32))
    plant(33, "not_rgb", row(33))
    plant(35, "turned", row(35))
    plant(36, "alpha", row(36))
    plant(37, "replacement_character", row(37, answer="caf\ufffd"))
    plant(38, "control_character", row(38, answer="a\x07b"))
    plant(40, "too_long", row(40, answer="word " * 3000))
    plant(41, "bad_json", "@broken@")
    plant(45, "missing_image", row(45, "What?", image="no more.jpg"))
    found["marker_missing", 46] += 1  # what was wrong with a row besides what it died of
    rows[43] = rows[42]
    images = folder / "images"
    (images / "31.jpg").write_bytes(pools.picture(31, 200, 160, form="jpeg")[:900])
    (images / "32.jpg").write_bytes(pools.picture(32, 20, 20, form="jpeg"))
    Image.open(images / "33.jpg").convert("CMYK").save(images / "33.jpg")
    Image.open(images / "35.jpg").save(images / "35.jpg", exif=turned())
    faint = Image.open(images / "36.jpg").convert("RGBA")
    faint.putalpha(90)
    faint.save(images / "36.jpg", "PNG")
    return rows, found


def write(folder: Path, rows: list[Any]) -> Path:
    text = json.dumps(rows, indent=1).replace('"@broken@"', '{"id": "r041", image: 7}')
    (folder / "my.json").write_text(text)
    return folder / "my.json"


def run(path: Path, out: Path, start: Callable[[], Backend] | None = None, **fields: Any) -> audit.Audit:
    overrides = [f"set.{name}={value}" for name, value in {"path": path, **fields}.items()]
    if start is None:
        run_file(RECIPE, overrides, out)
    else:
        plan = make(load(RECIPE, tuple(overrides)))
        Run(plan, discover(plan, Path.cwd()), out, (), Meter(quiet=True)).execute(start)
    (found,) = audit.read(out, run_json.load(out))
    return found


def told(*arguments: Any) -> str:
    ended = CliRunner().invoke(app, ["report", *map(str, arguments)])
    assert ended.exit_code == 0, ended.output
    return ended.output


def lines(out: Path) -> list[Row]:
    text = (out / "audit" / "findings.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, audit.Audit, Counter[tuple[str, int]]]:
    folder = tmp_path_factory.mktemp("faulty")
    rows, expected = planted(folder)
    out = folder / "run"
    return out, run(write(folder, rows), out, image_root="images"), expected


def number(finding: Row) -> int:
    return int(finding["source"].rpartition("#")[2])


def test_each_planted_fault_is_named_with_its_row_and_nothing_else(faulty: Any) -> None:
    _, found, expected = faulty
    assert len({code for code, _ in expected}) > 25
    seen = Counter((code, number(f)) for code, known in found.codes.items() for f in known.first)
    # of two equal rows either may be told as the copy
    copies = [key for key in seen if key[0].startswith("duplicate_")]
    assert Counter(code for code, _ in copies) == {"duplicate_id": 2, "duplicate_sample": 1}
    assert {n for code, n in copies if code == "duplicate_sample"} <= {43, 44}
    assert {n for code, n in copies if code == "duplicate_id"} <= {28, 29, 43, 44}
    rest = Counter({key: n for key, n in seen.items() if key not in copies})
    assert rest == Counter({key: n for key, n in expected.items() if key[0] != "duplicate_id"})
    assert found.findings == sum(seen.values())
    assert found.rows == ROWS
    assert found.rows_with_findings == len({number(f) for c in found.codes.values() for f in c.first})


def test_findings_of_living_rows_are_in_the_output(faulty: Any) -> None:
    out, found, _ = faulty
    living = Counter(finding["code"] for finding in lines(out))
    assert {code: n["findings"] for code, n in found.summary["codes"].items()} == living
    assert found.summary["rows"] == ROWS - sum(
        1 for death in pools.ledger(out, "audit") if death["level"] == "sample"
    )
    for finding in lines(out):
        assert finding["consequence"], finding
        assert finding["dataset"] == "set"
    (alpha,) = (f for f in lines(out) if f["code"] == "alpha")
    assert (alpha["level"], alpha["index"], alpha["row_id"]) == ("image", 0, "r036")
    (bell,) = (f for f in lines(out) if f["code"] == "control_character")
    assert (bell["level"], bell["index"]) == ("text", 1)
    index = pools.index(out, "audit")
    assert index["source"].to_pylist() == sorted(
        index["source"].to_pylist(), key=lambda s: int(s.rpartition("#")[2])
    )
    assert {"row_id", "image_faults", "image_width", "sample_duplicate"} <= set(index.column_names)
    assert "text_body" not in index.column_names
    assert not list((out / "audit").rglob("*.jpg"))
    assert found.summary["image_width"]["max"] >= found.summary["image_width"]["p50"] >= 20
    assert found.summary["text_role"]["user"] > ROWS / 2


def test_it_is_told_in_words(faulty: Any) -> None:
    out, found, _ = faulty
    text = told(out)
    last = text.strip().splitlines()[-1]
    assert last == f"{found.findings} findings in {found.rows_with_findings} of {ROWS} rows"
    assert "\n  my.json#22 (id r021): image 0: none.jpg\n" in text
    assert "\n  my.json#42: Expecting property name" in text
    assert "bad_roles: 2 findings in 2 rows - roles do not alternate" in text
    assert '\n  my.json#7 (id r006): the first turn is by "gpt"\n' in text
    assert "LLaMA-Factory: preprocessing stops (ValueError)" in text
    assert ": as my.json#" in text
    assert str(out / "audit" / "findings.jsonl") in text
    machine = json.loads(told(out, "--json"))
    (one,) = machine["audits"]
    assert one["findings"] == found.findings
    assert one["codes"]["turned"]["first"][0]["source"] == "my.json#36"
    assert one["summary"] == found.summary


def test_the_run_itself_ends_with_it(tmp_path: Path) -> None:
    path = write(tmp_path, clean(tmp_path)[:3])
    fields = [f"set.path={path}", "set.image_root=images"]
    overrides = [word for field in fields for word in ("-s", field)]
    run = ["run", str(RECIPE), "--out", str(tmp_path / "run"), "--backend", "local", "--quiet", *overrides]
    ended = CliRunner().invoke(app, run)
    assert ended.exit_code == 0, ended.output
    assert "audit/: 3 samples" in ended.output
    assert ended.output.endswith("\n\nno findings in 3 rows\n")


def test_a_clean_set_is_silent(tmp_path: Path) -> None:
    found = run(write(tmp_path, clean(tmp_path)), tmp_path / "run", image_root="images")
    assert found.codes == {}
    assert told(tmp_path / "run").strip() == f"no findings in {ROWS} rows"
    assert lines(tmp_path / "run") == []


def test_what_we_wrote_ourselves_is_silent(demo_pool: Path, tmp_path: Path) -> None:
    recipe = {
        "name": "x",
        "nodes": [
            {"id": "raw", "stage": "read_webdataset", "path": f"{demo_pool}/pairs/*.tar"},
            {"stage": "probe"},
            {"stage": "sha256"},
            {"id": "once", "stage": "exact", "key": "image_pixel_sha256"},
            {"id": "sft", "stage": "write_llava"},
        ],
    }
    pools.run(recipe, tmp_path / "made")
    found = run(tmp_path / "made" / "sft" / "llava.json", tmp_path / "run")
    assert found.rows > 50
    assert found.codes == {}


def test_rows_with_messages(tmp_path: Path) -> None:
    rows: list[Row] = []
    for old in clean(tmp_path):
        turns = old["conversations"]
        new = [
            {"role": {"human": "user", "gpt": "assistant"}[turn["from"]], "content": turn["value"]}
            for turn in turns
        ]
        rows.append({"messages": new, "images": [old["image"]] if "image" in old else []})
    rows[3]["images"] = []
    found = run(write(tmp_path, rows), tmp_path / "run", stage="read_messages", image_root="images")
    assert {code: [number(f) for f in known.first] for code, known in found.codes.items()} == {
        "marker_count": [4]
    }


def test_a_set_of_pairs(demo_pool: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    report = run_file(RECIPES / "audit_pairs.yaml", [f"set.path={demo_pool}/pairs/*.tar"], out)
    (found,) = audit.read(out, report)
    dead = {r["source"] for r in pools.ledger(out, "audit") if r["level"] == "sample"}
    assert dead
    assert found.rows == report["outputs"][0]["samples"]["entered"]
    assert found.rows_with_findings > len(dead)
    assert {"duplicate_sample", "small_side", "empty_text", "truncated"} <= set(found.codes)
    assert "row_id" not in pools.index(out, "audit").column_names
    again = tmp_path / "parquet"
    pools.run(
        {
            "name": "x",
            "nodes": [
                {"id": "raw", "stage": "read_webdataset", "path": f"{demo_pool}/pairs/*.tar"},
                {"stage": "probe"},
                {"id": "pt", "stage": "write_parquet"},
            ],
        },
        again,
    )
    overrides = ["set.stage=read_parquet", f"set.path={again}/pt"]
    (other,) = audit.read(out, run_file(RECIPES / "audit_pairs.yaml", overrides, out))
    assert 0 < other.rows < found.rows


def test_a_run_without_an_audit_tells_its_funnel(tmp_path: Path) -> None:
    pools.run(pools.chain(pools.write_tars(tmp_path / "in", pools.pairs(20), 1)), tmp_path / "run")
    assert "out/: " in told(tmp_path / "run")
    assert json.loads(told(tmp_path / "run", "--json"))["status"] == "done"
    ended = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert "is no run folder" in str(ended.exception)


@pytest.mark.slow
def test_both_backends_give_the_same_bytes(
    faulty: Any, tmp_path: Path, on_ray: Callable[[], Backend]
) -> None:
    out, found, _ = faulty
    other = run(out.parent / "my.json", tmp_path / "run", on_ray, image_root="images", part_rows=7)
    assert pools.output_bytes(tmp_path / "run", "audit") == pools.output_bytes(out, "audit")
    assert audit.render(other, out) == audit.render(found, out)
