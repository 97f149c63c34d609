"""The command line: run, plan, trace, stages, demo."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from curate.errors import CurateError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Curate image-text data for multimodal language models: every sample accounted for.",
)

RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe, a YAML file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", "-s", metavar="NODE.FIELD=VALUE", help="Change a field of a node; may be given often."
    ),
]
Modules = Annotated[
    list[str] | None,
    typer.Option("--stages", metavar="MODULE:TUPLE", help="A tuple of stage classes of your own."),
]
Out = Annotated[
    Path, typer.Option("--out", "-o", metavar="RUN", help="The run folder; a finished one is reused.")
]


@app.command()
def run(
    recipe: RecipeFile,
    out: Out,
    set_: Overrides = None,
    stages: Modules = None,
    backend: Annotated[
        str, typer.Option(help="`ray`, or `local`: a plain loop in this process.", metavar="ray|local")
    ] = "ray",
    address: Annotated[
        str | None, typer.Option(help="A Ray cluster to run on; by default a Ray of this run's own.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Workers of a Ray of this run's own.")] = None,
    truth: Annotated[
        Path | None, typer.Option(help="truth.jsonl of a demo pool: tell precision and recall at the end.")
    ] = None,
    replay: Annotated[
        str | None, typer.Option(metavar="SEGMENT/PART", help="Run one part in this process, to debug it.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
) -> None:
    """Run a recipe. What an earlier run in the same folder has done is not done again."""
    from curate.backends import Backend
    from curate.meter import Meter
    from curate.report import funnel
    from curate.run import Run

    plan, found = _planned(recipe, set_, stages)
    meter = Meter(quiet=quiet)

    def start() -> Backend:
        if backend == "local":
            from curate.backends.local import LocalBackend

            return LocalBackend()
        from curate.backends.ray import RayBackend

        return RayBackend(workers, address)

    if backend not in ("ray", "local"):
        raise CurateError(f"--backend {backend}: there are `ray` and `local`")
    this = Run(plan, found, out, tuple(stages or ()), meter)
    if replay is not None:
        this.replay(replay)
        return
    with meter:
        report = this.execute(start)
    typer.echo(funnel.render(report))
    if truth is not None:
        from curate.report.truth import compare

        typer.echo("\n" + compare(truth, out, report))


@app.command()
def plan(
    recipe: RecipeFile,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="RUN", help="Tell what a run there would reuse.")
    ] = None,
    set_: Overrides = None,
    stages: Modules = None,
) -> None:
    """Show the segments of a recipe, and what a run would compute and what it would reuse."""
    from curate.forecast import describe

    made, found = _planned(recipe, set_, stages)
    typer.echo(describe(made, found, out, tuple(stages or ())))


@app.command()
def trace(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    sample: Annotated[
        str, typer.Argument(metavar="SAMPLE_ID", help="A sample id, its beginning, or a source position.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Tell what became of a sample: node, reason and scores, or output, shard and member."""
    from curate.report.trace import find, render

    fates = find(run_folder, sample)
    if not fates:
        raise CurateError(
            f"{run_folder}: no sample `{sample}`; ids are 32 hex digits, `curate trace RUN <source>` works too"
        )
    typer.echo("\n".join(json.dumps(f, ensure_ascii=False) for f in fates) if as_json else render(fates))


@app.command()
def stages(
    name: Annotated[str | None, typer.Argument(help="Show one stage with its fields.")] = None,
    schema: Annotated[bool, typer.Option("--schema", help="JSON schema of recipes, for editors.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="The reference as Markdown.")] = False,
    modules: Modules = None,
) -> None:
    """List the stages a recipe may use, or one with its fields."""
    from curate.recipe import recipe_type
    from curate.reference import as_markdown, listing, one

    extra = tuple(modules or ())
    if schema:
        typer.echo(json.dumps(recipe_type(extra).model_json_schema(), indent=2))
    elif markdown:
        typer.echo(as_markdown(extra))
    else:
        typer.echo(one(name, extra) if name else listing(extra))


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the pool is written.")],
    pairs: Annotated[int, typer.Option(help="Image-text pairs.")] = 1200,
    documents: Annotated[int, typer.Option(help="HTML documents.")] = 80,
    seed: Annotated[int, typer.Option(help="Another seed, another pool.")] = 0,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Only classes, fonts and a style kept out of other pools.")
    ] = False,
) -> None:
    """Make a pool of synthetic pairs and documents with planted defects and their truth."""
    from curate.demo import generate

    generate(folder, pairs=pairs, documents=documents, seed=seed, held_out=held_out)
    typer.echo(f"{folder}: {pairs} pairs, {documents} documents, truth.jsonl")


def _planned(recipe: Path, overrides: list[str] | None, modules: list[str] | None) -> tuple[Any, Any]:
    """Recipe and inputs checked, before anything is started."""
    from curate.plan import make
    from curate.recipe import load
    from curate.sources import discover

    sys.path.insert(0, "")  # stages of the user's own lie where the command is given
    made = make(load(recipe, tuple(overrides or ()), tuple(modules or ())))
    return made, discover(made, Path.cwd())


def main() -> None:
    """Entry point: errors that are meant for people come without a traceback."""
    try:
        app()
    except CurateError as error:
        typer.echo(f"curate: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        typer.echo("curate: stopped; the same command goes on from here", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()
