"""What a site says about machines that take its images: robots.txt (RFC 9309) and `X-Robots-Tag`.

`urllib.robotparser` takes the first rule that fits in place of the longest and knows no wildcards.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote

MAX_BYTES = 512 * 1024  # of a robots.txt; RFC 9309 asks for 500 KiB at least
_MAX_RULES = 10_000
# Of `X-Robots-Tag`: for indexes as well as for training sets, an image that is not to be indexed is not to
# be collected. `none` is `noindex, nofollow`.
FORBIDDING = frozenset({"noai", "noimageai", "noindex", "noimageindex", "none"})
# Directives that have a value behind a colon, as an agent's name has directives.
_VALUED = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})
_AGENT = re.compile(r"[a-z0-9_*-]+")
_PRODUCT = re.compile(r"[A-Za-z_-]+")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_KEPT = "%/:;=@!$&'()*+,~|[]^{}`?#"


def product_token(user_agent: str) -> str:
    """The name by which rules call an agent: `Curate/1.0 (...)` is `curate`. "" where there is none."""
    match = _PRODUCT.match(user_agent)
    return match[0].lower() if match else ""


class Rule(NamedTuple):
    """A path pattern, cut at its wildcards."""

    length: int  # of the pattern, in octets: the longest that matches decides
    allow: bool
    pieces: tuple[str, ...]
    anchored: bool  # ends in `$`

    def matches(self, path: str) -> bool:
        """Whether it fits a normalised path. Each piece is looked for once: no pattern is slow."""
        first, *rest = self.pieces
        if not path.startswith(first):
            return False
        if not rest:
            return not self.anchored or len(path) == len(first)
        at = len(first)
        for piece in rest[:-1]:
            at = path.find(piece, at)
            if at < 0:
                return False
            at += len(piece)
        last = rest[-1]
        if self.anchored:
            return path.endswith(last) and len(path) - len(last) >= at
        return path.find(last, at) >= 0


@dataclass(frozen=True)
class Robots:
    """The rules of one origin for one agent, the longest first. Without rules all is allowed."""

    rules: Sequence[Rule] = ()

    def allows(self, path: str) -> bool:
        """Whether a path (with its query) may be asked for."""
        if path == "/robots.txt":
            return True
        wanted = _literal(normalised(path))
        return next((rule.allow for rule in self.rules if rule.matches(wanted)), True)

    @property
    def size(self) -> int:
        """Roughly its bytes in memory."""
        return 256 + sum(200 + rule.length for rule in self.rules)


def parse(text: bytes, agent: str) -> Robots:
    """The group of `agent` (a product token, in lower case), else that of `*`, else nothing.

    Groups of one agent are one group. Lines that are no rule are passed over, unfinished ones at the end of
    a cut file included: a rule that was cut could forbid more than its site meant.
    """
    cut = len(text) > MAX_BYTES
    lines = re.split(rb"\r\n|\r|\n", text[:MAX_BYTES].removeprefix(b"\xef\xbb\xbf"))
    groups: dict[str, list[Rule]] = {agent: [], "*": []}
    seen: set[str] = set()
    current: set[str] = set()
    within = False  # rules came since the last agent: the next one begins a group
    for line in lines[:-1] if cut else lines:
        name, colon, value = line.partition(b"#")[0].decode("utf-8", "replace").partition(":")
        name, value = name.strip().lower(), value.strip()
        if not colon:
            continue
        if name == "user-agent":
            current = {_group(value)} if within else current | {_group(value)}
            seen |= current
            within = False
        elif name in ("allow", "disallow"):
            within = True
            for whom in current & groups.keys():
                if value and len(groups[whom]) < _MAX_RULES:
                    groups[whom].append(_rule(value, name == "allow"))
    chosen = groups[agent] if agent in seen else groups["*"]
    # of equals the one that allows
    return Robots(tuple(sorted(set(chosen), key=lambda rule: (-rule.length, not rule.allow, rule.pieces))))


def _group(value: str) -> str:
    return "*" if value.startswith("*") else product_token(value)


def _rule(pattern: str, allow: bool) -> Rule:
    anchored = pattern.endswith("$")
    wanted = normalised(pattern[:-1] if anchored else pattern)
    pieces = (_literal(piece) for piece in re.split(r"\*+", wanted))
    return Rule(len(wanted) + anchored, allow, tuple(pieces), anchored)


def _literal(text: str) -> str:
    """`*` and `$` as rules spell those that are part of a path."""
    return text.replace("*", "%2A").replace("$", "%24")


def normalised(path: str) -> str:
    """One spelling for one path, RFC 9309 section 2.2.2: what is not ASCII escaped, what needs no escape not.

    Its table also has `:` and `/` of a query escaped.
    """
    path = _ESCAPE.sub(_unescaped, quote(path, _KEPT, errors="surrogateescape"))
    head, mark, query = path.partition("?")
    return head + mark + query.replace(":", "%3A").replace("/", "%2F")


def _unescaped(match: re.Match[str]) -> str:
    octet = int(match[1], 16)
    return chr(octet) if octet in _UNRESERVED else f"%{octet:02X}"


def forbids(headers: Iterable[str], agent: str) -> bool:
    """Whether `X-Robots-Tag` headers keep `agent` from an image: directives for all, or for it by name.

    `noai, noimageai`; `googlebot: noindex, nofollow`, whose name counts for what follows in its header.
    """
    for header in headers:
        whom = "*"
        for piece in header.lower().split(","):
            name, colon, rest = (part.strip() for part in piece.partition(":"))
            if colon and name not in _VALUED:
                if _AGENT.fullmatch(name) is None:  # a date's time of day
                    continue
                whom, name = name, rest
            if whom in ("*", agent) and name in FORBIDDING:
                return True
    return False


class Cache:
    """robots.txt of the origins that were asked last, for a limited time and within a limited size."""

    def __init__(self, seconds: float = 24 * 3600, size: int = 32 << 20) -> None:
        self._seconds = seconds  # RFC 9309: at most a day
        self._left = size
        self._held: OrderedDict[tuple[str, str, int], tuple[float, Robots]] = OrderedDict()

    def get(self, origin: tuple[str, str, int], now: float) -> Robots | None:
        """What is known of an origin at the time `now`, in seconds."""
        found = self._held.get(origin)
        if found is None:
            return None
        if now - found[0] > self._seconds:
            self._drop(origin)
            return None
        self._held.move_to_end(origin)
        return found[1]

    def put(self, origin: tuple[str, str, int], robots: Robots, now: float) -> None:
        """Remember it; the longest unused ones go where there is no room."""
        self._drop(origin)
        self._held[origin] = (now, robots)
        self._left -= robots.size
        while self._left < 0 and len(self._held) > 1:
            self._drop(next(iter(self._held)))

    def _drop(self, origin: tuple[str, str, int]) -> None:
        found = self._held.pop(origin, None)
        if found is not None:
            self._left += found[1].size
