"""Names to addresses, checked, and sockets to no other ones."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from aiohttp.abc import AbstractResolver, ResolveResult

from curate.errors import RunError
from curate.io.fetch.public_address import Rules, is_public, literal
from curate.io.fetch.url import Refused

_LOOKUPS = 32  # at once: more of them overload resolvers, which then call good names unknown
_FINAL = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))


def blame_files(error: BaseException) -> None:
    """RunError where this process has too many files open: no fault of any site."""
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        raise RunError("too many open files: lower `concurrency`, or raise `ulimit -n`") from error


class Resolver(AbstractResolver):
    """Each host is looked up once and its addresses are checked; these are the ones connected to.

    A name that changes its mind (DNS rebinding) has nobody to tell: aiohttp asks here, and `open_socket`
    refuses addresses that did not pass.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._threads = ThreadPoolExecutor(_LOOKUPS, "lookup")
        self._known: dict[tuple[str, int], asyncio.Task[list[str]]] = {}
        self._granted: set[tuple[str, int]] = set()

    async def lookup(self, host: str, port: int) -> list[str]:
        """The addresses of a host. Raises Refused: `private_address`, `deferred.dns`."""
        key = (host, port)
        task = self._known.get(key)
        if task is None:
            task = self._known[key] = asyncio.create_task(self._lookup(host, port))
        try:
            return await asyncio.shield(task)
        except OSError as error:  # mostly a gaierror
            blame_files(error)
            if error.errno not in _FINAL and self._known.get(key) is task:
                del self._known[key]  # the resolver is unwell: another attempt may be luckier
            raise Refused("deferred.dns") from error

    async def _lookup(self, host: str, port: int) -> list[str]:
        loop = asyncio.get_running_loop()
        if literal(host) is not None:
            found = [host]
        else:
            # as bytes: Python's own IDNA codec has another opinion than ours, and raises for long labels
            infos = await loop.run_in_executor(
                self._threads, lambda: socket.getaddrinfo(host.encode(), port, type=socket.SOCK_STREAM)
            )
            found = list(dict.fromkeys(str(info[4][0]) for info in infos))
        usable = self._rules.usable(host, port, found)
        if not usable:
            raise Refused("private_address")
        if self._rules.exempt(host, port):
            self._granted |= {(address, port) for address in usable}
        return usable

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """What aiohttp asks before it connects."""
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in await self.lookup(host, port)
        ]

    def open_socket(self, info: tuple[int, int, int, str, Sequence[str | int]]) -> socket.socket:
        """A socket for an address that may be connected to: the last word, whatever led here."""
        family, kind, proto, _, where = info
        host, port = str(where[0]), int(where[1])
        address = literal(host)
        if address is None or not (is_public(address) or (host, port) in self._granted):
            raise PermissionError(f"{host} is no public address")
        found = socket.socket(family, kind, proto)
        found.setblocking(False)
        return found

    async def close(self) -> None:
        """Give the threads back. One that still waits for an answer ends by itself."""
        for task in self._known.values():
            if not task.cancel() and not task.cancelled():
                task.exception()  # told already, or nobody was left to be told
        self._threads.shutdown(wait=False, cancel_futures=True)
