"""`curate stages`: the list, one stage, the JSON schema that editors use, and the reference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from command import Curate
from finished import RECIPES
from typer.testing import CliRunner

from curate.catalog import catalog, name_of
from curate.cli import app

NAMES = [name_of(stage) for stage in catalog()]


def told(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["stages", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_all_stages_are_listed_under_their_noun() -> None:
    lines = told().splitlines()
    assert [line for line in lines if not line.startswith(" ")] == ["Read", "Map", "Expand", "Group", "Write"]
    listed = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines if line.startswith(" ")}
    assert set(listed) == set(NAMES)
    assert all(text.endswith(".") for text in listed.values())


@pytest.mark.parametrize("stage", catalog(), ids=name_of)
def test_one_stage_tells_its_fields(stage: Any) -> None:
    text = told(name_of(stage))
    for name, field in stage.model_fields.items():
        if name not in ("id", "from_", "stage"):
            assert f"\n  {field.alias or name}: " in text
            assert not field.is_required() or ", required" in text
    assert "Unknown" not in text
    assert "$ref" not in text


def test_fields_within_fields_are_told() -> None:
    text = told("keep")
    for name in ("min", "max", "in", "not_in", "missing"):
        assert f"\n  bounds.COLUMN.{name}: " in text
    assert "\n  prefer[].column: " in told("exact")


def test_columns_and_reasons_are_told() -> None:
    text = told("probe")
    assert "image_short_side" in text.partition("columns:")[2]
    text = told("read_html").partition("reasons:")[2]
    assert "outside_root" in text


# -- JSON schema --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = json.loads(told("--schema"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_schema_accepts_our_recipes(validator: jsonschema.Draft202012Validator, recipe: Path) -> None:
    assert list(validator.iter_errors(yaml.safe_load(recipe.read_text()))) == []


@pytest.mark.parametrize(
    "node",
    [
        {"stage": "prob"},
        {"stage": "probe", "unknown": 1},
        {"stage": "keep"},
        {"stage": "keep", "bounds": {"image_width": {"minimum": 3}}},
        {"stage": "read_html", "path": 3},
        {"stage": "write_webdataset", "form": "pair"},
    ],
)
def test_the_schema_refuses_what_a_run_refuses(
    validator: jsonschema.Draft202012Validator, node: dict[str, Any]
) -> None:
    good = {"name": "r", "nodes": [{"stage": "read_webdataset", "path": ["a.tar", "b.tar"]}]}
    assert validator.is_valid(good)
    assert not validator.is_valid({**good, "nodes": [*good["nodes"], node]})


# -- the reference ------------------------------------------------------------------------------------------


def test_the_reference_is_the_same_every_time(curate: Curate) -> None:
    one, two = (curate("stages", "--markdown", PYTHONHASHSEED=seed) for seed in ("1", "2"))
    assert one.code == two.code == 0
    assert one.out == two.out
    assert [line[4:] for line in one.out.splitlines() if line.startswith("### ")] == NAMES


def test_its_tables_have_four_cells() -> None:
    rows = [line for line in told("--markdown").splitlines() if line.startswith("|")]
    assert len(rows) > 30
    for row in rows:
        assert row.replace("\\|", "").count("|") == 5, row


def test_a_stage_of_the_users_own_that_is_not_whole_is_told(curate: Curate, tmp_path: Path) -> None:
    code = "from typing import Literal\nfrom curate.stage import Map\n\n\nclass Half(Map):\n"
    code += '    """Half a stage."""\n\n    stage: Literal["half"] = "half"\n\n\nSTAGES = (Half,)\n'
    (tmp_path / "halves.py").write_text(code)
    ended = curate("stages", "--stages", "halves")
    assert ended.code == 1
    assert "--stages halves: `half` does not define open" in ended.err
