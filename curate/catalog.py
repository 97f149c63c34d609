"""Everything a recipe may name. The only bridge from the engine to `stages`; no registry, a tuple."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from functools import cache

from curate.errors import RecipeError
from curate.io.audit_write import WriteAudit
from curate.io.fetch.stage import Fetch
from curate.io.folder import ReadFolder
from curate.io.hf_folder import ReadHf
from curate.io.html import ReadHtml
from curate.io.jsonl import ReadJsonl
from curate.io.litdata_write import WriteLitdata
from curate.io.llava import ReadLlava
from curate.io.llava_write import WriteLlava
from curate.io.markdown import ReadMarkdown
from curate.io.mds_write import WriteMds
from curate.io.messages import ReadMessages
from curate.io.mmc4 import ReadMmc4
from curate.io.mmc4_write import WriteMmc4
from curate.io.obelics import ReadObelics
from curate.io.obelics_write import WriteObelics
from curate.io.omnicorpus import ReadOmnicorpus
from curate.io.parquet import ReadParquet
from curate.io.parquet_write import WriteParquet
from curate.io.warc import ReadWarc
from curate.io.webdataset import ReadWebdataset
from curate.io.webdataset_write import WriteWebdataset
from curate.stage import Stage
from stages import STAGES

READS: tuple[type[Stage], ...] = (
    ReadWebdataset,
    ReadParquet,
    ReadJsonl,
    ReadHf,
    ReadFolder,
    ReadHtml,
    ReadMarkdown,
    ReadWarc,
    ReadObelics,
    ReadMmc4,
    ReadOmnicorpus,
    ReadLlava,
    ReadMessages,
)
# Maps that bring in bytes from outside: no stage of `stages` can.
FETCHES: tuple[type[Stage], ...] = (Fetch,)
WRITES: tuple[type[Stage], ...] = (
    WriteWebdataset,
    WriteParquet,
    WriteMds,
    WriteLitdata,
    WriteObelics,
    WriteMmc4,
    WriteLlava,
    WriteAudit,
)


def name_of(stage: type[Stage]) -> str:
    """The stage's name in a recipe: the default of its discriminator."""
    return str(stage.model_fields["stage"].default)


@cache
def catalog(modules: tuple[str, ...] = ()) -> tuple[type[Stage], ...]:
    """All stages: ours, then the user's (`package.module:TUPLE`, from `--stages`)."""
    found = [*READS, *FETCHES, *STAGES, *WRITES]
    for module in modules:
        found.extend(_load(module))
    names = [name_of(s) for s in found]
    for name in names:
        if names.count(name) > 1:
            raise RecipeError("--stages", f"two stages are called `{name}`")
    return tuple(found)


def _load(module: str) -> Sequence[type[Stage]]:
    place, _, attribute = module.partition(":")
    if not place or place.startswith("."):
        raise RecipeError(f"--stages {module}", "must read package.module:TUPLE")
    try:
        found = getattr(importlib.import_module(place), attribute or "STAGES")
    except (ImportError, AttributeError) as error:
        raise RecipeError(f"--stages {module}", f"cannot be loaded: {error}") from error
    if not isinstance(found, tuple | list) or not all(
        isinstance(s, type) and issubclass(s, Stage) and "stage" in s.model_fields for s in found
    ):
        raise RecipeError(f"--stages {module}", "is not a tuple of stage classes with a `stage` field")
    for stage in found:
        if lacking := sorted(getattr(stage, "__abstractmethods__", ())):
            raise RecipeError(
                f"--stages {module}", f"`{name_of(stage)}` does not define {', '.join(lacking)}"
            )
    return found
