"""run.json of a run folder, as every report begins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from curate.errors import CurateError


def load(run: Path) -> dict[str, Any]:
    """The parsed file. Raises CurateError where the folder is no run's, or the file is damaged."""
    try:
        found: dict[str, Any] = json.loads((run / "run.json").read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CurateError(f"{run} is no run folder: it has no run.json") from error
    except ValueError as error:
        raise CurateError(f"{run / 'run.json'} is damaged: {error}") from error
    return found
