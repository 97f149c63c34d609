"""Many URLs at once: one batch of `fetch`, from URLs to what became of each."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import aiohttp
import yarl

from curate.errors import RunError
from curate.io.fetch import body, robots
from curate.io.fetch.body import Body
from curate.io.fetch.connect import Resolver, blame_files
from curate.io.fetch.host import Hosts, seconds_to_wait
from curate.io.fetch.public_address import Rules
from curate.io.fetch.url import Refused, Target, parse, redirected
from curate.stage import Place

if TYPE_CHECKING:
    from curate.io.fetch.stage import Fetch

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_NAMED = frozenset({400, 401, 403, 404, 410, 451})
_FIRST_WAIT_S = 0.5  # before the first retry; doubled for each further one
# Not worth another attempt at once. `bad_http` is: a stale connection may have been to blame.
_RETRIED = frozenset(
    {
        "bad_http",
        "deferred.dns",
        "deferred.unreachable",
        "deferred.timeout",
        "deferred.interrupted",
        "deferred.http_408",
        "deferred.http_429",
        "deferred.http_5xx",
    }
)
_OF_THE_HOST = frozenset({"deferred.dns", "deferred.unreachable", "deferred.timeout"})
_MEDIA_TYPE = re.compile(r"[a-z0-9.+-]{1,60}/[a-z0-9.+-]{1,60}")


@dataclass(frozen=True)
class Answer:
    """What became of a URL. Without a reason, `place` says where its bytes are."""

    reason: str = ""
    host: str | None = None  # the last one that was asked
    status: int | None = None
    kind: str | None = None  # media type, as the server calls it
    place: Place | None = None
    data: bytes = b""
    location: str | None = None
    retry_after: float = 0.0


Read: TypeAlias = Callable[[aiohttp.ClientResponse], Awaitable[Body]]


class _Budget:
    """Seconds that are left for a URL. Waiting for others of its host is not on its account."""

    def __init__(self, seconds: float) -> None:
        self.left = seconds


class Client:
    """Fetches the URLs of one batch; `async with`, in a loop of its own."""

    def __init__(
        self, config: Fetch, rules: Rules, cache: robots.Cache, keep: Callable[[bytes], Place]
    ) -> None:
        self._config = config
        self._rules = rules
        self._cache = cache
        self._keep = keep
        self._agent = robots.product_token(config.user_agent)
        self._total = asyncio.Semaphore(config.concurrency)
        self._hosts = Hosts(config.per_host)
        self._asked: dict[tuple[str, str, int], asyncio.Task[robots.Robots | str]] = {}

    async def __aenter__(self) -> Client:
        config = self._config
        self._resolver = Resolver(self._rules)
        connector = aiohttp.TCPConnector(
            limit=0, use_dns_cache=False, resolver=self._resolver, socket_factory=self._resolver.open_socket
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=config.connect_timeout_s, sock_read=config.read_timeout_s
            ),
            headers={
                "User-Agent": config.user_agent,
                "Accept": "image/*,*/*;q=0.5",
                "Accept-Encoding": "identity",
            },
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._asked.values():
            task.cancel()
        await self._session.close()
        await self._resolver.close()

    async def all(self, urls: Sequence[str]) -> list[Answer]:
        """What became of each; the first error of ours ends the rest."""
        tasks = [asyncio.create_task(self._image(url)) for url in urls]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _image(self, url: str) -> Answer:
        try:
            target = parse(url)
        except Refused as refused:
            return Answer(str(refused))
        answer = await self._try(target, self._read_image, self._config.respect_robots_txt)
        if answer.reason:
            return answer
        try:
            return replace(answer, place=self._keep(answer.data), data=b"")
        except OSError as error:  # no property of an image: the disk is full, or gone
            raise RunError(f"node `{self._config.id}`: what was fetched cannot be kept: {error}") from error

    async def _try(self, target: Target, read: Read, by_robots: bool) -> Answer:
        """Ask until there is an answer that stands, or no time or attempt is left."""
        budget = _Budget(self._config.timeout_s)
        for attempt in range(self._config.retries + 1):
            answer = await self._follow(target, read, budget, by_robots)
            if answer.reason not in _RETRIED or attempt == self._config.retries:
                return answer
            wait = max(backoff(target.text, attempt), answer.retry_after)
            if wait >= budget.left:
                return answer
            budget.left -= wait
            await asyncio.sleep(wait)
        raise AssertionError("the last attempt returns")

    async def _follow(self, target: Target, read: Read, budget: _Budget, by_robots: bool) -> Answer:
        """One attempt, through its redirects, each of which is checked as the first URL was."""
        host = None
        try:
            for _ in range(self._config.max_redirects + 1):
                host = target.host
                if reason := self._rules.refusal(target.host, target.port):
                    return Answer(reason, host)
                if by_robots and (reason := await self._forbidden(target)):
                    return Answer(reason, host)
                answer = await self._ask(target, read, budget)
                if answer.location is None:
                    return answer
                target = redirected(target, answer.location)
        except Refused as refused:
            return Answer(str(refused), host)
        return Answer("too_many_redirects", host)

    async def _ask(self, target: Target, read: Read, budget: _Budget) -> Answer:
        """One request, when it is its turn."""
        host = self._hosts[target.host]
        async with host.slots:
            if silence := host.dead():
                return Answer(silence, target.host)
            while (wait := host.opens - time.monotonic()) > 0:
                if wait >= budget.left:
                    return Answer(host.closed_by, target.host, retry_after=wait)
                budget.left -= wait
                await asyncio.sleep(wait)
            try:
                await self._resolver.lookup(target.host, target.port)
            except Refused as refused:
                host.note(str(refused), 0.0, time.monotonic())
                raise
            async with self._total:
                started = time.monotonic()
                answer = await self._request(target, read, budget.left)
                budget.left = max(budget.left - (time.monotonic() - started), 0.0)
            host.note(answer.reason, answer.retry_after, time.monotonic())
            return answer

    async def _request(self, target: Target, read: Read, seconds: float) -> Answer:
        """One request. What a server or the way to it can do wrong is a reason."""
        seen = Answer(host=target.host)
        url = yarl.URL(target.text, encoded=True)
        try:
            async with asyncio.timeout(seconds), self._session.get(url, allow_redirects=False) as response:
                seen = _head(seen, response)
                if seen.reason or seen.location is not None:
                    return seen
                got = await read(response)
                return replace(seen, reason=got.reason, data=got.data)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            return replace(seen, reason=_blame(error))

    async def _read_image(self, response: aiohttp.ClientResponse) -> Body:
        if self._config.respect_robots_tag:
            tags = response.headers.getall("X-Robots-Tag", [])
            if robots.forbids(tags, self._agent):
                return Body(b"", "robots_tag")
        return await body.image(response, self._config.max_bytes)

    async def _forbidden(self, target: Target) -> str:
        """`robots_txt` or why that is not known; "" for a path that may be asked for."""
        known = self._cache.get(target.origin, time.monotonic())
        if known is None:
            task = self._asked.get(target.origin)
            if task is None:
                task = self._asked[target.origin] = asyncio.create_task(self._ask_robots(target))
            found = await asyncio.shield(task)
            if isinstance(found, str):
                return found
            known = found
        return "" if known.allows(target.path) else "robots_txt"

    async def _ask_robots(self, target: Target) -> robots.Robots | str:
        """The rules of an origin, or the reason why they cannot be had now (RFC 9309, section 2.3.1).

        Not there, or never to be had: all is allowed. Out of order: nothing is, for now.
        """
        answer = await self._try(target._replace(path="/robots.txt"), _read_robots, by_robots=False)
        if answer.reason in _OF_THE_HOST:
            return answer.reason
        if answer.reason.startswith("deferred"):
            return "deferred.robots_txt"
        found = robots.Robots() if answer.reason else robots.parse(answer.data, self._agent)
        self._cache.put(target.origin, found, time.monotonic())
        return found


async def _read_robots(response: aiohttp.ClientResponse) -> Body:
    return await body.text(response, robots.MAX_BYTES)


def backoff(url: str, attempt: int) -> float:
    """Seconds before another attempt: 0.5, 1, 2 ..., by half more or less, so that not all come at once."""
    digest = hashlib.sha256(f"{attempt} {url}".encode("utf-8", "surrogatepass")).digest()
    return float(_FIRST_WAIT_S * 2**attempt * (0.5 + int.from_bytes(digest[:8]) / 2**64))


def _head(seen: Answer, response: aiohttp.ClientResponse) -> Answer:
    """What status and headers say; a reason where no body is wanted."""
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    seen = replace(seen, status=response.status, kind=kind if _MEDIA_TYPE.fullmatch(kind) else None)
    status = response.status
    if status in _REDIRECTS:
        location = response.headers.get("Location")
        return replace(seen, location=location, reason="" if location else "bad_redirect")
    reason = ""
    if status in (408, 429):
        reason = f"deferred.http_{status}"
    elif 400 <= status < 500:
        reason = f"http_{status}" if status in _NAMED else "http_4xx"
    elif 500 <= status < 600:
        reason = "deferred.http_5xx"
    elif status in (204, 205):
        reason = "empty"
    elif status not in (200, 203):
        reason = "http_other"
    wait = seconds_to_wait(response.headers.get("Retry-After")) if status in (408, 429, 503) else 0.0
    return replace(seen, reason=reason, retry_after=wait)


def _blame(error: Exception) -> str:
    """The reason for what aiohttp or the system raised."""
    blame_files(error)
    by_type: tuple[tuple[Any, str], ...] = (
        (TimeoutError, "deferred.timeout"),
        ((aiohttp.ClientSSLError, aiohttp.ClientConnectorCertificateError), "tls"),
        (aiohttp.ClientConnectorError, "deferred.unreachable"),
        ((aiohttp.ClientPayloadError, aiohttp.ClientConnectionError, OSError), "deferred.interrupted"),
    )
    return next((reason for kinds, reason in by_type if isinstance(error, kinds)), "bad_http")
