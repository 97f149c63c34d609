#!/usr/bin/env python3
"""Fetch the real image-text collections that Curate's `real` tests and demos run on.

Usage: python infra/fetch_real_data.py CACHE_DIR [--only gimp-help openclipart tuxpaint] [--max-mb N]

The collections are ordinary Debian packages, so whatever mirror apt is set up with here serves them:
nothing is hosted by us, and no host is named in this file. `apt-get download` fetches the .deb, its size
and SHA-256 are compared with `apt-cache show`, and `dpkg-deb -x` unpacks it without installing it; neither
needs root. Each package ends up in CACHE_DIR/<package>/ (Debian's paths below it, `usr/share/...`), and
CACHE_DIR/<package>.done.json, written last, says that the tree is whole. A second run finds that marker and
does nothing; it asks apt nothing, so it also works offline.

Exit codes: 0 all there; 1 something failed; 2 usage; 3 apt or dpkg-deb is absent on this machine;
4 apt doesn't know the package or can't reach its mirror. A test may skip on 3 and 4.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

GROUPS: dict[str, tuple[str, ...]] = {
    "gimp-help": ("gimp-help-en", "gimp-help-de", "gimp-help-fr"),
    "openclipart": ("openclipart-png", "openclipart-svg"),
    "tuxpaint": ("tuxpaint-stamps-default",),
}
PACKAGES: tuple[str, ...] = tuple(package for group in GROUPS.values() for package in group)

# Where the part that Curate reads lies inside the unpacked package; printed, and checked after unpacking so
# that a package laid out anew by Debian fails here and not as "0 samples" in some recipe.
CONTENT: dict[str, str] = {
    "gimp-help-en": "usr/share/gimp/2.0/help/en",
    "gimp-help-de": "usr/share/gimp/2.0/help/de",
    "gimp-help-fr": "usr/share/gimp/2.0/help/fr",
    "openclipart-png": "usr/share/openclipart/png",
    "openclipart-svg": "usr/share/openclipart/svg",
    "tuxpaint-stamps-default": "usr/share/tuxpaint/stamps",
}

EXIT_FAILED, EXIT_NO_TOOLS, EXIT_UNAVAILABLE = 1, 3, 4
TIMEOUT_S = 1800.0  # the largest package is 160 MB: half an hour means that the mirror hangs


class FetchError(Exception):
    """A package couldn't be fetched; the message says what to do about it."""

    exit_code = EXIT_FAILED


class ToolMissingError(FetchError):
    """apt-get, apt-cache or dpkg-deb isn't on this machine."""

    exit_code = EXIT_NO_TOOLS


class UnavailableError(FetchError):
    """apt has no such package in its lists, or can't reach its mirror."""

    exit_code = EXIT_UNAVAILABLE


@dataclass(frozen=True)
class Candidate:
    """What apt's lists say about the version that it would fetch."""

    version: str
    size: int
    sha256: str


def _tool(name: str) -> str:
    """The tool's full path."""
    path = shutil.which(name)
    if path is None:
        raise ToolMissingError(f"{name} is not on this machine; this script needs Debian's apt and dpkg")
    return path


def _run(argv: Sequence[str], *, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a tool with untranslated messages; a non-zero exit is the caller's to judge."""
    env = {**os.environ, "LC_ALL": "C.UTF-8"}
    try:
        return subprocess.run(  # noqa: S603 - no shell, and every argument is ours or comes from apt's lists
            list(argv), cwd=cwd, env=env, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"{argv[0]} did not end within {TIMEOUT_S:.0f} s") from error


def _last_lines(text: str) -> str:
    return " / ".join(text.strip().splitlines()[-3:]) or "no message"


def _ask(package: str) -> Candidate | None:
    """The candidate version in apt's lists, or None where they don't have the package."""
    shown = _run([_tool("apt-cache"), "show", "--no-all-versions", package])
    fields: dict[str, str] = {}
    for line in shown.stdout.splitlines():
        key, separator, value = line.partition(": ")
        if separator and not key.startswith(" "):
            fields.setdefault(key, value.strip())
    # A package that is installed but in no list is shown without these: it can't be fetched.
    if shown.returncode or not {"Version", "Size", "SHA256"} <= fields.keys():
        return None
    return Candidate(fields["Version"], int(fields["Size"]), fields["SHA256"])


def _update_lists(package: str, why: str) -> None:
    """Refresh apt's lists where we may; say how where we may not."""
    if os.geteuid() != 0:
        raise UnavailableError(f"{why} {package}: run `apt-get update` as root, then this again")
    print(f"{why} {package}: running apt-get update", flush=True)
    updated = _run([_tool("apt-get"), "update", "-qq"])
    if updated.returncode:
        raise UnavailableError(f"apt-get update failed: {_last_lines(updated.stderr)}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(package: str, candidate: Candidate, folder: Path) -> Path | None:
    """Fetch the .deb into the empty `folder`; None where the mirror no longer has this version."""
    argv = [_tool("apt-get"), "download", "-qq", f"{package}={candidate.version}"]
    if os.geteuid() == 0:
        # Else apt drops to its own user, who usually can't write to the cache, and warns about it.
        argv[1:1] = ["-o", "APT::Sandbox::User=root"]
    got = _run(argv, cwd=folder)
    debs = sorted(folder.glob("*.deb"))
    if got.returncode or len(debs) != 1:
        if "404" in got.stderr or "was not found" in got.stderr:
            return None
        raise UnavailableError(f"apt-get download {package} failed: {_last_lines(got.stderr)}")
    return debs[0]


def _check(deb: Path, package: str, candidate: Candidate) -> None:
    size = deb.stat().st_size
    if size != candidate.size:
        raise FetchError(f"{package}: the .deb has {size} bytes, apt's lists say {candidate.size}")
    digest = _sha256(deb)
    if digest != candidate.sha256:
        raise FetchError(f"{package}: the .deb's SHA-256 is {digest}, apt's lists say {candidate.sha256}")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time: parallel test workers ask for the same package."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _is_done(package: str, cache: Path) -> bool:
    return (cache / f"{package}.done.json").is_file() and (cache / package / CONTENT[package]).is_dir()


def fetch(package: str, cache: Path, *, max_bytes: int | None = None) -> Path:
    """Make sure that `package` lies unpacked in `cache`, and return its folder, `cache/package`.

    `max_bytes` refuses a .deb that is larger, before it is downloaded. Raises FetchError or one of its
    subclasses; ValueError for a package that isn't one of PACKAGES.
    """
    if package not in PACKAGES:
        raise ValueError(f"{package!r} is not one of {', '.join(PACKAGES)}")
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / f".{package}.lock"):
        if not _is_done(package, cache):
            _fetch_locked(package, cache, max_bytes)
    return cache / package


def _fetch_locked(package: str, cache: Path, max_bytes: int | None) -> None:
    for tool in ("apt-cache", "apt-get", "dpkg-deb"):
        _tool(tool)
    candidate = _ask(package)
    if candidate is None:
        _update_lists(package, "apt's lists don't have")
        candidate = _ask(package)
    if candidate is None:
        raise UnavailableError(f"apt's lists don't have {package}, even after apt-get update")
    if max_bytes is not None and candidate.size > max_bytes:
        raise FetchError(
            f"{package} is {candidate.size} bytes to download, more than the {max_bytes} allowed"
        )

    # Everything happens in a folder of the same file system, so that the rename below is atomic, and which
    # an interrupted run leaves behind under a name that no later run takes for data.
    with tempfile.TemporaryDirectory(prefix=f".{package}.", dir=cache) as scratch_name:
        scratch = Path(scratch_name)
        deb = _download(package, candidate, scratch)
        if deb is None:
            _update_lists(package, "the mirror no longer has the listed version of")
            candidate = _ask(package)
            deb = _download(package, candidate, scratch) if candidate else None
        if candidate is None or deb is None:
            raise UnavailableError(f"the mirror doesn't have the listed version of {package}")
        _check(deb, package, candidate)

        tree = scratch / "tree"
        unpacked = _run([_tool("dpkg-deb"), "-x", str(deb), str(tree)])
        if unpacked.returncode:
            raise FetchError(f"dpkg-deb -x {deb.name} failed: {_last_lines(unpacked.stderr)}")
        if not (tree / CONTENT[package]).is_dir():
            raise FetchError(f"{package} {candidate.version} has no {CONTENT[package]}: its layout changed")

        target = cache / package
        marker = cache / f"{package}.done.json"
        marker.unlink(missing_ok=True)
        if target.exists():  # a tree without a marker, or one that lost its content
            shutil.rmtree(target)
        tree.rename(target)
        told = {
            "package": package,
            "version": candidate.version,
            "deb": deb.name,
            "size": candidate.size,
            "sha256": candidate.sha256,
            "content": CONTENT[package],
        }
        partial = scratch / "done.json"
        partial.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
        partial.replace(marker)


def describe(package: str, cache: Path) -> str:
    """One line: where the package's content lies and which kinds of files it has."""
    root = cache / package / CONTENT[package]
    kinds: Counter[str] = Counter()
    size = 0
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            if path.is_symlink():
                kinds["links"] += 1
                continue
            kinds[path.suffix.lower().lstrip(".") or "no suffix"] += 1
            size += path.stat().st_size
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(6))
    return f"{package}: {root} ({size / 1e6:.0f} MB: {counts})"


def _choose(names: Sequence[str]) -> list[str]:
    """Packages for the groups or packages named, in the order of PACKAGES."""
    wanted = {package for name in names for package in GROUPS.get(name, (name,))}
    unknown = sorted(wanted - set(PACKAGES))
    if unknown:
        raise ValueError(f"unknown: {', '.join(unknown)}; one of {', '.join((*GROUPS, *PACKAGES))}")
    return [package for package in PACKAGES if package in wanted]


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description="Fetch the real collections from Debian's packages.")
    parser.add_argument("cache", type=Path, metavar="CACHE_DIR")
    parser.add_argument("--only", nargs="+", default=list(GROUPS), metavar="NAME", help="groups or packages")
    parser.add_argument("--max-mb", type=float, help="refuse a package that is more MB than this to download")
    options = parser.parse_args(argv)
    try:
        packages = _choose(options.only)
    except ValueError as error:
        parser.error(str(error))
    max_bytes = None if options.max_mb is None else int(options.max_mb * 1e6)
    for package in packages:
        try:
            fetch(package, options.cache, max_bytes=max_bytes)
        except FetchError as error:
            print(f"fetch_real_data: {error}", file=sys.stderr)
            return error.exit_code
        print(describe(package, options.cache), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
