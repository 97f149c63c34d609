"""See `ReadFolder`."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import pyarrow as pa
from pydantic import Field

from curate.errors import RecipeError
from curate.io import captions
from curate.io.captions import SUFFIX, Caption, Captions, Kind
from curate.io.fields import Fields, clean, meta_of
from curate.io.payload import quote
from curate.io.source import Part, Read, build, file_piece, identity_of, part_id, sample_id
from curate.io.storage import SourceFile, Storage
from curate.sample import PAIR
from curate.stage import Names

IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
# Names of a part: fewer where each is a sample for every language.
MEAN, MOST = 256, 1024
MEAN_EACH, MOST_EACH = 16, 24


class _File(NamedTuple):
    """A caption file."""

    path: str
    raw: bytes  # of one too large its SHA-256
    captions: Captions


class _Choice(NamedTuple):
    """A caption that becomes a sample. `piece` stands for it in the id, `left` is what else the file says."""

    path: str
    piece: bytes
    caption: Caption
    left: dict[str, Any]


class ReadFolder(Read):
    """Image-text pairs out of folders where a file with the caption lies beside each image.

    The two have one name but for the suffix: `frog.png` and `frog.txt`. Both are files of the source, so
    `path` is the folder, or a list with a pattern for each of them; a changed caption is then noticed like a
    changed image. Images are files named .png, .jpg, .jpeg, .webp, .gif, .bmp, .tif and .tiff in any case;
    what is named neither so nor as captions are is no sample. An image without a caption is
    `missing_caption`, a caption without an image `missing_image`. Images of one name (`a.png`, `a.jpg`) share
    their caption.

    `captions` says what the second file is:

        text     the whole file is the caption
        lines    the first line is the caption, then come translations: `pt_BR.utf8=Um sapo.` (Tux Paint)
        svg_rdf  a drawing with RDF metadata (Open Clip Art, Inkscape); of it the first of the fields `text`
                 that is not empty, and `title`, `language` and `licence`; the drawing is not rendered
        json     an object, likewise

    `language` is what the file declares (of `lines` and `svg_rdf` as BCP 47 has it: `pt-BR`, `sr-Latn`);
    `text_source` is the field that the caption stood in. Everything else that the file says goes into `meta`:
    tags, creator, and with `per: image` the captions in other languages.

    With `per: language` each line is a pair of its own, `source` is `frog.png#pt-BR`, and so is the key in
    `sample_id`; else the key is the image's path. The members are the image, and of the caption file the
    whole, or the one caption.
    """

    shape: ClassVar[Literal["pair", "document"]] = "pair"

    stage: Literal["read_folder"] = "read_folder"
    captions: Kind = Field(default="text", description="What a caption file is.")
    suffix: str = Field(
        default="",
        pattern=r"^(\.[^/]+)?$",
        description="End of the names of caption files. Left out: .txt, .svg or .json, as `captions` says.",
    )
    image_root: str = Field(
        default="", description="Folder of the images, below the source's root, where captions lie elsewhere."
    )
    caption_root: str = Field(
        default="", description="Folder with the same folders in it as `image_root` has, for the captions."
    )
    text: Names = Field(
        default=("caption", "text", "description", "title"),
        description="Fields of `svg_rdf` and `json` that hold the caption: the first that is not empty.",
    )
    per: Literal["image", "language"] = Field(
        default="image",
        description="Of `lines`, one sample for each image, or one for each language that it has.",
    )
    languages: Names = Field(
        default=(),
        description="With `per: image`, the caption's language: the first that there is, such as [de, en]. "
        "Left out: the first line.",
    )
    language: str = Field(default="", description="Language of captions that do not declare theirs (`en`).")
    fields: Fields = Fields()
    max_text_bytes: Annotated[int, Field(gt=0)] = Field(
        default=1 << 20, description="Captions beyond it are cut and dropped."
    )
    max_file_bytes: Annotated[int, Field(gt=0)] = Field(
        default=16 << 20, description="Caption files beyond it are not read."
    )

    def writes(self) -> pa.Schema:
        own = [
            pa.field("title", pa.string()),
            pa.field("language", pa.string()),
            pa.field("text_source", pa.list_(pa.string())),
        ]
        return pa.schema([*own, *(f for f in self.fields.schema_() if f.name != "language")])

    def reasons(self) -> frozenset[str]:
        return captions.REASONS | {"missing_caption", "missing_image", "bad_name", "no_such_language"}

    def check(self, storage: Storage, files: Sequence[SourceFile]) -> None:
        """Refuses paths that leave out the images or the captions, and fields that mean nothing here."""
        lines = self.captions == "lines"
        if self.per == "language" and not lines:
            raise RecipeError(f"{self.id}.per", "only `captions: lines` have several languages")
        if self.languages and (self.per == "language" or not lines):
            hint = "bound the column: `keep` with bounds {language: {in: [...]}}"
            raise RecipeError(f"{self.id}.languages", "chooses among the lines of `per: image`", hint)
        if self._suffix().lower() in IMAGES:
            raise RecipeError(f"{self.id}.suffix", f"files named {self._suffix()} are images")
        images = [f.path for f in files if _is_image(f.path)]
        told = [f.path for f in files if self._is_caption(f.path)]
        for what, paths in (("image", images), (f"caption ({self._suffix()})", told)):
            if files and not paths:
                hint = "`path` is the folder, or a list of patterns for images and captions"
                raise RecipeError(f"{self.id}.path", f"no {what} among {len(files):,} files", hint)
        if files and not {self._key(p) for p in images} & {self._key(p) for p in told}:
            hint = f"without `image_root` and `caption_root`: {self._key(images[0])} and {self._key(told[0])}"
            raise RecipeError(f"{self.id}.caption_root", "no image has a caption of its name", hint)

    def group(self, files: Sequence[SourceFile]) -> list[list[SourceFile]]:
        """Files of one name together, cut where a hash of the name says so: a new one changes one part."""
        named: dict[str, list[SourceFile]] = {}
        for file in sorted(files, key=lambda f: f.path):
            if _is_image(file.path) or self._is_caption(file.path):
                named.setdefault(self._key(file.path), []).append(file)
        mean, most = (MEAN, MOST) if self.per == "image" else (MEAN_EACH, MOST_EACH)
        most = min(most, self.part_rows)
        found: list[list[SourceFile]] = []
        names = 0
        for name in sorted(named):
            if not names or names == most or _starts_part(name, mean):
                found.append([])
                names = 0
            found[-1] += named[name]
            names += 1
        return found

    def split(self, storage: Storage, files: Sequence[SourceFile]) -> list[Part]:
        parts = []
        for group in self.group(files):
            names = len({self._key(file.path) for file in group})
            paths = tuple(file.path for file in group)
            parts.append(Part(part_id(self.id, paths[0], 0), self.id, paths, identity_of(group), 0, names))
        return parts

    def rows(self, storage: Storage, part: Part) -> pa.Table:
        named: dict[str, list[str]] = {}
        for path in part.files:
            named.setdefault(self._key(path), []).append(path)
        found = [row for paths in named.values() for row in self._rows(storage, paths)]
        return build(found, self.writes())

    def _rows(self, storage: Storage, paths: Sequence[str]) -> Iterator[dict[str, Any]]:
        """The samples of one name: usually of one image and one caption file."""
        images: list[str | None] = [path for path in paths if _is_image(path)]
        told = next((path for path in paths if self._is_caption(path)), None)
        said = None if told is None else self._said(storage, told)
        if said is not None and not images:
            images.append(None)
        for image in images:
            piece = None if image is None else file_piece(storage, image)
            for choice in [None] if said is None else self._choices(said):
                yield self._row(image, piece, choice)

    def _said(self, storage: Storage, path: str) -> _File | None:
        """A caption file and what it says; None where it is gone."""
        try:
            if storage.stat(path).size > self.max_file_bytes:
                with storage.open(path) as file:
                    raw = hashlib.file_digest(file, "sha256").digest()  # type: ignore[arg-type]
                return _File(path, raw, Captions([Caption(None, reason="caption_too_large")], {}))
            raw = storage.read(path)
        except FileNotFoundError:
            return None
        return _File(path, raw, captions.read(self.captions, raw, self.language, self.text))

    def _choices(self, said: _File) -> list[_Choice]:
        """The captions that become samples, each with what else its file says."""
        found, left = said.captions
        if self.per == "language":
            return [_Choice(said.path, (c.body or "").encode() or said.raw, c, left) for c in found]
        chosen = found[0]
        if self.languages and chosen.body is not None:
            there = {c.language: c for c in reversed(found) if not c.reason}
            best = next((there[code] for code in self.languages if code in there), None)
            chosen = chosen._replace(reason="no_such_language") if best is None else best
        others = [c for c in found if c is not chosen and c.body]
        told = {c.language: c.body for c in reversed(others) if c.language and not c.reason}
        unread = [c.body for c in others if c.reason]
        beside = {"captions": told, "unread": unread}
        return [_Choice(said.path, said.raw, chosen, left | {k: v for k, v in beside.items() if v})]

    def _row(self, image: str | None, piece: bytes | None, choice: _Choice | None) -> dict[str, Any]:
        """A sample of an image, a caption, or both."""
        key = image or (choice.path if choice else "")
        if self.per == "language" and choice and choice.caption.language:
            key += f"#{choice.caption.language}"
        row: dict[str, Any] = {"dataset": self.dataset(), "source": clean(key), "shape": PAIR, "layout": ""}
        pieces: list[bytes] = []
        if image is not None:
            pieces.append(piece or b"")
            reason = "missing_image" if piece is None else "" if clean(image) == image else "bad_name"
            row["layout"] = "i"
            row["image_ref"] = [quote(clean(image))]
            row["image_drop"] = [f"{self.id}:{reason}" if reason else None]
        if choice is None:
            return {
                **row,
                "sample_id": sample_id(self.dataset(), key, pieces),
                "drop": self._why("missing_caption"),
            }
        pieces.append(choice.piece)
        row["sample_id"] = sample_id(self.dataset(), key, pieces)
        return row | self._caption(choice, image is not None) | self._fate(choice.caption, image)

    def _caption(self, choice: _Choice, images: bool) -> dict[str, Any]:
        """Columns of the caption and of what else its file says."""
        caption, left = choice.caption, {k: v for k, v in choice.left.items() if v not in ("", [], None)}
        row: dict[str, Any] = {"layout": "i" * images, "language": caption.language}
        if caption.body is not None:
            body = clean(caption.body)
            reason = caption.reason
            if len(body.encode()) > self.max_text_bytes:
                body = body.encode()[: self.max_text_bytes].decode("utf-8", "ignore")
                reason = reason or "text_too_large"
            row["layout"] += "t"
            row["text_body"] = [body]
            row["text_drop"] = [self._why(reason)]
            row["text_source"] = [caption.source]
        title = caption.body if caption.source == "title" else left.get("title")
        if isinstance(title, str):
            row["title"] = clean(title)
            left.pop("title", None)
        row |= self.fields.take(left, int(images))
        row["meta"] = meta_of(left)
        return row

    def _fate(self, caption: Caption, image: str | None) -> dict[str, Any]:
        if image is None:
            return {"drop": self._why("missing_image")}
        return {"drop": self._why(caption.reason)} if caption.body is None else {}

    def _why(self, reason: str) -> str | None:
        return f"{self.id}:{reason}" if reason else None

    def _is_caption(self, path: str) -> bool:
        return path.lower().endswith(self._suffix().lower())

    def _suffix(self) -> str:
        return self.suffix or SUFFIX[self.captions]

    def _key(self, path: str) -> str:
        """What an image and its caption have in common. Of a file outside its root, nothing."""
        root, name = (self.caption_root, path[: -len(self._suffix())])
        if _is_image(path):
            root, name = self.image_root, posixpath.splitext(path)[0]
        root = posixpath.normpath(root).strip("/") + "/" if root else ""
        return name.removeprefix(root) if name.startswith(root) else f"/{path}"


def _is_image(path: str) -> bool:
    return path.lower().endswith(IMAGES)


def _starts_part(name: str, mean: int) -> bool:
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:4]) % mean == 0
