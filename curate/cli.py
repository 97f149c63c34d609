"""The command line: run, plan, report, trace, stages, demo."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

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
        "--set", "-s", metavar="NODE.FIELD=VALUE", help="Set a field of a node; may be given several times."
    ),
]
Modules = Annotated[
    list[str] | None,
    typer.Option(
        "--stages", metavar="MODULE:TUPLE", help="Stage classes of your own, by their tuple's name."
    ),
]
Out = Annotated[
    Path,
    typer.Option(
        "--out", "-o", metavar="RUN", help="The run folder. What an earlier run left in it is reused."
    ),
]


@app.command()
def run(
    recipe: RecipeFile,
    out: Out,
    set_: Overrides = None,
    stages: Modules = None,
    backend: Annotated[
        Literal["ray", "local"],
        typer.Option(metavar="ray|local", help="`local` is a plain loop in this process."),
    ] = "ray",
    address: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Ray cluster to run on; without it, Ray is started for this run."
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Workers of a Ray started for this run; one for each core."),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="truth.jsonl of a demo pool: tell precision and recall at the end.",
        ),
    ] = None,
    replay: Annotated[
        str | None,
        typer.Option(
            metavar="SEGMENT/PART",
            help="Run one part in this process and nothing else, to debug it. A failed run tells which.",
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
) -> None:
    """Run a recipe. What an earlier run in the same folder has done is not done again."""
    from curate.backends import Backend
    from curate.meter import Meter
    from curate.report import audit, funnel
    from curate.run import Run

    plan, found = _planned(recipe, set_, stages)
    meter = Meter(quiet=quiet)

    def start() -> Backend:
        if backend == "local":
            from curate.backends.local import LocalBackend

            return LocalBackend()
        from curate.backends.ray import RayBackend

        return RayBackend(workers, address)

    this = Run(plan, found, out, tuple(stages or ()), meter)
    try:
        if replay is not None:
            this.replay(replay)
            typer.echo(f"{replay}: ran without an error")
            return
        with meter:
            report = this.execute(start)
    except KeyboardInterrupt as error:
        typer.echo("curate: stopped; what is done is kept, the same command goes on from here", err=True)
        raise typer.Exit(130) from error
    typer.echo(funnel.render(report))
    for found in audit.read(out, report):
        typer.echo("\n" + audit.render(found, out))
    if truth is not None:
        from curate.report.truth import compare

        typer.echo("\n" + compare(truth, out, report))


@app.command()
def plan(
    recipe: RecipeFile,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="RUN", help="A run folder: tell what a run there would reuse."),
    ] = None,
    set_: Overrides = None,
    stages: Modules = None,
) -> None:
    """Show what a run would compute.

    Checks the recipe and its input, and shows its segments; with --out also what of an earlier run is reused.
    """
    from curate.forecast import describe

    made, found = _planned(recipe, set_, stages)
    typer.echo(describe(made, found, out, tuple(stages or ())))


@app.command()
def report(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    samples: Annotated[
        int | None,
        typer.Option("--for", metavar="N", min=1, help="Core-hours and bytes for N samples, by this run's."),
    ] = None,
) -> None:
    """Tell what a finished run found, or what a larger one would cost.

    For an audit (an output of `write_audit`): every kind of finding, what trainers do about it, and the first
    rows that have it. For any other run the funnel.
    """
    from curate.report import audit, costs, funnel, run_json

    told = run_json.load(run_folder)
    if told["status"] != "done":
        typer.echo(f"curate: the run is not finished (it is `{told['status']}`)", err=True)
    if samples is not None:
        typer.echo(json.dumps(costs.estimate(told, samples)) if as_json else costs.render(told, samples))
        return
    audits = audit.read(run_folder, told)
    if as_json:
        found = {"audits": [audit.as_json(a) for a in audits]} if audits else told
        typer.echo(json.dumps(found, ensure_ascii=False))
    elif audits:
        typer.echo("\n\n".join(audit.render(a, run_folder) for a in audits))
    else:
        typer.echo(funnel.render(told))


@app.command()
def trace(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    sample: Annotated[
        str,
        typer.Argument(
            metavar="SAMPLE",
            help="Its id, 8 digits of it or more, or its source (`00000.tar#key`, `a/b.html`).",
        ),
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="A JSON object a line, one for each fate and output.")
    ] = False,
) -> None:
    """Tell what became of a sample.

    Where it was dropped, why and with which scores, or where it was written: once for each output.
    """
    from curate.report.trace import find, notes, render

    fates = find(run_folder, sample)
    for note in notes(run_folder):
        typer.echo(f"curate: {note}", err=True)
    if not fates:
        raise CurateError(
            f"{run_folder}: nothing is known of a sample `{sample}`\n"
            "  give its id, at least 8 of the 32 digits, or its source as the ledger spells it: "
            "`00000.tar#key`, `x.parquet#0/17`, `folder/page.html`"
        )
    typer.echo("\n".join(json.dumps(f, ensure_ascii=False) for f in fates) if as_json else render(fates))


@app.command()
def stages(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Show this stage with its fields, reasons and columns."),
    ] = None,
    schema: Annotated[bool, typer.Option("--schema", help="JSON schema of recipes, for editors.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="The whole reference as Markdown.")] = False,
    modules: Modules = None,
) -> None:
    """List the stages a recipe may use, or show one of them."""
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
    pairs: Annotated[int, typer.Option(metavar="N", min=0, help="Image-text pairs.")] = 1200,
    documents: Annotated[int, typer.Option(metavar="N", min=0, help="HTML documents.")] = 80,
    seed: Annotated[int, typer.Option(metavar="N", help="Another seed, another pool.")] = 0,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Only classes, fonts and a style kept out of other pools.")
    ] = False,
) -> None:
    """Make a synthetic pool with planted defects and their truth."""
    from curate.demo import generate

    try:
        made = generate(folder, pairs=pairs, documents=documents, seed=seed, held_out=held_out)
    except FileExistsError as error:
        # ours has a text and no number: something that is no pool lies where the pool would go
        raise CurateError(str(error) if error.errno is None else f"{folder} is a file") from error
    except OSError as error:
        raise CurateError(f"{folder} cannot be written: {error.strerror}") from error
    images = f"{made.images} images" if made.documents else "no images"
    typer.echo(f"{folder}: {made.pairs} pairs, {made.documents} documents with {images}, {made.path.name}")


def _planned(recipe: Path, overrides: list[str] | None, modules: list[str] | None) -> tuple[Any, Any]:
    """Recipe and inputs checked, before anything is started."""
    from curate.plan import make
    from curate.recipe import load
    from curate.sources import discover

    made = make(load(recipe, tuple(overrides or ()), tuple(modules or ())))
    return made, discover(made, Path.cwd())


def main() -> None:
    """Entry point: errors that are meant for people come without a traceback."""
    sys.path.insert(0, "")  # stages of the user's own lie where the command is given
    try:
        app()
    except CurateError as error:
        typer.echo(f"curate: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
