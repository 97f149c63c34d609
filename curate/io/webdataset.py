"""Pairs out of WebDataset shards: img2dataset's layout, and any other of image + text + JSON members."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from curate.errors import RecipeError
from curate.io import tar
from curate.io.fields import Fields, clean, meta_of
from curate.io.payload import byte_reference
from curate.io.source import Part, Read, build, identity_of, part_id, sample_id
from curate.io.storage import SourceFile, Storage
from curate.sample import PAIR

IMAGES = frozenset({"jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"})
_JSON = json.JSONDecoder(parse_constant=lambda _: None)  # NaN and infinities, which JSON does not have
_UNPARSED = 2000  # characters kept of JSON that cannot be parsed
_PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


class ReadWebdataset(Read):
    """Image-text pairs out of tar archives; members of one key are one sample, as WebDataset groups them."""

    shape: ClassVar[Literal["pair", "document"]] = "pair"
    in_folder: ClassVar[tuple[str, ...]] = ("**/*.tar",)

    stage: Literal["read_webdataset"] = "read_webdataset"
    keys: Literal["first_dot", "last_dot"] = Field(
        default="first_dot", description="Where a member's name is cut into key and suffix."
    )
    image: str = Field(
        default="", description="Suffix of the image (`rgb.png`). Left out: any with an image's extension."
    )
    text: str = Field(
        default="", description="Suffix of the caption (`ocr.txt`). Left out: any ending in `txt`."
    )
    caption: str = Field(
        default="",
        description="JSON field with the caption. Left out: the text member, else the JSON field `caption`.",
    )
    fields: Fields = Fields()
    max_text_bytes: Annotated[int, Field(gt=0)] = Field(
        default=1 << 20, description="Captions and JSON beyond it are cut and dropped."
    )

    def writes(self) -> pa.Schema:
        return self.fields.schema_()

    def reasons(self) -> frozenset[str]:
        return frozenset(
            {
                "unreadable_archive",
                "missing_image",
                "missing_text",
                "several_images",
                "several_texts",
                "duplicate_member",
                "cut_short",
                "not_utf8",
                "text_too_large",
                "bad_json",
            }
        )

    def check(self, storage: Storage, files: Sequence[SourceFile]) -> None:
        if not files:
            return
        with storage.open(files[0].path) as file:
            head = file.read(8)
        for magic, name in _PACKED.items():
            if head.startswith(magic):
                hint = "single members of it cannot be read again: unpack it to a plain .tar"
                raise RecipeError(self.id, f"{files[0].path} is compressed ({name})", hint)

    def _rule(self) -> re.Pattern[str]:
        return tar.FIRST_DOT if self.keys == "first_dot" else tar.LAST_DOT

    def split(self, storage: Storage, files: Sequence[SourceFile]) -> list[Part]:
        """Reads headers only. `hint` of a part: byte offset of its first sample."""
        parts = []
        for source in files:
            starts = []
            count = 0
            with storage.open(source.path) as file:
                for group in tar.groups(file, 0, source.size, self._rule()):
                    if count % self.part_rows == 0:
                        starts.append((count, group.offset))
                    count += 1
            for start, offset in starts:
                stop = min(count, start + self.part_rows)
                name = part_id(self.id, source.path, start)
                identity = identity_of([source])
                parts.append(Part(name, self.id, (source.path,), identity, start, stop, str(offset)))
        return parts

    def rows(self, storage: Storage, part: Part) -> pa.Table:
        (path,) = part.files
        end = storage.stat(path).size
        wanted = part.stop - part.start
        found: list[dict[str, Any]] = []
        with storage.open(path) as file:
            for group in tar.groups(file, int(part.hint), end, self._rule(), bodies=True):
                found.append(self._row(path, group, end))
                if len(found) == wanted:
                    break
        return build(found, self.writes())

    def _row(self, path: str, group: tar.Group, end: int) -> dict[str, Any]:
        row: dict[str, Any] = {"dataset": self.dataset(), "shape": PAIR}
        if group.broken:
            source = f"{path}@{group.offset}"
            identity = sample_id(self.dataset(), source, [])
            drop = f"{self.id}:unreadable_archive"
            return {**row, "sample_id": identity, "source": source, "layout": "", "drop": drop}
        key = group.key.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        row["source"] = f"{path}#{key}@{group.offset}"
        # sorted: writers disagree about the order of a sample's members
        pieces = [e.hashed for e in sorted(group.entries, key=lambda e: e.suffix)]
        row["sample_id"] = sample_id(self.dataset(), group.key, pieces)
        images = self._matching(group, self.image, IMAGES)
        texts = self._matching(group, self.text, frozenset({"txt"}))
        row["image_ref"] = [byte_reference(path, e.data, min(e.size, end - e.data)) for e in images]
        row["image_drop"] = [f"{self.id}:cut_short" if e.cut else None for e in images]
        record, problem = self._record(group)
        bodies, drops = self._texts(texts, record, problem)
        row["text_body"] = bodies
        row["text_drop"] = [f"{self.id}:{reason}" if reason else None for reason in drops]
        row["layout"] = "i" * len(images) + "t" * len(bodies)
        row |= self.fields.take(record, len(images))
        row["meta"] = meta_of(record)
        reason = self._reason(group, len(images), len(bodies), problem)
        row["drop"] = f"{self.id}:{reason}" if reason else None
        return row

    def _matching(self, group: tar.Group, suffix: str, extensions: frozenset[str]) -> list[tar.Entry]:
        """Members with the suffix that the recipe names, else with one of the extensions."""
        if suffix:
            return [e for e in group.entries if e.suffix == suffix.lower()]
        return [e for e in group.entries if e.suffix.rpartition(".")[2] in extensions]

    def _record(self, group: tar.Group) -> tuple[dict[str, Any], str]:
        """The sample's JSON fields, and `bad_json` or `cut_short` where they cannot be had."""
        found = [e for e in group.entries if e.suffix.rpartition(".")[2] == "json"]
        if not found:
            return {}, ""
        entry = min(found, key=lambda e: len(e.suffix))  # `json` rather than `detections.json`
        try:
            if entry.size <= self.max_text_bytes:
                record = _JSON.decode(_plain(entry.body).decode())
                if isinstance(record, dict):
                    return record, ""
        except (ValueError, RecursionError):  # RecursionError: `[[[[...`
            pass
        head = entry.body[: 4 * _UNPARSED].decode("utf-8", "replace")[:_UNPARSED]
        return {"unparsed": head}, "cut_short" if entry.cut else "bad_json"

    def _texts(
        self, members: Sequence[tar.Entry], record: dict[str, Any], problem: str
    ) -> tuple[list[str], list[str]]:
        """Captions and, beside each, a reason or ''. A caption taken from the record is removed from it."""
        if members and not self.caption:
            decoded = [self._decoded(e) for e in members]
            if record.get("caption") == decoded[0][0]:
                del record["caption"]
            return [body for body, _ in decoded], [reason for _, reason in decoded]
        name = self.caption or "caption"
        if problem or not isinstance(record.get(name), str):
            return [], []
        raw = record.pop(name)
        body = clean(raw)
        if len(raw) * 4 > self.max_text_bytes and len(body.encode()) > self.max_text_bytes:
            return [_cut(body.encode(), self.max_text_bytes).decode()], ["text_too_large"]
        return [body], ["" if body is raw else "not_utf8"]

    def _decoded(self, entry: tar.Entry) -> tuple[str, str]:
        """A text member, and what is wrong with it."""
        if entry.size > self.max_text_bytes:
            body = _cut(entry.body, self.max_text_bytes).decode("utf-8", "replace")
            return body, "cut_short" if entry.cut else "text_too_large"
        try:
            return _plain(entry.body).decode(), "cut_short" if entry.cut else ""
        except UnicodeDecodeError:
            return _plain(entry.body).decode("utf-8", "replace"), "cut_short" if entry.cut else "not_utf8"

    def _reason(self, group: tar.Group, images: int, texts: int, problem: str) -> str:
        """What is wrong with the sample as a whole, the cause before its symptoms; '' where nothing is."""
        suffixes = [e.suffix for e in group.entries]
        missing = not images or not texts
        if len(set(suffixes)) < len(suffixes):
            return "duplicate_member"
        if any(e.cut for e in group.entries) and (missing or problem == "cut_short"):
            return "cut_short"
        if images > 1:
            return "several_images"
        if texts > 1:
            return "several_texts"
        if not images:
            return "missing_image"
        if not texts:
            return "bad_json" if problem else "missing_text"
        return ""


def _plain(body: bytes) -> bytes:
    """Text without its byte order mark."""
    return body.removeprefix(b"\xef\xbb\xbf")


def _cut(body: bytes, limit: int) -> bytes:
    """At most `limit` bytes, not ending within a UTF-8 character."""
    while 0 < limit < len(body) and body[limit] & 0xC0 == 0x80:
        limit -= 1
    return body[:limit]
