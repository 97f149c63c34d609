"""Caption files that lie beside images: from a file's bytes to the captions in it, each with its language.

Every kind is a pure function of the bytes. Nothing here opens a file, resolves an external entity or renders.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from curate.io import json_lines
from curate.io.captions_svg import NoMetadata, described

Kind: TypeAlias = Literal["text", "lines", "svg_rdf", "json"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SUFFIX: Mapping[Kind, str] = {"text": ".txt", "lines": ".txt", "svg_rdf": ".svg", "json": ".json"}

MAX_LANGUAGES = 500  # lines of a file of translations; Tux Paint's have up to 78
REASONS = frozenset(
    {
        "caption_too_large",
        "empty_caption",
        "not_utf8",
        "text_too_large",
        "too_many_lines",
        "bad_line",
        "bad_xml",
        "no_metadata",
        "bad_json",
        "not_an_object",
        "missing_text",
    }
)

# Names of locales as glibc has them: `pt_BR`, `ca@valencia`, `sr@latin`.
_LOCALE = re.compile(r"([a-z]{2,3})(?:[_-]([A-Za-z]{2}|\d{3}))?(?:@([A-Za-z0-9]{1,16}))?", re.IGNORECASE)
_TRANSLATION = re.compile(r"([A-Za-z]{2,3}(?:_[A-Za-z]{2})?(?:@[A-Za-z0-9]{1,16})?)\.utf8=(.*)")
_SCRIPTS = {"latin": "Latn", "cyrillic": "Cyrl", "devanagari": "Deva", "arabic": "Arab"}


class Caption(NamedTuple):
    """One caption of a file. `reason`, one of REASONS or "", drops it; without a `body` there is no text."""

    body: str | None
    language: str | None = None
    source: str | None = None  # the field it stands in
    reason: str = ""


class Captions(NamedTuple):
    """What a file says: its captions, the default one first, and the fields beside them."""

    found: list[Caption]
    left: dict[str, Any]


def tag(locale: str) -> str | None:
    """A locale as a BCP 47 tag (`pt_BR` -> `pt-BR`, `sr@latin` -> `sr-Latn`); None for what is none."""
    match = _LOCALE.fullmatch(locale.strip())
    if match is None:
        return None
    language, region, variant = match.groups()
    script = _SCRIPTS.get((variant or "").lower())
    parts = [language.lower(), script, region and region.upper(), variant and not script and variant.lower()]
    return "-".join(part for part in parts if part)


def read(kind: Kind, raw: bytes, language: str, fields: tuple[str, ...]) -> Captions:
    """The captions in a file. `language`: of those that declare none; `fields`: those with a text."""
    return _READERS[kind](raw, language or None, fields)


def _alone(reason: str) -> Captions:
    return Captions([Caption(None, reason=reason)], {})


def _decoded(raw: bytes) -> tuple[str, str]:
    try:
        return raw.decode("utf-8-sig"), ""
    except UnicodeDecodeError:
        return raw.decode("utf-8-sig", "replace"), "not_utf8"


def _text(raw: bytes, language: str | None, fields: tuple[str, ...]) -> Captions:
    """The whole file is one caption."""
    body, reason = _decoded(raw)
    body = body.strip()
    return Captions([Caption(body, language, None, reason or ("" if body else "empty_caption"))], {})


def _lines(raw: bytes, language: str | None, fields: tuple[str, ...]) -> Captions:
    """The first line, then one of each translation: `de.utf8=Ein Frosch.` A line is judged alone."""
    lines = raw.split(b"\n")
    if len(lines) > MAX_LANGUAGES:
        return _alone("too_many_lines")
    found = []
    for number, line in enumerate(lines):
        body, reason = _decoded(line)
        body = body.strip()
        code = language
        if number:
            if not body:
                continue  # an empty line says nothing
            match = _TRANSLATION.fullmatch(body)
            if match is None:
                found.append(Caption(body, None, None, reason or "bad_line"))
                continue
            code, body = tag(match[1]), match[2].strip()
        found.append(Caption(body, code, None, reason or ("" if body else "empty_caption")))
    return Captions(found, {})


def _svg_rdf(raw: bytes, language: str | None, fields: tuple[str, ...]) -> Captions:
    """Title and description out of the metadata that Inkscape and Open Clip Art write into an SVG."""
    try:
        record = described(raw)
    except NoMetadata as problem:
        return _alone(problem.reason)
    given = record.pop("language", "")
    # three letters are as likely a word (`all`, `any`) as a code of ISO 639-3
    known = tag(given)
    if known is not None and len(known.split("-")[0]) == 2:
        language = known
    elif given:
        record["declared_language"] = given
    return _record(record, language, fields)


def _json(raw: bytes, language: str | None, fields: tuple[str, ...]) -> Captions:
    """One object; its text is the first of `fields` that says something."""
    record = json_lines.parse(raw.removeprefix(b"\xef\xbb\xbf"))
    if record is None:
        return _alone("bad_json")
    return _record(record, language, fields) if isinstance(record, dict) else _alone("not_an_object")


def _record(record: dict[str, Any], language: str | None, fields: tuple[str, ...]) -> Captions:
    texts = {name: record[name] for name in fields if isinstance(record.get(name), str)}
    if not texts:
        return Captions([Caption(None, language, None, "missing_text")], record)
    source = next((name for name, body in texts.items() if body.strip()), None)
    if source is None:
        return Captions([Caption("", language, next(iter(texts)), "empty_caption")], record)
    return Captions([Caption(record.pop(source).strip(), language, source)], record)


_READERS: Mapping[Kind, Callable[[bytes, str | None, tuple[str, ...]], Captions]] = {
    "text": _text,
    "lines": _lines,
    "svg_rdf": _svg_rdf,
    "json": _json,
}
