"""Virtual environments for other projects' programs, made once and kept below .cache/venvs."""

from __future__ import annotations

import json
import os
import subprocess
import venv
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[1] / ".cache" / "venvs"

# Named first where a loader needs it: without a version, another one comes, of a gigabyte or more. Loaders
# that can live together share an environment.
TORCH = "torch==2.13.0"
TOGETHER = (TORCH, "webdataset==1.0.2", "datasets==5.2.0", "megatron-energon==7.4.1")


def environment(*requirements: str) -> Path:
    """The `bin` folder of an environment with these requirements (`name==version`) and what they need."""
    folder = _ROOT / "+".join(requirement.replace("==", "-") for requirement in requirements)
    whole = folder / ".whole"
    if not whole.exists():
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *requirements], check=True)
        whole.touch()
    return folder / "bin"


def told_by(bin: Path, script: str, *arguments: object) -> list[dict[str, Any]]:
    """The objects that a script of this folder prints, a line of JSON each, when that environment runs it."""
    # nothing of this process's environment, and no look for anything outside of this machine
    own = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    own |= {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    command = [os.fspath(bin / "python"), os.fspath(_HERE / script), *map(str, arguments)]
    done = subprocess.run(command, env=own, stdout=subprocess.PIPE, check=True, text=True, timeout=300)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
