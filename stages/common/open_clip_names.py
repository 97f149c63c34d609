"""What open_clip's package says of its models, read without importing it: it would bring torch along.

Architectures are JSON files there. Which weights exist for one, and the transform they were trained with,
stand in `open_clip/pretrained.py` as literals: dictionaries, `dict(tag=_pcfg(...))`, and `_pcfg`-like
functions that return one dictionary. These forms are read off the syntax tree; nothing is executed.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

from curate.errors import RecipeError, nearest

Config: TypeAlias = dict[str, Any]
_PARTS = {"embed_dim", "vision_cfg", "text_cfg"}


def package() -> Path:
    """The folder of the installed package; RecipeError where there is none."""
    found = find_spec("open_clip")
    places = list(found.submodule_search_locations or ()) if found else []
    if not places:
        raise RecipeError("model", "open_clip is not installed", "pip install 'mmcurate[clip]'")
    return Path(places[0])


def architecture(name: str) -> Config:
    """The `model_cfg` of a named model."""
    config: Config = json.loads(architecture_file(name).read_text("utf-8"))
    return config


def architecture_file(name: str) -> Path:
    """Where it stands."""
    folder = package() / "model_configs"
    names = {path.stem for path in folder.glob("*.json")}
    if name not in names:
        raise RecipeError("model", f"open_clip has no model `{name}`", nearest(name, names))
    return folder / f"{name}.json"


def published(name: str) -> Mapping[str, Config]:
    """The tags of a model's published weights, each with its transform (mean, std, interpolation ...)."""
    return _tables(package()).get(name, {})


def tag_of(name: str, weights: str) -> str:
    """The tag as open_clip spells it; RecipeError, with the model's tags, where it is none."""
    tag = weights.lower().replace("-", "_")
    tags = published(name)
    if tag not in tags:
        hint = nearest(weights, tags) if tags else f"open_clip knows no weights of {name}: give a file"
        raise RecipeError("weights", f"`{weights}` is no file, no folder, and no weights of {name}", hint)
    return tag


@lru_cache(maxsize=2)
def _tables(folder: Path) -> Mapping[str, Mapping[str, Config]]:
    names: dict[str, Any] = {}
    makers: dict[str, ast.FunctionDef] = {}
    for module in ("constants.py", "pretrained.py"):
        for statement in ast.parse((folder / module).read_text("utf-8")).body:
            if isinstance(statement, ast.FunctionDef):
                makers[statement.name] = statement
            elif isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                names[statement.targets[0].id] = _value(statement.value, names, makers)
    tables: dict[str, Mapping[str, Config]] = dict(names.get("_PRETRAINED") or {})
    for name, tags in list(tables.items()):
        quick = {tag: config for tag, config in tags.items() if config.get("quick_gelu")}
        if quick:
            tables[f"{name}-quickgelu"] = quick
    return tables


def _value(node: ast.expr, names: Mapping[str, Any], makers: Mapping[str, ast.FunctionDef]) -> Any:
    """A literal's value; None for everything else."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Tuple):
        return tuple(_value(e, names, makers) for e in node.elts)
    if isinstance(node, ast.Dict):
        found: dict[Any, Any] = {}
        for key, value in zip(node.keys, node.values, strict=True):
            part = _value(value, names, makers)
            found |= (part or {}) if key is None else {_value(key, names, makers): part}
        return found
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        given = {k.arg: _value(k.value, names, makers) for k in node.keywords if k.arg}
        return given if node.func.id == "dict" else _made(node, given, names, makers)
    return None


def _made(
    call: ast.Call, given: dict[str, Any], names: Mapping[str, Any], makers: Mapping[str, ast.FunctionDef]
) -> Any:
    """What a function gives that returns a dictionary; its `**kwargs` are what it does not name."""
    assert isinstance(call.func, ast.Name)
    maker = makers.get(call.func.id)
    if maker is None or not isinstance(maker.body[-1], ast.Return) or maker.body[-1].value is None:
        return None
    parameters = [a.arg for a in maker.args.args]
    given |= {p: _value(a, names, makers) for p, a in zip(parameters, call.args, strict=False)}
    scope = dict(names) | dict.fromkeys(parameters, "")
    scope |= {k: v for k, v in given.items() if k in parameters}
    if maker.args.kwarg is not None:
        scope[maker.args.kwarg.arg] = {k: v for k, v in given.items() if k not in parameters}
    return _value(maker.body[-1].value, scope, makers)


def folder_config(folder: Path) -> Config:
    """`open_clip_config.json` of a folder, with `model_cfg` and `preprocess_cfg`."""
    path = folder / "open_clip_config.json"
    try:
        config = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise RecipeError("model", f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise RecipeError("model", f"{path} is not JSON: {error}") from error
    model = config.get("model_cfg") if isinstance(config, dict) else None
    if not isinstance(model, dict) or not model.keys() >= _PARTS:
        raise RecipeError("model", f"{path} has no `model_cfg` with {', '.join(sorted(_PARTS))}")
    return config  # type: ignore[no-any-return]
