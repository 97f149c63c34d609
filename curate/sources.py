"""From the paths of a recipe to the parts of its sources: roots, files, cuts. Refuses what is not there."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from curate.errors import RecipeError, nearest
from curate.io.source import Read, identity_of
from curate.io.storage import SourceFile, Storage, split_pattern, storage_for
from curate.steps import Plan


@dataclass(frozen=True)
class Found:
    """The files of one source."""

    source: Read
    root: str
    files: tuple[SourceFile, ...]

    def groups(self) -> dict[str, list[SourceFile]]:
        """Files that are cut together, by a key that changes when one of them does."""
        found = self.source.group(self.files)
        return {identity_of(group): group for group in found}


def discover(plan: Plan, base: Path) -> dict[str, Found]:
    """Data set -> its files. Relative paths of the recipe are relative to `base`."""
    found = {}
    for i, node in enumerate(plan.recipe.nodes):
        if isinstance(node, Read):
            place = f"nodes.{i} ({node.id}).path"
            found[node.dataset()] = _discover(node, base, place)
    return found


def _discover(node: Read, base: Path, place: str) -> Found:
    if not node.path or "" in node.path:
        raise RecipeError(place, "is empty")
    split = [split_pattern(str(base / path), node.in_folder) for path in node.path]
    roots = [r for r, _ in split]
    root = os.path.commonpath(roots)
    if node.root:
        root = os.path.normpath(base / node.root)
        outside = [path for path, r in zip(node.path, roots, strict=True) if not _below(r, root)]
        if outside:
            raise RecipeError(place.removesuffix("path") + "root", f"{outside[0]} is not below {node.root}")
    storage = storage_for(root)
    files: dict[str, SourceFile] = {}
    for (own_root, patterns), path in zip(split, node.path, strict=True):
        lead = os.path.relpath(own_root, root).replace(os.sep, "/")
        under = "" if lead == "." else f"{glob.escape(lead)}/"
        matched = [file for pattern in patterns for file in storage.find(under + pattern)]
        if not matched:
            what = f"no file matches {path}"
            if patterns == node.in_folder and os.path.isdir(own_root):
                what = f"no {' or '.join(p.rpartition('*')[2] for p in patterns)} file in {path}"
            raise RecipeError(place, what, _neighbours(own_root))
        files.update({f.path: f for f in matched})
    ordered = tuple(files[path] for path in sorted(files))
    _check(node, storage, ordered, place)
    return Found(node, root, ordered)


def _below(path: str, root: str) -> bool:
    return os.path.commonpath([os.path.abspath(path), os.path.abspath(root)]) == os.path.abspath(root)


def _check(node: Read, storage: Storage, files: Sequence[SourceFile], place: str) -> None:
    try:
        node.check(storage, files)
    except RecipeError as error:
        raise RecipeError(place.removesuffix(".path"), str(error)) from error


def _neighbours(root: str) -> str:
    """What is there instead, as far up as something exists."""
    path = Path(root)
    if path.is_dir():
        names = sorted(p.name for p in path.iterdir())[:8]
        return f"{root} holds: {', '.join(names) or 'nothing'}"
    while not path.parent.is_dir():
        path = path.parent
    here = [p.name for p in path.parent.iterdir()]
    return f"there is no {path}; {nearest(path.name, here)}" if here else f"there is no {path}"
