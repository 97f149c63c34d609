"""Virtual environments for other projects' programs, made once and kept below .cache/venvs."""

from __future__ import annotations

import subprocess
import venv
from pathlib import Path

_ROOT = Path(__file__).parents[2] / ".cache" / "venvs"


def environment(requirement: str) -> Path:
    """The `bin` folder of an environment with this requirement (`name==version`) and what it needs."""
    folder = _ROOT / requirement.replace("==", "-")
    whole = folder / ".whole"
    if not whole.exists():
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", requirement]
        subprocess.run(pip, check=True)
        whole.touch()
    return folder / "bin"
