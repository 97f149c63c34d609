"""See `Domain`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from curate.errors import RecipeError
from curate.sample import Level, level_of, single
from curate.stage import Map, Op, Out
from stages.common.urls import host_of, registered_domain, suffix_list_digest


class Domain(Map):
    """The site that a URL belongs to: `domain` of the page's `url`, or `image_domain` of each `image_url`.

    `part: registered` is what somebody registered, by the public suffix list as it was when the package
    `publicsuffixlist` was made (nothing is fetched): `example.co.uk` of `https://shop.example.co.uk/a`; hosts
    below which anybody may publish are told apart (`user.github.io`). `part: host` is the whole host without
    `www.`. Names are in lower case and ASCII (`xn--`). Null where there is no URL with a host.
    """

    stage: Literal["domain"] = "domain"
    kept: ClassVar[bool] = False

    of: str = Field(default="url", description="Column of URLs; its prefix is the level.")
    part: Literal["registered", "host"] = Field(default="registered", description="How much of the host.")
    name: str = Field(
        default="domain", pattern="^[a-z0-9_]+$", description="The column, without the prefix of its level."
    )

    def reads(self) -> frozenset[str]:
        return frozenset({self.of})

    def writes(self) -> pa.Schema:
        level = level_of(self.of)
        return pa.schema([(self.name if level == "sample" else f"{level}_{self.name}", pa.string())])

    def assets(self) -> Mapping[str, str]:
        return {"public_suffix_list": suffix_list_digest()} if self.part == "registered" else {}

    def by_level(self) -> tuple[tuple[Level, Map], ...]:
        return ((level_of(self.of), self),)

    def check_columns(self, columns: pa.Schema) -> None:
        kind = columns.field(self.of).type if self.of in columns.names else pa.string()
        if not pa.types.is_string(kind):
            raise RecipeError("of", f"`{self.of}` holds {kind}, and a URL is text")

    def open(self) -> Op:
        part = _registered if self.part == "registered" else host_of

        def op(table: pa.Table) -> Out:
            return Out({self.writes().names[0]: _each(single(table[self.of]), part)})

        return op


def _registered(url: str) -> str | None:
    host = host_of(url)
    return None if host is None else registered_domain(host)


def _each(urls: pa.Array, part: Callable[[str], str | None]) -> pa.Array:
    unique = urls.dictionary_encode()  # images of one page come from one place
    found = [part(url) for url in unique.dictionary.to_pylist()]
    return pa.array(found, pa.string()).take(unique.indices)
