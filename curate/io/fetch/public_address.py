"""Which addresses a URL out of a data set may lead to, and the hosts that a recipe exempts.

A URL is an order of a stranger to this machine: http://169.254.169.254/ asks a cloud's metadata service for
credentials, http://10.0.0.7:9200/ a search server of the same network for its indices.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import NamedTuple, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address

# IANA's special-purpose registry (RFC 6890 and its updates), spelled out: `ipaddress` changes its mind from
# one patch release to the next (CVE-2024-4032).
_NOT_PUBLIC_4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",
        "168.63.129.16/32",  # a cloud's host agent, at an address that is no private one
        "169.254.0.0/16",  # link-local, and cloud metadata
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments, and another cloud's metadata
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
_PUBLIC_6 = IPv6Network("2000::/3")  # all that is given out; the rest is local, multicast or reserved
_NOT_PUBLIC_6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments: Teredo, benchmarks, ORCHID
        "2001:db8::/32",  # documentation
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
        "5f00::/16",  # segment routing
    )
)
_6TO4 = IPv6Network("2002::/16")
_NAT64 = IPv6Network("64:ff9b::/96")
_LABELS = re.compile(r"(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}")


def is_public(address: Address) -> bool:
    """Whether anybody on the internet may have the address, those within it (6to4, NAT64) included."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    if address.scope_id is not None:
        return False
    if address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped)
    if address in _6TO4:
        return is_public(IPv4Address((int(address) >> 80) & 0xFFFFFFFF))
    if address in _NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    return address in _PUBLIC_6 and not any(address in network for network in _NOT_PUBLIC_6)


def literal(host: str) -> Address | None:
    """The address that a host is spelled as; None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


class Allowed(NamedTuple):
    """One entry of `allow_hosts`."""

    host: str  # a name or an address; `.intranet.example` for all names below
    port: int | None  # None: any

    def holds(self, host: str, port: int) -> bool:
        """Whether a host is below this domain: by name, `*.0.0.1` is no pattern of addresses."""
        return host.endswith(self.host) and self.port in (None, port) and literal(host) is None


def parse_allowed(text: str) -> Allowed:
    """`host`, `host:port`, `*.domain`, `*.domain:port`, `[v6]`, `[v6]:port`. ValueError for anything else."""
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|(?:\*\.)?[^\[\]:/@*\s]+)(?::([0-9]{1,5}))?", text)
    if match is None or int(match[2] or 1) not in range(1, 65536):
        raise ValueError(f"`{text}` is not a host: host, host:port, *.domain or [v6]:port")
    name, port = match[1].lower(), int(match[2]) if match[2] else None
    if name.startswith("["):
        return Allowed(str(IPv6Address(name[1:-1])), port)
    wild, name = name.startswith("*."), name.removeprefix("*.")
    if _LABELS.fullmatch(name) is None:
        raise ValueError(f"`{text}` is not a host: spell names in ASCII (`xn--...`)")
    return Allowed(f".{name}" if wild else name, port)


class Rules:
    """What a fetch may connect to."""

    def __init__(self, allowed: Iterable[Allowed] = (), ports: Iterable[int] = (80, 443)) -> None:
        entries = tuple(allowed)
        self._exact = {(entry.host, entry.port) for entry in entries}
        self._domains = tuple(entry for entry in entries if entry.host.startswith("."))
        self._ports = frozenset(ports)

    def exempt(self, host: str, port: int) -> bool:
        """Whether the recipe names the host: no other rule holds for it then."""
        if (host, port) in self._exact or (host, None) in self._exact:
            return True
        return any(domain.holds(host, port) for domain in self._domains)

    def refusal(self, host: str, port: int) -> str:
        """Why not even a name is looked up: `forbidden_port`, `private_address` (of a literal); "" if not."""
        if self.exempt(host, port):
            return ""
        if port not in self._ports:
            return "forbidden_port"
        address = literal(host)
        return "" if address is None or is_public(address) else "private_address"

    def usable(self, host: str, port: int, addresses: Iterable[str]) -> list[str]:
        """Those addresses of a host that may be connected to."""
        if self.exempt(host, port):
            return list(addresses)
        return [a for a in addresses if (found := literal(a)) is not None and is_public(found)]
