"""Real collections for the tests marked `real`: fetched once, by the same script that users run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CACHE = Path(os.environ.get("CURATE_REAL_CACHE") or ROOT / ".cache" / "real")
STAMPS = CACHE / "tuxpaint-stamps-default" / "usr/share/tuxpaint/stamps"
DRAWINGS = CACHE / "openclipart-png" / "usr/share/openclipart/png"
ORIGINALS = CACHE / "openclipart-svg" / "usr/share/openclipart/svg"  # the same as SVG
_APT_IS_ABSENT = {3, 4}  # exit codes of the script


def need(*names: str) -> None:
    """Fetch packages or groups of them; skips where apt cannot reach its mirror, but never in CI."""
    command = [sys.executable, str(ROOT / "infra" / "fetch_real_data.py"), str(CACHE), "--only", *names]
    fetched = subprocess.run(command, capture_output=True, text=True, check=False)
    if fetched.returncode in _APT_IS_ABSENT and not os.environ.get("CI"):
        pytest.skip(f"{', '.join(names)} cannot be fetched here: {fetched.stderr.strip()}")
    assert fetched.returncode == 0, fetched.stderr
