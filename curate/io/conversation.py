"""What sources of conversations share: rows of JSON, turns and images in reading order, and what is wrong."""

from __future__ import annotations

import posixpath
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import pyarrow as pa
from pydantic import Field

from curate.errors import RecipeError
from curate.export.dialogue import (
    LLAVA,
    MESSAGES,
    OTHER_MEDIA,
    ROLES,
    Dialect,
    Placed,
    Turn,
    images_of,
    path_of,
    place,
    turns_of,
)
from curate.export.faults import BREAKING, MENDED, Fault, faults, short
from curate.io import json_rows
from curate.io.fields import Fields, clean, meta_of
from curate.io.json_lines import LINE_REASONS, MAX_LINE_BYTES, Line, check_packing
from curate.io.local_image import REASONS as IMAGE_REASONS
from curate.io.local_image import Named, Remote, is_remote, resolve, with_url
from curate.io.source import Part, Read, build, identity_of, part_id, sample_id
from curate.io.storage import SourceFile, Storage
from curate.sample import PAIR

MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string()), ("images", pa.list_(pa.int32()))])
COLUMNS = pa.schema(
    [
        ("row_id", pa.string()),  # the row's own `id`, as text
        ("messages", pa.list_(MESSAGE)),
        ("text_role", pa.list_(pa.string())),
        ("image_name", pa.list_(pa.string())),  # as the row names it
        ("row_fault_text", pa.string()),  # all faults of the row, one a line: the ledger has it, too
    ]
)
_PROBLEMS = {
    "bad_json": "the array ends early, has nothing between two commas, or something behind its end",
    "line_too_large": f"more than {MAX_LINE_BYTES:,} bytes",
    "unreadable_file": "nothing more can be read of the file",
}
_LOOKED_AT = 40  # rows, at plan time
FAULTS = pa.field("row_faults", pa.list_(pa.string()))  # the same as `code: detail` each


class _Said(NamedTuple):
    """A row taken apart."""

    turns: list[Turn]
    images: list[Any]
    faults: list[Fault]


class ReadConversations(Read):
    """A source whose rows are conversations about images."""

    shape: ClassVar[Literal["pair", "document"]] = "pair"
    in_folder: ClassVar[tuple[str, ...]] = ("**/*.json", "**/*.jsonl", "**/*.jsonl.gz")

    image_root: str = Field(default="", description="Folder that paths start from, below the source's root.")
    remote: Remote = Field(
        default="drop", description="Images that are URLs: `drop` them, or `keep` them for a `fetch` node."
    )
    faults: Literal["drop", "keep"] = Field(
        default="drop",
        description="Rows that are wrong in a way that reading does not mend: `drop` them for the first of "
        "their faults, or `keep` them with all faults in `row_faults`.",
    )
    fields: Fields = Fields()

    @classmethod
    @abstractmethod
    def dialect(cls) -> Dialect:
        """How its files spell a conversation."""

    def writes(self) -> pa.Schema:
        own = COLUMNS.append(FAULTS) if self.faults == "keep" else COLUMNS
        return with_url(pa.schema([*own, *self.fields.schema_()]), self.remote)

    def reasons(self) -> frozenset[str]:
        rows = {*LINE_REASONS, "not_an_object", "no_conversation", "other_media"}
        return frozenset(
            {*rows, *IMAGE_REASONS, "inline_image", *(BREAKING if self.faults == "drop" else ())}
        )

    def check(self, storage: Storage, files: Sequence[SourceFile]) -> None:
        """Refuses files of the other dialect, and folders where no image is, by the first rows of a file."""
        check_packing(f"{self.id}.path", storage, files)
        rows = json_rows.head(storage, files[0].path, _LOOKED_AT) if files else []
        rows = [row for row in rows if isinstance(row, dict)]
        turns = [turns_of(row, self.dialect()) for row in rows]
        if rows and turns[0] is None:
            self._check_dialect(rows[0], files[0].path)
        names = [
            path
            for row, said in zip(rows, turns, strict=True)
            for named in images_of(row, self.dialect(), said or [])
            if (path := path_of(named)) and not is_remote(path)
        ]
        reasons = {self._image(storage, path).reason for path in names}
        if len(names) >= _LOOKED_AT // 2 and reasons == {"missing_image"}:
            place = posixpath.join(self.image_root, names[0])
            raise RecipeError(
                f"{self.id}.image_root",
                f"none of the first {len(names)} images of {files[0].path} is there",
                f"looked for {place} below the source's root, which is the folder of `path`: where images "
                f"lie elsewhere, say in `{self.id}.root` which folder holds both",
            )

    def _check_dialect(self, row: Mapping[str, Any], path: str) -> None:
        for name, other in (("read_llava", LLAVA), ("read_messages", MESSAGES)):
            key = next((key for key in other.turns if isinstance(row.get(key), list)), None)
            if other is not self.dialect() and key is not None:
                raise RecipeError(f"{self.id}.stage", f"rows of {path} have `{key}`", f"use `{name}`")

    def split(self, storage: Storage, files: Sequence[SourceFile]) -> list[Part]:
        return [
            Part(
                part_id(self.id, file.path, cut.start),
                self.id,
                (file.path,),
                identity_of([file]),
                cut.start,
                cut.stop,
                cut.hint,
            )
            for file in files
            for cut in json_rows.cuts(storage, file.path, self.part_rows)
        ]

    def rows(self, storage: Storage, part: Part) -> pa.Table:
        (path,) = part.files
        found = [self._row(storage, path, line) for line in json_rows.rows(storage, path, part)]
        return build(found, self.writes())

    def _row(self, storage: Storage, path: str, line: Line) -> dict[str, Any]:
        row: dict[str, Any] = {"dataset": self.dataset(), "source": f"{path}#{line.number}", "shape": PAIR}
        value: Any = None
        wrong = ""
        if not line.problem:
            value, wrong = json_rows.parsed(line.body)
        refused = self._refusal(line, value, wrong)
        if refused is not None:
            row |= {"layout": "", "drop": f"{self.id}:{refused.code}", "row_faults": []}
            row["row_fault_text"] = clean(str(refused))
            if isinstance(value, dict):
                row["row_id"] = _text(value.get("id"))
                row["meta"] = meta_of(value)
            return {**row, "sample_id": sample_id(self.dataset(), "", [line.body])}
        turns = turns_of(value, self.dialect()) or []
        images = images_of(value, self.dialect(), turns)
        said = _Said(turns, images, faults(value, self.dialect(), finite=not wrong))
        return {**row, **self._sample(storage, dict(value), said)}

    def _refusal(self, line: Line, value: Any, wrong: str) -> Fault | None:
        """Why a row is no sample; None where it is one."""
        if line.problem:
            return Fault(line.problem, _PROBLEMS[line.problem])
        if not isinstance(value, dict):
            return Fault("bad_json", wrong) if wrong else Fault("not_an_object", short(value))
        media = next((name for name in OTHER_MEDIA if value.get(name)), None)
        if media is not None:
            return Fault("other_media", f"`{media}` is {short(value[media])}")
        if turns_of(value, self.dialect()):
            return None
        keys = [key for key in self.dialect().turns if key in value]
        given = f"`{keys[0]}` is {short(value[keys[0]])}" if keys else f"no `{self.dialect().turns[0]}`"
        return Fault("no_conversation", given)

    def _sample(self, storage: Storage, value: dict[str, Any], said: _Said) -> dict[str, Any]:
        whole = meta_of(value) or ""  # all of the row goes into its id, however it is laid out in the file
        paths = [path for named in said.images if (path := path_of(named)) is not None]
        found = [self._image(storage, path) for path in paths]
        placed = place(said.turns, self.dialect(), len(paths))
        row = self._turns(said.turns, placed)
        row["row_id"] = _text(value.pop("id", None))
        for key in (*self.dialect().turns, *self.dialect().images):
            value.pop(key, None)
        if any(turn.rest for turn in said.turns):
            value[self.dialect().turns[0]] = [turn.rest for turn in said.turns]
        row |= self.fields.take(value, len(found))
        row["meta"] = meta_of(value)
        row["image_ref"] = [image.reference for image in found]
        row["image_drop"] = [f"{self.id}:{image.reason}" if image.reason else None for image in found]
        row["image_name"] = [clean(path) for path in paths]
        if any(image.url is not None for image in found):
            said_of = row.get("image_url") or [None] * len(found)
            row["image_url"] = [image.url or old for image, old in zip(found, said_of, strict=True)]
        told = [str(Fault(fault.code, clean(fault.detail))) for fault in said.faults]
        row |= {"row_faults": told, "row_fault_text": "\n".join(told) or None}
        breaking = next((fault.code for fault in said.faults if fault.code not in MENDED), None)
        if self.faults == "drop" and breaking is not None:
            row["drop"] = f"{self.id}:{breaking}"
        pieces = [whole.encode(), *(image.piece for image in found)]
        return {**row, "sample_id": sample_id(self.dataset(), row["row_id"] or "", pieces)}

    def _image(self, storage: Storage, path: str) -> Named:
        if path[:5].lower() == "data:":
            return Named(None, path.encode("utf-8", "surrogatepass"), "inline_image")
        return resolve(storage, self.image_root, path, self.remote)

    def _turns(self, turns: Sequence[Turn], placed: Sequence[Placed]) -> dict[str, Any]:
        """The columns of the turns: the images of one stand before its text."""
        roles = [None if turn.role is None else clean(ROLES.get(turn.role, turn.role)) for turn in turns]
        bodies = [None if turn.content is None else clean(turn.content) for turn in placed]
        spoken = zip(roles, bodies, placed, strict=True)
        return {
            "layout": "".join("i" * len(turn.images) + "t" for turn in placed),
            "text_body": bodies,
            "text_role": roles,
            "messages": [
                {"role": role, "content": body, "images": turn.images} for role, body, turn in spoken
            ],
        }


def _text(id: Any) -> str | None:
    """A row's own id as text, whatever it is."""
    if id is None or isinstance(id, str):
        return None if id is None else clean(id)
    return meta_of({"id": id}) if isinstance(id, Mapping | list) else str(id)
