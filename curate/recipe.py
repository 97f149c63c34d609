"""YAML to a Recipe, or to an error that names the place and the nearest valid names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, reduce
from operator import or_
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from curate.catalog import catalog, name_of
from curate.errors import RecipeError, nearest
from curate.pixels import Decode
from curate.stage import Stage


class Recipe(BaseModel):
    """A DAG of nodes. A node reads the one before it unless `from` names others."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    description: str = ""
    licence: str = Field(default="", description="Licence of the outputs, for their data cards.")
    decode: Decode = Field(default=Decode(), description="The canonical decode of every image.")
    error_limit: float = Field(
        default=0.01, ge=0, le=1, description="Share of undeclared errors of a node that stops the run."
    )
    nodes: tuple[Any, ...]

    def node(self, id: str) -> Stage:
        found: Stage = next(n for n in self.nodes if n.id == id)
        return found

    def to_yaml(self) -> str:
        """Every field spelled out, as stored in the run folder."""
        return yaml.safe_dump(self.to_plain(), sort_keys=False, allow_unicode=True, width=110)

    def to_plain(self) -> dict[str, Any]:
        plain = self.model_dump(mode="json", exclude={"nodes"})
        plain["nodes"] = [n.model_dump(mode="json", by_alias=True) for n in self.nodes]
        return plain


@cache
def recipe_type(modules: tuple[str, ...] = ()) -> type[Recipe]:
    """Recipe with `nodes` typed as the union of the catalogue's stages, told apart by `stage`."""
    union: Any = reduce(or_, catalog(modules))
    node: Any = Annotated[union, Field(discriminator="stage")]
    return create_model("Recipe", __base__=Recipe, __doc__=Recipe.__doc__, nodes=(tuple[node, ...], ...))


class _Loader(yaml.SafeLoader):
    """Refuses what YAML would silently overwrite: a key given twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise RecipeError(f"line {node.start_mark.line + 1}", f"the key `{key}` is given twice")
        return super().construct_mapping(node, deep)


def load(path: Path, overrides: Sequence[str] = (), modules: tuple[str, ...] = ()) -> Recipe:
    """Read a recipe file and apply `node.field=value` overrides."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RecipeError(str(path), f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RecipeError(str(path), f"is not UTF-8 text: byte {error.start} cannot be read") from error
    return parse(text, overrides, modules)


def parse(text: str, overrides: Sequence[str] = (), modules: tuple[str, ...] = ()) -> Recipe:
    """The same from text."""
    try:
        plain = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise RecipeError("recipe", f"is not YAML: {error}") from error
    if not isinstance(plain, dict) or not isinstance(plain.get("nodes"), list):
        raise RecipeError("recipe", "must be a mapping with `name` and a list of `nodes`")
    nodes = [_named(node, i) for i, node in enumerate(plain["nodes"])]
    ids = [node["id"] for node in nodes]
    for i, id in enumerate(ids):
        if ids.index(id) != i:
            raise RecipeError(f"nodes.{i}.id", f"`{id}` is already the id of nodes.{ids.index(id)}")
    plain = {**plain, "nodes": nodes}
    for override in overrides:
        _override(plain, override)
    try:
        return recipe_type(modules).model_validate(plain)
    except ValidationError as error:
        raise _explain(error, plain, modules) from error


def _named(node: Any, i: int) -> dict[str, Any]:
    if not isinstance(node, dict) or "stage" not in node:
        raise RecipeError(f"nodes.{i}", "a node is a mapping with a `stage`")
    named = {**node, "id": node.get("id") or str(node["stage"])}
    # ids become folder and column names
    if not str(named["id"]).replace("_", "").replace("-", "").isalnum():
        raise RecipeError(f"nodes.{i}.id", f"`{named['id']}` may hold letters, digits, `_` and `-` only")
    return named


def _override(plain: dict[str, Any], override: str) -> None:
    place, equals, value = override.partition("=")
    if not equals:
        raise RecipeError(f"-s {override}", "must read node.field=value")
    head, *fields = place.split(".")
    by_id = {node["id"]: node for node in plain["nodes"]}
    target: Any
    if head in by_id and fields:
        target = by_id[head]
    elif head in Recipe.model_fields and head != "nodes":
        target, fields = plain, [head, *fields]
    else:
        raise RecipeError(f"-s {override}", f"no node `{head}`", nearest(head, by_id))
    for field in fields[:-1]:
        target = target.setdefault(field, {})
        if not isinstance(target, dict):
            raise RecipeError(f"-s {override}", f"`{field}` has no fields of its own")
    try:
        target[fields[-1]] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise RecipeError(f"-s {override}", f"the value is not YAML: {error}") from error


def _explain(error: ValidationError, plain: Mapping[str, Any], modules: tuple[str, ...]) -> RecipeError:
    """The first error of pydantic in our words; a misspelt field before the one it leaves missing."""
    found = error.errors()
    first = next((e for e in found if e["type"] == "extra_forbidden"), found[0])
    place: list[Any] = list(first["loc"])
    owner: type[BaseModel] = Recipe
    if place[:1] == ["nodes"] and len(place) > 1:
        node = plain["nodes"][place[1]]
        by_name = {name_of(s): s for s in catalog(modules)}
        if first["type"] == "union_tag_invalid":
            name = node["stage"]
            return RecipeError(
                f"nodes.{place[1]}.stage", f"there is no stage `{name}`", nearest(str(name), by_name)
            )
        owner = by_name.get(node["stage"], owner)
        place = ["nodes", f"{place[1]} ({node['id']})", *place[3:]]
    if place[:1] == ["decode"]:
        owner = Decode
    where = ".".join(str(p) for p in place)
    if first["type"] == "extra_forbidden":
        fields = {f.alias or n for n, f in owner.model_fields.items()}
        nested = len(place) > 3 or (owner is Decode and len(place) > 2)
        return RecipeError(
            where, f"there is no field `{place[-1]}`", "" if nested else nearest(str(place[-1]), fields)
        )
    given = "" if first["type"] == "missing" else f" (given: {first['input']!r})"
    return RecipeError(where, first["msg"][0].lower() + first["msg"][1:] + given)
