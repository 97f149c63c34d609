"""See `Licence`."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import ClassVar, Literal, NamedTuple, TypeAlias

import pyarrow as pa

from curate.sample import Level, single
from curate.stage import Map, Op, Out

# A whole licence text is none of the names below; nothing is looked for in it.
_LONGEST = 500

_CONDITIONS = ("by", "nc", "sa", "nd")  # SPDX's order, but for `nc-nd` and `nc-sa`, which never meet
# What words of a licence's name stand for; applied to lower-case words set apart by single spaces.
_WORDS: tuple[tuple[str, str], ...] = (
    (r"creative ?commons", "cc"),
    (r"attribution", "by"),
    (r"share ?alike", "sa"),
    (r"non ?commercial", "nc"),
    (r"no ?deriv(?:ative)?s?(?: works)?", "nd"),
    (r"affero general public", "agpl"),
    (r"(?:lesser|library) general public", "lgpl"),
    (r"general public", "gpl"),
    (r"free documentation", "gfdl"),
    (r"version (?=\d)|ver\.? (?=\d)", "v"),
)
_CC = re.compile(
    r"(?P<cc>cc )?(?P<conditions>(?:by|nc|nd|sa)(?: (?:by|nc|nd|sa)){0,3})(?: v?(?P<version>\d(?:\.\d)?))?"
    r"(?: (?:unported|generic|international|intl?|(?!cc)(?P<port>[a-z]{2})))?(?: deed)?"
)
_GNU = re.compile(
    r"(?:gnu )?(?P<family>[al]?gpl|gfdl|fdl)(?: ?v?(?P<version>\d(?:\.\d)?))?"
    r"(?P<later> ?\+| or (?:later|any later|newer|above)(?: version)?)?(?P<only> only)?"
)
# (id, class, its spellings beside the id itself), a spelling being a regular expression of the whole name
_NAMED: tuple[tuple[str, str, str], ...] = (
    ("CC0-1.0", "public_domain", r"(?:cc ?)?(?:0|zero)(?: v?1(?:\.0)?)?(?: universal)?"
        r"(?: (?:public domain dedication|deed))*"),
    ("PDM-1.0", "public_domain", r"(?:cc )?(?:pdm|public domain mark)(?: 1(?:\.0)?)?(?: deed)?"),
    ("PDDL-1.0", "public_domain", r"pddl(?: v?1(?:\.0)?)?|odc pddl(?: 1\.0)?"),
    ("Unlicense", "public_domain", r"unlicense"),
    ("Public-Domain", "public_domain", r"(?:cc )?(?:pd|public ?domain)(?: dedication)?"
        r"|pd (?:old|us|self|user|usgov|art|author)(?: [a-z0-9]{1,10})?"
        r"|(?:united states|us|u\.s\.) government works?"),
    ("MIT", "permissive", r"mit(?: x11)?|expat|x11"),
    ("Apache-2.0", "permissive", r"(?:asl|apache(?: software)?)(?: v?2(?:\.0)?)"),
    ("BSD-2-Clause", "permissive", r"bsd 2(?: clause)?|(?:simplified|freebsd) bsd|2 clause bsd"),
    ("BSD-3-Clause", "permissive", r"bsd 3(?: clause)?|(?:new|modified) bsd|3 clause bsd"),
    ("BSD", "permissive", r"bsd"),
    ("ISC", "permissive", r"isc"),
    ("Zlib", "permissive", r"zlib(?: libpng)?"),
    ("WTFPL", "permissive", r"wtfpl(?: v?2(?:\.0)?)?"),
    ("ODC-By-1.0", "attribution", r"odc by(?: v?1(?:\.0)?)?|open data commons by(?: v?1(?:\.0)?)?"),
    ("OGL-UK-3.0", "attribution", r"(?:ogl|open government)(?: uk)?(?: v?3(?:\.0)?)"),
    ("CDLA-Permissive-2.0", "permissive", r"cdla permissive(?: v?2(?:\.0)?)"),
    ("ODbL-1.0", "share_alike", r"(?:odbl|open (?:data commons open )?database)(?: v?1(?:\.0)?)?"),
    ("LAL-1.3", "share_alike", r"(?:free art|licence art libre|fal|lal)(?: v?1\.3)?"),
    ("OFL-1.1", "copyleft", r"(?:sil )?(?:ofl|open font)(?: v?1\.1)?"),
    ("MPL-2.0", "copyleft", r"(?:mpl|mozilla public)(?: v?2(?:\.0)?)"),
    ("EPL-2.0", "copyleft", r"(?:epl|eclipse public)(?: v?2(?:\.0)?)"),
    ("All-Rights-Reserved", "proprietary",
        r"(?:(?:copyright(?:ed)?|©) )*all rights reserved|copyright(?:ed)?|in copyright|proprietary|©"),
)  # fmt: skip
_SPELLINGS = [(id_, class_, re.compile(spelling)) for id_, class_, spelling in _NAMED]
_CLASSES = {id_.lower(): (id_, class_) for id_, class_, _ in _NAMED}

# Pages that are a licence, without scheme and `www.`
_PAGES: tuple[tuple[str, str], ...] = (
    (r"creativecommons\.org/licen[cs]es/(?P<cc>[a-z]{2}(?:[-+][a-z]{2}){0,3})"
        r"(?:/(?P<version>\d\.\d))?(?:/(?P<port>[a-z]{2,5}))?", ""),
    (r"creativecommons\.org/publicdomain/zero(?:/1\.0)?", "CC0-1.0"),
    (r"creativecommons\.org/publicdomain/mark(?:/1\.0)?", "PDM-1.0"),
    (r"creativecommons\.org/licenses/publicdomain|web\.resource\.org/cc/publicdomain", "Public-Domain"),
    (r"rightsstatements\.org/(?:vocab|page)/inc(?:-[a-z]{2,4})?(?:/1\.0)?", "All-Rights-Reserved"),
    (r"(?:spdx|opensource)\.org/licen[cs]es?/(?P<name>[a-z0-9.+-]{2,40}?)(?:\.html|\.php)?", ""),
    (r"gnu\.org/(?:licenses|copyleft)/(?:old-licenses/)?(?P<gnu>(?:[al]?gpl|fdl)(?:-\d\.\d)?)"
        r"(?:\.(?:html|en\.html|txt))?", ""),
    (r"apache\.org/licenses/license-2\.0(?:\.txt|\.html)?", "Apache-2.0"),
    (r"unlicense\.org", "Unlicense"),
    (r"opendatacommons\.org/licenses/pddl(?:/1[-.]0)?", "PDDL-1.0"),
    (r"opendatacommons\.org/licenses/by(?:/1[-.]0)?", "ODC-By-1.0"),
    (r"opendatacommons\.org/licenses/odbl(?:/1[-.]0)?", "ODbL-1.0"),
    (r"nationalarchives\.gov\.uk/doc/open-government-licence/version/3", "OGL-UK-3.0"),
)  # fmt: skip
_LINKS = [(re.compile(page), id_) for page, id_ in _PAGES]
_URL = re.compile(r"https?://[^\s<>\"')\]]+|\b(?:www\.)?creativecommons\.org/[^\s<>\"')\]]+")
_LEGAL = re.compile(r"/(?:legalcode|deed)(?:\.[a-z_-]{2,8})?$")
_TALK = re.compile(
    r"^(?:this (?:work|image|file|photo|photograph|picture|page) is |(?:is )?licen[cs]ed |released "
    r"|available |used |distributed |under (?:the (?:terms of )?|an? )?|licen[cs]es?(?: ?[:=])? |the |an? "
    r"|dedicated to )"
)
_FILLER = re.compile(r"\b(?:public )?licen[cs]es?\b|\blegal code$|^(?:the|an?) ")


LicenceClass: TypeAlias = Literal[
    "public_domain",
    "permissive",
    "attribution",
    "share_alike",
    "non_commercial",
    "no_derivatives",
    "copyleft",
    "proprietary",
    "unknown",
]


class _Known(NamedTuple):
    id: str  # empty: not known
    kind: str  # a LicenceClass


class Licence(Map):
    """What a licence is, whatever the source calls it: an SPDX-like id, and a class that `keep` can bound.

        licence_id      `CC-BY-SA-3.0`, `CC0-1.0`, `GPL-2.0-or-later` ...: SPDX's id, without a version where
                        none is given (`CC-BY`); `Public-Domain`, `PDM-1.0` and `All-Rights-Reserved` are
                        ours. Null where it is not known
        licence_class   public_domain, permissive, attribution, share_alike, non_commercial,
                        no_derivatives, copyleft (GNU, MPL, OFL), proprietary or unknown

    Reads names, abbreviations and addresses ("CC BY-SA 3.0", "gfdl", "GPL-2+",
    "https://creativecommons.org/publicdomain/zero/1.0/"). Nothing is guessed: a text that names two licences,
    or says more than a licence's name, is unknown. Both are null where `licence` is. Of a licence with
    several conditions the class is the last in the order above: CC BY-NC-ND is no_derivatives. So bound with
    `in`, which says what may stay.
    """

    stage: Literal["licence"] = "licence"
    level: ClassVar[Level] = "sample"

    def reads(self) -> frozenset[str]:
        return frozenset({"licence"})

    def writes(self) -> pa.Schema:
        return pa.schema([("licence_id", pa.string()), ("licence_class", pa.string())])

    def open(self) -> Op:
        def op(table: pa.Table) -> Out:
            given = single(table["licence"]).cast(pa.string()).to_pylist()
            found = [None if text is None else known(text) for text in given]
            return Out(
                {
                    "licence_id": pa.array([f.id or None if f else None for f in found], pa.string()),
                    "licence_class": pa.array([f.kind if f else None for f in found], pa.string()),
                }
            )

        return op


@lru_cache(maxsize=4096)
def known(text: str) -> _Known:
    """The licence that a text names."""
    unknown = _Known("", "unknown")
    if len(text) > _LONGEST:
        return unknown
    text = text.lower()
    found = [_of_page(page) for page in _URL.findall(text)]
    names = [name.strip(" .,;:-|\t\r\n") for name in re.split(r"[()\[\]]", _URL.sub(" ", text))]
    found += [_of_name(name) for name in names if name]
    if not found or None in found:
        return unknown
    licences = {licence for licence in found if licence}
    if len(licences) > 1:  # "CC0 1.0 (Public Domain Dedication)"
        licences.discard(_Known("Public-Domain", "public_domain"))
    longest = max(licences, key=lambda licence: len(licence.id))
    # "CC BY (https://creativecommons.org/licenses/by/4.0/)": the same, and one says the version
    agree = all(other.kind == longest.kind and longest.id.startswith(other.id) for other in licences)
    return longest if agree else unknown


def _of_page(address: str) -> _Known | None:
    page = re.sub(r"^https?://", "", address).removeprefix("www.").split("#")[0].split("?")[0]
    page = _LEGAL.sub("", page.rstrip(".,;/")).rstrip("/")
    for pattern, id_ in _LINKS:
        if match := pattern.fullmatch(page):
            if id_:
                return _Known(*_CLASSES[id_.lower()])
            parts = match.groupdict()
            if parts.get("cc"):
                return _cc(re.split(r"[-+]", parts["cc"]), parts["version"], _port(parts["port"]))
            return _of_name(parts.get("name") or parts["gnu"])
    return None


def _port(code: str | None) -> str | None:
    """The country of a ported licence; the language of a deed is none."""
    return code if code and len(code) == 2 else None


def _of_name(name: str) -> _Known | None:
    if name in _CLASSES:
        return _Known(*_CLASSES[name])
    words = " ".join(re.sub(r"[\s_/,:\"'-]+", " ", name).split())
    while (less := _TALK.sub("", words)) != words:
        words = less
    for spelling, short in _WORDS:
        words = re.sub(rf"\b(?:{spelling})(?:\b|(?<= ))", short, words)
    words = " ".join(_FILLER.sub(" ", words.removesuffix(".")).split())
    if match := _GNU.fullmatch(words):
        return _gnu(match)
    if (match := _CC.fullmatch(words)) and (match["cc"] or " " in match["conditions"] or match["version"]):
        return _cc(match["conditions"].split(), match["version"], match["port"])
    for id_, class_, whole in _SPELLINGS:
        if whole.fullmatch(words):
            return _Known(id_, class_)
    return None


def _cc(conditions: list[str], version: str | None, port: str | None) -> _Known | None:
    """A Creative Commons licence; None for conditions that none of them has."""
    said = set(conditions)
    if len(said) < len(conditions) or not said <= set(_CONDITIONS) or {"sa", "nd"} <= said:
        return None
    kind = "no_derivatives" if "nd" in said else "non_commercial" if "nc" in said else ""
    kind = kind or ("share_alike" if "sa" in said else "attribution")
    name = "-".join(c.upper() for c in _CONDITIONS if c in said)
    number = f"-{version if '.' in version else f'{version}.0'}" if version else ""
    return _Known(f"CC-{name}{number}{f'-{port.upper()}' if port and version else ''}", kind)


def _gnu(match: re.Match[str]) -> _Known:
    family = {"fdl": "GFDL"}.get(match["family"], match["family"].upper())
    version = match["version"]
    if not version:
        return _Known(family, "copyleft")
    number = version if "." in version else f"{version}.0"
    return _Known(f"{family}-{number}-{'or-later' if match['later'] else 'only'}", "copyleft")
