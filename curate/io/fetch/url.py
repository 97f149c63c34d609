"""URLs as data sets have them, into what is asked of whom; or the reason why not.

Read as browsers do (the WHATWG's URL Standard) where two readings are possible: the host that is checked is
the host that is asked. What browsers would repair by guessing (a stray `%`, control characters) is `bad_url`.
"""

from __future__ import annotations

import re
import socket
from ipaddress import IPv6Address
from typing import NamedTuple
from urllib.parse import SplitResult, quote, urljoin, urlsplit

_MAX_LENGTH = 8192  # of a URL, in characters; servers commonly stop there
_PORTS = {"http": 80, "https": 443}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_LABELS = re.compile(r"(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # a last label like that makes the host an IPv4 address
# Left as they are: an escape too many breaks signed URLs.
_PATH = "%/:;=@!$&'()*+,~|[]^"
_QUERY = _PATH + "?`{}"
_ONE_DOT, _TWO_DOTS = ("", ".", "%2e"), ("..", ".%2e", "%2e.", "%2e%2e")


class Refused(Exception):
    """A URL that is not asked, or not any further. The message is the reason."""


class Target(NamedTuple):
    """What is asked of whom."""

    scheme: str
    host: str  # ASCII, in lower case; an address in its usual spelling, without brackets
    port: int
    path: str  # with the query, as it is sent

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port

    @property
    def text(self) -> str:
        """The whole URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}"


def parse(url: str) -> Target:
    """A URL as it stands in a row; `//host/path`, of pages without a scheme of their own, means https.

    Raises Refused: `bad_url`, or `credentials` for a URL with a user name or password.
    """
    url = url.strip()
    if url.startswith("//"):
        url = f"https:{url}"
    if len(url) > _MAX_LENGTH or _CONTROL.search(url) or _BAD_PERCENT.search(url):
        raise Refused("bad_url")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:  # brackets without an address, a port beyond 65535, odd Unicode in the host
        raise Refused("bad_url") from error
    if parts.scheme not in _PORTS or not parts.hostname or "\\" in parts.netloc:
        raise Refused("bad_url")
    if "@" in parts.netloc:
        raise Refused("credentials")
    port = _PORTS[parts.scheme] if port is None else port
    host = _host(parts.scheme, parts.hostname, bracketed="[" in parts.netloc)
    return Target(parts.scheme, host, port, _path(parts))


def redirected(target: Target, location: str) -> Target:
    """Where an answer of `target` sends us. Raises Refused: `bad_redirect`, `credentials`."""
    try:
        return parse(urljoin(target.text, location.strip()))
    except ValueError as error:
        raise Refused("bad_redirect") from error
    except Refused as error:
        raise Refused("bad_redirect" if str(error) == "bad_url" else str(error)) from error


def _host(scheme: str, host: str, bracketed: bool) -> str:
    import yarl

    try:
        if bracketed:
            return str(IPv6Address(host)) if "%" not in host else _no_host()
        if not host.isascii():
            host = yarl.URL.build(scheme=scheme, host=host).raw_host or ""  # IDNA 2008 by way of UTS 46
        host = host.removesuffix(".")
        if len(host) > 253 or _LABELS.fullmatch(host) is None:
            return _no_host()
        if _NUMBER.fullmatch(host.rpartition(".")[2]):  # 127.1, 0x7f000001, 017700000001 ...
            return socket.inet_ntoa(socket.inet_aton(host))
    except (ValueError, OSError) as error:
        raise Refused("bad_url") from error
    return host


def _no_host() -> str:
    raise Refused("bad_url")


def _path(parts: SplitResult) -> str:
    try:
        path = quote(parts.path.replace("\\", "/"), _PATH, errors="surrogateescape")
        query = quote(parts.query, _QUERY, errors="surrogateescape")
    except UnicodeError as error:
        raise Refused("bad_url") from error
    return _without_dots(path) + (f"?{query}" if query else "")


def _without_dots(path: str) -> str:
    """`.` and `..` resolved, as every server would: robots.txt is asked about what is really meant."""
    kept: list[str] = []
    segments = path.removeprefix("/").split("/")
    for last, segment in ((i == len(segments) - 1, s) for i, s in enumerate(segments)):
        if segment.lower() in _TWO_DOTS:
            kept = kept[:-1]
        elif segment and segment.lower() in _ONE_DOT:
            pass
        else:
            kept.append(segment)
            continue
        if last:
            kept.append("")
    return "/" + "/".join(kept)
