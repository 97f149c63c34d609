"""A raw HTTP server on loopback that answers in any way it is told to, wrong ones above all."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import TypeAlias

Writer: TypeAlias = asyncio.StreamWriter
# What a path is answered with: bytes, or a function that writes them and says whether the connection stays.
Answer: TypeAlias = bytes | Callable[[Writer], Awaitable[bool]]


def reply(
    body: bytes = b"",
    status: str = "200 OK",
    headers: Iterable[str] = (),
    length: int | None = None,
) -> bytes:
    """A whole answer; `length` -1 leaves Content-Length out, any other one lies."""
    lines = [f"HTTP/1.1 {status}", *headers]
    if length != -1:
        lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def redirect(location: str, status: str = "302 Found") -> bytes:
    return reply(b"", status, [f"Location: {location}"])


def closing(data: bytes) -> Answer:
    """These bytes, and then the connection is closed."""

    async def answer(writer: Writer) -> bool:
        writer.write(data)
        await writer.drain()
        return False

    return answer


def dripping(data: bytes, seconds: float, size: int = 1) -> Answer:
    """The same bytes, `size` of them every `seconds`."""

    async def answer(writer: Writer) -> bool:
        for start in range(0, len(data), size):
            writer.write(data[start : start + size])
            await writer.drain()
            await asyncio.sleep(seconds)
        return True

    return answer


def late(data: bytes, seconds: float) -> Answer:
    """The bytes, after a wait."""

    async def answer(writer: Writer) -> bool:
        await asyncio.sleep(seconds)
        writer.write(data)
        await writer.drain()
        return True

    return answer


def in_pieces(*pieces: bytes) -> Answer:
    """Pieces in packets of their own, and then the connection is closed."""

    async def answer(writer: Writer) -> bool:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.05)
        return False

    return answer


def endless(head: bytes, piece: bytes, pieces: int = 4096) -> Answer:
    """A head, and a body that has no end in sight."""

    async def answer(writer: Writer) -> bool:
        writer.write(head)
        for _ in range(pieces):
            writer.write(piece)
            await writer.drain()
        return False

    return answer


async def resetting(writer: Writer) -> bool:
    """The connection is reset in place of an answer."""
    writer.transport.abort()
    return False


def in_turn(*answers: Answer) -> Answer:
    """Another answer each time, the last one for ever."""
    given = iter(range(len(answers)))

    async def answer(writer: Writer) -> bool:
        found = answers[next(given, len(answers) - 1)]
        return await _give(found, writer)

    return answer


async def _give(answer: Answer, writer: Writer) -> bool:
    if callable(answer):
        return await answer(writer)
    writer.write(answer)
    await writer.drain()
    return True


@dataclass
class Request:
    """What was asked."""

    path: str
    headers: dict[str, str]


@dataclass
class Unruly:
    """The server, in a thread of its own while the `with` block lasts."""

    answers: dict[str, Answer] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None
    address: str = "127.0.0.1"
    greeting: bytes = b""  # said to whoever connects, before he asks; then the connection is closed

    def __post_init__(self) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self.peak = 0  # requests in progress at one time, by what the server saw
        self.port = 0
        self._busy = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Unruly:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()

    def url(self, path: str = "/", host: str | None = None) -> str:
        scheme = "https" if self.tls else "http"
        return f"{scheme}://{host or self.address}:{self.port}{path}"

    def asked(self) -> Counter[str]:
        """How often each path was asked for."""
        return Counter(request.path for request in self.requests)

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        self._stopped = asyncio.Event()
        server = await asyncio.start_server(self._talk, self.address, 0, ssl=self.tls)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopped.wait()
        server.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        self.connections += 1
        try:
            writer.write(self.greeting)
            while not self.greeting and await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ssl.SSLError):
            pass  # the client left
        except asyncio.CancelledError:
            pass  # the test is over
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: Writer) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        path = head[0].split(" ")[1]
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if ": " in line)
        self.requests.append(Request(path, headers))
        self._busy += 1
        self.peak = max(self.peak, self._busy)
        try:
            return await _give(self.answers.get(path, reply(b"gone", "404 Not Found")), writer)
        finally:
            self._busy -= 1
