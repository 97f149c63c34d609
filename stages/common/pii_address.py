"""E-mail and IP addresses in a folded text."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from functools import lru_cache

from stages.common.pii_text import said_before, scan

# ASCII, Latin, Greek and Cyrillic: Chinese and Japanese go on without a space before and behind an address.
_LETTERS = "A-Za-z0-9\u00c0-\u024f\u0370-\u052f"
_LOCAL = rf"(?<![{_LETTERS}._%+'&#-])[{_LETTERS}._%+'&#-]{{1,64}}+"
_LABEL = rf"[{_LETTERS}-]{{1,63}}+"
_DOT = r"(?:\.| ?[\[({] ?(?:dot|\.) ?[\])}] ?)"
# Possessive, and begun only where the run of letters begins: each character is looked at once.
_EMAIL = re.compile(
    rf"{_LOCAL}(?:@| ?[\[({{] ?at ?[\])}}] ?){_LABEL}(?:{_DOT}{_LABEL}){{1,8}}"
    rf"|{_LOCAL} at {_LABEL}(?: dot {_LABEL}){{1,4}}",
    re.IGNORECASE,
)
_LEADING = "'.-&#%+"  # rather the sentence's than the address's
_LAST = re.compile(r"(?<![\w-])(?:[^\W\d_]{2,24}|xn--[a-z0-9-]{2,59})$", re.IGNORECASE)
# `icon@2x.png` is a file, `lib@main.js` too
_IMAGES = frozenset(("png", "jpg", "jpeg", "gif", "webp", "svg", "bmp", "tif", "tiff", "pdf"))
_FILES = _IMAGES | {"js", "css", "html", "php", "json"}

_IPV4 = re.compile(r"(?<![\w.@-])(?:\d{1,3}\.){3}\d{1,3}(?!\w|\.\d|-\d)", re.ASCII)
_IPV6 = re.compile(r"(?<![\w:.])[23][0-9a-f]{3}:[0-9a-f:]{2,34}(?<!(?<!:):)(?!\w)", re.IGNORECASE | re.ASCII)
_IS_VERSION = re.compile(
    r"(?:\bv|ver(?:sion)?s?|release|rev(?:ision)?|build|firmware|driver|update|patch|section|sect|chapter|clause"
    r"|kapitel|abschnitt|§|版本?|バージョン)[ .:#]{0,3}$",
    re.IGNORECASE,
)
_ADDRESS_WORD = re.compile(
    r"\b(?:ip|ipv4|addr(?:ess)?|host|server|ping|dns|gateway|router|login|logged|client|port|from)\b|地址|服务器"
    r"|//",
    re.IGNORECASE | re.ASCII,
)
_PORT = re.compile(r":\d{2,5}(?!\d)|/\d{1,2}(?![\d/])", re.ASCII)
# Ranges set aside for examples count as addresses: what stands for one in a text is treated like one.
_EXAMPLE_PREFIXES = ("192.0.2.", "198.51.100.", "203.0.113.")
_EXAMPLES = tuple(
    ipaddress.ip_network(n) for n in (*(f"{p}0/24" for p in _EXAMPLE_PREFIXES), "2001:db8::/32")
)


def emails(text: str) -> Iterator[tuple[int, int]]:
    """`a.b@c.example`, also spelled `a.b [at] c [dot] example` and `a.b at c dot example`."""
    for start, end in scan(_EMAIL, text, _is_email):
        yield end - len(text[start:end].lstrip(_LEADING)), end


def _is_email(match: re.Match[str]) -> bool:
    last = _LAST.search(match[0])
    named = match[0].lstrip(_LEADING)[:1] not in ("", "@", " ")
    return named and last is not None and last[0].lower() not in _FILES


def ips(text: str) -> Iterator[tuple[int, int]]:
    """Addresses of the public internet; no version numbers, no private, local or reserved ranges."""
    if text.count(".") >= 3:
        addressed = _ADDRESS_WORD.search(text) is not None

        def is_ipv4(match: re.Match[str]) -> bool:
            found = match[0]
            told = _public(found) or (
                _public(found, small=True)
                and (
                    _PORT.match(match.string, match.end()) is not None
                    or (addressed and said_before(_ADDRESS_WORD, match))
                )
            )
            return told and not said_before(_IS_VERSION, match)

        yield from scan(_IPV4, text, is_ipv4)
    if text.count(":") >= 2:
        yield from scan(_IPV6, text, lambda match: match[0].count(":") >= 2 and _is_public(match[0]))


@lru_cache(maxsize=4096)
def _public(quad: str, small: bool = False) -> bool:
    """Whether four numbers are a public address. But for `small` ones, no more than one is below 10.

    `3.2.1.14` is a section or a version; of addresses one in a hundred has more than one part so small.
    """
    parts = quad.split(".")
    if any((len(p) > 1 and p[0] == "0") or int(p) > 255 for p in parts):
        return False
    large = small or quad.startswith(_EXAMPLE_PREFIXES) or sum(len(p) == 1 for p in parts) <= 1
    return large and _is_public(quad)


@lru_cache(maxsize=4096)
def _is_public(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return (address.is_global and not address.is_multicast) or any(address in n for n in _EXAMPLES)
