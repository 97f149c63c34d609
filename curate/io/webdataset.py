"""Pairs out of WebDataset shards: img2dataset's layout, and any other of image + text + JSON members."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import pyarrow as pa
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from curate.errors import RecipeError
from curate.io import tar
from curate.io.payload import byte_reference
from curate.io.source import Part, Read, build, identity_of, part_id, sample_id
from curate.io.storage import SourceFile, Storage
from curate.sample import PAIR
from curate.stage import _as_list, canonical

IMAGES = frozenset({"jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"})
OBJECTS = pa.list_(
    pa.struct(
        [("label", pa.string()), ("box", pa.list_(pa.float32())), ("attributes", pa.list_(pa.string()))]
    )
)
_JSON = json.JSONDecoder(parse_constant=lambda _: None)  # NaN and infinities, which JSON does not have
# `curate.stage.canonical`, which builds an encoder a call
_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str).encode
_UNPARSED = 2000  # characters kept of JSON that cannot be parsed
_SAID = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


Names = Annotated[tuple[str, ...], BeforeValidator(_as_list)]


def clean(text: str) -> str:
    """The text with lone surrogates (JSON's `\\ud800`, undecodable names) made U+FFFD, as Arrow is UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _finite(value: Any) -> Any:
    """A JSON value with NaN and infinities made null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return value


def meta_of(left: Mapping[str, Any]) -> str | None:
    """What is left of a source's fields as canonical JSON; None where nothing is."""
    if not left:
        return None
    try:
        text = _CANONICAL(left)
        if "NaN" in text or "Infinity" in text:  # possibly within a string only: then nothing changes
            text = _CANONICAL(_finite(dict(left)))
    except RecursionError:
        return canonical({"unparsed": "nested too deeply"})
    return clean(text)


class Fields(BaseModel):
    """Which fields of a source's records become which columns. Of several names the first that fits wins."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_url: Names = Field(default=("url",), description="Where the image came from.")
    image_alt: Names = Field(default=("alt",), description="The image's alt text.")
    licence: Names = Field(default=("licence", "license"), description="Licence of the sample.")
    language: Names = Field(default=("language", "lang"), description="Language the source declares.")
    opt_out: Names = Field(default=("opt_out",), description="Whether its owner objects to training.")
    objects: str = Field(default="", description="List of {label, box: [x1, y1, x2, y2], attributes}.")

    def schema_(self) -> pa.Schema:
        """The columns these fields give; by the configuration alone, so that no shard changes them."""
        types = {
            "image_url": pa.list_(pa.string()),
            "image_alt": pa.list_(pa.string()),
            "licence": pa.string(),
            "language": pa.string(),
            "opt_out": pa.bool_(),
        }
        found = [(name, kind) for name, kind in types.items() if getattr(self, name)]
        if self.objects:
            found.append(("image_objects", pa.list_(OBJECTS)))
        return pa.schema(found)

    def names(self) -> frozenset[str]:
        """Every field that is looked for."""
        every = (*self.image_url, *self.image_alt, *self.licence, *self.language, *self.opt_out)
        return frozenset(every) | ({self.objects} if self.objects else set())

    def take(self, record: dict[str, Any], images: int) -> dict[str, Any]:
        """Columns out of a record, whose fields are removed as far as the columns hold all they say.

        A value of an unexpected type stays where it is: it is the source's, not ours to guess at.
        """
        row: dict[str, Any] = {}
        for column in ("image_url", "image_alt", "licence", "language"):
            for name in getattr(self, column):
                if isinstance(record.get(name), str):
                    value = clean(record.pop(name))
                    row[column] = [value] * images if column.startswith("image_") else value
                    break
        for name in self.opt_out:
            said = record.get(name)
            flag = _SAID.get(str(said).strip().lower()) if isinstance(said, (bool, int, str)) else None
            if flag is not None:
                row["opt_out"] = flag
                del record[name]
                break
        if self.objects and isinstance(record.get(self.objects), list):
            found = [objects for raw in record[self.objects] if (objects := _object(raw))]
            row["image_objects"] = [found] * images
            if len(found) == len(record[self.objects]):
                del record[self.objects]
        return row


def _object(raw: Any) -> dict[str, Any] | None:
    """One annotated object, or None where it has no label or a box that is no box."""
    if not isinstance(raw, dict):
        return None
    label = raw.get("label", raw.get("class"))
    box = raw.get("box", raw.get("bbox"))
    if not isinstance(label, str):
        return None
    if box is not None:
        if not isinstance(box, list) or len(box) != 4:
            return None
        if not all(isinstance(n, (int, float)) and abs(n) < 1e30 for n in box):  # NaN compares false
            return None
        if box[2] < box[0] or box[3] < box[1]:
            return None
    given = raw.get("attributes")
    said = [a for a in given if isinstance(a, str)] if isinstance(given, list) else []
    said += [raw[k] for k in ("color", "colour", "size") if isinstance(raw.get(k), str)]
    return {"label": clean(label), "box": box, "attributes": [clean(a) for a in said]}


class ReadWebdataset(Read):
    """Image-text pairs out of tar archives; members of one key are one sample, as WebDataset groups them."""

    shape: ClassVar[Literal["pair", "document"]] = "pair"

    stage: Literal["read_webdataset"] = "read_webdataset"
    keys: Literal["first_dot", "last_dot"] = Field(
        default="first_dot", description="Where a member's name is cut into key and suffix."
    )
    image: str = Field(
        default="", description="Suffix of the image (`rgb.png`). Any with an image's extension."
    )
    text: str = Field(default="", description="Suffix of the caption (`ocr.txt`). Any ending in `txt`.")
    caption: str = Field(
        default="", description="JSON field with the caption. The text member, else the JSON field `caption`."
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
