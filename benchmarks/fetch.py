"""`fetch` against a bare aiohttp loop, on the same local server, in one run.

The server is a process of its own on 64 loopback addresses, 64 hosts to us; images have 60 KB. Two pools: a
healthy one, and a mixed one of which 6% are gone, 2% fail once, 2% take a second and 1% never answer. Ours
is the stage as a run opens it: URLs and addresses checked, robots.txt of each host asked, 4 requests at a
time to one host, bodies looked at, bytes into the run's store and hashed. The bare loop has as many requests
in flight and the same time-outs, and appends what it gets to one file; it checks nothing, retries nothing,
spares no host. img2dataset, where its virtual environment is given, fetches the healthy pool with one process
and as many threads, and neither resizes nor re-encodes.
Last line: the ratio of the rates on the healthy pool.

    python benchmarks/fetch.py [--small] [--images N] [--runs R] [--img2dataset VENV]
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pyarrow as pa

from curate.io.fetch.stage import Fetch
from curate.io.store import RunStore

HOSTS = [f"127.0.1.{i}" for i in range(1, 65)]
SIZE = 60_000
FLIGHT = 128
WAIT_S = 3.0


def fate(path: str) -> str:
    """What the server does with a path: decided by its hash, in the mixed pool only."""
    if not path.startswith("/mixed/"):
        return "good"
    place = hashlib.sha256(path.encode()).digest()[0] / 256
    for name, share in (("gone", 0.06), ("once", 0.02), ("slow", 0.02), ("mute", 0.01)):
        if place < share:
            return name
        place -= share
    return "good"


async def _serve(port: int) -> None:
    body = b"\xff\xd8\xff\xe0" + hashlib.shake_256(b"pixels").digest(SIZE - 4)
    good = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % SIZE + body
    gone = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    broken = b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"
    failed: set[str] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                path = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1].decode()
                kind = "gone" if path == "/robots.txt" else fate(path)
                if kind == "slow":
                    await asyncio.sleep(1)
                if kind == "mute":
                    await asyncio.sleep(60)
                if kind == "once" and path not in failed:
                    failed.add(path)
                    writer.write(broken)
                else:
                    writer.write(gone if kind == "gone" else good)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, HOSTS, port, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def serving() -> Iterator[int]:
    """The server's port, while the block lasts."""
    import socket

    with socket.socket() as probe:
        probe.bind((HOSTS[0], 0))
        port = probe.getsockname()[1]
    child = subprocess.Popen(
        [sys.executable, __file__, "--serve", str(port)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        yield int(child.stdout.readline())
    finally:
        child.kill()
        child.wait()


def urls(port: int, pool: str, count: int, run: int) -> list[str]:
    return [f"http://{HOSTS[i % len(HOSTS)]}:{port}/{pool}/{run}/{i}.jpg" for i in range(count)]


def bare(wanted: list[str], target: Path) -> float:
    """Images a second of the bare loop."""
    turn = asyncio.Semaphore(FLIGHT)

    async def one(session: aiohttp.ClientSession, url: str) -> None:
        try:
            async with turn, session.get(url) as response:
                if response.status == 200:
                    file.write(await response.read())
        except (aiohttp.ClientError, TimeoutError):
            pass

    async def every() -> None:
        limits = aiohttp.ClientTimeout(total=None, sock_connect=WAIT_S, sock_read=WAIT_S)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=limits) as session:
            await asyncio.gather(*(one(session, url) for url in wanted))

    with target.open("wb") as file:
        began = time.perf_counter()
        asyncio.run(every())
        return len(wanted) / (time.perf_counter() - began)


def ours(wanted: list[str], target: Path) -> tuple[float, Counter[str]]:
    """Images a second of the stage, and what became of them."""
    stage = Fetch(
        id="fetch",
        concurrency=FLIGHT,
        allow_hosts=tuple(HOSTS),
        connect_timeout_s=WAIT_S,
        read_timeout_s=WAIT_S,
        timeout_s=WAIT_S,
    )
    op = stage.open_with(RunStore(target, "fetch"))
    table = pa.table({"image_url": wanted, "image_ref": pa.nulls(len(wanted), pa.string())})
    began = time.perf_counter()
    out = op(table)
    rate = len(wanted) / (time.perf_counter() - began)
    assert out.drop is not None
    return rate, Counter(reason or "fetched" for reason in out.drop.to_pylist())


def img2dataset(venv: Path, wanted: list[str], target: Path) -> tuple[float, int]:
    """Images a second of img2dataset by its own account of its one shard, and how many it got."""
    (target / "urls.txt").write_text("\n".join(wanted))
    command = [
        venv / "bin" / "img2dataset",
        f"--url_list={target / 'urls.txt'}",
        f"--output_folder={target / 'out'}",
    ]
    command += ["--processes_count=1", f"--thread_count={FLIGHT}", f"--number_sample_per_shard={len(wanted)}"]
    command += [
        "--resize_mode=no",
        "--skip_reencode=True",
        "--output_format=webdataset",
        "--enable_wandb=False",
    ]
    subprocess.run(command, check=True, capture_output=True)
    (stats,) = (json.loads(path.read_text()) for path in (target / "out").glob("*_stats.json"))
    return len(wanted) / stats["duration"], stats["count"] - stats["failed_to_download"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--images", type=int)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--img2dataset", type=Path)
    parser.add_argument("--serve", type=int)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(_serve(options.serve))
        return
    count = options.images or (1000 if options.small else 2000)
    work = Path(tempfile.mkdtemp(prefix="curate-bench-"))
    ratios = {}
    try:
        with serving() as port:
            for pool in ("mixed", "healthy"):
                rates: dict[str, list[float]] = {"bare": [], "ours": []}
                # a mixed run takes as long as its last mute image: one is enough to see that
                for run in range(1 if options.small and pool == "mixed" else options.runs):
                    # another path for each: a server's "fails once" is then once for each
                    rates["bare"].append(bare(urls(port, pool, count, 2 * run), work / "bare"))
                    rate, fates = ours(urls(port, pool, count, 2 * run + 1), work / "store")
                    rates["ours"].append(rate)
                    shutil.rmtree(work / "store")
                    print(f"{pool}: bare {rates['bare'][-1]:,.0f}/s; ours {rate:,.0f}/s, {dict(fates)}")
                ratios[pool] = statistics.median(rates["ours"]) / statistics.median(rates["bare"])
                print(f"{pool}: ours / bare loop = {ratios[pool]:.2f}")
            if options.img2dataset:
                rate, got = img2dataset(options.img2dataset, urls(port, "healthy", count, 99), work)
                print(f"healthy: img2dataset {rate:,.0f}/s by its own account, {got} fetched")
        print(f"ours / bare loop = {ratios['healthy']:.2f}")
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
