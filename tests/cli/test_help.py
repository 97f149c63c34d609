"""The help of every verb: complete, in whole sentences, and fitting a terminal of 80 columns."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from curate.cli import app

GROUP = typer.main.get_command(app)
VERBS = sorted(GROUP.commands)  # type: ignore[attr-defined]


def told(*arguments: str) -> str:
    result = CliRunner().invoke(app, [*arguments, "--help"], env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"})
    assert result.exit_code == 0
    return result.output


def test_the_verbs_are_those_of_the_design() -> None:
    assert set(VERBS) <= {"run", "plan", "submit", "report", "trace", "diff", "stages", "demo"}
    assert {"run", "plan", "trace", "stages", "demo"} <= set(VERBS)


def test_each_verb_is_listed_with_a_whole_sentence() -> None:
    lines = told().partition("Commands:")[2].splitlines()
    listed = dict(line.split(maxsplit=1) for line in lines if line.strip())
    assert sorted(listed) == VERBS
    for verb, sentence in listed.items():
        assert sentence[0].isupper(), verb
        assert sentence.endswith("."), verb
        assert not sentence.endswith(".."), verb  # cut off by the width


@pytest.mark.parametrize("verb", VERBS)
def test_everything_that_can_be_given_is_explained(verb: str) -> None:
    text = told(verb)
    command = GROUP.commands[verb]  # type: ignore[attr-defined]
    for parameter in command.params:
        if parameter.name == "help":
            continue
        help = parameter.help
        assert help, parameter.name
        assert help[0].isupper() or help[0] == "`" or help.startswith("truth.jsonl"), help
        assert help.endswith((".", ")")), help
        assert " ".join(help.split()[:3]) in " ".join(text.split())
        option = parameter.opts[0].startswith("-")
        assert (parameter.opts[0] if option else parameter.metavar) in text
    assert "Unknown" not in text
    assert "None" not in text
    # a value is named for what it is, not for its type in Python
    options = text.partition("Options:")[2]
    assert "<" not in options, options
    assert max(map(len, text.splitlines())) <= 80


def test_no_arguments_give_the_help() -> None:
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 2
    assert "Commands:" in result.output
