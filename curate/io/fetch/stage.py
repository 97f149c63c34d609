"""See `Fetch`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeAlias, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator

from curate.errors import RunError
from curate.io.fetch import robots
from curate.io.fetch.public_address import Rules, parse_allowed
from curate.sample import Level, single
from curate.stage import Map, Names, Op, Out, Place, Store

if TYPE_CHECKING:
    from curate.io.fetch.client import Answer

T = TypeVar("T")
Seconds: TypeAlias = Annotated[float, Field(gt=0, le=3600)]


class Fetch(Map):
    """Fetches the images that rows name by URL, and keeps them in the run folder.

    For images without an `image_ref` (`remote: keep` of a source); one that has one is left as it is. The
    bytes go into tars under RUN/state/fetched/, as they came: nothing is re-encoded, and no rerun asks for
    them again. A rerun asks again for what is `deferred.*`, and for that alone. Equal URLs of a part are
    asked once.

    `http` and `https` only, certificates are verified, no cookies, no proxy, no credentials in URLs. Every
    host and every hop of a redirect must be a public address on one of `ports`, and the addresses that were
    checked are the ones connected to; `allow_hosts` exempts hosts of one's own.

    Sites are asked first: robots.txt (RFC 9309, the group of the first word of `user_agent`, else `*`) and
    `X-Robots-Tag` (`noai`, `noimageai`, `noindex`, `noimageindex`, `none`; for all agents or ours by name).
    Where robots.txt cannot be had for now, its site's images are `deferred.robots_txt`. `Retry-After` holds
    for all images of a host. A host that gave no answer five times in a row is asked for every 2nd, 4th,
    8th ... of its other images only, until it answers.

    A field that says what may be fetched (`max_bytes`, `max_redirects`, `ports`, `allow_hosts`, `respect_*`)
    asks for everything again when it is changed; one that says how (the others) for nothing.

    `per_host` and `concurrency` are those of one worker: a host may see `workers` times as many.

    What decides is the image's first bytes, not its `Content-Type`: HTML under a name of an image is
    `not_an_image`, AVIF, HEIC, SVG and other formats that are not decoded here are `unsupported_format`.
    """

    stage: Literal["fetch"] = "fetch"
    level: ClassVar[Level] = "image"
    stores: ClassVar[bool] = True
    batch: ClassVar[int] = 4096
    # How it is asked is no reason to ask again for what was answered.
    incidental: ClassVar[frozenset[str]] = frozenset(
        {
            "concurrency",
            "connect_timeout_s",
            "per_host",
            "read_timeout_s",
            "retries",
            "timeout_s",
            "user_agent",
        }
    )

    concurrency: Annotated[int, Field(gt=0, le=4096)] = Field(
        default=128, description="Requests at a time. Memory is this times `max_bytes` at worst."
    )
    per_host: Annotated[int, Field(gt=0)] = Field(default=4, description="Requests at a time to one host.")
    timeout_s: Seconds = Field(
        default=30.0,
        description="For an image, with its redirects, retries and the waits between; not its turn.",
    )
    connect_timeout_s: Seconds = Field(default=10.0, description="For a connection.")
    read_timeout_s: Seconds = Field(default=10.0, description="For the next bytes of an answer.")
    retries: Annotated[int, Field(ge=0, le=20)] = Field(
        default=2, description="Further attempts after failures that may pass, with growing waits."
    )
    max_bytes: Annotated[int, Field(gt=0, le=256 << 20)] = Field(default=20 << 20, description="Of an image.")
    max_redirects: Annotated[int, Field(ge=0, le=20)] = Field(default=5, description="Of an image.")
    ports: tuple[Annotated[int, Field(gt=0, lt=65536)], ...] = Field(
        default=(80, 443, 8080, 8443), description="Ports that URLs may name."
    )
    allow_hosts: Names = Field(
        default=(),
        description="Hosts exempt from the rules on addresses and ports: `host`, `host:port`, `*.domain` "
        "(all names below it), `[v6]:port`.",
    )
    user_agent: str = Field(
        default="Curate/0.1 (image dataset fetcher)",
        min_length=1,
        max_length=256,
        description="Put an address into it by which sites' owners reach you: `Curate/0.1 (+https://...)`.",
    )
    respect_robots_txt: bool = Field(default=True, description="Ask robots.txt of each site first.")
    respect_robots_tag: bool = Field(default=True, description="Leave images whose header forbids it.")

    @field_validator("allow_hosts")
    @classmethod
    def _hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for entry in value:
            parse_allowed(entry)
        return value

    @field_validator("user_agent")
    @classmethod
    def _agent(cls, value: str) -> str:
        if not (value.isascii() and value.isprintable()):
            raise ValueError("is not printable ASCII")
        if not robots.product_token(value):
            raise ValueError("must begin with a name, by which robots.txt calls it: letters, `-` and `_`")
        return value

    def reads(self) -> frozenset[str]:
        return frozenset({"image_url", "image_ref"})

    def rewrites(self) -> frozenset[str]:
        return frozenset({"image_ref"})

    def writes(self) -> pa.Schema:
        """Beside the reference, of the last answer: its status, media type and host.

        No URL: those that redirects lead to carry signatures and tokens.
        """
        return pa.schema(
            [
                ("image_ref", pa.string()),
                ("image_fetch_status", pa.int16()),
                ("image_fetch_type", pa.string()),
                ("image_fetch_host", pa.string()),
            ]
        )

    def reasons(self) -> frozenset[str]:
        refused = "no_url bad_url credentials private_address forbidden_port robots_txt robots_tag tls"
        answered = (
            "http_400 http_401 http_403 http_404 http_410 http_451 http_4xx http_other bad_http bad_encoding "
            "bad_redirect too_many_redirects too_large empty not_an_image unsupported_format"
        )
        later = "dns unreachable timeout interrupted http_408 http_429 http_5xx robots_txt"
        return frozenset({*refused.split(), *answered.split(), *(f"deferred.{r}" for r in later.split())})

    def open(self) -> Op:
        raise RunError(f"node `{self.id}`: is opened with a store")

    def open_with(self, store: Store) -> Op:
        rules = Rules((parse_allowed(entry) for entry in self.allow_hosts), self.ports)
        cache = robots.Cache()

        def op(table: pa.Table) -> Out:
            urls = _wanted(table)
            asked = list(dict.fromkeys(url for url in urls.values() if url))
            if not asked:
                return self._out(table, urls, {}, str)
            with store.shard() as shard:
                found = _in_a_thread(lambda: self._fetch(asked, rules, cache, shard.add))
                return self._out(table, urls, dict(zip(asked, found, strict=True)), shard.close())

        return op

    async def _fetch(
        self, urls: Sequence[str], rules: Rules, cache: robots.Cache, keep: Callable[[bytes], Place]
    ) -> list[Answer]:
        from curate.io.fetch.client import Client

        async with Client(self, rules, cache, keep) as client:
            return await client.all(urls)

    def _out(
        self,
        table: pa.Table,
        urls: dict[int, str],
        found: dict[str, Answer],
        reference: Callable[[Place], str],
    ) -> Out:
        n = table.num_rows
        columns = {name: np.full(n, None, dtype=object) for name in self.writes().names}
        columns["image_ref"][:] = table["image_ref"].to_pylist()
        drop = np.full(n, None, dtype=object)
        for row, url in urls.items():
            answer = found.get(url)
            if answer is None:
                drop[row] = "no_url"
                continue
            drop[row] = answer.reason or None
            columns["image_ref"][row] = reference(answer.place) if answer.place else None
            columns["image_fetch_status"][row] = answer.status
            columns["image_fetch_type"][row] = answer.kind
            columns["image_fetch_host"][row] = answer.host
        arrays = {f.name: pa.array(columns[f.name], f.type) for f in self.writes()}
        return Out(arrays, pa.array(drop, pa.string()))


def _wanted(table: pa.Table) -> dict[int, str]:
    """Row -> URL of the images that are to be fetched; "" where there is none."""
    rows = np.flatnonzero(pc.is_null(single(table["image_ref"])).to_numpy(zero_copy_only=False))
    urls = table["image_url"].take(pa.array(rows)).to_pylist()
    return {int(row): (url or "").strip() for row, url in zip(rows, urls, strict=True)}


def _in_a_thread(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run it in a loop of its own: the thread at hand may have one that runs already (notebooks do)."""
    loop = asyncio.new_event_loop()

    def drive() -> T:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            return runner.run(work())

    with ThreadPoolExecutor(1, "fetch") as pool:
        future = pool.submit(drive)
        try:
            return future.result()
        finally:
            if not future.done():  # interrupted: do not wait for whatever is still under way
                with suppress(RuntimeError):  # which ended in this moment
                    loop.call_soon_threadsafe(lambda: [task.cancel() for task in asyncio.all_tasks(loop)])
