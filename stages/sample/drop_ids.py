"""See `DropIds`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, TypeAlias

import pyarrow as pa
from pydantic import AfterValidator, Field, field_validator

from curate.errors import RecipeError
from curate.sample import Level, level_of, single
from curate.stage import Map, Names, Op, Out
from stages.common.columns import reason_where
from stages.common.takedown import Listed, listed
from stages.common.urls import normal_url

Files: TypeAlias = Annotated[Names, AfterValidator(lambda paths: tuple(map(os.path.abspath, paths)))]


class DropIds(Map):
    """What is on takedown lists goes as `takedown`: by id of the sample, hash of an image, or URL.

    A list is a text file with an id (32 hex digits), a SHA-256 (64) or a URL a line, `#` before comments; or
    CSV, TSV or JSON Lines with any of the fields `id`, `sample_id`, `sha256`, `image_sha256`,
    `image_pixel_sha256`, `sample_digest`, `url`, `image_url`, `page_url`, others being for people. A line
    that cannot be understood is an error, and so is a list of hashes or URLs where no column is named to
    compare them with: nothing on a list is skipped in silence.

    An id takes the sample and what was made out of it (`<id>#3`). Hashes and URLs of images (`hashes:
    image_sha256`, `urls: image_url`) take the image: a pair dies with it, a document goes on without it.
    Those of samples (`urls: url`, `hashes: sample_digest`) take the sample. URLs are compared in the normal
    form of `exact`'s `normalise: url`.

    The content of the lists is part of the stage's identity, their path and order are not.
    """

    stage: Literal["drop_ids"] = "drop_ids"
    kept: ClassVar[bool] = False
    holes: ClassVar[bool] = True
    incidental: ClassVar[frozenset[str]] = frozenset({"lists"})

    lists: Files = Field(
        min_length=1, description="Paths of the lists, relative to where the command is given."
    )
    hashes: Names = Field(default=(), description="Columns of hashes, of images or samples.")
    urls: Names = Field(default=(), description="Columns of URLs, of images or samples.")

    @field_validator("hashes", "urls")
    @classmethod
    def _of_images_or_samples(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if level_of(name) == "text":
                raise ValueError(f"`{name}` is of texts; samples and images are taken down")
        return names

    def reads(self) -> frozenset[str]:
        return frozenset({"sample_id", *self.hashes, *self.urls})

    def reasons(self) -> frozenset[str]:
        return frozenset({"takedown"})

    def assets(self) -> Mapping[str, str]:
        return {"lists": self._listed().digest}

    def by_level(self) -> tuple[tuple[Level, Map], ...]:
        if not _of("image", (*self.hashes, *self.urls)):
            return (("sample", self),)
        return ("sample", _OfSamples(**dict(self))), ("image", _OfImages(**dict(self)))

    def check_columns(self, columns: pa.Schema) -> None:
        on_lists = self._listed()
        for place, names, found, example in (
            ("hashes", self.hashes, on_lists.hashes, "image_sha256"),
            ("urls", self.urls, on_lists.urls, "image_url"),
        ):
            if found and not names:
                told = f"the lists hold {len(found)} {'URLs' if place == 'urls' else place}"
                raise RecipeError(
                    place, f"{told}, and no column is named to find them in", f"such as {example}"
                )
            for name in names:
                kind = columns.field(name).type if name in columns.names else pa.string()
                if not pa.types.is_string(kind):
                    raise RecipeError(place, f"`{name}` holds {kind}, and what is on a list is text")

    def open(self) -> Op:
        on_lists = self._listed()

        def op(table: pa.Table) -> Out:
            gone = [_taken(id_, on_lists.ids) for id_ in table["sample_id"].to_pylist()]
            return self._drop("sample", table, on_lists, gone)

        return op

    def _listed(self) -> Listed:
        return listed(self.lists, "lists")

    def _drop(self, level: Level, table: pa.Table, on_lists: Listed, gone: list[bool]) -> Out:
        for name in _of(level, self.hashes):
            values = single(table[name]).to_pylist()
            gone = [g or v in on_lists.hashes for g, v in zip(gone, values, strict=True)]
        if on_lists.urls:
            for name in _of(level, self.urls):
                values = single(table[name]).to_pylist()
                found = (v is not None and normal_url(v) in on_lists.urls for v in values)
                gone = [g or f for g, f in zip(gone, found, strict=True)]
        return Out(drop=reason_where(gone, "takedown"))


class _OfSamples(DropIds):
    """Its part at sample level."""

    def reads(self) -> frozenset[str]:
        return frozenset({"sample_id", *_of("sample", (*self.hashes, *self.urls))})

    def by_level(self) -> tuple[tuple[Level, Map], ...]:
        return (("sample", self),)


class _OfImages(DropIds):
    """Its part at image level."""

    def reads(self) -> frozenset[str]:
        return frozenset(_of("image", (*self.hashes, *self.urls)))

    def by_level(self) -> tuple[tuple[Level, Map], ...]:
        return (("image", self),)

    def open(self) -> Op:
        on_lists = self._listed()
        return lambda table: self._drop("image", table, on_lists, [False] * table.num_rows)


def _of(level: Level, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if level_of(name) == level)


def _taken(id_: str, ids: frozenset[str]) -> bool:
    """Whether a sample, or one that it was made out of, is among the ids."""
    if "#" not in id_:
        return id_ in ids
    pieces = id_.split("#")
    return any("#".join(pieces[: i + 1]) in ids for i in range(len(pieces)))
