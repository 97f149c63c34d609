"""URLs in a normal form, in which two of the same page or image are equal; and whose they are."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

# Parameters that say where a visitor came from, not what is shown: the lists of Firefox's query stripping
# and of ClearURLs, of both what is no parameter of anything else.
_TRACKING = re.compile(
    r"utm_.*|fbclid|gclid|gclsrc|dclid|gbraid|wbraid|srsltid|_ga|_gl|msclkid|yclid|ysclid|twclid|ttclid"
    r"|igshid|igsh|li_fat_id|mc_cid|mc_eid|mkt_tok|_hsenc|_hsmi|__hssc|__hstc|__hsfp|hsctatracking|vero_id"
    r"|vero_conv|oly_anon_id|oly_enc_id|wickedid|rb_clickid|s_cid|_openstat|__s|ml_subscriber(?:_hash)?"
)
# As in the keys of web archives (SURT): `www.` and `www2.` are the same site; of `www.com` it is the name.
_WWW = re.compile(r"^(?:www\d*\.)+(?=[^.]+\.)")
_SCHEMES = ("http", "https")
_DEFAULT_PORTS = (80, 443)  # of both, see below
_ADDRESS = re.compile(r"[\d.]+|.*:.*")


def normal_url(text: str) -> str:
    """The URL as others that lead to the same are written too; the same when done twice.

    What RFC 3986 (6.2.2 and 6.2.3) calls equivalent becomes equal: the case of scheme and host, escapes,
    dots in the path, default ports, international names (as `xn--`). Beyond it, as keys of web archives are
    made: http counts as https; `www.`, fragments, slashes at the end and parameters that track visitors go;
    the others are sorted. What is no URL with a host stays, but for white space around it.
    """
    import yarl  # comes with aiohttp

    text = text.strip()
    try:
        url = yarl.URL(f"https:{text}" if text.startswith("//") else text)
        port = url.port
    except ValueError:  # odd brackets, ports or names
        return text
    host = _host(url.raw_host)
    if url.scheme not in _SCHEMES or not host:
        return text
    user = "".join((url.raw_user or "", f":{url.raw_password}" if url.raw_password else ""))
    place = f"[{host}]" if ":" in host else host
    if port not in _DEFAULT_PORTS:
        place += f":{port}"
    query = _query(url.raw_query_string)
    return (
        f"https://{user}{'@' if user else ''}{place}{url.raw_path.rstrip('/')}{'?' if query else ''}{query}"
    )


def host_of(text: str) -> str | None:
    """Host of a URL, in lower case and ASCII (`xn--`), without `www.`; None where it has none."""
    import yarl

    text = text.strip()
    try:
        url = yarl.URL(f"https:{text}" if text.startswith("//") else text)
    except ValueError:
        return None
    return _host(url.raw_host) or None


def registered_domain(host: str) -> str:
    """What somebody registered: `example.co.uk` of `shop.example.co.uk`, `user.github.io` of itself.

    By the public suffix list, private part included. Where nothing is registered (an address, `localhost`,
    a suffix itself) it is the host.
    """
    if _ADDRESS.fullmatch(host):
        return host
    return _suffixes().privatesuffix(host) or host


def suffix_list_digest() -> str:
    """SHA-256 of the public suffix list, which comes with the package `publicsuffixlist`."""
    import hashlib
    from pathlib import Path

    from publicsuffixlist import PSLFILE

    return hashlib.sha256(Path(PSLFILE).read_bytes()).hexdigest()


@lru_cache(maxsize=1)
def _suffixes() -> PublicSuffixList:
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList()


def _host(raw: str | None) -> str:
    return _WWW.sub("", (raw or "").lower().rstrip("."))


def _query(raw: str) -> str:
    """Parameters that are not about the visitor, sorted; a space is `%20` and not `+`."""
    pieces = (piece for piece in raw.split("&") if piece)
    own = (p for p in pieces if not _TRACKING.fullmatch(p.partition("=")[0].lower()))
    return "&".join(sorted(p.replace("+", "%20") for p in own))
